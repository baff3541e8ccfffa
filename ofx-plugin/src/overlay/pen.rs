//! The pen and the keys: what an event does, worked out without a call to the host.
//!
//! Hovering highlights; the pen down on a part begins a drag on a copy of the ellipse; the pen up
//! hands the change over to be written, once. Escape and a lost focus drop the drag.

#![forbid(unsafe_code)]

use wan_alpha_take::ellipse::Ellipse;

use super::drag::{Change, Drag};
use super::shape::{Part, Shape};
use super::view::{Point, View};

/// What an interact remembers between events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pen {
    /// Whether the artist has seen anything: what is not drawn cannot be taken hold of.
    pub(crate) seen: bool,
    hovered: Option<Part>,
    drag: Option<Drag>,
    /// Left and right.
    shifts: [bool; 2],
    /// Where it was last.
    at: Option<Point>,
}

/// What the events are about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointerContext {
    pub(crate) view: View,
    /// As the parameters have it at that time.
    pub(crate) ellipse: Ellipse,
    pub(crate) time: f64,
}

/// Something the artist does. Points are on the canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    Motion(Point),
    Down(Point),
    Up(Point),
    Key(Key, bool),
    LoseFocus,
}

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// 0 is the left one, 1 the right.
    Shift(usize),
    Escape,
}

/// What follows from an event.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Whether it was meant for the ellipse, and for nothing else in the viewer.
    pub(crate) eaten: bool,
    /// Whether the ellipse looks different now.
    pub(crate) redraw: bool,
    /// To be written into the parameters.
    pub(crate) change: Option<Change>,
}

impl Pen {
    /// The ellipse in the hand of the artist, instead of that of the parameters.
    pub(crate) fn dragged(&self) -> Option<&Ellipse> {
        self.drag.as_ref().map(Drag::now)
    }

    /// The part to be highlighted.
    pub(crate) fn highlighted(&self) -> Option<Part> {
        self.drag.map(|drag| drag.part()).or(self.hovered)
    }

    /// Takes an event in. Without a scene there is nothing to hover over or to drag.
    pub(crate) fn on_event(&mut self, event: Event, scene: Option<&PointerContext>) -> Outcome {
        match (event, scene) {
            (Event::Key(Key::Shift(side), down), _) => {
                self.shifts[side.min(1)] = down;
                match (self.at, scene) {
                    (Some(pen), Some(scene)) => {
                        Outcome { redraw: self.follow(pen, scene), ..Outcome::default() }
                    }
                    _ => Outcome::default(),
                }
            }
            (Event::Key(Key::Escape, true), _) => {
                let dropped = self.drag.take().is_some();
                Outcome { eaten: dropped, redraw: dropped, change: None }
            }
            (Event::Key(Key::Escape, false), _) => Outcome::default(),
            (Event::LoseFocus, _) => {
                let was = *self;
                *self = Self { seen: was.seen, ..Self::default() };
                let redraw = was.drag.is_some() || was.hovered.is_some();
                Outcome { redraw, ..Outcome::default() }
            }
            (Event::Motion(pen) | Event::Down(pen) | Event::Up(pen), Some(scene))
                if self.seen && pen.iter().all(|number| number.is_finite()) =>
            {
                self.at = Some(pen);
                match event {
                    Event::Down(_) => self.down(pen, scene),
                    Event::Up(_) => self.up(pen, scene),
                    _ => self.motion(pen, scene),
                }
            }
            (Event::Motion(_) | Event::Down(_) | Event::Up(_), _) => Outcome::default(),
        }
    }

    fn down(&mut self, pen: Point, scene: &PointerContext) -> Outcome {
        let PointerContext { view, ellipse, time } = scene;
        let part = Shape { view, ellipse }.under(pen);
        // A drag whose end was kept from us is no more.
        let redraw = part.is_some() || self.highlighted().is_some();
        self.hovered = part;
        self.drag = part.map(|part| Drag::begin(part, *ellipse, pen, view, *time));
        Outcome { eaten: part.is_some(), redraw, change: None }
    }

