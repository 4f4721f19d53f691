//! Where the configuration comes from.

mod common;

use std::fs;
use std::process::{Command, Output};

use common::command;

fn run(mut command: Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn arguments_win_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let text = "[limits]\nheader_timeout = \"1s\"\nidle_timeout = \"2s\"\nresponse_timeout = \"3s\"\n\
                [listen]\naddresses = [\"127.0.0.1:1\"]\n[pages]\nopenmetrics_created = true\n";
    fs::write(&file, text).unwrap();
    let mut command = command();
    command
        .env("TACHOGRAPH_EXPORTER_CONFIG", &file)
        .env("TACHOGRAPH_EXPORTER_IDLE_TIMEOUT", "20s")
        .env("TACHOGRAPH_EXPORTER_RESPONSE_TIMEOUT", "30s")
        .env("TACHOGRAPH_EXPORTER_LISTEN", "127.0.0.1:2,unix:/x.sock")
        .env("TACHOGRAPH_EXPORTER_OPENMETRICS_CREATED", "false")
        .args(["--response-timeout", "300s", "--print-config"]);
    let (status, shown, _) = run(command);
    assert_eq!(status, Some(0));
    let shown: toml::Table = shown.parse().unwrap();
    let limits = &shown["limits"];
    assert_eq!(limits["header_timeout"].as_str(), Some("1s"));
    assert_eq!(limits["idle_timeout"].as_str(), Some("20s"));
    assert_eq!(limits["response_timeout"].as_str(), Some("5m"));
    let addresses = shown["listen"]["addresses"].as_array().unwrap();
    let addresses: Vec<_> = addresses.iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(addresses, ["127.0.0.1:2", "unix:/x.sock"]);
    assert_eq!(shown["pages"]["openmetrics_created"].as_bool(), Some(false));
}

#[test]
fn a_configuration_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut command = command();
        command.arg("--config").arg(&file).arg("--check-config");
        run(command)
    };
    assert_eq!(check("[limits]\nidle_timeout = \"2s\"").0, Some(0));
    let (status, shown, said) = check("[limits]\n\nidle_timeuot = \"2s\"");
    assert_eq!((status, shown.as_str()), (Some(1), ""));
    let expected = format!(
        "tachograph-exporter: {}:3:1: unknown field `idle_timeuot`; did you mean `idle_timeout`?\n",
        file.display()
    );
    assert_eq!(said, expected);
    let mut missing = command();
    missing.args(["--config", "/nonexistent.toml"]);
    let (status, _, said) = run(missing);
    assert_eq!(status, Some(1));
    assert!(said.contains("/nonexistent.toml: cannot read it"), "{said}");
}

#[test]
fn secrets_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yml");
    let text =
        "basic_auth_users: {alice: $2b$04$hash}\ntls_server_config: {cert: x, key: private}\n";
    fs::write(&web, text).unwrap();
    let mut command = command();
    command.arg("--print-config").arg("--web-config").arg(&web);
    let (status, shown, _) = run(command);
    assert_eq!(status, Some(0));
    assert!(
        !shown.contains("$2b$") && !shown.contains("private"),
        "{shown}"
    );
    let shown: toml::Table = shown.parse().unwrap();
    let users = &shown["web"]["basic_auth_users"];
    assert_eq!(users["alice"].as_str(), Some("<hidden>"));
}

#[test]
fn both_forms_of_a_web_configuration_are_one_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let text = "[access]\nweb_config = \"web.yml\"\n[web.basic_auth_users]\nalice = \"x\"\n";
    fs::write(&file, text).unwrap();
    let mut command = command();
    command.arg("--check-config").arg("--config").arg(&file);
    let (status, _, said) = run(command);
    assert_eq!(status, Some(1));
    assert!(said.contains("keep one of the two"), "{said}");
}
