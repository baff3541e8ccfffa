//! An ellipse keyframed in time.
//!
//! Keys stand at take frames. Each of the five numbers is interpolated on its own, the angle as a
//! plain number: 0 to 720 degrees is two full turns.

mod curve;

use std::array;

use thiserror::Error;

use crate::choice::choice;
use crate::counted::counted;
use crate::ellipse::{Ellipse, EllipseError};
use crate::frames::latent_center;

choice! {
    /// What an ellipse does between its keys.
    Interpolation, "interpolation" {
        /// A straight line from key to key.
        Linear = "linear",
        /// A monotone cubic through the keys: no corners, and no overshoot.
        Smooth = "smooth",
    }
}

/// An ellipse in time: keys, and what happens between them. Before the first and after the last
/// key it stands still. There is at least one key, all are valid, and their frames increase.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    keys: Vec<(f64, Ellipse)>,
    interpolation: Interpolation,
    /// Slopes at the keys, for each of the ellipse's five numbers; used when smooth.
    slopes: [Vec<f64>; 5],
}

/// What is wrong with a track.
#[derive(Debug, Error)]
pub enum TrackError {
    /// There is no key.
    #[error("the ellipse track is empty: expected at least one key; write x,y,a,b,angle")]
    Empty,
    /// A key does not start with its frame.
    #[error(
        "key \"{key}\" has no frame: expected \"frame: x,y,a,b,angle\", with keys separated by \
         semicolons; for example \"0: 0.3,0.5,0.6,1,0; 40: 0.7,0.5,0.6,1,0\""
    )]
    NoFrame {
        /// The key as it was written.
        key: String,
    },
    /// A key's frame is not a number, is negative, or is not finite.
    #[error(
        "key \"{key}\" is at frame \"{found}\": expected a number, 0 or more; frames count from \
         the start of the take"
    )]
    Frame {
        /// The text of the key.
        key: String,
        /// What stands where the frame should be.
        found: String,
    },
    /// A key does not come later than the one before it.
    #[error(
        "key \"{key}\" follows key \"{previous}\": expected a later frame; sort the keys and keep \
         one per frame"
    )]
    Order {
        /// The text of the key.
        key: String,
        /// The key before it.
        previous: String,
    },
    /// A key's ellipse is not one.
    #[error("key \"{key}\": {reason}")]
    Key {
        /// The text of the key.
        key: String,
        /// What is wrong with its ellipse.
        reason: EllipseError,
    },
    /// A track file is not a list of ellipses.
    #[error(
        "the ellipse track is not readable: {reason}; expected a JSON list of \
         {{\"x\",\"y\",\"a\",\"b\",\"angle\"}}, one per latent frame"
    )]
    Json {
        /// What the JSON reader says, with line and column.
        reason: serde_json::Error,
    },
    /// A file that holds a whole take or request, and no list of ellipses.
    #[error(
        "it is the record of a take, not a list of ellipses: `--from` makes that take again, and \
         `wan-alpha ellipse fit` writes the track of a take's alpha"
    )]
    Record,
    /// A track file holds too few or too many ellipses.
    #[error(
        "the ellipse track has {}: expected {expected}, one per latent frame (n+1 \
         for 4n+1 frames); add or remove entries, or change the number of frames",
        counted(*found, "entry")
    )]
    Length {
        /// Latent frames of the take.
        expected: usize,
        /// Entries of the file.
        found: usize,
    },
    /// An entry of a track file is not a valid ellipse.
    #[error("entry {index} of the ellipse track (counted from 0): {reason}")]
    Entry {
        /// Which entry, from 0.
        index: usize,
        /// What is wrong with it.
        reason: EllipseError,
    },
}

