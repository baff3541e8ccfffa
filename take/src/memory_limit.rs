//! How much memory an artist lets a take use, and what of its request follows from that.
//!
//! What follows is the same on every machine: the limit is an artist's choice, and what happens to be free
//! never changes a pixel.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::request::DecodeTiling;

/// Bytes of a gigabyte.
const GIGABYTE: f64 = 1e9;
/// Gigabytes that are not the decoder's: its weights, workspace, and what a process is besides.
const BESIDES: f64 = 2.0;
/// Bytes for each pixel of a frame that the released decoder holds in one piece, in float32: 14.9 thousand
/// were counted (`plan::decode_peak` of the core).
const PER_PIXEL: f64 = 16e3;

/// The memory of a device that a take may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryLimit(u64);

/// Where a limit of the memory that may be used was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapSource {
    /// `WAN_ALPHA_MEMORY`.
    #[default]
    Variable,
    /// `--memory`.
    Flag,
    /// *Memory* of a node.
    Parameter,
}

/// What is no limit.
#[derive(Debug, Error)]
#[error("\"{found}\" is no memory: expected gigabytes above 0 and below 1e9, such as 12 or 7.5")]
pub struct MemoryLimitError {
    /// What was found.
    found: String,
}

impl MemoryLimit {
    /// What the node offers, in gigabytes.
    pub const CHOICES: [u32; 5] = [8, 12, 16, 24, 48];

    /// A limit in gigabytes.
    #[must_use]
    pub fn gigabytes(gigabytes: u32) -> Self {
        Self(u64::from(gigabytes) * 1_000_000_000)
    }

    /// Bytes of the device; on a processor of the whole process.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Whether frames of `width` × `height` pixels are decoded in one piece: tiles are for those that would
    /// not fit beside what else is there, one decoder after the other.
    #[must_use]
    pub fn decode_tiling(self, width: u32, height: u32) -> DecodeTiling {
        let pixels = f64::from(width) * f64::from(height);
        let room = self.0 as f64 - BESIDES * GIGABYTE;
        if pixels * PER_PIXEL <= room { DecodeTiling::Whole } else { DecodeTiling::Tiled }
    }
}

impl FromStr for MemoryLimit {
    type Err = MemoryLimitError;

    /// Gigabytes.
    fn from_str(text: &str) -> Result<Self, MemoryLimitError> {
        let number = text.trim().parse::<f64>().ok();
        let bytes = number.map(|gigabytes| gigabytes * GIGABYTE);
        match bytes.filter(|bytes| *bytes >= 1.0 && *bytes < 1e18) {
            Some(bytes) => Ok(Self(bytes as u64)),
            None => Err(MemoryLimitError { found: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_frames_are_decoded_in_tiles_where_little_memory_is_granted() {
        use DecodeTiling::{Tiled, Whole};
        let of = |[width, height]: [u32; 2]| {
            MemoryLimit::CHOICES
                .map(|gigabytes| MemoryLimit::gigabytes(gigabytes).decode_tiling(width, height))
        };
        assert_eq!(of([480, 320]), [Whole; 5]);
        assert_eq!(of([832, 480]), [Tiled, Whole, Whole, Whole, Whole]);
        assert_eq!(of([1280, 720]), [Tiled, Tiled, Tiled, Whole, Whole]);
        assert_eq!(of([2048, 2048]), [Tiled; 5]);
    }

    #[test]
    fn a_limit_is_gigabytes_above_0() {
        let bytes = |text: &str| text.parse::<MemoryLimit>().map(MemoryLimit::bytes);
        assert_eq!(bytes("12").unwrap(), 12_000_000_000);
        assert_eq!(bytes(" 7.5").unwrap(), 7_500_000_000);
        for text in ["0", "-1", "nan", "inf", "1e9", "1e308", "a lot", ""] {
            let error = bytes(text).unwrap_err().to_string();
            assert!(error.contains("expected gigabytes above 0 and below 1e9"), "{error}");
        }
    }
}
