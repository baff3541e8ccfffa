//! The formats that a take is written in: a file for each frame, and movies.

use crate::media::movie::MovieCodec;
use crate::media::signature;

/// A file format for frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A file a frame, by default half float, ZIP, linear Rec.709, premultiplied: for compositing
    Exr,
    /// A file a frame, by default 16 bit, sRGB, straight (unpremultiplied): for everything else
    Png,
    /// Movie (.mov): ProRes 4444, 10 bit alpha, for editing. By ffmpeg, as all below but apng
    #[value(name = "prores")]
    ProRes,
    /// Movie (.mkv): FFV1, 16 bit, lossless, for keeping
    Ffv1,
    /// Movie (.mov): PNG frames, 16 bit, lossless
    PngMov,
    /// Movie (.webm): VP9 with alpha, for Chromium and Firefox
    #[value(name = "webm")]
    WebM,
    /// Movie (.mov): HEVC with alpha, for Safari; needs an ffmpeg whose libx265 has alpha
    Hevc,
    /// Animation (.webp): lossless, 8 bit, for every browser
    #[value(name = "webp")]
    WebP,
    /// Animation (.apng): lossless, 8 bit, for every browser; larger than webp
    Apng,
}

impl Format {
    /// All of them, in the order in which they are written.
    pub(crate) const ALL: [Self; 9] = [
        Self::Exr,
        Self::Png,
        Self::ProRes,
        Self::Ffv1,
        Self::PngMov,
        Self::WebM,
        Self::Hevc,
        Self::WebP,
        Self::Apng,
    ];

    /// The ending of its files' names.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Exr => "exr",
            Self::Png => "png",
            Self::ProRes | Self::PngMov | Self::Hevc => "mov",
            Self::Ffv1 => "mkv",
            Self::WebM => "webm",
            Self::WebP => "webp",
            Self::Apng => "apng",
        }
    }

    /// Whether its files have their signatures beside them.
    pub(super) fn is_signed_beside(self) -> bool {
        signature::is_beside(self.extension())
    }

    /// The movie that it is; none of a file for each frame.
    pub(crate) const fn movie(self) -> Option<MovieCodec> {
        Some(match self {
            Self::Exr | Self::Png => return None,
            Self::ProRes => MovieCodec::ProRes,
            Self::Ffv1 => MovieCodec::Ffv1,
            Self::PngMov => MovieCodec::PngMov,
            Self::WebM => MovieCodec::WebM,
            Self::Hevc => MovieCodec::Hevc,
            Self::WebP => MovieCodec::WebP,
            Self::Apng => MovieCodec::Apng,
        })
    }
}
