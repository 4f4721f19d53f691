//! TLS and certificates of clients, asked by curl.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output};

use common::certificates::Authority;
use common::{Exporter, Patience, command};

/// Asks by curl with these arguments: the status, or 0 without an answer, and the body.
fn curl(exporter: &Exporter, path: &str, arguments: &[&str]) -> (u16, String) {
    let address = exporter.addresses[0].replace("/metrics", path);
    let output: Output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "-w", "\n%{http_code}"])
        .args(arguments)
        .arg(&address)
        .output()
        .expect("`curl` is installed; ./check does it");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr);
    (status.parse().unwrap_or(0), format!("{body}{said}"))
}

struct Host {
    authority: Authority,
    exporter: Exporter,
    ca: String,
}

/// An exporter with this in `tls_server_config`, its certificate for `localhost` aside.
fn host(folder: &Path, tls: &str) -> Host {
    let authority = Authority::new(folder);
    authority.sign("server", "DNS:localhost,IP:127.0.0.1");
    let web = folder.join("web.yml");
    let text =
        format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{tls}");
    fs::write(&web, text).unwrap();
    let exporter = Exporter::start(&["--web.config.file".as_ref(), web.as_os_str()]);
    assert!(exporter.addresses[0].starts_with("https://127.0.0.1:"));
    let ca = authority.file("ca.crt").display().to_string();
    Host {
        authority,
        exporter,
        ca,
    }
}

impl Host {
    /// Asks for the page as `client`, or without a certificate.
    fn ask(&self, client: &str, more: &[&str]) -> (u16, String) {
        let certificate = self.authority.file(&format!("{client}.crt"));
        let key = self.authority.file(&format!("{client}.key"));
        let mut arguments = vec!["--cacert", &self.ca];
        if !client.is_empty() {
            arguments.extend(["--cert", certificate.to_str().unwrap()]);
            arguments.extend(["--key", key.to_str().unwrap()]);
        }
        arguments.extend(more);
        curl(&self.exporter, "/metrics", &arguments)
    }
}

#[test]
fn versions_and_strangers() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), "  min_version: TLS13\n");
    assert_eq!(host.ask("", &[]).0, 200);
    assert_eq!(host.ask("", &["--tls-max", "1.2"]).0, 0);
    assert_eq!(host.ask("", &["--http2"]).0, 200);
    // Who trusts somebody else does not get through.
    assert_eq!(curl(&host.exporter, "/metrics", &[]).0, 0);
    // Plain HTTP is told so.
    let plain = host.exporter.addresses[0].replace("https://", "http://");
    let output = Command::new("curl").args(["-sS", &plain]).output().unwrap();
    assert_eq!(output.stdout, b"ask this with https://\n");
    let (_, page) = host.ask("", &[]);
    assert!(page.contains("tachograph_exporter_refused_total{reason=\"tls\"} "));
    assert!(!page.contains("tachograph_exporter_refused_total{reason=\"tls\"} 0"));
}

#[test]
fn clients_show_a_certificate_of_the_right_name() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(
        folder.path(),
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
         client_allowed_sans: [scraper.example, 'urn:a', 10.0.0.7, ops@example.org]\n",
    );
    for (name, alternatives) in [
        ("right", "DNS:scraper.example,DNS:other.example"),
        ("uri", "URI:urn:a"),
        ("address", "IP:10.0.0.7"),
        ("mail", "email:ops@example.org"),
    ] {
        host.authority.sign(name, alternatives);
        assert_eq!(host.ask(name, &[]).0, 200, "{name}");
        assert_eq!(host.ask(name, &["--tls-max", "1.2"]).0, 200, "{name}");
    }
    host.authority.sign("wrong", "DNS:stranger.example");
    assert_eq!(host.ask("wrong", &[]).0, 0);
    assert_eq!(host.ask("", &[]).0, 0);
    // The right name, signed by somebody else.
    let forger = Authority::new(&folder.path().join("forger"));
    forger.sign("forged", "DNS:scraper.example");
    for kind in ["crt", "key"] {
        let name = format!("forged.{kind}");
        fs::copy(forger.file(&name), host.authority.file(&name)).unwrap();
    }
    assert_eq!(host.ask("forged", &[]).0, 0);
    assert_eq!(host.ask("right", &[]).0, 200);
}

