//! English words of the second edition: what is left out is the ordinary (opaque, of middling size,
//! standing still), and a tenth of the words are others for the same thing.

use super::phrases::{any, english_places, word};
use super::{Kind, Motion, Scene, Size};
use crate::data::rng::DataRng;

/// One subject or two, where they are and what they do. A brief one may leave the place out.
pub(super) fn subject(scene: &Scene, brief: bool, choice: &mut DataRng) -> String {
    let first = noun(scene, choice);
    let (named, many) = match &scene.companion {
        None => (first, false),
        Some(second) => (format!("{first} and {}", noun(second, choice)), true),
    };
    joined(&[&named, &motion(scene, many, brief, choice)])
}

/// Words with spaces between, without those that are empty.
fn joined(words: &[&str]) -> String {
    let said: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    said.join(" ")
}

fn noun(scene: &Scene, choice: &mut DataRng) -> String {
    let size = size(scene, choice);
    let [head, like, name, tail] = named(scene, choice);
    let words = joined(&[size, head, like, scene.color.name(), name, tail]);
    let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {words}")
}

/// Unsaid, it is medium.
fn size(scene: &Scene, choice: &mut DataRng) -> &'static str {
    match scene.size {
        _ if scene.hand_sized => "hand-sized",
        Size::Small => word("small", &["little"], choice),
        Size::Medium => any(["medium-sized", ""], choice),
        Size::Large => word("large", &["big"], choice),
    }
}

/// Of what has a surface, what it lets through; unsaid, nothing.
fn surface(scene: &Scene, choice: &mut DataRng) -> &'static str {
    if scene.translucent {
        return any(["translucent", "translucent", "see-through", "half-transparent"], choice);
    }
    if choice.chance(0.2) { any(["opaque", "solid"], choice) } else { "" }
}

/// What comes before the color, between size and color, the name, and what comes behind.
fn named(scene: &Scene, choice: &mut DataRng) -> [&'static str; 4] {
    match scene.kind {
        Kind::Ball => ["", surface(scene, choice), word("ball", &["sphere", "orb"], choice), ""],
        Kind::Ring => ["", surface(scene, choice), word("ring", &["hoop"], choice), ""],
        Kind::Star => {
            ["", surface(scene, choice), word("star", &["five-pointed star"], choice), ""]
        }
        Kind::Bubble => {
            let like = any(["", "", "shiny"], choice);
            ["", like, word("bubble", &["soap bubble"], choice), any(["", GLASSY], choice)]
        }
        Kind::Smoke => {
            let like = if scene.translucent {
                any(["thin", "thin", "wispy", "faint"], choice)
            } else {
                any(["", "", "dense", "thick"], choice)
            };
            [word("cloud of", &["puff of", "plume of"], choice), like, "smoke", ""]
        }
        Kind::Flame => {
            let like = any(["", "", "bright", "blazing"], choice);
            let tail = if like.is_empty() { any(["", CORE], choice) } else { "" };
            ["", like, word("flame", &["fire", "blaze"], choice), tail]
        }
        Kind::Sparks => {
            let like = any(["", "glowing", "bright", "shining"], choice);
            let head = word("burst of", &["shower of", "spray of"], choice);
            [head, like, word("sparks", &["embers"], choice), ""]
        }
        Kind::Veil => {
            ["", any(["", "sheer", "light"], choice), word("veil", &["scarf"], choice), ""]
        }
        Kind::Glass => {
            let name = word("glass marble", &["glass sphere", "glass bead"], choice);
            ["", any(["", "clear"], choice), name, ""]
        }
        Kind::Tuft => {
            let like = any(["", "soft", "fine", "thin"], choice);
            match word("tuft of", &["wisp of", "feather"], choice) {
                "feather" => ["", like, "feather", ""],
                head => [head, like, "hair", ""],
            }
        }
    }
}

const GLASSY: &str = "with a glassy rim";
const CORE: &str = "with a bright core";

/// What becomes of it and where. What moves or changes is always said to.
fn motion(scene: &Scene, many: bool, brief: bool, choice: &mut DataRng) -> String {
    let [place, height, side] = english_places(scene.center);
    if scene.motion == Motion::Still {
        return match choice.below(10) {
            0..4 => joined(&[stays(scene.kind, many), &place]),
            7..10 if brief => String::new(),
            _ => place,
        };
    }
    let (one, several, place) = match scene.motion {
        Motion::Right | Motion::Left => {
            let (one, several) = match word("moves", &["glides"], choice) {
                "moves" => ("moves", "move"),
                _ => ("glides", "glide"),
            };
            let way = match scene.motion {
                Motion::Right => "from left to right",
                _ => "from right to left",
            };
            let verb = if many { several } else { one };
            return joined(&[verb, way, said(&height, choice)]);
        }
        Motion::Up => match word("rises", &["moves up"], choice) {
            "rises" => ("rises", "rise", side),
            _ => ("moves up", "move up", side),
        },
        Motion::Down => match word("sinks", &["falls", "moves down"], choice) {
            "sinks" => ("sinks", "sink", side),
            "falls" => ("falls", "fall", side),
            _ => ("moves down", "move down", side),
        },
        Motion::Arc => {
            ("flies from left to right in an arc", "fly from left to right in an arc", place)
        }
        Motion::Circle => match word("circles", &["goes round"], choice) {
            "circles" => ("circles", "circle", place),
            _ => ("goes round in a circle", "go round in a circle", place),
        },
        Motion::Grow => match word("grows", &["gets larger"], choice) {
            "grows" => ("grows", "grow", place),
            _ => ("gets larger", "get larger", place),
        },
        Motion::Shrink => match word("shrinks", &["gets smaller"], choice) {
            "shrinks" => ("shrinks", "shrink", place),
            _ => ("gets smaller", "get smaller", place),
        },
        Motion::Still => ("stays", "stay", place),
    };
    joined(&[if many { several } else { one }, said(&place, choice)])
}

/// A place, which three captions in four name.
fn said<'a>(place: &'a str, choice: &mut DataRng) -> &'a str {
    if choice.chance(0.75) { place } else { "" }
}

const fn stays(kind: Kind, many: bool) -> &'static str {
    match kind {
        _ if many => "stay",
        Kind::Smoke | Kind::Veil => "hangs",
        Kind::Flame => "burns",
        Kind::Bubble => "floats",
        _ => "stays",
    }
}
