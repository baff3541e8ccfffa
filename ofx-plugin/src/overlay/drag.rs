//! What a drag makes of an ellipse.
//!
//! Everything follows from where the drag began and where the pen is now, so that a pen that goes
//! back takes the ellipse back. Distances and angles are those of take space.

#![forbid(unsafe_code)]

use std::ops::RangeInclusive;

use wan_alpha_take::ellipse::{AXIS, CENTER, Ellipse};

use super::shape::{AxisEnd, EllipsePart};
use super::view::{View, axes, difference, dot, lengths};
use crate::surface::Point;

/// The limits of the parameter `ellipseAngle`.
pub(crate) const ANGLE: RangeInclusive<f64> = -36000.0..=36000.0;

/// Shift holds the angle to multiples of this, in degrees.
const SNAP: f64 = 15.0;

/// How far the pen must be from where it went down before Shift settles on an axis, in pixels.
const AXIS_LOCK_DISTANCE: f64 = 3.0;

/// Numbers nearer to zero than this say nothing about a direction or a ratio.
const SMALLEST_LENGTH: f64 = 1e-9;

/// The part of the pen's way that is gone while Control is held.
const FINE: f64 = 0.1;

/// The keys that are held while the pen drags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldKeys {
    /// A center keeps to one direction, a handle to the ratio of the axes, an angle to steps.
    pub(crate) shift: bool,
    /// Everything goes a tenth of the way.
    pub(crate) control: bool,
}

/// A part of the ellipse that the artist drags.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Drag {
    part: EllipsePart,
    start: Ellipse,
    /// Where the pen went down, in take space.
    from: Point,
    /// What the ellipse has become.
    now: Ellipse,
    /// The direction that Shift has settled on: 0 is across, 1 is up.
    locked_axis: Option<usize>,
    /// Degrees that the pen has gone around the center, turns included.
    turned: f64,
    /// The host's time when the pen went down.
    time: f64,
}

/// What a finished drag changes, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EllipseChange {
    pub(crate) time: f64,
    pub(crate) to: ChangedParameter,
}

/// The one parameter that a drag changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ChangedParameter {
    Center([f64; 2]),
    Axes([f64; 2]),
    Angle(f64),
}

impl Drag {
    /// Begins a drag: the pen goes down on a part, at a point of the canvas.
    pub(crate) fn begin(
        part: EllipsePart,
        start: Ellipse,
        pen: Point,
        view: &View,
        time: f64,
    ) -> Self {
        let from = view.to_take(pen);
        Self { part, start, from, now: start, locked_axis: None, turned: 0.0, time }
    }

    pub(crate) fn part(&self) -> EllipsePart {
        self.part
    }

    pub(crate) fn now(&self) -> &Ellipse {
        &self.now
    }

    /// Moves the part to where the pen is now, on the canvas.
    pub(crate) fn move_to(&mut self, pen: Point, view: &View, keys: HeldKeys) {
        let HeldKeys { shift, control } = keys;
        let begun = view.to_canvas(self.from);
        let part = |from: f64, to: f64| if control { from + (to - from) * FINE } else { to };
        let pen = [part(begun[0], pen[0]), part(begun[1], pen[1])];
        let by = view.pixels(begun, pen);
        let pen = view.to_take(pen);
        self.now = match self.part {
            EllipsePart::Center => self.moved(difference(pen, self.from), by, view, shift),
            EllipsePart::Handle(end) => self.lengthened(pen, end, shift),
            EllipsePart::Ring => self.scaled(pen, view),
            EllipsePart::Rotation => self.turned(pen, view, shift),
        };
    }

    /// None where the pen went up as it went down.
    pub(crate) fn change(&self) -> Option<EllipseChange> {
        let Ellipse { x, y, a, b, angle } = self.now;
        let to = match self.part {
            EllipsePart::Center => ChangedParameter::Center([x, y]),
            EllipsePart::Handle(_) | EllipsePart::Ring => ChangedParameter::Axes([a, b]),
            EllipsePart::Rotation => ChangedParameter::Angle(angle),
        };
        (self.now != self.start).then_some(EllipseChange { time: self.time, to })
    }

