//! What every command works with: where to read, how to write.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tachograph::Snapshot;

use crate::cli::{Format, Global};
use crate::csv;
use crate::failure::Failure;
use crate::filter::Filter;
use crate::source::{self, Source};
use crate::terminal::{Terminal, printable};
use crate::units::Units;

/// The options that hold for every command, and the terminal.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) segment: Option<PathBuf>,
    /// How far before the end of a recording the look is.
    pub(crate) back: Option<Duration>,
    format: Option<Format>,
    pub(crate) terminal: Terminal,
}

impl Context {
    pub(crate) fn new(global: Global) -> Context {
        Context {
            segment: global.segment,
            back: global.back,
            format: global.format,
            terminal: Terminal::detect(global.ascii),
        }
    }

    pub(crate) fn is_csv(&self) -> bool {
        self.format == Some(Format::Csv)
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Some(Format::Json)
    }

    /// Whether text was asked for by name, for a command whose default is JSON.
    pub(crate) fn is_text_asked(&self) -> bool {
        self.format == Some(Format::Text)
    }

    pub(crate) fn units(&self, raw: bool) -> Units {
        Units {
            raw,
            ascii: !self.terminal.utf8,
        }
    }

    /// What the command line or the environment names.
    pub(crate) fn source(&self) -> Result<Source, Failure> {
        Source::open(&source::locate(self.segment.as_deref())?, self.back)
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, Failure> {
        self.source()?.snapshot()
    }

    /// Tells the person at the terminal something that is not data.
    #[expect(clippy::print_stderr, reason = "messages go to standard error")]
    pub(crate) fn say(&self, message: &str) {
        let lines: Vec<_> = message.lines().map(printable).collect();
        eprintln!("tachograph-probe: {}", lines.join("\n"));
    }

    /// Writes data to standard output.
    pub(crate) fn write(
        &self,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        text(&mut out)?;
        out.flush()?;
        Ok(())
    }

    /// Writes a header and rows.
    pub(crate) fn write_csv<T: AsRef<str>>(
        &self,
        header: &[&str],
        rows: impl IntoIterator<Item = impl IntoIterator<Item = T>>,
    ) -> Result<(), Failure> {
        self.write(|out| {
            csv::row(out, header)?;
            rows.into_iter().try_for_each(|row| csv::row(out, row))
        })
    }

    /// Writes one JSON document, indented.
    pub(crate) fn write_json(&self, document: &impl Serialize) -> Result<(), Failure> {
        self.write(|out| {
            serde_json::to_writer_pretty(&mut *out, document)?;
            writeln!(out)
        })
    }

    /// Writes one JSON document on a line of its own.
    pub(crate) fn write_json_line(&self, document: &impl Serialize) -> Result<(), Failure> {
        self.write(|out| {
            serde_json::to_writer(&mut *out, document)?;
            writeln!(out)
        })
    }

    /// Says why nothing was shown; a failure when something was asked for.
    pub(crate) fn nothing_found(
        &self,
        snapshot: &Snapshot,
        filter: &Filter,
    ) -> Result<(), Failure> {
        let reason = filter.nothing_found(snapshot.directory.families.iter());
        if filter.is_open() {
            self.say("the segment has no series yet");
            Ok(())
        } else {
            Err(Failure::Message(reason))
        }
    }
}
