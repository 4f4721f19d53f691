//! One file a command: each collects views from a snapshot, then writes them as JSON or as text.

pub(crate) mod check;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod gc;
pub(crate) mod get;
pub(crate) mod hist;
pub(crate) mod ls;
pub(crate) mod procs;
pub(crate) mod record;
pub(crate) mod rm;
pub(crate) mod texts;
pub(crate) mod top;
pub(crate) mod watch;
