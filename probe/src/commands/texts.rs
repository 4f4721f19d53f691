//! `completions` and `man`: from the same definitions as the command line.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Failure;

pub(crate) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  tachograph-probe completions bash \\
    >/usr/share/bash-completion/completions/tachograph-probe
  tachograph-probe completions fish \\
    >~/.config/fish/completions/tachograph-probe.fish";

pub(crate) const MAN_EXAMPLES: &str = "\
Examples:
  tachograph-probe man | man -l -
  tachograph-probe man --output /usr/local/share/man/man1";

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// A folder for a page of each command [default: the first page alone, to
    /// standard output]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(crate) fn completions(arguments: &Completions, context: &Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    clap_complete::generate(
        arguments.shell,
        &mut command,
        "tachograph-probe",
        &mut script,
    );
    context.write(|out| out.write_all(&script))
}

pub(crate) fn man(arguments: &Man, context: &Context) -> Result<(), Failure> {
    if let Some(folder) = &arguments.output {
        let failure =
            |error| Failure::Message(format!("cannot write to {}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(failure)?;
        return clap_mangen::generate_to(Cli::command(), folder).map_err(failure);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    context.write(|out| out.write_all(&page))
}
