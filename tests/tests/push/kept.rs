//! Real receivers show what the segment has.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tachograph::{Buckets, Counter, FamilyHandle, GaugeMode, SegmentOptions, Unit, Writer};
use tachograph_tests::pusher::Pusher;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::server::Server;
use tachograph_tests::worker::PATIENCE;
use tachograph_tests::{eventually, http};

use crate::certificates::Authority;

/// The only value that a query gives; `None` while there is none.
fn ask(server: &Server, query: &str) -> Option<f64> {
    let target = format!("/api/v1/query?query={}", http::percent_encoded(query));
    let answer = http::get(server.address, &target, "application/json").ok()?;
    let json: Value = serde_json::from_str(&answer.body).ok()?;
    let result = json["data"]["result"].as_array()?;
    assert!(result.len() <= 1, "{query}: {json}");
    result.first()?["value"][1].as_str()?.parse().ok()
}

fn await_all(server: &Server, expected: &[(&str, f64)]) {
    for (query, expected) in expected {
        let mut shown = None;
        eventually(&format!("{query} is {expected}"), PATIENCE, || {
            shown = ask(server, query);
            shown == Some(*expected)
        });
    }
    let (query, value) = expected[0];
    let control = ask(server, &format!("{query} + 1"));
    assert_eq!(
        control,
        Some(value + 1.0),
        "the question tells values apart"
    );
}

/// Something of every kind; the series of the family returned can end.
fn fill(path: &Path) -> (Writer, FamilyHandle<Counter>) {
    let writer = SegmentOptions::new().path(path).attach().unwrap();
    let jobs = writer.counter("jobs_total", "Jobs").family().unwrap();
    jobs.with(&[("queue", "a \"b\"\\\n"), ("job", "own")])
        .unwrap()
        .add(7);
    jobs.with(&[("queue", "short")]).unwrap().add(3);
    let depth = writer.gauge("depth", "Depth").mode(GaugeMode::Max);
    depth.register().unwrap().set(-3);
    let waits = writer.histogram("wait_seconds", "Waits");
    let waits = waits.unit(Unit::NANOSECONDS).register().unwrap();
    for millis in 1..=1000 {
        waits.record(millis * 1_000_000);
    }
    let explicit = Buckets::explicit_in(&Unit::NANOSECONDS, &[0.005, 0.25, 1.0]).unwrap();
    let reads = writer.histogram("read_seconds", "Reads");
    let reads = reads.unit(Unit::NANOSECONDS).buckets(explicit);
    let reads = reads.register().unwrap();
    for millis in [4, 200, 5000] {
        reads.record(millis * 1_000_000);
    }
    (writer, jobs)
}

const CLASSIC: [(&str, f64); 9] = [
    ("jobs_total{exported_job='own',queue='a \"b\"\\\\\\n'}", 7.0),
    ("jobs_total{queue='short',job='shop',instance='here'}", 3.0),
    ("depth", -3.0),
    ("wait_seconds_count", 1000.0),
    ("wait_seconds_sum", 500.5),
    ("read_seconds_bucket{le='0.25'}", 2.0),
    ("read_seconds_bucket{le='1.0'}", 2.0),
    ("read_seconds_bucket{le='+Inf'}", 3.0),
    ("read_seconds_sum", 5.204),
];

fn remote_write(server: &Server, more: &str) -> String {
    format!(
        "[[push.remote_write]]\nurl = \"http://{}/api/v1/write\"\ninterval = \"0.5s\"\n\
         labels = {{ job = \"shop\", instance = \"here\" }}\n{more}\n",
        server.address
    )
}

/// A Prometheus that takes what is pushed and scrapes nobody.
fn prometheus(scratch: &Scratch, arguments: &[&str]) -> Server {
    let folder = scratch.path("prometheus");
    fs::create_dir(&folder).unwrap();
    let mut all = vec!["--web.enable-remote-write-receiver"];
    all.extend(arguments);
    Server::prometheus_with(&all, "127.0.0.1:1".parse().unwrap(), &folder)
}

/// A series that is removed ends at once, not when receivers begin to forget it.
fn end(server: &Server, jobs: &FamilyHandle<Counter>) {
    assert!(jobs.remove(&[("queue", "short")]).unwrap());
    eventually("the series has ended", PATIENCE, || {
        ask(server, "count(jobs_total)") == Some(1.0)
    });
    assert_eq!(ask(server, "jobs_total{queue='short'}"), None);
}

#[test]
fn prometheus_keeps_what_is_written() {
    let scratch = Scratch::new();
    let (_writer, jobs) = fill(&scratch.segment());
    let prometheus = prometheus(&scratch, &[]);
    // Requests of ten points: the page takes many.
    let pusher = Pusher::start(
        &scratch.segment(),
        &remote_write(&prometheus, "max_points = 10"),
    );
    await_all(&prometheus, &CLASSIC);
    jobs.with(&[("queue", "short")]).unwrap().add(2);
    await_all(&prometheus, &[("jobs_total{queue='short'}", 5.0)]);
    end(&prometheus, &jobs);
    assert_eq!(pusher.pushed("retries_total", &[]).map(|_| ()), Some(()));
    for reason in ["buffer", "rejected", "refused"] {
        let dropped = pusher.pushed("dropped_points_total", &[("reason", reason)]);
        assert_eq!(dropped, Some(0.0), "{}", pusher.log());
    }
    assert!(pusher.pushed("last_success_timestamp_seconds", &[]) > Some(1.0));
}

