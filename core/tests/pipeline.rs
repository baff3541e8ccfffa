//! The whole path as a library: what stays warm changes nothing, and what a model is shows in its
//! fingerprint.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod frames;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use frames::Frames;
use parking_lot::Mutex;
use tch::TchError;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::AttentionKernel;
use wan_alpha_core::generate::{DecodeSettings, Keep, Pipeline, TakeInputs};
use wan_alpha_core::weights::{ModelFiles, Strengths};
use wan_alpha_core::{Error, ErrorKind, Stage, Unwatched, Watch};
use wan_alpha_take::{Ellipse, Fingerprint, NUMERICS, Precision, Solver, TakeRequest};

fn model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/t2v-euler/model")
}

fn request(pipeline: &Pipeline, prompt: &str) -> TakeRequest {
    let mut request: TakeRequest = serde_json::from_value(serde_json::json!({
        "version": TakeRequest::VERSION, "numerics": NUMERICS, "prompt": prompt, "negative_prompt": null, "seed": 5,
        "frames": 5, "width": 48, "height": 32, "take_rate": 16,
        "ellipse": [Ellipse::default(), Ellipse::default()], "mu": [0.05, 0.05], "mu_scale": 1.0,
        "steps": 2, "shift": 5.0, "guidance": 3.0, "solver": Solver::UniPc, "dora_strength": 1.0,
        "distill_strength": 1.0, "precision": "f32", "decode_tiling": "whole", "model": "tiny",
        "model_fingerprint": null, "first_image": null, "mask": null,
    }))
    .unwrap();
    request.precision = pipeline.defaults().precision.unwrap();
    request.accept().unwrap()
}

fn open(keep: Keep) -> Pipeline {
    Pipeline::open(&[model()], Strengths::default(), Device::cpu(), keep, &Unwatched).unwrap()
}

fn take(pipeline: &mut Pipeline, prompt: &str) -> Frames {
    let request = request(pipeline, prompt);
    let mut frames = Frames::default();
    pipeline.make(&request, TakeInputs::default(), &mut frames, &Unwatched).unwrap();
    assert_eq!(frames.0.len(), 5);
    frames
}

#[test]
fn a_warm_model_makes_the_same_takes() {
    let cold = take(&mut open(Keep::Nothing), "smoke");
    let mut warm = open(Keep::Everything);
    assert_eq!(warm.attention_kernel(), None);
    assert!(take(&mut warm, "smoke") == cold);
    assert_eq!(warm.attention_kernel(), Some(AttentionKernel::Flash));
    assert!(take(&mut warm, "fire") != cold);
    assert!(take(&mut warm, "smoke") == cold);
    warm.unload().unwrap();
    assert!(take(&mut warm, "smoke") == cold);
}

/// Stops at the first question in a stage.
struct StopIn(Stage, Mutex<Option<Stage>>);

impl Watch for StopIn {
    fn progress(&self, stage: Stage, _step: usize, _of: usize) {
        *self.1.lock() = Some(stage);
    }

    fn go_on(&self) -> bool {
        *self.1.lock() != Some(self.0)
    }
}

#[test]
fn a_stopped_take_leaves_the_model_usable() {
    let cold = take(&mut open(Keep::Nothing), "smoke");
    let mut warm = open(Keep::Everything);
    for stage in [Stage::Text, Stage::Load, Stage::Sample, Stage::Decode] {
        let request = request(&warm, "smoke");
        let watch = StopIn(stage, None.into());
        let stopped = warm.make(&request, TakeInputs::default(), &mut Frames::default(), &watch);
        assert!(matches!(stopped, Err(Error::Cancelled(at)) if at == stage), "{stage}");
    }
    assert!(take(&mut warm, "smoke") == cold);
}

