//! The formats of movies: what ffmpeg is given, what it makes of it, and what the file says.

use std::fmt;

use anyhow::{Result, ensure};

use crate::media::provenance::Provenance;

/// A kind of movie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MovieCodec {
    ProRes,
    Ffv1,
    PngMov,
    WebM,
    Hevc,
    WebP,
    Apng,
}

impl fmt::Display for MovieCodec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ProRes => "ProRes 4444",
            Self::Ffv1 => "FFV1",
            Self::PngMov => "PNG in MOV",
            Self::WebM => "VP9 in WebM",
            Self::Hevc => "HEVC with alpha",
            Self::WebP => "animated WebP",
            Self::Apng => "animated PNG",
        })
    }
}

/// What lies around the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Mov,
    Matroska,
    WebM,
    WebP,
}

impl Container {
    /// As ffmpeg calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mov => "mov",
            Self::Matroska => "matroska",
            Self::WebM => "webm",
            Self::WebP => "webp",
        }
    }
}

/// Pixels as an encoder takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PixelFormat {
    /// Planes of 10 bits, video range, alpha full.
    Yuva444p10,
    /// Planes of 8 bits, color for every second pixel of every second row.
    Yuva420p,
    /// Planes of 16 bits: green, blue, red, alpha.
    Gbrap16,
    /// Pixel by pixel, 16 bits, the high byte first.
    Rgba64Be,
    /// Pixel by pixel, 8 bits.
    Bgra,
}

impl PixelFormat {
    /// As ffmpeg calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Yuva444p10 => "yuva444p10le",
            Self::Yuva420p => "yuva420p",
            Self::Gbrap16 => "gbrap16le",
            Self::Rgba64Be => "rgba64be",
            Self::Bgra => "bgra",
        }
    }
}

/// What a file says of its color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColorTags {
    /// Rec.709 in all three, video range.
    Rec709,
    /// Rec.709's primaries, sRGB's curve, no matrix, full range.
    Srgb,
    /// The format has no words for it, and means sRGB.
    None,
}

impl ColorTags {
    /// The filter that sets all of it, in every version of ffmpeg alike. Options for it do not
    /// (`findings/ffmpeg-color-options.sh`).
    pub(super) const fn filter(self) -> &'static str {
        match self {
            Self::Rec709 => {
                "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
            }
            Self::Srgb => {
                "setparams=range=pc:color_primaries=bt709:color_trc=iec61966-2-1:colorspace=gbr"
            }
            Self::None => "null",
        }
    }

    /// As ffmpeg says it of the file.
    pub(super) const fn said(self) -> Option<&'static str> {
        match self {
            Self::Rec709 => Some("bt709"),
            Self::Srgb => Some("gbr/bt709/iec61966-2-1"),
            Self::None => None,
        }
    }
}

/// How far what is read back may be from what was written, in steps of the alpha and the color that were
/// written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// The most of any pixel.
    pub(super) alpha: f64,
    /// Root of the mean square over what can be seen.
    pub(super) color: f64,
}

/// How a movie is made by ffmpeg.
#[derive(Clone, Copy, Debug)]
pub(super) struct MovieFormat {
    pub(super) container: Container,
    pub(super) pixels: PixelFormat,
    pub(super) tags: ColorTags,
    /// ffmpeg's encoder.
    pub(super) encoder: &'static str,
    /// What the encoder is told, as ffmpeg's options have it.
    pub(super) options: &'static [&'static str],
    /// The decoder that reads alpha, where another one is ffmpeg's own choice.
    pub(super) decoder: Option<&'static str>,
    pub(super) tolerance: Tolerance,
}

const LOSSLESS: Tolerance = Tolerance { alpha: 0.0, color: 0.0 };

impl MovieFormat {
    pub(super) const fn has_half_chroma(&self) -> bool {
        matches!(self.pixels, PixelFormat::Yuva420p)
    }

    /// What to write in its place where a size does not fit.
    pub(super) const fn instead(&self) -> &'static str {
        match self.container {
            Container::Mov => "prores",
            _ => "webp",
        }
    }
}

/// Its encoder takes alpha of 10 bits and writes 16; opaque and empty stay what they are.
const PRORES: MovieFormat = MovieFormat {
    container: Container::Mov,
    pixels: PixelFormat::Yuva444p10,
    tags: ColorTags::Rec709,
    encoder: "prores_ks",
    options: &["-profile:v", "4444", "-alpha_bits", "16", "-vendor", "apl0"],
    decoder: None,
    tolerance: Tolerance { alpha: 0.0, color: 24.0 },
};

