//! The way from a clip to a latent against what the authors' code computes (`tests/data`, its README
//! says what each tensor is): float32, on the CPU.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Kind, Tensor};
use tempfile::TempDir;
use wan_alpha_core::device::Device;
use wan_alpha_core::encode::{ClipReader, ClipShape, Options, encode};
use wan_alpha_core::generate::SinkError;
use wan_alpha_core::vae::{
    Corner, Decoder, Encoder, FeatureCache, LATENT_MEAN, LATENT_STD, MergeBlock, RgbaEncoder,
    RgbaFilm, hard_render,
};
use wan_alpha_core::weights::{Decoders, EncoderFiles, ModelFiles, Strengths, TensorFile, Weights};
use wan_alpha_core::{Error, Unwatched};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let max = |x: Tensor| x.to_kind(Kind::Double).abs().max().double_value(&[]);
    max(found - expected) / max(expected.shallow_clone())
}

#[track_caller]
fn close(name: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let error = relative_error(found, expected);
    println!("{name}: {error:.1e}");
    assert!(error <= tolerance, "{name}: relative error {error:e}");
}

/// `[1, c, t, h, w]` → `[1, t, h, w, c]`
fn inward(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 4, 1]).contiguous()
}

/// `[1, t, h, w, c]` → `[1, c, t, h, w]`, the inverse of [`inward`].
fn outward(x: &Tensor) -> Tensor {
    x.permute([0, 4, 1, 2, 3]).contiguous()
}

/// A film in a first chunk of `first` frames and others of `rest`, joined again.
fn in_chunks(
    x: &Tensor,
    first: i64,
    rest: i64,
    mut forward: impl FnMut(&Tensor) -> Tensor,
) -> Tensor {
    let frames = x.size()[1];
    let mut parts = vec![forward(&x.narrow(1, 0, first))];
    let mut at = first;
    while at < frames {
        let count = rest.min(frames - at);
        parts.push(forward(&x.narrow(1, at, count)));
        at += count;
    }
    Tensor::cat(&parts, 1)
}

#[test]
fn latents_of_the_base_encoder_in_chunks_and_in_one_piece() {
    for case in ["t2v", "t2v-guided", "t2v-euler"] {
        let files = [data(case).join("model")];
        let files = ModelFiles::find(&files, Strengths::default(), &Unwatched).unwrap();
        let Decoders::Adapted { base, .. } = &files.decoders else { panic!("no LoRA") };
        let golden = TensorFile::open(&data(case).join("golden.safetensors")).unwrap();
        let input = inward(&golden.read(Device::cpu(), "vae.encode.input").unwrap().unsqueeze(0));
        for (kind, tolerance) in [(Kind::Float, 4e-6), (Kind::Double, 1e-12)] {
            let weights = Weights::new(Arc::clone(base), vec![], kind, Device::cpu());
            let encoder = Encoder::load(&weights, &Unwatched).unwrap();
            let input = input.to_kind(kind);
            let encode = |x: &Tensor, cache: &mut FeatureCache| {
                encoder.forward(x, cache, &Unwatched).unwrap()
            };
            let whole = encode(&input, &mut FeatureCache::default());
            let normalized = (&whole - Tensor::from_slice(&LATENT_MEAN).to_kind(kind))
                / Tensor::from_slice(&LATENT_STD).to_kind(kind);
            let expected = golden.read(Device::cpu(), "vae.encode.latent").unwrap();
            close(case, &outward(&normalized).squeeze_dim(0), &expected.to_kind(kind), 1e-5);
            for (first, rest) in [(1, 4), (5, 4), (1, 8)] {
                let mut cache = FeatureCache::default();
                let chunks = in_chunks(&input, first, rest, |x| encode(x, &mut cache));
                close(&format!("{case} {first}+{rest}"), &chunks, &whole, tolerance);
            }
        }
        assert!(base.unused().iter().all(|name| !name.starts_with("encoder.")));
    }
}

/// The training case, its weights as files that a user would have.
struct Training {
    golden: TensorFile,
    colors: Vec<[f32; 3]>,
    encode_color: usize,
    folder: TempDir,
}

impl Training {
    fn new() -> Self {
        let golden = TensorFile::open(&data("training/training-golden.safetensors")).unwrap();
        let settings = std::fs::read_to_string(data("training/training-golden.json")).unwrap();
        let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (file, prefix, own) in [
            ("vae.safetensors", "weights.vae.", ""),
            ("Wan-Alpha-v2-VAE.safetensors", "weights.merge.", "middle."),
        ] {
            let part: Vec<(String, Tensor)> = golden
                .names()
                .filter_map(|name| Some((name, name.strip_prefix(prefix)?)))
                .map(|(name, rest)| {
                    (format!("{own}{rest}"), golden.read(Device::cpu(), name).unwrap())
                })
                .collect();
            assert!(part.len() > 30);
            Tensor::write_safetensors(&part, folder.path().join(file)).unwrap();
        }
        Self {
            golden,
            colors: serde_json::from_value(settings["colours"].clone()).unwrap(),
            encode_color: settings["colour"]["encode"].as_u64().unwrap() as usize,
            folder,
        }
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.golden.read(Device::cpu(), name).unwrap()
    }

