//! Text as pixels: Noto Sans Mono, rasterised beforehand, smooth at every size.

#![forbid(unsafe_code)]

use noto_sans_mono_bitmap::{
    FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width,
};

/// Line heights in pixels, beginning with the smallest that can be read: those that there are, and
/// multiples of the largest.
const SIZES: [FontSize; 8] = [
    FontSize { raster: RasterHeight::Size16, multiple: 1 },
    FontSize { raster: RasterHeight::Size20, multiple: 1 },
    FontSize { raster: RasterHeight::Size24, multiple: 1 },
    FontSize { raster: RasterHeight::Size32, multiple: 1 },
    FontSize { raster: RasterHeight::Size24, multiple: 2 },
    FontSize { raster: RasterHeight::Size32, multiple: 2 },
    FontSize { raster: RasterHeight::Size32, multiple: 3 },
    FontSize { raster: RasterHeight::Size32, multiple: 4 },
];

/// What stands at the end of a line that goes on.
const DOTS: &str = "...";

/// A height that the font is rasterised in, and how much that is enlarged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FontSize {
    raster: RasterHeight,
    multiple: i32,
}

impl FontSize {
    /// Every size not above `height`, the largest first; the smallest in any case.
    pub(super) fn up_to(height: f64) -> impl Iterator<Item = Self> {
        let fits = move |size: &Self| f64::from(size.height()) <= height;
        let most = SIZES.iter().rposition(fits).unwrap_or(0);
        SIZES.into_iter().take(most + 1).rev()
    }

    /// Height of a line in pixels.
    pub(super) fn height(self) -> i32 {
        pixels(self.raster.val()) * self.multiple
    }

    /// Width of a character in pixels.
    pub(super) fn width(self) -> i32 {
        pixels(get_raster_width(FontWeight::Regular, self.raster)) * self.multiple
    }
}

/// A number of pixels of a glyph, which is small.
fn pixels(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// One line of text in a font size.
#[derive(Debug)]
pub(super) struct TextLine {
    glyphs: Vec<RasterizedChar>,
    size: FontSize,
}

impl TextLine {
    pub(super) fn new(text: &str, size: FontSize, weight: FontWeight) -> Self {
        let glyphs = text.chars().filter_map(|char| get_raster(char, weight, size.raster));
        Self { glyphs: glyphs.collect(), size }
    }

    pub(super) fn width(&self) -> i32 {
        pixels(self.glyphs.len()) * self.size.width()
    }

    /// How much of a pixel the text covers; counted from the upper left corner of the line.
    pub(super) fn coverage(&self, x: i32, y: i32) -> f32 {
        let (width, multiple) = (self.size.width(), self.size.multiple);
        let glyph = usize::try_from(x.div_euclid(width)).ok().and_then(|at| self.glyphs.get(at));
        let Some(glyph) = glyph else { return 0.0 };
        let (x, y) = (x.rem_euclid(width), y);
        if multiple == 1 {
            return sample(glyph, x, y);
        }
        // Between the middles of the glyph's pixels, in steps of half an output pixel.
        let (x, y) = (2 * x + 1 - multiple, 2 * y + 1 - multiple);
        let (column, row) = (x.div_euclid(2 * multiple), y.div_euclid(2 * multiple));
        let part = |at: i32| at.rem_euclid(2 * multiple) as f32 / (2 * multiple) as f32;
        let (right, down) = (part(x), part(y));
        let across = |row| {
            let (left, next) = (sample(glyph, column, row), sample(glyph, column + 1, row));
            left + (next - left) * right
        };
        let (upper, lower) = (across(row), across(row + 1));
        // What enlarging has softened is sharpened about the middle.
        let sharpness = multiple as f32;
        ((upper + (lower - upper) * down - 0.5) * sharpness + 0.5).clamp(0.0, 1.0)
    }
}

fn sample(glyph: &RasterizedChar, x: i32, y: i32) -> f32 {
    let at = usize::try_from(x).ok().zip(usize::try_from(y).ok());
    let value = at.and_then(|(x, y)| glyph.pixel(x, y)).unwrap_or(0);
    f32::from(value) / 255.0
}

/// Text as the font can show it: one that it lacks becomes its like in ASCII, else a question mark.
pub(super) fn to_font_characters(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => folded.push('\n'),
            '\u{2018}' | '\u{2019}' | '\u{201A}' => folded.push('\''),
            '\u{201C}'..='\u{201E}' => folded.push('"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => folded.push('-'),
            '\u{2026}' => folded.push_str(DOTS),
            '\u{2192}' => folded.push_str("->"),
            '\u{2022}' => folded.push('\u{B7}'),
            _ if char.is_whitespace() => folded.push(' '),
            _ if char.is_control() => {}
            _ if get_raster(char, FontWeight::Regular, RasterHeight::Size16).is_some() => {
                folded.push(char);
            }
            _ => folded.push('?'),
        }
    }
    folded
}

