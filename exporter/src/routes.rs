//! What is answered to whom.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::landing::landing_page;
use crate::page::Pages;
use crate::source::Sources;
use crate::text;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// The landing page needs its own style sheet and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

type Answer = Response<Full<Bytes>>;

/// The paths that are served.
#[derive(Debug)]
pub(crate) struct Routes {
    pages: Pages,
}

impl Routes {
    pub(crate) fn new(sources: Sources) -> Routes {
        Routes {
            pages: Pages::new(sources),
        }
    }

    /// Attaches what can be attached before anybody asks.
    pub(crate) async fn look(&self) {
        self.pages.why_not_ready().await;
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
            "/metrics" => self.metrics().await,
            "/-/healthy" => answer(StatusCode::OK, PLAIN, "healthy\n"),
            "/-/ready" => self.ready().await,
            _ => self.landing().await,
        }
    }

    async fn metrics(&self) -> Answer {
        match self.pages.get().await {
            Some(page) => answer(StatusCode::OK, text::CONTENT_TYPE, page.text),
            None => failed(),
        }
    }

    async fn landing(&self) -> Answer {
        match self.pages.get().await {
            Some(page) => {
                let html = answer(StatusCode::OK, HTML, landing_page(&page.report));
                with(html, header::CONTENT_SECURITY_POLICY, POLICY)
            }
            None => failed(),
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

fn failed() -> Answer {
    let text = "the page could not be made; see the exporter's messages\n";
    answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text)
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let typed = with(answer, header::CONTENT_TYPE, content_type);
    let fresh = with(typed, header::CACHE_CONTROL, "no-store");
    with(fresh, header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

fn with(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    answer
}
