//! How the overlay looks.
//!
//! Everything is drawn twice: a dark shadow one pixel off, then the color, so that it can be seen
//! on any picture. Sizes are pixels of the screen, at every zoom.

#![forbid(unsafe_code)]

use std::f64::consts::TAU;

use super::shape::{AxisEnd, EllipsePart, EllipseShape};
use super::view::View;
use crate::surface::{Color, Figure, OverlayCanvas, Point};

const SHADOW: Color = Color([0.0, 0.0, 0.0, 0.7]);
const SHADOW_OFFSET: [f64; 2] = [1.0, -1.0];

/// The color where neither host nor interact says which one overlays have.
const GRAY: Color = Color([0.8, 0.8, 0.8, 1.0]);

/// The color of the part that the pen is on, or drags.
const HIGHLIGHT: Color = Color([0.25, 1.0, 0.35, 1.0]);

/// The part of their coverage that path and falloff have, which are only looked at.
const PATH_COVERAGE: f32 = 0.5;

/// Where the falloff of the mask is drawn, in σ: 0.14 of its middle is left there.
const FALLOFF: f64 = 2.0;

/// Half the width of a key on the path.
const HALF_KEY: f64 = 3.0;

const LINE_WIDTH: f32 = 1.5;
const HALF_HANDLE: f64 = 3.5;
const HALF_CROSS: f64 = 9.0;
const KNOB_RADIUS: f64 = 4.5;
const KNOB_CORNERS: usize = 16;

/// Where text begins: pixels from the lower left corner of the take, inwards.
const TEXT_AT: [f64; 2] = [8.0, 8.0];

/// The most characters of text; more are for the panel.
const TEXT_LENGTH: usize = 120;

/// Everything that the overlay shows.
pub(crate) struct OverlayContent<'a> {
    pub(crate) shape: EllipseShape<'a>,
    pub(crate) highlighted: Option<EllipsePart>,
    /// The center over time, on the canvas; empty where it stands still.
    pub(crate) path: &'a [Point],
    /// Where it has keys, on the canvas.
    pub(crate) keys: &'a [Point],
    /// The corners of the image that the take begins with, on the canvas.
    pub(crate) image: Option<[Point; 4]>,
    /// One line about the take; may be empty.
    pub(crate) status_text: &'a str,
    /// The color that the host suggests for this interact.
    pub(crate) suggested_color: Option<Color>,
}

/// Something that has a color of its own.
#[derive(Clone, Copy)]
enum Element {
    EllipsePart(EllipsePart),
    /// Path and falloff, which are only looked at.
    Shown,
    /// The outline of the image that the take begins with, which is only looked at.
    Image,
    Text,
}

/// Draws all of the overlay, with its shadow.
pub(crate) fn paint(content: &OverlayContent<'_>, canvas: &mut impl OverlayCanvas) {
    let color = content.suggested_color.or_else(|| canvas.preferred_color()).unwrap_or(GRAY);
    let Color([red, green, blue, alpha]) = color;
    canvas.set_line_width(LINE_WIDTH);
    paint_pass(content, canvas, SHADOW_OFFSET, |_| SHADOW);
    paint_pass(content, canvas, [0.0, 0.0], |element| match element {
        Element::EllipsePart(part) if content.highlighted == Some(part) => HIGHLIGHT,
        Element::EllipsePart(_) | Element::Text => color,
        Element::Shown | Element::Image => Color([red, green, blue, alpha * PATH_COVERAGE]),
    });
}

