//! The image-to-video model against what the authors' parts compute, joined as Wan2.1 joins them
//! (`tests/data`, its README says what each tensor is): float32, on the CPU.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::image_condition::{ConditionImages, ConditionParts, ImageCondition};
use wan_alpha_core::image_encoder::ImageEncoder;
use wan_alpha_core::vae::{Corner, RgbaEncoder, RgbaFilm};
use wan_alpha_core::weights::{
    AdapterKind, ModelFiles, Strengths, TensorFile, Weights, find_transformer,
};
use wan_alpha_take::fit::FitSettings;
use wan_alpha_take::{GridEllipse, StillImage};

const CASES: [&str; 2] = ["i2v", "i2v-guided"];

struct Case {
    name: &'static str,
    golden: TensorFile,
    files: ModelFiles,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        CASES.into_iter().map(|name| {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name);
            let files = ModelFiles::find(&[folder.join("model")], Strengths::default(), &Unwatched)
                .unwrap();
            let golden = TensorFile::open(&folder.join("golden.safetensors")).unwrap();
            Self { name, golden, files }
        })
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.golden.read(Device::cpu(), name).unwrap()
    }

    /// Maximal absolute error over maximal absolute value.
    #[track_caller]
    fn close(&self, name: &str, found: &Tensor, tolerance: f64) {
        let expected = self.tensor(name);
        assert_eq!(found.size(), expected.size(), "{}: {name}", self.name);
        let max = |x: Tensor| x.to_kind(Kind::Double).abs().max().double_value(&[]);
        let error = max(found - &expected) / max(expected.shallow_clone());
        println!("{}: {name}: {error:.1e}", self.name);
        assert!(error <= tolerance, "{}: {name}: relative error {error:e}", self.name);
    }

    fn dit(&self, adapters: usize) -> Dit {
        let adapters = self.files.adapters[..adapters].to_vec();
        let weights = Weights::new(self.files.dit.clone(), adapters, Kind::Float, Device::cpu());
        let config = DitConfig::infer(&self.files.dit, self.files.config.as_deref()).unwrap();
        assert!(config.is_image_to_video() && !config.has_last_image());
        Dit::load(&weights, config, &Unwatched).unwrap()
    }
}

#[test]
fn what_the_image_encoder_sees() {
    for case in Case::all() {
        let set = case.files.image_encoder.clone().unwrap();
        let encoder = ImageEncoder::new(set.clone(), Device::cpu()).unwrap();
        let reference = case.tensor("clip.reference").unsqueeze(0);
        let features = encoder.encode(&reference, &Unwatched).unwrap();
        case.close("clip.input", &features.input, 2e-5);
        case.close("clip.embedded", &features.embedded, 2e-5);
        case.close("clip.feature", &features.feature, 2e-5);
        // The last layer, the norm after it and the projection are not for this.
        let unused = set.unused();
        assert!(
            unused.iter().all(|name| name.contains("layers.2.")
                || name.contains("post_layernorm")
                || name.contains("visual_projection")),
            "{unused:?}"
        );
    }
}

#[test]
fn tokens_and_velocities_of_base_dora_and_merged_weights() {
    for case in Case::all() {
        let latent = case.tensor("dit.probe.latent").unsqueeze(0);
        let timestep = case.tensor("dit.probe.timestep").double_value(&[0]);
        let size = latent.size();
        for (adapters, tokens, velocity) in [
            (0, Some("image.tokens.base"), "dit.base.velocity"),
            (1, None, "dit.dora.velocity"),
            (2, Some("image.tokens"), "dit.merged.velocity"),
        ] {
            let dit = case.dit(adapters);
            let rope = dit.rope([size[2], size[3], size[4]]).unwrap();
            let mut prompt = dit.prompt(&case.tensor("context")).unwrap();
            let mut image =
                dit.image(&case.tensor("clip.feature"), &case.tensor("condition")).unwrap();
            if let Some(tokens) = tokens {
                case.close(tokens, image.tokens(), 2e-5);
            }
            // Twice: the second pass uses the keys and values kept from the first.
            for _ in 0..2 {
                let found = dit
                    .forward_from(
                        &latent,
                        &[timestep],
                        &mut prompt,
                        Some(&mut image),
                        &rope,
                        &Unwatched,
                    )
                    .unwrap();
                case.close(velocity, &found.squeeze_dim(0), 1e-5);
            }
            assert!(dit.forward(&latent, &[timestep], &mut prompt, &rope, &Unwatched).is_err());
        }
        assert!(case.files.dit.unused().is_empty(), "{:?}", case.files.dit.unused());
    }
}

