//! What the server answers, and what it does to clients that are slow, many or mistaken.

mod common;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use common::{Exporter, read_answer, read_kept_answer};

const REQUEST: &[u8] = b"GET /-/healthy HTTP/1.1\r\nhost: test\r\n\r\n";

/// How long it takes until the server closes `stream`.
fn time_to_close(mut stream: impl Read) -> Duration {
    let start = Instant::now();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut Vec::new());
    start.elapsed()
}

#[test]
fn each_path() {
    let exporter = Exporter::start::<&str>(&[]);
    let metrics = exporter.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(metrics.sample("tachograph_segments"), Some("1"));
    assert_eq!(
        metrics.sample("tachograph_segment_up{segment=\"test\"}"),
        Some("0")
    );
    assert_eq!(exporter.get("/metrics?x=y").status, 200);

    let healthy = exporter.get("/-/healthy");
    assert_eq!((healthy.status, healthy.body.as_str()), (200, "healthy\n"));
    let ready = exporter.get("/-/ready");
    assert_eq!(ready.status, 503);
    assert!(
        ready.body.contains("/nonexistent/tachograph/test.seg"),
        "{ready:?}"
    );

    let landing = exporter.get("/");
    assert_eq!(landing.status, 200);
    assert!(
        landing
            .header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(
        landing.body.contains("waiting for it to appear"),
        "{landing:?}"
    );
    assert!(landing.body.contains("href=\"/metrics\""), "{landing:?}");

    assert_eq!(exporter.get("/metrics/").status, 404);
    assert_eq!(exporter.get("/favicon.ico").status, 404);
}

#[test]
fn a_page_in_the_form_that_is_asked_for() {
    let exporter = Exporter::start::<&str>(&[]);
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (headers, content_type, end) in [
        ("", "text/plain; version=0.0.4; charset=utf-8", "\n"),
        (
            "accept: application/openmetrics-text;version=1.0.0;q=0.5\r\naccept: */*;q=0.1\r\n",
            &*format!("{openmetrics}; escaping=underscores"),
            "\n# EOF\n",
        ),
        (
            "accept: text/plain;version=1.0.0;escaping=allow-utf-8\r\n",
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            "\n",
        ),
        ("accept: application/json\r\n", "application/json", "]}\n"),
        (
            "accept: \u{e9},;q\r\n",
            "text/plain; version=0.0.4; charset=utf-8",
            "\n",
        ),
    ] {
        let (answer, body) = exporter.get_with(headers);
        assert_eq!(answer.status, 200, "{headers}");
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
        assert_eq!(answer.header("content-encoding"), None);
        let plain = String::from_utf8(body).unwrap();
        assert!(plain.ends_with(end), "{plain}");

        let (packed, body) = exporter.get_with(&format!("{headers}accept-encoding: gzip\r\n"));
        assert_eq!(packed.header("content-type"), Some(content_type));
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        let mut unpacked = String::new();
        let mut decoder = flate2::read::GzDecoder::new(body.as_slice());
        decoder.read_to_string(&mut unpacked).unwrap();
        let samples = |page: &str| page.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(samples(&unpacked), samples(&plain));
        assert!(unpacked.ends_with(end), "{unpacked}");

        let (packed, body) =
            exporter.get_with(&format!("{headers}accept-encoding: gzip, zstd\r\n"));
        assert_eq!(packed.header("content-encoding"), Some("zstd"));
        let unpacked = zstd::decode_all(body.as_slice()).unwrap();
        assert!(unpacked.ends_with(end.as_bytes()));
    }
}

#[test]
fn other_methods() {
    let exporter = Exporter::start::<&str>(&[]);
    let full = exporter.get("/-/healthy");
    let head = exporter.request("HEAD", "/-/healthy");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), full.header("content-length"));
    assert_eq!(exporter.request("HEAD", "/metrics").body, "");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let refused = exporter.request(method, "/metrics");
        assert_eq!(refused.status, 405, "{method}");
        assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    }
}

#[test]
fn a_slow_request_is_cut_off() {
    let exporter = Exporter::start(&["--header-timeout", "300ms", "--idle-timeout", "60s"]);
    let silent = time_to_close(exporter.connect());
    let mut half = exporter.connect();
    half.write_all(b"GET /metrics HTTP/1.1\r\nhost:").unwrap();
    let half = time_to_close(half);
    let mut kept = exporter.connect();
    kept.write_all(REQUEST).unwrap();
    assert_eq!(read_kept_answer(&mut kept).status, 200);
    kept.write_all(b"GET").unwrap();
    let second = time_to_close(kept);
    for time in [silent, half, second] {
        assert!(time > Duration::from_millis(200), "{time:?}");
        assert!(time < Duration::from_secs(20), "{time:?}");
    }
}

