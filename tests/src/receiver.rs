//! Somebody to push to, who answers as the test wants.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A request, and when it had come.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its line and headers, in small letters.
    pub head: String,
    /// Its body, as it was sent.
    pub body: Vec<u8>,
    /// When all of it was there.
    pub at: Instant,
}

/// What to do about a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with a status, more headers and a body.
    Answer(u16, &'static str, Vec<u8>),
    /// Answers with something that is not HTTP.
    Garbage,
    /// Closes the connection before the request is read.
    Reset,
    /// Never answers.
    Silence,
}

impl Reply {
    /// Answers with a status only.
    pub fn status(status: u16) -> Reply {
        Reply::Answer(status, "", Vec::new())
    }
}

/// Decides about a request by how many came before it.
type Policy = Arc<dyn Fn(usize) -> Reply + Send + Sync>;

/// A server that keeps what it gets.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Starts one that does about each request what `policy` says.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(policy: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Receiver {
        Receiver::at((Ipv4Addr::LOCALHOST, 0).into(), policy)
    }

    /// The same at an address.
    ///
    /// # Panics
    /// When it is taken.
    pub fn at(
        address: SocketAddr,
        policy: impl Fn(usize) -> Reply + Send + Sync + 'static,
    ) -> Receiver {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (kept, policy): (_, Policy) = (Arc::clone(&received), Arc::new(policy));
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, policy) = (Arc::clone(&kept), Arc::clone(&policy));
                // Whoever breaks the connection off has nothing more to say.
                thread::spawn(move || serve(stream, &kept, &policy).ok());
            }
        });
        Receiver { address, received }
    }

    /// What has come.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    /// How much has come.
    pub fn count(&self) -> usize {
        lock(&self.received).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<Received>>, policy: &Policy) -> io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if input.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        head.make_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|it| it.strip_prefix("content-length: "));
        let length = length.and_then(|it| it.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        let mut all = lock(kept);
        let reply = policy(all.len());
        if !matches!(reply, Reply::Reset) {
            input.read_exact(&mut body)?;
        }
        all.push(Received {
            head,
            body,
            at: Instant::now(),
        });
        drop(all);
        match reply {
            Reply::Reset => return Ok(()),
            Reply::Silence => thread::sleep(Duration::from_secs(3600)),
            Reply::Garbage => return output.write_all(b"\0\0this is not HTTP\r\n\r\n"),
            Reply::Answer(status, headers, body) => {
                let length = body.len();
                write!(
                    output,
                    "HTTP/1.1 {status} So\r\n{headers}content-length: {length}\r\n\r\n"
                )?;
                output.write_all(&body)?;
            }
        }
    }
}
