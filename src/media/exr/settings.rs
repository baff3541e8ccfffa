//! How EXR files are written: number format, compression, alpha and color.

use exr::meta::attribute::Chromaticities;
use exr::prelude::{Compression, Vec2};
use wan_alpha_take::color::to_linear;

use crate::media::color_space::to_acescg;

/// The number format of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExrSamples {
    /// 16 bits: eleven bits of precision
    #[default]
    Half,
    /// 32 bits
    Float,
}

/// How pixels are compressed. HTJ2K is not offered: what was made before OpenEXR 3.4 cannot read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExrCompression {
    /// Lossless, in blocks of 16 lines
    #[default]
    Zip,
    /// Lossless, line by line: larger, and quicker to look up a few lines of
    Zips,
    /// Lossy, in blocks of 32 lines: a third of the size or less; alpha is kept as it is
    Dwaa,
}

impl ExrCompression {
    pub(super) const fn of_exr(self) -> Compression {
        match self {
            Self::Zip => Compression::ZIP16,
            Self::Zips => Compression::ZIP1,
            Self::Dwaa => Compression::DWAA(Some(DWAA_LEVEL)),
        }
    }
}

/// OpenEXR's own default.
const DWAA_LEVEL: f32 = 45.0;

/// How color and alpha belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExrAlpha {
    /// Color is multiplied by alpha, as OpenEXR has it
    #[default]
    Premultiplied,
    /// Color is as it was generated; whoever reads the file must know
    Straight,
}

/// What the numbers mean as colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExrColor {
    /// Linear Rec.709
    #[default]
    Linear,
    /// ACEScg: linear, with the primaries AP1
    Acescg,
    /// sRGB, as the model makes it
    AsGenerated,
}

/// How EXR files are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExrSettings {
    pub(crate) samples: ExrSamples,
    pub(crate) compression: ExrCompression,
    pub(crate) alpha: ExrAlpha,
    pub(crate) color: ExrColor,
}

const REC_709: Chromaticities = Chromaticities {
    red: Vec2(0.64, 0.33),
    green: Vec2(0.30, 0.60),
    blue: Vec2(0.15, 0.06),
    white: Vec2(0.3127, 0.3290),
};

const AP1: Chromaticities = Chromaticities {
    red: Vec2(0.713, 0.293),
    green: Vec2(0.165, 0.830),
    blue: Vec2(0.128, 0.044),
    white: Vec2(0.32168, 0.33767),
};

impl ExrColor {
    pub(super) const fn chromaticities(self) -> Chromaticities {
        match self {
            Self::Linear | Self::AsGenerated => REC_709,
            Self::Acescg => AP1,
        }
    }

    /// The Color Interop Forum's name, the one thing about color that OpenImageIO 3.2 obeys.
    pub(super) const fn interop_id(self) -> &'static str {
        match self {
            Self::Linear => "lin_rec709_scene",
            Self::Acescg => "lin_ap1_scene",
            Self::AsGenerated => "srgb_rec709_scene",
        }
    }
}

impl ExrSettings {
    /// A straight display-referred pixel as the file has it. Color is 0 where alpha is.
    pub(super) fn stored(&self, [r, g, b, a]: [f32; 4]) -> [f32; 4] {
        let alpha = a.clamp(0.0, 1.0);
        if alpha == 0.0 {
            return [0.0; 4];
        }
        let color = match self.color {
            ExrColor::AsGenerated => [r, g, b],
            ExrColor::Linear => [r, g, b].map(to_linear),
            ExrColor::Acescg => to_acescg([r, g, b].map(to_linear)),
        };
        let factor = match self.alpha {
            ExrAlpha::Premultiplied => alpha,
            ExrAlpha::Straight => 1.0,
        };
        let [r, g, b] = color.map(|value| value * factor);
        [r, g, b, alpha]
    }
}