#[test]
fn clients_may_show_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), "  client_auth_type: RequireAnyClientCert\n");
    let stranger = Authority::new(&folder.path().join("stranger"));
    stranger.sign("any", "DNS:any");
    for kind in ["crt", "key"] {
        let name = format!("any.{kind}");
        fs::copy(stranger.file(&name), host.authority.file(&name)).unwrap();
    }
    assert_eq!(host.ask("any", &[]).0, 200);
    assert_eq!(host.ask("", &[]).0, 0);
}

#[test]
fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = host(folder.path(), "");
    let successful = "tachograph_exporter_config_last_reload_successful";
    let shown = |host: &Host| {
        let (status, said) = host.ask("", &["-v"]);
        assert_eq!(status, 200, "{said}");
        let output = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                host.exporter.host(),
                "-CAfile",
                &host.ca,
            ])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let start = text
            .find("-----BEGIN CERTIFICATE-----")
            .expect("a certificate");
        let end = text.find("-----END CERTIFICATE-----").expect("its end");
        text[start..end].to_owned()
    };
    let first = shown(&host);
    assert_eq!(shown(&host), first);
    host.authority.sign("server", "DNS:localhost,IP:127.0.0.1");
    assert_ne!(shown(&host), first, "the old certificate is shown");
    host.exporter.wait_for_line("were read anew");

    let good = fs::read(host.authority.file("server.crt")).unwrap();
    fs::write(host.authority.file("server.crt"), "broken").unwrap();
    let (status, page) = host.ask("", &[]);
    assert_eq!(status, 200);
    assert!(page.contains(&format!("\n{successful} 0\n")), "{page}");
    let line = host.exporter.wait_for_line("stays in use");
    assert!(line.contains("server.crt has no certificate"), "{line}");
    fs::write(host.authority.file("server.crt"), good).unwrap();
    let back = |page: &str| page.contains(&format!("\n{successful} 1\n"));
    Patience::default().until("the good one is not taken", || back(&host.ask("", &[]).1));
}

#[test]
fn a_slow_handshake_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = host(folder.path(), "");
    let mut silent = host.exporter.connect();
    let mut begun = host.exporter.connect();
    begun.write_all(&[0x16, 3, 1, 2, 0]).unwrap();
    for stream in [&mut silent, &mut begun] {
        // A stream that stays open is an error after half a minute.
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
    assert_eq!(host.ask("", &[]).0, 200);

    let _silent = host.exporter.connect();
    host.exporter.signal("TERM");
    assert_eq!(host.exporter.wait().code(), Some(0));
    let late = host.exporter.lines_with("did not finish in time");
    assert!(late.is_empty(), "{late:?}");
}

#[test]
fn what_does_not_go_together_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    authority.sign("server", "DNS:localhost");
    authority.sign("other", "DNS:localhost");
    let web = folder.path().join("web.yml");
    for (text, expected) in [
        ("cert_file: server.crt", "`key_file` is missing"),
        ("key_file: server.key", "`cert_file` is missing"),
        (
            "cert_file: none.crt\n  key_file: server.key",
            "none.crt: cannot read it",
        ),
        (
            "cert_file: server.key\n  key_file: server.key",
            "server.key has no certificate",
        ),
        (
            "cert_file: server.crt\n  key_file: server.crt",
            "server.crt has no private key",
        ),
        (
            "cert_file: server.crt\n  key_file: other.key",
            "do not go together",
        ),
        (
            "cert_file: server.crt\n  key_file: server.key\n  client_auth_type: RequireAndVerifyClientCert",
            "needs `client_ca_file`",
        ),
        (
            "cert_file: server.crt\n  key_file: server.key\n  client_ca_file: ca.crt",
            "has no effect without",
        ),
        (
            "cert_file: server.crt\n  key_file: server.key\n  min_version: TLS13\n  max_version: TLS12",
            "min_version is above max_version",
        ),
        (
            "cert_file: server.crt\n  key_file: server.key\n  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]",
            "no cipher suite is called TLS_RSA_WITH_RC4_128_SHA; there are TLS_ECDHE_",
        ),
        (
            "cert_file: server.crt\n  cert_fiel: x",
            "web.yml:3:3: unknown field `cert_fiel`; did you mean `cert_file`?",
        ),
    ] {
        fs::write(&web, format!("tls_server_config:\n  {text}\n")).unwrap();
        let mut command = command();
        command.arg("--web-config").arg(&web).arg("--check-config");
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}: {said}");
        assert!(said.contains(expected), "{text}: {said}");
    }
}
