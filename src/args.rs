//! The command line: its syntax here, its meaning where the model is known.
//!
//! What is left out stays `None`, since its default is the model's. Numbers are taken as they
//! come, NaN included: ranges are checked in one place for node, track file and command, when the
//! request is accepted. Lengths and rates are in frames and pixels, angles in degrees.

mod data;
mod eval;
mod model;
mod reading;
mod train;

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, anyhow, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use wan_alpha_core::device::DeviceChoice;
use wan_alpha_core::vae::Corner;
use wan_alpha_take::fit::FitSettings;
use wan_alpha_take::frames::CELL;
use wan_alpha_take::{Interpolation, Precision, Solver};

use crate::exit::{Exit, OrExit};
use crate::media::frame::SIZE_LIMIT;
use crate::output::Format;
pub(crate) use data::{
    CacheSet, CaptionSet, CheckSet, DataCommand, Languages, OneLanguage, Procedural,
};
pub(crate) use eval::{EvalCommand, EvalReconstruction, EvalTakes, Report, ScoringArgs};
pub(crate) use model::ModelCommand;
pub(crate) use reading::Reading;
pub(crate) use train::Train;

/// Text to RGBA video with the Wan-Alpha model.
#[derive(Debug, Parser)]
#[command(name = "wan-alpha", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// More about what is done; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a take, an RGBA clip, from a prompt
    Render(Box<Render>),

    /// The store of takes: list, show, verify, export, make, trim
    #[command(subcommand)]
    Take(TakeCommand),

    /// The process that keeps a model warm for its clients
    #[command(subcommand)]
    Engine(EngineCommand),

    /// Ellipses: fit them to an alpha, look at them
    #[command(subcommand)]
    Ellipse(EllipseCommand),

    /// Data sets for training: check, caption, cache, or draw one
    #[command(subcommand)]
    Data(DataCommand),

    /// Models by name: add, list, show, verify, remove, merge
    #[command(subcommand)]
    Model(ModelCommand),

    /// Train: autoencoders and transformers, from nothing or from a model
    Train(Train),

    /// Turn an RGBA clip into a latent
    Encode(Encode),

    /// Turn a latent into an RGBA clip
    Decode(Decode),

    /// Measure clips and takes
    #[command(subcommand)]
    Eval(EvalCommand),

    /// Whether all that a take needs is there and works, and what to do about what is not
    Doctor {
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// What to do with takes.
#[derive(Debug, Subcommand)]
pub(crate) enum TakeCommand {
    /// Every take, newest first
    List,
    /// Where a take is, and its whole request
    Show {
        /// The take's key, or its beginning
        key: String,
    },
    /// Read every frame and compare it with its checksum
    Verify {
        /// The take's key, or its beginning [default: every take]
        key: Option<String>,
    },
    /// Write a take's frames as EXR and PNG
    Export(Export),
    /// Make the take of a request, ahead of a farm render for example
    Make(MakeTake),
    /// Remove the takes that were unused for longest, until the rest fits the limit
    Trim {
        /// Gigabytes of your own takes in each folder [default: WAN_ALPHA_STORE_LIMIT; else 50, or
        /// a tenth of the disk]
        #[arg(long, value_name = "GB")]
        limit: Option<f64>,
    },
    /// Remove every take of yours
    Clear {
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// Where takes are kept, and how full it is there
    Where,
}

/// A take to write as files.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The take's key, or its beginning
    pub(crate) key: String,

    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Formats of the frames, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "exr,png")]
    pub(crate) format: Vec<Format>,
}

impl Export {
    /// As [`Render::formats`].
    pub(crate) fn formats(&self) -> Vec<Format> {
        in_order(&self.format)
    }
}

/// A take to make.
#[derive(Debug, Args)]
pub(crate) struct MakeTake {
    /// A file with a request (`take.json` of a render will do), or a node's takeRequest
    #[arg(value_name = "FILE|REQUEST")]
    pub(crate) request: String,

    /// Have the engine make it: its model stays warm for the next take
    #[arg(long)]
    pub(crate) engine: bool,

    /// Where to compute without the engine: auto, cpu, cuda:N or a card\'s UUID [default: WAN_ALPHA_DEVICE, else auto]
    #[arg(long, conflicts_with = "engine")]
    pub(crate) device: Option<DeviceChoice>,
}

/// What to do with the engine.
#[derive(Debug, Subcommand)]
pub(crate) enum EngineCommand {
    /// Be the engine; clients start it by themselves
    Run(EngineRun),
    /// What it is doing
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Free the model's memory
    Unload,
    /// End it, whoever's takes it makes
    Stop,
}

