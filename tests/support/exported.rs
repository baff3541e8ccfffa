//! A take of the store with every level of alpha that matters, and the command that exports it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use wan_alpha_take::models::Defaults;
use wan_alpha_take::store::{Description, Store};
use wan_alpha_take::{Ellipse, Fingerprint, Precision, RequestDraft, Solver};

use super::studio::Studio;

pub(crate) const WIDTH: usize = 64;
pub(crate) const HEIGHT: usize = 48;
pub(crate) const FRAMES: usize = 5;
/// Alpha in columns. The half is 32768 of 65535.
pub(crate) const LEVELS: [f32; 8] =
    [0.0, 1.0 / 255.0, 0.5, 128.0 / 255.0, 129.0 / 255.0, 254.0 / 255.0, 1.0, 1.0];

/// A store with one take, whose alpha has every level that matters and whose edge moves.
pub(crate) struct Exported {
    pub(crate) studio: Studio,
    pub(crate) key: String,
}

/// What a frame shows at a place: straight, display-referred.
pub(crate) fn pixel(frame: usize, x: usize, y: usize) -> [f32; 4] {
    let level = LEVELS[x * LEVELS.len() / WIDTH];
    let alpha = if y < HEIGHT / 2 {
        level
    } else if x >= 8 * frame {
        1.0
    } else {
        0.0
    };
    [x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32, 0.25 + 0.1 * frame as f32, alpha]
}

impl Exported {
    pub(crate) fn new() -> Self {
        let studio = Studio::empty();
        let draft = RequestDraft {
            width: Some(WIDTH as u32),
            height: Some(HEIGHT as u32),
            frames: Some(FRAMES as u32),
            ellipse: vec![Ellipse::default(); 2],
            mu: vec![0.05; 2],
            steps: Some(4),
            shift: Some(5.0),
            guidance: Some(1.0),
            solver: Some(Solver::Euler),
            precision: Some(Precision::F32),
            negative_prompt: Some("nothing".into()),
            model_fingerprint: Some(Fingerprint([7; 32])),
            ..RequestDraft::new("draft".into(), "a 玻璃 ball & <more>".into())
        };
        let request = draft.complete(&Defaults::default()).unwrap();
        let store = Store::new([studio.path("takes")]);
        let mut writer = store.create(Description::new(&request, "cpu").unwrap()).unwrap();
        for frame in 0..FRAMES {
            let places = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
            let rgba: Vec<f32> = places.flat_map(|(x, y)| pixel(frame, x, y)).collect();
            writer.frame_f32(&rgba).unwrap();
        }
        let take = writer.publish().unwrap().take;
        let key = take.description().key.to_string();
        Self { studio, key }
    }

    pub(crate) fn out(&self, name: &str) -> PathBuf {
        self.studio.path(name)
    }

    /// The export, with this folder alone on PATH.
    pub(crate) fn command(&self, out: &str, more: &[&str], path: &Path) -> Command {
        let folder = self.out(out);
        let mut arguments = vec!["take", "export", &self.key, "--out", folder.to_str().unwrap()];
        arguments.extend(more);
        let mut command = self.studio.command("run", &arguments);
        command.env("PATH", path).env("SOURCE_DATE_EPOCH", "1796060368");
        command
    }

    #[track_caller]
    pub(crate) fn ok(&self, out: &str, more: &[&str], path: &Path) -> String {
        said(&self.command(out, more, path).output().unwrap())
    }

    #[track_caller]
    pub(crate) fn refused(&self, out: &str, more: &[&str], path: &Path, code: i32, words: &[&str]) {
        let output = self.command(out, more, path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }

    /// What `inspect` says of a file, as JSON.
    pub(crate) fn inspected(&self, path: &Path) -> Value {
        let arguments = ["inspect", "--json", path.to_str().unwrap()];
        let mut command = self.studio.command("run", &arguments);
        let said: Value = serde_json::from_str(&said(&command.output().unwrap())).unwrap();
        said["files"][0].clone()
    }

    /// That a file says where it is from, and has the take found again.
    pub(crate) fn says_its_origin(&self, path: &Path) {
        let about = self.inspected(path);
        let source = about["source_type"].as_str().unwrap_or_default();
        assert!(source.ends_with("/trainedAlgorithmicMedia"), "{path:?}: {about}");
        let texts = about["texts"].as_array().unwrap();
        let has = |words: &str| texts.iter().any(|text| text["text"].as_str() == Some(words));
        for words in ["wan-alpha", env!("CARGO_PKG_VERSION"), "draft", &self.key] {
            assert!(has(words), "{path:?} does not say {words}: {about}");
        }
        assert_eq!(about["recipe"]["prompt"], "a 玻璃 ball & <more>", "{path:?}");
        let mut again = self.studio.command("run", &["take", "make", path.to_str().unwrap()]);
        let found = said(&again.output().unwrap());
        assert!(found.contains(&self.key), "{path:?}: {found}");
    }
}

/// What a program that ended well has said.
#[track_caller]
pub(crate) fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}