    fn moved(&mut self, by: Point, pixels: [f64; 2], view: &View, shift: bool) -> Ellipse {
        let [across, up] = pixels.map(f64::abs);
        if !shift {
            self.locked_axis = None;
        } else if self.locked_axis.is_none() && across.max(up) >= AXIS_LOCK_DISTANCE {
            self.locked_axis = Some(usize::from(up > across));
        }
        let free = |axis| !shift || self.locked_axis == Some(axis);
        let mut now = self.start;
        if free(0) {
            now.x = clamped(&CENTER, self.start.x + by[0] / view.aspect());
        }
        if free(1) {
            now.y = clamped(&CENTER, self.start.y + by[1]);
        }
        now
    }

    /// One whole axis, about the center; with Shift the other by the same factor.
    fn lengthened(&self, pen: Point, end: AxisEnd, shift: bool) -> Ellipse {
        let grown = dot(difference(pen, self.from), end.direction(&self.start));
        let was = lengths(&self.start)[end.axis];
        // A handle taken beside its middle keeps that distance; one pulled through the center
        // comes out on the other side.
        let length = clamped(&AXIS, (was + 2.0 * grown).abs());
        if shift && was > SMALLEST_LENGTH {
            return self.resized(length / was);
        }
        let mut now = self.start;
        *(if end.axis == 0 { &mut now.a } else { &mut now.b }) = length;
        now
    }

    /// Both axes by one factor, as far as both stay within their limits.
    fn scaled(&self, pen: Point, view: &View) -> Ellipse {
        let from = relative_radius(&self.start, self.from, view);
        if from < SMALLEST_LENGTH {
            return self.start;
        }
        self.resized(relative_radius(&self.start, pen, view) / from)
    }

    /// Both axes by this factor, or by what is next to it within their limits.
    fn resized(&self, factor: f64) -> Ellipse {
        let Ellipse { a, b, .. } = self.start;
        let least = (AXIS.start() / a).max(AXIS.start() / b).min(1.0);
        let most = (AXIS.end() / a).min(AXIS.end() / b).max(1.0);
        let factor = factor.clamp(least, most);
        Ellipse { a: clamped(&AXIS, a * factor), b: clamped(&AXIS, b * factor), ..self.start }
    }

    /// By as much as the pen has gone around the center, so that taking hold changes nothing.
    fn turned(&mut self, pen: Point, view: &View, shift: bool) -> Ellipse {
        let center = view.center(&self.start);
        let [from, to] = [self.from, pen].map(|point| difference(point, center));
        if from[0].hypot(from[1]) > SMALLEST_LENGTH && to[0].hypot(to[1]) > SMALLEST_LENGTH {
            let angle = (to[1].atan2(to[0]) - from[1].atan2(from[0])).to_degrees();
            // Of the angles that look like this one, the nearest to the last: the pen may go
            // around more than once.
            self.turned = angle + 360.0 * ((self.turned - angle) / 360.0).round();
        }
        let angle = self.start.angle + self.turned;
        let angle = if shift { (angle / SNAP).round() * SNAP } else { angle };
        Ellipse { angle: clamped(&ANGLE, angle), ..self.start }
    }
}

fn clamped(range: &RangeInclusive<f64>, value: f64) -> f64 {
    value.clamp(*range.start(), *range.end())
}

/// How far out a point of take space is: 1 on the ellipse.
fn relative_radius(ellipse: &Ellipse, point: Point, view: &View) -> f64 {
    let from_center = difference(point, view.center(ellipse));
    let [first, second] = axes(ellipse);
    let [a, b] = lengths(ellipse);
    (dot(from_center, first) / a * 2.0).hypot(dot(from_center, second) / b * 2.0)
}

