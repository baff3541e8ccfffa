//! The syntax of `wan-alpha plan`.

use std::path::PathBuf;

use clap::Args;
use wan_alpha_take::models::{AUTO, Preset};
use wan_alpha_take::{DecodePrecision, DecodeTiling, MemoryLimit, Precision};

use super::{Computing, GUIDANCE, LENGTH, SIDE, STEPS, number, one_of, preset_name, size, whole};

/// A take that may be asked for.
#[derive(Debug, Args)]
pub(crate) struct PlanTake {
    /// Model: a name, a folder, or the files of its parts; may be given several times
    #[arg(long, value_name = "NAME|PATH", default_value = AUTO, num_args = 1..)]
    pub(crate) model: Vec<PathBuf>,

    /// Size of the take, in multiples of 16 [default: the model's]
    #[arg(long, value_name = "WxH", value_parser = size, conflicts_with_all = ["width", "height"])]
    pub(crate) size: Option<[usize; 2]>,

    /// Width in pixels, a multiple of 16 [default: the model's]
    #[arg(long, value_name = "W", value_parser = whole(SIDE), allow_negative_numbers = true)]
    pub(crate) width: Option<u32>,

    /// Height in pixels, a multiple of 16 [default: the model's]
    #[arg(long, value_name = "H", value_parser = whole(SIDE), allow_negative_numbers = true)]
    pub(crate) height: Option<u32>,

    /// Number of frames, 4n+1 [default: the model's]
    #[arg(long, value_name = "N", value_parser = whole(LENGTH), allow_negative_numbers = true)]
    pub(crate) frames: Option<u32>,

    /// Solver, steps and guidance as the authors of a distillation give them [default: the model's]
    #[arg(long, value_name = "NAME", value_parser = preset_name())]
    pub(crate) preset: Option<&'static Preset>,

    /// Denoising steps, 1 to 1000, with rcm 1 to 4 [default: the preset's]
    #[arg(long, value_name = "N", value_parser = whole(STEPS), allow_negative_numbers = true)]
    pub(crate) steps: Option<u32>,

    /// How strictly the prompt is followed, 0 to 30; 1 is off and twice as fast [default: the preset's]
    #[arg(long, value_name = "G", value_parser = number(GUIDANCE), allow_hyphen_values = true)]
    pub(crate) guidance: Option<f64>,

    /// A further LoRA, as `render` takes it; may be given several times
    #[arg(long, value_name = "NAME|FILE[:S]", num_args = 1..)]
    pub(crate) lora: Vec<String>,

    /// Gigabytes that may be used at most [default: WAN_ALPHA_MEMORY, else what is free]
    #[arg(long, value_name = "GB", allow_negative_numbers = true)]
    pub(crate) memory: Option<MemoryLimit>,

    /// Number format to compute in; fp8 is bf16 with the transformer's blocks kept in 8 bits [default:
    /// the model's]
    #[arg(long, visible_alias = "precision")]
    #[arg(value_parser = one_of::<Precision>(&["f32", "bf16", "fp8"]))]
    pub(crate) dtype: Option<Precision>,

    /// Number format to decode in
    #[arg(long, value_parser = one_of::<DecodePrecision>(&["f32", "bf16"]), default_value = "f32")]
    pub(crate) decode_precision: DecodePrecision,

    /// Decode frames in one piece, or in tiles that overlap [default: whole; tiled where --memory has no
    /// room for a frame]
    #[arg(long, value_parser = one_of::<DecodeTiling>(&["whole", "tiled"]))]
    pub(crate) decode_tiling: Option<DecodeTiling>,

    #[command(flatten)]
    pub(crate) computing: Computing,

    /// For programs
    #[arg(long)]
    pub(crate) json: bool,
}