/// Once through everything, all of it moved by some pixels.
fn paint_pass(
    content: &OverlayContent<'_>,
    canvas: &mut impl OverlayCanvas,
    moved: [f64; 2],
    color: impl Fn(Element) -> Color,
) {
    let OverlayContent { shape, path, keys, image, status_text, .. } = content;
    let view = shape.view;
    let mut draw = |element, figure, points: Vec<Point>| {
        let points: Vec<Point> = points.into_iter().map(|at| view.moved(at, moved)).collect();
        canvas.set_color(color(element));
        canvas.draw_figure(figure, &points);
    };
    if let Some(corners) = image {
        draw(Element::Image, Figure::Loop, corners.to_vec());
    }
    // Dashes: every other side of the contour.
    draw(Element::Shown, Figure::Lines, shape.contour(FALLOFF).collect());
    if path.len() > 1 {
        draw(Element::Shown, Figure::Strip, path.to_vec());
    }
    for key in *keys {
        draw(Element::Shown, Figure::Polygon, diamond(view, *key));
    }
    draw(Element::EllipsePart(EllipsePart::Ring), Figure::Loop, shape.outline().collect());
    let [foot, knob] = shape.bar();
    draw(Element::EllipsePart(EllipsePart::Rotation), Figure::Lines, vec![foot, knob]);
    draw(Element::EllipsePart(EllipsePart::Rotation), Figure::Polygon, round(view, knob));
    for end in AxisEnd::ALL {
        draw(
            Element::EllipsePart(EllipsePart::Handle(end)),
            Figure::Polygon,
            square(view, shape.end(end)),
        );
    }
    draw(Element::EllipsePart(EllipsePart::Center), Figure::Lines, cross(view, shape.center()));
    if !status_text.is_empty() {
        let region = view.region();
        let at = view.moved(view.moved([region.left, region.bottom], TEXT_AT), moved);
        canvas.set_color(color(Element::Text));
        canvas.draw_text(at, &shortened(status_text));
    }
}

fn square(view: &View, at: Point) -> Vec<Point> {
    let corners = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]];
    corners.map(|corner| view.moved(at, corner.map(|side| side * HALF_HANDLE))).to_vec()
}

fn diamond(view: &View, at: Point) -> Vec<Point> {
    let corners = [[-HALF_KEY, 0.0], [0.0, -HALF_KEY], [HALF_KEY, 0.0], [0.0, HALF_KEY]];
    corners.map(|corner| view.moved(at, corner)).to_vec()
}

fn cross(view: &View, at: Point) -> Vec<Point> {
    let ends = [[-HALF_CROSS, 0.0], [HALF_CROSS, 0.0], [0.0, -HALF_CROSS], [0.0, HALF_CROSS]];
    ends.map(|end| view.moved(at, end)).to_vec()
}