#[test]
fn noise_that_steps_add_is_the_same_each_time_and_stops_like_any_other() {
    for (solver, steps) in [(Solver::Lcm, 3), (Solver::Rcm, 4)] {
        let mut pipeline = open(Keep::Everything);
        let request = TakeRequest { solver, steps, ..request(&pipeline, "smoke") };
        let request = request.accept().unwrap();
        let mut made = || {
            let mut frames = Frames::default();
            pipeline.make(&request, TakeInputs::default(), &mut frames, &Unwatched).unwrap();
            frames
        };
        let first = made();
        assert!(made() == first, "{solver}");
        let stopped = pipeline.make(
            &request,
            TakeInputs::default(),
            &mut Frames::default(),
            &StopIn(Stage::Sample, None.into()),
        );
        assert!(matches!(stopped, Err(Error::Cancelled(Stage::Sample))), "{solver}");
        let other = TakeRequest { seed: request.seed + 1, ..request.clone() };
        let mut frames = Frames::default();
        pipeline.make(&other, TakeInputs::default(), &mut frames, &Unwatched).unwrap();
        assert!(frames != first, "{solver}");
        frames = Frames::default();
        pipeline.make(&request, TakeInputs::default(), &mut frames, &Unwatched).unwrap();
        assert!(frames == first, "{solver}");
    }
}

/// Fails as libtorch does, at some questions of a stage, counted from 0.
struct Failing {
    stage: Stage,
    at: &'static [usize],
    says: &'static str,
    asked: std::sync::atomic::AtomicUsize,
    warnings: Mutex<Vec<String>>,
}

impl Failing {
    fn new(stage: Stage, at: &'static [usize], says: &'static str) -> Self {
        Self { stage, at, says, asked: 0.into(), warnings: Vec::new().into() }
    }
}

impl Watch for Failing {
    fn check(&self, stage: Stage) -> Result<(), Error> {
        let asked = || self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if stage == self.stage && self.at.contains(&asked()) {
            return Err(TchError::Torch(self.says.to_owned()).into());
        }
        Ok(())
    }

    fn warn(&self, message: &str) {
        self.warnings.lock().push(message.to_owned());
    }
}

const NO_MEMORY: &str = "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity \
    of 7.75 GiB of which 310.00 MiB is free.\nException raised from malloc";

#[test]
fn memory_that_runs_out_in_decoding_costs_the_transformer_and_no_frame() {
    let cold = take(&mut open(Keep::Nothing), "smoke");
    let mut warm = open(Keep::Everything);
    let request = request(&warm, "smoke");
    // In the first chunk, and in the second, when the first frame has been handed on.
    for at in [&[3][..], &[40]] {
        let latent = warm
            .latent(&request, TakeInputs::default(), &mut Frames::default(), &Unwatched)
            .unwrap();
        let failing = Failing::new(Stage::Decode, at, NO_MEMORY);
        let mut frames = Frames::default();
        warm.decode(&latent, DecodeSettings::whole(Precision::F32), &mut frames, &failing).unwrap();
        assert!(frames == cold, "{at:?}");
        let warnings = failing.warnings.into_inner();
        assert!(warnings.iter().any(|said| said.contains("transformer is let go")), "{warnings:?}");
        // The next take loads it again, which a warm one does not.
        let loading = Questions::default();
        let mut again = Frames::default();
        warm.make(&request, TakeInputs::default(), &mut again, &loading).unwrap();
        assert!(again == cold);
        assert!(loading.0.into_inner().1.contains_key(&Stage::Load), "{at:?}");
    }

    // Where there is nothing to free, or not enough, it is told.
    let latent =
        warm.latent(&request, TakeInputs::default(), &mut Frames::default(), &Unwatched).unwrap();
    let failing = Failing::new(Stage::Decode, &[3, 4], NO_MEMORY);
    let error = warm
        .decode(&latent, DecodeSettings::whole(Precision::F32), &mut Frames::default(), &failing)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    let text = error.to_string();
    for words in ["decoding: 1.6 GB more", "0.3 GB of 8.3 GB are free", "smaller size"] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
}

