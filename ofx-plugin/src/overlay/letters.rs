//! Letters for where the host has none: a bitmap font as rectangles.

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

/// A run of a letter's dots in one row: left, bottom, right, top, in dots from where the text
/// begins on its base line, y up.
pub(crate) type Dots = [i32; 4];

/// The dots of a line of text. A letter that the font lacks is a question mark.
pub(crate) fn dots(text: &str) -> Vec<Dots> {
    let mut rows = Rows(Vec::new());
    let style = MonoTextStyle::new(&FONT_7X13, BinaryColor::On);
    let line = Text::with_baseline(text, Point::zero(), style, Baseline::Alphabetic);
    match line.draw(&mut rows) {
        Ok(_) => {}
        Err(never) => match never {},
    }
    rows.0
}

/// Joins dots that follow one another.
struct Rows(Vec<Dots>);

impl DrawTarget for Rows {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<BinaryColor>>,
    {
        for Pixel(Point { x, y }, _) in pixels.into_iter().filter(|Pixel(_, dot)| dot.is_on()) {
            // Rows count downwards from the base line, which row 0 stands on.
            match self.0.last_mut() {
                Some([_, bottom, right, _]) if *bottom == -y && *right == x => *right += 1,
                _ => self.0.push([x, -y, x + 1, 1 - y]),
            }
        }
        Ok(())
    }
}

impl OriginDimensions for Rows {
    /// Nothing is cut off.
    fn size(&self) -> Size {
        Size::new(u32::MAX, u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::dots;

    #[test]
    fn letters_stand_on_the_base_line() {
        // An E: an upright and three bars, nothing below the line; a g goes below.
        let letter = dots("E");
        assert_eq!(letter.iter().map(|dots| dots[1]).min(), Some(0));
        let bars = letter.iter().filter(|[left, _, right, _]| right - left >= 4).count();
        assert_eq!(bars, 3);
        assert!(dots("g").iter().any(|dots| dots[1] < 0));
    }

    #[test]
    fn text_goes_to_the_right() {
        let [one, two] = ["E", "EE"].map(|text| {
            let dots = dots(text);
            (dots.len(), dots.iter().map(|dots| dots[2]).max().unwrap())
        });
        assert_eq!(two, (2 * one.0, one.1 + 7));
        assert!(dots("").is_empty());
        assert_eq!(dots("漢"), dots("?"));
        assert_ne!(dots("é"), dots("?"));
    }
}