#[test]
fn merged_weights() {
    for case in Case::all() {
        let weights = Weights::new(
            case.files.dit.clone(),
            case.files.adapters.clone(),
            Kind::Float,
            Device::cpu(),
        );
        let mut compared = 0;
        for name in case.golden.names() {
            let Some(tensor) = name.strip_prefix("dit.merged.").filter(|name| *name != "velocity")
            else {
                continue;
            };
            let shape = weights.shape(tensor).unwrap().to_vec();
            case.close(name, &weights.get(tensor, &shape).unwrap(), 1e-5);
            compared += 1;
        }
        assert!(compared >= 7, "{compared}");
    }
}

#[test]
fn the_parts_are_found_and_known_for_what_they_are() {
    for case in Case::all() {
        assert!(case.files.is_image_to_video());
        let kinds: Vec<_> = case.files.adapters.iter().map(|adapter| adapter.kind()).collect();
        assert_eq!(kinds, [AdapterKind::Dora, AdapterKind::Distill]);
        for adapter in &case.files.adapters {
            assert!(adapter.unmatched().is_empty(), "{:?}", adapter.unmatched());
        }
        let names: Vec<_> = case
            .files
            .paths()
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        for part in
            ["models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth", "Wan-Alpha-v2-VAE.bin"]
        {
            assert!(names.iter().any(|name| name == part), "{names:?}");
        }
    }
}

/// The image of a case, but for the color of what is transparent, which nothing depends on.
fn image_of(case: &Case) -> StillImage {
    let unit = |name: &str| (case.tensor(name) + 1.0) / 2.0;
    let rgba = Tensor::cat(&[unit("condition.fgr"), unit("condition.pha").narrow(0, 0, 1)], 0);
    let size = rgba.size();
    let values = Vec::<f32>::try_from(rgba.permute([1, 2, 0]).contiguous().view([-1])).unwrap();
    StillImage::new(size[2] as u32, size[1] as u32, values).unwrap()
}

fn parts(files: &ModelFiles, sees_last: bool) -> ConditionParts<'_> {
    ConditionParts {
        image_encoder: files.image_encoder.as_ref().unwrap(),
        encoder: files.encoder.as_ref().unwrap(),
        sees_last,
        device: Device::cpu(),
    }
}

#[test]
fn what_is_made_of_an_image() {
    for case in Case::all() {
        let image = image_of(&case);
        let frames = case.tensor("video.rgba").size()[1] as usize;
        let mut shown = Vec::new();
        let show = |name: &str, tensor: &Tensor| {
            let tolerance = if name.starts_with("clip.") { 2e-5 } else { 1e-5 };
            case.close(name, tensor, tolerance);
            shown.push(name.to_owned());
            Ok(())
        };
        let images = ConditionImages { first: &image, last: None };
        ImageCondition::new(images, frames, &parts(&case.files, false), show, &Unwatched).unwrap();
        assert!(shown.len() == 10 && shown.contains(&"condition".to_owned()), "{shown:?}");
    }
}

