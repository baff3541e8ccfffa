//! Image-to-video models of other sizes than the two that there are numbers of: what holds for them must
//! hold for any.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tch::{Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::image_encoder::ImageEncoder;
use wan_alpha_core::train::StepRng;
use wan_alpha_core::weights::{
    ModelFiles, Strengths, Weights, find_image_encoder, find_transformer,
};
use wan_alpha_take::StillImage;
use wan_alpha_take::still_image::take_size;

/// Channels of a head of the image encoder, in every released file.
const HEAD: i64 = 80;

fn random(purpose: &str, shape: &[i64], scale: f64) -> Tensor {
    StepRng::new(3, 0).normal(Device::cpu(), purpose, shape).unwrap() * scale
}

/// Sizes of an image encoder.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    heads: i64,
    patch: i64,
    grid: i64,
    layers: i64,
}

/// The tensors of an image encoder, by Hugging Face's names.
fn tensors(sizes: Sizes) -> Vec<(String, Tensor)> {
    let Sizes { heads, patch, grid, layers } = sizes;
    let width = heads * HEAD;
    let mut all = Vec::new();
    let mut put = |name: String, shape: &[i64], scale: f64| {
        let tensor = random(&name, shape, scale);
        let norm = name.contains("norm") && name.ends_with("weight");
        all.push((format!("vision_model.{name}"), if norm { tensor + 1.0 } else { tensor }));
    };
    let embeddings = "embeddings";
    put(format!("{embeddings}.patch_embedding.weight"), &[width, 3, patch, patch], 0.05);
    put(format!("{embeddings}.class_embedding"), &[width], 0.5);
    put(format!("{embeddings}.position_embedding.weight"), &[grid * grid + 1, width], 0.3);
    for norm in ["pre_layrnorm", "post_layernorm"] {
        put(format!("{norm}.weight"), &[width], 0.1);
        put(format!("{norm}.bias"), &[width], 0.1);
    }
    for i in 0..layers {
        let layer = format!("encoder.layers.{i}");
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            put(format!("{layer}.self_attn.{part}.weight"), &[width, width], 0.08);
            put(format!("{layer}.self_attn.{part}.bias"), &[width], 0.1);
        }
        for norm in ["layer_norm1", "layer_norm2"] {
            put(format!("{layer}.{norm}.weight"), &[width], 0.1);
            put(format!("{layer}.{norm}.bias"), &[width], 0.1);
        }
        for (part, shape) in [("fc1", [2 * width, width]), ("fc2", [width, 2 * width])] {
            put(format!("{layer}.mlp.{part}.weight"), &shape, 0.08);
            put(format!("{layer}.mlp.{part}.bias"), &shape[..1], 0.1);
        }
    }
    all
}

/// What the encoder of Wan2.1 does with `[n, 3, side, side]`, in float64 and head by head.
fn expected(tensors: &[(String, Tensor)], sizes: Sizes, input: &Tensor) -> Tensor {
    let Sizes { heads, patch, layers, .. } = sizes;
    let width = heads * HEAD;
    let get = |name: &str| {
        let name = format!("vision_model.{name}");
        let found = tensors.iter().find(|(other, _)| *other == name).unwrap();
        found.1.to_kind(Kind::Double)
    };
    let norm = |x: &Tensor, name: &str| {
        let mean = x.mean_dim(-1, true, Kind::Double);
        let centered = x - mean;
        let variance = centered.square().mean_dim(-1, true, Kind::Double);
        centered / (variance + 1e-5).sqrt() * get(&format!("{name}.weight"))
            + get(&format!("{name}.bias"))
    };
    let linear = |x: &Tensor, name: &str| {
        x.matmul(&get(&format!("{name}.weight")).tr()) + get(&format!("{name}.bias"))
    };
    let kernel = get("embeddings.patch_embedding.weight");
    let patches = input.to_kind(Kind::Double).conv2d(
        &kernel,
        None::<Tensor>,
        [patch, patch],
        [0, 0],
        [1, 1],
        1,
    );
    let patches = patches.flatten(2, -1).transpose(1, 2);
    let class = get("embeddings.class_embedding").view([1, 1, width]);
    let class = class.expand([patches.size()[0], 1, width], false);
    let x = Tensor::cat(&[class, patches], 1) + get("embeddings.position_embedding.weight");
    let mut x = norm(&x, "pre_layrnorm");
    for i in 0..layers - 1 {
        let layer = format!("encoder.layers.{i}");
        let y = norm(&x, &format!("{layer}.layer_norm1"));
        let part = |name: &str| linear(&y, &format!("{layer}.self_attn.{name}"));
        let (q, k, v) = (part("q_proj"), part("k_proj"), part("v_proj"));
        let of_heads: Vec<Tensor> = (0..heads)
            .map(|head| {
                let own = |x: &Tensor| x.narrow(-1, head * HEAD, HEAD);
                let scores = own(&q).matmul(&own(&k).transpose(1, 2)) / (HEAD as f64).sqrt();
                scores.softmax(-1, Kind::Double).matmul(&own(&v))
            })
            .collect();
        let joined = Tensor::cat(&of_heads, -1);
        x = &x + linear(&joined, &format!("{layer}.self_attn.out_proj"));
        let y = norm(&x, &format!("{layer}.layer_norm2"));
        let y = linear(&y, &format!("{layer}.mlp.fc1")).gelu("none");
        x = &x + linear(&y, &format!("{layer}.mlp.fc2"));
    }
    x
}

