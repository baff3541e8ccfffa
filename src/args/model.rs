//! The syntax of `wan-alpha model`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wan_alpha_core::weights::QuantizedForm;
use wan_alpha_take::Precision;
use wan_alpha_take::models::Preset;

use super::{Threads, one_of, preset_name, quantized_form};

/// What to do with models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// The released files: addresses, sizes, licenses, hashes; what of them is in a folder; fetching the
    /// rest
    Get(GetModel),
    /// Recognize a downloaded model's parts, fingerprint them, and give them a name
    Add {
        /// The name: letters, digits and - _ . +
        name: String,
        /// A folder, or the files of the parts
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// How it is sampled where a take leaves it open, in place of what the files say
        #[arg(long, value_name = "NAME", value_parser = preset_name())]
        preset: Option<&'static Preset>,
        /// The file is a LoRA of a style, a subject or a motion: the name is for `--lora` and the node's
        /// LoRAs, beside any model
        #[arg(long, conflicts_with = "keep_merged")]
        lora: bool,
        /// Also write the transformer with its adapters merged beside the record, so that loading is
        /// reading; its size is told first
        #[arg(long)]
        keep_merged: bool,
        #[command(flatten)]
        threads: Threads,
    },
    /// Write a whole model into one folder to hand on: bfloat16, released names, its own record
    Pack {
        /// The name in its record
        name: String,
        /// Folders, or the files of the parts
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// What it does where a request is silent: JSON with steps, width, height, frames, mu_scale …,
        /// and with made_for what it was made for: pixels, frames, draws, words
        #[arg(long, value_name = "FILE")]
        defaults: Option<PathBuf>,
        /// The transformer was trained to draw transparent backgrounds itself: no DoRA is packed, and
        /// none is missed
        #[arg(long)]
        transparent: bool,
        /// The folder, new or empty
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Every named model, newest first
    List {
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// The parts of a model: files, sizes, kinds, coverage; or a LoRA
    Show {
        /// A model's name or a LoRA's
        name: String,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Read a model or a LoRA again and compare it with its fingerprint
    Verify {
        /// A model's name or a LoRA's
        name: String,
    },
    /// Forget a name; the weights stay
    Remove {
        /// A model's name or a LoRA's
        name: String,
        /// The LoRA of that name, whatever else is called so
        #[arg(long)]
        lora: bool,
    },
    /// Write the transformer with its adapters merged into one file
    Merge {
        /// A model's name, or its files
        #[arg(required = true, value_name = "NAME|PATH")]
        model: Vec<PathBuf>,
        /// The file to write
        #[arg(long, value_name = "FILE.safetensors")]
        out: PathBuf,
        /// Number format to store [default: bf16]
        #[arg(long, value_parser = one_of::<Precision>(&["f32", "bf16"]))]
        dtype: Option<Precision>,
        #[command(flatten)]
        threads: Threads,
    },
    /// Write a model whose transformer takes fewer bits, and give it a name: the matrices of its blocks,
    /// adapters merged, quantized; all else as it is. What each layer loses is told
    Quantize {
        /// A model's name, or its files
        #[arg(required = true, value_name = "NAME|PATH")]
        model: Vec<PathBuf>,
        /// The format: fp8 (e4m3, a scale for each row), or blocks of GGUF
        #[arg(long, value_name = "FORMAT", value_parser = quantized_form())]
        to: (&'static str, QuantizedForm),
        /// The new model's name [default: the model's, and the format]
        #[arg(long)]
        name: Option<String>,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        threads: Threads,
    },
    /// Write what was trained in the layouts of other programs: the transformer, the DoRA, the
    /// autoencoder or the decoders of color and alpha, and the text encoder, whichever are there
    #[command(group = clap::ArgGroup::new("layout").required(true).multiple(true))]
    Export {
        /// A model's name, or the files of parts: the model/ of a run, and what its LoRAs are for
        #[arg(required = true, value_name = "NAME|PATH")]
        model: Vec<PathBuf>,
        /// A folder, new or empty, for Diffusers
        #[arg(long, value_name = "DIR", group = "layout")]
        diffusers: Option<PathBuf>,
        /// A file for ComfyUI; of several parts, each has its name before the ending
        #[arg(long, value_name = "FILE.safetensors", group = "layout")]
        comfyui: Option<PathBuf>,
    },
    /// Where models are looked for, and what `auto` means
    Where {
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
}

/// What of the released files is wanted.
#[derive(Debug, Args)]
pub(crate) struct GetModel {
    /// What they are for; without it every use and file is listed
    #[arg(value_name = "USE")]
    pub(crate) what: Option<String>,
    /// Look in this folder for what is there; an exit code of 4 says that something is missing or torn
    #[arg(long, value_name = "FOLDER", requires = "what")]
    pub(crate) to: Option<PathBuf>,
    /// Fetch what is missing there. What is broken off stays, and is gone on with the next time
    #[arg(long, requires = "to")]
    pub(crate) yes: bool,
    /// The environment variable that holds a token for the hub; it is sent to the hub alone, and neither
    /// kept nor logged
    #[arg(long, value_name = "NAME")]
    pub(crate) token_variable: Option<String>,
    /// A list of your own, in the form of src/model/get/releases.toml
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) list: Option<PathBuf>,
}