/// Breaks text between words into lines of at most `most` characters; a longer word is broken where
/// it must be.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let most = most.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let (mut line, mut length) = (String::new(), 0);
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if length > 0 && length + 1 + word.chars().count() > most {
                lines.push(std::mem::take(&mut line));
                length = 0;
            }
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            for char in word.chars() {
                if length == most {
                    lines.push(std::mem::take(&mut line));
                    length = 0;
                }
                line.push(char);
                length += 1;
            }
        }
        if length > 0 {
            lines.push(line);
        }
    }
    lines
}

/// Says with dots that a line goes on.
pub(super) fn cut_with_dots(line: &mut String, most: usize) {
    let dots = DOTS.len().min(most);
    let kept = line.chars().take(most - dots).collect::<String>();
    *line = kept.trim_end().to_owned() + DOTS.get(..dots).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 4), ["unbr", "eaka", "ble"]);
        assert_eq!(
            wrapped("a unbreakable b", 4),
            ["a", "unbr", "eaka", "ble", "b"].map(String::from)
        );
        assert_eq!(wrapped("first\nsecond", 20), ["first", "second"]);
        assert_eq!(wrapped(" ", 3), Vec::<String>::new());
        assert_eq!(wrapped("ab", 0), ["a", "b"]);
    }

    #[test]
    fn what_the_font_lacks_becomes_its_like() {
        assert_eq!(
            to_font_characters("\u{201C}Gr\u{fc}n\u{201D} \u{2014} 832\u{d7}480\u{2026}"),
            "\"Gr\u{fc}n\" - 832\u{d7}480..."
        );
        assert_eq!(to_font_characters("\u{1F525}\tx\u{0}"), "? x");
    }

    #[test]
    fn a_cut_line_says_so() {
        for (line, most, expected) in
            [("a line", 6, "a l..."), ("a line", 3, "..."), ("ab", 1, ".")]
        {
            let mut line = line.to_owned();
            cut_with_dots(&mut line, most);
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn sizes_grow_with_the_room_and_stay_readable() {
        let height = |room| FontSize::up_to(room).next().map(FontSize::height);
        assert_eq!(height(0.0), Some(16));
        assert_eq!(height(31.9), Some(24));
        assert_eq!(height(64.0), Some(64));
        assert_eq!(height(1e9), Some(128));
        assert!(FontSize::up_to(64.0).map(FontSize::height).eq([64, 48, 32, 24, 20, 16]));
    }

    #[test]
    fn enlarged_glyphs_cover_as_much_of_their_box() {
        let share = |size: FontSize| {
            let line = TextLine::new("Rgh%", size, FontWeight::Bold);
            let places = (0..size.height()).flat_map(|y| (0..line.width()).map(move |x| (x, y)));
            let sum: f32 = places.map(|(x, y)| line.coverage(x, y)).sum();
            sum / (line.width() * size.height()) as f32
        };
        let [plain, double] =
            [1, 2].map(|multiple| share(FontSize { raster: RasterHeight::Size32, multiple }));
        assert!((plain - double).abs() < 0.02, "{plain} {double}");
        assert!(plain > 0.1);
    }
}
