//! The pen and the keys: what an event does, worked out without a call to the host.
//!
//! Hovering highlights; the pen down on a part begins a drag on a copy of the ellipse; the pen up
//! hands the change over to be written, once. Escape and a lost focus drop the drag.

#![forbid(unsafe_code)]

use wan_alpha_take::ellipse::Ellipse;

use super::drag::{Drag, EllipseChange, HeldKeys};
use super::shape::{EllipsePart, EllipseShape};
use super::view::View;
use crate::surface::Point;

/// What the overlay remembers of pen and keys between events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PenState {
    /// Whether the last draw showed anything: what is not drawn cannot be taken hold of.
    pub(crate) was_drawn: bool,
    hovered: Option<EllipsePart>,
    drag: Option<Drag>,
    /// Whether the left and the right Shift key are down.
    shifts: [bool; 2],
    /// The same of Control.
    controls: [bool; 2],
    /// Where the pen was last.
    position: Option<Point>,
}

/// The ellipse that events are about, and how it is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointerContext {
    pub(crate) view: View,
    /// The ellipse as the parameters have it at that time.
    pub(crate) ellipse: Ellipse,
    pub(crate) time: f64,
}

/// Something the artist does. Points are on the canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PenEvent {
    Motion(Point),
    Down(Point),
    Up(Point),
    Key(OverlayKey, bool),
    LoseFocus,
}

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverlayKey {
    /// 0 is the left one, 1 the right.
    Shift(usize),
    /// The same: 0 is the left one, 1 the right.
    Control(usize),
    Escape,
}

/// What follows from an event.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PenOutcome {
    /// Whether the event was meant for the ellipse, and for nothing else in the viewer.
    pub(crate) captured: bool,
    /// Whether the ellipse looks different now.
    pub(crate) redraw: bool,
    /// A change to be written into the parameters.
    pub(crate) change: Option<EllipseChange>,
}

impl PenState {
    /// The ellipse as it is being dragged, instead of that of the parameters.
    pub(crate) fn dragged(&self) -> Option<&Ellipse> {
        self.drag.as_ref().map(Drag::now)
    }

    /// The part to be highlighted.
    pub(crate) fn highlighted(&self) -> Option<EllipsePart> {
        self.drag.map(|drag| drag.part()).or(self.hovered)
    }

    /// Answers an event. Without a context there is nothing to hover over or to drag.
    pub(crate) fn on_event(
        &mut self,
        event: PenEvent,
        context: Option<&PointerContext>,
    ) -> PenOutcome {
        match (event, context) {
            (
                PenEvent::Key(key @ (OverlayKey::Shift(side) | OverlayKey::Control(side)), down),
                _,
            ) => {
                let is_shift = matches!(key, OverlayKey::Shift(_));
                let keys = if is_shift { &mut self.shifts } else { &mut self.controls };
                keys[side.min(1)] = down;
                match (self.position, context) {
                    (Some(pen), Some(context)) => {
                        PenOutcome { redraw: self.follow(pen, context), ..PenOutcome::default() }
                    }
                    _ => PenOutcome::default(),
                }
            }
            (PenEvent::Key(OverlayKey::Escape, true), _) => {
                let dropped = self.drag.take().is_some();
                PenOutcome { captured: dropped, redraw: dropped, change: None }
            }
            (PenEvent::Key(OverlayKey::Escape, false), _) => PenOutcome::default(),
            (PenEvent::LoseFocus, _) => {
                let was = *self;
                *self = Self { was_drawn: was.was_drawn, ..Self::default() };
                let redraw = was.drag.is_some() || was.hovered.is_some();
                PenOutcome { redraw, ..PenOutcome::default() }
            }
            (PenEvent::Motion(pen) | PenEvent::Down(pen) | PenEvent::Up(pen), Some(context))
                if self.was_drawn && pen.iter().all(|number| number.is_finite()) =>
            {
                self.position = Some(pen);
                match event {
                    PenEvent::Down(_) => self.down(pen, context),
                    PenEvent::Up(_) => self.up(pen, context),
                    _ => self.motion(pen, context),
                }
            }
            (PenEvent::Motion(_) | PenEvent::Down(_) | PenEvent::Up(_), _) => PenOutcome::default(),
        }
    }

    fn down(&mut self, pen: Point, context: &PointerContext) -> PenOutcome {
        let PointerContext { view, ellipse, time } = context;
        let part = EllipseShape { view, ellipse }.part_at(pen);
        // A drag whose end was kept from us is no more.
        let redraw = part.is_some() || self.highlighted().is_some();
        self.hovered = part;
        self.drag = part.map(|part| Drag::begin(part, *ellipse, pen, view, *time));
        PenOutcome { captured: part.is_some(), redraw, change: None }
    }

