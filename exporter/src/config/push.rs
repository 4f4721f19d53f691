//! Where to push.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::within;
use super::{Secret, time};
use crate::escaping::Escaping;

/// Where to push; section `push`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Push {
    /// Receivers of OTLP metrics over HTTP.
    pub otlp: Vec<Receiver>,
    /// Receivers of Prometheus remote write 1.0.
    pub remote_write: Vec<Receiver>,
}

/// Somebody who is sent the page, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// What it is called in metrics and messages; without it, its address.
    pub name: Option<String>,
    /// The whole address.
    pub url: String,
    /// Time from one page to the next.
    #[serde(with = "time", default = "interval")]
    pub interval: Duration,
    /// Time that a request may take, its answer included.
    #[serde(with = "time", default = "timeout")]
    pub timeout: Duration,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// A user and a password.
    pub basic_auth: Option<BasicAuth>,
    /// A file with a token, which is read for every request.
    pub bearer_token_file: Option<PathBuf>,
    /// Certificates that the receiver's must come from, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show to the receiver.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// Remote write: labels of every series. OTLP: attributes of the resource. An empty one takes a default away.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether histograms go in their exponential form, where they have one. Default: with OTLP only.
    pub native_histograms: Option<bool>,
    /// How names are told that are not of letters, digits and underscores. Default: with OTLP as they are, with
    /// remote write with underscores.
    pub escaping: Option<Escaping>,
    /// Bytes that wait at most, as they are sent.
    #[serde(
        default = "buffer_bytes",
        deserialize_with = "within::<1, 4_294_967_295, _>"
    )]
    pub buffer_bytes: u32,
    /// Points in a request; a histogram is never split.
    #[serde(default = "max_points", deserialize_with = "within::<1, 1_000_000, _>")]
    pub max_points: u32,
}

/// Who pushes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// A file with the password, which is read for every request.
    pub password_file: PathBuf,
}

const fn interval() -> Duration {
    Duration::from_secs(15)
}

const fn timeout() -> Duration {
    Duration::from_secs(10)
}

const fn buffer_bytes() -> u32 {
    16 << 20
}

const fn max_points() -> u32 {
    5000
}

impl Push {
    pub(super) fn resolve(&mut self, folder: &Path) {
        for receiver in self.otlp.iter_mut().chain(&mut self.remote_write) {
            for path in receiver.files_mut() {
                *path = folder.join(&path);
            }
        }
    }
}

impl Receiver {
    /// What it is called in metrics and messages.
    pub fn name(&self) -> &str {
        let address = || self.url.split(['?', '#']).next().unwrap_or_default();
        self.name.as_deref().unwrap_or_else(address)
    }

    /// The files that TLS needs.
    pub(crate) fn tls_files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = self.ca_file.iter().chain(&self.cert_file);
        files.chain(&self.key_file)
    }

    fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let password = self.basic_auth.iter_mut().map(|it| &mut it.password_file);
        let files = self.ca_file.iter_mut().chain(&mut self.cert_file);
        let files = files.chain(&mut self.key_file);
        files.chain(&mut self.bearer_token_file).chain(password)
    }
}