#[test]
fn a_dripping_request_is_cut_off() {
    let exporter = Exporter::start(&["--header-timeout", "400ms"]);
    let mut stream = exporter.connect();
    let start = Instant::now();
    let mut bytes = b"GET /metrics HTTP/1.1\r\nhost: test\r\nx: "
        .iter()
        .chain([&b'x'; 200]);
    // Each byte comes well within the timeout; together they do not.
    while bytes
        .next()
        .is_some_and(|byte| stream.write_all(&[*byte]).is_ok())
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_kept_connection_may_wait_longer_than_a_request() {
    let limits = ["--header-timeout", "200ms", "--idle-timeout", "1500ms"];
    let exporter = Exporter::start(&limits);
    let mut stream = exporter.connect();
    for _ in 0..2 {
        stream.write_all(REQUEST).unwrap();
        assert_eq!(read_kept_answer(&mut stream).status, 200);
        std::thread::sleep(Duration::from_millis(500));
    }
    let time = time_to_close(stream);
    assert!(time > Duration::from_millis(500), "{time:?}");
    assert!(time < Duration::from_secs(20), "{time:?}");
}

#[test]
fn an_old_connection_is_closed_however_busy() {
    let exporter = Exporter::start(&["--connection-timeout", "300ms"]);
    let mut stream = exporter.connect();
    let start = Instant::now();
    let mut answered = 0;
    while stream.write_all(REQUEST).is_ok() {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => answered += 1,
            _ => break,
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it stays open");
    }
    assert!(answered > 0);
    assert_eq!(exporter.get("/-/healthy").status, 200);
}

#[test]
fn large_headers_are_refused() {
    let exporter = Exporter::start(&["--max-header-bytes", "8192"]);
    let mut stream = exporter.connect();
    let request = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(9000));
    // The answer may come before all is sent.
    let _ = stream.write_all(request.as_bytes());
    assert_eq!(read_answer(stream).status, 431);
    assert_eq!(exporter.get("/-/healthy").status, 200);
}

#[test]
fn garbage_is_refused() {
    let exporter = Exporter::start::<&str>(&[]);
    for garbage in [
        "\x16\x03\x01\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = exporter.connect();
        stream.write_all(garbage.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(exporter.get("/-/healthy").status, 200);
}

#[test]
fn too_many_connections_are_told_so() {
    let exporter = Exporter::start(&["--max-connections", "2"]);
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = exporter.connect();
        stream.write_all(REQUEST).unwrap();
        assert_eq!(read_kept_answer(&mut stream).status, 200);
        kept.push(stream);
    }
    let refused = read_answer(exporter.connect());
    assert_eq!(refused.status, 503);
    assert_eq!(refused.body, "too many connections\n");
    assert_eq!(exporter.get("/-/healthy").status, 503);
    kept.clear();
    let start = Instant::now();
    while exporter.get("/-/healthy").status != 200 {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn both_signals_stop_it() {
    for signal in ["TERM", "INT"] {
        let mut exporter = Exporter::start::<&str>(&[]);
        let mut idle = exporter.connect();
        idle.write_all(REQUEST).unwrap();
        assert_eq!(read_kept_answer(&mut idle).status, 200);
        let fresh = exporter.connect();
        let start = Instant::now();
        exporter.signal(signal);
        assert_eq!(exporter.wait().code(), Some(0), "{signal}");
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "idle clients hold it up"
        );
        drop((idle, fresh));
    }
}

#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    let exporter = Exporter::start::<&str>(&[]);
    let mut stream = exporter.connect();
    let paths = [
        "/-/healthy",
        "/nowhere",
        "/metrics",
        "/-/ready",
        "/-/healthy",
    ];
    let requests: String = paths
        .iter()
        .map(|path| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
        .collect();
    stream.write_all(requests.as_bytes()).unwrap();
    let answers = paths.map(|_| read_kept_answer(&mut stream).status);
    assert_eq!(answers, [200, 404, 200, 503, 200]);
}

#[test]
fn a_client_that_has_said_all_is_answered() {
    let exporter = Exporter::start::<&str>(&[]);
    let mut stream = exporter.connect();
    stream.write_all(REQUEST).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_answer(stream).status, 200);
}

#[test]
fn bodies_are_not_waited_for() {
    let exporter = Exporter::start::<&str>(&[]);
    let mut stream = exporter.connect();
    let head = "GET /-/healthy HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_kept_answer(&mut stream).status, 200);
    let time = time_to_close(stream);
    assert!(
        time < Duration::from_secs(20),
        "it waits for the body: {time:?}"
    );
}

#[test]
fn idle_clients_cost_nothing_and_keep_nobody_out() {
    let exporter = Exporter::start(&["--max-connections", "200"]);
    let idle: Vec<_> = (0..190).map(|_| exporter.connect()).collect();
    let ask = || exporter.get("/metrics").status;
    assert_eq!(ask(), 200);
    let before = cpu_ticks(exporter.pid());
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(
        cpu_ticks(exporter.pid()),
        before,
        "it works while nobody asks"
    );
    assert_eq!(ask(), 200);
    drop(idle);
}

/// The time that a process has used, as in `/proc/PID/stat`.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
