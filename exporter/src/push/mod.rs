//! Pushes pages to receivers that cannot scrape.
//!
//! A receiver gets what a page in protobuf shows at the moment, decoded and written anew in its own protocol: what is
//! decided for pages holds for pushes. Each has a bounded queue of requests and two tasks, one that fills it and one
//! that empties it, so none waits for another, and no scrape for any.

mod backoff;
mod client;
mod model;
mod otlp;
mod queue;
mod remote_write;
mod tally;
mod target;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::model::Family;
use self::otlp::Otlp;
use self::remote_write::RemoteWrite;
use self::target::Protocol;
use crate::config::{ConfigError, Push, Receiver};
use crate::front::Front;
use crate::log;

pub use self::tally::PushReport;
pub(crate) use self::tally::{Loss, Outcome};
pub(crate) use self::target::Target;

/// How long the last push may take; less than requests in flight may.
const LAST_PUSH: Duration = Duration::from_secs(4);
/// Whoever pushes more often wants something else.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What is to be pushed.
pub(crate) struct Moment<'a> {
    families: &'a [Family],
    /// Series that were pushed before and are no more.
    vanished: &'a [Family],
    unix_nanos: u64,
}

/// What a receiver makes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It took it.
    Accepted,
    /// It took it but for so many points.
    Partly(u64, String),
    /// It wants it again.
    Again(String),
    /// It will never take it.
    Refused(String),
}

/// The targets that `push` asks for. They go on from `old` where they are the same.
///
/// # Errors
/// When something cannot be read or does not go together.
pub(crate) fn targets(push: &Push, old: &[Arc<Target>]) -> Result<Vec<Arc<Target>>, ConfigError> {
    let mut names = HashSet::new();
    let of = |receivers: &[Receiver], is_otlp| {
        let of = |receiver: &Receiver| target(receiver, is_otlp, old);
        receivers.iter().map(of).collect::<Result<Vec<_>, _>>()
    };
    let mut targets = of(&push.otlp, true)?;
    targets.extend(of(&push.remote_write, false)?);
    for target in &targets {
        let name = target.receiver.name();
        if !names.insert(name) {
            let what = format!("push: two receivers are called {name}; give one a `name`");
            return Err(ConfigError::new(what));
        }
    }
    Ok(targets)
}

fn target(
    receiver: &Receiver,
    is_otlp: bool,
    old: &[Arc<Target>],
) -> Result<Arc<Target>, ConfigError> {
    check(receiver, is_otlp)?;
    let same = |it: &&Arc<Target>| it.is_otlp() == is_otlp && it.receiver.name() == receiver.name();
    let old = old.iter().find(same);
    if let Some(old) = old.filter(|old| old.receiver == *receiver) {
        return Ok(Arc::clone(old));
    }
    let state = old.map_or_else(Arc::default, |old| Arc::clone(&old.state));
    let protocol = if is_otlp {
        Protocol::Otlp(Otlp::new(receiver))
    } else {
        Protocol::RemoteWrite(RemoteWrite::new(receiver))
    };
    Ok(Arc::new(Target::new(receiver, protocol, state)?))
}

fn check(receiver: &Receiver, is_otlp: bool) -> Result<(), ConfigError> {
    let fault = |what| {
        let name = receiver.name();
        Err(ConfigError::new(format!("push to {name}: {what}")))
    };
    if receiver.interval < INTERVAL_MIN {
        return fault("`interval` must be 0.1s or more".into());
    }
    if receiver.basic_auth.is_some() && receiver.bearer_token_file.is_some() {
        return fault("`basic_auth` and `bearer_token_file` exclude each other".into());
    }
    let is_wrong = |name: &&String| match is_otlp {
        true => name.is_empty(),
        false => !is_label_name(name),
    };
    match receiver.labels.keys().find(is_wrong) {
        Some(name) => fault(format!("{name:?} is no name of a label")),
        None => Ok(()),
    }
}

/// Names that begin with two underscores belong to Prometheus.
fn is_label_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter)
        && !name.starts_with("__")
        && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
        && name != "le"
}

/// `given`, and what it does not say: the name of the host, and who pushes.
fn defaults(
    of_host: &[&str],
    of_exporter: &str,
    given: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let of_host = of_host.iter().map(|name| (*name, host.trim()));
    let all = of_host.chain([(of_exporter, "tachograph")]);
    let mut all: BTreeMap<String, String> = all
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    all.extend(given.clone());
    all.retain(|_, value| !value.is_empty());
    all
}

/// A target at work; it stops when it is dropped.
struct Running {
    target: Arc<Target>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn start(target: Arc<Target>, front: &Arc<Front>) -> Running {
        let (work, front) = (Arc::clone(&target), Arc::clone(front));
        let task = tokio::spawn(async move { work.run(&front).await });
        Running { target, task }
    }

    /// Stops; what was being sent is in the queue again.
    async fn stop(mut self) -> Arc<Target> {
        self.task.abort();
        let _ = (&mut self.task).await;
        Arc::clone(&self.target)
    }
}

/// Pushes to the receivers of the configuration of now, until `stop` says so; then once more.
pub(crate) async fn run(front: Arc<Front>, mut stop: watch::Receiver<bool>) {
    let mut running = Vec::new();
    loop {
        running = exchange(running, &front).await;
        tokio::select! {
            _ = stop.wait_for(|&stop| stop) => break,
            () = front.exchanged.notified() => {}
        }
    }
    let mut last = JoinSet::new();
    for it in running {
        let (target, front) = (it.stop().await, Arc::clone(&front));
        last.spawn(async move {
            if tokio::time::timeout(LAST_PUSH, target.finish(&front))
                .await
                .is_err()
            {
                let (points, name) = (target.waiting_points(), target.receiver.name());
                log(&format!("{points} points never reached {name}"));
            }
        });
    }
    last.join_all().await;
}

/// Stops those that are no more, then starts those that are new: one may have the queue of another.
async fn exchange(running: Vec<Running>, front: &Arc<Front>) -> Vec<Running> {
    let targets = front.live().targets.clone();
    front.status.push_to(targets.clone());
    let is_wanted = |it: &Running| targets.iter().any(|target| Arc::ptr_eq(target, &it.target));
    let (mut kept, gone): (Vec<_>, Vec<_>) = running.into_iter().partition(is_wanted);
    for it in gone {
        it.stop().await;
    }
    for target in targets {
        if !kept.iter().any(|it| Arc::ptr_eq(&it.target, &target)) {
            kept.push(Running::start(target, front));
        }
    }
    kept
}
