//! Words that captions of all editions are made of: places, colors, and the choice between words.

use super::Color;
use crate::data::rng::DataRng;

/// How often another word stands for the usual one.
const SYNONYMS: f64 = 0.1;

/// The usual word, or now and then another for the same thing.
pub(super) fn word(
    usual: &'static str,
    others: &[&'static str],
    choice: &mut DataRng,
) -> &'static str {
    if !choice.chance(SYNONYMS) {
        return usual;
    }
    others.get(choice.below(others.len())).copied().unwrap_or(usual)
}

/// One of some words, each as often as another.
pub(super) fn any<const N: usize>(of: [&'static str; N], choice: &mut DataRng) -> &'static str {
    choice.pick(&of)
}

/// Where in the frame a center is: as a place, by its height and by its side.
pub(super) fn english_places([x, y]: [f64; 2]) -> [String; 3] {
    let place = match (third(x), third(y)) {
        (1, 1) => "in the middle of the frame".to_owned(),
        (1, row) => format!("at the {} of the frame", ["bottom", "", "top"][row]),
        (column, 1) => format!("on the {} of the frame", ["left", "", "right"][column]),
        (column, row) => format!(
            "in the {} {} of the frame",
            ["lower", "", "upper"][row],
            ["left", "", "right"][column]
        ),
    };
    let height = ["in the lower part", "at mid-height", "in the upper part"][third(y)];
    let side = ["on the left", "in the middle", "on the right"][third(x)];
    [place, format!("{height} of the frame"), format!("{side} of the frame")]
}

/// What a color is called in Chinese.
pub(super) const fn chinese_color(color: Color) -> &'static str {
    match color {
        Color::Red => "红色",
        Color::Orange => "橙色",
        Color::Yellow => "黄色",
        Color::Green => "绿色",
        Color::Cyan => "青色",
        Color::Blue => "蓝色",
        Color::Purple => "紫色",
        Color::Pink => "粉色",
        Color::White => "白色",
    }
}

/// As [`english_places`], in Chinese.
pub(super) fn chinese_places([x, y]: [f64; 2]) -> [String; 3] {
    let place = match (third(x), third(y)) {
        (1, 1) => "画面中央".to_owned(),
        (1, row) => format!("画面{}", ["下方", "", "上方"][row]),
        (column, 1) => format!("画面{}", ["左侧", "", "右侧"][column]),
        (column, row) => {
            format!("画面{}{}", ["左", "", "右"][column], ["下方", "", "上方"][row])
        }
    };
    let height = ["画面下部", "画面中部", "画面上部"][third(y)];
    let side = ["画面左侧", "画面中间", "画面右侧"][third(x)];
    [place, height.to_owned(), side.to_owned()]
}

/// Which third of the frame.
fn third(at: f64) -> usize {
    usize::from(at > 0.4) + usize::from(at > 0.6)
}
