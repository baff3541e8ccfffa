//! How take frames and pixels map to latent frames and cells: the video VAE compresses 4× in
//! time, its first frame apart, and 8× in each direction of the image.
//!
//! Latent frame 0 stands for take frame 0; latent frame k > 0 for take frames 4k−3 … 4k.

use thiserror::Error;

/// Take frames per latent frame, after the first.
pub const STRIDE: u32 = 4;

/// Pixels per latent cell, in each direction.
pub const CELL: usize = 8;

/// A number of take frames that is not 4n+1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{found} frames: expected 4n+1, because the model makes a first frame and then groups of \
     four; use {} or {}", self.below(), self.above()
)]
pub struct FrameCountError {
    /// The number asked for.
    pub found: u32,
}

impl FrameCountError {
    /// The nearest possible number of frames below, at least 1.
    #[must_use]
    pub fn below(self) -> u32 {
        let groups = self.found.saturating_sub(1) / STRIDE;
        groups * STRIDE + 1
    }

    /// The nearest possible number of frames above.
    #[must_use]
    pub fn above(self) -> u32 {
        self.below().saturating_add(STRIDE)
    }
}

/// Latent frames of a take: n+1 for 4n+1 take frames.
///
/// # Errors
/// [`FrameCountError`], naming the nearest possible numbers, if `frames` is not 4n+1.
pub fn latent_frames(frames: u32) -> Result<usize, FrameCountError> {
    if frames % STRIDE == 1 {
        Ok((frames / STRIDE) as usize + 1)
    } else {
        Err(FrameCountError { found: frames })
    }
}

/// The latent frame that stands for a take frame.
#[must_use]
pub fn latent_frame_of(frame: u32) -> usize {
    frame.div_ceil(STRIDE) as usize
}

/// The first and the last take frame that latent frame `k` stands for.
#[must_use]
pub fn take_frames_of(k: usize) -> (u32, u32) {
    let last = u32::try_from(k).unwrap_or(u32::MAX).saturating_mul(STRIDE);
    (if k == 0 { 0 } else { last.saturating_sub(STRIDE - 1) }, last)
}

/// The take frame, usually fractional, at the middle of what latent frame `k` stands for: 0 for
/// the first, then 4k − 1.5. Keyframed values are sampled there.
#[must_use]
pub fn latent_center(k: usize) -> f64 {
    if k == 0 { 0.0 } else { f64::from(STRIDE) * k as f64 - 1.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_latent_frames() {
        for (frames, latent) in [(1, 1), (5, 2), (13, 4), (81, 21), (257, 65)] {
            assert_eq!(latent_frames(frames), Ok(latent));
        }
    }

    #[test]
    fn refuses_other_counts_and_names_the_nearest() {
        for (found, below, above) in [(0, 1, 5), (2, 1, 5), (80, 77, 81), (84, 81, 85)] {
            let error = latent_frames(found).unwrap_err();
            assert_eq!((error.below(), error.above()), (below, above));
        }
        let message = latent_frames(80).unwrap_err().to_string();
        assert!(message.starts_with("80 frames: expected 4n+1"), "{message}");
        assert!(message.ends_with("use 77 or 81"), "{message}");
        assert!(latent_frames(u32::MAX).is_err());
    }

    #[test]
    fn center_is_the_middle_of_the_span() {
        assert_eq!(latent_center(0), 0.0);
        assert_eq!(latent_frame_of(0), 0);
        for k in 1..=64 {
            let span: Vec<f64> = (4 * k - 3..=4 * k).map(|frame| frame as f64).collect();
            assert!((4 * k - 3..=4 * k).all(|frame| latent_frame_of(frame as u32) == k));
            assert_eq!(take_frames_of(k), (span[0] as u32, span[3] as u32));
            assert_eq!(latent_center(k), span.iter().sum::<f64>() / 4.0);
        }
    }
}
