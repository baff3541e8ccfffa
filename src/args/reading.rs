//! How pictures that are given are to be understood.

use clap::{Args, ValueEnum};

use crate::media::rgba::Association;

/// How the images of a clip are understood.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ImageReading {
    /// Whether color is multiplied by alpha [default: EXR premultiplied, PNG straight]
    #[arg(long, value_enum)]
    alpha: Option<AlphaChoice>,
}

impl ImageReading {
    /// How color and alpha belong together, where that is said.
    pub(crate) fn association(&self) -> Option<Association> {
        self.alpha.map(|choice| match choice {
            AlphaChoice::Straight => Association::Straight,
            AlphaChoice::Premultiplied => Association::Premultiplied,
        })
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
