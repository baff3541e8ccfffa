//! One pass over the window, each pixel written once.
//!
//! Color := 0 where alpha is 0, transfer, premultiply, resample, clamp alpha, unpremultiply where
//! straight was asked for, the view, the annotation on top, quantize.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::abort_check::{AbortCheck, Aborted};
use super::annotation::AnnotationLayer;
use super::backdrop::Backdrop;
use super::content::{FrameContent, OutputFormat};
use super::frame_fit::FrameFit;
use super::quantize::{CHUNK, write};
use super::resample::Resampler;
use super::source::{AlphaMode, Pixel, Source, read};
use super::viewed::ViewLayer;
use crate::surface::{Depth, PixelCanvas, Window};

/// Whether a picture was drawn to its end.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// Every pixel of the window is written.
    Whole,
    /// The host aborted; what is in the window is of no use.
    Aborted,
}

/// Draws a frame's content into the whole of a canvas' window, asking `keep_going` every fraction of
/// a millisecond.
pub fn draw(
    canvas: &mut dyn PixelCanvas,
    content: &FrameContent<'_>,
    format: OutputFormat,
    keep_going: &dyn Fn() -> bool,
) -> Drawn {
    match draw_rows(canvas, content, format, &mut AbortCheck::new(keep_going)) {
        Ok(()) => Drawn::Whole,
        Err(Aborted) => Drawn::Aborted,
    }
}

fn draw_rows(
    canvas: &mut dyn PixelCanvas,
    content: &FrameContent<'_>,
    format: OutputFormat,
    abort_check: &mut AbortCheck<'_>,
) -> Result<(), Aborted> {
    let (window, depth) = (canvas.window(), canvas.depth());
    let mut layers = Layers {
        take: content.take.and_then(|source| TakeLayer::new(source, content, format, window)),
        view: ViewLayer::new(content, format),
        backdrop: content.backdrop,
        straight: format.straight,
        annotation: content
            .annotation
            .as_ref()
            .and_then(|annotation| AnnotationLayer::new(annotation, content, format)),
    };
    let mut scratch = [[0.0; 4]; CHUNK];
    for y in rows_in_order(window, layers.take.as_ref()) {
        abort_check.tick(window.width())?;
        layers.go_to(y, abort_check)?;
        let mut x = window.x1;
        for bytes in canvas.row(y).chunks_mut(CHUNK * depth.pixel_bytes()) {
            let count = bytes.len() / depth.pixel_bytes();
            // Floats are made where they stay, which spares memory half of the work.
            if depth == Depth::Float
                && let Ok(pixels) = bytemuck::try_cast_slice_mut(bytes)
            {
                if !layers.fill(y, x, pixels) {
                    pixels.fill([0.0; 4]);
                }
            } else if let Some(pixels) = scratch.get_mut(..count) {
                match layers.fill(y, x, pixels) {
                    true => write(pixels, depth, bytes),
                    false => bytes.fill(0),
                }
            }
            x = x.saturating_add_unsigned(CHUNK as u32);
        }
    }
    Ok(())
}

/// The rows of a window, upwards as they lie in the host's memory; but those of a take that is only copied
/// as they lie in its own: read backwards it takes twice as long.
fn rows_in_order(
    window: Window,
    take: Option<&TakeLayer<'_>>,
) -> impl Iterator<Item = i32> + use<> {
    let copied = take.filter(|take| take.resampler.is_none()).map(|take| take.rows.clone());
    let Range { start, end } = copied.unwrap_or(window.y1..window.y1);
    (window.y1..start).chain((start..end).rev()).chain(end..window.y2)
}

/// What is to be seen within the window.
struct Layers<'a> {
    take: Option<TakeLayer<'a>>,
    view: Option<ViewLayer>,
    backdrop: Option<Backdrop<'a>>,
    straight: bool,
    annotation: Option<AnnotationLayer>,
}

