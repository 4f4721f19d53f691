//! The operator's tool: shows what a tachograph segment holds.
#![forbid(unsafe_code)]

mod chart;
mod cli;
mod clock;
mod commands;
mod context;
mod failure;
mod filter;
mod follow;
mod lint;
mod rates;
mod screen;
mod source;
mod table;
mod terminal;
mod units;
mod views;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::failure::Failure;

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
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Ls(arguments) => commands::ls::run(&arguments, context),
        Command::Get(arguments) => commands::get::run(arguments, context),
        Command::Watch(arguments) => commands::watch::run(arguments, context),
        Command::Procs => commands::procs::run(context),
        Command::Check => commands::check::run(context),
        Command::Dump => commands::dump::run(context),
        Command::Lint(arguments) => lint::run(&arguments, context),
    }
}
