//! When a take plays: from the host's time to a frame of the take, and back.

#![forbid(unsafe_code)]

use wan_alpha_take::retime::{RateConversion, ShownFrames};

use crate::names;
use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{OUTSIDE, RATE_CONVERSION, SPEED, START_FRAME, TIMELINE_RATE};

/// What shows before a take begins and after it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    Hold,
    Loop,
    Bounce,
    Empty,
}

impl Outside {
    /// In the order of the parameter.
    pub(crate) const ALL: [Self; 4] = [Self::Hold, Self::Loop, Self::Bounce, Self::Empty];
}

/// A time farther from 0 than this counts as infinite.
const FARTHEST_TIME: f64 = 1e9;

/// The frames per second of a host that does not say how many it has.
const DEFAULT_RATE: f64 = 24.0;

/// Where and how fast a take plays in the host's time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Timing {
    /// The host's frame of take frame 0.
    pub(crate) start: f64,
    /// How many frames of the take play in one frame of the host.
    pub(crate) pace: f64,
    pub(crate) outside: Outside,
    /// Whether what lies between two frames is a blend of them, and not the nearer one.
    pub(crate) blends: bool,
}

impl Timing {
    /// How the node plays a take of `take_rate` frames per second.
    pub(crate) fn of(node: Node<'_>, take_rate: u32) -> Result<Self, Status> {
        let speed = Some(node.double(SPEED)?).filter(is_sound).unwrap_or(1.0);
        let conversion = node.choice(
            RATE_CONVERSION,
            &[RateConversion::Nearest, RateConversion::Blend, RateConversion::FrameForFrame],
        )?;
        let pace = match conversion {
            RateConversion::FrameForFrame => speed,
            _ => f64::from(take_rate) * speed / host_rate(node),
        };
        Ok(Self {
            start: f64::from(node.int(START_FRAME)?),
            pace,
            outside: node.choice(OUTSIDE, &Outside::ALL)?,
            blends: conversion == RateConversion::Blend,
        })
    }

    /// The host's time of a take frame, fractions included.
    pub(crate) fn host_time(&self, take_frame: f64) -> f64 {
        self.start + take_frame / self.pace
    }

    /// The frame of the take at a time of the host, fractions included.
    pub(crate) fn take_frame(&self, host_time: f64) -> f64 {
        (host_time - self.start) * self.pace
    }

    /// The frame of a take of so many frames that shows at a time; `None` for nothing.
    pub(crate) fn frame_at(&self, time: f64, frames: u32) -> Option<u32> {
        let last = i64::from(frames.max(1)) - 1;
        let frame = if time.abs() <= FARTHEST_TIME {
            (self.take_frame(time) + 0.5).floor() as i64
        } else if time > 0.0 {
            i64::MAX
        } else {
            -1
        };
        if self.outside == Outside::Empty && !(0..=last).contains(&frame) {
            return None;
        }
        let beyond = time.abs() > FARTHEST_TIME || time.is_nan();
        u32::try_from(if beyond { frame.clamp(0, last) } else { self.shown_for(frame, last) }).ok()
    }

    /// The frames that show at a time; `None` for nothing.
    pub(crate) fn frames_at(&self, time: f64, frames: u32) -> Option<ShownFrames> {
        let nearest = self.frame_at(time, frames)?;
        let exact = (time - self.start) * self.pace;
        let part = exact - exact.floor();
        if !self.blends || time.abs() > FARTHEST_TIME || part.is_nan() || part == 0.0 {
            return Some(ShownFrames::One(nearest));
        }
        let last = i64::from(frames.max(1)) - 1;
        let shown = |frame: i64| u32::try_from(self.shown_for(frame, last)).ok();
        let before = shown(exact.floor() as i64)?;
        let after = shown(exact.floor() as i64 + 1)?;
        Some(if before == after {
            ShownFrames::One(before)
        } else {
            ShownFrames::Between(before, after, part as f32)
        })
    }

    /// The frame of the take, up to `last`, that stands for one of its frames or one outside it.
    fn shown_for(&self, frame: i64, last: i64) -> i64 {
        match self.outside {
            Outside::Loop => frame.rem_euclid(last + 1),
            Outside::Bounce if last > 0 => {
                let there = frame.rem_euclid(2 * last);
                there.min(2 * last - there)
            }
            _ => frame.clamp(0, last),
        }
    }
}

