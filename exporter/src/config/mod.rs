//! The configuration: defaults, then the file, then the environment, then the command line; the later wins.
//!
//! A section of the file is a module here and a field of [`Config`], and its keys are its fields. To add one, write
//! a type that knows its defaults and refuses what it does not know, and give it a field; the file, `--check-config`
//! and `--print-config` then have it.

mod access;
mod fault;
mod limits;
mod listen;
mod pages;
mod push;
mod secret;
mod segments;
pub(crate) mod time;
mod web;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cli::Arguments;
use crate::rules::{Rules, Several};

pub use access::Access;
pub use fault::ConfigError;
pub use limits::Limits;
pub use listen::{Address, Listen, Mode};
pub use pages::PageOptions;
pub use push::{BasicAuth, Push, Receiver};
pub use secret::Secret;
pub use segments::Segments;
pub use web::{ClientAuth, Curve, Header, HttpServer, RateLimit, TlsServer, TlsVersion, Web};

/// All that the exporter can be told.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to serve.
    pub segments: Segments,
    /// How pages are written.
    pub pages: PageOptions,
    /// Which series are shown, and how.
    pub series: Rules,
    /// Where to listen.
    pub listen: Listen,
    /// What a client may do.
    pub limits: Limits,
    /// Who may ask.
    pub access: Access,
    /// TLS and passwords.
    pub web: Web,
    /// Where to push.
    pub push: Push,
}

impl Config {
    /// The configuration that these arguments ask for, the file that they name included.
    ///
    /// # Errors
    /// When the file cannot be read or something in it makes no sense; the error names the place.
    pub fn load(arguments: &Arguments) -> Result<Config, ConfigError> {
        let mut config = match &arguments.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        config.segments.overlay(arguments);
        config.pages.overlay(arguments);
        if let Some(merge) = arguments.merge_segments {
            config.series.segments = if merge {
                Several::Merge
            } else {
                Several::Label
            };
        }
        config.listen.overlay(arguments);
        config.limits.overlay(&arguments.limits);
        config.access.overlay(&arguments.access);
        config.read_web()?;
        Ok(config)
    }

    /// Reads the toolkit's web configuration anew, if one is named.
    pub(crate) fn read_web(&mut self) -> Result<(), ConfigError> {
        if let Some(file) = &self.access.web_config {
            self.web = Web::read(file)?;
        }
        Ok(())
    }

    /// Whether pages are the same in both, whoever may see them.
    pub(crate) fn has_pages_of(&self, other: &Config) -> bool {
        let front = Config {
            listen: other.listen.clone(),
            limits: Limits {
                max_scrapes: self.limits.max_scrapes,
                ..other.limits
            },
            access: other.access.clone(),
            web: other.web.clone(),
            push: other.push.clone(),
            ..self.clone()
        };
        front == *other
    }

    /// What `file` says. Paths in it are relative to its folder.
    fn read(file: &Path) -> Result<Config, ConfigError> {
        let text =
            fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
        let mut config = Config::parse(&text).map_err(|fault| fault.in_file(file))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        config.segments.resolve(folder);
        config.listen.resolve(folder);
        config.access.resolve(folder);
        config.web.resolve(folder);
        config.push.resolve(folder);
        if config.access.web_config.is_some() && config.web != Web::default() {
            let both = "`access.web_config` names a file in place of the section `web`; keep one of the two";
            return Err(ConfigError::new(both).in_file(file));
        }
        Ok(config)
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::in_toml(text, &error))
    }
}

/// As it would stand in a file. Secrets are not shown.
impl std::fmt::Display for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&toml::to_string_pretty(self).map_err(|_| std::fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_printed_can_be_read() {
        let config = Config::default();
        assert_eq!(Config::parse(&config.to_string()), Ok(config));
        assert_eq!(Config::parse(""), Ok(Config::default()));
    }

    #[test]
    fn a_key_that_is_given_leaves_the_others_alone() {
        let config = Config::parse("[limits]\nidle_timeout = \"2m\"").unwrap();
        let expected = Limits {
            idle_timeout: Duration::from_secs(120),
            ..Limits::default()
        };
        assert_eq!(config.limits, expected);
    }

    #[test]
    fn faults_name_their_place_and_what_was_meant() {
        for (text, expected) in [
            (
                "[limits]\nidle_timeuot = \"5s\"",
                "2:1: unknown field `idle_timeuot`; did you mean `idle_timeout`?",
            ),
            (
                "[limit]",
                "1:2: unknown field `limit`; did you mean `limits`?",
            ),
            (
                "[limits]\n\nidle_timeout = \"soon\"",
                "3:16: give a time up to a day, as in 5s, 500ms or 2m",
            ),
            (
                "[limits]\nmax_connections = 0",
                "2:19: give a number from 1 to 65536",
            ),
            (
                "[listen]\naddresses = [\"9464\"]",
                "2:13: give host:port, as in 127.0.0.1:9464, or unix:PATH",
            ),
        ] {
            let fault = Config::parse(text)
                .unwrap_err()
                .in_file(Path::new("x.toml"));
            assert_eq!(fault.to_string(), format!("x.toml:{expected}"), "{text}");
        }
        let fault = Config::parse("[zzzzzzzz]").unwrap_err().to_string();
        assert!(fault.contains("known are: "), "{fault}");
    }

    #[test]
    fn the_documents_and_the_examples_are_true() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = fs::read_to_string(root.join("docs/EXPORTER.md")).unwrap();
        let blocks: Vec<&str> = page.split("\n```toml\n").skip(1).collect();
        let blocks: Vec<&str> = blocks
            .iter()
            .map(|it| it.split("```").next().unwrap())
            .collect();
        assert_eq!(Config::parse(blocks[0]), Ok(Config::default()));
        for block in &blocks[1..] {
            Config::parse(block).unwrap();
        }
        assert!(blocks.len() > 1);
        Config::read(&root.join("deploy/exporter.toml")).unwrap();
        let tls = Web::read(&root.join("deploy/web.yml"))
            .unwrap()
            .tls_server_config;
        assert!(
            tls.unwrap()
                .cert_file
                .unwrap()
                .ends_with("deploy/server.crt")
        );
        let commented = fs::read_to_string(root.join("deploy/web.yml")).unwrap();
        let all = tempfile::NamedTempFile::new().unwrap();
        fs::write(&all, commented.replace("  #c", "  c")).unwrap();
        Web::read(all.path()).unwrap();
    }

    #[test]
    fn paths_in_a_file_are_relative_to_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        fs::write(&file, "[segments]\npaths = [\"a.seg\", \"/b.seg\"]").unwrap();
        let config = Config::read(&file).unwrap();
        let expected = [folder.path().join("a.seg"), "/b.seg".into()];
        assert_eq!(config.segments.paths, expected);
        let missing = Config::read(&folder.path().join("y.toml")).unwrap_err();
        assert!(missing.to_string().contains("y.toml"), "{missing}");
    }
}
