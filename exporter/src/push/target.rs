//! One receiver: pages become requests, and these are sent in order, again if need be.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::header;
use tokio::time::MissedTickBehavior;

use super::backoff::Backoff;
use super::client::{Answer, Client};
use super::model::{self, Family};
use super::otlp::{self, Otlp};
use super::queue::{Queue, Taken};
use super::remote_write::{self, RemoteWrite};
use super::tally::{Loss, Outcome, PushReport, Tally};
use super::{Moment, Verdict};
use crate::config::{ConfigError, Receiver};
use crate::escaping::Escaping;
use crate::front::Front;
use crate::log;

/// Receivers of remote write forget what a family is about.
const METADATA_INTERVAL: Duration = Duration::from_secs(60);
/// So many different reasons go to the log.
const TOLD_MAX: usize = 16;
/// So much of a receiver's complaint is shown.
const COMPLAINT_CHARS_MAX: usize = 300;

#[derive(Debug)]
pub(crate) enum Protocol {
    Otlp(Otlp),
    RemoteWrite(RemoteWrite),
}

/// A receiver, by one configuration.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) receiver: Receiver,
    pub(crate) state: Arc<State>,
    protocol: Protocol,
    client: Client,
}

/// What stays when the configuration of a receiver changes.
#[derive(Debug, Default)]
pub(crate) struct State {
    queue: Queue,
    course: Mutex<Course>,
    tally: Mutex<Tally>,
}

/// What was made of the pages so far.
#[derive(Default)]
struct Course {
    before: Vec<Family>,
    unix_nanos: u64,
    metadata_at: Option<Instant>,
}

impl fmt::Debug for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Course")
            .field("families", &self.before.len())
            .finish_non_exhaustive()
    }
}

impl Target {
    /// # Errors
    /// When the configuration makes no sense.
    pub(crate) fn new(
        receiver: &Receiver,
        protocol: Protocol,
        state: Arc<State>,
    ) -> Result<Target, ConfigError> {
        let headers: &[_] = match protocol {
            Protocol::Otlp(_) => &otlp::HEADERS,
            Protocol::RemoteWrite(_) => &remote_write::HEADERS,
        };
        Ok(Target {
            client: Client::new(receiver, headers)?,
            receiver: receiver.clone(),
            state,
            protocol,
        })
    }

    pub(crate) fn is_otlp(&self) -> bool {
        matches!(self.protocol, Protocol::Otlp(_))
    }

    /// How its receiver is told names that are not of letters, digits and underscores.
    fn escaping(&self) -> Escaping {
        let default = match self.protocol {
            Protocol::Otlp(_) => Escaping::AllowUtf8,
            Protocol::RemoteWrite(_) => Escaping::Underscores,
        };
        self.receiver.escaping.unwrap_or(default)
    }

    /// Gives the queue the room that this configuration allows.
    pub(crate) fn make_room(&self) {
        let limit = usize::try_from(self.receiver.buffer_bytes).unwrap_or(usize::MAX);
        self.state.queue.set_limit(limit);
    }

    /// Pushes until it is dropped.
    pub(crate) async fn run(self: &Arc<Self>, front: &Front) {
        tokio::join!(self.take_pages(front), self.send_for_ever());
    }

    /// Pushes one page more, and all that waits. It may take for ever.
    pub(crate) async fn finish(self: &Arc<Self>, front: &Front) {
        self.take_page(front).await;
        let mut backoff = Backoff::default();
        while let Some(taken) = self.state.queue.try_take() {
            self.send(taken, &mut backoff).await;
        }
    }

    async fn take_pages(self: &Arc<Self>, front: &Front) {
        let period = self.receiver.interval;
        // Exporters that begin together do not push together.
        let first = tokio::time::Instant::now() + period.mul_f64(fastrand::f64());
        let mut ticks = tokio::time::interval_at(first, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.take_page(front).await;
        }
    }

