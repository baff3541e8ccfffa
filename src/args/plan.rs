//! The syntax of `wan-alpha plan`.

use std::path::PathBuf;

use clap::Args;
use wan_alpha_take::models::AUTO;
use wan_alpha_take::{DecodePrecision, DecodeTiling, Precision};

use super::{Computing, one_of, size};

/// A take that may be asked for.
#[derive(Debug, Args)]
pub(crate) struct PlanTake {
    /// Model: a name, a folder, or the files of its parts; may be given several times
    #[arg(long, value_name = "NAME|PATH", default_value = AUTO, num_args = 1..)]
    pub(crate) model: Vec<PathBuf>,

    /// Size of the take, in multiples of 16 [default: the model's]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub(crate) size: Option<[usize; 2]>,

    /// Number of frames, 4n+1 [default: the model's]
    #[arg(long, value_name = "N")]
    pub(crate) frames: Option<u32>,

    /// Gigabytes that may be used at most [default: WAN_ALPHA_MEMORY, else what is free]
    #[arg(long, value_name = "GB")]
    pub(crate) memory: Option<f64>,

    /// Number format to compute in [default: the model's]
    #[arg(long, value_parser = one_of::<Precision>(&["f32", "bf16"]))]
    pub(crate) dtype: Option<Precision>,

    /// Number format to decode in
    #[arg(long, value_parser = one_of::<DecodePrecision>(&["f32", "bf16"]), default_value = "f32")]
    pub(crate) decode_precision: DecodePrecision,

    /// Decode frames in one piece, or in tiles that overlap
    #[arg(long, value_parser = one_of::<DecodeTiling>(&["whole", "tiled"]), default_value = "whole")]
    pub(crate) decode_tiling: DecodeTiling,

    #[command(flatten)]
    pub(crate) computing: Computing,

    /// For programs
    #[arg(long)]
    pub(crate) json: bool,
}