    fn files(&self) -> EncoderFiles {
        EncoderFiles::find(&[self.folder.path().to_owned()]).unwrap()
    }

    fn background(&self) -> Corner {
        Corner::all().nth(self.encode_color).unwrap()
    }

    /// Straight RGBA `[t, h, w, 4]` in [0, 1].
    fn rgba(&self) -> Tensor {
        let alpha = self.tensor("video.pha");
        let spread = (alpha.narrow(1, 0, 1) - &alpha).abs().max().double_value(&[]);
        assert_eq!(spread, 0.0, "alpha is one channel three times");
        let rgba = Tensor::cat(&[self.tensor("video.fgr"), alpha.narrow(1, 0, 1)], 1);
        inward(&(rgba * 0.5 + 0.5)).squeeze_dim(0)
    }
}

#[test]
fn the_eight_colors_are_those_of_training() {
    let ours: Vec<_> = Corner::all().map(Corner::rgb).collect();
    assert_eq!(ours, Training::new().colors);
}

#[test]
fn renders_features_and_merged_latent() {
    let case = Training::new();
    let files = case.files();
    let (color, alpha) = (inward(&case.tensor("video.fgr")), inward(&case.tensor("video.pha")));
    let hard = hard_render(&color, &alpha, case.background()).unwrap();
    assert_eq!(outward(&hard), case.tensor("render.encode"));

    for (kind, tolerance) in [(Kind::Float, 4e-6), (Kind::Double, 1e-12)] {
        let weights = |set: &Arc<_>| Weights::new(Arc::clone(set), vec![], kind, Device::cpu());
        let encoder = Encoder::load(&weights(&files.base), &Unwatched).unwrap();
        let merge = MergeBlock::load(&weights(&files.merge), encoder.width()).unwrap();
        let mut features = Vec::new();
        for (x, name) in [(&hard, "feature.fgr"), (&alpha, "feature.pha")] {
            let x = x.to_kind(kind);
            let see = |x: &Tensor, cache: &mut FeatureCache| {
                encoder.features(x, cache, &Unwatched).unwrap()
            };
            let whole = see(&x, &mut FeatureCache::default());
            close(name, &outward(&whole), &case.tensor(name).to_kind(kind), 1e-5);
            let mut cache = FeatureCache::default();
            let chunks = in_chunks(&x, 1, 4, |x| see(x, &mut cache));
            close(&format!("{name} in chunks"), &chunks, &whole, tolerance);
            features.push(whole);
        }
        let both = Tensor::cat(&features, -1);
        let see = |both: &Tensor, cache: &mut FeatureCache| {
            let halves = both.chunk(2, -1);
            merge.forward(&halves[0], &halves[1], cache, &Unwatched).unwrap()
        };
        let whole = see(&both, &mut FeatureCache::default());
        close("merged", &outward(&whole), &case.tensor("latent.merged").to_kind(kind), 1e-5);
        let mut cache = FeatureCache::default();
        let frames = in_chunks(&both, 1, 1, |both| see(both, &mut cache));
        close("merged frame by frame", &frames, &whole, tolerance);
    }
    assert!(files.merge.unused().is_empty(), "{:?}", files.merge.unused());
}

#[test]
fn a_clip_becomes_the_merged_latent_normalized_and_not() {
    let case = Training::new();
    let files = case.files();
    let encoder = RgbaEncoder::load(&files, Kind::Float, Device::cpu(), &Unwatched).unwrap();
    let whole = encoder
        .encode(&case.rgba(), case.background(), &mut RgbaFilm::default(), &Unwatched)
        .unwrap();
    let expected = case.tensor("latent.merged").squeeze_dim(0);
    close("merged", &whole.merged, &expected, 1e-5);
    let column = |values: &[f32]| Tensor::from_slice(values).view([-1, 1, 1, 1]);
    let expected = (expected - column(&LATENT_MEAN)) / column(&LATENT_STD);
    close("normalised", &whole.normalized().unwrap(), &expected, 1e-5);

    let found = |kind| {
        let options = Options { background: case.background(), kind, device: Device::cpu() };
        encode(&files, options, &mut Frames::of(case.rgba()), &Unwatched).unwrap()
    };
    close("frame by frame", &found(Kind::Float), &expected, 1e-5);
    // bfloat16 has 8 bits: 0.4 % in each product, over some thirty layers.
    let error = relative_error(&found(Kind::BFloat16), &expected);
    assert!(error < 5e-2 && error > 1e-4, "{error:e}");
    // Another background shows: there are pixels without alpha.
    let options = Options { background: Corner::WHITE, kind: Kind::Float, device: Device::cpu() };
    let other = encode(&files, options, &mut Frames::of(case.rgba()), &Unwatched).unwrap();
    assert!(relative_error(&other, &expected) > 1e-3);
}

