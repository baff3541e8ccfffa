//! Every kind of picture that is read, refused or doubted: the list behind the table of
//! `docs/pictures.md`, each line with a file that another program wrote (`tests/data/pictures`).

mod images;
mod movies;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wan_alpha_take::color::to_linear;

use super::mask::MaskSequence;
use super::reading::PictureReading;
use super::rgba::RgbaSequence;
use images::KINDS;

/// What comes of reading a file.
enum ReadOutcome {
    Read,
    /// Read, with these words.
    Warned(&'static str),
    /// Not read, with these words.
    Refused(&'static str),
}

use ReadOutcome::{Read, Refused, Warned};

/// A line of the table: the file, what it is, its tag, what is done, what is said.
type PictureKind = (&'static str, &'static str, &'static str, &'static str, ReadOutcome);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures")
}

/// The straight display values of a file's first frame and what is said of it, or why it is refused.
fn read(path: &Path, reading: &PictureReading) -> Result<(Vec<f32>, String), String> {
    let words = |error: super::error::MediaError| format!("{:#}", anyhow::Error::from(error));
    let mut clip = RgbaSequence::find(&[path.to_owned()], reading).map_err(words)?;
    let frame = clip.read_next().map_err(words)?;
    Ok((frame, clip.warnings().join("\n")))
}

#[test]
fn every_kind_is_read_as_other_programs_read_it_or_refused_in_words() {
    let expected = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: BTreeMap<String, Vec<f32>> = serde_json::from_str(&expected).unwrap();
    for (file, .., outcome) in KINDS {
        let found = read(&folder().join(file), &PictureReading::default());
        let warned = match (outcome, &found) {
            (Refused(words), Err(text)) => {
                assert!(text.contains(words) && text.contains(file), "{file}: {text}");
                continue;
            }
            (Read, Ok(_)) => "",
            (Warned(words), Ok(_)) => *words,
            _ => panic!("{file}: {found:?}"),
        };
        let (frame, said) = found.unwrap();
        assert!(said.contains(warned) && said.is_empty() == warned.is_empty(), "{file}: {said}");
        let expected = &expected[*file];
        assert_eq!(frame.len(), expected.len(), "{file}");
        for (found, expected) in frame.as_chunks::<4>().0.iter().zip(expected.as_chunks::<4>().0) {
            let [r, g, b, alpha] = *found;
            let light = [to_linear(r), to_linear(g), to_linear(b), alpha];
            for (light, expected) in light.iter().zip(expected) {
                let error = (light - expected.clamp(0.0, 1.0)).abs();
                assert!(error < 1e-3, "{file}: {found:?} is {light}, not {expected}");
            }
        }
    }
}

/// Files whose names say what their alpha is called, as masks: always the same disk of values.
#[test]
fn a_mask_is_found_by_name_and_depth_never_is_one() {
    let of = |file: &str, layer: Option<&str>| {
        let mask = MaskSequence::find(&folder().join(file), layer);
        mask.and_then(|mask| mask.read()).map(|(mut images, _)| images.remove(0).values)
    };
    let alpha = of("untagged.exr", None).unwrap();
    for file in ["depth-first.exr", "alpha-apart.exr", "layer.exr", "no-picture.exr"] {
        assert_eq!(of(file, None).unwrap(), alpha, "{file}");
    }
    for (file, layer) in [("no-picture.exr", "matte.fg"), ("two-pictures.exr", "beauty")] {
        assert_eq!(of(file, Some(layer)).unwrap(), alpha, "{file}, {layer}");
    }
    let half: Vec<f32> = alpha.iter().map(|value| value * 0.5).collect();
    assert_eq!(of("two-pictures.exr", Some("specular")).unwrap(), half);
    for layer in ["fg", "fg.A"] {
        assert_eq!(of("masks.exr", Some(layer)).unwrap(), alpha, "{layer}");
    }
    for (file, words) in [
        ("masks.exr", "it has several masks (bg.A, fg.A): choose one with --layer"),
        ("whole-numbers.exr", "whole numbers (UINT): divide it by what its white is (255)"),
    ] {
        let text = format!("{:#}", anyhow::Error::from(of(file, None).unwrap_err()));
        assert!(text.contains(words) && text.contains(file), "{text}");
    }
    let text = format!("{:#}", anyhow::Error::from(of("layer.exr", Some("gone")).unwrap_err()));
    assert!(text.contains("no layer `gone`") && text.contains("beauty: A, B, G, R"), "{text}");
}

#[test]
fn a_person_has_the_last_word_on_color_and_layer() {
    let reading = |color: &str, layer: Option<&str>| PictureReading {
        color: Some(color.parse().unwrap()),
        layer: layer.map(str::to_owned),
        ..PictureReading::default()
    };
    let plain = read(&folder().join("untagged.png"), &PictureReading::default()).unwrap().0;
    assert_eq!(read(&folder().join("cicp-pq.png"), &reading("srgb", None)).unwrap().0, plain);
    let linear = read(&folder().join("untagged.exr"), &PictureReading::default()).unwrap().0;
    let beauty = read(&folder().join("two-pictures.exr"), &reading("linear", Some("beauty")));
    assert_eq!(beauty.unwrap(), (linear.clone(), String::new()));
    let other = read(&folder().join("untagged.exr"), &reading("acescg", None)).unwrap().0;
    assert_ne!(other, linear);
}

#[test]
fn a_layer_that_is_asked_of_a_png_is_told_to_be_none() {
    let reading = PictureReading { layer: Some("beauty".to_owned()), ..PictureReading::default() };
    let path = folder().join("untagged.png");
    let (_, said) = read(&path, &reading).unwrap();
    let (_, remarks) = MaskSequence::find(&path, Some("beauty")).unwrap().read().unwrap();
    for said in [said, remarks.join("\n")] {
        let words = ["untagged.png", "the layer `beauty`", "EXR alone has layers"];
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

/// The table for people. `WAN_ALPHA_WRITE_DOCS=1` writes it anew.
#[test]
fn the_documents_have_the_list() {
    const MARKS: [&str; 2] = ["<!-- begin of the list -->\n", "<!-- end of the list -->\n"];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).unwrap();
    let (_, after) = rest.split_once(MARKS[1]).unwrap();
    let mut table = "| what | tag | what is done | what is said |\n|---|---|---|---|\n".to_owned();
    for (_, what, tag, done, outcome) in KINDS {
        let said = match outcome {
            Read => String::new(),
            Warned(words) => format!("a warning: “… {words} …”"),
            Refused(words) => format!("“… {words} …”"),
        };
        table += &format!("| {what} | {tag} | {done} | {said} |\n");
    }
    table += &movies::lines();
    let right = [before, MARKS[0], &table, MARKS[1], after].concat();
    if std::env::var_os("WAN_ALPHA_WRITE_DOCS").is_some() {
        std::fs::write(&path, &right).unwrap();
    }
    let remedy = "WAN_ALPHA_WRITE_DOCS=1 cargo test -p wan-alpha --bin wan-alpha media::kinds";
    assert!(std::fs::read_to_string(&path).unwrap() == right, "write the list anew: {remedy}");
}
