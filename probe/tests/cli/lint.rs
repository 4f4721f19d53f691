//! `lint` on files, on standard input and on a server.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

use crate::support::{command, run};

const SOUND: &str = "# TYPE jobs_total counter\njobs_total{queue=\"mail\"} 1\n";
const FAULTY: &str = "jobs{a=\"1\"} 1\njobs{a=\"1\"} 2\n";

#[test]
fn a_file_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, faulty) = (folder.path().join("sound"), folder.path().join("faulty"));
    fs::write(&sound, SOUND).unwrap();
    fs::write(&faulty, FAULTY).unwrap();
    let sound = run(command(&["lint", sound.to_str().unwrap()]));
    assert_eq!(sound.code, Some(0), "{}", sound.stdout);
    assert!(
        sound
            .stdout
            .ends_with(": text, 1 family, 1 sample: 0 findings\n"),
        "{}",
        sound.stdout
    );
    let faulty = faulty.to_str().unwrap();
    let told = run(command(&["lint", faulty]));
    assert_eq!(told.code, Some(1));
    let first = told.stdout.lines().next().unwrap();
    let expected = format!("{faulty}:2: unique: jobs{{a=\"1\"}} stands on line 1 already");
    assert_eq!(first, expected);
    assert_eq!(told.stderr, "");
    let json = run(command(&["--format", "json", "lint", faulty]));
    assert_eq!(json.code, Some(1));
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["format"], "text");
    assert_eq!(
        (&json["families"], &json["samples"]),
        (&1.into(), &2.into())
    );
    assert_eq!(json["findings"][0]["line"], 2);
    assert_eq!(json["findings"][0]["rule"], "unique");
    let openmetrics = run(command(&["lint", "--as", "openmetrics", faulty]));
    assert!(
        openmetrics.stdout.contains(":2: eof: "),
        "{}",
        openmetrics.stdout
    );
}

#[test]
fn standard_input_is_judged() {
    let mut command = command(&["lint", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"a 1\n# EOF\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let output = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output, "-: OpenMetrics, 1 family, 1 sample: 0 findings\n");
}

#[test]
fn a_server_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let answer = format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{FAULTY}");
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let told = run(command(&["lint", &format!("http://{address}")]));
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stdout.contains(":2: unique: "), "{}", told.stdout);
    let request = server.join().unwrap();
    assert!(
        request.starts_with("GET /metrics HTTP/1.0\r\n"),
        "{request}"
    );
    assert!(request.contains("openmetrics"), "{request}");
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for place in [
        "/nonexistent/page",
        "https://localhost/metrics",
        "http://127.0.0.1:1",
    ] {
        let told = run(command(&["lint", place]));
        assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""));
        assert!(told.stderr.contains(place), "{}", told.stderr);
    }
    assert_eq!(run(command(&["lint"])).code, Some(2));
}
