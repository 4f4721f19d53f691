//! Receivers that break, hang, refuse or are not there.

use std::fs;
use std::time::Duration;

use tachograph::{SegmentOptions, Writer};
use tachograph_tests::pusher::Pusher;
use tachograph_tests::receiver::{Receiver, Reply};
use tachograph_tests::scratch::Scratch;
use tachograph_tests::server::free_address;
use tachograph_tests::worker::PATIENCE;
use tachograph_tests::{eventually, http};

fn segment() -> (Scratch, Writer) {
    let scratch = Scratch::new();
    let writer = SegmentOptions::new().path(scratch.segment()).attach();
    let writer = writer.unwrap();
    let jobs = writer.counter("jobs_total", "Jobs").register().unwrap();
    jobs.add(7);
    (scratch, writer)
}

/// A receiver, with an interval of 0.1 s.
fn receiver(protocol: &str, address: std::net::SocketAddr, more: &str) -> String {
    format!(
        "[[push.{protocol}]]\nname = \"{address}\"\nurl = \"http://{address}/v1/metrics\"\n\
         interval = \"0.1s\"\n{more}\n"
    )
}

fn outcome(pusher: &Pusher, outcome: &str) -> f64 {
    let requests = pusher.pushed("requests_total", &[("outcome", outcome)]);
    requests.expect("it is on the page")
}

fn lost(pusher: &Pusher, reason: &str) -> f64 {
    let points = pusher.pushed("dropped_points_total", &[("reason", reason)]);
    points.expect("it is on the page")
}

#[test]
fn what_fails_is_sent_again_in_order() {
    for protocol in ["otlp", "remote_write"] {
        let (scratch, _writer) = segment();
        let broken = Receiver::start(|before| match before {
            0 => Reply::status(503),
            1 => Reply::Reset,
            2 => Reply::Garbage,
            _ => Reply::status(200),
        });
        let pusher = Pusher::start(&scratch.segment(), &receiver(protocol, broken.address, ""));
        eventually("it works again", PATIENCE, || broken.count() > 5);
        let received = broken.received();
        for again in [2, 3] {
            assert!(!received[again].body.is_empty());
            assert_eq!(received[again].body, received[0].body, "attempt {again}");
        }
        assert_ne!(received[4].body, received[3].body);
        assert_eq!(outcome(&pusher, "unavailable"), 1.0);
        assert_eq!(outcome(&pusher, "unanswered"), 2.0);
        assert_eq!(pusher.pushed("retries_total", &[]), Some(3.0));
        assert_eq!(lost(&pusher, "buffer") + lost(&pusher, "refused"), 0.0);
        let log = pusher.log();
        // Each reason once.
        assert_eq!(log.matches("cannot push").count(), 3, "{log}");
        assert_eq!(log.matches("takes pushes again").count(), 1, "{log}");
    }
}

#[test]
fn what_is_refused_is_not_sent_again() {
    for (protocol, status) in [("otlp", 500), ("remote_write", 400)] {
        let (scratch, _writer) = segment();
        let picky =
            Receiver::start(move |_| Reply::Answer(status, "", b"no \x1b[1mroom\nat all".to_vec()));
        let config = receiver(protocol, picky.address, "");
        let pusher = Pusher::start(&scratch.segment(), &config);
        eventually("it refuses some", PATIENCE, || picky.count() > 3);
        let received = picky.received();
        assert!(received.windows(2).all(|two| two[0].body != two[1].body));
        assert!(lost(&pusher, "refused") > 0.0);
        assert_eq!(pusher.pushed("retries_total", &[]), Some(0.0));
        assert_eq!(pusher.pushed("sent_points_total", &[]), Some(0.0));
        // The receiver's own words, but not what they would do to a terminal.
        let log = pusher.log();
        let said = "no \\u{1b}[1mroom\\nat all; this is not said again";
        assert_eq!(log.matches(said).count(), 1, "{log}");
        let answer = http::get(pusher.address, "/", "text/html").unwrap();
        assert!(answer.body.contains("[1mroom\\nat all"), "{}", answer.body);
    }
}

