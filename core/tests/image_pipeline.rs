//! Image-to-video models as a whole: how they are sampled, what they are called, and what becomes of a take
//! while its image is encoded.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tch::{Kind, Tensor};
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{FrameSink, Keep, Pipeline, SinkError, TakeInputs};
use wan_alpha_core::weights::{
    AdapterKind, ModelFiles, Strengths, SuccessorCheckpoint, find_transformer,
};
use wan_alpha_core::{Error, ErrorKind, Stage, Unwatched, Watch};
use wan_alpha_take::frame::Frame;
use wan_alpha_take::{Ellipse, ImageSource, RequestDraft, StillImage};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

/// The files of a reference model.
fn files_but_the_dora(case: &str) -> Vec<PathBuf> {
    let model = data(case).join("model");
    let own = std::fs::read_dir(&model).unwrap().map(|entry| entry.unwrap().path());
    let own = own.filter(|path| path.is_file() && !path.ends_with("wan-alpha-dora.safetensors"));
    own.chain([model.join("google/umt5-xxl/tokenizer.json")]).collect()
}

/// Reference files with the transformer given places for the tokens of two images.
fn first_last_frame(folder: &Path) -> Vec<PathBuf> {
    let (dit, _) = find_transformer(&[data("i2v/model")]).unwrap();
    let mut tensors: Vec<_> =
        dit.names().map(|name| (name.to_owned(), dit.read(Device::cpu(), name).unwrap())).collect();
    tensors.push((
        "img_emb.emb_pos".to_owned(),
        Tensor::ones([1, 34, 160], (Kind::Float, tch::Device::Cpu)),
    ));
    let path = folder.join("transformer.safetensors");
    Tensor::write_safetensors(&tensors, &path).unwrap();
    std::fs::copy(data("i2v/model/config.json"), folder.join("config.json")).unwrap();
    let own = files_but_the_dora("i2v").into_iter().filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        !name.starts_with("diffusion_pytorch_model") && name != "config.json"
    });
    own.chain([path, folder.join("config.json")]).collect()
}

#[test]
fn each_kind_of_model_is_sampled_as_it_was_released() {
    let folder = tempfile::tempdir().unwrap();
    let undistilled = |paths: Vec<PathBuf>| -> Vec<PathBuf> {
        paths.into_iter().filter(|path| !path.ends_with("lightx2v_lora.safetensors")).collect()
    };
    let defaults = |paths: &[PathBuf]| {
        let (device, keep) = (Device::cpu(), Keep::Nothing);
        let none = Strengths { dora: None, ..Strengths::default() };
        Pipeline::open(paths, none, device, keep, &Unwatched).unwrap().defaults()
    };
    let said = |paths: &[PathBuf]| {
        let defaults = defaults(paths);
        (defaults.steps.unwrap(), defaults.guidance.unwrap())
    };
    // Wan2.1's text to video.
    let text = undistilled(files_but_the_dora("t2v"));
    assert_eq!(said(&text), (50, 5.0));
    assert_eq!(defaults(&text).shift_or_released(832, 480), 5.0);
    // Its image to video: the shift goes by the size, and so it does at the sizes of an image's aspect.
    let image = undistilled(files_but_the_dora("i2v"));
    assert_eq!(said(&image), (40, 5.0));
    let shift = |width, height| defaults(&image).shift_or_released(width, height);
    for (size, expected) in [
        ([832, 480], 3.0),
        ([480, 832], 3.0),
        ([624, 624], 3.0),
        ([1280, 720], 5.0),
        ([720, 1280], 5.0),
        ([960, 960], 5.0),
    ] {
        assert_eq!(shift(size[0], size[1]), expected, "{size:?}");
    }
    let negative = defaults(&image).negative_prompt.unwrap();
    assert!(negative.starts_with("镜头晃动，色调艳丽"), "{negative}");
    // Between two images.
    let both = undistilled(first_last_frame(folder.path()));
    assert_eq!(said(&both), (50, 5.5));
    for size in [[832, 480], [1280, 720]] {
        assert_eq!(defaults(&both).shift_or_released(size[0], size[1]), 16.0);
    }
    let negative = defaults(&both).negative_prompt.unwrap();
    assert!(negative.starts_with("镜头切换，镜头晃动，色调艳丽"), "{negative}");
    // In four steps, whatever the size.
    for case in ["i2v", "t2v"] {
        let distilled = files_but_the_dora(case);
        assert_eq!(said(&distilled), (4, 1.0), "{case}");
        assert_eq!(defaults(&distilled).shift_or_released(832, 480), 5.0, "{case}");
        assert_eq!(defaults(&distilled).shift_or_released(1280, 720), 5.0, "{case}");
    }
}

