//! The syntax of `wan-alpha decode`.

use std::path::PathBuf;

use clap::Args;

use super::{Computing, FrameArgs, ImageReading};

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

    /// Say how near the result is to this clip
    #[arg(long, value_name = "FRAMES", num_args = 1..)]
    pub(crate) compare: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: ImageReading,

    #[command(flatten)]
    pub(crate) computing: Computing,

    #[command(flatten, next_help_heading = "Files")]
    pub(crate) files: FrameArgs,
}
