//! What supervisor and workers say to each other: one line each, over the worker's stdin and stdout.
//!
//! The supervisor opens with `attach`, then hands out documents with `work`. The worker says `begin`
//! before it records anything of a document and `done` after it has recorded the last of it. Both are
//! single writes to a pipe, which keeps them whole and keeps them when the worker is killed, so the
//! supervisor knows of each document whether it was recorded wholly, not at all, or perhaps in part.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use tachograph::{LabelSet, LabelValue};

use super::walk::{Document, Stamp};

/// A line to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Attach to the segment; the first line.
    Attach {
        /// What the worker calls itself in the segment.
        name: String,
        /// Whether to rest between documents.
        paced: bool,
        /// The segment.
        segment: PathBuf,
    },
    /// Work on a document.
    Work {
        /// Names this piece of work in the answers.
        ticket: u64,
        /// The document, with what it was when it was listed.
        document: Document,
    },
}

/// A line from a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing of the document has been recorded so far.
    Begin(u64),
    /// All of the document has been recorded.
    Done(u64, Outcome),
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It went through all stages; this is the hash of its content.
    Counted {
        /// Of the content.
        hash: u64,
    },
    /// It was refused and counted as an error.
    Refused(Refusal),
}

/// Why a document was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, LabelValue, LabelSet)]
#[label(name = "kind")]
pub(crate) enum Refusal {
    /// It could not be opened or read.
    Unreadable,
    /// It is larger than a document may be.
    TooLarge,
    /// It has a NUL byte near its start.
    Binary,
    /// It is not UTF-8.
    NotUtf8,
    /// It is not what was listed.
    Changed,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Attach {
                name,
                paced,
                segment,
            } => {
                let pace = if *paced { "paced" } else { "full" };
                writeln!(f, "attach {name} {pace} {}", escape(segment))
            }
            Order::Work { ticket, document } => {
                let Stamp {
                    inode,
                    bytes,
                    changed_seconds,
                    changed_nanos,
                } = document.stamp;
                writeln!(
                    f,
                    "work {ticket} {inode} {bytes} {changed_seconds} {changed_nanos} {}",
                    escape(&document.path)
                )
            }
        }
    }
}

impl Order {
    /// Reads a line, with or without its end.
    pub(crate) fn parse(line: &str) -> Option<Order> {
        let mut words = line.split_whitespace();
        let order = match words.next()? {
            "attach" => Order::Attach {
                name: words.next()?.to_owned(),
                paced: words.next()? == "paced",
                segment: unescape(words.next()?)?,
            },
            "work" => Order::Work {
                ticket: words.next()?.parse().ok()?,
                document: Document {
                    stamp: Stamp {
                        inode: words.next()?.parse().ok()?,
                        bytes: words.next()?.parse().ok()?,
                        changed_seconds: words.next()?.parse().ok()?,
                        changed_nanos: words.next()?.parse().ok()?,
                    },
                    path: unescape(words.next()?)?,
                },
            },
            _ => return None,
        };
        words.next().is_none().then_some(order)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Begin(ticket) => writeln!(f, "begin {ticket}"),
            Answer::Done(ticket, Outcome::Counted { hash }) => {
                writeln!(f, "done {ticket} counted {hash:016x}")
            }
            Answer::Done(ticket, Outcome::Refused(refusal)) => {
                writeln!(f, "done {ticket} {refusal}")
            }
        }
    }
}

impl Answer {
    /// Reads a line, with or without its end.
    pub(crate) fn parse(line: &str) -> Option<Answer> {
        let mut words = line.split_whitespace();
        let verb = words.next()?;
        let ticket = words.next()?.parse().ok()?;
        let answer = match (verb, words.next()) {
            ("begin", None) => Answer::Begin(ticket),
            ("done", Some("counted")) => {
                let hash = u64::from_str_radix(words.next()?, 16).ok()?;
                Answer::Done(ticket, Outcome::Counted { hash })
            }
            ("done", Some(name)) => Answer::Done(ticket, Outcome::Refused(name.parse().ok()?)),
            _ => return None,
        };
        words.next().is_none().then_some(answer)
    }
}

/// A path as one word: every byte that is not printable ASCII, and `%`, becomes `%` and two digits.
fn escape(path: &Path) -> String {
    let mut word = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02x}"));
        }
    }
    word
}

fn unescape(word: &str) -> Option<PathBuf> {
    let mut path = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            path.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail;
        } else {
            path.push(byte);
            rest = tail;
        }
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &[u8]) -> Document {
        Document {
            path: PathBuf::from(OsString::from_vec(path.to_vec())),
            stamp: Stamp {
                inode: 7,
                bytes: u64::MAX,
                changed_seconds: -1,
                changed_nanos: 999_999_999,
            },
        }
    }

    #[test]
    fn orders_survive_the_pipe_whatever_the_path() {
        for path in [
            &b"/plain/a.txt"[..],
            b"/with space/and\nline\tend%41",
            b"/\xff\xfe/\xc3\xbc",
        ] {
            let order = Order::Work {
                ticket: 3,
                document: document(path),
            };
            let line = order.to_string();
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(Order::parse(&line), Some(order));
        }
        let attach = Order::Attach {
            name: "demo-worker-1".into(),
            paced: true,
            segment: "/dev/shm/a b/demo.seg".into(),
        };
        assert_eq!(Order::parse(&attach.to_string()), Some(attach));
    }

    #[test]
    fn answers_survive_the_pipe() {
        let mut answers = vec![
            Answer::Begin(0),
            Answer::Done(u64::MAX, Outcome::Counted { hash: 0xabc }),
        ];
        answers.extend(Refusal::ALL.map(|refusal| Answer::Done(1, Outcome::Refused(refusal))));
        for answer in answers {
            assert_eq!(Answer::parse(&answer.to_string()), Some(answer));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "work",
            "work 1 2 3 4 5",
            "work 1 2 3 4 5 %4",
            "stop 1",
            "work 1 2 3 4 5 a b",
        ] {
            assert_eq!(Order::parse(line), None, "{line:?}");
        }
        for line in [
            "",
            "begin",
            "begin x",
            "begin 1 2",
            "done 1",
            "done 1 odd",
            "done 1 counted",
        ] {
            assert_eq!(Answer::parse(line), None, "{line:?}");
        }
    }
}
