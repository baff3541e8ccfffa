//! Text for where the host draws none: a bitmap font as rectangles.

#![forbid(unsafe_code)]

use std::convert::Infallible;

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_7X13;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};

/// A run of pixels of a letter in one row: left, bottom, right, top, in pixels from where the text
/// begins on its base line, y up.
pub(super) type PixelRun = [i32; 4];

/// The pixels of a line of text. A letter that the font lacks is a question mark.
pub(super) fn text_pixels(text: &str) -> Vec<PixelRun> {
    let mut rows = PixelRuns(Vec::new());
    let style = MonoTextStyle::new(&FONT_7X13, BinaryColor::On);
    let line = Text::with_baseline(text, Point::zero(), style, Baseline::Alphabetic);
    match line.draw(&mut rows) {
        Ok(_) => {}
        Err(never) => match never {},
    }
    rows.0
}

/// Joins pixels that follow one another.
struct PixelRuns(Vec<PixelRun>);

impl DrawTarget for PixelRuns {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<BinaryColor>>,
    {
        for Pixel(Point { x, y }, _) in pixels.into_iter().filter(|Pixel(_, pixel)| pixel.is_on()) {
            // Rows count downwards from the base line, which row 0 stands on.
            match self.0.last_mut() {
                Some([_, bottom, right, _]) if *bottom == -y && *right == x => *right += 1,
                _ => self.0.push([x, -y, x + 1, 1 - y]),
            }
        }
        Ok(())
    }
}

impl OriginDimensions for PixelRuns {
    /// As large as can be, so that nothing is cut off.
    fn size(&self) -> Size {
        Size::new(u32::MAX, u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::text_pixels;

    #[test]
    fn letters_stand_on_the_base_line() {
        // An E: an upright and three bars, nothing below the line; a g goes below.
        let letter = text_pixels("E");
        assert_eq!(letter.iter().map(|run| run[1]).min(), Some(0));
        let bars = letter.iter().filter(|[left, _, right, _]| right - left >= 4).count();
        assert_eq!(bars, 3);
        assert!(text_pixels("g").iter().any(|run| run[1] < 0));
    }

    #[test]
    fn text_goes_to_the_right() {
        let [one, two] = ["E", "EE"].map(|text| {
            let runs = text_pixels(text);
            (runs.len(), runs.iter().map(|run| run[2]).max().unwrap())
        });
        assert_eq!(two, (2 * one.0, one.1 + 7));
        assert!(text_pixels("").is_empty());
        assert_eq!(text_pixels("漢"), text_pixels("?"));
        assert_ne!(text_pixels("é"), text_pixels("?"));
    }
}
