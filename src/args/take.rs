//! The syntax of `wan-alpha take`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use wan_alpha_take::MemoryLimit;
use wan_alpha_take::retime::{RateConversion, Retime};

use super::{Computing, FrameArgs, SeedList};

/// What to do with takes.
#[derive(Debug, Subcommand)]
pub(crate) enum TakeCommand {
    /// Every take, newest first, and what they take up
    List {
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Where a take is, what it came to, and its whole request
    Show {
        /// The take's key, or its beginning
        key: String,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Read every frame and compare it with its checksum
    Verify {
        /// The take's key, or its beginning [default: every take]
        key: Option<String>,
    },
    /// Write a take's frames as EXR and PNG
    Export(ExportTake),
    /// Write a page to look through takes in a browser
    Gallery(TakeGallery),
    /// Make the take of a request, or of several seeds, ahead of a farm render for example
    Make(MakeTake),
    /// Keep an image in the store, for takes that begin or end with it, and print its hash. A node has this
    /// done with its Image
    KeepImage(KeepImage),
    /// Remove takes of yours
    Remove {
        /// The takes' keys, or their beginnings
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Remove the takes that were unused for longest, until the rest fits the limit
    Trim {
        /// Gigabytes of your own takes in each folder [default: WAN_ALPHA_STORE_LIMIT; else 50, or
        /// a tenth of the disk]
        #[arg(long, value_name = "GB", value_parser = gigabytes, allow_hyphen_values = true)]
        limit: Option<f64>,
    },
    /// Remove every take of yours
    Clear {
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// Where takes are kept, for whom, and how full it is there
    Where {
        /// Prepare the first folder for a group (name or number) or for everyone: what is put there is then
        /// theirs to read, and they may put takes there
        #[arg(long, value_name = "GROUP|everyone")]
        share: Option<String>,
        /// Print JSON, for programs
        #[arg(long, conflicts_with = "share")]
        json: bool,
    },
}

/// An image to keep.
#[derive(Debug, Args)]
pub(crate) struct KeepImage {
    /// A PNG or EXR with alpha, of any size
    pub(crate) image: PathBuf,

    /// Its alpha, where it has none: a picture of its size, white where the subject is
    #[arg(long, value_name = "FILE")]
    pub(crate) matte: Option<PathBuf>,

    /// The part or layer of an EXR file that is the image
    #[arg(long, value_name = "NAME")]
    pub(crate) layer: Option<String>,

    /// Without alpha take it as it is, opaque everywhere
    #[arg(long, conflicts_with = "matte")]
    pub(crate) opaque: bool,

    /// Print hash, name and size as JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// A take to write as files.
#[derive(Debug, Args)]
pub(crate) struct ExportTake {
    /// The take's key, or its beginning
    pub(crate) key: String,

    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Frames per second of the timeline that they are for [default: the take's own, 16]
    #[arg(long, value_name = "FPS", value_parser = rate, allow_negative_numbers = true)]
    pub(crate) rate: Option<u32>,

    /// What shows between two frames of the take at another rate
    #[arg(long, value_enum, default_value_t, requires = "rate")]
    pub(crate) retime: Conversion,

    #[command(flatten, next_help_heading = "Files")]
    pub(crate) files: FrameArgs,
}

/// What shows between two frames of a take, as the node calls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Conversion {
    /// The nearest frame of the take
    #[default]
    Nearest,
    /// A blend of two
    Blend,
    /// None: each frame of the take is one of the timeline, and plays as fast as that is
    FrameForFrame,
}

impl Conversion {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Blend => "blend",
            Self::FrameForFrame => "frame-for-frame",
        }
    }
}

impl ExportTake {
    /// How the take becomes frames of another rate, where one was asked for.
    pub(crate) fn retime(&self) -> Option<Retime> {
        let conversion = match self.retime {
            Conversion::Nearest => RateConversion::Nearest,
            Conversion::Blend => RateConversion::Blend,
            Conversion::FrameForFrame => RateConversion::FrameForFrame,
        };
        self.rate.map(|rate| Retime { rate, conversion })
    }
}

/// Takes to look through.
#[derive(Debug, Args)]
pub(crate) struct TakeGallery {
    /// Folders of renders, of batches or of takes [default: the store]
    #[arg(value_name = "FOLDER")]
    pub(crate) folders: Vec<PathBuf>,

    /// The folder to write: index.html, and the moving pictures beside it. Those that are there stay
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Still pictures alone, in one file
    #[arg(long)]
    pub(crate) still: bool,
}

/// A take to make.
#[derive(Debug, Args)]
pub(crate) struct MakeTake {
    /// What a render left (its folder, take.json, or a frame as EXR or PNG), another file with a request,
    /// or a node's takeRequest
    #[arg(value_name = "FILE|REQUEST")]
    pub(crate) request: String,

    /// Make it with each of these seeds instead of its own, such as 1..8 (both ends) or 3,5,9: the model is
    /// loaded once, the prompt read once
    #[arg(long, value_name = "A..B|N,N,…", allow_hyphen_values = true)]
    pub(crate) seeds: Option<SeedList>,

    /// A picture of all of them, with the seed under each
    #[arg(long, value_name = "FILE.png", requires = "seeds")]
    pub(crate) sheet: Option<PathBuf>,

    /// Have the engine make it: its model stays warm for the next take
    #[arg(long, conflicts_with_all = ["device", "threads"])]
    pub(crate) engine: bool,

    /// Gigabytes that it may use at most, of the device; of a processor's, of the whole process. The take
    /// stays what its request says [default: WAN_ALPHA_MEMORY, else what is free]
    #[arg(long, value_name = "GB", allow_negative_numbers = true)]
    pub(crate) memory: Option<MemoryLimit>,

    #[command(flatten)]
    pub(crate) computing: Computing,
}

/// Frames per second of a timeline; broadcast's are told as whole numbers.
fn rate(text: &str) -> Result<u32, String> {
    let rates = 1..=240;
    let found = text.trim().parse().ok().filter(|rate| rates.contains(rate));
    found.ok_or_else(|| {
        let near = text.trim().parse::<f64>().ok().map(f64::round);
        let near = near.filter(|near| (1.0..=240.0).contains(near));
        let near =
            near.map(|near| format!("; for {} take {near}", text.trim())).unwrap_or_default();
        format!("expected a whole number of frames per second, 1 to 240{near}")
    })
}

/// A number of gigabytes, 0 or more.
fn gigabytes(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok();
    number
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| format!("expected gigabytes, 0 or more, found {text:?}"))
}
