//! The ellipse that says where the subject goes and how large it is.
//!
//! [`Ellipse`] is what the artist draws and types; [`GridEllipse`] is what the model's mask is
//! computed from; [`Ellipse::on_grid`] is the only way from one to the other, and
//! [`GridEllipse::on_frame`] the way back.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::rounding::to_millionths;

/// The allowed center: the frame itself is 0 to 1, the rest is for subjects that enter and leave.
pub const CENTER: RangeInclusive<f64> = -2.0..=3.0;

/// The allowed axes, in frame heights.
pub const AXIS: RangeInclusive<f64> = 0.002..=6.0;

/// An ellipse in the artist's convention, in which it means the same at every frame size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ellipse {
    /// Center, as a fraction of the frame's width from the left; −2 to 3.
    pub x: f64,
    /// Center, as a fraction of the frame's height from the bottom (y is up); −2 to 3.
    pub y: f64,
    /// Full length of the axis that is horizontal at angle 0, in frame heights; 0.002 to 6.
    pub a: f64,
    /// Full length of the other axis, in frame heights; 0.002 to 6.
    pub b: f64,
    /// Degrees counter-clockwise; any finite number, so that a track can spin.
    pub angle: f64,
}

/// An ellipse in the model's image convention, on a grid of cells whose centers have integer
/// coordinates, the first cell being (0, 0) at the top left: y is down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridEllipse {
    /// Center, in cells to the right.
    pub cx: f64,
    /// Center, in cells down.
    pub cy: f64,
    /// Full length of the first axis, in cells.
    pub a: f64,
    /// Full length of the second axis, in cells.
    pub b: f64,
    /// Degrees from the x axis towards the y axis: clockwise as seen.
    pub angle: f64,
}

impl GridEllipse {
    /// This ellipse in the artist's convention, unchecked: the inverse of [`Ellipse::on_grid`].
    #[must_use]
    pub fn on_frame(&self, width: usize, height: usize) -> Ellipse {
        let (width, height) = (width as f64, height as f64);
        Ellipse {
            x: (self.cx + 0.5) / width,
            y: 1.0 - (self.cy + 0.5) / height,
            a: self.a / height,
            b: self.b / height,
            angle: -self.angle,
        }
    }
}

/// What is wrong with an ellipse. Whoever reports it says which ellipse it was.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EllipseError {
    /// A center outside [`CENTER`], or NaN.
    #[error(
        "center {name} is {found}: expected {} to {} (0 to 1 is the frame, y up from the bottom); \
         use 0.5 for the middle", CENTER.start(), CENTER.end()
    )]
    Center {
        /// Which coordinate it is, `x` or `y`.
        name: &'static str,
        /// The coordinate that was given.
        found: f64,
    },
    /// An axis outside [`AXIS`], or NaN.
    #[error(
        "axis {name} is {found}: expected {} to {}, its full length in frame heights; use 1 for \
         as long as the frame is high", AXIS.start(), AXIS.end()
    )]
    Axis {
        /// Which axis it is, `a` or `b`.
        name: &'static str,
        /// The length that was given, in frame heights.
        found: f64,
    },
    /// An angle that is infinite or NaN.
    #[error("angle is {found}: expected a finite number of degrees counter-clockwise; use 0")]
    Angle {
        /// The angle that was given, in degrees.
        found: f64,
    },
    /// Text with more or fewer than five numbers.
    #[error(
        "\"{text}\" has {found} values: expected five, x,y,a,b,angle; for example 0.5,0.5,0.6,1,0"
    )]
    Count {
        /// The whole text that was given.
        text: String,
        /// How many values it has.
        found: usize,
    },
    /// Text in the place of a number.
    #[error(
        "{name} is \"{found}\": expected a number; write x,y,a,b,angle, for example \
         0.5,0.5,0.6,1,0"
    )]
    Number {
        /// Which of the five.
        name: &'static str,
        /// What stands where the number should be.
        found: String,
    },
}

impl Default for Ellipse {
    /// Upright in the middle of the frame and as high as it.
    fn default() -> Self {
        Self { x: 0.5, y: 0.5, a: 0.6, b: 1.0, angle: 0.0 }
    }
}