/// An engine to be.
#[derive(Debug, Args)]
pub(crate) struct EngineRun {
    /// Where to compute: auto, cpu, cuda:N or a card\'s UUID [default: WAN_ALPHA_DEVICE, else auto]
    #[arg(long)]
    pub(crate) device: Option<DeviceChoice>,

    /// End soon after the last client, as an engine of a batch host does
    #[arg(long)]
    pub(crate) batch: bool,
}

/// What to do with ellipses.
#[derive(Debug, Subcommand)]
pub(crate) enum EllipseCommand {
    /// Find where the subject of a clip is, for `render --ellipse-track`
    Fit(FitEllipse),
    /// Draw an ellipse, a track or a mask over a frame
    Show(ShowEllipse),
}

/// An alpha to fit ellipses to.
#[derive(Debug, Args)]
pub(crate) struct FitEllipse {
    /// The alpha of 4n+1 frames: a PNG or EXR sequence (its files, a folder or alpha.####.exr), or
    /// a video, which ffmpeg reads. Where there is no alpha channel, the grey is it
    #[arg(required = true)]
    pub(crate) alpha: Vec<PathBuf>,

    /// Alpha above this is subject, 0 to 1
    #[arg(long, value_name = "A", default_value_t = FitSettings::RELEASED.threshold)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) threshold: f64,

    /// How many sizes are tried, each 12 % larger, until one covers the subject; 8 in training
    #[arg(long, value_name = "N", default_value_t = FitSettings::RELEASED.rounds)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=20), allow_negative_numbers = true)]
    pub(crate) rounds: u32,

    /// The track file to write [default: print it]
    #[arg(long, value_name = "FILE.json")]
    pub(crate) out: Option<PathBuf>,
}

/// A placement to look at.
#[derive(Debug, Args)]
pub(crate) struct ShowEllipse {
    /// A track file (.json), or a mask: a PNG or EXR sequence or a tensor file as released
    #[arg(value_name = "TRACK|MASK", required_unless_present = "ellipse")]
    #[arg(conflicts_with_all = ["ellipse", "ellipse_interp"])]
    pub(crate) placement: Option<PathBuf>,

    /// An ellipse or its keys, as `render` takes them
    #[arg(long, value_name = "ELLIPSE", allow_hyphen_values = true)]
    pub(crate) ellipse: Option<String>,

    /// How the ellipse moves between its keys
    #[arg(long, default_value = "linear", requires = "ellipse")]
    #[arg(value_parser = one_of::<Interpolation>(&["linear", "smooth"]))]
    pub(crate) ellipse_interp: Interpolation,

    /// What to draw it over: checker, or a PNG file
    #[arg(long, value_name = "checker|IMAGE", default_value = "checker")]
    pub(crate) over: PathBuf,

    /// Size of the picture in pixels [default: the image's, else 832x480]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub(crate) size: Option<[usize; 2]>,

    /// The take frame to look at
    #[arg(long, value_name = "K", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) frame: u32,

    /// The picture to write
    #[arg(long, value_name = "FILE.png")]
    pub(crate) out: PathBuf,
}

/// A clip to encode.
#[derive(Debug, Args)]
pub(crate) struct Encode {
    /// The clip: a folder, a pattern (rgba.####.exr, rgba.%04d.png), or its images in order; 4n+1
    /// PNG or EXR with alpha, width and height multiples of 16
    #[arg(required = true, value_name = "FRAMES")]
    pub(crate) frames: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: Reading,

    /// Model: a name, a folder, or a file with a part of it (autoencoder, merge block); may be
    /// given several times
    #[arg(long, value_name = "NAME|PATH", default_value = "auto")]
    pub(crate) model: Vec<PathBuf>,

    /// The latent to write
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) out: PathBuf,

    /// What the encoder sees where alpha is 0: black, blue, green, cyan, red, magenta, yellow or
    /// white
    #[arg(long, value_name = "COLOUR", default_value = "white")]
    pub(crate) background: Corner,

    /// Number format to compute in
    #[arg(long, value_parser = one_of::<Precision>(&["f32", "bf16"]), default_value = "f32")]
    pub(crate) dtype: Precision,

    /// Where to compute: auto, cpu, cuda:N or a card\'s UUID [default: WAN_ALPHA_DEVICE, else auto]
    #[arg(long)]
    pub(crate) device: Option<DeviceChoice>,
}

/// A latent to decode.
#[derive(Debug, Args)]
pub(crate) struct Decode {
    /// The latent: a file of `wan-alpha encode`, or the --dump of a render
    #[arg(value_name = "FILE.safetensors")]
    pub(crate) latent: PathBuf,

