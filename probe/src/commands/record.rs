//! `record`: the looks at a segment, kept in a file.

use std::io;
use std::time::Instant;

use crate::cli::Record;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::Follower;
use crate::frame::Eye;
use crate::progress::Progress;
use crate::tape::TapeFile;
use crate::units;

use super::watch::{is_stopped, stop_signal};

pub(crate) fn run(arguments: &Record, context: &Context) -> Result<(), Failure> {
    let mut follower = Follower::attach(context)?;
    if !follower.is_live() {
        let reason = "a dump or a recording does not change: nothing to record";
        return Err(Failure::Message(reason.into()));
    }
    let stop = stop_signal()?;
    let mut file = TapeFile::create(&arguments.file, arguments.size, arguments.overwrite)
        .map_err(|error| failed(arguments, &error))?;
    let (shown, every) = (arguments.file.display(), arguments.interval.as_secs_f64());
    let progress = Progress::new(&format!(
        "recording every {every} s to {shown}, until Ctrl-C"
    ));
    let mut eye = Eye::default();
    let mut due = Instant::now();
    let mut looks = 0u64;
    loop {
        let (snapshot, message) = follower.look();
        if let Some(message) = message {
            context.say(&message);
        }
        if let Some(snapshot) = snapshot {
            file.push(&eye.see(&snapshot))
                .map_err(|error| failed(arguments, &error))?;
            looks += 1;
        }
        due = (due + arguments.interval).max(Instant::now());
        if arguments.count == Some(looks) || is_stopped(&stop, due) {
            break;
        }
    }
    drop(progress);
    let file = arguments.file.display();
    let looks = units::counted(usize::try_from(looks).unwrap_or(usize::MAX), "look");
    context.say(&format!("{looks} recorded in {file}"));
    Ok(())
}

fn failed(arguments: &Record, error: &io::Error) -> Failure {
    let file = arguments.file.display();
    Failure::Message(match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{file} is there already; name another, or say --overwrite")
        }
        io::ErrorKind::FileTooLarge => format!(
            "one look at this segment does not fit into an eighth of {}; give a larger --size",
            units::size(arguments.size)
        ),
        _ => format!("cannot record to {file}: {error}"),
    })
}
