//! One configuration, made into what answers by it.

use std::sync::Arc;
use std::time::Instant;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio_rustls::rustls::ServerConfig;

use crate::config::{Config, ConfigError, Header, Web};
use crate::login::Logins;
use crate::origin::Browsers;
use crate::push::{self, Target};
use crate::rate::Bucket;
use crate::routes::{Answer, PLAIN, Routes, answer, with};
use crate::source::Sources;
use crate::status::{Refusal, Status};
use crate::tls;

/// What answers. It never changes; another takes its place.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) config: Config,
    pub(crate) routes: Arc<Routes>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) logins: Logins,
    pub(crate) targets: Vec<Arc<Target>>,
    browsers: Browsers,
    bucket: Option<Bucket>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Live {
    /// Reads what `config` names. Pages go on from `old` where they are the same.
    ///
    /// # Errors
    /// When something cannot be read or does not go together.
    pub(crate) fn new(
        config: Config,
        old: Option<&Live>,
        status: &Arc<Status>,
    ) -> Result<Live, ConfigError> {
        let tls = config
            .web
            .tls_server_config
            .as_ref()
            .map(tls::server_config);
        let users = config.web.basic_auth_users.clone().unwrap_or_default();
        let routes = match old {
            Some(old) if old.config.has_pages_of(&config) => Arc::clone(&old.routes),
            _ => {
                let sources = Sources::new(config.segments.to_serve());
                let sources = sources.by_process(&config.segments.by_process);
                Arc::new(Routes::new(sources, &config, Arc::clone(status)))
            }
        };
        let old = old.map_or(&[][..], |old| &old.targets);
        Ok(Live {
            targets: push::targets(&config.push, old)?,
            tls: tls.transpose()?,
            logins: Logins::new(&users, &config.access.bearer_token_files)?,
            browsers: Browsers::new(&config.access),
            bucket: config.web.rate_limit.map(Bucket::new),
            headers: headers(&config.web)?,
            routes,
            config,
        })
    }

    /// Why this request is not answered, if so.
    pub(crate) async fn refusal<B>(
        &self,
        request: &Request<B>,
        on_loopback: bool,
    ) -> Option<(Refusal, Answer)> {
        let (path, headers) = (request.uri().path(), request.headers());
        if let Some(host) = self.browsers.wrong_host(headers, on_loopback) {
            let text = format!("{host:?} is not a name of this exporter; give it --allowed-host\n");
            let refusal = answer(StatusCode::MISDIRECTED_REQUEST, PLAIN, text);
            return Some((Refusal::Host, refusal));
        }
        // Who may only look cannot read the answer anyway.
        if *request.method() == Method::POST && self.browsers.wrong_origin(headers).is_some() {
            let text = "web pages of other origins may not do this; see --allowed-origin\n";
            return Some((Refusal::Origin, answer(StatusCode::FORBIDDEN, PLAIN, text)));
        }
        if self
            .config
            .access
            .open_paths
            .iter()
            .any(|open| open == path)
        {
            return None;
        }
        if self
            .bucket
            .as_ref()
            .is_some_and(|bucket| !bucket.take(Instant::now()))
        {
            let refusal = answer(StatusCode::TOO_MANY_REQUESTS, PLAIN, "too many requests\n");
            return Some((Refusal::Rate, with(refusal, header::RETRY_AFTER, "1")));
        }
        if !self.is_admitted(headers).await {
            let refusal = answer(StatusCode::UNAUTHORIZED, PLAIN, "log in to see this\n");
            let refusal = with(refusal, header::WWW_AUTHENTICATE, self.logins.challenge());
            return Some((Refusal::Login, refusal));
        }
        None
    }

    async fn is_admitted(&self, headers: &HeaderMap) -> bool {
        if self.logins.are_needless() {
            return true;
        }
        let authorization = headers.get(header::AUTHORIZATION);
        match authorization.and_then(|value| value.to_str().ok()) {
            Some(authorization) => self.logins.admit(authorization).await,
            None => false,
        }
    }

    /// What a browser is told that asks what a web page may ask.
    pub(crate) fn preflight<B>(&self, request: &Request<B>) -> Option<Answer> {
        let asks = *request.method() == Method::OPTIONS
            && request
                .headers()
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.browsers.allowed(request.headers()).is_none() {
            return None;
        }
        let allowed = answer(StatusCode::NO_CONTENT, PLAIN, "");
        let allowed = with(
            allowed,
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, POST",
        );
        Some(with(
            allowed,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization",
        ))
    }

    /// Puts the headers on an answer that all of them have.
    pub(crate) fn dress(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        self.browsers.allow(asked, answer);
        for (name, value) in &self.headers {
            answer.insert(name, value.clone());
        }
    }
}

fn headers(web: &Web) -> Result<Vec<(HeaderName, HeaderValue)>, ConfigError> {
    let headers = web.http_server_config.iter().flat_map(|http| &http.headers);
    headers
        .filter(|(_, value)| !value.is_empty())
        .map(|(header, value)| {
            let (name, known): (_, &[&str]) = match header {
                Header::ContentSecurityPolicy => (header::CONTENT_SECURITY_POLICY, &[]),
                Header::StrictTransportSecurity => (header::STRICT_TRANSPORT_SECURITY, &[]),
                Header::ContentTypeOptions => (header::X_CONTENT_TYPE_OPTIONS, &["nosniff"]),
                Header::FrameOptions => (header::X_FRAME_OPTIONS, &["deny", "sameorigin"]),
                Header::XssProtection => (header::X_XSS_PROTECTION, &[]),
            };
            let fault = |what| ConfigError::new(format!("http_server_config: {name}: {what}"));
            if !known.is_empty() && !known.contains(&value.to_ascii_lowercase().as_str()) {
                return Err(fault(format!("give {}", known.join(" or "))));
            }
            match HeaderValue::try_from(value) {
                Ok(value) => Ok((name, value)),
                Err(error) => Err(fault(error.to_string())),
            }
        })
        .collect()
}
