//! Where a picture goes: rows of bytes that the host reads afterwards.

#![forbid(unsafe_code)]

/// Pixels of the host, y up; the upper bounds are not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Left.
    pub x1: i32,
    /// Bottom.
    pub y1: i32,
    /// Right.
    pub x2: i32,
    /// Top.
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

    /// Pixels; none where it is empty.
    #[must_use]
    pub fn width(self) -> usize {
        usize::try_from(i64::from(self.x2) - i64::from(self.x1)).unwrap_or(0)
    }

    /// Pixels; none where it is empty.
    #[must_use]
    pub fn height(self) -> usize {
        usize::try_from(i64::from(self.y2) - i64::from(self.y1)).unwrap_or(0)
    }
}

/// What a channel is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// White is 255.
    Byte,
    /// White is 65535.
    Short,
    /// 16 bits.
    Half,
    /// 32 bits.
    Float,
}

impl Depth {
    /// Of one RGBA pixel.
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
pub trait Canvas {
    /// All that may be written, and all that has to be.
    fn window(&self) -> Window;

    /// Of every channel.
    fn depth(&self) -> Depth;

    /// The window's part of a row, from left to right; empty outside the window.
    fn row(&mut self, y: i32) -> &mut [u8];
}
