//! How the overlay looks.
//!
//! Everything is drawn twice: a dark shadow one pixel off, then the colour, so that it can be seen
//! on any picture. Sizes are pixels of the screen, at every zoom.

#![forbid(unsafe_code)]

use std::f64::consts::TAU;

use super::canvas::{Canvas, Colour, Figure};
use super::shape::{End, Part, Shape};
use super::view::{Point, View};

const SHADOW: Colour = Colour([0.0, 0.0, 0.0, 0.7]);
const SHADOW_AT: [f64; 2] = [1.0, -1.0];

/// Where neither host nor interact says which colour overlays have.
const GREY: Colour = Colour([0.8, 0.8, 0.8, 1.0]);

/// The part that the pen is on, or has.
const HIGHLIGHT: Colour = Colour([0.25, 1.0, 0.35, 1.0]);

/// Of what is only looked at.
const FAINT: f32 = 0.5;

const LINE: f32 = 1.5;
const HALF_HANDLE: f64 = 3.5;
const HALF_CROSS: f64 = 9.0;
const KNOB: f64 = 4.5;
const KNOB_CORNERS: usize = 16;

/// From the lower left corner of the take, inwards.
const TEXT_AT: [f64; 2] = [8.0, 8.0];

/// Longer words than this are for the panel.
const TEXT_LENGTH: usize = 120;

/// Everything that is seen.
pub(crate) struct Picture<'a> {
    pub(crate) shape: Shape<'a>,
    pub(crate) highlighted: Option<Part>,
    /// The centre over time, on the canvas; empty where it stands still.
    pub(crate) path: &'a [Point],
    /// One line about the take; may be empty.
    pub(crate) line: &'a str,
    /// What the host suggests for this interact.
    pub(crate) suggested: Option<Colour>,
}

/// What a colour is for.
#[derive(Clone, Copy)]
enum Ink {
    Part(Part),
    /// The path, which is only looked at.
    Path,
    Text,
}

pub(crate) fn paint(picture: &Picture<'_>, canvas: &mut impl Canvas) {
    let colour = picture.suggested.or_else(|| canvas.preferred()).unwrap_or(GREY);
    let Colour([red, green, blue, alpha]) = colour;
    canvas.line_width(LINE);
    pass(picture, canvas, SHADOW_AT, |_| SHADOW);
    pass(picture, canvas, [0.0, 0.0], |ink| match ink {
        Ink::Part(part) if picture.highlighted == Some(part) => HIGHLIGHT,
        Ink::Part(_) | Ink::Text => colour,
        Ink::Path => Colour([red, green, blue, alpha * FAINT]),
    });
}

/// Once through everything, all of it moved by some pixels.
fn pass(
    picture: &Picture<'_>,
    canvas: &mut impl Canvas,
    moved: [f64; 2],
    colour: impl Fn(Ink) -> Colour,
) {
    let Picture { shape, path, line, .. } = picture;
    let view = shape.view;
    let mut draw = |ink, figure, points: Vec<Point>| {
        let points: Vec<Point> = points.into_iter().map(|at| view.moved(at, moved)).collect();
        canvas.colour(colour(ink));
        canvas.draw(figure, &points);
    };
    if path.len() > 1 {
        draw(Ink::Path, Figure::Strip, path.to_vec());
    }
    draw(Ink::Part(Part::Ring), Figure::Loop, shape.outline().collect());
    let [foot, knob] = shape.bar();
    draw(Ink::Part(Part::Rotation), Figure::Lines, vec![foot, knob]);
    draw(Ink::Part(Part::Rotation), Figure::Polygon, round(view, knob));
    for end in End::ALL {
        draw(Ink::Part(Part::Handle(end)), Figure::Polygon, square(view, shape.end(end)));
    }
    draw(Ink::Part(Part::Centre), Figure::Lines, cross(view, shape.centre()));
    if !line.is_empty() {
        let region = view.region();
        let at = view.moved(view.moved([region.left, region.bottom], TEXT_AT), moved);
        canvas.colour(colour(Ink::Text));
        canvas.write(at, &shortened(line));
    }
}

fn square(view: &View, at: Point) -> Vec<Point> {
    let corners = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]];
    corners.map(|corner| view.moved(at, corner.map(|side| side * HALF_HANDLE))).to_vec()
}

fn cross(view: &View, at: Point) -> Vec<Point> {
    let ends = [[-HALF_CROSS, 0.0], [HALF_CROSS, 0.0], [0.0, -HALF_CROSS], [0.0, HALF_CROSS]];
    ends.map(|end| view.moved(at, end)).to_vec()
}