#[test]
fn a_failure_says_what_was_done_and_what_helps() {
    let mut pipeline = open(Keep::Everything);
    let request = request(&pipeline, "smoke");
    for (stage, says, kind, words) in [
        (Stage::Load, NO_MEMORY, ErrorKind::OutOfMemory, "the transformer alone takes"),
        (Stage::Sample, NO_MEMORY, ErrorKind::OutOfMemory, "fewer frames"),
        (
            Stage::Sample,
            "CUDA error: unspecified launch failure\nCUDA kernel errors might be",
            ErrorKind::DeviceLost,
            "the GPU failed while sampling: CUDA error: unspecified launch failure; try again",
        ),
    ] {
        let failing = Failing::new(stage, &[1], says);
        let made = pipeline.make(&request, TakeInputs::default(), &mut Frames::default(), &failing);
        let error = made.unwrap_err();
        assert_eq!(error.kind(), kind, "{stage}");
        assert!(error.to_string().contains(words), "{error}");
    }
    // Whatever happened, the next take is made.
    take(&mut pipeline, "smoke");
}

/// Counts how often each stage asks whether to go on, and keeps how many steps it has.
#[derive(Default)]
struct Questions(Mutex<(Option<Stage>, Asked)>);

/// By stage: questions, and steps.
type Asked = BTreeMap<Stage, (usize, usize)>;

impl Watch for Questions {
    fn progress(&self, stage: Stage, step: usize, of: usize) {
        let mut seen = self.0.lock();
        seen.0 = (step < of).then_some(stage);
        seen.1.entry(stage).or_default().1 = of;
    }

    fn go_on(&self) -> bool {
        let mut seen = self.0.lock();
        if let Some(stage) = seen.0 {
            seen.1.entry(stage).or_default().0 += 1;
        }
        true
    }
}

#[test]
fn every_block_asks_whether_to_go_on() {
    let mut pipeline = open(Keep::Everything);
    let request = request(&pipeline, "smoke");
    let watch = Questions::default();
    pipeline.make(&request, TakeInputs::default(), &mut Frames::default(), &watch).unwrap();
    let (_, seen) = watch.0.into_inner();
    // A step of text is a block. One of sampling is two blocks in each of two passes; one of decoding
    // is a latent frame in two decoders, each of 18 blocks and a head.
    let (asked, blocks) = seen[&Stage::Text];
    assert!(blocks > 0 && asked == blocks, "{seen:?}");
    assert_eq!(seen[&Stage::Sample], (2 * 2 * 2, 2));
    let (asked, latent_frames) = seen[&Stage::Decode];
    assert_eq!((asked, latent_frames), (2 * 2 * 19, 2));
}

/// A take of a new process, as far as the model is concerned: its frames, and the blocks of the text
/// encoder that it needed.
fn take_apart(contexts: &Path, request: &TakeRequest) -> (Frames, usize) {
    let mut pipeline = open(Keep::Nothing);
    pipeline.keep_contexts(contexts.to_owned());
    let (mut frames, watch) = (Frames::default(), Questions::default());
    pipeline.make(request, TakeInputs::default(), &mut frames, &watch).unwrap();
    let (_, seen) = watch.0.into_inner();
    (frames, seen.get(&Stage::Text).map_or(0, |(asked, _)| *asked))
}

