//! What is drawn on: the pixels of an image, and the overlay over a viewer.
//!
//! This lies below the host and below everything that draws: the host implements both traits, and
//! whatever draws knows the traits alone.

#![forbid(unsafe_code)]

/// A rectangle of pixels of the host, y up; the upper bounds are not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first column that is part of it.
    pub x1: i32,
    /// The lowest row that is part of it.
    pub y1: i32,
    /// The first column to the right of it.
    pub x2: i32,
    /// The first row above it.
    pub y2: i32,
}

impl Window {
    /// What both have; empty where they have nothing in common.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let (x1, y1) = (self.x1.max(other.x1), self.y1.max(other.y1));
        let (x2, y2) = (self.x2.min(other.x2), self.y2.min(other.y2));
        Self { x1, y1, x2: x2.max(x1), y2: y2.max(y1) }
    }

    /// Pixels from left to right; none where it is empty.
    #[must_use]
    pub fn width(self) -> usize {
        usize::try_from(i64::from(self.x2) - i64::from(self.x1)).unwrap_or(0)
    }

    /// Pixels from bottom to top; none where it is empty.
    #[must_use]
    pub fn height(self) -> usize {
        usize::try_from(i64::from(self.y2) - i64::from(self.y1)).unwrap_or(0)
    }
}

/// The number format of a channel of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Unsigned integers of 8 bits; white is 255.
    Byte,
    /// Unsigned integers of 16 bits; white is 65535.
    Short,
    /// Floating-point numbers of 16 bits; white is 1.
    Half,
    /// Floating-point numbers of 32 bits; white is 1.
    Float,
}

impl Depth {
    /// How many bytes one RGBA pixel takes.
    #[must_use]
    pub const fn pixel_bytes(self) -> usize {
        match self {
            Self::Byte => 4,
            Self::Short | Self::Half => 8,
            Self::Float => 16,
        }
    }
}

/// An RGBA image's rows within the window that is to be written.
pub trait PixelCanvas {
    /// All that may be written, and all that has to be.
    fn window(&self) -> Window;

    /// The number format of every channel.
    fn depth(&self) -> Depth;

    /// The window's part of a row, from left to right; empty outside the window.
    fn row(&mut self, y: i32) -> &mut [u8];
}

/// How a picture of the host carries its alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipAlpha {
    /// It has none, whatever its memory holds: it is opaque.
    Opaque,
    /// Colors are multiplied by it.
    Premultiplied,
    /// Colors are as they are.
    Straight,
}

/// An RGBA image of the host that is only read.
pub trait PixelSource: std::fmt::Debug {
    /// The number format of every channel.
    fn depth(&self) -> Depth;

    /// The column of the first pixel of a row, and its bytes from left to right; empty where there is
    /// no such row.
    fn row(&self, y: i32) -> (i32, &[u8]);
}

/// x and y of a point in a viewer, in canonical coordinates unless a text says otherwise.
pub(crate) type Point = [f64; 2];

/// Red, green, blue and how much they cover.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Color(pub(crate) [f32; 4]);

/// How points make a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Each pair of points is a line of its own.
    Lines,
    /// One line through all points.
    Strip,
    /// One line through all points and back to the first.
    Loop,
    /// A filled polygon, which must be convex.
    Polygon,
}

/// An overlay to draw on, for the length of one draw action. Points are canonical coordinates.
///
/// A refusal is no error: the rest of an overlay is drawn all the same.
pub(crate) trait OverlayCanvas {
    /// The color that the host has for overlays, where it says.
    fn preferred_color(&self) -> Option<Color>;

    /// Sets the color of everything that is drawn from now on.
    fn set_color(&mut self, color: Color);

    /// Sets the width of the lines that are drawn from now on, in pixels of the screen.
    fn set_line_width(&mut self, pixels: f32);

    /// Draws a figure through points.
    fn draw_figure(&mut self, figure: Figure, points: &[Point]);

    /// Writes one line of text that begins at a point, on its base line.
    fn draw_text(&mut self, at: Point, text: &str);
}
