//! The operator's tool: shows what a tachograph segment holds.
#![forbid(unsafe_code)]

mod chart;
mod cli;
mod clock;
mod commands;
mod condition;
mod context;
mod csv;
mod distributions;
mod dumped;
mod failure;
mod file;
mod filter;
mod findings;
mod follow;
mod frame;
mod glob;
mod hlog;
mod lint;
mod picture;
mod progress;
mod rates;
mod samples;
mod screen;
mod selector;
mod source;
mod table;
mod tape;
mod terminal;
mod top;
mod units;
mod views;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::failure::Failure;

/// The exit status when what was waited for did not come.
const UNMET: u8 = 3;

fn main() -> ExitCode {
    tachograph::install_fault_guard();
    let cli = Cli::parse();
    let context = Context::new(cli.global);
    match run(cli.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(failure) => {
            context.say(&failure.to_string());
            match failure {
                Failure::Unmet(_) => ExitCode::from(UNMET),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Ls(arguments) => commands::ls::run(&arguments, context),
        Command::Get(arguments) => commands::get::run(arguments, context),
        Command::Watch(arguments) => commands::watch::run(&arguments, context),
        Command::Top(arguments) => commands::top::run(arguments, context),
        Command::Record(arguments) => commands::record::run(&arguments, context),
        Command::Replay(arguments) => commands::top::replay(arguments, context),
        Command::Hist(arguments) => commands::hist::run(&arguments, context),
        Command::Diff(arguments) => commands::diff::run(&arguments, context),
        Command::Procs => commands::procs::run(context),
        Command::Check(arguments) => commands::check::run(&arguments, context),
        Command::Dump(arguments) => commands::dump::run(&arguments, context),
        Command::Doctor(arguments) => commands::doctor::run(&arguments, context),
        Command::Create(arguments) => commands::create::run(&arguments, context),
        Command::Rm(arguments) => commands::rm::run(&arguments, context),
        Command::Gc(arguments) => commands::gc::run(&arguments, context),
        Command::Completions(arguments) => commands::texts::completions(&arguments, context),
        Command::Man(arguments) => commands::texts::man(&arguments, context),
        Command::Lint(arguments) => lint::run(&arguments, context),
    }
}
