//! Where the subject is, and whether that is where it was asked to be.

use anyhow::Result;
use wan_alpha_take::fit::{Compressor, FitSettings};
use wan_alpha_take::frames::STRIDE;
use wan_alpha_take::report::{CenterMatch, contains};
use wan_alpha_take::{Ellipse, GridEllipse};

use crate::exit::{Exit, OrExit};

/// Takes the alpha of a clip's frames.
pub(super) struct PlaceMeter {
    compressor: Compressor,
    size: [usize; 2],
    /// Frames that whole latent frames stand for: 4n+1.
    used: usize,
    seen: usize,
}

/// Where a clip's subject is: ellipses fitted as the model's training fitted them, beside those that
/// were asked for.
#[derive(Clone, Debug, Default)]
pub(in crate::eval) struct Placement {
    /// Per latent frame; `None` where there is no subject.
    pub(in crate::eval) found: Vec<Option<Ellipse>>,
    /// Mean distance of the centers, in frame heights, over latent frames with a subject.
    pub(in crate::eval) center_distance: Option<f64>,
    /// Mean over latent frames of intersection over union within the frame; 0 without a subject.
    pub(in crate::eval) iou: Option<f64>,
    /// Correlation over time of asked and found center, of an ellipse that moves.
    pub(in crate::eval) follows: Option<f64>,
    /// Mean centers over time, asked and found: fractions of the frame, y up.
    pub(in crate::eval) centers: Option<[[f64; 2]; 2]>,
}

/// How many latent frames a clip has whole.
pub(in crate::eval) fn latent_frames_in(frames: usize) -> usize {
    frames.saturating_sub(1) / STRIDE as usize + 1
}

impl PlaceMeter {
    pub(super) fn new([frames, width, height]: [usize; 3]) -> Result<Self> {
        let FitSettings { threshold, .. } = FitSettings::RELEASED;
        let compressor = Compressor::new(width, height, threshold).or_exit(Exit::BadInput)?;
        let used = (latent_frames_in(frames) - 1) * STRIDE as usize + 1;
        Ok(Self { compressor, size: [width, height], used, seen: 0 })
    }

    pub(super) fn push(&mut self, alpha: &[f32]) -> Result<()> {
        if self.seen < self.used {
            self.compressor.push(alpha)?;
        }
        self.seen += 1;
        Ok(())
    }

    pub(super) fn finish(self, track: Option<&[Ellipse]>) -> Result<Placement> {
        let found = self.compressor.finish()?.ellipses(FitSettings::RELEASED.rounds);
        Ok(track.map_or_else(
            || Placement { found: found.clone(), ..Placement::default() },
            |asked| compared(asked, &found, self.size),
        ))
    }
}

fn compared(
    asked: &[Ellipse],
    found: &[Option<Ellipse>],
    [width, height]: [usize; 2],
) -> Placement {
    let both = || asked.iter().zip(found).filter_map(|(asked, found)| Some((*asked, (*found)?)));
    let overlap: f64 = both()
        .map(|(asked, found)| {
            let [asked, found] = [asked, found].map(|ellipse| ellipse.on_grid(width, height));
            intersection_over_union(&asked, &found, [width, height])
        })
        .sum();
    let CenterMatch { distance, follows, means } = CenterMatch::of(both(), [width, height]);
    Placement {
        found: found.to_vec(),
        center_distance: distance,
        iou: (!found.is_empty()).then(|| overlap / found.len() as f64),
        follows,
        centers: means,
    }
}