#[test]
fn a_last_image_is_the_last_frame_of_the_film_and_seen_where_the_model_sees_it() {
    let case = Case::all().next().unwrap();
    let first = image_of(&case);
    let mut other = first.rgba().to_vec();
    other.reverse();
    let last = StillImage::new(first.width(), first.height(), other).unwrap();
    let images = ConditionImages { first: &first, last: Some(&last) };
    let quiet = |_: &str, _: &Tensor| Ok(());
    let made = |frames, sees_last| {
        ImageCondition::new(images, frames, &parts(&case.files, sees_last), quiet, &Unwatched)
    };
    let found = made(9, true).unwrap();
    assert_eq!(found.feature.size(), [2, 17, 160]);
    case.close("clip.feature", &found.feature.narrow(0, 0, 1), 2e-5);
    assert_eq!(made(9, false).unwrap().feature.size(), [1, 17, 160]);
    assert!(made(1, true).unwrap_err().to_string().contains("5 frames or more"));

    // The whole film in one piece.
    let encoder = case.files.encoder.as_ref().unwrap();
    let encoder = RgbaEncoder::load(encoder, Kind::Float, Device::cpu(), &Unwatched).unwrap();
    let size = [1, i64::from(first.height()), i64::from(first.width()), 4];
    let frame = |image: &StillImage| Tensor::from_slice(image.rgba()).view(size);
    let fillers = Tensor::full([7, size[1], size[2], 4], 0.5, (Kind::Float, tch::Device::Cpu));
    let film = Tensor::cat(&[frame(&first), fillers, frame(&last)], 0);
    let mut state = RgbaFilm::default();
    let encoded = encoder.encode(&film, Corner::WHITE, &mut state, &Unwatched).unwrap();
    let latent = found.channels.narrow(0, 4, 16);
    let error = (latent - encoded.normalized().unwrap()).abs().max().double_value(&[]);
    assert!(error < 2e-5, "{error:e}");
    let mask = found.channels.narrow(0, 0, 4).mean_dim([2i64, 3].as_slice(), false, Kind::Float);
    let expected = [1.0f32, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    assert_eq!(Vec::<f32>::try_from(mask.view([-1])).unwrap(), expected);
}

#[test]
fn the_ellipse_is_that_of_the_image_s_alpha() {
    let case = Case::all().next().unwrap();
    let image = image_of(&case);
    let found = image.ellipse(FitSettings::RELEASED).unwrap().unwrap();
    let on_grid = found.on_grid(image.width() as usize / 8, image.height() as usize / 8);
    let expected = Vec::<f64>::try_from(case.tensor("fit.ellipses").view([-1])).unwrap();
    let GridEllipse { cx, cy, a, b, angle } = on_grid;
    for (found, expected) in [cx, cy, a, b].into_iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-4, "{on_grid:?} for {expected:?}");
    }
    let turned = (angle - expected[4]).rem_euclid(180.0);
    assert!(turned.min(180.0 - turned) < 1e-3, "{angle} for {}", expected[4]);
}

#[test]
fn images_are_resized_as_pillow_does_but_for_its_rounding() {
    for case in Case::all() {
        let input = case.tensor("resize.input").to_kind(Kind::Float) / 255.0;
        let (height, width) = (input.size()[0], input.size()[1]);
        let opaque = |color: Tensor| {
            let alpha = Tensor::ones([height, width, 1], (Kind::Float, tch::Device::Cpu));
            let values = Tensor::cat(&[color, alpha], 2).view([-1]);
            let values = Vec::<f32>::try_from(values).unwrap();
            StillImage::new(width as u32, height as u32, values).unwrap()
        };
        let alpha = input.narrow(2, 3, 1).expand([height, width, 3], false);
        for (name, color) in
            [("resize.lanczos.fgr", input.narrow(2, 0, 3)), ("resize.lanczos.pha", alpha)]
        {
            let expected = case.tensor(name).to_kind(Kind::Float);
            let size = expected.size();
            let found = opaque(color.contiguous()).resized(size[1] as u32, size[0] as u32);
            let found = Tensor::from_slice(found.rgba()).view([size[0], size[1], 4]) * 255.0;
            // Pillow rounds to 8 bits after either pass, and cuts off there what the filter overshoots.
            let error = (found.narrow(2, 0, size[2]) - expected).abs();
            let near = error.le(1.05).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
            let mean = error.mean(Kind::Float).double_value(&[]);
            println!("{}: {name}: {near:.4} within 1 of 255, {mean:.3} on average", case.name);
            assert!(near > 0.9 && mean < 0.6, "{name}: {near} {mean}");
        }
    }
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

/// The files of a model's folder, but those whose names begin with one of `without`.
fn files_of(case: &str, without: &[&str]) -> Vec<PathBuf> {
    let folder = data(case).join("model");
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let own = entries.filter(|path| {
        path.is_file() && !without.iter().any(|start| named(path).starts_with(start))
    });
    own.chain([folder.join("google/umt5-xxl/tokenizer.json")]).collect()
}

#[track_caller]
fn refused(paths: &[PathBuf], words: &[&str]) {
    let error = ModelFiles::find(paths, Strengths::default(), &Unwatched).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn adapters_of_the_other_kind_are_refused_for_what_they_are() {
    let lora = |case: &str| data(case).join("model/lightx2v_lora.safetensors");
    let mut images_on_text = files_of("t2v", &["lightx2v", "wan-alpha-dora"]);
    images_on_text.push(lora("i2v"));
    refused(&images_on_text, &["is an adapter of an image-to-video transformer", "k_img"]);
    let mut text_on_images = files_of("i2v", &["lightx2v"]);
    text_on_images.push(lora("t2v"));
    refused(&text_on_images, &["is a LoRA of a text-to-video transformer"]);

    // A DoRA that changes keys of an image is one of images.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dora.safetensors");
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, tch::Device::Cpu));
    let dora =
        |name: &str, shape: &[i64]| (format!("blocks.0.cross_attn.k_img.{name}"), ones(shape));
    let tensors = [
        dora("lora_A.default.weight", &[2, 48]),
        dora("lora_B.default.weight", &[48, 2]),
        dora("lora_magnitude_vector.default.weight", &[48]),
    ];
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let with = |case: &str| {
        let mut paths = files_of(case, &["wan-alpha-dora"]);
        paths.push(path.clone());
        paths
    };
    refused(&with("t2v"), &["is an adapter of an image-to-video transformer", "k_img"]);
    let files = ModelFiles::find(&with("i2v"), Strengths::default(), &Unwatched).unwrap();
    assert_eq!(files.adapters[0].kind(), AdapterKind::Dora);
    // It counts: every row gets length 1.
    let adapters = files.adapters[..1].to_vec();
    let weights = Weights::new(files.dit.clone(), adapters, Kind::Float, Device::cpu());
    let merged = weights.get("blocks.0.cross_attn.k_img.weight", &[48, 48]).unwrap();
    let lengths = merged.square().sum_dim_intlist(1i64, false, Kind::Float).sqrt();
    assert!((lengths - 1.0).abs().max().double_value(&[]) < 1e-5);
}

