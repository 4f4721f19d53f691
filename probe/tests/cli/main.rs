//! The real program against live segments.

mod dumps;
mod failures;
mod health;
mod help;
mod support;
mod values;
mod watch;
