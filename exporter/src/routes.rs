//! What is answered to whom.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use crate::config::Config;
use crate::escaping::Escaping;
use crate::landing::landing_page;
use crate::negotiate::{Coding, Format, choose, choose_coding};
use crate::page::{Form, Page, Pages, Refusal};
use crate::source::Sources;
use crate::status::Status;
use crate::wanted::Wanted;

pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// The landing page needs its own style sheet and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// How long a Prometheus waits, in seconds.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// The part of that which making a page may take; the rest is for the way.
const SHARE_OF_TIMEOUT: f64 = 0.9;

pub(crate) type Answer = Response<Full<Bytes>>;

/// The paths that are served.
#[derive(Debug)]
pub(crate) struct Routes {
    pages: Pages,
}

impl Routes {
    pub(crate) fn new(sources: Sources, config: &Config, status: Arc<Status>) -> Routes {
        Routes {
            pages: Pages::new(sources, config, status),
        }
    }

    /// Attaches what can be attached before anybody asks.
    pub(crate) async fn look(&self) {
        self.pages.why_not_ready().await;
    }

    /// The page of now, in protobuf.
    pub(crate) async fn protobuf(&self, escaping: Escaping) -> Option<Page> {
        let form = Form {
            format: Format::Protobuf,
            escaping,
            coding: Coding::Identity,
            wanted: Wanted::default(),
        };
        self.pages.made(form).await
    }

    pub(crate) async fn answer<B>(&self, request: &Request<B>) -> Answer {
        let path = request.uri().path();
        if !matches!(path, "/" | "/metrics" | "/-/healthy" | "/-/ready") {
            return answer(StatusCode::NOT_FOUND, PLAIN, "not found; try /metrics\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let refusal = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
            return with(refusal, header::ALLOW, "GET, HEAD");
        }
        match path {
            "/metrics" => {
                let query = request.uri().query().unwrap_or_default();
                self.metrics(query, request.headers()).await
            }
            "/-/healthy" => answer(StatusCode::OK, PLAIN, "healthy\n"),
            "/-/ready" => self.ready().await,
            _ => self.landing().await,
        }
    }

    async fn metrics(&self, query: &str, headers: &HeaderMap) -> Answer {
        let choice = choose(&all(headers, &header::ACCEPT));
        let coding = choose_coding(&all(headers, &header::ACCEPT_ENCODING));
        let form = Form {
            format: choice.format,
            escaping: choice.escaping,
            coding,
            wanted: Wanted::in_query(query),
        };
        let page = match self.pages.get(form, patience(headers)).await {
            Ok(page) => page,
            Err(refusal) => return refused(&refusal),
        };
        let page = answer(StatusCode::OK, choice.content_type, page.body);
        let page = with(page, header::VARY, "Accept, Accept-Encoding");
        match coding {
            Coding::Identity => page,
            Coding::Gzip => with(page, header::CONTENT_ENCODING, "gzip"),
            Coding::Zstd => with(page, header::CONTENT_ENCODING, "zstd"),
        }
    }

    async fn landing(&self) -> Answer {
        let form = Form {
            format: Format::Text,
            escaping: Escaping::default(),
            coding: Coding::Identity,
            wanted: Wanted::default(),
        };
        match self.pages.get(form, None).await {
            Ok(page) => {
                let html = answer(StatusCode::OK, HTML, landing_page(&page.report));
                with(html, header::CONTENT_SECURITY_POLICY, POLICY)
            }
            Err(refusal) => refused(&refusal),
        }
    }

    async fn ready(&self) -> Answer {
        match self.pages.why_not_ready().await {
            None => answer(StatusCode::OK, PLAIN, "ready\n"),
            Some(why) => {
                let text = format!("not ready: no segment is attached\n{why}");
                answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text)
            }
        }
    }
}

fn refused(refusal: &Refusal) -> Answer {
    let text = match refusal {
        Refusal::Failed => {
            let text = "the page could not be made; see the exporter's messages\n";
            return answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text);
        }
        Refusal::Busy(limit) => {
            format!("{limit} scrapes are at work, the most that --max-scrapes allows; ask again\n")
        }
        Refusal::Late(patience) => {
            let seconds = patience.as_secs_f64();
            format!(
                "the page was not ready within {seconds} s; let the scraper wait longer, or ask for less\n"
            )
        }
    };
    let unavailable = answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
    with(unavailable, header::RETRY_AFTER, "1")
}

/// How long a page may take: less than the scraper says that it waits, so that it hears why there is none.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(SCRAPE_TIMEOUT)?.to_str().ok()?;
    let seconds = seconds.trim().parse::<f64>().ok()?;
    let waits = Duration::try_from_secs_f64(seconds).ok()?;
    (!waits.is_zero()).then(|| waits.mul_f64(SHARE_OF_TIMEOUT))
}

/// All that the headers called `name` say, as if it were one.
fn all(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

pub(crate) fn answer(
    status: StatusCode,
    content_type: impl Into<String>,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let content_type = HeaderValue::try_from(content_type.into()).expect("it is plain text");
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    let fresh = with(answer, header::CACHE_CONTROL, "no-store");
    with(fresh, header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

pub(crate) fn with(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_says_how_long_it_waits() {
        let patience_of = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            patience(&HeaderMap::from_iter([(
                HeaderName::from_static(SCRAPE_TIMEOUT),
                value,
            )]))
        };
        assert_eq!(patience_of("10.000000"), Some(Duration::from_secs(9)));
        assert_eq!(patience_of(" 0.5 "), Some(Duration::from_millis(450)));
        for senseless in ["", "soon", "-1", "NaN", "inf", "0", "1e300"] {
            assert_eq!(patience_of(senseless), None, "{senseless}");
        }
        assert_eq!(patience(&HeaderMap::new()), None);
    }
}
