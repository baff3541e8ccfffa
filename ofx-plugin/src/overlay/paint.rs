//! How the overlay looks.
//!
//! Everything is drawn twice: dark and a pixel larger on all sides, then in its color, so that it can be
//! seen on any picture, one of that color among them. Sizes are pixels of the screen, at every zoom.

#![forbid(unsafe_code)]

use std::f64::consts::{SQRT_2, TAU};

use super::shape::{AxisEnd, EllipsePart, EllipseShape};
use super::view::View;
use crate::surface::{Color, Figure, OverlayCanvas, Point};

/// What everything lies on.
const RIM: Color = Color([0.0, 0.0, 0.0, 0.7]);

/// How far the rim reaches beyond what it lies under.
const RIM_WIDTH: f64 = 1.0;

/// How far the dark text lies off, which cannot be larger.
const TEXT_OFFSET: [f64; 2] = [1.0, -1.0];

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
/// The same with a rim on both sides.
const RIM_LINE_WIDTH: f32 = 3.5;
const HALF_HANDLE: f64 = 3.5;
const HALF_CROSS: f64 = 9.0;
const KNOB_RADIUS: f64 = 4.5;
const KNOB_CORNERS: usize = 16;

/// Where the base line of text begins: pixels from the upper left corner of the take, inwards. The badge of
/// a take before is in the lower left one, and words of the picture in the middle.
const TEXT_AT: [f64; 2] = [8.0, -18.0];

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
    /// The upper left corner of what is seen of the take, on the canvas.
    pub(crate) text_corner: Point,
    /// The color that the host suggests for this interact.
    pub(crate) suggested_color: Option<Color>,
}

/// Something that has a color of its own.
#[derive(Clone, Copy)]
enum Element {
    EllipsePart(EllipsePart),
    /// Path and falloff, which are only looked at.
    Shown,
    /// A key on the path.
    Key,
    /// The outline of the image that the take begins with, which is only looked at.
    Image,
    Text,
}

/// Draws all of the overlay, with its rim.
pub(crate) fn paint(content: &OverlayContent<'_>, canvas: &mut impl OverlayCanvas) {
    let color = content.suggested_color.or_else(|| canvas.preferred_color()).unwrap_or(GRAY);
    let shown = |Color([red, green, blue, alpha])| Color([red, green, blue, alpha * PATH_COVERAGE]);
    canvas.set_line_width(RIM_LINE_WIDTH);
    paint_pass(content, canvas, RIM_WIDTH, |element| match element {
        Element::Shown | Element::Image => shown(RIM),
        Element::EllipsePart(_) | Element::Key | Element::Text => RIM,
    });
    canvas.set_line_width(LINE_WIDTH);
    paint_pass(content, canvas, 0.0, |element| match element {
        Element::EllipsePart(part) if content.highlighted == Some(part) => HIGHLIGHT,
        Element::EllipsePart(_) | Element::Key | Element::Text => color,
        Element::Shown | Element::Image => shown(color),
    });
}

/// Once through everything, all that has an area larger by a rim on all sides.
fn paint_pass(
    content: &OverlayContent<'_>,
    canvas: &mut impl OverlayCanvas,
    rim: f64,
    color: impl Fn(Element) -> Color,
) {
    let OverlayContent { shape, path, keys, image, status_text, text_corner, .. } = content;
    let view = shape.view;
    let mut draw = |element, figure, points: Vec<Point>| {
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
        draw(Element::Key, Figure::Polygon, diamond(view, *key, HALF_KEY + rim * SQRT_2));
    }
    draw(Element::EllipsePart(EllipsePart::Ring), Figure::Loop, shape.outline().collect());
    let [foot, knob] = shape.bar();
    draw(Element::EllipsePart(EllipsePart::Rotation), Figure::Lines, vec![foot, knob]);
    draw(
        Element::EllipsePart(EllipsePart::Rotation),
        Figure::Polygon,
        round(view, knob, KNOB_RADIUS + rim),
    );
    for end in AxisEnd::ALL {
        draw(
            Element::EllipsePart(EllipsePart::Handle(end)),
            Figure::Polygon,
            square(view, shape.end(end), HALF_HANDLE + rim),
        );
    }
    let center = cross(view, shape.center(), HALF_CROSS + rim);
    draw(Element::EllipsePart(EllipsePart::Center), Figure::Lines, center);
    if !status_text.is_empty() {
        let at = view.moved(*text_corner, TEXT_AT);
        let at = if rim > 0.0 { view.moved(at, TEXT_OFFSET) } else { at };
        canvas.set_color(color(Element::Text));
        canvas.draw_text(at, &shortened(status_text));
    }
}

