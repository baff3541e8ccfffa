//! Which shape the clips of a batch have, and how many of them there are.

#![forbid(unsafe_code)]

use std::ops::Range;

use anyhow::Result;

use super::settings::Settings;
use crate::data::{DataRng, Window};

/// The shapes of a run's clips.
pub(super) struct ClipShapes {
    seed: u64,
    /// Each with the clips of a batch.
    shapes: Vec<(Window, usize)>,
    /// The most clips of a batch.
    most: u64,
}

impl ClipShapes {
    pub(super) fn of(settings: &Settings) -> Result<Self> {
        let windows = settings.data.windows()?;
        let pixels = |window: &Window| (window.frames * window.height * window.width) as f64;
        let first = windows.first().map_or(0.0, pixels) * settings.batch as f64;
        let with_clips = |window: Window| (window, ((first / pixels(&window)) as usize).max(1));
        let shapes: Vec<_> = windows.into_iter().map(with_clips).collect();
        let most = shapes.iter().map(|(_, clips)| *clips as u64).max().unwrap_or(1);
        Ok(Self { seed: settings.seed, shapes, most })
    }

    /// Shapes, each with the clips of a batch.
    pub(super) fn all(&self) -> &[(Window, usize)] {
        &self.shapes
    }

    /// The shape of the batch of that number, from 0 on, and the numbers of its clips, which no other
    /// batch has.
    pub(super) fn training(&self, batch: u64) -> (Window, Range<u64>) {
        let drawn = match self.shapes.len() {
            1 => 0,
            many => DataRng::new(self.seed, "shape", &[batch]).below(many),
        };
        let (window, clips) = self.shapes[drawn];
        let first = batch * self.most;
        (window, first..first + clips as u64)
    }

    /// The batches that `count` clips are measured in, shape by shape in turn.
    pub(super) fn held_out(&self, count: u64) -> Vec<(Window, Range<u64>)> {
        let (mut batches, mut first) = (Vec::new(), 0);
        for (window, clips) in self.shapes.iter().cycle() {
            if first >= count {
                break;
            }
            let end = (first + *clips as u64).min(count);
            batches.push((*window, first..end));
            first = end;
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: Window = Window { frames: 17, height: 96, width: 96 };
    const WIDE: Window = Window { frames: 33, height: 96, width: 160 };
    const SMALL: Window = Window { frames: 17, height: 64, width: 64 };

    fn shapes(of: &[[usize; 3]], batch: usize) -> ClipShapes {
        let data = serde_json::json!({ "procedural": 1, "shapes": of });
        let task = serde_json::json!({ "kind": "tokenizer", "vocabulary": 300 });
        let run = serde_json::json!({ "steps": 1, "batch": batch, "task": task, "data": data });
        ClipShapes::of(&serde_json::from_value(run).unwrap()).unwrap()
    }

    #[test]
    fn a_batch_of_larger_clips_holds_fewer_and_no_clip_comes_twice() {
        let mixed = shapes(&[[17, 96, 96], [33, 96, 160], [17, 64, 64]], 16);
        assert_eq!(mixed.all(), [(SQUARE, 16), (WIDE, 4), (SMALL, 36)]);
        let (mut counts, mut next) = ([0; 3], 0);
        for batch in 0..300 {
            let (window, clips) = mixed.training(batch);
            assert!(clips.start >= next, "{clips:?}");
            next = clips.end;
            let place = mixed.all().iter().position(|(shape, _)| *shape == window).unwrap();
            assert_eq!((clips.end - clips.start) as usize, mixed.all()[place].1);
            counts[place] += 1;
        }
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
        // A clip larger than all of a batch is a batch.
        assert_eq!(shapes(&[[17, 64, 64], [33, 96, 160]], 1).all()[1], (WIDE, 1));
    }

    #[test]
    fn one_shape_has_the_clips_that_it_ever_had() {
        let one = shapes(&[[17, 96, 96]], 8);
        assert_eq!(one.training(3), (SQUARE, 24..32));
        assert_eq!(one.held_out(20), [(SQUARE, 0..8), (SQUARE, 8..16), (SQUARE, 16..20)]);
        assert!(one.held_out(0).is_empty());
    }

    #[test]
    fn what_is_held_out_is_measured_in_every_shape() {
        let mixed = shapes(&[[17, 96, 96], [33, 96, 160]], 8);
        let expected = [(SQUARE, 0..8), (WIDE, 8..10), (SQUARE, 10..12)];
        assert_eq!(mixed.held_out(12), expected);
    }
}