#[test]
fn a_receiver_says_when_it_wants_to_be_asked_again() {
    let pause = Duration::from_secs(2);
    for protocol in ["otlp", "remote_write"] {
        let (scratch, _writer) = segment();
        let busy = Receiver::start(|before| match before {
            0 => Reply::Answer(429, "retry-after: 2\r\n", Vec::new()),
            _ => Reply::status(204),
        });
        let config = receiver(protocol, busy.address, "");
        let pusher = Pusher::start(&scratch.segment(), &config);
        eventually("it is asked again", PATIENCE, || busy.count() > 1);
        let received = busy.received();
        assert_eq!(received[0].body, received[1].body);
        assert!(received[1].at - received[0].at >= pause);
        eventually("it counts as accepted", PATIENCE, || {
            outcome(&pusher, "accepted") > 0.0
        });
    }
}

#[test]
fn a_part_that_is_rejected_is_counted() {
    let (scratch, _writer) = segment();
    // partial_success { rejected_data_points: 2, error_message: "too old" }
    let answer = b"\x0a\x0b\x08\x02\x12\x07too old".to_vec();
    let picky = Receiver::start(move |_| Reply::Answer(200, "", answer.clone()));
    let pusher = Pusher::start(&scratch.segment(), &receiver("otlp", picky.address, ""));
    eventually("some have come", PATIENCE, || picky.count() > 2);
    eventually("they are counted", PATIENCE, || {
        lost(&pusher, "rejected") >= 4.0
    });
    assert!(pusher.pushed("sent_points_total", &[]) > Some(1.0));
    let log = pusher.log();
    assert_eq!(log.matches("too old").count(), 1, "{log}");
}

#[test]
fn a_receiver_that_hangs_delays_nobody() {
    let (scratch, _writer) = segment();
    let silent = Receiver::start(|_| Reply::Silence);
    let good = Receiver::start(|_| Reply::status(200));
    let config = receiver("otlp", silent.address, "timeout = \"0.5s\"")
        + &receiver("remote_write", good.address, "");
    let pusher = Pusher::start(&scratch.segment(), &config);
    eventually("it is asked", PATIENCE, || silent.count() == 1);
    // While it is silent, the other gets its pushes, and pages are answered.
    let before = good.count();
    eventually("the other goes on", PATIENCE, || good.count() > before + 3);
    let answer = http::get(pusher.address, "/", "text/html").unwrap();
    assert!(answer.body.contains("Receivers of pushes"));
    assert!(answer.body.contains(&silent.address.to_string()));
    eventually("it is given up", PATIENCE, || silent.count() > 1);
    let name = silent.address.to_string();
    let labels = [("receiver", name.as_str()), ("outcome", "unanswered")];
    assert!(pusher.pushed("requests_total", &labels) >= Some(1.0));
    pusher.reload("");
    eventually("it says what is lost", PATIENCE, || {
        let log = pusher.log();
        log.contains(&format!("points never reached {name}"))
    });
    let answer = http::get(pusher.address, "/", "text/html").unwrap();
    assert!(!answer.body.contains("Receivers of pushes"));
}

#[test]
fn what_waits_is_bounded_and_the_newest_is_kept() {
    const LIMIT: f64 = 20_000.0;
    let (scratch, _writer) = segment();
    let address = free_address();
    let config = receiver("remote_write", address, "buffer_bytes = 20000");
    let pusher = Pusher::start(&scratch.segment(), &config);
    let mut most = 0.0_f64;
    eventually("the oldest are dropped", PATIENCE, || {
        most = most.max(pusher.pushed("queue_bytes", &[]).unwrap());
        lost(&pusher, "buffer") > 0.0
    });
    assert!(most > LIMIT / 2.0 && most <= LIMIT, "{most} bytes");
    let late = Receiver::at(address, |_| Reply::status(200));
    eventually("the rest arrives", PATIENCE, || {
        late.count() > 2 && pusher.pushed("queue_bytes", &[]) < Some(LIMIT / 4.0)
    });
    assert!(pusher.pushed("sent_points_total", &[]) > Some(0.0));
}

