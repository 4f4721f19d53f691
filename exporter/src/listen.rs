//! Listeners: TCP addresses and unix sockets.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::Address;
use crate::error::Error;

/// A listener that is bound.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    pub(crate) async fn bind(address: &Address) -> Result<Listener, Error> {
        match address {
            Address::Tcp(address) => match TcpListener::bind(address).await {
                Ok(listener) => Ok(Listener::Tcp(listener)),
                Err(source) => Err(Error::listen(address, source)),
            },
            Address::Unix(path) => {
                remove_stale(path)?;
                let fail = |source| Error::listen(format!("unix:{}", path.display()), source);
                let listener = UnixListener::bind(path).map_err(fail)?;
                let file = SocketFile::new(path).map_err(fail)?;
                Ok(Listener::Unix(listener, file))
            }
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
            Listener::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "http://{address}/metrics"),
                Err(error) => write!(f, "an unknown address ({error})"),
            },
            Listener::Unix(_, file) => write!(f, "unix:{}", file.path.display()),
        }
    }
}

impl Stream {
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
