//! Steps: the places between two writes that other processes can see, where a test kills or stops one.
//! Nothing in a normal build.
//!
//! A build with `--cfg tachograph_proof` reads two variables when it passes its first step.
//! `TACHOGRAPH_STEP` holds orders, one or more of `name:nth:kill` and `name:nth:stop` with commas between:
//! the process sends itself that signal when it passes the step for the `nth` time. `TACHOGRAPH_STEPS` names
//! a file that gets a line for every step passed.
//!
//! In a unit test something else can happen at a step, see `meanwhile`.

/// Passes the step called `name`.
#[cfg(all(not(tachograph_proof), any(not(test), loom)))]
#[inline(always)]
pub(crate) fn step(_name: &'static str) {}

#[cfg(all(tachograph_proof, any(not(test), loom)))]
pub(crate) use ordered::step;

#[cfg(all(test, not(loom)))]
pub(crate) use meanwhile::step;

/// A place between two looks of a reader, who can be killed anywhere: something happens there in unit tests only.
#[inline(always)]
pub(crate) fn pause(_name: &'static str) {
    #[cfg(all(test, not(loom)))]
    step(_name);
}

#[cfg(all(tachograph_proof, any(not(test), loom)))]
mod ordered {
    use std::env;
    use std::fs::File;
    use std::io::Write;

    use nix::sys::signal::{Signal, raise};
    use once_cell::race::OnceBox;

    use crate::sync::{AtomicU64, Ordering};

    struct Order {
        name: String,
        nth: u64,
        signal: Signal,
        passed: AtomicU64,
    }

    struct Orders {
        orders: Vec<Order>,
        trace: Option<File>,
    }

    /// Passes the step called `name`.
    pub(crate) fn step(name: &'static str) {
        // Without a lock, because a forked child passes steps too.
        static ORDERS: OnceBox<Orders> = OnceBox::new();
        let Orders { orders, trace } = ORDERS.get_or_init(|| Box::new(of_environment()));
        if let Some(mut file) = trace.as_ref() {
            file.write_all(format!("{name}\n").as_bytes())
                .expect("steps can be written");
        }
        for order in orders.iter().filter(|order| order.name == name) {
            if order.passed.fetch_add(1, Ordering::Relaxed) + 1 == order.nth {
                raise(order.signal).expect("a process may signal itself");
            }
        }
    }

    fn of_environment() -> Orders {
        let orders = env::var("TACHOGRAPH_STEP").unwrap_or_default();
        let orders = orders.split(',').filter(|order| !order.is_empty());
        let open = |path| File::options().create(true).append(true).open(path);
        Orders {
            orders: orders
                .map(|text| parse(text).unwrap_or_else(|| panic!("no order: {text}")))
                .collect(),
            trace: env::var_os("TACHOGRAPH_STEPS")
                .map(|path| open(path).expect("a file for the steps")),
        }
    }

    fn parse(text: &str) -> Option<Order> {
        let mut parts = text.split(':');
        Some(Order {
            name: parts.next()?.to_owned(),
            nth: parts.next()?.parse().ok()?,
            signal: match parts.next()? {
                "kill" => Signal::SIGKILL,
                "stop" => Signal::SIGSTOP,
                _ => return None,
            },
            passed: AtomicU64::new(0),
        })
    }
}

/// What other threads or processes do just then, as a unit test has it.
#[cfg(all(test, not(loom)))]
pub(crate) mod meanwhile {
    use std::cell::Cell;

    type Act = Box<dyn FnOnce()>;

    thread_local! {
        static PLANNED: Cell<Option<(&'static str, Act)>> = const { Cell::new(None) };
    }

    /// Fails the test when it is dropped before its act was done.
    #[must_use]
    pub(crate) struct Planned;

    impl Drop for Planned {
        fn drop(&mut self) {
            if let Some((name, _)) = PLANNED.take() {
                assert!(std::thread::panicking(), "{name} was not passed");
            }
        }
    }

    /// Has something done when this thread passes the step or the pause called `name` for the first time.
    pub(crate) fn at(name: &'static str, act: impl FnOnce() + 'static) -> Planned {
        PLANNED.set(Some((name, Box::new(act))));
        Planned
    }

    /// Passes the step called `name`.
    pub(crate) fn step(name: &'static str) {
        match PLANNED.take() {
            Some((planned, act)) if planned == name => act(),
            other => PLANNED.set(other),
        }
    }
}