#[cfg(test)]
mod tests {
    use super::super::shape::EllipseShape;
    use super::super::shape::tests::{any_ellipse, view_at_double_size};
    use super::super::view::tests::any_view;
    use super::*;
    use proptest::prelude::*;

    const START: Ellipse = Ellipse { x: 0.5, y: 0.5, a: 0.5, b: 0.25, angle: 0.0 };

    /// Taken at `from`, led through `pens` on a canvas of 1664 × 960.
    fn dragged(
        part: EllipsePart,
        from: Point,
        pens: &[Point],
        shift: bool,
    ) -> Option<ChangedParameter> {
        let view = view_at_double_size();
        let mut drag = Drag::begin(part, START, from, &view, 7.0);
        for pen in pens {
            drag.move_to(*pen, &view, HeldKeys { shift, control: false });
        }
        drag.change().map(|change| {
            assert_eq!(change.time, 7.0);
            change.to
        })
    }

    fn assert_near(found: Option<ChangedParameter>, expected: ChangedParameter) {
        let numbers = |to| match to {
            ChangedParameter::Center(pair) | ChangedParameter::Axes(pair) => pair,
            ChangedParameter::Angle(angle) => [angle, angle],
        };
        let found = found.unwrap();
        assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&expected));
        for (found, expected) in numbers(found).into_iter().zip(numbers(expected)) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }

    #[test]
    fn a_center_moves_in_fractions_of_the_frame() {
        // Taken beside its middle, it keeps that distance.
        let moved = dragged(EllipsePart::Center, [835.0, 478.0], &[[1251.0, 238.0]], false);
        assert_near(moved, ChangedParameter::Center([0.75, 0.25]));
        let far = dragged(EllipsePart::Center, [832.0, 480.0], &[[1e7, -1e7]], false);
        assert_near(far, ChangedParameter::Center([3.0, -2.0]));
    }

    #[test]
    fn shift_holds_a_center_to_the_first_direction() {
        let from = [832.0, 480.0];
        // Too little to tell a direction from.
        assert_eq!(dragged(EllipsePart::Center, from, &[[834.0, 481.0]], true), None);
        let across = dragged(EllipsePart::Center, from, &[[840.0, 482.0], [1248.0, 960.0]], true);
        assert_near(across, ChangedParameter::Center([0.75, 0.5]));
        let up = dragged(EllipsePart::Center, from, &[[833.0, 470.0], [1248.0, 960.0]], true);
        assert_near(up, ChangedParameter::Center([0.5, 1.0]));
    }

    #[test]
    fn a_handle_changes_its_whole_axis_and_no_other() {
        let right = EllipsePart::Handle(AxisEnd::ALL[0]);
        // 96 units are a tenth of a height, on either side of the center.
        let longer = dragged(right, [1072.0, 480.0], &[[1168.0, 700.0]], false);
        assert_near(longer, ChangedParameter::Axes([0.7, 0.25]));
        let through = dragged(right, [1072.0, 480.0], &[[640.0, 480.0]], false);
        assert_near(through, ChangedParameter::Axes([0.4, 0.25]));
        let bottom = EllipsePart::Handle(AxisEnd::ALL[3]);
        let longer = dragged(bottom, [832.0, 360.0], &[[832.0, 264.0]], false);
        assert_near(longer, ChangedParameter::Axes([0.5, 0.45]));
        assert_near(
            dragged(right, [1072.0, 480.0], &[[832.0, 480.0]], false),
            ChangedParameter::Axes([0.002, 0.25]),
        );
        assert_near(
            dragged(right, [1072.0, 480.0], &[[9e5, 480.0]], false),
            ChangedParameter::Axes([6.0, 0.25]),
        );
    }

    #[test]
    fn shift_has_a_handle_keep_the_ratio_and_control_goes_a_tenth_of_the_way() {
        let right = EllipsePart::Handle(AxisEnd::ALL[0]);
        let both = dragged(right, [1072.0, 480.0], &[[1312.0, 480.0]], true);
        assert_near(both, ChangedParameter::Axes([1.0, 0.5]));
        let view = view_at_double_size();
        let keys = HeldKeys { shift: false, control: true };
        let mut drag = Drag::begin(EllipsePart::Center, START, [832.0, 480.0], &view, 7.0);
        drag.move_to([1248.0, 240.0], &view, keys);
        let change = drag.change().map(|change| change.to);
        assert_near(change, ChangedParameter::Center([0.525, 0.475]));
        // Where the key is let go of, the pen is where it is.
        drag.move_to([1248.0, 240.0], &view, HeldKeys::default());
        let change = drag.change().map(|change| change.to);
        assert_near(change, ChangedParameter::Center([0.75, 0.25]));
    }

    #[test]
    fn the_outline_keeps_the_ratio_to_its_limits() {
        let double = dragged(EllipsePart::Ring, [1072.0, 480.0], &[[1312.0, 480.0]], false);
        assert_near(double, ChangedParameter::Axes([1.0, 0.5]));
        let most = dragged(EllipsePart::Ring, [1072.0, 480.0], &[[1e6, 480.0]], false);
        assert_near(most, ChangedParameter::Axes([6.0, 3.0]));
        let least = dragged(EllipsePart::Ring, [1072.0, 480.0], &[[832.0, 480.0]], false);
        assert_near(least, ChangedParameter::Axes([0.004, 0.002]));
        // From the center there is no telling how far out the pen is.
        assert_eq!(dragged(EllipsePart::Ring, [832.0, 480.0], &[[1072.0, 480.0]], false), None);
    }

    #[test]
    fn the_rotation_handle_counts_turns_and_snaps() {
        let (east, north, west, south) =
            ([1112.0, 480.0], [832.0, 760.0], [552.0, 480.0], [832.0, 200.0]);
        let turn = |pens: &[Point], shift| dragged(EllipsePart::Rotation, east, pens, shift);
        assert_near(turn(&[north], false), ChangedParameter::Angle(90.0));
        assert_near(turn(&[south], false), ChangedParameter::Angle(-90.0));
        let round = [north, west, south, east, north];
        assert_near(turn(&round, false), ChangedParameter::Angle(450.0));
        assert_eq!(turn(&[north, west, north, east], false), None);
        let steep = [832.0 + 280.0 * 0.6, 480.0 + 280.0 * 0.8];
        assert_near(turn(&[steep], true), ChangedParameter::Angle(60.0));
        // Over the center the angle stays.
        assert_near(turn(&[north, [832.0, 480.0]], false), ChangedParameter::Angle(90.0));
    }

    #[test]
    fn an_angle_stays_within_the_limits_of_its_parameter() {
        let view = view_at_double_size();
        let start = Ellipse { angle: 35_950.0, ..START };
        let mut drag = Drag::begin(EllipsePart::Rotation, start, [1112.0, 480.0], &view, 0.0);
        drag.move_to([832.0, 760.0], &view, HeldKeys { shift: false, control: false });
        assert_eq!(drag.now().angle, 36_000.0);
    }

    proptest! {
        #[test]
        fn a_part_goes_where_the_pen_takes_it(
            view in any_view(), start in any_ellipse(), dx in -60.0..60.0, dy in -60.0..60.0
        ) {
            let shape = EllipseShape { view: &view, ellipse: &start };
            let places = [(EllipsePart::Center, shape.center()), (EllipsePart::Rotation, shape.bar()[1])]
                .into_iter()
                .chain(AxisEnd::ALL.map(|end| (EllipsePart::Handle(end), shape.end(end))));
            for (part, place) in places {
                let pen = view.moved(place, [dx, dy]);
                let mut drag = Drag::begin(part, start, place, &view, 0.0);
                drag.move_to(pen, &view, HeldKeys { shift: false, control: false });
                let now = drag.now();
                let shape = EllipseShape { view: &view, ellipse: now };
                match part {
                    EllipsePart::Center if now.x.abs() < 2.0 && now.y.abs() < 2.0 => {
                        let [dx, dy] = view.pixels(shape.center(), pen);
                        prop_assert!(dx.hypot(dy) < 1e-6);
                    }
                    EllipsePart::Handle(end) => {
                        // The foot of the pen on the axis, whichever end has come there.
                        let out = end.direction(&start);
                        let foot = dot(difference(view.to_take(pen), view.center(&start)), out);
                        let length = clamped(&AXIS, 2.0 * foot.abs());
                        prop_assert!((lengths(now)[end.axis] - length).abs() < 1e-9);
                        prop_assert_eq!(lengths(now)[1 - end.axis], lengths(&start)[1 - end.axis]);
                    }
                    EllipsePart::Rotation => {
                        let to_pen = difference(view.to_take(pen), view.center(now));
                        let handle = difference(view.to_take(shape.bar()[1]), view.center(now));
                        let cross = to_pen[0] * handle[1] - to_pen[1] * handle[0];
                        prop_assert!(cross.abs() < 1e-6 * (1.0 + dot(to_pen, handle).abs()));
                        prop_assert!(dot(to_pen, handle) >= 0.0);
                    }
                    EllipsePart::Center | EllipsePart::Ring => {}
                }
            }
        }

        #[test]
        fn an_outline_goes_through_the_pen(
            view in any_view(), start in any_ellipse(), corner in 0..128_usize, far in 0.5..1.5
        ) {
            let shape = EllipseShape { view: &view, ellipse: &start };
            let from = shape.outline().nth(corner).unwrap();
            let center = view.center(&start);
            let [x, y] = difference(view.to_take(from), center);
            let pen = view.to_canvas([center[0] + x * far, center[1] + y * far]);
            let mut drag = Drag::begin(EllipsePart::Ring, start, from, &view, 0.0);
            drag.move_to(pen, &view, HeldKeys { shift: false, control: false });
            prop_assert!((drag.now().a / drag.now().b - start.a / start.b).abs() < 1e-6);
            prop_assert!((relative_radius(drag.now(), view.to_take(pen), &view) - 1.0).abs() < 1e-9);
        }

        #[test]
        fn there_and_back_is_where_it_was(
            view in any_view(), start in any_ellipse(), dx in -500.0..500.0, dy in -500.0..500.0
        ) {
            let shape = EllipseShape { view: &view, ellipse: &start };
            let ends = AxisEnd::ALL.map(EllipsePart::Handle);
            for part in [EllipsePart::Center, EllipsePart::Ring].into_iter().chain(ends) {
                let from = shape.end(AxisEnd::ALL[1]);
                let mut drag = Drag::begin(part, start, from, &view, 0.0);
                drag.move_to(view.moved(from, [dx, dy]), &view, HeldKeys { shift: false, control: false });
                drag.move_to(from, &view, HeldKeys { shift: false, control: false });
                for (now, start) in [
                    (drag.now().x, start.x),
                    (drag.now().y, start.y),
                    (drag.now().a, start.a),
                    (drag.now().b, start.b),
                ] {
                    prop_assert!((now - start).abs() < 1e-9);
                }
            }
        }

        #[test]
        fn every_number_stays_within_its_limits(
            view in any_view(), start in any_ellipse(), dx in -1e6..1e6, dy in -1e6..1e6,
            shift in any::<bool>(), control in any::<bool>()
        ) {
            let shape = EllipseShape { view: &view, ellipse: &start };
            for part in [EllipsePart::Center, EllipsePart::Ring, EllipsePart::Rotation, EllipsePart::Handle(AxisEnd::ALL[2])] {
                let from = shape.end(AxisEnd::ALL[2]);
                let mut drag = Drag::begin(part, start, from, &view, 0.0);
                drag.move_to(view.moved(from, [dx, dy]), &view, HeldKeys { shift, control });
                prop_assert_eq!(drag.now().validate(), Ok(()));
                prop_assert!(ANGLE.contains(&drag.now().angle));
            }
        }
    }
}