    fn motion(&mut self, pen: Point, context: &PointerContext) -> PenOutcome {
        if self.drag.is_some() {
            return PenOutcome { captured: true, redraw: self.follow(pen, context), change: None };
        }
        let part = EllipseShape { view: &context.view, ellipse: &context.ellipse }.part_at(pen);
        let redraw = part != self.hovered;
        self.hovered = part;
        // Whoever else is in the viewer may want to know where the pen is, too.
        PenOutcome { captured: false, redraw, change: None }
    }

    fn up(&mut self, pen: Point, context: &PointerContext) -> PenOutcome {
        self.follow(pen, context);
        let Some(drag) = self.drag.take() else { return PenOutcome::default() };
        PenOutcome { captured: true, redraw: true, change: drag.change() }
    }

    /// Leads the drag after the pen; whether that changed the ellipse.
    fn follow(&mut self, pen: Point, context: &PointerContext) -> bool {
        let [shift, control] = [self.shifts, self.controls].map(|keys| keys.contains(&true));
        let Some(drag) = &mut self.drag else { return false };
        let was = *drag.now();
        drag.move_to(pen, &context.view, HeldKeys { shift, control });
        *drag.now() != was
    }
}

#[cfg(test)]
mod tests {
    use super::super::drag::ChangedParameter;
    use super::super::shape::AxisEnd;
    use super::super::shape::tests::view_at_double_size;
    use super::*;
    use proptest::prelude::*;

    const QUIET: PenOutcome = PenOutcome { captured: false, redraw: false, change: None };
    const SHOWN: PenOutcome = PenOutcome { captured: false, redraw: true, change: None };
    const TAKEN: PenOutcome = PenOutcome { captured: true, redraw: true, change: None };
    const STILL: PenOutcome = PenOutcome { captured: true, redraw: false, change: None };

    const CENTER: Point = [832.0, 480.0];
    const RIGHT: Point = [1072.0, 480.0];

    fn context() -> PointerContext {
        let ellipse = Ellipse { x: 0.5, y: 0.5, a: 0.5, b: 0.25, angle: 0.0 };
        PointerContext { view: view_at_double_size(), ellipse, time: 12.0 }
    }

    /// Plays a script and compares each outcome.
    fn play(pen: &mut PenState, script: &[(PenEvent, PenOutcome)]) {
        for (nth, (event, outcome)) in script.iter().enumerate() {
            assert_eq!(pen.on_event(*event, Some(&context())), *outcome, "{nth}: {event:?}");
        }
    }

    fn seen() -> PenState {
        PenState { was_drawn: true, ..PenState::default() }
    }

    #[test]
    fn hovering_highlights_and_leaves_the_pen_to_others() {
        let mut pen = seen();
        play(
            &mut pen,
            &[(PenEvent::Motion([10.0, 10.0]), QUIET), (PenEvent::Motion(CENTER), SHOWN)],
        );
        assert_eq!(pen.highlighted(), Some(EllipsePart::Center));
        play(
            &mut pen,
            &[(PenEvent::Motion([833.0, 480.0]), QUIET), (PenEvent::Motion(RIGHT), SHOWN)],
        );
        assert_eq!(pen.highlighted(), Some(EllipsePart::Handle(AxisEnd::ALL[0])));
        play(&mut pen, &[(PenEvent::LoseFocus, SHOWN), (PenEvent::LoseFocus, QUIET)]);
        assert_eq!(pen.highlighted(), None);
    }

    #[test]
    fn a_drag_is_written_once_when_the_pen_goes_up() {
        let mut pen = seen();
        let change = EllipseChange { time: 12.0, to: ChangedParameter::Center([0.75, 0.25]) };
        play(
            &mut pen,
            &[
                (PenEvent::Down(CENTER), TAKEN),
                (PenEvent::Motion([900.0, 400.0]), TAKEN),
                (PenEvent::Motion([900.0, 400.0]), STILL),
                (PenEvent::Motion([1248.0, 240.0]), TAKEN),
            ],
        );
        assert_eq!(pen.dragged().map(|ellipse| [ellipse.x, ellipse.y]), Some([0.75, 0.25]));
        play(
            &mut pen,
            &[
                (PenEvent::Up([1248.0, 240.0]), PenOutcome { change: Some(change), ..TAKEN }),
                (PenEvent::Up([1248.0, 240.0]), QUIET),
            ],
        );
        assert_eq!(pen.dragged(), None);
    }

    #[test]
    fn a_click_is_eaten_and_changes_nothing() {
        play(&mut seen(), &[(PenEvent::Down(RIGHT), TAKEN), (PenEvent::Up(RIGHT), TAKEN)]);
        play(
            &mut seen(),
            &[(PenEvent::Down([10.0, 10.0]), QUIET), (PenEvent::Up([10.0, 10.0]), QUIET)],
        );
    }

