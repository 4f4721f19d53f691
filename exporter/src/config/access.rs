//! Who may ask.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::AccessArguments;

/// Who may ask, beyond what [`Web`](super::Web) says; section `access`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// A web configuration file of the Prometheus exporter toolkit, in place of the section `web`.
    pub web_config: Option<PathBuf>,
    /// Files of bearer tokens, one a line.
    pub bearer_token_files: Vec<PathBuf>,
    /// Paths that need neither a password nor a token.
    pub open_paths: Vec<String>,
    /// Names under which the exporter may be asked. Without any, names with a dot are refused on the loopback.
    pub allowed_hosts: Vec<String>,
    /// Web pages that may read answers, as in `https://example.org`.
    pub allowed_origins: Vec<String>,
}

impl Default for Access {
    fn default() -> Access {
        Access {
            web_config: None,
            bearer_token_files: Vec::new(),
            open_paths: vec!["/-/healthy".into(), "/-/ready".into()],
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }
}

impl Access {
    pub(super) fn overlay(&mut self, given: &AccessArguments) {
        fn over<T: Clone>(value: &mut Vec<T>, given: &[T]) {
            if !given.is_empty() {
                *value = given.to_vec();
            }
        }
        if given.web_config.is_some() {
            self.web_config.clone_from(&given.web_config);
        }
        over(&mut self.bearer_token_files, &given.bearer_token_file);
        over(&mut self.allowed_hosts, &given.allowed_host);
        over(&mut self.allowed_origins, &given.allowed_origin);
    }

    pub(super) fn resolve(&mut self, folder: &Path) {
        for path in self
            .web_config
            .iter_mut()
            .chain(&mut self.bearer_token_files)
        {
            *path = folder.join(&path);
        }
    }
}