#[test]
fn the_last_page_is_pushed_at_the_end() {
    let (scratch, _writer) = segment();
    let good = Receiver::start(|_| Reply::status(200));
    let hour = format!(
        "[[push.otlp]]\nurl = \"http://{}\"\ninterval = \"1h\"\n",
        good.address
    );
    let pusher = Pusher::start(&scratch.segment(), &hour);
    let (status, log) = pusher.terminate();
    assert!(status.success(), "{log}");
    assert_eq!(good.count(), 1);

    let silent = Receiver::start(|_| Reply::Silence);
    let config = receiver("otlp", silent.address, "");
    let pusher = Pusher::start(&scratch.segment(), &config);
    eventually("it is asked", PATIENCE, || silent.count() == 1);
    let (status, log) = pusher.terminate();
    assert!(status.success(), "{log}");
    assert!(log.contains("points never reached"), "{log}");
}

#[test]
fn another_configuration_keeps_what_waits() {
    let (scratch, _writer) = segment();
    let is_open = std::sync::Arc::new(std::sync::OnceLock::new());
    let door = std::sync::Arc::clone(&is_open);
    let closed = Receiver::start(move |_| match door.get() {
        Some(()) => Reply::status(200),
        None => Reply::status(503),
    });
    let (gone, new) = (
        Receiver::start(|_| Reply::status(200)),
        Receiver::start(|_| Reply::status(200)),
    );
    let config = receiver("otlp", closed.address, "") + &receiver("otlp", gone.address, "");
    let pusher = Pusher::start(&scratch.segment(), &config);
    eventually("both are asked", PATIENCE, || {
        closed.count() > 0 && gone.count() > 0
    });
    let changed = receiver("otlp", closed.address, "headers = { x-shop = \"eleven\" }");
    pusher.reload(&(changed + &receiver("remote_write", new.address, "")));
    eventually("the new one is asked", PATIENCE, || new.count() > 0);
    let (before, of_gone) = (closed.count(), gone.count());
    is_open.set(()).unwrap();
    eventually("it goes on", PATIENCE, || closed.count() > before + 1);
    let received = closed.received();
    let last = received.last().unwrap();
    assert!(last.head.contains("x-shop: eleven"), "{}", last.head);
    let retried = received.iter().rev().find(|it| it.head.contains("x-shop"));
    assert!(retried.is_some());
    let first_with = received.iter().find(|it| it.head.contains("x-shop"));
    assert_eq!(first_with.unwrap().body, received[0].body);
    assert!(gone.count() <= of_gone + 1);
    let name = gone.address.to_string();
    assert_eq!(pusher.pushed("queue_bytes", &[("receiver", &name)]), None);
    // A wrong configuration changes nothing.
    let count = closed.count();
    pusher.reload_in_vain("[[push.otlp]]\nurl = \"nonsense\"\n");
    eventually("it still goes on", PATIENCE, || closed.count() > count);
}

#[test]
fn passwords_and_tokens_are_read_for_every_request() {
    let (scratch, _writer) = segment();
    let (first, second) = (
        Receiver::start(|_| Reply::status(200)),
        Receiver::start(|_| Reply::status(200)),
    );
    let (password, token) = (scratch.path("password"), scratch.path("token"));
    fs::write(&password, "open sesame\n").unwrap();
    fs::write(&token, "abc\n").unwrap();
    let config = receiver(
        "remote_write",
        first.address,
        // Relative to the file.
        "basic_auth = { username = \"ali\", password_file = \"password\" }",
    ) + &receiver(
        "otlp",
        second.address,
        &format!("bearer_token_file = {token:?}"),
    );
    let _pusher = Pusher::start(&scratch.segment(), &config);
    let says = |receiver: &Receiver, text: &str| {
        let received = receiver.received();
        received.last().is_some_and(|it| it.head.contains(text))
    };
    // The head is in small letters.
    eventually("the password is sent", PATIENCE, || {
        says(&first, "authorization: basic ywxpom9wzw4gc2vzyw1l\r\n")
    });
    eventually("the token is sent", PATIENCE, || {
        says(&second, "authorization: bearer abc\r\n")
    });
    fs::write(&token, "def").unwrap();
    eventually("the new token is sent", PATIENCE, || {
        says(&second, "authorization: bearer def\r\n")
    });
    let head = &first.received()[0].head;
    for header in [
        "post /v1/metrics http/1.1\r\n",
        "content-encoding: snappy\r\n",
        "content-type: application/x-protobuf\r\n",
        "user-agent: tachograph-exporter/",
        "x-prometheus-remote-write-version: 0.1.0\r\n",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    let head = &second.received()[0].head;
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
}