#[test]
fn the_base_decoder_gives_what_it_gives_the_authors() {
    let case = Training::new();
    let files = case.files();
    let weights = Weights::new(files.base, vec![], Kind::Float, Device::cpu());
    let decoder = Decoder::load(&weights, &Unwatched).unwrap();
    let merged = inward(&case.tensor("latent.merged"));
    for (scale, name) in [(1.0, "recon.fgr"), (0.9, "recon.pha")] {
        let latent = &merged * scale;
        let frames = decoder.forward(&latent, &mut FeatureCache::default(), &Unwatched).unwrap();
        close(name, &outward(&frames), &case.tensor(name), 1e-5);
    }
}

#[test]
fn gradients_pass_through_the_merge_block() {
    let case = Training::new();
    let files = case.files();
    let weights = Weights::new(files.merge, vec![], Kind::Double, Device::cpu());
    let merge = MergeBlock::load(&weights, 16).unwrap();
    let [color, alpha] =
        ["feature.fgr", "feature.pha"].map(|name| inward(&case.tensor(name).to_kind(Kind::Double)));
    // Later chunks look back on earlier ones: the whole film at once and frame by frame.
    let loss = |color: &Tensor, chunk: i64| {
        let mut cache = FeatureCache::default();
        let both = Tensor::cat(&[color, &alpha], -1);
        let y = in_chunks(&both, chunk, chunk, |both| {
            let halves = both.chunk(2, -1);
            merge.forward(&halves[0], &halves[1], &mut cache, &Unwatched).unwrap()
        });
        y.square().mean(Kind::Double)
    };
    let direction = Tensor::randn_like(&color);
    let step = 1e-5;
    let moved = |by: f64| loss(&(&color + &direction * by), 3).double_value(&[]);
    let expected = (moved(step) - moved(-step)) / (2.0 * step);
    for chunk in [3, 1] {
        let color = color.copy().set_requires_grad(true);
        loss(&color, chunk).backward();
        let found = (color.grad() * &direction).sum(Kind::Double).double_value(&[]);
        let error = ((found - expected) / expected).abs();
        assert!(error < 1e-6, "chunks of {chunk}: {found} for {expected}");
    }
}

/// A clip in memory.
struct Frames {
    rgba: Tensor,
    next: i64,
}

impl Frames {
    fn of(rgba: Tensor) -> Self {
        Self { rgba, next: 0 }
    }
}

impl ClipReader for Frames {
    fn shape(&self) -> ClipShape {
        let [frames, height, width] = [0, 1, 2].map(|axis| self.rgba.size()[axis] as usize);
        ClipShape { frames, width, height }
    }

    fn frame(&mut self, rgba: &mut [f32]) -> Result<(), SinkError> {
        let count = rgba.len();
        self.rgba.get(self.next).contiguous().copy_data(rgba, count);
        self.next += 1;
        Ok(())
    }
}

