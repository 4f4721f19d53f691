//! Where to listen.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cli::Arguments;

/// Where to listen; section `listen`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// The addresses.
    pub addresses: Vec<Address>,
    /// The mode of unix sockets; without it the umask decides.
    pub unix_mode: Option<Mode>,
    /// The user that owns unix sockets, by name or number.
    pub unix_owner: Option<String>,
    /// The group that owns unix sockets, by name or number.
    pub unix_group: Option<String>,
}

/// The mode of a file, written as in `0660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mode(pub u32);

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// `host:port`
    Tcp(String),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Default for Listen {
    /// The loopback only.
    fn default() -> Listen {
        Listen {
            addresses: vec![Address::Tcp("127.0.0.1:9464".into())],
            unix_mode: None,
            unix_owner: None,
            unix_group: None,
        }
    }
}

impl Listen {
    pub(super) fn overlay(&mut self, arguments: &Arguments) {
        if !arguments.listen.is_empty() {
            self.addresses.clone_from(&arguments.listen);
        }
        self.unix_mode = arguments.unix_mode.or(self.unix_mode);
        for (value, given) in [
            (&mut self.unix_owner, &arguments.unix_owner),
            (&mut self.unix_group, &arguments.unix_group),
        ] {
            if given.is_some() {
                value.clone_from(given);
            }
        }
    }

    pub(super) fn resolve(&mut self, folder: &Path) {
        for address in &mut self.addresses {
            if let Address::Unix(path) = address {
                *path = folder.join(&path);
            }
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("a path must follow `unix:`".into()),
                path => Ok(Address::Unix(path.into())),
            };
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or("give host:port, as in 127.0.0.1:9464, or unix:PATH")?;
        if host.is_empty() {
            return Err("give a host, as in 127.0.0.1:9464, or 0.0.0.0:9464 for all".into());
        }
        port.parse::<u16>()
            .map_err(|_| format!("{port:?} is not a port; give 0 to 65535"))?;
        Ok(Address::Tcp(text.to_owned()))
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let mode = u32::from_str_radix(text, 8).ok();
        let mode = mode.filter(|mode| *mode <= 0o777);
        mode.map(Mode)
            .ok_or_else(|| "give a mode, as in 0660".into())
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Mode, String> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> String {
        format!("{:04o}", mode.0)
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Address, String> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_modes() {
        for (text, address) in [
            ("[::1]:0", Address::Tcp("[::1]:0".into())),
            ("unix:/run/x.sock", Address::Unix("/run/x.sock".into())),
        ] {
            assert_eq!(address.to_string(), text);
            assert_eq!(text.parse(), Ok(address));
        }
        assert_eq!("0660".parse(), Ok(Mode(0o660)));
        assert_eq!(String::from(Mode(0o660)), "0660");
        for wrong in ["", "rw", "0888", "7777"] {
            assert!(wrong.parse::<Mode>().is_err(), "{wrong}");
        }
        for wrong in ["", "9464", ":9464", "host:", "host:70000", "unix:"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
