//! Text laid out in the largest font size in which it fits.

#![forbid(unsafe_code)]

use noto_sans_mono_bitmap::FontWeight;

use super::text::{FontSize, TextLine, cut_with_dots, to_font_characters, wrapped};

/// The most characters in a line: more are hard to read.
const MOST_CHARACTERS: usize = 56;

/// How much room a text may take.
pub(super) struct LayoutLimits {
    /// Lines of text that would fill the output frame's height, or three quarters of its width where
    /// that is less: the text on a portrait must not be as large as its height allows.
    pub(super) lines_per_frame: f64,
    /// Parts of the output frame's width and height that the panel may take.
    pub(super) most: [f64; 2],
    pub(super) most_lines: usize,
}

/// Text laid out in one font size.
#[derive(Debug, Default)]
pub(super) struct TextLayout {
    pub(super) lines: Vec<LayoutLine>,
    /// Pixels from the text to the panel's edge.
    pub(super) padding: i32,
    /// Width of the colored bar at the left.
    pub(super) bar: i32,
    /// Height of all lines together.
    height: i32,
    /// Whether nothing had to be cut.
    is_whole: bool,
}

/// A line of text, and where it stands.
#[derive(Debug)]
pub(super) struct LayoutLine {
    pub(super) text: TextLine,
    pub(super) is_headline: bool,
    /// How far below the first line's upper edge its own is.
    pub(super) down: i32,
}

impl TextLayout {
    /// Lays out paragraphs, of which the first is the headline.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "output frames are bounded, and `as` saturates"
    )]
    pub(super) fn new(
        paragraphs: &[&str],
        limits: &LayoutLimits,
        [width, height]: [f64; 2],
    ) -> Self {
        let paragraphs: Vec<String> =
            paragraphs.iter().map(|text| to_font_characters(text)).collect();
        let height_of_frame = reference_height([width, height]);
        let mut layout = Self::default();
        for size in FontSize::up_to(height_of_frame / limits.lines_per_frame) {
            let padding = (f64::from(size.height()) * 0.625).min(height_of_frame / 16.0).round();
            let bar = (size.height() / 5).max(2);
            let fitting = |most: f64, taken: f64, unit: i32| {
                ((most - taken) / f64::from(unit)).floor().max(0.0) as usize
            };
            let [across, down] = [width * limits.most[0], height * limits.most[1]];
            let characters = fitting(across, 2.0 * padding + f64::from(bar), size.width());
            let lines = fitting(down, 2.0 * padding, size.height()).min(limits.most_lines);
            layout = Self { padding: padding as i32, bar, ..Self::default() };
            layout.add_lines(&paragraphs, size, characters.min(MOST_CHARACTERS), lines);
            if layout.is_whole {
                break;
            }
        }
        layout
    }

    /// Wraps paragraphs into lines of so many characters, and cuts what is beyond the last line.
    fn add_lines(
        &mut self,
        paragraphs: &[String],
        size: FontSize,
        characters: usize,
        most_lines: usize,
    ) {
        let wrapped_lines = paragraphs.iter().enumerate().flat_map(|(at, text)| {
            wrapped(text, characters).into_iter().map(move |line| (line, at == 0))
        });
        let mut lines: Vec<(String, bool)> = wrapped_lines.collect();
        let fits = |word: &str| word.chars().count() <= characters;
        self.is_whole = lines.len() <= most_lines
            && paragraphs.iter().all(|text| text.split_whitespace().all(fits));
        if lines.len() > most_lines {
            lines.truncate(if characters > 0 { most_lines } else { 0 });
            if let Some((last, _)) = lines.last_mut() {
                cut_with_dots(last, characters);
            }
        }
        for (line, is_headline) in lines {
            // The headline stands apart.
            if !is_headline && self.lines.last().is_some_and(|above| above.is_headline) {
                self.height += size.height() / 4;
            }
            let weight = if is_headline { FontWeight::Bold } else { FontWeight::Regular };
            let text = TextLine::new(&line, size, weight);
            self.lines.push(LayoutLine { text, is_headline, down: self.height });
            self.height += size.height();
        }
    }

    /// Width and height of the panel, with bar and padding.
    pub(super) fn panel_size(&self) -> [i32; 2] {
        let widest = self.lines.iter().map(|line| line.text.width()).max().unwrap_or(0);
        [widest + 2 * self.padding + self.bar, self.height + 2 * self.padding]
    }
}

/// The height that sizes follow from: that of the output frame, or three quarters of its width.
pub(super) fn reference_height([width, height]: [f64; 2]) -> f64 {
    height.min(width * 0.75)
}
