//! What the overlay is drawn on, whichever way the host has drawing done.

#![forbid(unsafe_code)]

use super::view::Point;

/// Red, green, blue and how much they cover.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Colour(pub(crate) [f32; 4]);

/// How points make a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Each pair is a line.
    Lines,
    /// One line through all.
    Strip,
    /// The same, closed.
    Loop,
    /// Filled; convex.
    Polygon,
}

/// Somewhere to draw, for the length of one draw action. Points are canonical coordinates.
///
/// A refusal is no error: the rest of an overlay is drawn all the same.
pub(crate) trait Canvas {
    /// The colour that the host has for overlays, where it says.
    fn preferred(&self) -> Option<Colour>;
    /// Of everything from now on.
    fn colour(&mut self, colour: Colour);
    /// Of lines from now on, in pixels of the screen.
    fn line_width(&mut self, pixels: f32);
    /// Draws a figure.
    fn draw(&mut self, figure: Figure, points: &[Point]);
    /// Writes one line of text that begins at a point, on its base line.
    fn write(&mut self, at: Point, text: &str);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What was drawn, in order, each with its colour.
    #[derive(Default)]
    pub(crate) struct Record {
        pub(crate) preferred: Option<Colour>,
        pub(crate) figures: Vec<(Colour, Figure, Vec<Point>)>,
        pub(crate) texts: Vec<(Colour, Point, String)>,
        pub(crate) widths: Vec<f32>,
        pub(crate) colour: Option<Colour>,
    }

    impl Canvas for Record {
        fn preferred(&self) -> Option<Colour> {
            self.preferred
        }

        fn colour(&mut self, colour: Colour) {
            self.colour = Some(colour);
        }

        fn line_width(&mut self, pixels: f32) {
            self.widths.push(pixels);
        }

        fn draw(&mut self, figure: Figure, points: &[Point]) {
            self.figures.push((self.colour.unwrap(), figure, points.to_vec()));
        }

        fn write(&mut self, at: Point, text: &str) {
            self.texts.push((self.colour.unwrap(), at, text.to_owned()));
        }
    }
}