    /// Model: a name, a folder, or a file with a part of it (autoencoder, decoder LoRAs); may be
    /// given several times
    #[arg(long, value_name = "NAME|PATH", default_value = "auto")]
    pub(crate) model: Vec<PathBuf>,

    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Formats of the frames, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "exr,png")]
    pub(crate) format: Vec<Format>,

    /// Say how near the result is to this clip
    #[arg(long, value_name = "FRAMES", num_args = 1..)]
    pub(crate) compare: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: Reading,

    /// Where to compute: auto, cpu, cuda:N or a card\'s UUID [default: WAN_ALPHA_DEVICE, else auto]
    #[arg(long)]
    pub(crate) device: Option<DeviceChoice>,
}

impl Decode {
    /// As [`Render::formats`].
    pub(crate) fn formats(&self) -> Vec<Format> {
        in_order(&self.format)
    }
}

/// One take and where it goes.
#[derive(Debug, Args)]
#[command(after_help = RENDER_EXAMPLES)]
pub(crate) struct Render {
    /// Model: a name (see `wan-alpha model`), a folder, or the files of its parts (DiT, text
    /// encoder, VAE, adapters); may be given several times
    #[arg(long, value_name = "NAME|PATH", default_value = "auto", num_args = 1.., help_heading = "Model")]
    pub(crate) model: Vec<PathBuf>,

    /// Strength of the DoRA that makes the video transparent, 0 to 2
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    #[arg(allow_hyphen_values = true, help_heading = "Model")]
    pub(crate) dora_strength: f64,

    /// Strength of the step-distillation LoRA, 0 to 2
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    #[arg(allow_hyphen_values = true, help_heading = "Model")]
    pub(crate) distill_strength: f64,

    /// Number format to compute in [default: the model's; else f32 below 3 billion parameters,
    /// bf16 above]
    #[arg(long, value_parser = one_of::<Precision>(&["f32", "bf16"]), help_heading = "Model")]
    pub(crate) dtype: Option<Precision>,

    /// Where to compute: auto, cpu, cuda:N or a card\'s UUID [default: WAN_ALPHA_DEVICE, else auto]
    #[arg(long, help_heading = "Model")]
    pub(crate) device: Option<DeviceChoice>,

    /// Have the engine make the take: the model, which must have a name, stays warm for the next
    #[arg(long, conflicts_with_all = ["dump", "device", "threads", "mask"], help_heading = "Model")]
    pub(crate) engine: bool,

    /// Processor threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    #[arg(allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) threads: Option<u32>,

