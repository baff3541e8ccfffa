//! What a finished take came to: whether anything is to be seen, and where.
//!
//! [`ReportMeter`] looks at frames as they are decoded and keeps nothing of them but sums. What it
//! measures is what `wan-alpha eval` measures, by the same functions ([`AlphaSums`],
//! [`CenterMatch`], the fit of [`Compressor`]); the cost is a few nanoseconds for each pixel.

mod alpha;
mod centers;

use serde::{Deserialize, Serialize};

pub use self::alpha::{AlphaSums, PixelShare, contains};
pub use self::centers::CenterMatch;
use crate::ellipse::Ellipse;
use crate::fit::{Compressor, FitError, FitSettings};
use crate::frame::Frame;
use crate::frames::latent_frame_of;
use crate::request::TakeRequest;
use crate::rounding::to_millionths;

/// What a finished take came to. Every number is rounded to 1e-6, and a function of the take's
/// pixels and request alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TakeReport {
    /// The mean of alpha over all pixels of all frames, 0 to 1.
    pub coverage: f64,
    /// Mean alpha outside the twice enlarged ellipse, 0 to 1; none where no ellipse was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leak: Option<f64>,
    /// Of the frame where it is greatest, the share of the filled silhouette (alpha 0.5) that its
    /// largest hole is, 0 to 1; none without a silhouette. A ring has one by right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_hole: Option<f64>,
    /// How the subject follows the ellipse: correlation over time of the asked and the found center,
    /// −1 to 1; none where the ellipse stands still, or too little is to be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ellipse_followed: Option<f64>,
    /// Mean distance of the found center from the ellipse's, in frame heights; none where there is
    /// no ellipse or nothing to be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub center_distance: Option<f64>,
}

impl TakeReport {
    /// With less [`coverage`](Self::coverage) than this a take shows hardly anything.
    pub const EMPTY: f64 = 0.002;

    /// A subject that follows a moving ellipse less than this does not follow it.
    pub const FOLLOWED: f64 = 0.3;

    /// Whether hardly anything is to be seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.coverage < Self::EMPTY
    }

    /// Whether the ellipse moved and the subject went its own way.
    #[must_use]
    pub fn ignores_ellipse(&self) -> bool {
        self.ellipse_followed.is_some_and(|followed| followed < Self::FOLLOWED)
    }
}

/// In words, as one line: `covers 12.3 % of the frame, 0.1 % outside its ellipse, …`.
impl std::fmt::Display for TakeReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "covers {} of the frame", percent(self.coverage))?;
        if let Some(leak) = self.leak {
            write!(f, ", {} beyond twice its ellipse", percent(leak))?;
        }
        if let Some(hole) = self.largest_hole.filter(|hole| *hole > 0.0) {
            write!(f, ", largest hole {}", percent(hole))?;
        }
        if let Some(followed) = self.ellipse_followed {
            write!(f, ", follows the ellipse by {followed:.2}")?;
        }
        if let Some(distance) = self.center_distance {
            write!(f, ", off center by {}", percent(distance))?;
        }
        Ok(())
    }
}

/// A share in percent, with as many digits as tell it from nothing.
fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent >= 10.0 || percent == 0.0 => format!("{percent:.0} %"),
        percent if percent >= 0.1 => format!("{percent:.1} %"),
        percent => format!("{percent:.3} %"),
    }
}

/// Measures a take while its frames come.
#[derive(Debug)]
pub struct ReportMeter {
    alpha: AlphaSums,
    compressor: Compressor,
    /// What was asked for in each latent frame; none where nothing draws the subject anywhere.
    track: Vec<Option<Ellipse>>,
    size: [usize; 2],
    /// The alpha of the frame at hand, kept for its memory.
    values: Vec<f32>,
}

impl ReportMeter {
    /// For the take of an accepted request.
    ///
    /// # Errors
    /// [`FitError::Size`] for frames that no accepted request has.
    pub fn new(request: &TakeRequest) -> Result<Self, FitError> {
        let size = [request.width as usize, request.height as usize];
        let compressor = Compressor::new(size[0], size[1], FitSettings::RELEASED.threshold)?;
        let track = request.asked_ellipses();
        Ok(Self { alpha: AlphaSums::default(), compressor, track, size, values: Vec::new() })
    }

    /// Looks at the next frame.
    ///
    /// # Errors
    /// [`FitError::Length`] if it is of another size.
    pub fn push(&mut self, frame: &Frame<'_>) -> Result<(), FitError> {
        self.values.clear();
        // What is no number is nothing to be seen.
        let shown = |alpha: f32| if alpha > 0.0 { alpha.min(1.0) } else { 0.0 };
        self.values.extend(frame.pixels().iter().map(|pixel| shown(pixel[3])));
        self.compressor.push(&self.values)?;
        let latent = u32::try_from(frame.index).map_or(usize::MAX, latent_frame_of);
        let asked = self.track.get(latent).and_then(Option::as_ref);
        self.alpha.push(&self.values, self.size[0], asked);
        Ok(())
    }

    /// What the take came to.
    ///
    /// # Errors
    /// [`FitError::Frames`] if there were not 4n+1 frames.
    pub fn finish(self) -> Result<TakeReport, FitError> {
        let Self { alpha, compressor, track, size, .. } = self;
        let found = compressor.finish()?.ellipses(FitSettings::RELEASED.rounds);
        let pairs = track.into_iter().zip(found).filter_map(|(asked, found)| asked.zip(found));
        let centers = CenterMatch::of(pairs, size);
        let rounded = |value: Option<f64>| value.map(to_millionths);
        Ok(TakeReport {
            coverage: to_millionths(alpha.coverage()),
            leak: rounded(alpha.leak()),
            largest_hole: rounded(alpha.largest_hole()),
            ellipse_followed: rounded(centers.follows),
            center_distance: rounded(centers.distance),
        })
    }
}

#[cfg(test)]
mod tests;