fn error(found: &Tensor, expected: &Tensor) -> f64 {
    let most = |x: Tensor| x.to_kind(Kind::Double).abs().max().double_value(&[]);
    most(found.to_kind(Kind::Double) - expected) / most(expected.shallow_clone())
}

/// Bicubic interpolation with A = −0.75, no antialiasing, the border repeated, in float64.
fn bicubic(image: &[f64], [height, width]: [usize; 2], side: usize) -> Vec<f64> {
    let weight = |t: f64| {
        let (a, t) = (-0.75, t.abs());
        match t {
            _ if t <= 1.0 => ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0,
            _ if t < 2.0 => (((t - 5.0) * t + 8.0) * t - 4.0) * a,
            _ => 0.0,
        }
    };
    let taps = |at: usize, from: usize| -> Vec<(usize, f64)> {
        let place = (at as f64 + 0.5) * from as f64 / side as f64 - 0.5;
        let first = place.floor();
        let tap = |n: i64| {
            let index = (first as i64 + n).clamp(0, from as i64 - 1) as usize;
            (index, weight(place - first - n as f64))
        };
        (-1..=2).map(tap).collect()
    };
    let mut found = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            let mut sum = 0.0;
            for (row, of_row) in taps(y, height) {
                for (column, of_column) in taps(x, width) {
                    sum += image[row * width + column] * of_row * of_column;
                }
            }
            found.push(sum);
        }
    }
    found
}

fn encoder(folder: &Path, tensors: &[(String, Tensor)]) -> ImageEncoder {
    let path = folder.join("clip_vision_h.safetensors");
    Tensor::write_safetensors(tensors, &path).unwrap();
    ImageEncoder::new(find_image_encoder(&[path]).unwrap(), Device::cpu()).unwrap()
}

#[test]
fn heads_are_of_eighty_channels_at_every_width_patch_and_grid() {
    for (heads, patch, grid, layers) in [(1, 4, 3, 2), (2, 14, 4, 3), (3, 7, 2, 4), (5, 2, 5, 2)] {
        let sizes = Sizes { heads, patch, grid, layers };
        let folder = tempfile::tempdir().unwrap();
        let tensors = tensors(sizes);
        let encoder = encoder(folder.path(), &tensors);
        assert_eq!((encoder.width(), encoder.tokens()), (heads * HEAD, grid * grid + 1));
        let images = random("images", &[2, 3, 37, 91], 0.5);
        let found = encoder.encode(&images, &Unwatched).unwrap();
        assert_eq!(found.input.size(), [2, 3, grid * patch, grid * patch]);
        let error = error(&found.feature, &expected(&tensors, sizes, &found.input));
        assert!(error < 2e-5, "{sizes:?}: {error:e}");
    }
}

#[test]
fn a_width_that_has_no_heads_is_refused_by_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tensors(Sizes { heads: 1, patch: 4, grid: 2, layers: 2 });
    for (name, tensor) in &mut tensors {
        if name.ends_with("patch_embedding.weight") {
            *tensor = tensor.narrow(0, 0, 72).contiguous();
        }
    }
    let path = folder.path().join("clip_vision_h.safetensors");
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let set = find_image_encoder(&[path]).unwrap();
    let error = ImageEncoder::new(set, Device::cpu()).unwrap_err().to_string();
    assert!(
        error.contains("patch_embedding.weight") && error.contains("multiple of 80"),
        "{error}"
    );
}

