//! What the storm of the scheduler records beside [`crate::update`]: floats, by a thread and by the signal
//! handler that interrupts it, in the same series.

use tachograph::{CounterF64, Error, Snapshot, Writer};

/// The counter of floats that every thread and handler adds to.
pub const SHARED: &str = "shared_share_total";
/// That of one thread and its handler, told apart by the label `thread`.
pub const OWN: &str = "own_share_total";

/// What an update adds: in binary, so that a sum of them is exact.
pub const BY_THREAD: f64 = 0.5;
/// What an update by the handler adds.
pub const BY_HANDLER: f64 = 0.25;

/// The counters of floats of one thread and its handler.
#[derive(Debug, Clone, Copy)]
pub struct Floats {
    own: CounterF64,
    shared: CounterF64,
}

impl Floats {
    /// Registers the series of `thread`.
    ///
    /// # Errors
    /// What registration says.
    pub fn register(writer: &Writer, thread: usize) -> Result<Floats, Error> {
        Ok(Floats {
            own: writer
                .counter_f64(OWN, "Shares of one thread")
                .label("thread", thread.to_string())
                .register()?,
            shared: writer
                .counter_f64(SHARED, "Shares of all threads")
                .register()?,
        })
    }

    /// Adds to both.
    pub fn add(&self, n: f64) {
        self.own.add(n);
        self.shared.add(n);
    }
}

/// Judges the floats of threads that made `(by thread, by handler)` updates each.
///
/// # Errors
/// Says what was lost or counted twice.
pub fn judge(snapshot: &Snapshot, updates: &[(u64, u64)]) -> Result<(), String> {
    let mut total = 0.0;
    for (thread, &(by_thread, by_handler)) in updates.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^51")]
        let expected = by_thread as f64 * BY_THREAD + by_handler as f64 * BY_HANDLER;
        total += expected;
        same(snapshot, OWN, &[("thread", &thread.to_string())], expected)?;
    }
    same(snapshot, SHARED, &[], total)
}

#[expect(clippy::float_cmp, reason = "exact is what is promised")]
fn same(
    snapshot: &Snapshot,
    name: &str,
    labels: &[(&str, &str)],
    expected: f64,
) -> Result<(), String> {
    let shown = snapshot.number(name, labels);
    (shown == expected)
        .then_some(())
        .ok_or_else(|| format!("{name} {labels:?} shows {shown}, not {expected}"))
}
