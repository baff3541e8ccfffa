//! Words set in the largest size in which they fit.

#![forbid(unsafe_code)]

use noto_sans_mono_bitmap::FontWeight;

use super::text::{Line, Size, cut, folded, wrapped};

/// Characters in a line: more are hard to read.
const LONGEST: usize = 56;

/// What words are set for.
pub(super) struct Sheet {
    /// Lines of text that would fill the stage's height, or three quarters of its width where that
    /// is less: the words of a portrait must not be as large as its height allows.
    pub(super) lines_per_stage: f64,
    /// Parts of the stage's width and height that the panel may take.
    pub(super) most: [f64; 2],
    pub(super) most_lines: usize,
}

/// Words set in one size.
#[derive(Debug, Default)]
pub(super) struct Setting {
    pub(super) lines: Vec<SetLine>,
    /// From the words to the panel's edge.
    pub(super) padding: i32,
    /// Width of the coloured bar at the left.
    pub(super) bar: i32,
    height: i32,
    /// Nothing had to be cut.
    is_whole: bool,
}

#[derive(Debug)]
pub(super) struct SetLine {
    pub(super) line: Line,
    pub(super) is_head: bool,
    /// How far below the first line's upper edge its own is.
    pub(super) down: i32,
}

impl Setting {
    /// The first of the words is the headline.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "stages are bounded, and `as` saturates"
    )]
    pub(super) fn new(words: &[&str], sheet: &Sheet, [width, height]: [f64; 2]) -> Self {
        let words: Vec<String> = words.iter().map(|words| folded(words)).collect();
        let measure = measure([width, height]);
        let mut setting = Self::default();
        for size in Size::up_to(measure / sheet.lines_per_stage) {
            let padding = (f64::from(size.height()) * 0.625).min(measure / 16.0).round();
            let bar = (size.height() / 5).max(2);
            let fitting = |most: f64, taken: f64, unit: i32| {
                ((most - taken) / f64::from(unit)).floor().max(0.0) as usize
            };
            let [across, down] = [width * sheet.most[0], height * sheet.most[1]];
            let characters = fitting(across, 2.0 * padding + f64::from(bar), size.width());
            let lines = fitting(down, 2.0 * padding, size.height()).min(sheet.most_lines);
            setting = Self { padding: padding as i32, bar, ..Self::default() };
            setting.set(&words, size, characters.min(LONGEST), lines);
            if setting.is_whole {
                break;
            }
        }
        setting
    }

    fn set(&mut self, words: &[String], size: Size, characters: usize, most_lines: usize) {
        let broken = words.iter().enumerate().flat_map(|(at, words)| {
            wrapped(words, characters).into_iter().map(move |line| (line, at == 0))
        });
        let mut lines: Vec<(String, bool)> = broken.collect();
        let fits = |word: &str| word.chars().count() <= characters;
        self.is_whole = lines.len() <= most_lines
            && words.iter().all(|words| words.split_whitespace().all(fits));
        if lines.len() > most_lines {
            lines.truncate(if characters > 0 { most_lines } else { 0 });
            if let Some((last, _)) = lines.last_mut() {
                cut(last, characters);
            }
        }
        for (line, is_head) in lines {
            // The headline stands apart.
            if !is_head && self.lines.last().is_some_and(|above| above.is_head) {
                self.height += size.height() / 4;
            }
            let weight = if is_head { FontWeight::Bold } else { FontWeight::Regular };
            let line = Line::new(&line, size, weight);
            self.lines.push(SetLine { line, is_head, down: self.height });
            self.height += size.height();
        }
    }

    /// Width and height with all that belongs to it.
    pub(super) fn outer(&self) -> [i32; 2] {
        let widest = self.lines.iter().map(|set| set.line.width()).max().unwrap_or(0);
        [widest + 2 * self.padding + self.bar, self.height + 2 * self.padding]
    }
}

/// What sizes follow from.
pub(super) fn measure([width, height]: [f64; 2]) -> f64 {
    height.min(width * 0.75)
}
