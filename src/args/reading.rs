//! How pictures that are given are to be understood.

use clap::{Args, ValueEnum};

use crate::media::color_space::ColorSpace;
use crate::media::reading::{Association, PictureReading};

/// How the images of a clip are understood.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImageReading {
    /// Whether color is multiplied by alpha [default: EXR premultiplied, PNG straight]
    #[arg(long, value_enum)]
    alpha: Option<AlphaChoice>,

    /// What color is: srgb, linear, rec709, display-p3, linear-p3, rec2020, linear-rec2020, acescg,
    /// aces2065-1, adobe-rgb, or a name of the Color Interop Forum [default: as the files say, else
    /// EXR linear, PNG and movies srgb]
    #[arg(long, value_name = "SPACE")]
    color: Option<ColorSpace>,

    /// The part or layer of EXR files that is the picture [default: the one with R, G, B]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
}

impl ImageReading {
    /// What is said of the images, as those that read them have it.
    pub(crate) fn reading(&self) -> PictureReading {
        let alpha = self.alpha.map(|choice| match choice {
            AlphaChoice::Straight => Association::Straight,
            AlphaChoice::Premultiplied => Association::Premultiplied,
        });
        PictureReading { alpha, color: self.color.clone(), layer: self.layer.clone() }
    }
}

/// [`Association`], as it is spelled on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AlphaChoice {
    /// Color is what it is, however transparent
    Straight,
    /// Color has been multiplied by alpha
    Premultiplied,
}