fn round(view: &View, at: Point) -> Vec<Point> {
    let corner = |corner: usize| {
        let (sin, cos) = (corner as f64 / KNOB_CORNERS as f64 * TAU).sin_cos();
        view.moved(at, [cos * KNOB, sin * KNOB])
    };
    (0..KNOB_CORNERS).map(corner).collect()
}

/// One line, of a length that a viewer has room for.
fn shortened(line: &str) -> String {
    let line = line.lines().next().unwrap_or_default();
    match line.char_indices().nth(TEXT_LENGTH) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::tests::Record;
    use super::super::shape::tests::double;
    use super::*;
    use wan_alpha_take::ellipse::Ellipse;

    const YELLOW: Colour = Colour([1.0, 1.0, 0.0, 1.0]);

    fn painted(change: impl FnOnce(&mut Picture<'_>), preferred: Option<Colour>) -> Record {
        let (view, ellipse) = (double(), Ellipse::default());
        let shape = Shape { view: &view, ellipse: &ellipse };
        let mut picture =
            Picture { shape, highlighted: None, path: &[], line: "", suggested: None };
        change(&mut picture);
        let mut record = Record { preferred, ..Record::default() };
        paint(&picture, &mut record);
        record
    }

    #[test]
    fn everything_comes_twice_and_the_shadow_first() {
        let record = painted(
            |picture| {
                picture.path = &[[0.0, 0.0], [10.0, 0.0], [20.0, 5.0]];
                picture.line = "Step 3 of 4";
            },
            None,
        );
        let half = record.figures.len() / 2;
        let (shadows, colours) = record.figures.split_at(half);
        for ((dark, figure, points), (light, same_figure, same_points)) in
            shadows.iter().zip(colours)
        {
            assert_eq!(figure, same_figure);
            assert_eq!(*dark, SHADOW);
            assert_eq!(light.0[..3], GREY.0[..3]);
            for (point, same) in points.iter().zip(same_points) {
                assert_eq!([point[0] - same[0], point[1] - same[1]], SHADOW_AT);
            }
        }
        let count = |wanted| colours.iter().filter(|(_, figure, _)| *figure == wanted).count();
        // The outline; the path; the bar and the cross; four handles and the knob.
        assert_eq!(
            [Figure::Loop, Figure::Strip, Figure::Lines, Figure::Polygon].map(count),
            [1, 1, 2, 5]
        );
        let texts: Vec<_> = record.texts.iter().map(|(_, at, text)| (*at, &**text)).collect();
        assert_eq!(texts, [([9.0, 7.0], "Step 3 of 4"), ([8.0, 8.0], "Step 3 of 4")]);
    }

    #[test]
    fn the_outline_is_the_one_sigma_contour() {
        let record = painted(|_| {}, None);
        let (_, _, outline) =
            record.figures.iter().rfind(|(_, figure, _)| *figure == Figure::Loop).unwrap();
        // 0.6 × 1 heights of 960 in the middle of 1664 × 960: half axes of 288 and 480.
        for [x, y] in outline {
            let (u, v) = ((x - 832.0) / 288.0, (y - 480.0) / 480.0);
            assert!((u * u + v * v - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_hand_is_on_one_part_only() {
        let handle = Part::Handle(End::ALL[1]);
        let record = painted(|picture| picture.highlighted = Some(handle), None);
        let bright: Vec<_> =
            record.figures.iter().filter(|(colour, ..)| *colour == HIGHLIGHT).collect();
        assert_eq!(bright.len(), 1);
        assert_eq!(bright[0].2[0], [828.5, 956.5]);
    }

    #[test]
    fn the_colour_is_suggested_or_preferred_or_grey() {
        let last = |record: Record| record.figures.last().unwrap().0;
        assert_eq!(last(painted(|_| {}, None)), GREY);
        assert_eq!(last(painted(|_| {}, Some(YELLOW))), YELLOW);
        let suggest = |picture: &mut Picture<'_>| picture.suggested = Some(HIGHLIGHT);
        assert_eq!(last(painted(suggest, Some(YELLOW))), HIGHLIGHT);
    }

    #[test]
    fn words_stay_on_one_line() {
        assert_eq!(shortened("one\ntwo"), "one");
        assert_eq!(shortened(&"ä".repeat(300)), format!("{}...", "ä".repeat(120)));
        assert!(painted(|picture| picture.line = "", None).texts.is_empty());
    }
}