    #[test]
    fn escape_and_a_lost_focus_drop_the_drag() {
        for drop in [PenEvent::Key(OverlayKey::Escape, true), PenEvent::LoseFocus] {
            let outcome = if drop == PenEvent::LoseFocus { SHOWN } else { TAKEN };
            play(
                &mut seen(),
                &[
                    (PenEvent::Down(CENTER), TAKEN),
                    (PenEvent::Motion([900.0, 400.0]), TAKEN),
                    (drop, outcome),
                    (PenEvent::Up([900.0, 400.0]), QUIET),
                    (PenEvent::Key(OverlayKey::Escape, true), QUIET),
                ],
            );
        }
    }

    #[test]
    fn shift_counts_while_it_is_held() {
        let shift = |side, down| PenEvent::Key(OverlayKey::Shift(side), down);
        let mut pen = seen();
        play(
            &mut pen,
            &[
                (shift(0, true), QUIET),
                (PenEvent::Down(CENTER), TAKEN),
                (PenEvent::Motion([1248.0, 500.0]), TAKEN),
            ],
        );
        assert_eq!(pen.dragged().map(|ellipse| [ellipse.x, ellipse.y]), Some([0.75, 0.5]));
        // The other one is held now, so nothing looks different; then none is.
        play(
            &mut pen,
            &[(shift(1, true), QUIET), (shift(0, false), QUIET), (shift(1, false), SHOWN)],
        );
        let y = pen.dragged().map(|ellipse| ellipse.y);
        assert!(y.is_some_and(|y| (y - (0.5 + 20.0 / 960.0)).abs() < 1e-12), "{y:?}");
    }

    #[test]
    fn what_was_never_drawn_cannot_be_taken() {
        let mut pen = PenState::default();
        play(&mut pen, &[(PenEvent::Motion(CENTER), QUIET), (PenEvent::Down(CENTER), QUIET)]);
        assert_eq!(seen().on_event(PenEvent::Down(CENTER), None), QUIET);
        play(&mut seen(), &[(PenEvent::Down([f64::NAN, 480.0]), QUIET)]);
    }

    /// Near the parts, anywhere, or nowhere at all.
    fn any_point() -> impl Strategy<Value = Point> {
        let near = |x: f64, y: f64| (x - 9.0..x + 9.0, y - 9.0..y + 9.0).prop_map(<[f64; 2]>::from);
        prop_oneof![
            4 => near(CENTER[0], CENTER[1]),
            4 => near(RIGHT[0], RIGHT[1]),
            2 => near(RIGHT[0] + 40.0, RIGHT[1]),
            4 => prop::array::uniform2(-2000.0..3000.0),
            1 => prop::array::uniform2(prop::num::f64::ANY),
        ]
    }

    fn any_event() -> impl Strategy<Value = PenEvent> {
        prop_oneof![
            6 => any_point().prop_map(PenEvent::Motion),
            3 => any_point().prop_map(PenEvent::Down),
            3 => any_point().prop_map(PenEvent::Up),
            1 => (0..2_usize, any::<bool>())
                .prop_map(|(side, down)| PenEvent::Key(OverlayKey::Shift(side), down)),
            1 => (0..2_usize, any::<bool>())
                .prop_map(|(side, down)| PenEvent::Key(OverlayKey::Control(side), down)),
            1 => any::<bool>().prop_map(|down| PenEvent::Key(OverlayKey::Escape, down)),
            1 => Just(PenEvent::LoseFocus),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_a_change_is_valid_and_ends_a_drag(
            events in prop::collection::vec((any_event(), prop::bool::weighted(0.9)), 1..60)
        ) {
            let mut pen = seen();
            for (event, has_context) in events {
                let was_dragging = pen.dragged().is_some();
                let outcome = pen.on_event(event, has_context.then_some(&context()));
                let is_dragging = pen.dragged().is_some();
                if let Some(ellipse) = pen.dragged() {
                    prop_assert_eq!(ellipse.validate(), Ok(()));
                }
                if let Some(EllipseChange { to, time }) = outcome.change {
                    prop_assert!(matches!(event, PenEvent::Up(_)) && was_dragging && !is_dragging);
                    prop_assert_eq!(time, 12.0);
                    let mut ellipse = context().ellipse;
                    match to {
                        ChangedParameter::Center([x, y]) => (ellipse.x, ellipse.y) = (x, y),
                        ChangedParameter::Axes([a, b]) => (ellipse.a, ellipse.b) = (a, b),
                        ChangedParameter::Angle(angle) => ellipse.angle = angle,
                    }
                    prop_assert_eq!(ellipse.validate(), Ok(()));
                    prop_assert_ne!(ellipse, context().ellipse);
                }
                if is_dragging && !was_dragging {
                    prop_assert!(matches!(event, PenEvent::Down(_)) && outcome.captured);
                }
                if was_dragging != is_dragging {
                    prop_assert!(outcome.redraw);
                }
            }
        }
    }
}
