"""Prints the gzipped OTLP metrics request on standard input as JSON, by the official messages."""

import gzip
import sys

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

request = ExportMetricsServiceRequest.FromString(gzip.decompress(sys.stdin.buffer.read()))
sys.stdout.write(MessageToJson(request))
