//! Passwords, tokens, names of hosts, origins of web pages, and the rate of requests.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use common::{Answer, Exporter, command, get_unix};

/// The bcrypt hash of `wonderland` with the least cost.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu";

/// Sends one request with these headers.
fn ask(exporter: &Exporter, method: &str, path: &str, headers: &str) -> Answer {
    exporter.ask(&format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n"
    ))
}

fn refused(exporter: &Exporter, reason: &str, headers: &str) -> String {
    let page = ask(exporter, "GET", "/metrics", headers);
    let sample = format!("tachograph_exporter_refused_total{{reason=\"{reason}\"}}");
    page.sample(&sample).unwrap().to_owned()
}

fn with_login(folder: &Path) -> Exporter {
    let (web, token) = (folder.join("web.yml"), folder.join("token"));
    fs::write(&web, format!("basic_auth_users:\n  alice: {HASH}\n")).unwrap();
    fs::write(&token, "0123456789abcdef\n").unwrap();
    let arguments = [
        "--web-config".as_ref(),
        web.as_os_str(),
        "--bearer-token-file".as_ref(),
        token.as_os_str(),
    ];
    Exporter::start(&arguments)
}

/// `alice:wonderland`, and others.
const RIGHT: &str = "authorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\n";
const WRONG: &str = "authorization: Basic YWxpY2U6d3Jvbmc=\r\n";
const NOBODY: &str = "authorization: Basic Ym9iOndvbmRlcmxhbmQ=\r\n";
const TOKEN: &str = "authorization: Bearer 0123456789abcdef\r\n";

#[test]
fn who_does_not_log_in_sees_only_the_health() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = with_login(folder.path());
    for path in ["/metrics", "/", "/nowhere"] {
        for headers in [
            "",
            WRONG,
            NOBODY,
            "authorization: Bearer 0123456789abcdee\r\n",
        ] {
            let answer = ask(&exporter, "GET", path, headers);
            assert_eq!(answer.status, 401, "{path} {headers}");
            assert!(
                answer
                    .header("www-authenticate")
                    .unwrap()
                    .starts_with("Basic ")
            );
            assert_eq!(answer.body, "log in to see this\n");
        }
    }
    assert_eq!(ask(&exporter, "POST", "/-/reload", "").status, 401);
    assert_eq!(ask(&exporter, "GET", "/-/healthy", "").status, 200);
    assert_eq!(ask(&exporter, "GET", "/-/ready", WRONG).status, 503);
    for headers in [RIGHT, RIGHT, TOKEN] {
        assert_eq!(ask(&exporter, "GET", "/metrics", headers).status, 200);
    }
    assert_eq!(refused(&exporter, "login", TOKEN), "13");
}

#[test]
fn a_new_password_and_a_new_token_are_taken_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = with_login(folder.path());
    assert_eq!(ask(&exporter, "GET", "/metrics", RIGHT).status, 200);
    fs::write(folder.path().join("token"), "another-long-token\n").unwrap();
    assert_eq!(ask(&exporter, "GET", "/metrics", TOKEN).status, 401);
    let another = "authorization: bearer another-long-token\r\n";
    assert_eq!(ask(&exporter, "GET", "/metrics", another).status, 200);
    fs::write(folder.path().join("web.yml"), "{}").unwrap();
    assert_eq!(ask(&exporter, "GET", "/metrics", RIGHT).status, 401);
}

#[test]
fn a_name_that_is_not_ours_is_refused_on_the_loopback() {
    let exporter = Exporter::start::<&str>(&[]);
    for (host, status) in [
        ("localhost:9464", 200),
        ("127.0.0.1", 200),
        ("[::1]:9464", 200),
        ("box", 200),
        ("evil.example", 421),
    ] {
        let answer = ask(&exporter, "GET", "/metrics", &format!("host: {host}\r\n"));
        assert_eq!(answer.status, status, "{host}");
    }
    assert_eq!(refused(&exporter, "host", ""), "1");
    let exporter = Exporter::start(&["--allowed-host", "metrics.example"]);
    let answer = ask(
        &exporter,
        "GET",
        "/metrics",
        "host: metrics.example:9464\r\n",
    );
    assert_eq!(answer.status, 200);
}

#[test]
fn web_pages_of_other_origins() {
    let exporter = Exporter::start(&["--allowed-origin", "https://board.example"]);
    let ours = "origin: https://board.example\r\n";
    let strange = "origin: https://evil.example\r\n";
    let allowed = "access-control-allow-origin";
    let answer = ask(&exporter, "GET", "/metrics", ours);
    assert_eq!(answer.header(allowed), Some("https://board.example"));
    assert_eq!(
        ask(&exporter, "GET", "/metrics", strange).header(allowed),
        None
    );
    let preflight = "access-control-request-method: GET\r\n";
    let answer = ask(
        &exporter,
        "OPTIONS",
        "/metrics",
        &format!("{ours}{preflight}"),
    );
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header(allowed), Some("https://board.example"));
    let answer = ask(
        &exporter,
        "OPTIONS",
        "/metrics",
        &format!("{strange}{preflight}"),
    );
    assert_eq!(answer.status, 405);
    // A form of another page may post without asking; it is not obeyed.
    assert_eq!(ask(&exporter, "POST", "/-/reload", strange).status, 403);
    assert_eq!(ask(&exporter, "POST", "/-/reload", ours).status, 200);
}

#[test]
fn headers_and_rate() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yml");
    let text = "http_server_config:\n  headers:\n    Strict-Transport-Security: max-age=9\n    \
                X-Frame-Options: deny\nrate_limit: {interval: 1h, burst: 2}\n";
    fs::write(&web, text).unwrap();
    let exporter = Exporter::start(&["--web-config".as_ref(), web.as_os_str()]);
    for _ in 0..2 {
        let answer = ask(&exporter, "GET", "/metrics", "");
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=9")
        );
        assert_eq!(answer.header("x-frame-options"), Some("deny"));
    }
    let answer = ask(&exporter, "GET", "/metrics", "");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(ask(&exporter, "GET", "/-/healthy", "").status, 200);
}

#[test]
fn a_unix_socket_has_its_mode_and_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    let unix = format!("unix:{}", path.display());
    let own = fs::metadata(folder.path()).unwrap();
    let (user, group) = (own.uid().to_string(), own.gid().to_string());
    let mut command = command();
    command.args(["--listen", &unix, "--unix-mode", "0620"]);
    command.args(["--unix-owner", &user, "--unix-group", &group]);
    let exporter = Exporter::spawn(command, 1);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o620);
    assert_eq!((metadata.uid(), metadata.gid()), (own.uid(), own.gid()));
    assert_eq!(get_unix(&path, "/-/healthy").status, 200);
    drop(exporter);
    let mut command = common::command();
    command.args(["--listen", &unix, "--unix-owner", "nobody-of-that-name"]);
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(
        said.contains("there is no user \"nobody-of-that-name\""),
        "{said}"
    );
}