impl Ellipse {
    const NAMES: [&str; 5] = ["x", "y", "a", "b", "angle"];

    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`EllipseError::Center`], [`EllipseError::Axis`] or [`EllipseError::Angle`] for the first
    /// number out of range; NaN always is.
    pub fn validate(&self) -> Result<(), EllipseError> {
        for (name, found) in [("x", self.x), ("y", self.y)] {
            if !CENTER.contains(&found) {
                return Err(EllipseError::Center { name, found });
            }
        }
        for (name, found) in [("a", self.a), ("b", self.b)] {
            if !AXIS.contains(&found) {
                return Err(EllipseError::Axis { name, found });
            }
        }
        if self.angle.is_finite() { Ok(()) } else { Err(EllipseError::Angle { found: self.angle }) }
    }

    /// The same ellipse with every number rounded to 1e-6.
    #[must_use]
    pub fn rounded(&self) -> Self {
        Self::from(self.components().map(to_millionths))
    }

    /// This ellipse in the model's image convention on a grid of `width` × `height` cells.
    ///
    /// A point at fraction u of the width lies at u·width − ½, because cell i covers the fractions
    /// i/width to (i+1)/width and its center has coordinate i. Up becomes down: the center's
    /// fraction is 1 − y and the angle changes its sign.
    #[must_use]
    pub fn on_grid(&self, width: usize, height: usize) -> GridEllipse {
        let (width, height) = (width as f64, height as f64);
        GridEllipse {
            cx: self.x * width - 0.5,
            cy: (1.0 - self.y) * height - 0.5,
            a: self.a * height,
            b: self.b * height,
            angle: -self.angle,
        }
    }

    /// Whether any of it lies within a frame whose width is `aspect` times its height.
    #[must_use]
    pub fn meets_frame(&self, aspect: f64) -> bool {
        if (0.0..=1.0).contains(&self.x) && (0.0..=1.0).contains(&self.y) {
            return true;
        }
        // In frame heights from the center, turned and stretched so that the ellipse is the unit
        // circle; the frame is a parallelogram then, and its nearest point lies on an edge.
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let stretched = |[x, y]: [f64; 2]| {
            let (x, y) = ((x - self.x) * aspect, y - self.y);
            [(x * cos + y * sin) * 2.0 / self.a, (y * cos - x * sin) * 2.0 / self.b]
        };
        let corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]].map(stretched);
        let edges = corners.iter().zip(corners.iter().cycle().skip(1));
        edges.into_iter().any(|(&[x, y], &[to_x, to_y])| {
            let (dx, dy) = (to_x - x, to_y - y);
            let along = (-(x * dx + y * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            (x + along * dx).hypot(y + along * dy) <= 1.0
        })
    }

    /// `[x, y, a, b, angle]`.
    pub(crate) fn components(&self) -> [f64; 5] {
        [self.x, self.y, self.a, self.b, self.angle]
    }
}

impl From<[f64; 5]> for Ellipse {
    /// From `[x, y, a, b, angle]`, unchecked.
    fn from([x, y, a, b, angle]: [f64; 5]) -> Self {
        Self { x, y, a, b, angle }
    }
}

impl FromStr for Ellipse {
    type Err = EllipseError;

    /// Reads `x,y,a,b,angle`, spaces allowed, and validates it.
    fn from_str(text: &str) -> Result<Self, EllipseError> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.len() != Self::NAMES.len() {
            return Err(EllipseError::Count { text: text.to_owned(), found: parts.len() });
        }
        let mut numbers = [0.0; 5];
        for ((number, name), part) in numbers.iter_mut().zip(Self::NAMES).zip(parts) {
            let unread = |_| EllipseError::Number { name, found: part.to_owned() };
            *number = part.parse().map_err(unread)?;
        }
        let ellipse = Self::from(numbers);
        ellipse.validate()?;
        Ok(ellipse)
    }
}

impl fmt::Display for Ellipse {
    /// Writes what [`FromStr`] reads, to the last bit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, y, a, b, angle } = self;
        write!(f, "{x},{y},{a},{b},{angle}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn goes_onto_the_grid_in_image_convention() {
        let ellipse = Ellipse { x: 0.25, y: 0.75, a: 0.5, b: 1.0, angle: 30.0 };
        let expected = GridEllipse { cx: 25.5, cy: 14.5, a: 30.0, b: 60.0, angle: -30.0 };
        assert_eq!(ellipse.on_grid(104, 60), expected);
    }

    #[test]
    fn default_is_valid_and_centerd() {
        let ellipse = Ellipse::default();
        assert_eq!(ellipse.validate(), Ok(()));
        assert_eq!("0.5, 0.5, 0.6, 1, 0".parse(), Ok(ellipse));
        let grid = ellipse.on_grid(104, 60);
        assert_eq!((grid.cx, grid.cy), (51.5, 29.5));
    }

