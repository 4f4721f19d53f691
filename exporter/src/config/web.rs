//! TLS and passwords, with the keys of the Prometheus exporter toolkit's web configuration file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::ConfigError;
use super::secret::Secret;
use super::time;

/// TLS, passwords and headers; section `web`, or a file of its own in YAML.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// TLS; without it the exporter speaks plain HTTP.
    pub tls_server_config: Option<TlsServer>,
    /// Headers of all answers.
    pub http_server_config: Option<HttpServer>,
    /// Names of users and the bcrypt hashes of their passwords.
    pub basic_auth_users: Option<BTreeMap<String, Secret>>,
    /// How many requests are answered.
    pub rate_limit: Option<RateLimit>,
}

/// The server's side of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsServer {
    /// The certificate and its chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// The private key, PEM.
    pub key_file: Option<PathBuf>,
    /// The certificate itself, in place of its file.
    pub cert: Option<String>,
    /// The key itself, in place of its file.
    pub key: Option<Secret>,
    /// Whether clients show certificates.
    pub client_auth_type: ClientAuth,
    /// Who may have signed the certificates of clients, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// The same, in place of its file.
    pub client_ca: Option<String>,
    /// Names of which a client's certificate must have one.
    pub client_allowed_sans: Vec<String>,
    /// The oldest version of TLS.
    pub min_version: TlsVersion,
    /// The newest version of TLS.
    pub max_version: MaxVersion,
    /// The cipher suites of TLS 1.2, by their names; none means all.
    pub cipher_suites: Vec<String>,
    /// The groups for the key exchange, the best first; none means all.
    pub curve_preferences: Vec<Curve>,
    /// Whether the server's order of cipher suites counts.
    pub prefer_server_cipher_suites: Option<bool>,
}

/// Whether clients show certificates, as Go calls it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    /// They may show any.
    RequestClientCert,
    /// They must show one, whoever signed it.
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    /// They may show one, which must be good.
    VerifyClientCertIfGiven,
    /// They must show a good one.
    RequireAndVerifyClientCert,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Deserialize, Serialize)]
pub enum TlsVersion {
    /// 1.2
    #[default]
    TLS12,
    /// 1.3
    TLS13,
}

/// The newest version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct MaxVersion(pub TlsVersion);

impl Default for MaxVersion {
    fn default() -> MaxVersion {
        MaxVersion(TlsVersion::TLS13)
    }
}

/// A group for the key exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Curve {
    /// secp256r1
    CurveP256,
    /// secp384r1
    CurveP384,
    /// x25519
    X25519,
}

/// What concerns HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpServer {
    /// Accepted for the toolkit's sake. HTTP/1.1 is spoken in any case, which every scraper understands.
    pub http2: Option<bool>,
    /// Headers of all answers.
    pub headers: BTreeMap<Header, String>,
}

/// A header that can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Header {
    /// `Content-Security-Policy`
    #[serde(rename = "Content-Security-Policy")]
    ContentSecurityPolicy,
    /// `Strict-Transport-Security`
    #[serde(rename = "Strict-Transport-Security")]
    StrictTransportSecurity,
    /// `X-Content-Type-Options`
    #[serde(rename = "X-Content-Type-Options")]
    ContentTypeOptions,
    /// `X-Frame-Options`
    #[serde(rename = "X-Frame-Options")]
    FrameOptions,
    /// `X-XSS-Protection`
    #[serde(rename = "X-XSS-Protection")]
    XssProtection,
}

/// How many requests are answered; others get 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// One request in each such time.
    #[serde(with = "time")]
    pub interval: Duration,
    /// And so many at once.
    #[serde(default = "one")]
    pub burst: u32,
}

fn one() -> u32 {
    1
}

impl Web {
    /// What a file of the toolkit says. Paths in it are relative to its folder.
    pub(super) fn read(file: &Path) -> Result<Web, ConfigError> {
        let text =
            fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
        let mut web = Web::parse(&text).map_err(|fault| fault.in_file(file))?;
        web.resolve(file.parent().unwrap_or(Path::new("")));
        Ok(web)
    }

    fn parse(text: &str) -> Result<Web, ConfigError> {
        let parsed: Result<Option<Web>, _> = serde_saphyr::from_str(text);
        match parsed {
            Ok(web) => Ok(web.unwrap_or_default()),
            Err(error) => Err(ConfigError::in_yaml(&error)),
        }
    }

    pub(super) fn resolve(&mut self, folder: &Path) {
        for path in self
            .tls_server_config
            .iter_mut()
            .flat_map(TlsServer::files_mut)
        {
            *path = folder.join(&path);
        }
    }
}

impl TlsServer {
    fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [
            &mut self.cert_file,
            &mut self.key_file,
            &mut self.client_ca_file,
        ]
        .into_iter()
        .flatten()
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert_file, &self.key_file, &self.client_ca_file]
            .into_iter()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toolkits_file_is_read() {
        let web = Web::parse(
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  \
             client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
             client_allowed_sans: [a.example, b.example]\n  min_version: TLS13\n  \
             curve_preferences: [X25519, CurveP256]\n\
             http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n\
             basic_auth_users:\n  alice: $2y$10$secret\n\
             rate_limit: {interval: 1s, burst: 20}\n",
        )
        .unwrap();
        let tls = web.tls_server_config.as_ref().unwrap();
        assert_eq!(tls.client_auth_type, ClientAuth::RequireAndVerifyClientCert);
        assert_eq!(tls.min_version, TlsVersion::TLS13);
        assert_eq!(tls.curve_preferences, [Curve::X25519, Curve::CurveP256]);
        assert_eq!(tls.files().count(), 3);
        let users = web.basic_auth_users.as_ref().unwrap();
        assert_eq!(users["alice"].reveal(), "$2y$10$secret");
        assert!(!format!("{web:?}").contains("secret"));
        assert!(!toml::to_string(&web).unwrap().contains("secret"));
        assert_eq!(web.rate_limit.unwrap().burst, 20);
        for empty in ["", "# nothing\n", "{}", "basic_auth_users:\n"] {
            assert_eq!(Web::parse(empty), Ok(Web::default()), "{empty:?}");
        }
    }

    #[test]
    fn faults_name_their_place_and_what_was_meant() {
        for (text, expected) in [
            (
                "tls_server_config:\n  cert_fiel: x\n",
                "2:3: unknown field `cert_fiel`; did you mean `cert_file`?",
            ),
            (
                "tls_server_config:\n  min_version: TLS31\n",
                "2:16: unknown variant `TLS31`; did you mean `TLS13`?",
            ),
            (
                "http_server_config:\n  headers:\n    X-Frame-Option: deny\n",
                "3:5: unknown variant `X-Frame-Option`; did you mean `X-Frame-Options`?",
            ),
        ] {
            let fault = Web::parse(text).unwrap_err().in_file(Path::new("web.yml"));
            assert_eq!(fault.to_string(), format!("web.yml:{expected}"), "{text}");
        }
    }
}