#[test]
fn a_prompt_costs_the_text_encoder_once_and_not_once_per_process() {
    let folder = tempfile::tempdir().unwrap();
    let contexts = folder.path().join("contexts");
    let mut request = request(&open(Keep::Nothing), "a quiet harbour");
    request.model_fingerprint = Some(Fingerprint([7; 32]));
    let (first, blocks) = take_apart(&contexts, &request);
    assert!(blocks > 0);
    let files = || -> Vec<_> {
        fs::read_dir(&contexts).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    // The prompt's and the negative prompt's.
    assert_eq!(files().len(), 2);
    let again = take_apart(&contexts, &request);
    assert!(again.0 == first && again.1 == 0);

    // No word of it is there.
    for path in files() {
        let bytes = fs::read(&path).unwrap();
        for word in ["quiet", "harbour"] {
            assert!(!path.to_string_lossy().contains(word));
            assert!(!bytes.windows(word.len()).any(|found| found == word.as_bytes()));
        }
    }

    // Another model, and one that nothing is known of.
    for fingerprint in [Some(Fingerprint([8; 32])), None] {
        let other = TakeRequest { model_fingerprint: fingerprint, ..request.clone() };
        assert_eq!(take_apart(&contexts, &other).1, blocks);
    }

    // A damaged file is made again, a deleted folder too.
    for path in files() {
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let mended = take_apart(&contexts, &request);
    assert!(mended.0 == first && mended.1 == blocks);
    assert_eq!(take_apart(&contexts, &request).1, 0);
    fs::remove_dir_all(&contexts).unwrap();
    assert_eq!(take_apart(&contexts, &request).1, blocks);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::write(&target, fs::read(&path).unwrap()).unwrap();
        }
    }
}

fn fingerprint(folder: &Path) -> Fingerprint {
    let files = ModelFiles::find(&[folder.to_owned()], Strengths::default(), &Unwatched).unwrap();
    files.fingerprint(&Unwatched).unwrap()
}

#[test]
fn a_fingerprint_is_that_of_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let moved = folder.path().join("moved");
    copy(&model(), &moved);
    let original = fingerprint(&model());
    assert_eq!(fingerprint(&moved), original);
    assert_eq!(original.to_string().parse::<Fingerprint>(), Ok(original));

    for name in [
        "diffusion_pytorch_model-00003-of-00005.safetensors",
        "wan-alpha-dora.safetensors",
        "lightx2v_lora.safetensors",
        "google/umt5-xxl/tokenizer.json",
    ] {
        let path = moved.join(name);
        let mut bytes = fs::read(&path).unwrap();
        // The last byte is a number's highest in a weight, white space or a brace in the tokenizer.
        match bytes.last_mut() {
            Some(last) if name.ends_with("safetensors") => *last ^= 1,
            _ => bytes.push(b'\n'),
        }
        fs::write(&path, &bytes).unwrap();
        assert_ne!(fingerprint(&moved), original, "{name}");
        fs::copy(model().join(name), &path).unwrap();
        assert_eq!(fingerprint(&moved), original, "{name}");
    }
}

#[test]
fn weights_that_are_written_over_under_a_warm_model_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    copy(&model(), folder.path());
    let open = |keep| {
        let paths = [folder.path().to_owned()];
        Pipeline::open(&paths, Strengths::default(), Device::cpu(), keep, &Unwatched).unwrap()
    };
    for name in [
        "diffusion_pytorch_model-00003-of-00005.safetensors",
        "models_t5_umt5-xxl-enc-bf16.pth",
        "google/umt5-xxl/tokenizer.json",
    ] {
        let mut pipeline = open(Keep::Everything);
        pipeline.files().unchanged().unwrap();
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        // The same bytes in the same file: what shows is the time.
        fs::write(&path, &bytes).unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert!(pipeline.files().unchanged().is_err());
        let request = request(&pipeline, "smoke");
        let made =
            pipeline.make(&request, TakeInputs::default(), &mut Frames::default(), &Unwatched);
        let said = made.unwrap_err().to_string();
        assert!(said.contains(name) && said.contains("has changed since"), "{said}");
        // Cut off, it is an error too, and no signal.
        let mut pipeline = open(Keep::Everything);
        fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        let made =
            pipeline.make(&request, TakeInputs::default(), &mut Frames::default(), &Unwatched);
        assert!(made.unwrap_err().to_string().contains("has changed since"));
        fs::write(&path, &bytes).unwrap();
    }
}