fn square(view: &View, at: Point, half: f64) -> Vec<Point> {
    let corners = [[-half, -half], [half, -half], [half, half], [-half, half]];
    corners.map(|corner| view.moved(at, corner)).to_vec()
}

fn diamond(view: &View, at: Point, half: f64) -> Vec<Point> {
    let corners = [[-half, 0.0], [0.0, -half], [half, 0.0], [0.0, half]];
    corners.map(|corner| view.moved(at, corner)).to_vec()
}

fn cross(view: &View, at: Point, half: f64) -> Vec<Point> {
    let ends = [[-half, 0.0], [half, 0.0], [0.0, -half], [0.0, half]];
    ends.map(|end| view.moved(at, end)).to_vec()
}

fn round(view: &View, at: Point, radius: f64) -> Vec<Point> {
    let corner = |corner: usize| {
        let (sin, cos) = (corner as f64 / KNOB_CORNERS as f64 * TAU).sin_cos();
        view.moved(at, [cos * radius, sin * radius])
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
            text_corner: [0.0, 960.0],
            suggested_color: None,
        };
        change(&mut content);
        let mut canvas = RecordingCanvas { preferred, ..RecordingCanvas::default() };
        paint(&content, &mut canvas);
        canvas
    }

    #[test]
    fn everything_comes_twice_and_the_rim_first() {
        let canvas = painted(
            |content| {
                content.path = &[[0.0, 0.0], [10.0, 0.0], [20.0, 5.0]];
                content.keys = &[[0.0, 0.0], [20.0, 5.0]];
                content.status_text = "Step 3 of 4";
            },
            None,
        );
        let half = canvas.figures.len() / 2;
        let (rims, colors) = canvas.figures.split_at(half);
        for ((dark, figure, points), (light, same_figure, same_points)) in rims.iter().zip(colors) {
            assert_eq!(figure, same_figure);
            assert_eq!((dark.0[..3].to_vec(), dark.0[3] >= 0.35), (vec![0.0; 3], true));
            assert_eq!(light.0[..3], GRAY.0[..3]);
            // A line lies within a wider one, a figure within a larger one about the same middle.
            let middle = |points: &[Point]| {
                [0, 1].map(|axis| {
                    points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64
                })
            };
            let ([x, y], [u, v]) = (middle(points), middle(same_points));
            assert!((x - u).abs() < 1e-9 && (y - v).abs() < 1e-9, "{figure:?}");
            if *figure == Figure::Polygon {
                let reach = |points: &[Point]| (points[0][0] - x).hypot(points[0][1] - y);
                assert!(reach(points) >= reach(same_points) + 1.0 - 1e-9, "{figure:?}");
            }
        }
        assert_eq!(canvas.widths, [RIM_LINE_WIDTH, LINE_WIDTH]);
        let count = |wanted| colors.iter().filter(|(_, figure, _)| *figure == wanted).count();
        // The outline; the path; falloff, bar and cross; two keys, four handles and the knob.
        assert_eq!(
            [Figure::Loop, Figure::Strip, Figure::Lines, Figure::Polygon].map(count),
            [1, 1, 3, 7]
        );
        let texts: Vec<_> = canvas.texts.iter().map(|(_, at, text)| (*at, &**text)).collect();
        assert_eq!(texts, [([9.0, 941.0], "Step 3 of 4"), ([8.0, 942.0], "Step 3 of 4")]);
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
