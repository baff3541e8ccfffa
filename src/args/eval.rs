//! The syntax of `wan-alpha eval`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use wan_alpha_core::vae::Corner;
use wan_alpha_take::Precision;

use super::{Computing, ImageReading, one_of};

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// How near an RGBA clip is to another, or to what an autoencoder makes of it: PSNR, SSIM,
    /// LPIPS, of color and of alpha
    Reconstruction(EvalReconstruction),
    /// How good finished takes are, or any RGBA clips: temporal flickering, smoothness, alpha, and
    /// whether they show what was asked for, where it was asked for
    Takes(EvalTakes),
}

/// Clips to compare.
#[derive(Debug, Args)]
pub(crate) struct EvalReconstruction {
    /// The true clip and the one that was made of it (TRUTH MADE); with --model true clips only.
    /// Each a folder or a pattern (rgba.####.exr) of PNG or EXR with alpha
    #[arg(required = true, value_name = "TRUTH MADE|TRUTH")]
    pub(crate) clips: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) reading: ImageReading,

    /// Encode and decode each clip with this model: a name, a folder, or a file with a part of it
    /// (autoencoder, merge block, decoder LoRAs); may be given several times
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) model: Vec<PathBuf>,

    /// What the encoder sees where alpha is 0
    #[arg(long, value_name = "COLOR", default_value = "white", requires = "model")]
    pub(crate) background: Corner,

    /// Number format to encode in
    #[arg(long, value_parser = one_of::<Precision>(&["f32", "bf16"]), default_value = "f32")]
    #[arg(requires = "model")]
    pub(crate) dtype: Precision,

    /// The one color to see the clips over: black, blue, green, cyan, red, magenta, yellow or
    /// white [default: all eight, as the autoencoder is trained]
    #[arg(long, value_name = "COLOR")]
    pub(crate) over: Option<Corner>,

    /// Weights for LPIPS: torchvision's file of AlexNet or VGG16, and the heads of the package
    /// `lpips` for it [default: no LPIPS]
    #[arg(long, num_args = 2, value_names = ["TRUNK", "HEADS"])]
    pub(crate) lpips: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) computing: Computing,

    #[command(flatten)]
    pub(crate) report: ReportFiles,
}

/// Takes to measure.
#[derive(Debug, Args)]
#[command(after_help = TABLE_OF_THE_ASKED)]
pub(crate) struct EvalTakes {
    /// Takes: a key of the store or its beginning, or a folder of RGBA frames (PNG or EXR, best
    /// with take.json, or prompt.txt and track.json), or a folder of such folders [default: those
    /// of --asked]
    #[arg(value_name = "KEY|FOLDER")]
    pub(crate) takes: Vec<OsString>,

    /// A table of what was asked for, JSON lines
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) asked: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) judges: ScoringArgs,

    #[command(flatten)]
    pub(crate) reading: ImageReading,

    #[command(flatten)]
    pub(crate) report: ReportFiles,
}

/// Networks that mark takes.
#[derive(Debug, Args)]
pub(crate) struct ScoringArgs {
    /// Score how well takes show their prompts by this CLIP model: a folder of Hugging Face's
    /// (config.json, model.safetensors, tokenizer.json), such as openai/clip-vit-large-patch14
    #[arg(long, value_name = "FOLDER")]
    pub(crate) clip: Option<PathBuf>,

    /// Score how good they look by LAION's predictor for that model, as VBench does:
    /// sa_0_4_vit_l_14_linear.pth
    #[arg(long, value_name = "FILE", requires = "clip")]
    pub(crate) aesthetic: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) computing: Computing,
}

const TABLE_OF_THE_ASKED: &str = "\
Each line of --asked is an object:
  {\"take\": KEY or \"folder\": FOLDER (from the table's), \"prompt\", \"kind\", \"color\",
   \"ellipse\": [{\"x\", \"y\", \"a\", \"b\", \"angle\"}, … one per latent frame] or \"x,y,a,b,angle\" or keys}
All but the take may be left out; kind and color may also stand in \"labels\". Colors: red, orange,
yellow, green, cyan, blue, purple, pink, white, gray, black.";

/// Where results go besides the terminal.
#[derive(Debug, Args)]
pub(crate) struct ReportFiles {
    /// Write every number to this file
    #[arg(long, value_name = "FILE.json")]
    pub(crate) json: Option<PathBuf>,

    /// Write one page with every number, and frames over a checkerboard and flat colors
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
}