const FFV1: MovieFormat = MovieFormat {
    container: Container::Matroska,
    pixels: PixelFormat::Gbrap16,
    tags: ColorTags::Srgb,
    encoder: "ffv1",
    options: &["-level", "3", "-slicecrc", "1"],
    decoder: None,
    tolerance: LOSSLESS,
};

const PNG_MOV: MovieFormat = MovieFormat {
    container: Container::Mov,
    pixels: PixelFormat::Rgba64Be,
    tags: ColorTags::Srgb,
    encoder: "png",
    options: &["-pred", "mixed"],
    decoder: None,
    tolerance: LOSSLESS,
};

const WEBM: MovieFormat = MovieFormat {
    container: Container::WebM,
    pixels: PixelFormat::Yuva420p,
    tags: ColorTags::Rec709,
    encoder: "libvpx-vp9",
    options: &["-crf", "14", "-b:v", "0", "-auto-alt-ref", "0", "-row-mt", "1"],
    decoder: Some("libvpx-vp9"),
    tolerance: Tolerance { alpha: 48.0, color: 10.0 },
};

const HEVC: MovieFormat = MovieFormat {
    container: Container::Mov,
    pixels: PixelFormat::Yuva420p,
    tags: ColorTags::Rec709,
    encoder: "libx265",
    options: &["-crf", "14", "-tag:v", "hvc1", "-x265-params", "log-level=error"],
    decoder: None,
    tolerance: Tolerance { alpha: 48.0, color: 10.0 },
};

const WEBP: MovieFormat = MovieFormat {
    container: Container::WebP,
    pixels: PixelFormat::Bgra,
    tags: ColorTags::None,
    // Not libwebp: frames that change in part are drawn over each other by it.
    encoder: "libwebp_anim",
    options: &["-lossless", "1", "-loop", "0"],
    decoder: None,
    tolerance: LOSSLESS,
};

impl MovieCodec {
    /// How ffmpeg makes it; none of what is made without.
    pub(super) const fn format(self) -> Option<MovieFormat> {
        match self {
            Self::ProRes => Some(PRORES),
            Self::Ffv1 => Some(FFV1),
            Self::PngMov => Some(PNG_MOV),
            Self::WebM => Some(WEBM),
            Self::Hevc => Some(HEVC),
            Self::WebP => Some(WEBP),
            Self::Apng => None,
        }
    }
}

/// An argument of a program may not be longer, on Linux.
const LONGEST_ARGUMENT: usize = 120 << 10;

/// What a Matroska file says of itself, as tags.
pub(super) fn matroska_tags(provenance: &Provenance) -> Result<Vec<(&'static str, String)>> {
    let mut tags = vec![
        ("ENCODER_SETTINGS", provenance.software.clone()),
        ("DATE_ENCODED", provenance.made.iso_words()),
        ("COPYRIGHT", provenance.owner.clone()),
        ("DESCRIPTION", provenance.description.clone()),
        (RECIPE_TAG, provenance.recipe.clone()),
    ];
    tags.extend(provenance.marks().into_iter().map(|(name, words)| (matroska_name(name), words)));
    tags.retain(|(_, words)| !words.is_empty());
    for (name, words) in &tags {
        ensure!(
            words.len() < LONGEST_ARGUMENT,
            "{name} is {} bytes long, more than ffmpeg can be given ({LONGEST_ARGUMENT}): leave it out \
             with --no-recipe",
            words.len()
        );
    }
    Ok(tags)
}

/// The recipe's tag in a Matroska file.
pub(crate) const RECIPE_TAG: &str = "WAN_ALPHA_RECIPE";

/// The tag of a mark; names of tags are in capitals, with underscores.
pub(crate) fn matroska_name(mark: &str) -> &'static str {
    match mark {
        "Iptc4xmpExt:DigitalSourceType" => "DIGITAL_SOURCE_TYPE",
        "Iptc4xmpExt:AISystemUsed" => "AI_SYSTEM_USED",
        "Iptc4xmpExt:AISystemVersionUsed" => "AI_SYSTEM_VERSION_USED",
        "Iptc4xmpExt:AIPromptInformation" => "AI_PROMPT_INFORMATION",
        "wanAlpha:Model" => "WAN_ALPHA_MODEL",
        "wanAlpha:Take" => "WAN_ALPHA_TAKE",
        "TC260:AIGC" => "AIGC",
        _ => "COMMENT",
    }
}