    async fn take_page(self: &Arc<Self>, front: &Front) {
        let now = SystemTime::now();
        // One that cannot be made is a bug that was printed.
        let Some(page) = front.live().routes.protobuf(self.escaping()).await else {
            return;
        };
        let target = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || target.enqueue(&page.body, now));
        if let Ok(Err(error)) = made.await {
            log(&format!("a page could not be pushed: {error}"));
        }
    }

    fn enqueue(&self, page: &[u8], now: SystemTime) -> Result<(), prost::DecodeError> {
        let families = model::decode(page)?;
        let mut course = lock(&self.state.course);
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        // Receivers refuse what is not newer, whatever the clock does.
        course.unix_nanos = nanos.max(course.unix_nanos + 1_000_000);
        let vanished = model::vanished(std::mem::take(&mut course.before), &families);
        let moment = Moment {
            families: &families,
            vanished: &vanished,
            unix_nanos: course.unix_nanos,
        };
        let requests = match &self.protocol {
            Protocol::Otlp(otlp) => otlp.requests(&moment),
            Protocol::RemoteWrite(remote_write) => {
                let last = course.metadata_at;
                let is_due = last.is_none_or(|last| last.elapsed() >= METADATA_INTERVAL);
                if is_due {
                    course.metadata_at = Some(Instant::now());
                }
                remote_write.requests(&moment, is_due)
            }
        };
        course.before = families;
        for request in requests {
            self.state.queue.push(request);
        }
        Ok(())
    }

    async fn send_for_ever(&self) {
        let mut backoff = Backoff::default();
        loop {
            let taken = self.state.queue.take().await;
            self.send(taken, &mut backoff).await;
        }
    }

    /// Sends it; when that is to be done again, waits for the time to do so.
    async fn send(&self, taken: Taken<'_>, backoff: &mut Backoff) {
        if taken.request().is_retry {
            lock(&self.state.tally).retries += 1;
        }
        let began = Instant::now();
        let answer = self.client.post(taken.request().body.clone()).await;
        let (why, outcome, pause) = match answer {
            Err(why) => (why, Outcome::Unanswered, None),
            Ok(answer) => match self.judge(&answer) {
                Verdict::Accepted => {
                    self.accepted(taken.done(), 0, began);
                    return backoff.reset();
                }
                Verdict::Partly(rejected, why) => {
                    self.complain("it has to say", &why);
                    self.accepted(taken.done(), rejected, began);
                    return backoff.reset();
                }
                Verdict::Refused(why) => {
                    self.refused(taken.done(), answer.status, &why);
                    return backoff.reset();
                }
                Verdict::Again(why) => {
                    let pause = retry_after(&answer);
                    let why = format!("{}: {}", answer.status, shown(&why));
                    (why, Outcome::Unavailable, pause)
                }
            },
        };
        drop(taken);
        self.failed(why, outcome);
        tokio::time::sleep(backoff.next(pause)).await;
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        match self.protocol {
            Protocol::Otlp(_) => otlp::judge(answer.status, &answer.body),
            Protocol::RemoteWrite(_) => remote_write::judge(answer.status, &answer.body),
        }
    }

    fn accepted(&self, points: u64, rejected: u64, began: Instant) {
        let mut tally = lock(&self.state.tally);
        let rejected = rejected.min(points);
        tally.sent_points += points - rejected;
        tally.lost_points[Loss::Rejected as usize] += rejected;
        tally.requests[Outcome::Accepted as usize] += 1;
        tally.refusal = None;
        tally.last_success = Some((SystemTime::now(), began.elapsed()));
        if tally.fault.take().is_some() {
            log(&format!("{} takes pushes again", self.receiver.name()));
        }
    }

    fn refused(&self, points: u64, status: StatusCode, why: &str) {
        self.complain(&format!("it refuses points with {status}"), why);
        let mut tally = lock(&self.state.tally);
        tally.lost_points[Loss::Refused as usize] += points;
        tally.refusal = Some(format!("{status}: {}", shown(why)));
        tally.requests[Outcome::Refused as usize] += 1;
    }

    fn failed(&self, why: String, outcome: Outcome) {
        let mut tally = lock(&self.state.tally);
        tally.requests[outcome as usize] += 1;
        let is_first = tally.fault.replace(why.clone()).is_none();
        let is_new = tally.told.len() < TOLD_MAX && tally.told.insert(why.clone());
        if is_first || is_new {
            let name = self.receiver.name();
            log(&format!("cannot push to {name}: {why}; trying on"));
        }
    }

    /// Tells the operator once.
    fn complain(&self, what: &str, why: &str) {
        if lock(&self.state.tally).told.insert(what.to_owned()) {
            let (name, why) = (self.receiver.name(), shown(why));
            log(&format!(
                "push to {name}: {what}: {why}; this is not said again"
            ));
        }
    }

    /// Tells the operator what waits and will never be sent.
    pub(crate) fn give_up(&self) {
        let (points, name) = (self.state.queue.points(), self.receiver.name());
        if points > 0 {
            log(&format!("{points} points never reached {name}"));
        }
    }

    pub(crate) fn report(&self) -> PushReport {
        let mut tally = lock(&self.state.tally).clone();
        tally.lost_points[Loss::Buffer as usize] = self.state.queue.dropped_points();
        PushReport {
            receiver: self.receiver.name().to_owned(),
            protocol: if self.is_otlp() {
                "otlp"
            } else {
                "remote_write"
            },
            queue_bytes: self.state.queue.bytes() as u64,
            tally,
        }
    }
}

/// What a stranger says, as it may stand in a line of the log.
fn shown(text: &str) -> String {
    let text = text.trim().chars().take(COMPLAINT_CHARS_MAX);
    text.flat_map(char::escape_debug).collect()
}

/// When the receiver wants to be asked again.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// A panic leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
