//! Serves tachograph segments to Prometheus: snapshots become bytes, bytes become an HTTP page.
//!
//! It flows one way: [`source`] reads segments, [`text`] and its like make a page of the snapshots, [`server`]
//! hands it out. Only `source` knows that segments are files; all that stands behind it takes snapshots.
#![forbid(unsafe_code)]

use std::io::Write;

mod arrange;
mod chain;
pub mod cli;
mod client_cert;
pub mod config;
mod connection;
mod deadline;
pub mod demo;
mod error;
pub mod escape;
mod escaping;
mod exemplars;
mod front;
mod glob;
pub mod json;
mod label;
mod landing;
mod listen;
mod live;
mod login;
mod native;
pub mod negotiate;
pub mod number;
mod openmetrics;
mod origin;
mod own;
mod pack;
mod page;
mod plan;
mod processes;
pub mod protobuf;
mod push;
mod rate;
pub mod report;
mod routes;
mod rules;
pub mod server;
mod share;
mod sheet;
pub mod source;
mod status;
mod systemd;
pub mod text;
mod tls;
mod wanted;
mod watched;
mod wire;

pub use config::Config;
pub use error::Error;
pub use escaping::Escaping;
pub use front::Front;
pub use glob::Glob;
pub use landing::landing_page;
pub use own::push_own_metrics;
pub use plan::{Cause, Conflict};
pub use processes::Usage;
pub use push::PushReport;
pub use rules::{Action, Rule, Rules, Several};
pub use status::{FrontReport, Refusal};
pub use wanted::Wanted;

/// Tells the operator something, on a line of its own.
///
/// Nobody may be there to hear it, which is no reason to stop serving: hence not `eprintln!`.
pub fn tell(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Tells the operator what happened, and who says so.
pub(crate) fn log(message: &str) {
    tell(&format!("tachograph-exporter: {message}"));
}