/// What is warned of.
#[derive(Default)]
struct Warned(parking_lot::Mutex<Vec<String>>);

impl Watch for Warned {
    fn warn(&self, message: &str) {
        self.0.lock().push(message.to_owned());
    }
}

#[test]
fn checkpoints_of_the_successor_are_named_in_words_and_taken_by_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let model = data("i2v/model");
    let mut files = files_but_the_dora("i2v");
    let named = ["wan-alpha-normal.safetensors", "wan-alpha-effect.safetensors"].map(|name| {
        let path = folder.path().join(name);
        std::fs::copy(model.join("wan-alpha-dora.safetensors"), &path).unwrap();
        path
    });
    let both = [&files[..], &named].concat();
    let error = ModelFiles::find(&both, Strengths::default(), &Unwatched).unwrap_err().to_string();
    for words in [
        "wan-alpha-normal.safetensors is Wan-Alpha++'s checkpoint of normal RGBA video",
        "wan-alpha-effect.safetensors is Wan-Alpha++'s checkpoint of effect RGBA video",
    ] {
        assert!(error.contains(words), "{error}");
    }
    for (path, expected) in
        named.iter().zip([SuccessorCheckpoint::Normal, SuccessorCheckpoint::Effect])
    {
        let one = [&files[..], std::slice::from_ref(path)].concat();
        let warned = Warned::default();
        let found = ModelFiles::find(&one, Strengths::default(), &warned).unwrap();
        assert_eq!(found.successor(), Some(expected));
        assert_eq!(found.adapters[0].kind(), AdapterKind::Dora);
        let said = warned.0.lock().join("\n");
        assert!(said.contains(&expected.to_string()), "{said}");
    }
    files.push(model.join("wan-alpha-dora.safetensors"));
    let plain = ModelFiles::find(&files, Strengths::default(), &Unwatched).unwrap();
    assert_eq!(plain.successor(), None);
}

/// Takes nothing.
struct Nowhere;

impl FrameSink for Nowhere {
    fn frame(&mut self, _frame: Frame<'_>) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Memory runs out at one question while an image is encoded.
struct RunsOut {
    at: usize,
    asked: AtomicUsize,
    warned: Warned,
}

impl Watch for RunsOut {
    fn check(&self, stage: Stage) -> Result<(), Error> {
        if stage == Stage::Encode && self.asked.fetch_add(1, Ordering::Relaxed) == self.at {
            return Err(tch::TchError::Torch("CUDA out of memory. Tried to allocate".into()).into());
        }
        Ok(())
    }

    fn warn(&self, message: &str) {
        self.warned.warn(message);
    }
}

#[test]
fn memory_that_runs_out_while_an_image_is_encoded_costs_the_transformer_and_no_take() {
    let open = || {
        let paths = [data("i2v/model")];
        let (device, keep) = (Device::cpu(), Keep::Everything);
        Pipeline::open(&paths, Strengths::default(), device, keep, &Unwatched).unwrap()
    };
    let image = |shade: f32| {
        let pixel = |i: usize| [shade, 0.5, 0.2, if i.is_multiple_of(5) { 1.0 } else { 0.0 }];
        StillImage::new(64, 48, (0..64 * 48).flat_map(pixel).collect()).unwrap()
    };
    let latent = |pipeline: &mut Pipeline, image: &StillImage, watch: &dyn Watch| {
        let draft = RequestDraft {
            frames: Some(5),
            width: Some(64),
            height: Some(48),
            steps: Some(1),
            ellipse: vec![Ellipse::default(); 2],
            mu: vec![0.05; 2],
            first_image: Some(ImageSource::new(image.hash(), "fox.png")),
            ..RequestDraft::new("fox".into(), "a fox".into())
        };
        let request = draft.complete(&pipeline.defaults()).unwrap();
        let inputs = TakeInputs { first_image: Some(image), ..TakeInputs::default() };
        pipeline.latent(&request, inputs, &mut Nowhere, watch)
    };
    let (first, second) = (image(0.1), image(0.9));
    let expected = latent(&mut open(), &second, &Unwatched).unwrap();
    // In the image encoder, and in the film.
    for at in [0, 3] {
        let mut warm = open();
        let _ = latent(&mut warm, &first, &Unwatched).unwrap();
        let watch = RunsOut { at, asked: AtomicUsize::new(0), warned: Warned::default() };
        assert_eq!(latent(&mut warm, &second, &watch).unwrap(), expected, "{at}");
        let said = watch.warned.0.lock().join("\n");
        assert!(said.contains("the transformer is let go"), "{said}");
    }
    // Where there is nothing to let go, it is told.
    let watch = RunsOut { at: 0, asked: AtomicUsize::new(0), warned: Warned::default() };
    let error = latent(&mut open(), &second, &watch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
}
