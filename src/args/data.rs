//! The syntax of `wan-alpha data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wan_alpha_take::Precision;
use wan_alpha_take::frames::latent_frames;

use super::{Computing, Threads, one_of, size, within};

/// What to do with data sets.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Read a whole set and say what is wrong with it, row by row, before anything is trained
    Check(CheckSet),
    /// Have a vision model write captions and labels for the rows that have none
    Caption(CaptionSet),
    /// Encode a set once: latents, contexts and masks for training the transformer
    Cache(CacheSet),
    /// Draw a captioned set: balls, rings, stars, bubbles, smoke, flames, sparks, veils; in its second
    /// edition also lumps of glass and tufts of hair
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

/// A set to caption.
#[derive(Debug, Args)]
pub(crate) struct CaptionSet {
    /// The set: a folder with a table, or the table (.csv or .jsonl)
    #[arg(value_name = "SET")]
    pub(crate) set: PathBuf,

    /// An OpenAI-compatible service, up to its /v1: http://localhost:8000/v1
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: String,

    /// The model's name there; it has to see images
    #[arg(long, value_name = "NAME")]
    pub(crate) model: String,

    /// The environment variable that holds the key; without it none is sent
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) key: Option<String>,

    /// The table to write, beside the set's own; rows that have captions in it are kept [default:
    /// captioned.csv, or .jsonl as the set's table is]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// The language of the captions
    #[arg(long, value_enum, default_value = "en")]
    pub(crate) language: OneLanguage,

    /// How many frames of a clip are shown
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = within(1..=16_u32), allow_negative_numbers = true)]
    pub(crate) frames: u32,

    /// Ask again for the rows that the service declined in an earlier run
    #[arg(long)]
    pub(crate) again: bool,

    /// How often a request that fails is made again
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = within(0..=20_u32), allow_negative_numbers = true)]
    pub(crate) retries: u32,

    /// How many requests are made at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = within(1..=64_u32), allow_negative_numbers = true)]
    pub(crate) jobs: u32,

    /// Milliseconds before a failed request is made again, doubled each time; a service that says
    /// how long to wait is listened to
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    #[arg(value_parser = within(1..=60_000_u64), allow_negative_numbers = true)]
    pub(crate) wait: u64,

    /// Seconds to wait for an answer
    #[arg(long, value_name = "S", default_value_t = 120)]
    #[arg(value_parser = within(1..=3600_u64), allow_negative_numbers = true)]
    pub(crate) timeout: u64,
}

/// A set to cache.
#[derive(Debug, Args)]
pub(crate) struct CacheSet {
    /// The set: a folder with a table, or the table (.csv or .jsonl)
    #[arg(value_name = "SET")]
    pub(crate) set: PathBuf,

    /// Model: a name, a folder, or the files of its parts; may be given several times
    #[arg(long, value_name = "NAME|PATH", default_value = "auto", num_args = 1..)]
    pub(crate) model: Vec<PathBuf>,

    /// The folder to write: a safetensors file per clip and per row's captions, and index.jsonl
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Seed of the color that the encoder sees where alpha is 0, drawn once per clip
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Bring clips to sizes of one area, near their own aspect; the area as one of the sizes, 640x624
    /// as released [default: each keeps its own size, cut to multiples of 16]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub(crate) area: Option<[usize; 2]>,

    /// Number format to compute and store in
    #[arg(long, value_parser = one_of::<Precision>(&["f32", "bf16"]), default_value = "f32")]
    pub(crate) dtype: Precision,

    #[command(flatten)]
    pub(crate) computing: Computing,
}

/// A set to draw.
#[derive(Debug, Args)]
pub(crate) struct Procedural {
    /// Seed: another seed, other clips
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,

    /// What is drawn and said: 1, eight kinds of subject, whose captions say whether they are opaque; 2,
    /// ten kinds, now and then two subjects, whose captions leave the ordinary out
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = within(1..=2_u64))]
    pub(crate) edition: u64,

    /// How many clips
    #[arg(long, value_name = "N")]
    #[arg(value_parser = within(1..=1_000_000_u32))]
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
    pub(crate) language: CaptionLanguages,

    /// Clips of the stream that is never trained on
    #[arg(long)]
    pub(crate) held_out: bool,

    #[command(flatten)]
    pub(crate) threads: Threads,
}

/// A language of captions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OneLanguage {
    /// English
    En,
    /// Chinese
    Zh,
}

/// Languages that the captions of a set are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CaptionLanguages {
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
