//! `demo-host`: an afternoon with the node in a headless host, from a prompt to frames on disk.
//!
//! It does what an artist does: puts the node on the timeline, types, lets the ellipse travel,
//! presses Generate, waits, and plays. Every frame that is written was rendered by the plug-in into
//! an image of the host. What surrounds the node (models, stores, the engine) is the environment's.
//!
//! `story` is what is done, `files` what is written. The contact sheet is drawn by the command's own
//! code, from the host's pictures.

#![forbid(unsafe_code)]

#[path = "../../../src/media/contact_sheet.rs"]
mod contact_sheet;
mod files;
#[path = "../../../src/media/resize.rs"]
#[allow(dead_code, reason = "the command resizes more than contact sheets")]
mod resize;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

/// Makes one take with the WanAlpha node in a headless host, and writes every frame.
#[derive(Parser)]
#[command(name = "demo-host", max_term_width = 100)]
pub(crate) struct Arguments {
    /// The bundle folder, or a binary on its own.
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: PathBuf,
    /// Where frames and the contact sheet go.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What to type into the prompt.
    #[arg(long)]
    pub(crate) prompt: String,
    /// Width of the take and of the project, in pixels.
    #[arg(long, default_value_t = 832, value_parser = clap::value_parser!(u16).range(64..=2048))]
    pub(crate) width: u16,
    /// Height of the take and of the project, in pixels.
    #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u16).range(64..=2048))]
    pub(crate) height: u16,
    /// Frames of the take.
    #[arg(long, default_value_t = 81, value_parser = clap::value_parser!(u16).range(1..=257))]
    pub(crate) frames: u16,
    /// Number that the noise is made of.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=0x7fff_ffff))]
    pub(crate) seed: u32,
    /// How long to wait for the take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 540)]
    pub(crate) patience: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(written) => {
            println!("{written}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String> {
    let written = story::tell(arguments)?;
    serde_json::to_string(&written).context("what was written cannot be said in JSON")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