#[test]
fn prometheus_keeps_native_histograms() {
    let scratch = Scratch::new();
    let (_writer, _jobs) = fill(&scratch.segment());
    let prometheus = prometheus(&scratch, &["--enable-feature=native-histograms"]);
    let config = remote_write(&prometheus, "native_histograms = true");
    let pusher = Pusher::start(&scratch.segment(), &config);
    await_all(
        &prometheus,
        &[
            ("histogram_count(wait_seconds{job='shop'})", 1000.0),
            ("histogram_sum(wait_seconds)", 500.5),
            // Those with bounds of their own stay as they are.
            ("read_seconds_bucket{le='0.25'}", 2.0),
        ],
    );
    assert_eq!(ask(&prometheus, "wait_seconds_count"), None);
    for (quantile, expected) in [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99)] {
        let query = format!("histogram_quantile({quantile}, wait_seconds)");
        let shown = ask(&prometheus, &query).unwrap();
        // Buckets of schema 4 are 4.4 % wide.
        assert!((shown / expected - 1.0).abs() < 0.045, "{query}: {shown}");
    }
    // Without the segment, nothing of it is left.
    fs::remove_file(scratch.segment()).unwrap();
    eventually("all series have ended", PATIENCE, || {
        ask(&prometheus, "count({__name__=~'wait_seconds|depth'})").is_none()
    });
    assert_eq!(
        pusher.pushed("dropped_points_total", &[("reason", "refused")]),
        Some(0.0),
        "{}",
        pusher.log()
    );
}

#[test]
fn victoria_metrics_keeps_what_is_written() {
    let scratch = Scratch::new();
    let (_writer, jobs) = fill(&scratch.segment());
    let victoria = Server::victoria_metrics(&scratch.path("victoria"));
    let _pusher = Pusher::start(&scratch.segment(), &remote_write(&victoria, ""));
    await_all(&victoria, &CLASSIC);
    end(&victoria, &jobs);
}

/// `alice` has the password `wonderland`.
const WEB: &str = "\
tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt,
  client_auth_type: RequireAndVerifyClientCert}
basic_auth_users:
  alice: $2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu
";

#[test]
fn prometheus_wants_a_certificate_and_a_password() {
    let scratch = Scratch::new();
    let (_writer, _jobs) = fill(&scratch.segment());
    let authority = Authority::new(&scratch.path("tls"));
    authority.sign("server", "IP:127.0.0.1");
    authority.sign("client", "DNS:client");
    Authority::new(&scratch.path("other"));
    fs::write(authority.file("web.yml"), WEB).unwrap();
    fs::write(scratch.path("password"), "wonderland").unwrap();
    let web = format!("--web.config.file={}", authority.file("web.yml").display());
    let prometheus = prometheus(&scratch, &[&web]);
    let receiver = |name: &str, more: &str| {
        format!(
            "[[push.remote_write]]\nname = \"{name}\"\nurl = \"https://{}/api/v1/write\"\n\
             interval = \"0.5s\"\n\
             basic_auth = {{ username = \"alice\", password_file = \"password\" }}\n{more}\n",
            prometheus.address
        )
    };
    let certificate = "cert_file = \"tls/client.crt\"\nkey_file = \"tls/client.key\"\n";
    let config = receiver("good", &format!("ca_file = \"tls/ca.crt\"\n{certificate}"))
        + &receiver("nobody", "ca_file = \"tls/ca.crt\"")
        + &receiver(
            "strange",
            &format!("ca_file = \"other/ca.crt\"\n{certificate}"),
        );
    let pusher = Pusher::start(&scratch.segment(), &config);
    let count = |name: &str, outcome: &str| {
        let labels = [("receiver", name), ("outcome", outcome)];
        pusher.pushed("requests_total", &labels).unwrap()
    };
    for (name, outcome) in [
        ("good", "accepted"),
        ("nobody", "unanswered"),
        ("strange", "unanswered"),
    ] {
        eventually(&format!("{name} is {outcome}"), PATIENCE, || {
            count(name, outcome) > 1.0
        });
    }
    assert_eq!(
        count("nobody", "accepted") + count("strange", "accepted"),
        0.0
    );
    eventually("it says why", PATIENCE, || {
        pusher.log().contains("invalid peer certificate")
    });
    // Files of certificates may change at any time.
    fs::copy(authority.file("ca.crt"), scratch.path("other/ca.crt")).unwrap();
    eventually("strange is accepted", PATIENCE, || {
        count("strange", "accepted") > 0.0
    });
    // A control: it is the password, too, that opens the door.
    fs::write(scratch.path("password"), "cheshire").unwrap();
    eventually("it is refused", PATIENCE, || count("good", "refused") > 0.0);
}
