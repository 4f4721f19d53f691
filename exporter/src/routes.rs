//! What is answered to whom.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use crate::config::PageOptions;
use crate::landing::landing_page;
use crate::negotiate::{Coding, Format, choose, choose_coding};
use crate::page::{Page, Pages};
use crate::source::Sources;
use crate::status::Status;

pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// The landing page needs its own style sheet and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

pub(crate) type Answer = Response<Full<Bytes>>;

/// The paths that are served.
#[derive(Debug)]
pub(crate) struct Routes {
    pages: Pages,
}

impl Routes {
    pub(crate) fn new(sources: Sources, options: PageOptions, status: Arc<Status>) -> Routes {
        Routes {
            pages: Pages::new(sources, options, status),
        }
    }

    /// Attaches what can be attached before anybody asks.
    pub(crate) async fn look(&self) {
        self.pages.why_not_ready().await;
    }

    /// The page of now, in protobuf.
    pub(crate) async fn protobuf(&self) -> Option<Page> {
        self.pages.get(Format::Protobuf, Coding::Identity).await
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
            "/metrics" => self.metrics(request.headers()).await,
            "/-/healthy" => answer(StatusCode::OK, PLAIN, "healthy\n"),
            "/-/ready" => self.ready().await,
            _ => self.landing().await,
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Answer {
        let choice = choose(&all(headers, &header::ACCEPT));
        let coding = choose_coding(&all(headers, &header::ACCEPT_ENCODING));
        let Some(page) = self.pages.get(choice.format, coding).await else {
            return failed();
        };
        let page = answer(StatusCode::OK, choice.content_type, page.body);
        let page = with(page, header::VARY, "Accept, Accept-Encoding");
        match coding {
            Coding::Identity => page,
            Coding::Gzip => with(page, header::CONTENT_ENCODING, "gzip"),
        }
    }

    async fn landing(&self) -> Answer {
        match self.pages.get(Format::Text, Coding::Identity).await {
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