/// Counted in pixels of the frame.
fn intersection_over_union(a: &GridEllipse, b: &GridEllipse, [width, height]: [usize; 2]) -> f64 {
    let (mut both, mut either) = (0_u32, 0_u32);
    for y in 0..height {
        for x in 0..width {
            let [a, b] = [a, b].map(|ellipse| contains(ellipse, x as f64, y as f64, 1.0));
            both += u32::from(a && b);
            either += u32::from(a || b);
        }
    }
    f64::from(both) / f64::from(either.max(1))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clip, disc, measure};
    use super::*;

    /// A disc of radius 16 in 128 × 64, per latent frame of 9 frames at these pixels.
    fn discs(places: [[f64; 2]; 3]) -> Vec<wan_alpha_take::frame::OwnedFrame> {
        clip([9, 128, 64], |t, x, y| [0.2, 0.8, 0.3, disc(x, y, places[t.div_ceil(4)], 16.0)])
    }

    fn at(x: f64, y: f64) -> Ellipse {
        Ellipse { x: (x + 0.5) / 128.0, y: 1.0 - (y + 0.5) / 64.0, a: 0.55, b: 0.55, angle: 0.0 }
    }

    #[test]
    fn a_disc_moved_by_known_pixels_is_that_far_away_in_frame_heights() {
        let still = discs([[40.0, 30.0]; 3]);
        let found = measure(&still, None).placement.found;
        let found: Vec<Ellipse> = found.into_iter().map(Option::unwrap).collect();
        // The center of a disc, as well as cells of 8 pixels can say it.
        assert!((found[0].x - 40.5 / 128.0).abs() < 0.01, "{found:?}");
        assert!((found[0].y - (1.0 - 30.5 / 64.0)).abs() < 0.02, "{found:?}");
        let there = measure(&still, Some(found.clone())).placement;
        assert_eq!((there.center_distance, there.iou, there.follows), (Some(0.0), Some(1.0), None));
        let moved = |x: f64, y: f64| {
            let shift = |e: &Ellipse| Ellipse { x: e.x + x / 128.0, y: e.y + y / 64.0, ..*e };
            measure(&still, Some(found.iter().map(shift).collect())).placement
        };
        // 16 and 12 pixels of 64 frame rows: 0.25 and 0.1875.
        let off = moved(16.0, 12.0);
        assert!((off.center_distance.unwrap() - 0.3125).abs() < 1e-9, "{off:?}");
        assert!((0.1..0.6).contains(&off.iou.unwrap()), "{off:?}");
        let [asked, found] = off.centers.unwrap();
        assert!((asked[0] - found[0] - 0.125).abs() < 1e-9);
        assert!((asked[1] - found[1] - 0.1875).abs() < 1e-9, "y is up");
        assert_eq!(moved(70.0, 0.0).iou, Some(0.0));
    }

    #[test]
    fn one_disc_within_another_overlaps_by_their_areas() {
        let circle = |a: f64| GridEllipse { cx: 99.5, cy: 49.5, a, b: a, angle: 20.0 };
        let overlap = |a, b| intersection_over_union(&circle(a), &circle(b), [200, 100]);
        assert!((overlap(40.0, 80.0) - 0.25).abs() < 0.005);
        assert!((overlap(80.0, 40.0) - 0.25).abs() < 0.005);
    }

    #[test]
    fn the_subject_follows_runs_away_or_stays() {
        let ask = vec![at(32.0, 32.0), at(64.0, 32.0), at(96.0, 32.0)];
        let correlation = |places| measure(&discs(places), Some(ask.clone())).placement.follows;
        assert!(correlation([[30.0, 30.0], [60.0, 30.0], [90.0, 30.0]]).unwrap() > 0.99);
        assert!(correlation([[90.0, 30.0], [60.0, 30.0], [30.0, 30.0]]).unwrap() < -0.99);
        assert_eq!(correlation([[60.0, 30.0]; 3]), Some(0.0));
    }

    #[test]
    fn lengths_that_no_take_has_are_fitted_as_far_as_whole_latent_frames_go() {
        assert_eq!([1, 2, 5, 16, 49].map(latent_frames_in), [1, 1, 2, 4, 13]);
        let frames = &discs([[40.0, 30.0]; 3])[..7];
        assert_eq!(measure(frames, None).placement.found.len(), 2);
    }

    #[test]
    fn a_latent_frame_without_a_subject_overlaps_nothing() {
        let frames = clip([5, 64, 64], |t, x, y| {
            [1.0, 1.0, 1.0, if t == 0 { disc(x, y, [31.5, 31.5], 16.0) } else { 0.0 }]
        });
        let middle = Ellipse { a: 0.5, b: 0.5, ..Ellipse::default() };
        let found = measure(&frames, Some(vec![middle; 2])).placement;
        assert!(found.found[0].is_some() && found.found[1].is_none());
        let first = measure(&frames[..1], Some(vec![middle])).placement;
        assert!((found.iou.unwrap() - first.iou.unwrap() / 2.0).abs() < 1e-12, "{found:?}");
        assert!(found.center_distance.unwrap() < 0.02);
    }
}
