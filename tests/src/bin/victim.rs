//! A process that records as its test tells it, line by line, while the test breaks what it stands on.
//!
//! Every command is answered by one line: `ok`, a value, or `error: ` and the message that a caller gets.
#![expect(clippy::print_stdout, reason = "a victim talks to its test by lines")]
#![expect(
    unsafe_code,
    reason = "it forks, handles signals and maps files on purpose"
)]

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use memmap2::MmapOptions;
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::sys::wait::{self, WaitStatus};
use nix::unistd::{self, ForkResult, Uid};
use tachograph::{Counter, Gauge, SegmentOptions, Writer};

type Answer = Result<String, Box<dyn Error>>;

/// How a handler of the program's own ends it.
const OWN_HANDLER: i32 = 42;
/// How one ends it that is told where the fault is.
const OWN_TOLD_HANDLER: i32 = 43;

fn main() -> Result<(), Box<dyn Error>> {
    // A test that is killed takes its victims along.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let mut victim = Victim::default();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match victim.obey(&words) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("error: {error}"),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Victim {
    writer: Option<Writer>,
    counters: HashMap<String, Counter>,
    gauges: HashMap<String, Gauge>,
    spinning: Option<(mpsc::Sender<()>, JoinHandle<u64>)>,
}

impl Victim {
    fn obey(&mut self, words: &[&str]) -> Answer {
        match *words {
            ["attach", ref options @ ..] => self.attach(options),
            ["counter", name] => self.counter(name),
            ["try", name] => self.try_counter(name),
            ["many", prefix, count] => self.many(prefix, count.parse()?),
            ["kinds", prefix] => self.kinds(prefix),
            ["add", name, times] => self.add(name, times.parse()?),
            ["gauge", name, value] => self.gauge(name, value.parse()?),
            ["spin", name] => self.spin(name),
            ["spun"] => self.spun(),
            ["check"] => Ok(self.writer()?.check().map(|()| "ok".into())?),
            ["leave"] => leave(),
            ["fork", name, times] => self.fork(name, times.parse()?),
            ["descriptors", most] => limit_descriptors(most.parse()?),
            ["become", uid] => become_user(uid.parse()?),
            ["catch"] => handle(SigHandler::Handler(own_handler)),
            ["catch_told"] => handle(SigHandler::SigAction(own_told_handler)),
            ["ignore"] => handle(SigHandler::SigIgn),
            ["forget"] => handle(SigHandler::SigDfl),
            ["fault", path] => fault(Path::new(path)),
            ["touch", path] => touch(Path::new(path)),
            ["pid"] => Ok(std::process::id().to_string()),
            ["mark"] => Ok(File::open("/tachograph-mark")
                .map_or("ok", |_| "there")
                .into()),
            _ => Err(format!("no command: {words:?}").into()),
        }
    }

    fn writer(&self) -> Result<&Writer, Box<dyn Error>> {
        Ok(self.writer.as_ref().ok_or("not attached")?)
    }

    fn attach(&mut self, options: &[&str]) -> Answer {
        let mut wanted = SegmentOptions::new().process_name("victim");
        for option in options {
            let (name, value) = option.split_once('=').ok_or("name=value")?;
            wanted = match name {
                "path" => wanted.path(value),
                "group" => wanted.group(value.parse()?),
                "allow_disk" => wanted.allow_disk(value.parse()?),
                "replace_other_boot" => wanted.replace_other_boot(value.parse()?),
                "fault_guard" => wanted.fault_guard(value.parse()?),
                "histogram_bytes" => wanted.histogram_bytes(value.parse()?),
                "size" if value == "small" => wanted
                    .processes(8)
                    .families(64)
                    .series(4096)
                    .string_bytes(1 << 18)
                    .process_cells(512)
                    .shared_cells(512)
                    .counter_cells(4096)
                    .histogram_bytes(1 << 20),
                _ => return Err(format!("no option: {option}").into()),
            };
        }
        self.writer = Some(wanted.attach()?);
        Ok("ok".into())
    }

    fn counter(&mut self, name: &str) -> Answer {
        let registration = self.writer()?.counter(name, "Counted by a victim");
        let (counter, outcome) = registration.register_with_outcome()?;
        self.counters.insert(name.into(), counter);
        Ok(format!("{outcome:?}"))
    }

    fn try_counter(&mut self, name: &str) -> Answer {
        let counter = self.writer()?.counter(name, "Counted by a victim");
        self.counters.insert(name.into(), counter.try_register()?);
        Ok("ok".into())
    }

    /// Registers `count` series of a family, adds one to each, and says how many are series.
    fn many(&mut self, prefix: &str, count: usize) -> Answer {
        let mut series = 0;
        for number in 0..count {
            let registration = self.writer()?.counter(&format!("{prefix}_total"), "Many");
            let registration = registration.label("number", number.to_string());
            let (counter, outcome) = registration.register_with_outcome()?;
            counter.inc();
            series += usize::from(outcome == tachograph::Outcome::Series);
        }
        Ok(series.to_string())
    }