#[test]
fn a_film_begins_with_4n_1_frames_and_goes_on_with_4n() {
    let files = Training::new().files();
    let weights = Weights::new(files.base, vec![], Kind::Float, Device::cpu());
    let encoder = Encoder::load(&weights, &Unwatched).unwrap();
    let mut cache = FeatureCache::default();
    let mut encode = |frames: i64, width: i64| {
        let x = Tensor::zeros([1, frames, 16, width, 3], (Kind::Float, tch::Device::Cpu));
        encoder.features(&x, &mut cache, &Unwatched).map_err(|error| error.to_string())
    };
    for (frames, width, words) in
        [(0, 16, "4n+1 frames are due"), (4, 16, "4n+1 frames are due"), (1, 20, "20 × 16")]
    {
        let text = encode(frames, width).unwrap_err();
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(encode(1, 16).unwrap().size(), [1, 1, 2, 2, 16]);
    let text = encode(5, 16).unwrap_err();
    assert!(text.contains("4n frames after the first are due"), "{text}");
    assert_eq!(encode(8, 16).unwrap().size(), [1, 2, 2, 2, 16]);
}

fn copy(from: &Path, to: &Path, change: impl Fn(&str) -> Option<String>) {
    let file = TensorFile::open(from).unwrap();
    let tensors: Vec<_> = file
        .names()
        .filter_map(|name| Some((change(name)?, file.read(Device::cpu(), name).unwrap())))
        .collect();
    Tensor::write_safetensors(&tensors, to).unwrap();
}

#[test]
fn a_training_checkpoint_brings_the_merge_block_and_the_decoders_where_nothing_else_does() {
    let case = Training::new();
    let folder = case.folder.path();
    let merge = folder.join("Wan-Alpha-v2-VAE.safetensors");
    let whole = folder.join("whole.safetensors");
    // As a checkpoint: LoRAs, base layers and other networks beside the block.
    let parts = [data("t2v-euler/model/decoder.bin"), merge.clone()];
    let mut tensors = Vec::new();
    for part in &parts {
        let file = TensorFile::open(part).unwrap();
        tensors.extend(
            file.names().map(|name| (name.to_owned(), file.read(Device::cpu(), name).unwrap())),
        );
    }
    for foreign in
        ["vae_fgr.encoder.conv1.weight", "vae_fgr.conv2.weight", "pipe.dit.blocks.0.norm3.weight"]
    {
        tensors.push((foreign.to_owned(), Tensor::from_slice(&[1f32])));
    }
    Tensor::write_safetensors(&tensors, &whole).unwrap();
    std::fs::remove_file(&merge).unwrap();

    let paths = [folder.to_owned()];
    let Decoders::Adapted { color, alpha, .. } = Decoders::find(&paths).unwrap() else {
        panic!("no LoRA")
    };
    assert_eq!([color.path(), alpha.path()], [&whole, &whole]);
    assert!(case.files().merge.contains("middle.block.conv1.weight"));

    // The released decoders stand before those of a checkpoint.
    let released = folder.join("decoder.safetensors");
    copy(&parts[0], &released, |name| Some(name.to_owned()));
    let Decoders::Adapted { color, .. } = Decoders::find(&paths).unwrap() else {
        panic!("no LoRA")
    };
    assert_eq!(color.path(), released);
    assert_eq!(case.files().merge.paths().collect::<Vec<_>>(), [&whole]);

    // Two merge blocks are one too many.
    copy(&whole, &folder.join("another.safetensors"), |name| {
        name.starts_with("middle.").then(|| name.to_owned())
    });
    let error = EncoderFiles::find(&paths).unwrap_err();
    assert!(matches!(&error, Error::Ambiguous { part, .. } if part == "merge block"), "{error}");
}

#[test]
fn what_is_missing_to_encode_is_said_with_the_file_that_brings_it() {
    let case = Training::new();
    let folder = case.folder.path();
    let decodes_only = folder.join("vae.safetensors");
    copy(&decodes_only, &folder.join("half"), |name| {
        (!name.starts_with("encoder.")).then(|| name.to_owned())
    });
    std::fs::rename(folder.join("half"), &decodes_only).unwrap();
    std::fs::remove_file(folder.join("Wan-Alpha-v2-VAE.safetensors")).unwrap();
    let text = EncoderFiles::find(&[folder.to_owned()]).unwrap_err().to_string();
    for words in ["Wan2.1_VAE.pth", "merge block (Wan-Alpha-v2-VAE.bin)", "incomplete"] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn the_fingerprint_is_of_what_a_latent_depends_on() {
    let case = Training::new();
    let fingerprint = || case.files().fingerprint(&Unwatched).unwrap();
    let change = |file: &str, name: &str| {
        let path = case.folder.path().join(file);
        let mut changed = 0;
        let source = TensorFile::open(&path).unwrap();
        let tensors: Vec<_> = source
            .names()
            .map(|own| {
                changed += u32::from(own == name);
                let tensor = source.read(Device::cpu(), own).unwrap();
                (own.to_owned(), if own == name { tensor + 0.5 } else { tensor })
            })
            .collect();
        assert_eq!(changed, 1);
        let other = path.with_extension("new");
        Tensor::write_safetensors(&tensors, &other).unwrap();
        std::fs::rename(other, path).unwrap();
    };
    let first = fingerprint();
    for unread in ["decoder.conv1.bias", "conv1.bias", "encoder.head.2.bias"] {
        change("vae.safetensors", unread);
        assert_eq!(fingerprint(), first, "{unread}");
    }
    change("vae.safetensors", "encoder.conv1.bias");
    let second = fingerprint();
    assert_ne!(second, first);
    change("Wan-Alpha-v2-VAE.safetensors", "middle.block.conv1.bias");
    assert_ne!(fingerprint(), second);
}
