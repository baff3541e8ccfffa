//! Pictures: as the plug-in fills them, and as they are looked at afterwards.

#![deny(unsafe_code)]

pub(crate) mod memory;
mod poison;
pub(crate) mod rendering;
pub(crate) mod source;

use std::fmt;
use std::sync::Arc;

use half::f16;

use crate::properties::PropertySet;
use memory::Memory;

/// How a component is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Depth {
    /// 8 bits, white is 255.
    Byte,
    /// 16 bits, white is 65535.
    Short,
    /// 16 bits of floating point.
    Half,
    /// 32 bits of floating point.
    Float,
}

impl Depth {
    /// All depths, the smallest first.
    pub const ALL: [Self; 4] = [Self::Byte, Self::Short, Self::Half, Self::Float];

    /// As OpenFX names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Byte => "OfxBitDepthByte",
            Self::Short => "OfxBitDepthShort",
            Self::Half => "OfxBitDepthHalf",
            Self::Float => "OfxBitDepthFloat",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|depth| depth.name() == name)
    }

    /// Bytes of one component.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Short | Self::Half => 2,
            Self::Float => 4,
        }
    }

    /// Bytes of one pixel of four components.
    #[must_use]
    pub fn pixel_bytes(self) -> usize {
        4 * self.bytes()
    }

    fn component(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::Byte, &[byte, ..]) => f32::from(byte) / 255.0,
            (Self::Short, &[a, b, ..]) => f32::from(u16::from_ne_bytes([a, b])) / 65535.0,
            (Self::Half, &[a, b, ..]) => f16::from_ne_bytes([a, b]).to_f32(),
            (Self::Float, &[a, b, c, d, ..]) => f32::from_ne_bytes([a, b, c, d]),
            _ => f32::NAN,
        }
    }

    /// A component as this depth stores it.
    fn stored(self, value: f32, into: &mut Vec<u8>) {
        match self {
            Self::Byte => into.push((value.clamp(0.0, 1.0) * 255.0).round() as u8),
            Self::Short => {
                let value = (value.clamp(0.0, 1.0) * 65535.0).round() as u16;
                into.extend(value.to_ne_bytes());
            }
            Self::Half => into.extend(f16::from_f32(value).to_ne_bytes()),
            Self::Float => into.extend(value.to_ne_bytes()),
        }
    }
}

/// A rectangle of whole pixels: left, bottom, right, top.
pub type Rect = [i32; 4];

pub(crate) fn width([left, _, right, _]: Rect) -> usize {
    usize::try_from(i64::from(right) - i64::from(left)).unwrap_or(0)
}

pub(crate) fn height([_, bottom, _, top]: Rect) -> usize {
    usize::try_from(i64::from(top) - i64::from(bottom)).unwrap_or(0)
}

pub(crate) fn intersection(a: Rect, b: Rect) -> Rect {
    let low = [a[0].max(b[0]), a[1].max(b[1])];
    [low[0], low[1], a[2].min(b[2]).max(low[0]), a[3].min(b[3]).max(low[1])]
}

/// A picture that the plug-in has made. Pixels are named as OpenFX does: y goes up.
#[derive(Clone, PartialEq)]
pub struct Image {
    pub(crate) bounds: Rect,
    pub(crate) depth: Depth,
    /// Rows from the bottom up, without padding.
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({:?}, {:?}, {})", self.bounds, self.depth, self.digest())
    }
}

impl Image {
    /// Left, bottom, right, top.
    #[must_use]
    pub fn bounds(&self) -> Rect {
        self.bounds
    }

    /// Pixels in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        width(self.bounds)
    }

    /// How many rows of pixels it has.
    #[must_use]
    pub fn height(&self) -> usize {
        height(self.bounds)
    }

    /// How its components are stored.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// Red, green, blue, alpha, white being 1; transparent black outside of the bounds.
    #[must_use]
    pub fn pixel(&self, x: i32, y: i32) -> [f32; 4] {
        let [left, bottom, right, top] = self.bounds;
        if !(left..right).contains(&x) || !(bottom..top).contains(&y) {
            return [0.0; 4];
        }
        let (column, row) = ((x - left) as usize, (y - bottom) as usize);
        let size = self.depth.bytes();
        let first = (row * self.width() + column) * 4 * size;
        let component =
            |n: usize| self.depth.component(self.bytes.get(first + n * size..).unwrap_or_default());
        [component(0), component(1), component(2), component(3)]
    }

    /// Every pixel, from the bottom left along rows.
    pub fn pixels(&self) -> impl Iterator<Item = [f32; 4]> + '_ {
        let size = self.depth.bytes();
        self.bytes.chunks_exact(4 * size).map(move |pixel| {
            let component = |n: usize| self.depth.component(&pixel[n * size..]);
            [component(0), component(1), component(2), component(3)]
        })
    }

    /// Rows from the bottom up, without padding, as stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Differs where any bit of the picture does.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for side in self.bounds {
            hasher.update(&side.to_le_bytes());
        }
        hasher.update(self.depth.name().as_bytes());
        hasher.update(&self.bytes);
        hasher.finalize().to_hex().to_string()
    }

    /// The greatest difference of any component between two pictures, pixel by pixel; infinite where
    /// the bounds differ.
    #[must_use]
    pub fn difference(&self, other: &Self) -> f32 {
        if self.bounds != other.bounds {
            return f32::INFINITY;
        }
        let pixels = self.pixels().zip(other.pixels());
        pixels.flat_map(|(a, b)| (0..4).map(move |n| (a[n] - b[n]).abs())).fold(0.0, f32::max)
    }

    /// The part within a window.
    #[must_use]
    pub fn crop(&self, window: Rect) -> Self {
        let window = intersection(window, self.bounds);
        let size = self.depth.pixel_bytes();
        let mut bytes = Vec::with_capacity(width(window) * height(window) * size);
        for y in window[1]..window[3] {
            let row = (y - self.bounds[1]) as usize * self.width();
            let first = (row + (window[0] - self.bounds[0]) as usize) * size;
            bytes.extend_from_slice(&self.bytes[first..first + width(window) * size]);
        }
        Self { bounds: window, depth: self.depth, bytes }
    }

    /// Puts another picture over a part of this one.
    pub(crate) fn paste(&mut self, other: &Self) {
        let part = intersection(other.bounds, self.bounds);
        let (size, own_width) = (self.depth.pixel_bytes(), self.width());
        for y in part[1]..part[3] {
            let from = ((y - other.bounds[1]) as usize * other.width()
                + (part[0] - other.bounds[0]) as usize)
                * size;
            let to = ((y - self.bounds[1]) as usize * own_width
                + (part[0] - self.bounds[0]) as usize)
                * size;
            let length = width(part) * size;
            self.bytes[to..to + length].copy_from_slice(&other.bytes[from..from + length]);
        }
    }

    pub(crate) fn blank(bounds: Rect, depth: Depth) -> Self {
        let bytes = vec![0; width(bounds) * height(bounds) * depth.pixel_bytes()];
        Self { bounds, depth, bytes }
    }
}

/// An image that the plug-in holds.
pub(crate) struct Fetched {
    pub(crate) memory: Arc<Memory>,
    /// What it looked like when it was handed out, where the plug-in may only read it.
    pub(crate) pristine: Option<Vec<u8>>,
    /// Its handle is that of the image.
    pub(crate) properties: Arc<PropertySet>,
}