    fn motion(&mut self, pen: Point, scene: &PointerContext) -> Outcome {
        if self.drag.is_some() {
            return Outcome { eaten: true, redraw: self.follow(pen, scene), change: None };
        }
        let part = Shape { view: &scene.view, ellipse: &scene.ellipse }.under(pen);
        let redraw = part != self.hovered;
        self.hovered = part;
        // Whoever else is in the viewer may want to know where the pen is, too.
        Outcome { eaten: false, redraw, change: None }
    }

    fn up(&mut self, pen: Point, scene: &PointerContext) -> Outcome {
        self.follow(pen, scene);
        let Some(drag) = self.drag.take() else { return Outcome::default() };
        Outcome { eaten: true, redraw: true, change: drag.change() }
    }

    /// Leads the drag after the pen; whether that changed the ellipse.
    fn follow(&mut self, pen: Point, scene: &PointerContext) -> bool {
        let shift = self.shifts.contains(&true);
        let Some(drag) = &mut self.drag else { return false };
        let was = *drag.now();
        drag.to(pen, &scene.view, shift);
        *drag.now() != was
    }
}

#[cfg(test)]
mod tests {
    use super::super::drag::To;
    use super::super::shape::End;
    use super::super::shape::tests::double;
    use super::*;
    use proptest::prelude::*;

    const QUIET: Outcome = Outcome { eaten: false, redraw: false, change: None };
    const SHOWN: Outcome = Outcome { eaten: false, redraw: true, change: None };
    const TAKEN: Outcome = Outcome { eaten: true, redraw: true, change: None };
    const STILL: Outcome = Outcome { eaten: true, redraw: false, change: None };

    const CENTRE: Point = [832.0, 480.0];
    const RIGHT: Point = [1072.0, 480.0];

    fn scene() -> PointerContext {
        let ellipse = Ellipse { x: 0.5, y: 0.5, a: 0.5, b: 0.25, angle: 0.0 };
        PointerContext { view: double(), ellipse, time: 12.0 }
    }

    /// Plays a script and compares each outcome.
    fn play(pen: &mut Pen, script: &[(Event, Outcome)]) {
        for (nth, (event, outcome)) in script.iter().enumerate() {
            assert_eq!(pen.on_event(*event, Some(&scene())), *outcome, "{nth}: {event:?}");
        }
    }

    fn seen() -> Pen {
        Pen { seen: true, ..Pen::default() }
    }

    #[test]
    fn hovering_highlights_and_leaves_the_pen_to_others() {
        let mut pen = seen();
        play(&mut pen, &[(Event::Motion([10.0, 10.0]), QUIET), (Event::Motion(CENTRE), SHOWN)]);
        assert_eq!(pen.highlighted(), Some(Part::Centre));
        play(&mut pen, &[(Event::Motion([833.0, 480.0]), QUIET), (Event::Motion(RIGHT), SHOWN)]);
        assert_eq!(pen.highlighted(), Some(Part::Handle(End::ALL[0])));
        play(&mut pen, &[(Event::LoseFocus, SHOWN), (Event::LoseFocus, QUIET)]);
        assert_eq!(pen.highlighted(), None);
    }

    #[test]
    fn a_drag_is_written_once_when_the_pen_goes_up() {
        let mut pen = seen();
        let change = Change { time: 12.0, to: To::Centre([0.75, 0.25]) };
        play(
            &mut pen,
            &[
                (Event::Down(CENTRE), TAKEN),
                (Event::Motion([900.0, 400.0]), TAKEN),
                (Event::Motion([900.0, 400.0]), STILL),
                (Event::Motion([1248.0, 240.0]), TAKEN),
            ],
        );
        assert_eq!(pen.dragged().map(|ellipse| [ellipse.x, ellipse.y]), Some([0.75, 0.25]));
        play(
            &mut pen,
            &[
                (Event::Up([1248.0, 240.0]), Outcome { change: Some(change), ..TAKEN }),
                (Event::Up([1248.0, 240.0]), QUIET),
            ],
        );
        assert_eq!(pen.dragged(), None);
    }

