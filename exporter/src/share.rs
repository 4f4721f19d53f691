//! Work that those who ask at the same time share.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Runs a piece of work on a blocking thread, for all who ask while it runs.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    running: Mutex<Option<watch::Receiver<Option<T>>>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Shared {
            running: Mutex::new(None),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Shared<T> {
    /// The result of the work that runs, or of `work` when none does; `None` when it panicked.
    ///
    /// The work goes on when the one who started it goes away.
    pub(crate) async fn run(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let mut result = self.join_or_start(work);
        let found = result.wait_for(Option::is_some).await.ok()?;
        found.clone()
    }

    fn join_or_start(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> watch::Receiver<Option<T>> {
        let mut running = self.lock();
        // Work that panicked leaves a receiver whose sender is gone.
        if let Some(result) = running.as_ref().filter(|it| it.has_changed().is_ok()) {
            return result.clone();
        }
        let (sender, result) = watch::channel(None);
        *running = Some(result.clone());
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let value = work();
            *shared.lock() = None;
            // Whoever has the result may see that nobody works for it any more.
            drop(shared);
            sender.send_replace(Some(value));
        });
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<watch::Receiver<Option<T>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }

    #[test]
    fn those_who_ask_while_it_runs_share_it() {
        runtime().block_on(async {
            let shared = Arc::new(Shared::default());
            let (release, released) = mpsc::channel::<()>();
            let first = shared.join_or_start(move || {
                released.recv().ok();
                1
            });
            let second = shared.join_or_start(|| 2);
            release.send(()).unwrap();
            for mut result in [first, second] {
                assert_eq!(*result.wait_for(Option::is_some).await.unwrap(), Some(1));
            }
            assert_eq!(shared.run(|| 3).await, Some(3));
        });
    }

    #[test]
    fn a_panic_is_not_for_ever() {
        runtime().block_on(async {
            let shared = Arc::new(Shared::default());
            assert_eq!(shared.run(|| -> u8 { panic!("on purpose") }).await, None);
            assert_eq!(shared.run(|| 1).await, Some(1));
        });
    }
}
