//! The reference cases of `tests/data`: what the authors' code computes, and how to ask the command
//! for the same take.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::weights::TensorFile;

use super::render::Render;

/// The names of all reference cases.
pub(crate) const CASES: [&str; 3] = ["t2v", "t2v-guided", "t2v-euler"];

/// Tensors that leave only float32's rounding between us and the reference.
const EXACT: [&str; 6] = ["context", "mask", "noise", "noise.shifted", "timesteps", "sigmas"];
/// Tensors in which that rounding has gone through a network.
const VIDEOS: [&str; 3] = ["video.fgr", "video.pha", "video.rgba"];

pub(crate) struct Case {
    name: String,
    folder: PathBuf,
    golden: TensorFile,
    settings: Value,
}

impl Case {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        CASES.into_iter().map(Self::named)
    }

    pub(crate) fn named(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
        let settings = std::fs::read(folder.join("golden.json")).unwrap();
        Self {
            name: name.to_owned(),
            golden: TensorFile::open(&folder.join("golden.safetensors")).unwrap(),
            settings: serde_json::from_slice(&settings).unwrap(),
            folder,
        }
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.folder.join("model")
    }

    /// The mask file of the case, as released.
    pub(crate) fn mask_file(&self) -> PathBuf {
        self.folder.join("gauss_mask")
    }

    pub(crate) fn setting(&self, name: &str) -> &Value {
        &self.settings[name]
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.settings[name].as_str().unwrap()
    }

    pub(crate) fn golden(&self, name: &str) -> Tensor {
        self.golden.read(Device::cpu(), name).unwrap()
    }

    /// The take of the case but for its ellipse, with its dump. The model is given as `files`.
    pub(crate) fn take<P: AsRef<Path>>(&self, files: impl IntoIterator<Item = P>) -> Render {
        let number = |name: &str| self.setting(name).to_string();
        Render::of_files(files)
            .with("--prompt", self.text("prompt"))
            .with("--negative", self.text("negative_prompt"))
            .with("--seed", number("seed"))
            .with("--width", number("width"))
            .with("--height", number("height"))
            .with("--frames", number("frames"))
            .with("--steps", number("steps"))
            .with("--guidance", number("guide"))
            .with("--mu", number("mu"))
            .with("--solver", self.text("solver"))
            .dumped()
    }

    /// The whole take of the case.
    pub(crate) fn render<P: AsRef<Path>>(&self, files: impl IntoIterator<Item = P>) -> Render {
        let take = self.take(files);
        let track = take.file("track.json", self.setting("ellipse_track").to_string());
        take.with("--ellipse-track", track)
    }

    /// A dump of this case's take must hold exactly the tensors it should, and each must be the
    /// reference's.
    #[track_caller]
    pub(crate) fn check(&self, dump: &TensorFile) {
        let guided = self.setting("guide").as_f64() != Some(1.0);
        let steps = self.setting("steps").as_u64().unwrap();
        let latents = (0..steps).map(|step| format!("latent.step{step}"));
        let latents: Vec<_> = latents.chain(["latent.final".to_owned()]).collect();

        let mut expected: BTreeSet<String> = latents.iter().cloned().collect();
        expected.extend(EXACT.into_iter().chain(VIDEOS).chain(["token_ids"]).map(str::to_owned));
        if guided {
            expected.extend(["negative_token_ids", "negative_context"].map(str::to_owned));
        }
        let found: BTreeSet<String> = dump.names().map(str::to_owned).collect();
        assert_eq!(found, expected, "{}: the tensors of the dump", self.name);

        for name in expected.iter().filter(|name| name.ends_with("token_ids")) {
            let ids = |file: &TensorFile| {
                Vec::<i64>::try_from(file.read(Device::cpu(), name).unwrap()).unwrap()
            };
            assert_eq!(ids(dump), ids(&self.golden), "{}: {name}", self.name);
        }
        for name in expected.iter().filter(|name| !name.ends_with("token_ids")) {
            let exact = EXACT.contains(&name.as_str()) || name == "negative_context";
            let tolerance = if exact { 1e-5 } else { 1e-4 };
            self.close(name, &dump.read(Device::cpu(), name).unwrap(), tolerance);
        }
    }

    #[track_caller]
    pub(crate) fn close(&self, name: &str, found: &Tensor, tolerance: f64) {
        let error = relative_error(found, &self.golden(name));
        assert!(error <= tolerance, "{}: {name}: relative error {error:e}", self.name);
    }
}

/// Maximal absolute error over maximal absolute value; NaN, which no bound admits, where either
/// has one.
#[track_caller]
pub(crate) fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
    let max = |tensor: Tensor| tensor.abs().max().double_value(&[]);
    max(double(found) - double(expected)) / max(double(expected))
}