    #[test]
    fn a_click_is_eaten_and_changes_nothing() {
        play(&mut seen(), &[(Event::Down(RIGHT), TAKEN), (Event::Up(RIGHT), TAKEN)]);
        play(&mut seen(), &[(Event::Down([10.0, 10.0]), QUIET), (Event::Up([10.0, 10.0]), QUIET)]);
    }

    #[test]
    fn escape_and_a_lost_focus_drop_the_drag() {
        for drop in [Event::Key(Key::Escape, true), Event::LoseFocus] {
            let outcome = if drop == Event::LoseFocus { SHOWN } else { TAKEN };
            play(
                &mut seen(),
                &[
                    (Event::Down(CENTRE), TAKEN),
                    (Event::Motion([900.0, 400.0]), TAKEN),
                    (drop, outcome),
                    (Event::Up([900.0, 400.0]), QUIET),
                    (Event::Key(Key::Escape, true), QUIET),
                ],
            );
        }
    }

    #[test]
    fn shift_counts_while_it_is_held() {
        let shift = |side, down| Event::Key(Key::Shift(side), down);
        let mut pen = seen();
        play(
            &mut pen,
            &[
                (shift(0, true), QUIET),
                (Event::Down(CENTRE), TAKEN),
                (Event::Motion([1248.0, 500.0]), TAKEN),
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
        let mut pen = Pen::default();
        play(&mut pen, &[(Event::Motion(CENTRE), QUIET), (Event::Down(CENTRE), QUIET)]);
        assert_eq!(seen().on_event(Event::Down(CENTRE), None), QUIET);
        play(&mut seen(), &[(Event::Down([f64::NAN, 480.0]), QUIET)]);
    }

    /// Near the parts, anywhere, or nowhere at all.
    fn any_point() -> impl Strategy<Value = Point> {
        let near = |x: f64, y: f64| (x - 9.0..x + 9.0, y - 9.0..y + 9.0).prop_map(<[f64; 2]>::from);
        prop_oneof![
            4 => near(CENTRE[0], CENTRE[1]),
            4 => near(RIGHT[0], RIGHT[1]),
            2 => near(RIGHT[0] + 40.0, RIGHT[1]),
            4 => prop::array::uniform2(-2000.0..3000.0),
            1 => prop::array::uniform2(prop::num::f64::ANY),
        ]
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            6 => any_point().prop_map(Event::Motion),
            3 => any_point().prop_map(Event::Down),
            3 => any_point().prop_map(Event::Up),
            1 => (0..2_usize, any::<bool>())
                .prop_map(|(side, down)| Event::Key(Key::Shift(side), down)),
            1 => any::<bool>().prop_map(|down| Event::Key(Key::Escape, down)),
            1 => Just(Event::LoseFocus),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_a_change_is_valid_and_ends_a_drag(
            events in prop::collection::vec((any_event(), prop::bool::weighted(0.9)), 1..60)
        ) {
            let mut pen = seen();
            for (event, has_scene) in events {
                let was_dragging = pen.dragged().is_some();
                let outcome = pen.on_event(event, has_scene.then_some(&scene()));
                let is_dragging = pen.dragged().is_some();
                if let Some(ellipse) = pen.dragged() {
                    prop_assert_eq!(ellipse.validate(), Ok(()));
                }
                if let Some(Change { to, time }) = outcome.change {
                    prop_assert!(matches!(event, Event::Up(_)) && was_dragging && !is_dragging);
                    prop_assert_eq!(time, 12.0);
                    let mut ellipse = scene().ellipse;
                    match to {
                        To::Centre([x, y]) => (ellipse.x, ellipse.y) = (x, y),
                        To::Axes([a, b]) => (ellipse.a, ellipse.b) = (a, b),
                        To::Angle(angle) => ellipse.angle = angle,
                    }
                    prop_assert_eq!(ellipse.validate(), Ok(()));
                    prop_assert_ne!(ellipse, scene().ellipse);
                }
                if is_dragging && !was_dragging {
                    prop_assert!(matches!(event, Event::Down(_)) && outcome.eaten);
                }
                if was_dragging != is_dragging {
                    prop_assert!(outcome.redraw);
                }
            }
        }
    }
}
