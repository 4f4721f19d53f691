//! Listeners: TCP addresses and unix sockets.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, User};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::{Address, Listen};
use crate::error::Error;

/// A listener that is bound.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// The file that goes with it, if it is ours to remove.
        _file: Option<SocketFile>,
    },
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// The sockets that the service manager hands over; else those that `config` asks for.
    pub(crate) async fn all(config: &Listen) -> Result<Vec<Listener>, Error> {
        let mut listeners = Listener::handed_over()?;
        if listeners.is_empty() {
            for address in &config.addresses {
                listeners.push(Listener::bind(address, config).await?);
            }
        }
        Ok(listeners)
    }

    async fn bind(address: &Address, config: &Listen) -> Result<Listener, Error> {
        match address {
            Address::Tcp(address) => match TcpListener::bind(address).await {
                Ok(listener) => Ok(Listener::Tcp(listener)),
                Err(source) => Err(Error::listen(address, source)),
            },
            Address::Unix(path) => {
                remove_stale(path)?;
                let fail = |source| Error::listen(format!("unix:{}", path.display()), source);
                let listener = bind_unix(path, config).map_err(fail)?;
                let file = SocketFile::new(path).map_err(fail)?;
                Ok(Listener::Unix {
                    listener,
                    _file: Some(file),
                })
            }
        }
    }

    /// Sockets by the protocol of sd_listen_fds(3).
    fn handed_over() -> Result<Vec<Listener>, Error> {
        let mut handed = ListenFd::from_env();
        let fail = |at| move |source| Error::listen(format!("socket {at} of $LISTEN_FDS"), source);
        let mut listeners = Vec::new();
        for at in 0..handed.len() {
            let listener = if let Ok(Some(listener)) = handed.take_tcp_listener(at) {
                listener.set_nonblocking(true).map_err(fail(at))?;
                TcpListener::from_std(listener).map(Listener::Tcp)
            } else {
                let listener = handed.take_unix_listener(at).map_err(fail(at))?;
                let listener = listener.expect("nobody else has taken it");
                listener.set_nonblocking(true).map_err(fail(at))?;
                UnixListener::from_std(listener).map(|listener| Listener::Unix {
                    listener,
                    _file: None,
                })
            };
            listeners.push(listener.map_err(fail(at))?);
        }
        Ok(listeners)
    }

    /// Where it listens, for people.
    pub(crate) fn address(&self, scheme: &str) -> String {
        let found = match self {
            Listener::Tcp(listener) => listener
                .local_addr()
                .map(|address| format!("{scheme}://{address}/metrics")),
            Listener::Unix { listener, .. } => listener.local_addr().map(|address| {
                let path = address.as_pathname().unwrap_or(Path::new("@"));
                format!("unix:{}", path.display())
            }),
        };
        found.unwrap_or_else(|error| format!("an unknown address ({error})"))
    }

    /// Whether others than this host may reach it.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Listener::Tcp(listener) => listener
                .local_addr()
                .is_ok_and(|address| !address.ip().to_canonical().is_loopback()),
            Listener::Unix { .. } => false,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An answer is written at once; waiting for more would only delay its end.
                // Without it the connection is only slower.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            Listener::Unix { listener, .. } => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// Binds a unix socket that nobody reaches before it has its mode and owner.
fn bind_unix(path: &Path, config: &Listen) -> io::Result<UnixListener> {
    let is_given =
        config.unix_mode.is_some() || config.unix_owner.is_some() || config.unix_group.is_some();
    if !is_given {
        return UnixListener::bind(path);
    }
    let owner = config.unix_owner.as_deref().map(user).transpose()?;
    let group = config.unix_group.as_deref().map(group).transpose()?;
    // Nothing else of this process makes files meanwhile.
    let umask = umask(Mode::from_bits_truncate(0o777));
    let listener = UnixListener::bind(path);
    nix::sys::stat::umask(umask);
    let listener = listener?;
    chown(path, owner, group)?;
    let mode = config
        .unix_mode
        .map_or(0o666 & !umask.bits(), |mode| mode.0);
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

fn user(name: &str) -> io::Result<u32> {
    let found = User::from_name(name)?.map(|user| user.uid.as_raw());
    let found = found.or_else(|| name.parse().ok());
    found.ok_or_else(|| io::Error::other(format!("there is no user {name:?}")))
}

fn group(name: &str) -> io::Result<u32> {
    let found = Group::from_name(name)?.map(|group| group.gid.as_raw());
    let found = found.or_else(|| name.parse().ok());
    found.ok_or_else(|| io::Error::other(format!("there is no group {name:?}")))
}

impl Stream {
    /// Whether it comes over the loopback, where a name is no proof of anything.
    pub(crate) fn is_on_loopback(&self) -> bool {
        match self {
            Stream::Tcp(stream) => stream
                .local_addr()
                .is_ok_and(|address| address.ip().to_canonical().is_loopback()),
            Stream::Unix(_) => false,
        }
    }

    /// Answers without a look at the request and closes, as far as that goes without waiting.
    pub(crate) fn refuse(self, answer: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                let stream = stream.into_std()?;
                say_and_drain(&stream, answer)?;
                stream.shutdown(Shutdown::Write)
            }
            Stream::Unix(stream) => {
                let stream = stream.into_std()?;
                say_and_drain(&stream, answer)?;
                stream.shutdown(Shutdown::Write)
            }
        }
    }
}

/// Takes what has arrived, so that closing does not reset the connection under the answer.
fn say_and_drain<S>(mut stream: S, answer: &[u8]) -> io::Result<()>
where
    S: Read + Write,
{
    let written = stream.write(answer)?;
    debug_assert_eq!(written, answer.len(), "a new socket has room for a line");
    // Nothing may have arrived, and the error says only that.
    let _ = stream.read(&mut [0; 4096]);
    Ok(())
}

/// The file of a unix socket; removed when dropped, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // It is gone already or the folder forbids it; both are past mending here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes a socket that nobody answers on.
fn remove_stale(path: &Path) -> Result<(), Error> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let taken = |reason: &str| {
        let reason = io::Error::new(io::ErrorKind::AddrInUse, reason);
        Error::listen(format!("unix:{}", path.display()), reason)
    };
    if !metadata.file_type().is_socket() {
        return Err(taken("the file is there already and is not a socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|source| Error::listen(format!("unix:{}", path.display()), source)),
        Ok(_) => Err(taken("another program answers on this socket")),
        Err(source) => Err(Error::listen(format!("unix:{}", path.display()), source)),
    }
}
