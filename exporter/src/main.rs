//! The `tachograph-exporter` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use tachograph_exporter::cli::Arguments;
use tachograph_exporter::demo::{self, Failure};
use tachograph_exporter::server::Server;
use tachograph_exporter::source::Sources;
use tachograph_exporter::{Error, Limits, tell};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A segment that is cut short while it is read then gives an error instead of ending the exporter.
    tachograph::install_fault_guard();
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
        listen: arguments.listen.clone(),
        limits: Limits::from(&arguments.limits),
    })
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    // Segments are read on a thread of their own; one more is enough for the sockets.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::System {
            what: "event loop",
            source,
        })?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> Result<(), Error> {
    let no_handler = |source| Error::System {
        what: "signal handler",
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(no_handler)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_handler)?;
    let sources = Sources::new(match arguments.segment.as_slice() {
        [] => vec![tachograph::default_path()],
        given => given.to_vec(),
    });
    let limits = Limits::from(&arguments.limits);
    let server = Server::bind(
        &arguments.listen,
        limits,
        sources,
        arguments.openmetrics_created,
    )
    .await?;
    for address in server.addresses() {
        tell(&format!("listening on {address}"));
    }
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.run(stop).await;
    Ok(())
}