    /// What to show, in English or Chinese, or @FILE to read it from a text file. Say that the
    /// background is transparent, then the style, the kind of shot and the subject
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "Take")]
    pub(crate) prompt: String,

    /// What to avoid; matters where guidance is not 1 [default: the model's]
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "Take")]
    pub(crate) negative: Option<String>,

    /// Seed of the noise, 0 to 4294967295: another seed, another take
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Take")]
    #[arg(allow_negative_numbers = true)]
    pub(crate) seed: u32,

    /// Width in pixels, a multiple of 16 [default: the model's, else 832]
    #[arg(long, value_name = "W", allow_negative_numbers = true, help_heading = "Take")]
    pub(crate) width: Option<u32>,

    /// Height in pixels, a multiple of 16 [default: the model's, else 480]
    #[arg(long, value_name = "H", allow_negative_numbers = true, help_heading = "Take")]
    pub(crate) height: Option<u32>,

    /// Length in frames at 16 per second, 4n+1: 1, 5, … 81 … [default: the model's, else 81]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Take")]
    pub(crate) frames: Option<u32>,

    /// Where the subject is, "x,y,a,b,angle": centre in fractions of the frame from its
    /// bottom-left, full axes in fractions of its height, degrees counter-clockwise; or keys at
    /// take frames, "0: x,y,a,b,angle; 40: …" [default: 0.5,0.5,0.6,1,0]
    #[arg(long, value_name = "ELLIPSE", allow_hyphen_values = true, help_heading = "Placement")]
    #[arg(conflicts_with_all = ["ellipse_track", "mask"])]
    pub(crate) ellipse: Option<String>,

    /// How the ellipse moves between its keys; smooth never overshoots them
    #[arg(long, default_value = "linear", requires = "ellipse", help_heading = "Placement")]
    #[arg(value_parser = one_of::<Interpolation>(&["linear", "smooth"]))]
    #[arg(conflicts_with_all = ["ellipse_track", "mask"])]
    pub(crate) ellipse_interp: Interpolation,

    /// Ellipses from a JSON file, one per latent frame (frame 0, then every 4):
    /// [{"x", "y", "a", "b", "angle"}, …]
    #[arg(long, value_name = "FILE.json", conflicts_with = "mask", help_heading = "Placement")]
    pub(crate) ellipse_track: Option<PathBuf>,

    /// A mask instead of an ellipse, one image per latent frame, 1 where the subject is: a PNG or
    /// EXR sequence (a folder or mask.####.exr), or a tensor file as released with the model
    #[arg(long, value_name = "FILE", help_heading = "Placement")]
    pub(crate) mask: Option<PathBuf>,

    /// How strongly what lies outside the ellipse is made transparent, -1 to 1; 0 switches the
    /// ellipse off [default: the model's, else 0.05]
    #[arg(long, value_name = "M", allow_hyphen_values = true, help_heading = "Placement")]
    pub(crate) mu: Option<f64>,

    /// Denoising steps, 1 to 1000 [default: the model's; else 4 with a step-distillation LoRA,
    /// 50 without]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Sampling")]
    pub(crate) steps: Option<u32>,

    /// How strictly the prompt is followed, 0 to 30; 1 is off and twice as fast [default: the
    /// model's; else 1 with a step-distillation LoRA, 5 without]
    #[arg(long, value_name = "G", allow_hyphen_values = true, help_heading = "Sampling")]
    pub(crate) guidance: Option<f64>,

    /// Shift of the noise schedule, above 0 to 100; more spends more steps on the composition
    /// [default: the model's, else 5]
    #[arg(long, value_name = "S", allow_hyphen_values = true, help_heading = "Sampling")]
    pub(crate) shift: Option<f64>,

    /// How the denoising equation is integrated [default: the model's, else unipc]
    #[arg(long, value_parser = one_of::<Solver>(&["unipc", "dpm++", "euler"]))]
    #[arg(help_heading = "Sampling")]
    pub(crate) solver: Option<Solver>,

    /// Folder of the take: frames, contact-sheet.png, take.json. An earlier take of ours in it is
    /// replaced; files of others are not
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: PathBuf,

    /// Formats of the frames, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "exr,png")]
    #[arg(help_heading = "Output")]
    pub(crate) format: Vec<Format>,

    /// Also write every intermediate tensor to this file, for comparison with other code
    #[arg(long, value_name = "FILE.safetensors", help_heading = "Output")]
    pub(crate) dump: Option<PathBuf>,
}

const RENDER_EXAMPLES: &str = "\
Examples:
  wan-alpha render --model models/wan-alpha --out shot/flame \\
      --prompt \"The background of this video is transparent. Realistic style, medium shot. \\
      A torch flame flickers in the wind\"

  wan-alpha render --model models/wan-alpha --out shot/fish --prompt @fish.txt --seed 7 \\
      --ellipse \"0: 0.2,0.5,0.6,0.4,0; 80: 0.8,0.5,0.6,0.4,15\" --ellipse-interp smooth

Exit codes: 0 done, 2 bad input, 3 out of memory, 4 model incomplete, 130 cancelled, 1 other.";

impl Render {
    /// The formats asked for, each once and in a fixed order.
    pub(crate) fn formats(&self) -> Vec<Format> {
        in_order(&self.format)
    }
}

fn in_order(formats: &[Format]) -> Vec<Format> {
    let all = [Format::Exr, Format::Png];
    all.into_iter().filter(|format| formats.contains(format)).collect()
}

/// Parses one of some names into the type that has them.
fn one_of<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse::<T>())
}

/// Parses `WxH`; a picture holds at least one latent cell.
fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.parse().ok().filter(|side| (CELL..=SIZE_LIMIT).contains(side));
    let sides =
        text.split_once('x').and_then(|(width, height)| Some([side(width)?, side(height)?]));
    sides.ok_or_else(|| format!("expected WxH, each {CELL} to {SIZE_LIMIT}, for example 832x480"))
}

/// The text of `--prompt` or `--negative` (`flag`): as it stands, or with `@FILE` the file's,
/// without the line ends after it. `@@` begins a text with `@`.
pub(crate) fn text_or_file(flag: &str, text: &str) -> Result<String> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(text.to_owned());
    };
    if path.starts_with('@') {
        return Ok(path.to_owned());
    }
    let read = || {
        ensure!(!path.is_empty(), "{flag} @ needs a file name after the @");
        let bytes =
            fs::read(path).map_err(|error| anyhow!("cannot read {flag} file {path}: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            anyhow!("{flag} file {path} is not UTF-8 text (byte {place}): save it as UTF-8")
        })?;
        // Some editors begin a UTF-8 file with a mark that would else be a token of the prompt.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    };
    read().or_exit(Exit::BadInput)
}

#[cfg(test)]
mod tests;
