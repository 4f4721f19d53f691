//! The command line of a worker: what it records, and for how long.
//!
//! A worker registers what it needs, says `ready` on its standard output, waits for a line or the end of
//! its standard input, and then starts.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

/// A process that records in a segment, for the tests.
#[derive(Debug, Parser)]
pub struct Options {
    /// The segment to attach to.
    #[arg(long)]
    pub segment: PathBuf,
    /// What to do there.
    #[command(subcommand)]
    pub task: Task,
}

/// What a worker does.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// Makes updates in threads and acknowledges each.
    Count(Count),
    /// Sets a gauge of every mode, a state set and an info, and stays until its input ends.
    Gauges(Gauges),
    /// Registers series, all the time, and adds one to each.
    Register(Register),
    /// Registers label sets without end and removes each again after a while.
    Churn(Churn),
    /// Forks children while its threads make updates; the children make updates too.
    Fork(Fork),
    /// Attaches one segment after another in one thread while another one forks children, which stay.
    Attach(Attach),
}

/// Updates by several threads.
#[derive(Debug, Clone, Args)]
pub struct Count {
    /// The file of acknowledgements.
    #[arg(long)]
    pub acks: PathBuf,
    /// How many threads.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Number of the first thread: it names the threads' series and their words of acknowledgement.
    #[arg(long, default_value_t = 0)]
    pub first: usize,
    /// Updates of each thread; without it they go on until they are stopped or killed.
    #[arg(long)]
    pub updates: Option<u64>,
    /// Sets a gauge of the mode `each` to one, and one of the mode `sum`.
    #[arg(long)]
    pub gauges: bool,
    /// A deliberate fault, to see that the tests find it.
    #[arg(long)]
    pub fault: Option<Fault>,
}

/// Faults that a test must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// Adds to the control word without atomicity, beside the updates.
    Racy,
    /// Acknowledges before the update is made.
    AckFirst,
    /// Makes every 100 000th update twice.
    Twice,
}

/// Gauges of every mode.
#[derive(Debug, Clone, Args)]
pub struct Gauges {
    /// What to set them to.
    #[arg(long, allow_negative_numbers = true)]
    pub value: i32,
}

/// Registrations by several threads.
#[derive(Debug, Clone, Args)]
pub struct Register {
    /// The file of acknowledgements.
    #[arg(long)]
    pub acks: PathBuf,
    /// How many threads.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Number of the first thread's word of acknowledgement.
    #[arg(long, default_value_t = 0)]
    pub first: usize,
    /// How many families there are to choose from.
    #[arg(long)]
    pub families: usize,
    /// How many label values there are to choose from.
    #[arg(long)]
    pub values: usize,
    /// Forks a child now and then that registers and adds too, in the middle of the threads' registrations.
    #[arg(long)]
    pub forks: bool,
}

/// Label sets that come and go.
#[derive(Debug, Clone, Args)]
pub struct Churn {
    /// The file of acknowledgements.
    #[arg(long)]
    pub acks: PathBuf,
    /// The process's number: it names its label sets and its two words of acknowledgement.
    #[arg(long)]
    pub process: usize,
    /// How many label sets it uses in all.
    #[arg(long)]
    pub sets: u64,
    /// How many of them live at a time.
    #[arg(long)]
    pub live: u64,
}

/// Children that record.
#[derive(Debug, Clone, Args)]
pub struct Fork {
    /// The parent's own updates.
    #[command(flatten)]
    pub count: Count,
    /// How many children.
    #[arg(long, default_value_t = 1)]
    pub children: usize,
    /// Children stay and go on with updates until they are stopped, and the parent does not wait for them.
    #[arg(long)]
    pub linger: bool,
}

/// Segments attached while children are forked.
#[derive(Debug, Clone, Args)]
pub struct Attach {
    /// Where the segments go.
    #[arg(long)]
    pub folder: PathBuf,
    /// How many children.
    #[arg(long)]
    pub children: usize,
}
