//! `wan-alpha completions` and `wan-alpha man`: what the command line is, for shells and for `man`,
//! made from its definition.

use std::fs;
use std::io::{Write, stdout};
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Exit, OrExit};
use crate::stdout::{heard, print_lines};

/// Prints the completions of a shell.
pub(crate) fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wan-alpha", &mut script);
    print(&script)
}

/// Prints the page of the command, or writes a page for it and for each of its verbs into a folder.
pub(crate) fn man(folder: Option<&Path>) -> Result<()> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return print(&page);
    };
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("cannot write pages into {}", folder.display()))
        .or_exit(Exit::BadInput)?;
    print_lines(&[folder.display().to_string()])
}

fn print(bytes: &[u8]) -> Result<()> {
    let mut out = stdout().lock();
    heard(out.write_all(bytes).and_then(|()| out.flush()))
}