#[test]
fn parts_that_only_an_image_to_video_model_needs_are_missed_by_name() {
    refused(&files_of("i2v", &["models_clip"]), &["no image encoder (models_clip_open-clip"]);
    refused(&files_of("i2v", &["Wan-Alpha-v2"]), &["no merge block (Wan-Alpha-v2-VAE.bin)"]);
    // A text-to-video model does without, and leaves them alone.
    let mut paths = files_of("t2v", &[]);
    paths.push(data("i2v/model/models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"));
    let files = ModelFiles::find(&paths, Strengths::default(), &Unwatched).unwrap();
    assert!(!files.is_image_to_video());
}

/// A model's folder with its transformer rewritten as one file.
fn with_transformer(
    change: impl FnOnce(&mut Vec<(String, Tensor)>),
) -> (tempfile::TempDir, Vec<PathBuf>) {
    let case = Case::all().next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut tensors: Vec<_> = case
        .files
        .dit
        .names()
        .map(|name| (name.to_owned(), case.files.dit.read(Device::cpu(), name).unwrap()))
        .collect();
    change(&mut tensors);
    let path = folder.path().join("transformer.safetensors");
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let config = folder.path().join("config.json");
    std::fs::copy(data("i2v/model/config.json"), config).unwrap();
    let mut paths = files_of("i2v", &["diffusion_pytorch_model", "config.json"]);
    paths.push(path);
    (folder, paths)
}

#[test]
fn what_is_not_understood_is_refused_with_its_keys() {
    let tensor = || Tensor::ones([2, 2], (Kind::Float, tch::Device::Cpu));
    let (_folder, paths) = with_transformer(|tensors| {
        tensors.extend((0..15).map(|i| (format!("rgba_control.{i}.weight"), tensor())));
    });
    refused(
        &paths,
        &["15 keys are", "`rgba_control.0.weight`", "`rgba_control.1.weight`", "3 more"],
    );
    let (_folder, paths) = with_transformer(|tensors| {
        tensors.retain(|(name, _)| !name.starts_with("img_emb."));
    });
    let files = ModelFiles::find(&paths, Strengths { dora: None, distill: 0.0 }, &Unwatched);
    let files = files.unwrap();
    let error = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap_err().to_string();
    assert!(error.contains("36 input channels") && error.contains("img_emb"), "{error}");
    let (_folder, paths) = with_transformer(|tensors| {
        tensors.retain(|(name, _)| !name.starts_with("blocks.1.cross_attn.k_img"));
    });
    let none = Strengths { dora: None, distill: 0.0 };
    let files = ModelFiles::find(&paths, none, &Unwatched).unwrap();
    let error = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap_err().to_string();
    assert!(error.contains("blocks.1.cross_attn.k_img.weight"), "{error}");
}