fn round(view: &View, at: Point) -> Vec<Point> {
    let corner = |corner: usize| {
        let (sin, cos) = (corner as f64 / KNOB_CORNERS as f64 * TAU).sin_cos();
        view.moved(at, [cos * KNOB_RADIUS, sin * KNOB_RADIUS])
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
    use super::super::shape::tests::view_at_double_size;
    use super::*;
    use wan_alpha_take::ellipse::Ellipse;

    const YELLOW: Color = Color([1.0, 1.0, 0.0, 1.0]);

    /// What was drawn, in order, each with its color.
    #[derive(Default)]
    struct RecordingCanvas {
        preferred: Option<Color>,
        figures: Vec<(Color, Figure, Vec<Point>)>,
        texts: Vec<(Color, Point, String)>,
        widths: Vec<f32>,
        color: Option<Color>,
    }

    impl OverlayCanvas for RecordingCanvas {
        fn preferred_color(&self) -> Option<Color> {
            self.preferred
        }

        fn set_color(&mut self, color: Color) {
            self.color = Some(color);
        }

        fn set_line_width(&mut self, pixels: f32) {
            self.widths.push(pixels);
        }

        fn draw_figure(&mut self, figure: Figure, points: &[Point]) {
            self.figures.push((self.color.unwrap(), figure, points.to_vec()));
        }

        fn draw_text(&mut self, at: Point, text: &str) {
            self.texts.push((self.color.unwrap(), at, text.to_owned()));
        }
    }

    fn painted(
        change: impl FnOnce(&mut OverlayContent<'_>),
        preferred: Option<Color>,
    ) -> RecordingCanvas {
        let (view, ellipse) = (view_at_double_size(), Ellipse::default());
        let shape = EllipseShape { view: &view, ellipse: &ellipse };
        let mut content = OverlayContent {
            shape,
            highlighted: None,
            path: &[],
            keys: &[],
            image: None,
            status_text: "",
            suggested_color: None,
        };
        change(&mut content);
        let mut canvas = RecordingCanvas { preferred, ..RecordingCanvas::default() };
        paint(&content, &mut canvas);
        canvas
    }

    #[test]
    fn everything_comes_twice_and_the_shadow_first() {
        let canvas = painted(
            |content| {
                content.path = &[[0.0, 0.0], [10.0, 0.0], [20.0, 5.0]];
                content.keys = &[[0.0, 0.0], [20.0, 5.0]];
                content.status_text = "Step 3 of 4";
            },
            None,
        );
        let half = canvas.figures.len() / 2;
        let (shadows, colors) = canvas.figures.split_at(half);
        for ((dark, figure, points), (light, same_figure, same_points)) in
            shadows.iter().zip(colors)
        {
            assert_eq!(figure, same_figure);
            assert_eq!(*dark, SHADOW);
            assert_eq!(light.0[..3], GRAY.0[..3]);
            for (point, same) in points.iter().zip(same_points) {
                let off = [0, 1].map(|axis| point[axis] - same[axis] - SHADOW_OFFSET[axis]);
                assert!(off.iter().all(|off| off.abs() < 1e-9), "{off:?}");
            }
        }
        let count = |wanted| colors.iter().filter(|(_, figure, _)| *figure == wanted).count();
        // The outline; the path; falloff, bar and cross; two keys, four handles and the knob.
        assert_eq!(
            [Figure::Loop, Figure::Strip, Figure::Lines, Figure::Polygon].map(count),
            [1, 1, 3, 7]
        );
        let texts: Vec<_> = canvas.texts.iter().map(|(_, at, text)| (*at, &**text)).collect();
        assert_eq!(texts, [([9.0, 7.0], "Step 3 of 4"), ([8.0, 8.0], "Step 3 of 4")]);
    }

    #[test]
    fn the_image_is_outlined_under_the_ellipse() {
        let corners = [[0.0, 0.0], [100.0, 0.0], [100.0, 50.0], [0.0, 50.0]];
        let canvas = painted(|content| content.image = Some(corners), None);
        let (color, figure, points) = &canvas.figures[canvas.figures.len() / 2];
        assert_eq!((*figure, &points[..]), (Figure::Loop, &corners[..]));
        assert_eq!(color.0[3], PATH_COVERAGE);
    }

    #[test]
    fn the_outline_is_the_one_sigma_contour() {
        let canvas = painted(|_| {}, None);
        let (_, _, outline) =
            canvas.figures.iter().rfind(|(_, figure, _)| *figure == Figure::Loop).unwrap();
        // 0.6 × 1 heights of 960 in the middle of 1664 × 960: half axes of 288 and 480.
        for [x, y] in outline {
            let (u, v) = ((x - 832.0) / 288.0, (y - 480.0) / 480.0);
            assert!((u * u + v * v - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_falloff_is_dashed_at_two_sigma_in_half_the_color() {
        let canvas = painted(|_| {}, None);
        let half = canvas.figures.len() / 2;
        let (color, figure, dashes) = &canvas.figures[half];
        assert_eq!((*figure, color.0[3], dashes.len() % 2), (Figure::Lines, 0.5, 0));
        for [x, y] in dashes {
            let (u, v) = ((x - 832.0) / 576.0, (y - 480.0) / 960.0);
            assert!((u * u + v * v - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn one_part_only_is_highlighted() {
        let handle = EllipsePart::Handle(AxisEnd::ALL[1]);
        let canvas = painted(|content| content.highlighted = Some(handle), None);
        let bright: Vec<_> =
            canvas.figures.iter().filter(|(color, ..)| *color == HIGHLIGHT).collect();
        assert_eq!(bright.len(), 1);
        assert_eq!(bright[0].2[0], [828.5, 956.5]);
    }

    #[test]
    fn the_color_is_suggested_or_preferred_or_gray() {
        let last = |canvas: RecordingCanvas| canvas.figures.last().unwrap().0;
        assert_eq!(last(painted(|_| {}, None)), GRAY);
        assert_eq!(last(painted(|_| {}, Some(YELLOW))), YELLOW);
        let suggest = |content: &mut OverlayContent<'_>| content.suggested_color = Some(HIGHLIGHT);
        assert_eq!(last(painted(suggest, Some(YELLOW))), HIGHLIGHT);
    }

    #[test]
    fn words_stay_on_one_line() {
        assert_eq!(shortened("one\ntwo"), "one");
        assert_eq!(shortened(&"ä".repeat(300)), format!("{}...", "ä".repeat(120)));
        assert!(painted(|content| content.status_text = "", None).texts.is_empty());
    }
}
