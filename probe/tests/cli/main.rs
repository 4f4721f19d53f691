//! The real program against live segments.

mod distributions;
mod dumps;
mod failures;
mod health;
mod help;
mod lint;
mod maintenance;
mod matrix;
#[expect(unreachable_pub, reason = "other packages use it, too")]
#[path = "../../../core/tests/skip/mod.rs"]
mod skip;
mod story;
mod support;
mod values;
mod watch;
