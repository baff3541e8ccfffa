//! `wan-alpha`: text to RGBA video, as a command.
//!
//! One file per verb. This file sets the process up and turns errors into exit codes; nothing
//! below it reads the environment or ends the process.

mod args;
mod dump;
mod exit;
mod interrupt;
mod mask_sequence;
mod output;
mod progress;
mod render;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::{Cli, Command};
use exit::Exit;
use interrupt::Interrupt;
use progress::Progress;

fn main() -> ExitCode {
    use_huge_pages();
    let cli = Cli::parse();
    let progress = Progress::new(cli.quiet);
    match run(cli, &progress) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            progress.done();
            eprintln!("wan-alpha: {error:#}");
            Exit::of(&error).into()
        }
    }
}

fn run(cli: Cli, progress: &Progress) -> Result<()> {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => log::LevelFilter::Error,
        (_, 0) => log::LevelFilter::Warn,
        (_, 1) => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    env_logger::Builder::new().filter_level(level).format_timestamp(None).init();
    output::survive_file_size_limit()?;
    let interrupt = Interrupt::install()?;
    match cli.command {
        Command::Render(args) => render::run(&args, progress, &interrupt),
    }
}

/// Lets libtorch ask for huge pages: the decoder's activations are large and new for every layer,
/// and without this half of the time spent on them goes to page faults.
#[allow(unsafe_code)]
fn use_huge_pages() {
    // SAFETY: first statement of main; no other thread exists that could read the environment.
    unsafe { std::env::set_var("THP_MEM_ALLOC_ENABLE", "1") };
}
