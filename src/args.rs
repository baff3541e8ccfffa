//! The command line: its syntax here, its meaning where the model is known.
//!
//! What is left out stays `None`, since its default is the model's. Numbers are taken as they
//! come, NaN included: ranges are checked in one place for node, track file and command, when the
//! request is accepted. Lengths and rates are in frames and pixels, angles in degrees.

mod batch;
mod computing;
mod data;
mod decode;
mod ellipse;
mod encode;
mod engine;
mod eval;
mod frames;
mod inspect;
mod job;
mod model;
mod plan;
mod reading;
mod render;
mod seed_list;
mod take;
mod train;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use clap_complete::Shell;
use wan_alpha_core::weights::{BlockFormat, QuantizedForm};
use wan_alpha_take::MemoryLimit;
use wan_alpha_take::frames::CELL;
use wan_alpha_take::models::{PRESETS, Preset};

use crate::media::frame::SIZE_LIMIT;
pub(crate) use batch::{Batch, Farm, OnFailure};
pub(crate) use computing::{Computing, Threads};
pub(crate) use data::{
    CacheSet, CaptionLanguages, CaptionSet, CheckSet, DataCommand, OneLanguage, Procedural,
};
pub(crate) use decode::Decode;
pub(crate) use ellipse::{EllipseCommand, FitEllipse, ShowEllipse};
pub(crate) use encode::Encode;
pub(crate) use engine::{EngineRun, EngineVerb};
pub(crate) use eval::{EvalCommand, EvalReconstruction, EvalTakes, ReportFiles, ScoringArgs};
pub(crate) use frames::FrameArgs;
pub(crate) use inspect::{InspectFiles, RequiredMark};
pub(crate) use job::{FarmJob, JobCommand, JoinReports};
pub(crate) use model::{GetModel, ModelCommand};
pub(crate) use plan::PlanTake;
pub(crate) use reading::ImageReading;
pub(crate) use render::{Render, text_or_file};
pub(crate) use seed_list::SeedList;
pub(crate) use take::{ExportTake, KeepImage, MakeTake, TakeCommand, TakeGallery};
pub(crate) use train::{ONE_GPU, Train};

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

    /// Make the takes of a table, a row for each
    Batch(Batch),

    /// The same as a job of a farm: Open Job Description, OpenCue
    #[command(subcommand)]
    Job(JobCommand),

    /// What a take would take of memory and time here, before it is made
    Plan(PlanTake),

    /// The store of takes: list, show, verify, export, gallery, make, keep-image, remove, trim, clear, where
    #[command(subcommand)]
    Take(TakeCommand),

    /// The process that keeps a model warm for its clients: status, pause, resume, unload, stop
    #[command(subcommand)]
    Engine(EngineVerb),

    /// Ellipses: fit them to an alpha, look at them
    #[command(subcommand)]
    Ellipse(EllipseCommand),

    /// Data sets for training: check, caption, cache, or draw one
    #[command(subcommand)]
    Data(DataCommand),

    /// Models by name: get, add, pack, list, show, verify, remove, merge, quantize, export, where
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

    /// What files say of their origin: made by which model, from what, signed or not
    Inspect(InspectFiles),

    /// Whether all that a take needs is there and works, and what to do about what is not
    Doctor {
        /// For programs
        #[arg(long)]
        json: bool,
    },

    /// Print what a shell needs to complete this command line
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print this command's page for `man -l -`
    Man {
        /// Write a page for the command and for each verb into this folder instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

impl Command {
    /// What a flag says of memory, in the place of the variable.
    pub(crate) fn memory(&self) -> Option<MemoryLimit> {
        match self {
            Self::Render(args) => args.memory,
            Self::Plan(args) => args.memory,
            Self::Take(TakeCommand::Make(args)) => args.memory,
            _ => None,
        }
    }
}

/// Parses a whole number that is checked later; of anything else `expected` says what it should be.
fn whole(expected: &'static str) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync {
    move |text| text.trim().parse().map_err(|_| format!("expected {expected}"))
}

/// The same of any number.
fn number(expected: &'static str) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| text.trim().parse().map_err(|_| format!("expected {expected}"))
}

/// Parses a whole number of a range.
fn within<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let found = text.trim().parse().ok().filter(|number| range.contains(number));
        found
            .ok_or_else(|| format!("expected a whole number, {} to {}", range.start(), range.end()))
    }
}

/// Parses one of some names into the type that has them.
fn one_of<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse::<T>())
}

/// Parses the name of a preset; the long help says whose each is.
fn preset_name() -> impl TypedValueParser<Value = &'static Preset> {
    let names = PRESETS.iter().map(|preset| PossibleValue::new(preset.name).help(preset.what));
    PossibleValuesParser::new(names).try_map(|name| Preset::named(&name).ok_or("no preset"))
}

/// The formats that transformers are quantized to, by their names.
const QUANTIZED: [(&str, QuantizedForm); 4] = [
    ("fp8", QuantizedForm::Fp8),
    ("q8_0", QuantizedForm::Blocks(BlockFormat::Q8_0)),
    ("q5_k", QuantizedForm::Blocks(BlockFormat::Q5_K)),
    ("q4_k", QuantizedForm::Blocks(BlockFormat::Q4_K)),
];

/// Parses the name of a format that transformers are quantized to.
fn quantized_form() -> impl TypedValueParser<Value = (&'static str, QuantizedForm)> {
    PossibleValuesParser::new(QUANTIZED.map(|(name, _)| name)).try_map(|name| {
        QUANTIZED.into_iter().find(|(known, _)| *known == name).ok_or("no format of this program")
    })
}

/// Parses `WxH`; a picture holds at least one latent cell.
fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.parse().ok().filter(|side| (CELL..=SIZE_LIMIT).contains(side));
    let sides =
        text.split_once('x').and_then(|(width, height)| Some([side(width)?, side(height)?]));
    sides.ok_or_else(|| format!("expected WxH, each {CELL} to {SIZE_LIMIT}, for example 832x480"))
}

/// What a side of a take can be.
const SIDE: &str = "a whole number of pixels, a multiple of 16 from 16 to 4096";
/// What the length of a take can be.
const LENGTH: &str = "a whole number of frames, 4n+1 from 1 to 257, such as 81";
/// What the number of steps can be.
const STEPS: &str = "a whole number of steps, 1 to 1000";
/// What guidance can be.
const GUIDANCE: &str = "a number, 0 to 30; 1 is off";

#[cfg(test)]
mod tests;
