//! `wan-alpha`: text to RGBA video, as a command.
//!
//! One file per verb. This file sets the process up and turns errors into exit codes; `environment`
//! reads what the environment says, and nothing else does.

mod args;
mod console;
mod cpu_estimate;
mod data;
mod decode;
mod device;
mod doctor;
mod dump;
mod ellipse;
mod encode;
mod engine;
mod environment;
mod eval;
mod exit;
mod interrupt;
mod latent_file;
mod maker;
mod media;
mod model;
mod output;
mod progress;
mod render;
mod stdout;
mod take;
mod train;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::{Cli, Command, EngineCommand};
use console::Console;
use exit::Exit;
use interrupt::Interrupt;
use progress::Progress;

fn main() -> ExitCode {
    set_up_allocators();
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
    let environment = environment::read();
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => log::LevelFilter::Error,
        (_, 0) => environment.log.unwrap_or(log::LevelFilter::Warn),
        (_, 1) => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    let mut logger = env_logger::Builder::new();
    if let Command::Engine(EngineCommand::Run(_)) = &cli.command {
        engine::log_to_file(&mut logger, &environment, level)?;
    } else {
        logger.filter_level(level).format_timestamp(None);
    }
    logger.init();
    output::survive_file_size_limit()?;
    let interrupt = Interrupt::install()?;
    let console = Console::new(progress, &interrupt);
    match cli.command {
        Command::Render(args) => render::run(&args, &environment, progress, &console),
        Command::Take(command) => take::run(&command, &environment, progress, &console),
        Command::Data(command) => data::run(&command, &environment, progress, &console),
        Command::Ellipse(command) => ellipse::run(&command, progress, &console),
        Command::Engine(verb) => engine::run(&verb, &environment, &interrupt),
        Command::Doctor { json } => doctor::run(json, &environment),
        Command::Train(args) => train::run(&args, &environment, progress, &console),
        Command::Encode(args) => encode::run(&args, &environment, progress, &console),
        Command::Decode(args) => decode::run(&args, &environment, progress, &console),
        Command::Eval(command) => eval::run(&command, &environment, progress, &console),
        Command::Model(command) => model::run(&command, &environment, progress, &console),
    }
}

/// Sets up libtorch's allocators, which read the environment once; what the user has set counts.
#[allow(unsafe_code)]
fn set_up_allocators() {
    // Huge pages: the decoder's activations are large and new for every layer, and without this half
    // of the time spent on them goes to page faults. Expandable segments: on a GPU they would be cut
    // out of segments of other sizes, and a tenth or more of its memory lost between them.
    let users_own = ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some());
    // SAFETY: first statement of main; no other thread exists that could read the environment.
    unsafe {
        std::env::set_var("THP_MEM_ALLOC_ENABLE", "1");
        if !users_own {
            std::env::set_var("PYTORCH_ALLOC_CONF", "expandable_segments:True");
        }
    }
}
