//! The connection to a receiver.
//!
//! The client is hyper's own and its TLS that of the server's side: nothing of either is there twice. Redirects and
//! proxies are not followed; give the address of the receiver itself.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::{BasicAuth, ConfigError, Receiver};
use crate::watched::Watched;

const AGENT: &str = concat!("tachograph-exporter/", env!("CARGO_PKG_VERSION"));
/// No answer has more to say.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

type Inner = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What a receiver answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Its beginning, at least.
    pub(crate) body: Vec<u8>,
}

/// Asks one receiver.
#[derive(Debug)]
pub(crate) struct Client {
    receiver: Receiver,
    uri: Uri,
    headers: HeaderMap,
    /// Made anew when files of TLS have changed.
    inner: Mutex<(Watched, Inner)>,
}

impl Client {
    /// # Errors
    /// When the address or a header makes no sense, or a file of certificates cannot be read.
    pub(crate) fn new(
        receiver: &Receiver,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Client, ConfigError> {
        let mut all = HeaderMap::new();
        all.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in receiver.headers.iter() {
            let fault = |what| ConfigError::new(format!("header `{name}`: {what}"));
            let (name, value) = (HeaderName::try_from(name), value.reveal());
            let name = name.map_err(|error| fault(error.to_string()))?;
            let mut value =
                HeaderValue::try_from(value).map_err(|error| fault(error.to_string()))?;
            value.set_sensitive(true);
            all.insert(name, value);
        }
        for &(name, value) in headers {
            all.insert(name, HeaderValue::from_static(value));
        }
        let watched = Watched::these(receiver.tls_files());
        let client = Client {
            uri: uri(&receiver.url)?,
            headers: all,
            inner: Mutex::new((watched, connector(receiver)?)),
            receiver: receiver.clone(),
        };
        // What cannot be read now is better said now.
        client.authorization().map_err(ConfigError::new)?;
        Ok(client)
    }

    /// Sends this and waits for the answer, as long as the receiver may take.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn post(&self, body: Bytes) -> Result<Answer, String> {
        let exchange = self.exchange(body);
        let answer = tokio::time::timeout(self.receiver.timeout, exchange).await;
        answer.unwrap_or_else(|_| Err("it did not answer in time".into()))
    }

    async fn exchange(&self, body: Bytes) -> Result<Answer, String> {
        let mut request = Request::post(&self.uri).body(Full::new(body));
        let request = request.as_mut().expect("all of its parts are valid");
        let mut request = std::mem::take(request);
        *request.headers_mut() = self.headers.clone();
        if let Some(authorization) = self.authorization()? {
            let headers = request.headers_mut();
            headers.insert(header::AUTHORIZATION, authorization);
        }
        let answer = self.inner()?.request(request).await;
        let answer = answer.map_err(|error| with_causes(&error))?;
        Ok(read(answer).await)
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let text = if let Some(BasicAuth {
            username,
            password_file,
        }) = &self.receiver.basic_auth
        {
            let password = secret(password_file)?;
            format!(
                "Basic {}",
                STANDARD.encode(format!("{username}:{password}"))
            )
        } else if let Some(file) = &self.receiver.bearer_token_file {
            format!("Bearer {}", secret(file)?)
        } else {
            return Ok(None);
        };
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| "the password or token cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn inner(&self) -> Result<Inner, String> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.0.have_changed() {
            let watched = Watched::these(self.receiver.tls_files());
            let fresh = connector(&self.receiver).map_err(|error| error.to_string())?;
            *inner = (watched, fresh);
        }
        Ok(inner.1.clone())
    }
}

async fn read(answer: Response<Incoming>) -> Answer {
    let (head, mut rest) = answer.into_parts();
    let mut body = Vec::new();
    // What is cut off is only a message; the status says what became of the request.
    while let Some(Ok(frame)) = rest.frame().await {
        body.extend(frame.into_data().unwrap_or_default());
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    Answer {
        status: head.status,
        headers: head.headers,
        body,
    }
}

fn uri(url: &str) -> Result<Uri, ConfigError> {
    let fault = |what: &str| ConfigError::new(format!("`url` {url:?}: {what}"));
    let uri: Uri = url.parse().map_err(|_| fault("this is no address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(fault("give one that begins with http:// or https://"));
    }
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        let what = "`url` cannot have a password in it; give `basic_auth`";
        return Err(ConfigError::new(what));
    }
    // A port that is none would be taken for the default one.
    let has_port = uri.authority().map(Authority::as_str) != uri.host();
    if has_port && uri.port().is_none() {
        return Err(fault("give a port from 1 to 65535"));
    }
    Ok(uri)
}

fn connector(receiver: &Receiver) -> Result<Inner, ConfigError> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(receiver)?)
        .https_or_http()
        .enable_http1()
        .build();
    let mut client = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    client.pool_timer(TokioTimer::new());
    Ok(client.build(connector))
}

fn tls(receiver: &Receiver) -> Result<ClientConfig, ConfigError> {
    let fault = |what: String| ConfigError::new(format!("TLS to {}: {what}", receiver.name()));
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(error.to_string()))?
        .with_root_certificates(roots(receiver)?);
    match (&receiver.cert_file, &receiver.key_file) {
        (Some(chain), Some(key)) => {
            let chain = certificates(chain)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
            let config = config.with_client_auth_cert(chain, key);
            config
                .map_err(|error| fault(format!("certificate and key do not go together: {error}")))
        }
        (None, None) => Ok(config.with_no_client_auth()),
        _ => Err(fault("`cert_file` and `key_file` need each other".into())),
    }
}

fn roots(receiver: &Receiver) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &receiver.ca_file {
        for certificate in certificates(file)? {
            roots
                .add(certificate)
                .map_err(|error| wrong(file, &error))?;
        }
    } else if receiver.url.starts_with("https:") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let what = "this system has no certificates; give `ca_file`";
            return Err(ConfigError::new(format!("{}: {what}", receiver.name())));
        }
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| wrong(file, &error))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|error| wrong(file, &error))?;
    if found.is_empty() {
        return Err(wrong(file, &"it has no certificate"));
    }
    Ok(found)
}

fn wrong(file: &Path, error: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::new(error.to_string()).in_file(file)
}

fn secret(file: &Path) -> Result<String, String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_none_is_not_taken_for_the_default_one() {
        for url in ["http://h:99999/", "http://h:/", "https://[::1]:70000/v1"] {
            assert!(uri(url).unwrap_err().to_string().contains("port"), "{url}");
        }
        for url in [
            "http://h/",
            "http://h:1/",
            "https://[::1]/v1",
            "https://[::1]:65535/",
        ] {
            assert!(uri(url).is_ok(), "{url}");
        }
    }
}
