//! The syntax of `wan-alpha data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wan_alpha_take::frames::latent_frames;

use super::size;

/// What to do with data sets.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Read a whole set and say what is wrong with it, row by row, before anything is trained
    Check(CheckSet),
    /// Draw a captioned set: balls, rings, stars, bubbles, smoke, flames, sparks, veils
    Procedural(Procedural),
}

/// A set to check.
#[derive(Debug, Args)]
pub(crate) struct CheckSet {
    /// The set: a folder with a table, or the table (.csv or .jsonl)
    #[arg(value_name = "SET")]
    pub(crate) set: PathBuf,

    /// A folder for the report: report.html and report.json
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// A set to draw.
#[derive(Debug, Args)]
pub(crate) struct Procedural {
    /// Seed: another seed, other clips
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,

    /// How many clips
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    #[arg(allow_negative_numbers = true)]
    pub(crate) count: u32,

    /// Their size in pixels, multiples of 16
    #[arg(long, value_name = "WxH", value_parser = size_of_model, default_value = "96x96")]
    pub(crate) size: [usize; 2],

    /// Their length in frames, 4n+1
    #[arg(long, value_name = "T", value_parser = length_of_model, default_value = "17")]
    pub(crate) frames: u32,

    /// A folder for table.csv, and for the frames and the ellipses (track.json) of each clip
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// The language of the captions; both gives each clip two rows
    #[arg(long, value_enum, default_value = "en")]
    pub(crate) language: Languages,

    /// Clips of the stream that is never trained on
    #[arg(long)]
    pub(crate) held_out: bool,
}

/// Languages of captions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Languages {
    /// English
    En,
    /// Chinese
    Zh,
    /// English and Chinese
    Both,
}

fn size_of_model(text: &str) -> Result<[usize; 2], String> {
    let size = size(text)?;
    if size.iter().all(|side| side % 16 == 0) {
        return Ok(size);
    }
    Err("expected WxH, both multiples of 16, for example 96x96".to_owned())
}

fn length_of_model(text: &str) -> Result<u32, String> {
    let length = text.parse().map_err(|_| "expected a number of frames, 4n+1".to_owned())?;
    latent_frames(length).map_err(|error| error.to_string())?;
    Ok(length)
}