    /// Registers and records one of every other type.
    fn kinds(&mut self, prefix: &str) -> Answer {
        let writer = self.writer()?;
        let name = |kind: &str| format!("{prefix}_{kind}");
        writer
            .counter_f64(&name("f64_total"), "Floats")
            .register()?
            .add(0.5);
        writer.gauge(&name("gauge"), "A level").register()?.set(3);
        let lasting = writer
            .gauge(&name("lasting"), "A level")
            .mode(tachograph::GaugeMode::LastingSum);
        lasting.register()?.set(4);
        writer
            .histogram(&name("histogram"), "Sizes")
            .register()?
            .record(1000);
        writer.info(&name("info"), "A fact").register()?;
        let states = writer.state_set(&name("state"), "A state", &["idle", "busy"]);
        states.register()?.set(1);
        Ok("ok".into())
    }

    fn add(&self, name: &str, times: u64) -> Answer {
        let counter = self.counters.get(name).ok_or("no such counter")?;
        (0..times).for_each(|_| counter.inc());
        Ok("ok".into())
    }

    fn gauge(&mut self, name: &str, value: i64) -> Answer {
        let gauge = self.writer()?.gauge(name, "A level").register()?;
        gauge.set(value);
        self.gauges.insert(name.into(), gauge);
        Ok("ok".into())
    }

    /// Adds one again and again on a thread of its own.
    fn spin(&mut self, name: &str) -> Answer {
        let counter = *self.counters.get(name).ok_or("no such counter")?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut made = 0;
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                counter.inc();
                made += 1;
            }
            made
        });
        self.spinning = Some((stop, thread));
        Ok("ok".into())
    }

    /// Ends it, and says how many were added.
    fn spun(&mut self) -> Answer {
        let (stop, thread) = self.spinning.take().ok_or("nothing spins")?;
        stop.send(())?;
        let made = thread.join().map_err(|_| "recording panicked")?;
        Ok(made.to_string())
    }

    /// Forks a child that adds and ends.
    fn fork(&self, name: &str, times: u64) -> Answer {
        let counter = *self.counters.get(name).ok_or("no such counter")?;
        // SAFETY: the child records, which takes no lock and no memory, and leaves by `_exit`.
        match unsafe { unistd::fork() }? {
            ForkResult::Child => {
                (0..times).for_each(|_| counter.inc());
                // SAFETY: `_exit` may be called at any time.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => match wait::waitpid(child, None)? {
                WaitStatus::Exited(_, 0) => Ok("ok".into()),
                other => Err(format!("the child ended as {other:?}").into()),
            },
        }
    }
}

/// Forks a child that stays for a minute, or until it is killed.
fn leave() -> Answer {
    // SAFETY: the child only sleeps, and leaves by `_exit`.
    match unsafe { unistd::fork() }? {
        ForkResult::Child => {
            unistd::sleep(60);
            // SAFETY: `_exit` may be called at any time.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => Ok(child.to_string()),
    }
}

fn limit_descriptors(most: u64) -> Answer {
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok("ok".into())
}

fn become_user(uid: u32) -> Answer {
    unistd::setuid(Uid::from_raw(uid))?;
    Ok("ok".into())
}

extern "C" fn own_handler(_signal: i32) {
    // SAFETY: `_exit` is safe in a handler.
    unsafe { libc::_exit(OWN_HANDLER) }
}

extern "C" fn own_told_handler(
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: with SA_SIGINFO there is information.
    let info = unsafe { &*info };
    // SAFETY: SIGBUS comes with an address.
    let address = unsafe { info.si_addr() };
    let is_told = signal == libc::SIGBUS && !address.is_null() && !context.is_null();
    // SAFETY: `_exit` is safe in a handler.
    unsafe { libc::_exit(if is_told { OWN_TOLD_HANDLER } else { 1 }) }
}

/// Handles SIGBUS as a program would that has no guard.
fn handle(handler: SigHandler) -> Answer {
    let flags = match handler {
        SigHandler::SigAction(_) => SaFlags::SA_SIGINFO,
        _ => SaFlags::empty(),
    };
    let action = SigAction::new(handler, flags, SigSet::empty());
    // SAFETY: a handler of ours only ends the process.
    unsafe { signal::sigaction(Signal::SIGBUS, &action) }?;
    Ok("ok".into())
}

/// Reads beyond the end of a file of the program's own.
fn fault(path: &Path) -> Answer {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.set_len(4096)?;
    let map = Arc::new(MmapOptions::new().len(4096).map_raw(&file)?);
    file.set_len(0)?;
    // SAFETY: a byte of a mapping that lives on; that it faults is what is asked for.
    let byte = unsafe { map.as_ptr().read_volatile() };
    Ok(byte.to_string())
}

/// Reads a byte of every page of a file through a mapping, as no reader may.
fn touch(path: &Path) -> Answer {
    let file = File::open(path)?;
    let bytes = usize::try_from(file.metadata()?.len())?;
    let map = MmapOptions::new().len(bytes).map_raw_read_only(&file)?;
    let mut sum = 0u64;
    for offset in (0..bytes).step_by(4096) {
        // SAFETY: inside the mapping, which lives on.
        let at = unsafe { map.as_ptr().add(offset) };
        // SAFETY: as above; nobody writes there in this test.
        sum += u64::from(unsafe { at.read_volatile() });
    }
    Ok(sum.to_string())
}