/// Frames per second of the host: the instance's, else the output's, else the default. Of a filter
/// its clips', else the instance's, else the parameter's.
fn host_rate(node: Node<'_>) -> f64 {
    let effect = node.effect();
    let instance = || effect.properties().and_then(|own| own.double(names::FRAME_RATE, 0));
    let clip = |name| {
        let clip = effect.clip(name)?;
        effect.clip_properties(clip)?.double(names::FRAME_RATE, 0)
    };
    let output = || clip(names::CLIP_OUTPUT);
    let sound = |rate: Result<f64, Status>| rate.ok().filter(is_sound);
    let found = if node.instance().is_filter() {
        let rate = || node.double(TIMELINE_RATE);
        sound(output())
            .or_else(|| sound(clip(names::CLIP_SOURCE)))
            .or_else(|| sound(instance()))
            .or_else(|| sound(rate()))
    } else {
        sound(instance()).or_else(|| sound(output()))
    };
    found.unwrap_or(DEFAULT_RATE)
}

/// Whether a rate or a speed can be used; an expression in a host can make it anything.
fn is_sound(rate: &f64) -> bool {
    rate.is_finite() && *rate > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(outside: Outside, times: &[f64]) -> Vec<Option<u32>> {
        let timing = Timing { start: 10.0, pace: 1.0, outside, blends: false };
        times.iter().map(|&time| timing.frame_at(time, 5)).collect()
    }

    #[test]
    fn outside_goes_by_its_choice() {
        let times = [4.0, 8.0, 9.0, 10.0, 14.0, 15.0, 16.0, 19.0];
        let all = |frames: [u32; 8]| frames.map(Some).to_vec();
        assert_eq!(shown(Outside::Hold, &times), all([0, 0, 0, 0, 4, 4, 4, 4]));
        assert_eq!(shown(Outside::Loop, &times), all([4, 3, 4, 0, 4, 0, 1, 4]));
        assert_eq!(shown(Outside::Bounce, &times), all([2, 2, 1, 0, 4, 3, 2, 1]));
        let none = [None, None, None, Some(0), Some(4), None, None, None];
        assert_eq!(shown(Outside::Empty, &times), none);
    }

    #[test]
    fn the_nearest_frame_shows() {
        let timing =
            Timing { start: 0.0, pace: 16.0 / 24.0, outside: Outside::Hold, blends: false };
        let frames: Vec<_> = (0..8).filter_map(|t| timing.frame_at(f64::from(t), 81)).collect();
        assert_eq!(frames, [0, 1, 1, 2, 3, 3, 4, 5]);
        assert_eq!(timing.host_time(2.5), 3.75);
    }

    #[test]
    fn a_blend_lies_between_two_frames() {
        let blends = true;
        let of = |outside, pace| Timing { start: 0.0, pace, outside, blends };
        let at = |time| of(Outside::Hold, 0.5).frames_at(time, 5);
        assert_eq!(at(2.0), Some(ShownFrames::One(1)));
        assert_eq!(at(3.0), Some(ShownFrames::Between(1, 2, 0.5)));
        assert_eq!([at(-3.0), at(9.0)], [Some(ShownFrames::One(0)), Some(ShownFrames::One(4))]);
        assert_eq!(at(f64::NAN), Some(ShownFrames::One(0)));
        let looped = of(Outside::Loop, 0.5).frames_at(9.0, 5);
        assert_eq!(looped, Some(ShownFrames::Between(4, 0, 0.5)));
        let bounced = of(Outside::Bounce, 0.5).frames_at(9.0, 5);
        assert_eq!(bounced, Some(ShownFrames::Between(4, 3, 0.5)));
        assert_eq!(of(Outside::Empty, 0.5).frames_at(11.0, 5), None);
        assert_eq!(of(Outside::Empty, 0.5).frames_at(-0.5, 5), Some(ShownFrames::One(0)));
    }

    #[test]
    fn what_is_no_time_is_outside() {
        let times = [f64::NAN, f64::NEG_INFINITY, -2e9, 2e9, f64::INFINITY];
        let ends = [Some(0), Some(0), Some(0), Some(4), Some(4)];
        for outside in [Outside::Hold, Outside::Loop, Outside::Bounce] {
            assert_eq!(shown(outside, &times), ends, "{outside:?}");
        }
        assert_eq!(shown(Outside::Empty, &times), [None; 5]);
    }

    #[test]
    fn a_take_of_one_frame_bounces_too() {
        let timing = Timing { start: 0.0, pace: 1.0, outside: Outside::Bounce, blends: false };
        assert_eq!([-3.0, 0.0, 7.0].map(|t| timing.frame_at(t, 1)), [Some(0); 3]);
    }
}
