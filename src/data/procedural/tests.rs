use super::*;
use wan_alpha_take::fit::{Compressor, FitSettings};

const WINDOW: Window = Window { frames: 9, height: 96, width: 96 };

const SET: DrawnSet = DrawnSet { edition: Edition::First, seed: 5, stream: DrawnStream::Training };

fn scenes(count: u64) -> impl Iterator<Item = Scene> {
    (0..count).map(|index| Scene::draw(&SET, index))
}

/// The first scenes of a kind, drawn.
fn clips(kind: Kind, count: usize) -> Vec<DrawnClip> {
    let of_kind = scenes(4000).filter(|scene| scene.kind == kind).take(count);
    of_kind.map(|scene| DrawnClip { frames: scene.render(&WINDOW), scene }).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits_on_every_machine() {
    let mut hasher = blake3::Hasher::new();
    let window = Window { frames: 5, height: 48, width: 64 };
    for index in 0..24 {
        let clip = DrawnClip::draw(&DrawnSet { seed: 1, ..SET }, index, &window);
        assert_eq!((clip.frames.frames, clip.frames.rgba.len()), (5, 5 * 48 * 64 * 4));
        for value in &clip.frames.rgba {
            hasher.update(&value.to_bits().to_le_bytes());
        }
    }
    assert_eq!(&hasher.finalize().to_hex()[..16], "5f72ed85d19f25ac");
}

#[test]
fn streams_seeds_and_indices_do_not_meet() {
    let of = |seed, stream, index| Scene::draw(&DrawnSet { seed, stream, ..SET }, index);
    let one = of(1, DrawnStream::Training, 0);
    assert_eq!(one, of(1, DrawnStream::Training, 0));
    for other in [
        of(1, DrawnStream::HeldOut, 0),
        of(2, DrawnStream::Training, 0),
        of(1, DrawnStream::Training, 1),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn everything_occurs_everywhere() {
    let all: Vec<Scene> = scenes(2000).collect();
    let count = |has: &dyn Fn(&Scene) -> bool| all.iter().filter(|scene| has(scene)).count();
    for kind in Kind::FIRST {
        assert!(count(&|scene| scene.kind == kind) > 180, "{kind:?}");
    }
    for color in Color::ALL {
        assert!(count(&|scene| scene.color == color) > 160, "{color:?}");
    }
    for motion in Motion::ALL {
        assert!(count(&|scene| scene.motion == motion) > 100, "{motion:?}");
    }
    for size in Size::ALL {
        assert!(count(&|scene| scene.size == size) > 550, "{size:?}");
    }
    assert!(count(&|scene| scene.translucent) > 250 && count(&|scene| scene.cartoon) > 200);
    for axis in [0, 1] {
        let centers = || all.iter().map(|scene| scene.center[axis]);
        assert!(centers().fold(1.0, f64::min) < 0.21 && centers().fold(0.0, f64::max) > 0.79);
        assert!(centers().all(|at| (0.199..0.801).contains(&at)));
    }
}

#[test]
fn subjects_stay_in_the_frame() {
    for scene in scenes(2000) {
        for ellipse in scene.ellipses(&WINDOW) {
            assert_eq!(ellipse.validate(), Ok(()));
            let half = ellipse.a.max(ellipse.b) / 2.0;
            for at in [ellipse.x, ellipse.y] {
                assert!(at - half > -0.02 && at + half < 1.02, "{scene:?} {ellipse}");
            }
        }
    }
}

#[test]
fn the_known_ellipse_is_where_the_alpha_is() {
    for kind in Kind::FIRST {
        let (mut distances, mut ratios, mut empty) = (vec![], vec![], 0);
        for clip in clips(kind, 12) {
            let FitSettings { threshold, rounds } = FitSettings::RELEASED;
            let mut compressor = Compressor::new(96, 96, threshold).unwrap();
            for frame in 0..9 {
                compressor.push(&clip.frames.alpha(frame)).unwrap();
            }
            let fits = compressor.finish().unwrap().fit(rounds);
            let known = clip.scene.ellipses(&WINDOW);
            assert_eq!(fits.len(), known.len());
            for (fit, known) in fits.into_iter().zip(known) {
                let Some(fit) = fit else {
                    empty += 1;
                    continue;
                };
                let found = fit.ellipse.on_frame(12, 12);
                distances.push((found.x - known.x).hypot(found.y - known.y));
                ratios.push((found.a * found.b / (known.a * known.b)).sqrt());
            }
        }
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let worst = distances.iter().copied().fold(0.0, f64::max);
        assert!(empty <= 2, "{kind:?}: {empty} empty");
        assert!(mean(&distances) < 0.035 && worst < 0.1, "{kind:?}: {distances:?}");
        // Cells are an eighth of the frame's twelfth, and one round more is 12 %.
        assert!((0.8..1.45).contains(&mean(&ratios)), "{kind:?}: {ratios:?}");
    }
}

#[test]
fn alpha_is_what_the_kind_says() {
    for kind in Kind::FIRST {
        for clip in clips(kind, 6) {
            let alpha: Vec<f32> = clip.frames.alpha(4);
            let most = alpha.iter().copied().fold(0.0, f32::max);
            let clear = alpha.iter().filter(|value| **value == 0.0).count();
            let soft = alpha.iter().filter(|value| (0.01..0.99).contains(*value)).count();
            assert!(clear > 96 * 96 / 3, "{kind:?} {clear}");
            assert!(soft > 20, "{kind:?} {soft}");
            let thin = clip.scene.translucent || kind == Kind::Veil;
            let expected = if thin { 0.35..0.86 } else { 0.6..1.01 };
            assert!(expected.contains(&most), "{kind:?} {most}");
            assert!(clip.frames.rgba.iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }
    for clip in clips(Kind::Bubble, 6) {
        let place = clip.scene.ellipse(4.0, 9);
        let alpha = clip.frames.alpha(4);
        let at = |dx: f64| {
            let (x, y) = ((place.x + dx * place.a / 2.0) * 96.0, (1.0 - place.y) * 96.0);
            alpha[y as usize * 96 + x as usize]
        };
        assert!(at(0.0) < 0.35 && at(0.93) > at(0.0) + 0.15, "{} {}", at(0.0), at(0.93));
    }
}

/// Degrees, 0 red, 120 green.
fn hue([r, g, b]: [f64; 3]) -> f64 {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let chroma = most - least;
    let sector = if most == r {
        (g - b) / chroma
    } else if most == g {
        (b - r) / chroma + 2.0
    } else {
        (r - g) / chroma + 4.0
    };
    (sector * 60.0).rem_euclid(360.0)
}

#[test]
fn the_named_color_is_what_is_seen() {
    for kind in Kind::FIRST {
        for clip in clips(kind, 20) {
            let mut sum = [0.0; 3];
            for pixel in clip.frames.rgba.as_chunks::<4>().0 {
                for (sum, channel) in sum.iter_mut().zip(pixel) {
                    *sum += f64::from(channel * pixel[3]);
                }
            }
            let spread = sum[0].max(sum[1]).max(sum[2]) / sum[0].min(sum[1]).min(sum[2]).max(1e-9);
            if clip.scene.color == Color::White {
                assert!(spread < 1.15, "{kind:?} {spread}");
                continue;
            }
            let distance = |color: Color| {
                let apart = (hue(sum) - hue(color.rgb().map(f64::from))).abs();
                apart.min(360.0 - apart)
            };
            let colors = Color::ALL.into_iter().filter(|color| *color != Color::White);
            let nearest = colors.min_by(|a, b| distance(*a).total_cmp(&distance(*b)));
            assert_eq!(nearest, Some(clip.scene.color), "{kind:?} {sum:?}");
        }
    }
}

#[test]
fn still_things_stay_and_moving_ones_go_where_it_says() {
    let ends = |scene: &Scene| {
        let ellipses = scene.ellipses(&WINDOW);
        (ellipses[0], ellipses[2])
    };
    for scene in scenes(400) {
        let (first, last) = ends(&scene);
        let (dx, dy) = (last.x - first.x, last.y - first.y);
        let grown = last.a / first.a;
        match scene.motion {
            Motion::Still => assert!(dx == 0.0 && dy == 0.0 && grown == 1.0),
            Motion::Right => assert!(dx > 0.15 && dy == 0.0),
            Motion::Left => assert!(dx < -0.15 && dy == 0.0),
            Motion::Up => assert!(dy > 0.15 && dx == 0.0),
            Motion::Down => assert!(dy < -0.15 && dx == 0.0),
            Motion::Arc => assert!(dx > 0.15),
            Motion::Circle => assert!(dx != 0.0 || dy != 0.0),
            Motion::Grow => assert!(grown > 1.5),
            Motion::Shrink => assert!(grown < 0.7),
        }
    }
}

#[test]
fn captions_say_it_in_the_released_manner() {
    for scene in scenes(500) {
        let english = scene.caption(Language::English);
        assert!(english.is_ascii() && english.contains("transparent"), "{english}");
        assert!(english.contains(scene.color.name()) && english.contains(scene.kind.name()));
        assert!(english.ends_with('.') && !english.contains("  "), "{english}");
        let [opening, style, subject] =
            english.split_inclusive(". ").collect::<Vec<_>>().try_into().unwrap();
        assert!(opening.contains("background") && style.contains("style, "), "{english}");
        assert!(subject.starts_with("A "), "{subject}");
        let short = scene.short_caption(Language::English);
        assert!(short.len() < english.len() && short.starts_with("a "), "{short}");
        let chinese = scene.caption(Language::Chinese);
        assert!(
            chinese.contains("背景") && chinese.contains("透明的。") || chinese.contains("透明。")
        );
        let ascii: String = chinese.chars().filter(char::is_ascii).collect();
        assert!(ascii.is_empty() || ascii == "3D", "{chinese}");
        assert_eq!(scene.labels()["kind"], scene.kind.name());
    }
}

#[test]
fn labels_say_what_captions_say() {
    let mut seen = std::collections::BTreeSet::new();
    for scene in scenes(500) {
        let (labels, caption) = (scene.labels(), scene.caption(Language::English).to_lowercase());
        assert!(
            caption.contains(&format!("{} style", labels["style"].to_lowercase())),
            "{caption}"
        );
        let words: &[&str] = match labels["opacity"].as_str() {
            "translucent" => &["translucent", "glassy", "thin", "sheer"],
            "glowing" => &["glowing", "bright core"],
            _ => &["opaque", "dense"],
        };
        assert!(words.iter().any(|word| caption.contains(word)), "{labels:?}: {caption}");
        seen.insert((labels["style"].clone(), labels["opacity"].clone()));
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

/// The record of the model that ships names every word of the captions that it was trained on.
#[test]
fn the_draft_knows_the_words_of_its_captions() {
    let record = include_str!("../../../resources/draft-model/wan-alpha.json");
    let defaults = include_str!("../../../resources/draft-training/defaults.json");
    let made_for = |text: &str| {
        let record: serde_json::Value = serde_json::from_str(text).unwrap();
        serde_json::from_value::<wan_alpha_take::models::MadeFor>(record["made_for"].clone())
    };
    let draft = made_for(record).unwrap();
    assert_eq!(made_for(defaults).unwrap(), draft);
    for scene in scenes(4000) {
        for caption in [scene.caption(Language::English), scene.short_caption(Language::English)] {
            assert_eq!(draft.unknown_words(&caption), Vec::<String>::new(), "{caption}");
        }
        assert!(!draft.unknown_words(&scene.caption(Language::Chinese)).is_empty());
    }
    for (prompt, unknown) in
        [("a red dog with hair", ["dog", "hair"]), ("glass, a blue bal", ["glass", "bal"])]
    {
        assert_eq!(draft.unknown_words(prompt), unknown);
    }
}
