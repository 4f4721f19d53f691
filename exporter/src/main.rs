//! The `tachograph-exporter` command.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use tachograph_exporter::cli::Arguments;
use tachograph_exporter::demo::{self, Failure};
use tachograph_exporter::server::Server;
use tachograph_exporter::{Config, Error, Front, tell};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments = Arguments::get();
    // A segment that is cut short while it is read then gives an error instead of ending the exporter.
    tachograph::install_fault_guard();
    tachograph::give_back_memory();
    let ended = if arguments.demo_worker {
        demo::run_worker().map(|()| true)
    } else if arguments.demo {
        run_demo(&arguments)
    } else {
        run(&arguments).map(|()| true).map_err(Failure::from)
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&format!("tachograph-exporter: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run_demo(arguments: &Arguments) -> Result<bool, Failure> {
    demo::run(&demo::Options {
        input: match &arguments.demo_input {
            Some(folder) => folder.clone(),
            None => std::env::current_dir()?,
        },
        passes: arguments.demo_passes,
        config: Config::load(arguments).map_err(Error::from)?,
    })
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    if arguments.print_config {
        let config = Config::load(arguments)?;
        // Whoever reads it may have had enough.
        let _ = write!(std::io::stdout(), "{config}");
        return Ok(());
    }
    if arguments.check_config {
        Front::check(Config::load(arguments)?)?;
        tell("the configuration makes sense");
        return Ok(());
    }
    // Segments are read on a thread of their own; one more is enough for the sockets.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::System {
            what: "event loop",
            source,
        })?;
    let ended = runtime.block_on(serve(arguments.clone()));
    // A name that is still being looked up keeps nobody.
    runtime.shutdown_background();
    ended
}

async fn serve(arguments: Arguments) -> Result<(), Error> {
    let no_handler = |source| Error::System {
        what: "signal handler",
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(no_handler)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(no_handler)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_handler)?;
    let server = Server::bind(move || Config::load(&arguments)).await?;
    for address in server.addresses() {
        tell(&format!("listening on {address}"));
    }
    let front = server.front();
    let stop = async {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                // What is wrong goes to the log, and the old configuration stays.
                _ = hangup.recv() => drop(front.reload().await),
            }
        }
    };
    server.run(stop).await;
    Ok(())
}
