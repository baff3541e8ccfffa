//! What a scene is called, in English and Chinese, in the manner of the released captions: that the
//! background is transparent, the style, the shot, the subject. The words of the second edition are
//! in `english_phrases` and `chinese_phrases`.

use super::phrases::{chinese_color, chinese_places, english_places};
use super::{Edition, Kind, Motion, Scene, Size, chinese_phrases, english_phrases};
use crate::data::rng::DataRng;

/// A language that the text encoder reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

pub(super) fn caption(scene: &Scene, language: Language) -> String {
    let opening = match language {
        Language::English => [
            "The background of this video is transparent.",
            "This video has a transparent background.",
        ],
        Language::Chinese => ["该视频的背景是透明的。", "视频背景为透明。"],
    }[(scene.phrasing & 1) as usize];
    let (style, shot) = (style(scene, language), shot(scene.size, language));
    let subject = match scene.edition {
        Edition::First => first_edition(scene, language),
        Edition::Second => second_edition(scene, language, false),
    };
    match language {
        Language::English => {
            let mut subject = subject;
            // Its first letter is ASCII.
            if let Some(first) = subject.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            format!("{opening} {style}, {shot}. {subject}.")
        }
        Language::Chinese => format!("{opening}{style}，{shot}。{subject}。"),
    }
}

/// The subject alone.
pub(super) fn short_caption(scene: &Scene, language: Language) -> String {
    match scene.edition {
        Edition::First => first_edition(scene, language),
        Edition::Second => second_edition(scene, language, true),
    }
}

/// The subject in words that vary from scene to scene, and from the long caption to the short one.
fn second_edition(scene: &Scene, language: Language, brief: bool) -> String {
    let purpose = match (language, brief) {
        (Language::English, false) => "English caption",
        (Language::English, true) => "short English caption",
        (Language::Chinese, false) => "Chinese caption",
        (Language::Chinese, true) => "short Chinese caption",
    };
    let mut choice = DataRng::new(scene.phrasing, purpose, &[]);
    match language {
        Language::English => english_phrases::subject(scene, brief, &mut choice),
        Language::Chinese => chinese_phrases::subject(scene, brief, &mut choice),
    }
}

/// The subject: what it is like, where it is, what it does.
fn first_edition(scene: &Scene, language: Language) -> String {
    match language {
        Language::English => {
            let noun = english_noun(scene);
            format!("a {noun} {}", english_motion(scene))
        }
        Language::Chinese => format!("{}{}", chinese_noun(scene), chinese_motion(scene)),
    }
}

const fn style(scene: &Scene, language: Language) -> &'static str {
    match (scene.kind, scene.cartoon, language) {
        (_, true, Language::English) => "3D cartoon style",
        (_, true, Language::Chinese) => "3D卡通风格",
        (Kind::Smoke | Kind::Flame | Kind::Sparks, _, Language::English) => "Special effects style",
        (Kind::Smoke | Kind::Flame | Kind::Sparks, _, Language::Chinese) => "特效风格",
        (_, _, Language::English) => "Realistic style",
        (_, _, Language::Chinese) => "写实风格",
    }
}

const fn shot(size: Size, language: Language) -> &'static str {
    match (size, language) {
        (Size::Small, Language::English) => "full shot",
        (Size::Medium, Language::English) => "medium shot",
        (Size::Large, Language::English) => "close-up",
        (Size::Small, Language::Chinese) => "全景",
        (Size::Medium, Language::Chinese) => "中景",
        (Size::Large, Language::Chinese) => "近景",
    }
}

