//! Browsers: under which names they may ask, and which web pages may read the answers.
//!
//! A web page can have a name of its own point to the loopback and then ask the exporter as if it were its own server.
//! Whoever does so sends that name as `Host`. Names without a dot cannot be had by a stranger, and addresses are no names.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderValue};

use crate::config::Access;

/// What browsers may do.
#[derive(Debug)]
pub(crate) struct Browsers {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Browsers {
    pub(crate) fn new(access: &Access) -> Browsers {
        let lower = |list: &[String]| list.iter().map(|it| it.to_ascii_lowercase()).collect();
        Browsers {
            hosts: lower(&access.allowed_hosts),
            origins: lower(&access.allowed_origins),
        }
    }

    /// The name under which the exporter may not be asked, if it was.
    pub(crate) fn wrong_host<'a>(
        &self,
        headers: &'a HeaderMap,
        on_loopback: bool,
    ) -> Option<&'a str> {
        let host = headers.get(header::HOST)?.to_str().unwrap_or("?");
        let name = without_port(host).to_ascii_lowercase();
        let is_ours = self.hosts.contains(&name)
            || is_local(&name)
            || (self.hosts.is_empty() && !on_loopback);
        (!is_ours).then_some(host)
    }

    /// The web page that asks, if it may not even have asked.
    pub(crate) fn wrong_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let origin = headers.get(header::ORIGIN)?;
        let text = origin.to_str().unwrap_or("?");
        self.allowed(headers).is_none().then_some(text)
    }

    /// Tells the browser that the page which asks may read the answer.
    pub(crate) fn allow(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.allowed(asked) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }

    /// The web page that asks, if it may read the answer.
    pub(crate) fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.contains(&text).then_some(origin)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_local(name: &str) -> bool {
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    !name.contains('.') && address.is_none()
        || name.ends_with(".localhost")
        || address.unwrap_or(name).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::try_from(value).unwrap())])
    }

    #[test]
    fn names_that_a_stranger_can_have_are_refused_on_the_loopback() {
        let browsers = Browsers::new(&Access::default());
        let refused = |host: &str, on_loopback| {
            let headers = headers(header::HOST, host);
            browsers.wrong_host(&headers, on_loopback).is_some()
        };
        for ours in [
            "localhost",
            "127.0.0.1:9464",
            "[::1]:9464",
            "::1",
            "box",
            "box:1",
            "a.localhost",
        ] {
            assert!(!refused(ours, true), "{ours}");
        }
        for strange in [
            "evil.example",
            "evil.example:9464",
            "box.",
            "1.2.3.4.evil.example",
        ] {
            assert!(refused(strange, true), "{strange}");
            assert!(!refused(strange, false), "{strange}");
        }
        assert_eq!(browsers.wrong_host(&HeaderMap::new(), true), None);
    }

    #[test]
    fn names_that_are_given_are_the_only_ones() {
        let browsers = Browsers::new(&Access {
            allowed_hosts: vec!["Metrics.Example".into()],
            ..Access::default()
        });
        for on_loopback in [true, false] {
            let ours = headers(header::HOST, "metrics.example:443");
            assert_eq!(browsers.wrong_host(&ours, on_loopback), None);
            let strange = headers(header::HOST, "evil.example");
            assert_eq!(
                browsers.wrong_host(&strange, on_loopback),
                Some("evil.example")
            );
        }
    }

    #[test]
    fn web_pages_read_what_they_may() {
        let browsers = Browsers::new(&Access {
            allowed_origins: vec!["https://board.example".into()],
            ..Access::default()
        });
        for (origin, may) in [
            ("https://board.example", true),
            ("https://evil.example", false),
            ("null", false),
        ] {
            let asked = headers(header::ORIGIN, origin);
            let mut answer = HeaderMap::new();
            browsers.allow(&asked, &mut answer);
            assert_eq!(
                answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN),
                may
            );
            assert_eq!(answer[header::VARY], "Origin");
            assert_eq!(browsers.wrong_origin(&asked).is_none(), may);
        }
        assert_eq!(browsers.wrong_origin(&HeaderMap::new()), None);
    }
}
