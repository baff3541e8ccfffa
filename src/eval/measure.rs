//! What can be measured of a clip from its frames alone, as they pass by.

mod alpha;
mod grid;
mod hue;
mod interpolation;
mod kind;
mod motion;
mod place;

use anyhow::Result;
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::{Ellipse, TakeReport};

pub(super) use hue::{Hue, NamedHue};
pub(super) use kind::{Features, confusion, told_apart};
pub(super) use place::{Placement, latent_frames_in};

use alpha::AlphaMeter;
use grid::GridMeter;
use hue::HueMeter;
use kind::KindMeter;
use motion::MotionMeter;
use place::PlaceMeter;

/// Every measure at work on one clip.
pub(super) struct Meter {
    motion: MotionMeter,
    alpha: AlphaMeter,
    grid: GridMeter,
    place: PlaceMeter,
    hue: HueMeter,
    kind: KindMeter,
    track: Option<Vec<Ellipse>>,
}

/// What they came to. `None` where there is nothing to measure by.
#[derive(Clone, Debug)]
pub(super) struct ClipMeasures {
    pub(super) temporal_flickering: Option<f64>,
    pub(super) smoothness: Option<f64>,
    pub(super) alpha_flicker: Option<f64>,
    pub(super) coverage: f64,
    pub(super) soft: Option<f64>,
    pub(super) leak: Option<f64>,
    pub(super) holes: Option<f64>,
    pub(super) halo: Option<f64>,
    pub(super) inner_alpha: Option<f64>,
    pub(super) grid: Option<f64>,
    pub(super) placement: Placement,
    pub(super) hue: Hue,
    pub(super) features: Option<Features>,
}

impl ClipMeasures {
    /// Whether there is too little to be seen to score anything by.
    pub(super) fn is_empty(&self) -> bool {
        self.coverage < TakeReport::EMPTY
    }
}

impl Meter {
    /// For a clip of frames of this size; `track` has an ellipse for each of its latent frames.
    pub(super) fn new(
        [frames, width, height]: [usize; 3],
        track: Option<Vec<Ellipse>>,
    ) -> Result<Self> {
        Ok(Self {
            motion: MotionMeter::default(),
            alpha: AlphaMeter::default(),
            grid: GridMeter::default(),
            place: PlaceMeter::new([frames, width, height])?,
            hue: HueMeter::default(),
            kind: KindMeter::default(),
            track,
        })
    }

    /// Looks at the next frame.
    pub(super) fn push(&mut self, frame: &OwnedFrame) -> Result<()> {
        let alpha = frame.alpha();
        let track = self.track.as_deref().unwrap_or_default();
        // A clip may be a few frames longer than its latent frames are.
        let latent = wan_alpha_take::frames::latent_frame_of(frame.index as u32);
        self.alpha.push(frame, &alpha, track.get(latent).or(track.last()));
        self.place.push(&alpha)?;
        self.grid.push(frame);
        self.hue.push(frame);
        self.kind.push(frame, &alpha);
        self.motion.push(frame, alpha);
        Ok(())
    }

    /// What it came to.
    pub(super) fn finish(self) -> Result<ClipMeasures> {
        let Self { motion, alpha, grid, place, hue, kind, track } = self;
        Ok(ClipMeasures {
            temporal_flickering: motion.temporal_flickering(),
            smoothness: motion.smoothness(),
            alpha_flicker: motion.alpha_flicker(),
            coverage: alpha.sums().coverage(),
            soft: alpha.soft(),
            leak: alpha.sums().leak(),
            holes: alpha.sums().holes(),
            halo: alpha.halo(),
            inner_alpha: alpha.inner(),
            grid: grid.ratio(),
            placement: place.finish(track.as_deref())?,
            hue: hue.finish(),
            features: kind.finish(),
        })
    }
}

/// Clips with known answers.
#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Frames of one size, drawn pixel by pixel: frame, x, y.
    pub(crate) fn clip(
        [frames, width, height]: [usize; 3],
        pixel: impl Fn(usize, usize, usize) -> [f32; 4],
    ) -> Vec<OwnedFrame> {
        let frame = |index| {
            let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
            let rgba = places.flat_map(|(x, y)| pixel(index, x, y)).collect();
            OwnedFrame::new(index, width, height, rgba)
        };
        (0..frames).map(frame).collect()
    }

    /// 1 within a disc, 0 outside.
    pub(crate) fn disc(x: usize, y: usize, center: [f64; 2], radius: f64) -> f32 {
        let distance = (x as f64 - center[0]).hypot(y as f64 - center[1]);
        if distance <= radius { 1.0 } else { 0.0 }
    }

    pub(crate) fn measure(frames: &[OwnedFrame], track: Option<Vec<Ellipse>>) -> ClipMeasures {
        let first = &frames[0];
        let mut meter = Meter::new([frames.len(), first.width, first.height], track).unwrap();
        for frame in frames {
            meter.push(frame).unwrap();
        }
        meter.finish().unwrap()
    }

    #[test]
    fn an_empty_clip_still_has_what_can_be_said_of_it() {
        let measured = measure(&clip([5, 32, 32], |_, _, _| [1.0, 0.0, 0.0, 0.0]), None);
        assert_eq!(measured.temporal_flickering, Some(1.0));
        assert_eq!((measured.coverage, measured.alpha_flicker), (0.0, None));
        assert_eq!((measured.holes, measured.halo, measured.leak), (None, None, None));
        assert_eq!(measured.hue.angle, None);
        assert!(measured.features.is_none() && measured.placement.center_distance.is_none());
    }
}