impl Track {
    /// A track through `keys`, each an ellipse at a take frame (fractions are allowed).
    ///
    /// # Errors
    /// [`TrackError::Empty`], [`TrackError::Frame`] (negative or not finite),
    /// [`TrackError::Order`] (frames must increase strictly) or [`TrackError::Key`] (an invalid
    /// ellipse), quoting the key.
    pub fn new(
        keys: Vec<(f64, Ellipse)>,
        interpolation: Interpolation,
    ) -> Result<Self, TrackError> {
        if keys.is_empty() {
            return Err(TrackError::Empty);
        }
        for &(frame, ellipse) in &keys {
            if !(frame.is_finite() && frame >= 0.0) {
                let key = quoted((frame, ellipse));
                return Err(TrackError::Frame { key, found: frame.to_string() });
            }
            ellipse
                .validate()
                .map_err(|reason| TrackError::Key { key: quoted((frame, ellipse)), reason })?;
        }
        if let Some(pair) = keys.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
            return Err(TrackError::Order { key: quoted(pair[1]), previous: quoted(pair[0]) });
        }
        let times: Vec<f64> = keys.iter().map(|key| key.0).collect();
        let slopes = array::from_fn(|c| {
            let values: Vec<f64> = keys.iter().map(|key| key.1.components()[c]).collect();
            curve::monotone_slopes(&times, &values)
        });
        Ok(Self { keys, interpolation, slopes })
    }

    /// Reads `x,y,a,b,angle`, which stands still, or keys at take frames:
    /// `0: x,y,a,b,angle; 40: x,y,a,b,angle`.
    ///
    /// # Errors
    /// Those of [`Track::new`], and [`TrackError::NoFrame`] for one of several keys without a
    /// frame.
    pub fn parse(text: &str, interpolation: Interpolation) -> Result<Self, TrackError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TrackError::Empty);
        }
        let keys = if text.contains([':', ';']) {
            let text = text.strip_suffix(';').unwrap_or(text);
            text.split(';').map(parse_key).collect::<Result<_, _>>()?
        } else {
            vec![(0.0, parse_ellipse(text, text)?)]
        };
        Self::new(keys, interpolation)
    }

    /// Reads a track file: a JSON list of `{"x", "y", "a", "b", "angle"}`, one ellipse per latent
    /// frame, so that there is nothing to interpolate.
    ///
    /// # Errors
    /// [`TrackError::Json`], [`TrackError::Length`] if there are not `latent_frames` entries, or
    /// [`TrackError::Entry`].
    pub fn from_json(json: &str, latent_frames: usize) -> Result<Vec<Ellipse>, TrackError> {
        let ellipses: Vec<Ellipse> =
            serde_json::from_str(json).map_err(|reason| match is_record(json) {
                true => TrackError::Record,
                false => TrackError::Json { reason },
            })?;
        if ellipses.len() != latent_frames {
            return Err(TrackError::Length { expected: latent_frames, found: ellipses.len() });
        }
        for (index, ellipse) in ellipses.iter().enumerate() {
            ellipse.validate().map_err(|reason| TrackError::Entry { index, reason })?;
        }
        Ok(ellipses)
    }

    /// The keys: take frame and ellipse.
    #[must_use]
    pub fn keys(&self) -> &[(f64, Ellipse)] {
        &self.keys
    }

    /// What happens between the keys.
    #[must_use]
    pub fn interpolation(&self) -> Interpolation {
        self.interpolation
    }

    /// The ellipse at a take frame; at a key, exactly that key's.
    #[must_use]
    pub fn sample(&self, frame: f64) -> Ellipse {
        let next = self.keys.partition_point(|key| key.0 <= frame);
        let last = next.saturating_sub(1);
        let (start, from) = self.keys[last];
        let (end, to) = match self.keys.get(next) {
            Some(&key) if next > 0 => key,
            _ => return from,
        };
        let duration = end - start;
        let s = (frame - start) / duration;
        let (from, to) = (from.components(), to.components());
        Ellipse::from(array::from_fn(|c| match self.interpolation {
            Interpolation::Linear => from[c] + (to[c] - from[c]) * s,
            Interpolation::Smooth => {
                let slopes = &self.slopes[c];
                curve::hermite(s, duration, (from[c], slopes[last]), (to[c], slopes[next]))
            }
        }))
    }

    /// The ellipse of each latent frame, sampled at the middle of the take frames it stands for
    /// ([`latent_center`]).
    #[must_use]
    pub fn at_latent_frames(&self, latent_frames: usize) -> Vec<Ellipse> {
        (0..latent_frames).map(|k| self.sample(latent_center(k))).collect()
    }
}

