//! A process of the crash sweeps: makes what it is told to, line by line. See `tachograph_tests::scenario`.
#![expect(clippy::print_stdout, reason = "an actor talks to its test by lines")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;
use nix::sys::prctl;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{self, ForkResult};
use tachograph::{Counter, Writer};
use tachograph_tests::scenario::{LABEL, SHARED, STEADY, Scenario};

/// How many own cells lie on the first page of a process.
const GAUGES: usize = 520;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    segment: PathBuf,
    #[arg(long, value_enum)]
    scenario: Scenario,
    /// What this process calls its own series.
    #[arg(long)]
    name: String,
    /// Lets its parent trace the act.
    #[arg(long)]
    traced: bool,
}

type Outcome = Result<(), Box<dyn Error>>;

struct Actor {
    options: Options,
    writer: Option<Writer>,
    steady: Option<Counter>,
}

fn main() -> Outcome {
    // A test that is killed takes its actors along.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let options = Options::parse();
    let mut actor = Actor {
        options,
        writer: None,
        steady: None,
    };
    for line in io::stdin().lines() {
        match line?.as_str() {
            "attach" => actor.attach()?,
            "prepare" => actor.prepare()?,
            "act" => actor.act()?,
            "work" => actor.work()?,
            other => return Err(format!("told to {other}").into()),
        }
        println!("ok");
    }
    Ok(())
}

impl Actor {
    fn scenario(&self) -> Scenario {
        self.options.scenario
    }

    fn writer(&self) -> Writer {
        self.writer.expect("told to attach before")
    }

    fn attach(&mut self) -> Outcome {
        let options = self.scenario().options().path(&self.options.segment);
        self.writer = Some(options.attach()?);
        Ok(())
    }

    /// What must be there before the victim acts.
    fn prepare(&mut self) -> Outcome {
        let writer = self.writer();
        let steady = writer.counter(STEADY, "Counted all along");
        let steady = steady.label(LABEL, &self.options.name).register()?;
        steady.add(100);
        self.steady = Some(steady);
        match self.scenario() {
            Scenario::Overflow => self.scenario().touch(&writer, "first")?,
            Scenario::Gauge => {
                let spare = writer.gauge("spare", "Fills the first page").family()?;
                for number in 0..GAUGES {
                    spare.with(&[(LABEL, &number.to_string())])?;
                }
            }
            Scenario::Fork => {
                writer.gauge("level", "Shown by a child too").register()?;
            }
            _ => {}
        }
        Ok(())
    }

    fn act(&mut self) -> Outcome {
        mark("act")?;
        if self.options.traced {
            ptrace::traceme()?;
            raise(Signal::SIGSTOP)?;
        }
        match self.scenario() {
            Scenario::Create
            | Scenario::CreateForGroup
            | Scenario::Attach
            | Scenario::Replace
            | Scenario::LostReplace => self.attach()?,
            Scenario::Remove => {
                fs::remove_file(&self.options.segment)?;
                self.attach()?;
            }
            Scenario::Fork => self.fork()?,
            Scenario::Passing => {
                self.scenario().pass(&self.writer())?;
                self.scenario().touch(&self.writer(), SHARED)?;
            }
            Scenario::Families => {
                self.scenario().pass_families(&self.writer())?;
                self.scenario().touch(&self.writer(), SHARED)?;
            }
            scenario => scenario.touch(&self.writer(), SHARED)?,
        }
        // Tells a tracer that the act is over.
        let _ = unistd::getppid();
        mark("acted")?;
        Ok(())
    }

    fn work(&mut self) -> Outcome {
        let writer = self.writer();
        if self.scenario() == Scenario::Families {
            self.scenario().pass_families(&writer)?;
        }
        self.scenario().touch(&writer, SHARED)?;
        self.scenario().touch(&writer, &self.options.name)?;
        if let Some(steady) = self.steady {
            steady.inc();
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "fork is what is tested")]
    fn fork(&self) -> Outcome {
        // SAFETY: this process has one thread.
        match unsafe { unistd::fork() }? {
            ForkResult::Child => {
                let _ = prctl::set_pdeathsig(Signal::SIGKILL);
                self.scenario().touch(&self.writer(), SHARED)?;
                std::process::exit(0);
            }
            ForkResult::Parent { child } => {
                // The parent is not held up by its child.
                if let Some(steady) = self.steady {
                    steady.inc();
                }
                println!("child {child}");
                match waitpid(child, None)? {
                    WaitStatus::Exited(_, 0) | WaitStatus::Signaled(_, Signal::SIGKILL, _) => {
                        Ok(())
                    }
                    other => Err(format!("the child ended as {other:?}").into()),
                }
            }
        }
    }
}

/// Notes in the list of steps where the act begins or ends.
fn mark(text: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("TACHOGRAPH_STEPS") else {
        return Ok(());
    };
    let mut file = File::options().append(true).create(true).open(path)?;
    file.write_all(format!("{text}\n").as_bytes())
}