#[test]
fn a_transformer_that_lacks_a_bias_is_refused_by_tensor() {
    for lacking in ["blocks.0.cross_attn.k_img.bias", "blocks.2.ffn.0.bias", "img_emb.proj.1.bias"]
    {
        let (_folder, paths) =
            with_transformer(|tensors| tensors.retain(|(name, _)| name != lacking));
        let none = Strengths { dora: None, distill: 0.0 };
        let found = ModelFiles::find(&paths, none, &Unwatched);
        let read = |files: ModelFiles| DitConfig::infer(&files.dit, files.config.as_deref());
        let error = found.and_then(read).unwrap_err().to_string();
        assert!(error.contains(lacking), "{error}");
    }
}

#[test]
fn a_first_last_frame_model_adds_a_place_to_the_tokens_of_each_image() {
    let positions = Tensor::arange(34 * 160, (Kind::Float, tch::Device::Cpu)).sin() * 0.3;
    let positions = positions.view([1, 34, 160]);
    let copy = positions.copy();
    let (_folder, paths) =
        with_transformer(|tensors| tensors.push(("img_emb.emb_pos".into(), copy)));
    let files = ModelFiles::find(&paths, Strengths::default(), &Unwatched).unwrap();
    let config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
    assert!(config.has_last_image());
    let load = |files: &ModelFiles| {
        let weights =
            Weights::new(files.dit.clone(), files.adapters.clone(), Kind::Float, Device::cpu());
        let config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
        Dit::load(&weights, config, &Unwatched).unwrap()
    };
    let (dit, case) = (load(&files), Case::all().next().unwrap());
    let plain = load(&case.files);
    let feature = case.tensor("clip.feature");
    let both = Tensor::cat(&[&feature, &(&feature * -0.5)], 0);
    let condition = case.tensor("condition");
    let found = dit.image(&both, &condition).unwrap();
    // The sum by hand, through a transformer without positions.
    let placed = both.view([1, 34, 160]) + positions;
    let expected = plain.image(&placed, &condition).unwrap();
    assert_eq!(found.tokens().size(), [1, 34, 48]);
    assert_eq!(found.tokens(), expected.tokens());
    let error = dit.image(&feature, &condition).unwrap_err().to_string();
    assert!(error.contains("17 tokens") && error.contains("34"), "{error}");

    // All of the tokens are attended to.
    let latent = case.tensor("dit.probe.latent").unsqueeze(0);
    let size = latent.size();
    let velocity = |mut image| {
        let rope = dit.rope([size[2], size[3], size[4]]).unwrap();
        let mut prompt = dit.prompt(&case.tensor("context")).unwrap();
        let image = Some(&mut image);
        dit.forward_from(&latent, &[500.0], &mut prompt, image, &rope, &Unwatched).unwrap()
    };
    let changed = Tensor::cat(&[&feature, &(&feature * 0.5)], 0);
    let changed = velocity(dit.image(&changed, &condition).unwrap());
    assert!((velocity(found) - changed).abs().max().double_value(&[]) > 1e-3);
}

/// What Diffusers computes with a first-last-frame transformer of random weights
/// (`first_last_frame/write.py`).
#[test]
fn a_first_last_frame_transformer_computes_what_diffusers_computes() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/first_last_frame");
    let (set, config) = find_transformer(&[folder.join("transformer")]).unwrap();
    assert!(config.has_last_image() && config.image.as_ref().unwrap().tokens == Some(10));
    let golden = TensorFile::open(&folder.join("golden.safetensors")).unwrap();
    let read = |name: &str| golden.read(Device::cpu(), name).unwrap();
    let weights = Weights::new(set.clone(), vec![], Kind::Float, Device::cpu());
    let dit = Dit::load(&weights, config, &Unwatched).unwrap();
    assert!(set.unused().is_empty() && set.foreign().is_empty(), "{:?}", set.unused());
    let rope = dit.rope([2, 4, 6]).unwrap();
    let mut prompt = dit.prompt(&read("context")).unwrap();
    let mut image = dit.image(&read("feature"), &read("condition")).unwrap();
    let timestep = read("timestep").double_value(&[0]);
    let found = dit
        .forward_from(
            &read("latent"),
            &[timestep],
            &mut prompt,
            Some(&mut image),
            &rope,
            &Unwatched,
        )
        .unwrap();
    let expected = read("velocity");
    let max = |x: Tensor| x.abs().max().double_value(&[]);
    let error = max(&found - &expected) / max(expected);
    println!("relative error {error:.1e}");
    assert!(error < 1e-5, "{error:e}");
}
