//! Chinese words of the second edition, which leave out and vary what the English ones do.

use super::phrases::{any, chinese_color, chinese_places, word};
use super::{Kind, Motion, Scene, Size};
use crate::data::rng::DataRng;

/// One subject or two, where they are and what they do. A brief one may leave the place out.
pub(super) fn subject(scene: &Scene, brief: bool, choice: &mut DataRng) -> String {
    let first = noun(scene, choice);
    let named = match &scene.companion {
        None => first,
        Some(second) => format!("{first}和{}", noun(second, choice)),
    };
    format!("{named}{}", motion(scene, brief, choice))
}

fn noun(scene: &Scene, choice: &mut DataRng) -> String {
    let (measure, like, name) = named(scene, choice);
    let medium = match scene.size {
        _ if scene.hand_sized => "手掌大小",
        Size::Medium => any(["中等大小", ""], choice),
        Size::Small | Size::Large => "",
    };
    let counted = matches!(measure, "个" | "颗" | "块");
    // What can be counted has its size before the name, what cannot before its measure.
    let (lump, size) = match scene.size {
        _ if scene.hand_sized => ("", ""),
        Size::Small if counted => ("", "小"),
        Size::Large if counted => ("", "大"),
        Size::Small => ("小", ""),
        Size::Large => ("大", ""),
        Size::Medium => ("", ""),
    };
    let said: Vec<&str> = [medium, like].into_iter().filter(|word| !word.is_empty()).collect();
    let of = if said.is_empty() { "" } else { "的" };
    format!("一{lump}{measure}{}{of}{}{size}{name}", said.join("、"), chinese_color(scene.color))
}

/// Of what has a surface, what it lets through; unsaid, nothing.
fn surface(scene: &Scene, choice: &mut DataRng) -> &'static str {
    if scene.translucent {
        return any(["半透明", "半透明", "透光"], choice);
    }
    if choice.chance(0.2) { any(["不透明", "实心"], choice) } else { "" }
}

/// What it is counted by, what it is like, and its name.
fn named(scene: &Scene, choice: &mut DataRng) -> (&'static str, &'static str, &'static str) {
    match scene.kind {
        Kind::Ball => ("个", surface(scene, choice), word("球", &["圆球", "球体"], choice)),
        Kind::Ring => ("个", surface(scene, choice), word("圆环", &["圆圈"], choice)),
        Kind::Star => ("颗", surface(scene, choice), word("星星", &["五角星"], choice)),
        Kind::Bubble => {
            let like = any(["", "边缘如玻璃", "闪亮"], choice);
            ("个", like, word("泡泡", &["气泡", "肥皂泡"], choice))
        }
        Kind::Smoke => {
            let like = if scene.translucent {
                any(["稀薄", "稀薄", "淡淡"], choice)
            } else {
                any(["", "", "浓密", "浓厚"], choice)
            };
            ("团", like, word("烟雾", &["烟", "烟气"], choice))
        }
        Kind::Flame => {
            let like = any(["", "", "明亮", "内焰明亮"], choice);
            ("团", like, word("火焰", &["火", "火苗"], choice))
        }
        Kind::Sparks => {
            let like = any(["", "发光", "明亮", "闪耀"], choice);
            ("团", like, word("火花", &["火星"], choice))
        }
        Kind::Veil => ("块", any(["", "轻薄", "轻盈"], choice), word("纱巾", &["薄纱"], choice)),
        Kind::Glass => {
            ("颗", any(["", "通透"], choice), word("玻璃珠", &["玻璃球", "玻璃弹珠"], choice))
        }
        Kind::Tuft => {
            let like = any(["", "柔软", "纤细", "细密"], choice);
            ("簇", like, word("毛发", &["绒毛", "羽毛"], choice))
        }
    }
}

/// What becomes of it and where. What moves or changes is always said to.
fn motion(scene: &Scene, brief: bool, choice: &mut DataRng) -> String {
    let [place, height, side] = chinese_places(scene.center);
    if scene.motion == Motion::Still {
        return match choice.below(10) {
            0..4 => stays(scene, &place),
            7..10 if brief => String::new(),
            _ => format!("在{place}"),
        };
    }
    let (place, does) = match scene.motion {
        Motion::Right => (height, word("从左向右移动", &["从左边移到右边"], choice)),
        Motion::Left => (height, word("从右向左移动", &["从右边移到左边"], choice)),
        Motion::Up => (side, word("上升", &["向上移动"], choice)),
        Motion::Down => (side, word("下降", &["向下移动", "下落"], choice)),
        Motion::Arc => (place, "沿弧线从左向右飞过"),
        Motion::Circle => (place, word("绕圈", &["转圈"], choice)),
        Motion::Grow => (place, word("逐渐变大", &["慢慢变大"], choice)),
        Motion::Shrink => (place, word("逐渐变小", &["慢慢变小"], choice)),
        Motion::Still => (place, "静止"),
    };
    if choice.chance(0.75) { format!("在{place}{does}") } else { does.to_owned() }
}

fn stays(scene: &Scene, place: &str) -> String {
    match scene.kind {
        _ if scene.companion.is_some() => format!("静止在{place}"),
        Kind::Smoke | Kind::Veil | Kind::Bubble => format!("飘浮在{place}"),
        Kind::Flame => format!("在{place}燃烧"),
        _ => format!("静止在{place}"),
    }
}
