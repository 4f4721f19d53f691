//! A real Prometheus server logs in over TLS, with a web configuration file that its own tool finds right.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tachograph::SegmentOptions;
use tachograph_tests::scratch::Scratch;
use tachograph_tests::server::{Server, run};
use tachograph_tests::worker::PATIENCE;
use tachograph_tests::{eventually, http};

/// `alice` has the password `wonderland`.
const WEB: &str = "\
tls_server_config: {cert_file: server.crt, key_file: server.key, min_version: TLS12}
basic_auth_users:
  alice: $2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu
";

const TOKEN: &str = "0123456789abcdef";

fn succeed(command: Command) -> String {
    let shown = format!("{command:?}");
    let output = run(command, "");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{shown}: {said}");
    said
}

fn certificate(folder: &Path) {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", "server.key", "-out", "server.crt"])
        .current_dir(folder);
    succeed(openssl);
}

/// The health of each job, and the error of its last scrape.
fn health(prometheus: &Server, job: &str) -> Option<(String, String)> {
    let answer = http::get(prometheus.address, "/api/v1/targets", "application/json").ok()?;
    let json: Value = serde_json::from_str(&answer.body).ok()?;
    let targets = json["data"]["activeTargets"].as_array()?;
    let target = targets.iter().find(|it| it["labels"]["job"] == job)?;
    let text = |field: &str| Some(target[field].as_str()?.to_owned());
    Some((text("health")?, text("lastError")?))
}

#[test]
fn prometheus_logs_in() {
    let scratch = Scratch::new();
    let _writer = SegmentOptions::new()
        .path(scratch.segment())
        .attach()
        .unwrap();
    let folder = scratch.path("prometheus");
    std::fs::create_dir(&folder).unwrap();
    certificate(&folder);
    let (web, token) = (folder.join("web.yml"), folder.join("token"));
    std::fs::write(&web, WEB).unwrap();
    std::fs::write(&token, TOKEN).unwrap();
    let mut promtool = Command::new("promtool");
    promtool
        .args(["check", "web-config", "web.yml"])
        .current_dir(&folder);
    assert!(succeed(promtool).contains("SUCCESS"));

    let web = format!("TACHOGRAPH_EXPORTER_WEB_CONFIG={}", web.display());
    let token = format!("TACHOGRAPH_EXPORTER_BEARER_TOKEN_FILE={}", token.display());
    let exporter = Server::exporter_below(&["env", &web, &token], &scratch.segment());
    let authority = folder.join("server.crt").display().to_string();
    let target = exporter.address;
    let job = |name: &str, authorization: &str| {
        format!(
            "{{job_name: {name}, scheme: https, tls_config: {{ca_file: '{authority}'}}, \
             {authorization}, static_configs: [{{targets: ['{target}']}}]}}"
        )
    };
    let jobs = [
        job(
            "password",
            "basic_auth: {username: alice, password: wonderland}",
        ),
        job("token", &format!("authorization: {{credentials: {TOKEN}}}")),
        job("wrong", "basic_auth: {username: alice, password: cheshire}"),
    ];
    let prometheus = Server::prometheus_scraping(&jobs, &[], &folder);
    for job in ["password", "token"] {
        eventually("Prometheus has logged in", PATIENCE, || {
            health(&prometheus, job).is_some_and(|(health, _)| health == "up")
        });
    }
    eventually("a wrong password is refused", PATIENCE, || {
        health(&prometheus, "wrong").is_some_and(|(_, error)| error.contains("401"))
    });
}