#[test]
fn a_layer_that_lacks_its_bias_is_refused_by_tensor() {
    let sizes = Sizes { heads: 1, patch: 4, grid: 2, layers: 2 };
    for part in ["mlp.fc1", "mlp.fc2", "self_attn.out_proj"] {
        let lacking = format!("vision_model.encoder.layers.0.{part}.bias");
        let mut tensors = tensors(sizes);
        tensors.retain(|(name, _)| *name != lacking);
        let folder = tempfile::tempdir().unwrap();
        let encoder = encoder(folder.path(), &tensors);
        let images = random("images", &[1, 3, 8, 8], 0.5);
        let error = encoder.encode(&images, &Unwatched).unwrap_err().to_string();
        assert!(error.contains(&lacking), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn images_of_any_size_are_seen_as_bicubic_interpolation_has_them(
        height in 1_i64..70, width in 1_i64..70
    ) {
        let sizes = Sizes { heads: 1, patch: 5, grid: 3, layers: 1 };
        let folder = tempfile::tempdir().unwrap();
        let encoder = encoder(folder.path(), &tensors(sizes));
        let image = random(&format!("{height} {width}"), &[1, 3, height, width], 0.4);
        let found = encoder.encode(&image, &Unwatched).unwrap().input;
        let (mean, std) = (
            [0.481_454_66, 0.457_827_5, 0.408_210_73],
            [0.268_629_54, 0.261_302_58, 0.275_777_11],
        );
        for channel in 0..3 {
            let one = image.get(0).get(channel).to_kind(Kind::Double).contiguous().view([-1]);
            let one = Vec::<f64>::try_from(one).unwrap();
            let expected = bicubic(&one, [height as usize, width as usize], 15);
            let found = found.get(0).get(channel).to_kind(Kind::Double).contiguous().view([-1]);
            for (found, expected) in Vec::<f64>::try_from(found).unwrap().iter().zip(expected) {
                let at = channel as usize;
                let expected = (expected * 0.5 + 0.5 - mean[at]) / std[at];
                prop_assert!((found - expected).abs() < 2e-4, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn a_take_of_any_image_has_a_size_that_can_be_made_and_nearly_its_aspect(
        width in 1_u32..8000, height in 1_u32..8000
    ) {
        let [wide, high] = take_size([width, height], 832 * 480);
        prop_assert!(wide % 16 == 0 && high % 16 == 0);
        prop_assert!((16..=4096).contains(&wide) && (16..=4096).contains(&high));
        let aspect = f64::from(width) / f64::from(height);
        if (0.2..5.0).contains(&aspect) {
            // Each side loses 15 pixels at most.
            let found = f64::from(wide) / f64::from(high);
            prop_assert!((found / aspect).ln().abs() < (1.0 + 16.0 / f64::from(wide.min(high))).ln());
            prop_assert!(wide * high <= 832 * 480 + 1000);
        }
    }

    #[test]
    fn an_image_of_any_size_is_fitted_into_any_take(
        size in [1_u32..60, 1_u32..60], take in [1_u32..6, 1_u32..6], opaque in any::<bool>()
    ) {
        let [width, height] = size;
        let pixel = |i: u32| [0.1, 0.5, 0.9, if opaque || i.is_multiple_of(3) { 1.0 } else { 0.0 }];
        let image =
            StillImage::new(width, height, (0..width * height).flat_map(pixel).collect()).unwrap();
        let [wide, high] = take.map(|side| side * 16);
        let fitted = image.fitted(wide, high).0;
        prop_assert_eq!([fitted.width(), fitted.height()], [wide, high]);
        for pixel in fitted.pixels() {
            prop_assert!(pixel.iter().all(|value| (0.0..=1.0).contains(value)));
            // A color that is everywhere the same stays so wherever it is seen.
            let kept = [0.1, 0.5, 0.9].iter().zip(pixel).all(|(a, b)| (a - b).abs() < 1e-4);
            prop_assert!(pixel[3] == 0.0 || kept, "{:?}", pixel);
        }
    }
}

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

/// A DoRA on the layers that make keys and values of an image: rows of W + s·B·A, brought to the lengths
/// that it gives.
#[test]
fn a_dora_on_keys_of_an_image_is_merged_as_on_any_layer() {
    for (case, ranks) in [("i2v", [1, 3]), ("i2v-guided", [2, 5])] {
        let dim = find_transformer(&[data(case).join("model")]).unwrap().1.dim;
        let mut tensors = Vec::new();
        for (layer, rank) in ["k_img", "v_img"].into_iter().zip(ranks) {
            let name = |part: &str| {
                format!("diffusion_model.blocks.1.cross_attn.{layer}.{part}.default.weight")
            };
            let put = |part: &str, shape: &[i64]| (name(part), random(&name(part), shape, 0.3));
            tensors.push(put("lora_A", &[rank, dim]));
            tensors.push(put("lora_B", &[dim, rank]));
            let lengths = put("lora_magnitude_vector", &[dim]);
            tensors.push((lengths.0, lengths.1.abs() + 0.5));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dora.safetensors");
        Tensor::write_safetensors(&tensors, &path).unwrap();
        let mut paths = files_but_the_dora(case);
        paths.push(path);
        let none = Strengths { distill: 0.0, ..Strengths::default() };
        let files = ModelFiles::find(&paths, none, &Unwatched).unwrap();
        assert_eq!(files.adapters.len(), 1);
        assert!(files.adapters[0].unmatched().is_empty());
        let dit = files.dit.clone();
        let weights = Weights::new(dit.clone(), files.adapters, Kind::Float, Device::cpu());
        for (layer, triple) in ["k_img", "v_img"].into_iter().zip(tensors.chunks(3)) {
            let name = format!("blocks.1.cross_attn.{layer}.weight");
            let [a, b, lengths] = [0, 1, 2].map(|at| triple[at].1.to_kind(Kind::Double));
            let base = dit.read(Device::cpu(), &name).unwrap().to_kind(Kind::Double);
            let rows = base + b.matmul(&a);
            let norms = rows.square().sum_dim_intlist(1, true, Kind::Double).sqrt();
            let expected = rows / norms * lengths.view([-1, 1]);
            let error = error(&weights.get(&name, &[dim, dim]).unwrap(), &expected);
            assert!(error < 1e-6, "{case} {layer}: {error:e}");
        }
    }
}
