//! The real program against live segments.

mod failures;
mod health;
mod help;
mod lint;
mod support;
mod values;
mod watch;