/// Whether a text is the `take.json` of a take, or a request.
fn is_record(json: &str) -> bool {
    let fields = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json);
    fields.is_ok_and(|fields| fields.contains_key("request") || fields.contains_key("prompt"))
}

/// A key as it is written.
fn quoted((frame, ellipse): (f64, Ellipse)) -> String {
    format!("{frame}: {ellipse}")
}

/// Reads one key, written `frame: x,y,a,b,angle`.
fn parse_key(text: &str) -> Result<(f64, Ellipse), TrackError> {
    let key = text.trim();
    let Some((frame, ellipse)) = key.split_once(':') else {
        return Err(TrackError::NoFrame { key: key.to_owned() });
    };
    let frame = frame.trim();
    let number = frame
        .parse()
        .map_err(|_| TrackError::Frame { key: key.to_owned(), found: frame.to_owned() })?;
    Ok((number, parse_ellipse(key, ellipse)?))
}

fn parse_ellipse(key: &str, text: &str) -> Result<Ellipse, TrackError> {
    text.trim().parse().map_err(|reason| TrackError::Key { key: key.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at_x(x: f64) -> Ellipse {
        Ellipse { x, ..Ellipse::default() }
    }

    fn linear(text: &str) -> Track {
        Track::parse(text, Interpolation::Linear).unwrap()
    }

    #[test]
    fn static_text_stands_still() {
        let track = linear(" 0.3, 0.5,0.6,1,-20 ");
        let expected = Ellipse { angle: -20.0, ..at_x(0.3) };
        assert_eq!(track.at_latent_frames(3), [expected; 3]);
    }

    #[test]
    fn linear_keys_are_sampled_mid_span() {
        let track = linear("0: 0,0.5,0.6,1,0; 20: 1,0.5,0.6,1,720;");
        let samples = track.at_latent_frames(7);
        let expected = [0.0, 0.125, 0.325, 0.525, 0.725, 0.925, 1.0];
        for (sample, x) in samples.iter().zip(expected) {
            assert!((sample.x - x).abs() < 1e-15, "{} is not {x}", sample.x);
            assert!((sample.angle - 720.0 * x).abs() < 1e-12);
        }
    }

    #[test]
    fn holds_before_and_after() {
        for interpolation in [Interpolation::Linear, Interpolation::Smooth] {
            let track = Track::new(vec![(8.0, at_x(0.2)), (12.5, at_x(0.9))], interpolation);
            let track = track.unwrap();
            for (frame, x) in [(-3.0, 0.2), (0.0, 0.2), (8.0, 0.2), (12.5, 0.9), (1e9, 0.9)] {
                assert_eq!(track.sample(frame), at_x(x));
            }
        }
    }

    #[test]
    fn smooth_is_flat_at_a_peak_where_linear_has_a_corner() {
        let keys = vec![(0.0, at_x(0.1)), (10.0, at_x(0.9)), (20.0, at_x(0.1))];
        let near_peak =
            |interpolation| Track::new(keys.clone(), interpolation).unwrap().sample(9.9).x;
        assert!(0.9 - near_peak(Interpolation::Smooth) < 0.001);
        assert!(0.9 - near_peak(Interpolation::Linear) > 0.007);
    }

    #[test]
    fn wrong_keys_are_quoted() {
        let e = "0.5,0.5,0.6,1,0";
        for (text, start) in [
            (String::new(), "the ellipse track is empty".to_owned()),
            (format!("0: {e}; {e}"), format!("key \"{e}\" has no frame")),
            (format!("0: {e};; 9: {e}"), "key \"\" has no frame".to_owned()),
            (format!("{e};"), format!("key \"{e}\" has no frame")),
            (format!("first: {e}"), format!("key \"first: {e}\" is at frame \"first\"")),
            (format!("-1: {e}"), format!("key \"-1: {e}\" is at frame \"-1\"")),
            (format!("nan: {e}"), format!("key \"NaN: {e}\" is at frame \"NaN\"")),
            (format!("inf: {e}"), format!("key \"inf: {e}\" is at frame \"inf\"")),
            (format!("9: {e}; 4: {e}"), format!("key \"4: {e}\" follows key \"9: {e}\"")),
            (format!("9: {e}; 9: {e}"), format!("key \"9: {e}\" follows key \"9: {e}\"")),
            ("4: 0.5,0.5".to_owned(), "key \"4: 0.5,0.5\": \"0.5,0.5\" has 2 values".to_owned()),
            ("4: 9,0,1,1,0".to_owned(), "key \"4: 9,0,1,1,0\": center x is 9".to_owned()),
        ] {
            let error = Track::parse(&text, Interpolation::Smooth).unwrap_err().to_string();
            assert!(error.starts_with(&start), "{text}: {error}");
        }
    }

    #[test]
    fn file_has_one_ellipse_per_latent_frame() {
        let json = serde_json::to_string(&[at_x(0.1), at_x(0.2)]).unwrap();
        assert_eq!(Track::from_json(&json, 2).unwrap(), [at_x(0.1), at_x(0.2)]);
        for (json, start) in [
            (json.as_str(), "the ellipse track has 2 entries: expected 3, one per latent frame"),
            ("{}", "the ellipse track is not readable: invalid type: map"),
            (r#"[{"x":0.5}]"#, "the ellipse track is not readable: missing field `y`"),
            (r#"{"request":{"seed":1}}"#, "it is the record of a take, not a list of ellipses"),
            (r#"{"prompt":"a ball"}"#, "it is the record of a take, not a list of ellipses"),
        ] {
            let error = Track::from_json(json, 3).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
        }
        let error = Track::from_json(&json.replace("0.2", "20"), 2).unwrap_err().to_string();
        assert!(error.starts_with("entry 1 of the ellipse track"), "{error}");
    }

    prop_compose! {
        fn keys()(
            gaps in prop::collection::vec((0.5..20.0, -2.0..3.0, 0.002..6.0, -720.0..720.0), 1..7)
        ) -> Vec<(f64, Ellipse)> {
            let mut frame = -0.5;
            gaps.into_iter().map(|(gap, x, a, angle)| {
                frame += gap;
                (frame, Ellipse { x, a, angle, ..Ellipse::default() })
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn passes_through_its_keys(keys in keys(), index in 0_usize..2) {
            let track = Track::new(keys.clone(), Interpolation::ALL[index]).unwrap();
            for (frame, ellipse) in keys {
                prop_assert_eq!(track.sample(frame), ellipse);
            }
        }

        /// A number that does not change is not disturbed by the others, and rounding brings every
        /// sample back into the range of its keys.
        #[test]
        fn samples_are_valid(keys in keys(), index in 0_usize..2, frame in 0.0..150.0) {
            let sample = Track::new(keys, Interpolation::ALL[index]).unwrap().sample(frame);
            prop_assert_eq!(sample.rounded().validate(), Ok(()));
            prop_assert_eq!((sample.y, sample.b), (0.5, 1.0));
        }

        #[test]
        fn text_round_trips(keys in keys()) {
            let text: Vec<String> = keys.iter().copied().map(quoted).collect();
            let track = linear(&text.join("; "));
            prop_assert_eq!(track.keys(), keys);
        }
    }
}
