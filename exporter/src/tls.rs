//! The server's side of TLS, as the configuration asks for it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::client_cert::ClientCertificates;
use crate::config::{ConfigError, Curve, TlsServer, TlsVersion};

/// Reads the files that `config` names.
///
/// # Errors
/// When a file cannot be read or makes no sense, or when what is asked for does not go together.
pub(crate) fn server_config(config: &TlsServer) -> Result<Arc<ServerConfig>, ConfigError> {
    let provider = Arc::new(provider(config)?);
    let chain = certificates("cert", config.cert_file.as_deref(), config.cert.as_deref())?;
    let chain = chain.ok_or_else(|| fault("`cert_file` is missing"))?;
    let key = private_key(config)?;
    let clients = ClientCertificates::new(config, roots(config)?, &provider)?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(config)?)
        .map_err(|error| fault(error.to_string()))?
        .with_client_cert_verifier(Arc::new(clients))
        .with_single_cert(chain, key)
        .map_err(|error| fault(format!("certificate and key do not go together: {error}")))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    server.ignore_client_order = config.prefer_server_cipher_suites.unwrap_or(false);
    Ok(Arc::new(server))
}

fn fault(what: impl AsRef<str>) -> ConfigError {
    ConfigError::new(format!("tls_server_config: {}", what.as_ref()))
}

fn versions(config: &TlsServer) -> Result<Vec<&'static SupportedProtocolVersion>, ConfigError> {
    match (config.min_version, config.max_version.0) {
        (TlsVersion::TLS12, TlsVersion::TLS12) => Ok(vec![&TLS12]),
        (TlsVersion::TLS12, TlsVersion::TLS13) => Ok(vec![&TLS13, &TLS12]),
        (TlsVersion::TLS13, TlsVersion::TLS13) => Ok(vec![&TLS13]),
        (TlsVersion::TLS13, TlsVersion::TLS12) => Err(fault("min_version is above max_version")),
    }
}

/// The cryptography, narrowed to what is asked for.
fn provider(config: &TlsServer) -> Result<CryptoProvider, ConfigError> {
    let mut provider = ring::default_provider();
    if !config.cipher_suites.is_empty() {
        let suites = &mut provider.cipher_suites;
        let known: Vec<String> = suites.iter().filter(|it| is_tls12(it)).map(name).collect();
        for wanted in &config.cipher_suites {
            // Suites of TLS 1.3 can be named and are there in any case, as with Go.
            if !wanted.starts_with("TLS_AES_")
                && !wanted.starts_with("TLS_CHACHA20_")
                && !known.contains(wanted)
            {
                let known = known.join(", ");
                return Err(fault(format!(
                    "no cipher suite is called {wanted}; there are {known}"
                )));
            }
        }
        suites.retain(|suite| !is_tls12(suite) || config.cipher_suites.contains(&name(suite)));
    }
    if !config.curve_preferences.is_empty() {
        provider.kx_groups = config.curve_preferences.iter().map(group).collect();
    }
    Ok(provider)
}

fn is_tls12(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_none()
}

fn name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite())
}

fn group(curve: &Curve) -> &'static dyn SupportedKxGroup {
    match curve {
        Curve::CurveP256 => ring::kx_group::SECP256R1,
        Curve::CurveP384 => ring::kx_group::SECP384R1,
        Curve::X25519 => ring::kx_group::X25519,
    }
}

fn roots(config: &TlsServer) -> Result<Option<RootCertStore>, ConfigError> {
    let (file, text) = (
        config.client_ca_file.as_deref(),
        config.client_ca.as_deref(),
    );
    let Some(certificates) = certificates("client_ca", file, text)? else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let added = roots.add(certificate);
        added.map_err(|error| fault(format!("client_ca: {error}")))?;
    }
    Ok(Some(roots))
}

/// The certificates that a key of the configuration gives, or its file.
fn certificates(
    key: &str,
    file: Option<&Path>,
    text: Option<&str>,
) -> Result<Option<Vec<CertificateDer<'static>>>, ConfigError> {
    let Some(pem) = pem(key, file, text)? else {
        return Ok(None);
    };
    let of = |what: String| ConfigError::new(format!("tls_server_config: {what}"));
    let place = file.map_or_else(|| key.to_owned(), |file| file.display().to_string());
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| of(format!("{place} is not PEM: {error}")))?;
    if found.is_empty() {
        return Err(of(format!("{place} has no certificate")));
    }
    for certificate in &found {
        ParsedCertificate::try_from(certificate)
            .map_err(|error| of(format!("{place}: {error}")))?;
    }
    Ok(Some(found))
}

fn private_key(config: &TlsServer) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let file = config.key_file.as_deref();
    let text = config.key.as_ref().map(|key| key.reveal());
    let pem = pem("key", file, text)?.ok_or_else(|| fault("`key_file` is missing"))?;
    let place = file.map_or_else(|| "key".to_owned(), |file| file.display().to_string());
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| fault(format!("{place} has no private key: {error}")))
}

fn pem(key: &str, file: Option<&Path>, text: Option<&str>) -> Result<Option<Vec<u8>>, ConfigError> {
    match (file, text) {
        (Some(_), Some(_)) => Err(fault(format!(
            "`{key}_file` and `{key}` exclude each other"
        ))),
        (Some(file), None) => match fs::read(file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(ConfigError::unreadable(file, &error)),
        },
        (None, text) => Ok(text.map(|text| text.as_bytes().to_vec())),
    }
}