fn english_noun(scene: &Scene) -> String {
    let (size, color) = (scene.size.name(), scene.color.name());
    let size = if scene.size == Size::Medium { "medium-sized" } else { size };
    let glass = if scene.translucent { "translucent" } else { "opaque" };
    match scene.kind {
        Kind::Ball | Kind::Ring | Kind::Star => {
            format!("{size} {glass} {color} {}", scene.kind.name())
        }
        Kind::Bubble => format!("{size} {color} bubble with a glassy rim"),
        Kind::Smoke if scene.translucent => format!("{size} cloud of thin {color} smoke"),
        Kind::Smoke => format!("{size} cloud of dense {color} smoke"),
        Kind::Flame => format!("{size} {color} flame with a bright core"),
        Kind::Sparks => format!("{size} burst of glowing {color} sparks"),
        Kind::Veil => format!("{size} sheer {color} veil"),
        Kind::Glass => format!("{size} clear {color} glass marble"),
        Kind::Tuft => format!("{size} tuft of thin {color} hair"),
    }
}

fn english_motion(scene: &Scene) -> String {
    let [place, height, side] = english_places(scene.center);
    match scene.motion {
        Motion::Still => match scene.kind {
            Kind::Smoke | Kind::Veil => format!("hangs {place}"),
            Kind::Flame => format!("burns {place}"),
            Kind::Bubble => format!("floats {place}"),
            _ => format!("stays {place}"),
        },
        Motion::Right => format!("moves from left to right {height}"),
        Motion::Left => format!("moves from right to left {height}"),
        Motion::Up => format!("rises {side}"),
        Motion::Down => format!("sinks {side}"),
        Motion::Arc => format!("flies from left to right in an arc {place}"),
        Motion::Circle => format!("circles {place}"),
        Motion::Grow => format!("grows {place}"),
        Motion::Shrink => format!("shrinks {place}"),
    }
}

fn chinese_noun(scene: &Scene) -> String {
    // Medium is said before the rest, as no noun takes it.
    let (medium, size) = match scene.size {
        Size::Small => ("", "小"),
        Size::Medium => ("中等大小、", ""),
        Size::Large => ("", "大"),
    };
    let color = chinese_color(scene.color);
    let glass = if scene.translucent { "半透明" } else { "不透明" };
    match scene.kind {
        Kind::Ball => format!("一个{medium}{glass}的{color}{size}球"),
        Kind::Ring => format!("一个{medium}{glass}的{color}{size}圆环"),
        Kind::Star => format!("一颗{medium}{glass}的{color}{size}星星"),
        Kind::Bubble => format!("一个{medium}边缘如玻璃的{color}{size}泡泡"),
        Kind::Smoke if scene.translucent => format!("一{}稀薄的{color}烟雾", lump(scene.size)),
        Kind::Smoke => format!("一{}浓密的{color}烟雾", lump(scene.size)),
        Kind::Flame => format!("一{}内焰明亮的{color}火焰", lump(scene.size)),
        Kind::Sparks => format!("一{}发光的{color}火花", lump(scene.size)),
        Kind::Veil => format!("一块{medium}轻薄的{color}{size}纱巾"),
        Kind::Glass => format!("一颗{medium}通透的{color}{size}玻璃珠"),
        Kind::Tuft => format!("一{}纤细的{color}绒毛", lump(scene.size)),
    }
}

/// How much of something that cannot be counted.
const fn lump(size: Size) -> &'static str {
    match size {
        Size::Small => "小团",
        Size::Medium => "团",
        Size::Large => "大团",
    }
}

fn chinese_motion(scene: &Scene) -> String {
    let [place, height, side] = chinese_places(scene.center);
    match scene.motion {
        Motion::Still => match scene.kind {
            Kind::Smoke | Kind::Veil | Kind::Bubble => format!("飘浮在{place}"),
            Kind::Flame => format!("在{place}燃烧"),
            _ => format!("静止在{place}"),
        },
        Motion::Right => format!("在{height}从左向右移动"),
        Motion::Left => format!("在{height}从右向左移动"),
        Motion::Up => format!("在{side}上升"),
        Motion::Down => format!("在{side}下降"),
        Motion::Arc => format!("在{place}沿弧线从左向右飞过"),
        Motion::Circle => format!("在{place}绕圈"),
        Motion::Grow => format!("在{place}逐渐变大"),
        Motion::Shrink => format!("在{place}逐渐变小"),
    }
}
