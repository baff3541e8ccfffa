//! The syntax of `wan-alpha ellipse`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wan_alpha_take::Interpolation;
use wan_alpha_take::fit::FitSettings;

use super::{number, one_of, size, whole, within};

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
    /// a video, which ffmpeg reads. Where there is no alpha channel, the gray is it
    #[arg(required = true)]
    pub(crate) alpha: Vec<PathBuf>,

    /// The part, layer or channel of EXR files that is the alpha [default: A of the picture]
    #[arg(long, value_name = "NAME")]
    pub(crate) layer: Option<String>,

    /// Alpha above this is subject, 0 to 1
    #[arg(long, value_name = "A", default_value_t = FitSettings::RELEASED.threshold)]
    #[arg(value_parser = number("a number, 0 to 1"), allow_hyphen_values = true)]
    pub(crate) threshold: f64,

    /// How many sizes are tried, each 12 % larger, until one covers the subject; 8 in training
    #[arg(long, value_name = "N", default_value_t = FitSettings::RELEASED.rounds)]
    #[arg(value_parser = within(1..=20_u32), allow_negative_numbers = true)]
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

    /// The part, layer or channel of EXR files that is the mask
    #[arg(long, value_name = "NAME", requires = "placement")]
    pub(crate) layer: Option<String>,

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
    #[arg(value_parser = whole("a whole number, 0 for the first frame"))]
    pub(crate) frame: u32,

    /// The picture to write
    #[arg(long, value_name = "FILE.png")]
    pub(crate) out: PathBuf,
}
