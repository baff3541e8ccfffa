//! The ellipse on the canvas: its outline and handles, and which of them the pen is on.
//!
//! What is hit is what is drawn: distances are measured in pixels of the screen, to the very points
//! that are painted.

#![forbid(unsafe_code)]

use std::f64::consts::TAU;

use wan_alpha_take::ellipse::Ellipse;

use super::view::{View, axes, lengths};
use crate::surface::Point;

/// Corners of the outline: within half a pixel of a curve of 1000 pixels radius.
const CORNERS: usize = 128;

/// How far from a handle's middle the pen still takes it, in pixels.
const HANDLE_REACH: f64 = 7.0;

/// How far from the outline the pen still takes it, in pixels.
const RING_REACH: f64 = 5.0;

/// Length of the bar that holds the rotation handle, in pixels.
const BAR_LENGTH: f64 = 40.0;

/// A part of the ellipse that the pen can take hold of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EllipsePart {
    Center,
    Rotation,
    /// The handle at an end of an axis.
    Handle(AxisEnd),
    Ring,
}

/// One of the four ends of the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AxisEnd {
    /// 0 for the axis that is horizontal at angle 0, 1 for the other.
    pub(crate) axis: usize,
    /// Whether it lies on the far side of the center.
    pub(crate) opposite: bool,
}

impl AxisEnd {
    pub(crate) const ALL: [Self; 4] = [
        Self { axis: 0, opposite: false },
        Self { axis: 1, opposite: false },
        Self { axis: 0, opposite: true },
        Self { axis: 1, opposite: true },
    ];

    /// From the center to this end of an axis of length 2, in take space.
    pub(crate) fn direction(self, of: &Ellipse) -> Point {
        let [x, y] = axes(of)[self.axis];
        if self.opposite { [-x, -y] } else { [x, y] }
    }
}

/// An ellipse as it lies on the canvas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EllipseShape<'a> {
    pub(crate) view: &'a View,
    pub(crate) ellipse: &'a Ellipse,
}

impl EllipseShape<'_> {
    pub(crate) fn center(&self) -> Point {
        self.view.to_canvas(self.view.center(self.ellipse))
    }

    pub(crate) fn end(&self, end: AxisEnd) -> Point {
        let half = lengths(self.ellipse)[end.axis] / 2.0;
        self.center_plus(end.direction(self.ellipse), half)
    }

    /// The bar of the rotation handle: outwards from the first end, the handle at its own end.
    pub(crate) fn bar(&self) -> [Point; 2] {
        let foot = self.end(AxisEnd::ALL[0]);
        let [x, y] = self.view.pixels(
            self.center(),
            // Not the foot: it may lie on the center, as near as the screen can tell.
            self.center_plus(AxisEnd::ALL[0].direction(self.ellipse), 1.0),
        );
        let length = x.hypot(y);
        [foot, self.view.moved(foot, [x / length * BAR_LENGTH, y / length * BAR_LENGTH])]
    }

    /// The 1σ contour of the model's mask, closed.
    pub(crate) fn outline(&self) -> impl Iterator<Item = Point> {
        self.contour(1.0)
    }

    /// Where the model's mask has fallen off by so many σ, closed.
    pub(crate) fn contour(&self, sigmas: f64) -> impl Iterator<Item = Point> {
        let [first, second] = axes(self.ellipse);
        let [x, y] = self.view.center(self.ellipse);
        let [a, b] = lengths(self.ellipse).map(|length| length / 2.0 * sigmas);
        (0..CORNERS).map(move |corner| {
            let (sin, cos) = (corner as f64 / CORNERS as f64 * TAU).sin_cos();
            let (a, b) = (a * cos, b * sin);
            self.view
                .to_canvas([x + a * first[0] + b * second[0], y + a * first[1] + b * second[1]])
        })
    }

    /// The part under the pen: of the handles within reach the nearest, else the outline.
    pub(crate) fn part_at(&self, pen: Point) -> Option<EllipsePart> {
        let ends = AxisEnd::ALL.into_iter().map(|end| (EllipsePart::Handle(end), self.end(end)));
        [(EllipsePart::Center, self.center()), (EllipsePart::Rotation, self.bar()[1])]
            .into_iter()
            .chain(ends)
            .map(|(part, place)| (part, norm(self.view.pixels(pen, place))))
            .filter(|(_, distance)| *distance <= HANDLE_REACH)
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(part, _)| part)
            .or_else(|| (self.outline_distance(pen) <= RING_REACH).then_some(EllipsePart::Ring))
    }

    fn center_plus(&self, direction: Point, length: f64) -> Point {
        let [x, y] = self.view.center(self.ellipse);
        self.view.to_canvas([x + direction[0] * length, y + direction[1] * length])
    }

    /// Pixels from the pen to the outline.
    fn outline_distance(&self, pen: Point) -> f64 {
        let corners: Vec<Point> =
            self.outline().map(|corner| self.view.pixels(pen, corner)).collect();
        let sides = corners.iter().zip(corners.iter().cycle().skip(1));
        sides.map(|(from, to)| distance_to_origin(*from, *to)).fold(f64::INFINITY, f64::min)
    }
}

