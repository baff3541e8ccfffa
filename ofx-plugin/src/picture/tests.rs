//! The picture as a host finds it afterwards.

mod annotations;
mod color;
mod geometry;
mod tiles;
mod views;

use half::f16;

use super::*;

/// An image of which only a window may be written.
struct Image {
    bytes: Vec<u8>,
    bounds: Window,
    window: Window,
    depth: Depth,
}

/// What pixels hold before anything is drawn.
const UNWRITTEN: u8 = 0xA5;

impl Image {
    fn new(bounds: Window, window: Window, depth: Depth) -> Self {
        let bytes = vec![UNWRITTEN; bounds.width() * bounds.height() * depth.pixel_bytes()];
        Self { bytes, bounds, window, depth }
    }

    /// All of the pixels, from 0, 0.
    fn of_size(width: i32, height: i32) -> Self {
        let all = Window { x1: 0, y1: 0, x2: width, y2: height };
        Self::new(all, all, Depth::Float)
    }

    fn place(&self, x: i32, y: i32) -> usize {
        let up = (y - self.bounds.y1) as usize * self.bounds.width();
        (up + (x - self.bounds.x1) as usize) * self.depth.pixel_bytes()
    }

    /// As numbers of 0 to 1, whatever the depth.
    fn pixel(&self, x: i32, y: i32) -> [f32; 4] {
        let bytes = &self.bytes[self.place(x, y)..][..self.depth.pixel_bytes()];
        let [two, four] = [2, 4].map(|size| bytes.chunks_exact(size));
        let halves = two.map(|value| u16::from_ne_bytes([value[0], value[1]]));
        let values: Vec<f32> = match self.depth {
            Depth::Byte => bytes.iter().map(|value| f32::from(*value) / 255.0).collect(),
            Depth::Short => halves.map(|value| f32::from(value) / 65535.0).collect(),
            Depth::Half => halves.map(|value| f16::from_bits(value).to_f32()).collect(),
            Depth::Float => four
                .map(|value| f32::from_ne_bytes([value[0], value[1], value[2], value[3]]))
                .collect(),
        };
        values.try_into().unwrap()
    }

    fn pixels(&self) -> impl Iterator<Item = [f32; 4]> + '_ {
        let Window { x1, y1, x2, y2 } = self.window;
        (y1..y2).flat_map(move |y| (x1..x2).map(move |x| self.pixel(x, y)))
    }
}

impl PixelCanvas for Image {
    fn window(&self) -> Window {
        self.window
    }

    fn depth(&self) -> Depth {
        self.depth
    }

    fn row(&mut self, y: i32) -> &mut [u8] {
        let (from, to) = (self.place(self.window.x1, y), self.place(self.window.x2, y));
        &mut self.bytes[from..to]
    }
}

const PREMULTIPLIED: OutputFormat =
    OutputFormat { transfer: Transfer::AsGenerated, straight: false };
const STRAIGHT: OutputFormat = OutputFormat { transfer: Transfer::AsGenerated, straight: true };
const LINEAR: OutputFormat = OutputFormat { transfer: Transfer::LinearRec709, straight: false };

/// A frame in memory.
struct Picture {
    values: Vec<f16>,
    size: [u32; 2],
}

impl Picture {
    /// Colors of a pixel by its column and row, row 0 on top.
    fn new(size: [u32; 2], pixel: impl Fn(u32, u32) -> [f32; 4]) -> Self {
        let rows = (0..size[1]).flat_map(|y| (0..size[0]).map(move |x| (x, y)));
        let values = rows.flat_map(|(x, y)| pixel(x, y).map(f16::from_f32)).collect();
        Self { values, size }
    }

    fn source(&self) -> Source<'_> {
        Source::new(&self.values, self.size).unwrap()
    }

    fn pixel(&self, x: u32, y: u32) -> [f32; 4] {
        let at = (y * self.size[0] + x) as usize * 4;
        [0, 1, 2, 3].map(|channel| self.values[at + channel].to_f32())
    }

    /// Drawn whole into an image of a size.
    fn drawn(&self, [width, height]: [i32; 2], fit: Fit, format: OutputFormat) -> Image {
        let mut image = Image::of_size(width, height);
        let content = content(output_frame(width, height), fit, Some(self.source()));
        assert_eq!(draw(&mut image, &content, format, &|| true), Drawn::Whole);
        image
    }
}

fn output_frame(width: i32, height: i32) -> OutputFrame {
    let region = [0.0, 0.0, width.into(), height.into()];
    OutputFrame { region, pixel_aspect: 1.0, scale: [1.0, 1.0] }
}

fn content(output_frame: OutputFrame, fit: Fit, take: Option<Source<'_>>) -> FrameContent<'_> {
    FrameContent { output_frame, fit, take, view: View::Rgba, backdrop: None, annotation: None }
}

/// Nothing repeats in it.
fn noise(x: u32, y: u32) -> [f32; 4] {
    let mut state = (x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663)) | 1;
    [0; 4].map(|_: i32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32
    })
}