    #[test]
    fn an_ellipse_meets_the_frame_or_lies_wholly_outside() {
        let meets = |numbers: [f64; 5], aspect| Ellipse::from(numbers).meets_frame(aspect);
        assert!(meets([0.5, 0.5, 0.002, 0.002, 0.0], 1.0));
        // Half an axis reaches the edge, or does not; a is in heights, x in widths.
        assert!(meets([1.2, 0.5, 0.41, 0.1, 0.0], 1.0) && !meets([1.2, 0.5, 0.39, 0.1, 0.0], 1.0));
        assert!(!meets([1.2, 0.5, 0.41, 0.1, 0.0], 2.0) && meets([1.2, 0.5, 0.81, 0.1, 0.0], 2.0));
        assert!(
            !meets([1.2, 0.5, 0.41, 0.1, 90.0], 1.0) && meets([0.5, 1.2, 0.41, 0.1, 90.0], 1.0)
        );
        // Its bounds meet the frame's corner, and it does not.
        assert!(!meets([1.2, 1.2, 0.5, 0.5, 0.0], 1.0) && meets([1.2, 1.2, 0.58, 0.58, 0.0], 1.0));
        // So large that the whole frame lies within.
        assert!(meets([1.5, 0.5, 6.0, 6.0, 30.0], 1.0));
    }

    #[test]
    fn limits_are_inclusive() {
        for numbers in [[-2.0, 3.0, 0.002, 6.0, -720.0], [3.0, -2.0, 6.0, 0.002, 1e9]] {
            assert_eq!(Ellipse::from(numbers).validate(), Ok(()));
        }
    }

    #[test]
    fn each_number_has_its_own_message() {
        for (index, bad, start) in [
            (0, 3.000_001, "center x is 3.000001: expected -2 to 3"),
            (1, f64::NAN, "center y is NaN: expected -2 to 3"),
            (2, 0.0, "axis a is 0: expected 0.002 to 6"),
            (2, f64::NAN, "axis a is NaN: expected 0.002 to 6"),
            (3, -1.0, "axis b is -1: expected 0.002 to 6"),
            (4, f64::INFINITY, "angle is inf: expected a finite number"),
            (4, f64::NAN, "angle is NaN: expected a finite number"),
        ] {
            let mut numbers = Ellipse::default().components();
            numbers[index] = bad;
            let message = Ellipse::from(numbers).validate().unwrap_err().to_string();
            assert!(message.starts_with(start), "{message}");
        }
    }

    #[test]
    fn unreadable_text_is_quoted() {
        for (text, start) in [
            ("0.5,0.5,0.6,1", "\"0.5,0.5,0.6,1\" has 4 values: expected five"),
            ("0.5,0.5,0.6,1,0,0", "\"0.5,0.5,0.6,1,0,0\" has 6 values: expected five"),
            ("0.5,up,0.6,1,0", "y is \"up\": expected a number"),
            ("0.5,0.5,,1,0", "a is \"\": expected a number"),
            ("0.5,0.5,0.6,nan,0", "axis b is NaN"),
        ] {
            let message = text.parse::<Ellipse>().unwrap_err().to_string();
            assert!(message.starts_with(start), "{message}");
        }
    }

    #[test]
    fn json_has_exactly_five_fields() {
        let json = r#"{"x":0.5,"y":0.5,"a":0.6,"b":1.0,"angle":0.0}"#;
        assert_eq!(serde_json::from_str::<Ellipse>(json).unwrap(), Ellipse::default());
        assert_eq!(serde_json::to_string(&Ellipse::default()).unwrap(), json);
        for bad in [json.replace("angle", "rotation"), json.replace(r#","angle":0.0"#, "")] {
            assert!(serde_json::from_str::<Ellipse>(&bad).is_err(), "{bad}");
        }
    }

    prop_compose! {
        fn any_ellipse()(
            x in CENTER, y in CENTER, a in AXIS, b in AXIS, angle in -1e4..1e4
        ) -> Ellipse {
            Ellipse { x, y, a, b, angle }
        }
    }

    proptest! {
        #[test]
        fn the_way_back_from_the_grid_leads_to_the_same_ellipse(
            ellipse in any_ellipse(), width in 1_usize..300, height in 1_usize..300
        ) {
            let back = ellipse.on_grid(width, height).on_frame(width, height);
            for (was, is) in ellipse.components().into_iter().zip(back.components()) {
                prop_assert!((was - is).abs() < 1e-12 * (1.0 + was.abs()), "{was} {is}");
            }
        }

        #[test]
        fn text_round_trips(ellipse in any_ellipse()) {
            prop_assert_eq!(ellipse.to_string().parse(), Ok(ellipse));
        }

        #[test]
        fn rounding_keeps_validity_and_settles(ellipse in any_ellipse()) {
            let rounded = ellipse.rounded();
            prop_assert_eq!(rounded.validate(), Ok(()));
            prop_assert_eq!(rounded.rounded(), rounded);
            for (was, is) in ellipse.components().into_iter().zip(rounded.components()) {
                prop_assert!((was - is).abs() < 0.51e-6);
            }
        }
    }
}