fn norm([x, y]: Point) -> f64 {
    x.hypot(y)
}

/// From the origin to the line between two points.
fn distance_to_origin(from: Point, to: Point) -> f64 {
    let (x, y) = (to[0] - from[0], to[1] - from[1]);
    let square = x * x + y * y;
    let at = if square > 0.0 { -(from[0] * x + from[1] * y) / square } else { 0.0 };
    let at = at.clamp(0.0, 1.0);
    norm([from[0] + at * x, from[1] + at * y])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::view::TakeRegion;
    use super::super::view::tests::any_view;
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        /// An ellipse inside its limits by so much that a drag can go either way.
        pub(crate) fn any_ellipse()(
            x in -1.0..2.0, y in -1.0..2.0, a in 0.05..3.0, b in 0.05..3.0, angle in -720.0..720.0
        ) -> Ellipse {
            Ellipse { x, y, a, b, angle }
        }
    }

    /// A take of 832 × 480 that fills 1664 × 960, at one pixel per unit.
    pub(crate) fn view_at_double_size() -> View {
        let region = TakeRegion { left: 0.0, bottom: 0.0, width: 1664.0, height: 960.0 };
        View::new(region, 832.0 / 480.0, [1.0, 1.0]).unwrap()
    }

    fn near([x, y]: Point, [u, v]: Point) -> bool {
        (x - u).abs() < 1e-6 && (y - v).abs() < 1e-6
    }

    #[test]
    fn parts_are_where_the_artist_expects_them() {
        let ellipse = Ellipse { x: 0.25, y: 0.5, a: 0.5, b: 0.25, angle: 90.0 };
        let view = view_at_double_size();
        let shape = EllipseShape { view: &view, ellipse: &ellipse };
        assert!(near(shape.center(), [416.0, 480.0]));
        // The first axis stands upright now: half of 0.5 heights of 960.
        assert!(near(shape.end(AxisEnd::ALL[0]), [416.0, 720.0]));
        assert!(near(shape.end(AxisEnd::ALL[1]), [296.0, 480.0]));
        assert!(near(shape.bar()[1], [416.0, 760.0]));
        for (pen, part) in [
            ([416.0, 480.0], Some(EllipsePart::Center)),
            ([416.0, 719.0], Some(EllipsePart::Handle(AxisEnd::ALL[0]))),
            ([416.0, 241.0], Some(EllipsePart::Handle(AxisEnd::ALL[2]))),
            ([535.0, 480.0], Some(EllipsePart::Handle(AxisEnd::ALL[3]))),
            ([417.0, 762.0], Some(EllipsePart::Rotation)),
            ([416.0 + 120.0 * 0.6, 480.0 + 240.0 * 0.8], Some(EllipsePart::Ring)),
            ([416.0 + 120.0 * 0.6 + 4.0, 480.0 + 240.0 * 0.8], Some(EllipsePart::Ring)),
            ([416.0 + 120.0 * 0.6 + 9.0, 480.0 + 240.0 * 0.8], None),
            ([440.0, 480.0], None),
            ([f64::NAN, 480.0], None),
        ] {
            assert_eq!(shape.part_at(pen), part, "{pen:?}");
        }
    }

    #[test]
    fn a_stretched_take_stretches_the_outline() {
        let region = TakeRegion { left: 0.0, bottom: 0.0, width: 3000.0, height: 500.0 };
        let view = View::new(region, 1.0, [1.0, 1.0]).unwrap();
        let circle = Ellipse { x: 0.5, y: 0.5, a: 0.5, b: 0.5, angle: 45.0 };
        let shape = EllipseShape { view: &view, ellipse: &circle };
        for [x, y] in shape.outline() {
            let (u, v) = ((x - 1500.0) / 750.0, (y - 250.0) / 125.0);
            assert!((u * u + v * v - 1.0).abs() < 1e-9);
        }
        // The bar goes on in the direction that the axis has on the screen.
        let (center, [foot, tip]) = (shape.center(), shape.bar());
        let cross = (foot[0] - center[0]) * (tip[1] - center[1])
            - (foot[1] - center[1]) * (tip[0] - center[0]);
        assert!(cross.abs() < 1e-6);
        assert!((norm(view.pixels(foot, tip)) - BAR_LENGTH).abs() < 1e-9);
    }

    #[test]
    fn the_smallest_ellipse_can_be_moved_and_turned() {
        let dot = Ellipse { a: 0.002, b: 0.002, ..Ellipse::default() };
        let view = view_at_double_size();
        let shape = EllipseShape { view: &view, ellipse: &dot };
        assert_eq!(shape.part_at(shape.center()), Some(EllipsePart::Center));
        assert_eq!(shape.part_at(shape.bar()[1]), Some(EllipsePart::Rotation));
    }

    proptest! {
        #[test]
        fn each_part_is_under_the_pen_that_is_on_it(
            view in any_view(), ellipse in any_ellipse(), corner in 0..CORNERS
        ) {
            let shape = EllipseShape { view: &view, ellipse: &ellipse };
            let places = [(EllipsePart::Center, shape.center()), (EllipsePart::Rotation, shape.bar()[1])]
                .into_iter()
                .chain(AxisEnd::ALL.map(|end| (EllipsePart::Handle(end), shape.end(end))));
            for (part, place) in places {
                let hit = shape.part_at(place).unwrap();
                // Parts that lie on one another are as good as each other.
                prop_assert!(hit == part || place_of(&shape, hit) == place, "{hit:?} {part:?}");
            }
            let corner = shape.outline().nth(corner).unwrap();
            prop_assert!(shape.part_at(corner).is_some());
        }

        #[test]
        fn far_from_everything_is_nothing(view in any_view(), ellipse in any_ellipse()) {
            let shape = EllipseShape { view: &view, ellipse: &ellipse };
            let right = shape.outline().chain(shape.bar()).map(|[x, _]| x).fold(f64::MIN, f64::max);
            let beside = view.moved([right, shape.center()[1]], [HANDLE_REACH + 1.0, 0.0]);
            prop_assert_eq!(shape.part_at(beside), None);
        }
    }

    fn place_of(shape: &EllipseShape<'_>, part: EllipsePart) -> Point {
        match part {
            EllipsePart::Center => shape.center(),
            EllipsePart::Rotation => shape.bar()[1],
            EllipsePart::Handle(end) => shape.end(end),
            EllipsePart::Ring => [f64::NAN; 2],
        }
    }
}