impl Layers<'_> {
    /// Makes an output row the current one.
    fn go_to(&mut self, y: i32, abort_check: &mut AbortCheck<'_>) -> Result<(), Aborted> {
        match &mut self.take {
            Some(take) => take.go_to(y, abort_check),
            None => Ok(()),
        }
    }

    /// Fills part of the current row, from column `x` on; false where there is nothing to be seen.
    fn fill(&self, y: i32, x: i32, pixels: &mut [Pixel]) -> bool {
        let mut shows_take = self.take.as_ref().is_some_and(|take| take.fill(y, x, pixels));
        if let Some(view) = &self.view {
            if !shows_take {
                pixels.fill([0.0; 4]);
            }
            view.change(y, x, pixels);
            shows_take = true;
        }
        if let Some(backdrop) = &self.backdrop {
            if !shows_take {
                pixels.fill([0.0; 4]);
            }
            backdrop.lay_under(y, x, pixels, self.straight);
            shows_take = true;
        }
        let annotation = self.annotation.as_ref().filter(|annotation| annotation.touches(y));
        let Some(annotation) = annotation else {
            return shows_take;
        };
        if !shows_take {
            pixels.fill([0.0; 4]);
        }
        annotation.draw_over(y, x, pixels);
        true
    }
}

/// A take's frame within the window.
struct TakeLayer<'a> {
    columns: Range<i32>,
    rows: Range<i32>,
    source: Source<'a>,
    placement: FrameFit,
    format: OutputFormat,
    /// None where every output pixel is one of the take.
    resampler: Option<Resampler<'a>>,
}

impl<'a> TakeLayer<'a> {
    /// `None` where the window shows nothing of the take.
    fn new(
        source: Source<'a>,
        content: &FrameContent<'_>,
        format: OutputFormat,
        window: Window,
    ) -> Option<Self> {
        let placement = FrameFit::new(&content.output_frame, content.fit, source.placed_size())?;
        let placement = placement.of_pixels(source.size())?;
        let within =
            |covered: Range<i32>, from: i32, to: i32| covered.start.max(from)..covered.end.min(to);
        let columns = within(placement.columns.covered(), window.x1, window.x2);
        let rows = within(placement.rows.covered(), window.y1, window.y2);
        if columns.is_empty() || rows.is_empty() {
            return None;
        }
        let resampler = (!placement.is_pixel_for_pixel())
            .then(|| Resampler::new(source, &placement, format.transfer, columns.clone()));
        Some(Self { columns, rows, source, placement, format, resampler })
    }

    fn go_to(&mut self, y: i32, abort_check: &mut AbortCheck<'_>) -> Result<(), Aborted> {
        match &mut self.resampler {
            Some(resampler) if self.rows.contains(&y) => resampler.go_to(y, abort_check),
            _ => Ok(()),
        }
    }

    /// Fills part of a row, from column `x` on; false where it shows nothing of the take.
    fn fill(&self, y: i32, x: i32, pixels: &mut [Pixel]) -> bool {
        let place = |column: i32| {
            usize::try_from(i64::from(column) - i64::from(x)).unwrap_or(0).min(pixels.len())
        };
        let (begin, end) = (place(self.columns.start), place(self.columns.end));
        if begin >= end || !self.rows.contains(&y) {
            return false;
        }
        let (before, rest) = pixels.split_at_mut(begin);
        let (covered, behind) = rest.split_at_mut(end - begin);
        before.fill([0.0; 4]);
        behind.fill([0.0; 4]);
        let from = x.max(self.columns.start);
        match &self.resampler {
            Some(resampler) => {
                resampler.fill(from, covered);
                if self.format.straight {
                    covered.iter_mut().for_each(unpremultiply);
                }
            }
            None => self.copy_pixels(y, from, covered),
        }
        true
    }

    /// Straight colors are not premultiplied on the way: they stay what they are.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the middle of a pixel that shows the take lies in the take"
    )]
    fn copy_pixels(&self, y: i32, x: i32, pixels: &mut [Pixel]) {
        let row = self.source.row(self.placement.rows.position(y) as usize);
        let column = self.placement.columns.position(x) as usize;
        let from = row.get(column..column + pixels.len()).unwrap_or_default();
        let alpha =
            if self.format.straight { AlphaMode::Straight } else { AlphaMode::Premultiplied };
        read(from, self.format.transfer, alpha, pixels);
    }
}

fn unpremultiply(pixel: &mut Pixel) {
    let [r, g, b, alpha] = *pixel;
    *pixel = if alpha > 0.0 { [r / alpha, g / alpha, b / alpha, alpha] } else { [0.0; 4] };
}
