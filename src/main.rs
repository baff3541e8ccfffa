//! `wan-alpha`: text to RGBA video, as a command.
//!
//! One file per verb. This file sets the process up and turns errors into exit codes; `environment`
//! reads what the environment says, and nothing else does.

mod accounts;
mod announcement;
mod args;
mod batch;
mod calibration;
mod completions;
mod console;
mod context;
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
mod error_text;
mod eval;
mod exit;
mod failure;
mod inspect;
mod interrupt;
mod job;
mod latent_file;
mod maker;
mod making_in_place;
mod matted_image;
mod media;
mod memory;
mod model;
mod output;
mod own_inputs;
mod plan;
mod preview;
mod progress;
mod render;
mod render_seeds;
mod saved_request;
mod silhouette;
mod stdout;
mod stoppable;
mod table_printer;
mod take;
mod take_images;
mod take_record;
mod text_file;
mod threads;
mod timed_watch;
mod timing_history;
mod train;
mod unique_json;
mod variants;
mod wait_policy;
mod write_lock;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use wan_alpha_core::shim;
use wan_alpha_take::CapSource;
use wan_alpha_take::environment::Environment;

use args::{Cli, Command, EngineVerb, Farm, JobCommand};
use console::Console;
use context::CommandContext;
use exit::Exit;
use interrupt::Interrupt;
use progress::{OpenJdLog, TerminalProgress};

fn main() -> ExitCode {
    set_up_allocators();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            let is_on_farm = environment::read().batch || name_a_farm(std::env::args_os());
            return instead_of_a_command(&said, is_on_farm);
        }
    };
    let mut environment = environment::read();
    if let Some(limit) = cli.command.memory() {
        environment.memory = Some(limit.bytes());
        environment.memory_by = CapSource::Flag;
    }
    let farm = farm_of(&cli.command);
    let progress = match farm {
        Some(Farm::Openjd) => TerminalProgress::openjd(),
        _ => TerminalProgress::new(cli.quiet),
    };
    let is_on_farm = environment.batch || farm.is_some();
    match run(cli, &environment, &progress) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            failure::tell(&error, &progress, is_on_farm);
            Exit::of(&error).into()
        }
    }
}

/// The farm whose form a command speaks.
fn farm_of(command: &Command) -> Option<Farm> {
    match command {
        Command::Batch(args) => args.farm,
        Command::Job(JobCommand::Report(args)) => args.farm,
        _ => None,
    }
}

/// Whether words that are no command have the flag of a farm among them.
fn name_a_farm(mut words: impl Iterator<Item = OsString>) -> bool {
    let is_flag = |word: &str| word == "--farm" || word.starts_with("--farm=");
    words.any(|word| word.to_str().is_some_and(is_flag))
}

/// Help and versions, which are printed, and command lines that cannot be read.
fn instead_of_a_command(said: &clap::Error, is_on_farm: bool) -> ExitCode {
    let printed = said.print().and_then(|()| std::io::stdout().flush());
    let exit = match stdout::heard(printed) {
        Err(error) if !said.use_stderr() => {
            complain(&error);
            Exit::Failed
        }
        _ if said.use_stderr() => Exit::BadInput,
        _ => Exit::Done,
    };
    if is_on_farm && exit != Exit::Done {
        let _ = writeln!(std::io::stderr(), "{}", failure::last_line(exit.name()));
    }
    exit.into()
}

/// Says what went wrong, as far as there is anywhere to say it.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "wan-alpha: {}", error_text::in_words(error));
}

fn run(cli: Cli, environment: &Environment, progress: &TerminalProgress) -> Result<()> {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => log::LevelFilter::Error,
        (_, 0) => environment.log.unwrap_or(log::LevelFilter::Warn),
        (_, 1) => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    let mut logger = env_logger::Builder::new();
    if let Command::Engine(EngineVerb::Run(_)) = &cli.command {
        engine::log_to_file(&mut logger, environment, level)?;
    } else {
        logger.filter_level(level).format_timestamp(None);
        if farm_of(&cli.command) == Some(Farm::Openjd) {
            logger.target(env_logger::Target::Pipe(Box::new(OpenJdLog)));
        }
    }
    logger.init();
    shim::keep_freed_memory(shim::KEPT_MEMORY)?;
    output::survive_file_size_limit()?;
    let interrupt = Interrupt::install()?;
    let console = Console::new(progress, &interrupt);
    let context =
        CommandContext { environment, progress, console: &console, interrupt: &interrupt };
    // `doctor` tells of every variable.
    if !matches!(cli.command, Command::Doctor { .. }) {
        environment.misread.iter().for_each(|words| console.caution(words));
    }
    match cli.command {
        Command::Render(args) => match args.variants() {
            Some(seeds) => render_seeds::run(&args, seeds, &context),
            None => render::run(&args, &context),
        },
        Command::Batch(args) => batch::run(&args, &context),
        Command::Job(command) => job::run(&command, &context),
        Command::Plan(args) => plan::run(&args, &context),
        Command::Take(command) => take::run(&command, &context),
        Command::Data(command) => data::run(&command, &context),
        Command::Ellipse(command) => ellipse::run(&command, &context),
        Command::Engine(verb) => engine::run(&verb, &context),
        Command::Inspect(args) => inspect::run(&args, &context),
        Command::Doctor { json } => doctor::run(json, &context),
        Command::Train(args) => train::run(&args, &context),
        Command::Encode(args) => encode::run(&args, &context),
        Command::Decode(args) => decode::run(&args, &context),
        Command::Eval(command) => eval::run(&command, &context),
        Command::Model(command) => model::run(&command, &context),
        Command::Completions { shell } => completions::completions(shell),
        Command::Man { out } => completions::man(out.as_deref()),
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
