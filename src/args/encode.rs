//! The syntax of `wan-alpha encode`.

use std::path::PathBuf;

use clap::Args;
use wan_alpha_core::vae::Corner;
use wan_alpha_take::Precision;

use super::{Computing, ImageReading, one_of};

/// A clip to encode.
#[derive(Debug, Args)]
pub(crate) struct Encode {
    /// The clip: a folder, a pattern (rgba.####.exr, rgba.%04d.png), or its images in order; 4n+1
    /// PNG or EXR with alpha, width and height multiples of 16
    #[arg(required = true, value_name = "FRAMES")]
    pub(crate) frames: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: ImageReading,

    /// Model: a name, a folder, or a file with a part of it (autoencoder, merge block); may be
    /// given several times
    #[arg(long, value_name = "NAME|PATH", default_value = "auto")]
    pub(crate) model: Vec<PathBuf>,

    /// The latent to write
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) out: PathBuf,

    /// What the encoder sees where alpha is 0: black, blue, green, cyan, red, magenta, yellow or
    /// white
    #[arg(long, value_name = "COLOR", default_value = "white")]
    pub(crate) background: Corner,

    /// Number format to compute in
    #[arg(long, value_parser = one_of::<Precision>(&["f32", "bf16"]), default_value = "f32")]
    pub(crate) dtype: Precision,

    #[command(flatten)]
    pub(crate) computing: Computing,
}
