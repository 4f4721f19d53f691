"""Parses a page on standard input with the official client and prints its families as JSON.

The argument names the format: `text` or `openmetrics`. A page that the parser refuses is an error.
"""

import json
import sys


def main():
    if sys.argv[1] == "openmetrics":
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    else:
        from prometheus_client.parser import text_string_to_metric_families
    page = sys.stdin.buffer.read().decode("utf-8", "strict")
    families = [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "unit": family.unit,
            # `repr` keeps every bit, and NaN and the infinities, which JSON has not.
            "samples": [
                [s.name, s.labels, repr(float(s.value)), s.exemplar and list(s.exemplar)]
                for s in family.samples
            ],
        }
        for family in text_string_to_metric_families(page)
    ]
    # The times of exemplars are of a type of their own.
    json.dump(families, sys.stdout, default=float)


main()
