//! Pushes pages to receivers that cannot scrape.
//!
//! A receiver gets what a page in protobuf shows at the moment, decoded and written anew in its own protocol: what is
//! decided for pages holds for pushes. Each has a bounded queue of requests and two tasks, one that fills it and one
//! that empties it, so none waits for another, and no scrape for any.

mod backoff;
mod client;
mod model;
mod otel;
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
        // Before anything else, as it may be told to finish before it has begun.
        target.make_room();
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
            // What has not come about by then does not.
            let _ = tokio::time::timeout(LAST_PUSH, target.finish(&front)).await;
            target.give_up();
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
        let old = it.stop().await;
        let goes_on = |new: &Arc<Target>| Arc::ptr_eq(&new.state, &old.state);
        if !targets.iter().any(goes_on) {
            old.give_up();
        }
    }
    for target in targets {
        if !kept.iter().any(|it| Arc::ptr_eq(&it.target, &target)) {
            kept.push(Running::start(target, front));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::model::{Bucket, Exemplar, Histogram, Kind, Label, Metric, Number, Span, Time};
    use super::*;

    /// A receiver with these keys.
    pub(super) fn receiver(text: &str) -> Receiver {
        toml::from_str(&format!("url = 'http://x'\n{text}")).unwrap()
    }

    pub(super) fn label(name: &str, value: &str) -> Label {
        Label {
            name: name.into(),
            value: value.into(),
        }
    }

    pub(super) fn family(name: &str, metrics: Vec<Metric>) -> Family {
        let is_histogram = metrics.iter().any(|it| it.histogram.is_some());
        let kind = if is_histogram {
            Kind::Histogram
        } else {
            Kind::Counter
        };
        Family {
            name: name.into(),
            kind: kind.into(),
            metrics,
            ..Family::default()
        }
    }

    pub(super) fn counter(labels: &[Label], value: f64) -> Metric {
        Metric {
            labels: labels.to_vec(),
            counter: Some(Number {
                value,
                ..Number::default()
            }),
            ..Metric::default()
        }
    }

    /// Six values: zero, one in bucket 3, two in bucket 4, one in bucket 7, and some that only the classic buckets have.
    pub(super) fn histogram() -> Metric {
        let span = |offset, length| Span { offset, length };
        let trace = label("trace_id", "000102030405060708090a0b0c0d0e0f");
        let bucket = |cumulative_count, upper_bound| Bucket {
            cumulative_count,
            upper_bound,
            exemplar: None,
        };
        let exemplar = Exemplar {
            labels: vec![trace, label("span_id", "none")],
            value: 0.5,
            time: Some(Time {
                seconds: 3,
                nanos: 0,
            }),
        };
        let first = Bucket {
            exemplar: Some(exemplar),
            ..bucket(1, 1.0)
        };
        Metric {
            histogram: Some(Histogram {
                count: 6,
                sum: 20.0,
                buckets: vec![first, bucket(6, f64::INFINITY)],
                schema: 4,
                zero_threshold: 1e-39,
                zero_count: 1,
                spans: vec![span(3, 2), span(2, 1)],
                deltas: vec![1, 1, -1],
                start: Some(Time {
                    seconds: 2,
                    nanos: 1,
                }),
                exemplars: Vec::new(),
            }),
            ..Metric::default()
        }
    }

    #[test]
    fn what_vanishes_is_known_by_name_type_and_labels() {
        let of = |value: &str| counter(&[label("a", value)], 1.0);
        let before = vec![
            family("x_total", vec![of("1"), of("2")]),
            family("y_total", vec![of("1")]),
        ];
        let now = [family("x_total", vec![of("2"), of("3")])];
        let gone = model::vanished(before.clone(), &now);
        let expected = [family("x_total", vec![of("1")]), before[1].clone()];
        assert_eq!(gone, expected);
        assert_eq!(model::vanished(before.clone(), &before), []);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, expected) in [
            ("[[otlp]]\nurl = 'shop'", "`url` \"shop\": "),
            ("[[otlp]]\nurl = 'ftp://x'", "http:// or https://"),
            ("[[otlp]]\nurl = 'http://a:b@x'", "`basic_auth`"),
            ("[[otlp]]\nurl = 'http://x'\ninterval = '1ms'", "0.1s"),
            (
                "[[otlp]]\nurl = 'http://x'\nheaders = { 'a b' = '' }",
                "`a b`",
            ),
            ("[[otlp]]\nurl = 'http://x'\ncert_file = 'x'", "`key_file`"),
            (
                "[[otlp]]\nurl = 'http://x'\nbearer_token_file = '/no/token'",
                "/no/token",
            ),
            (
                "[[otlp]]\nurl = 'http://x'\nca_file = '/no/such'",
                "/no/such",
            ),
            (
                "[[remote_write]]\nurl = 'http://x'\nlabels = { 'a.b' = '' }",
                "\"a.b\"",
            ),
            (
                "[[otlp]]\nurl = 'http://x?a'\n[[otlp]]\nurl = 'http://x?b'",
                "two receivers are called http://x;",
            ),
        ] {
            let push: Push = toml::from_str(text).unwrap();
            let fault = targets(&push, &[]).unwrap_err().to_string();
            assert!(fault.contains(expected), "{text}: {fault}");
            assert!(!fault.contains("a:b"), "{fault}");
        }
        for text in ["[[otlp]]", "[[otlp]]\nurl = 'http://x'\nmax_points = 0"] {
            assert!(toml::from_str::<Push>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_target_goes_on_where_it_is_the_same() {
        let of = |text: &str, old: &[Arc<Target>]| {
            let push: Push = toml::from_str(text).unwrap();
            targets(&push, old).unwrap()
        };
        let text = "[[otlp]]\nurl = 'http://x'\n[[remote_write]]\nurl = 'http://y'\n";
        let old = of(text, &[]);
        let new = of(&format!("{text}interval = '1s'"), &old);
        assert!(Arc::ptr_eq(&old[0], &new[0]));
        assert!(!Arc::ptr_eq(&old[1], &new[1]));
        assert!(Arc::ptr_eq(&old[1].state, &new[1].state));
        let other = of("[[remote_write]]\nurl = 'http://x'", &old);
        assert!(!Arc::ptr_eq(&old[0].state, &other[0].state));
    }
}
