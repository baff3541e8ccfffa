//! The command gives what the authors' released code gives: every reference case from prompt to
//! video, tensor by tensor (`tests/data/README.md` says what each is).

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use exr::prelude::{
    AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer, LayerAttributes, WritableImage,
};
use support::reference::{Case, relative_error};
use support::render::Render;
use wan_alpha_core::tch::Tensor;
use wan_alpha_take::{Interpolation, Mask, Track};

#[test]
fn every_reference_through_the_command() {
    for case in Case::all() {
        case.check(&case.render([case.model()]).run().succeeded().dump());
    }
}

#[test]
fn an_ellipse_on_the_command_line_is_the_one_of_a_track_file() {
    for case in Case::all() {
        let track = case.setting("ellipse_track").as_array().unwrap();
        let numbers = |ellipse: &serde_json::Value| {
            ["x", "y", "a", "b", "angle"].map(|name| ellipse[name].to_string()).join(",")
        };
        let still = track.iter().all(|ellipse| ellipse == &track[0]);
        let ellipse = if still {
            numbers(&track[0])
        } else {
            // Latent frame k is sampled in the middle of what it stands for: 0, then 4k − 1.5.
            let frame = |k: usize| if k == 0 { 0.0 } else { 4.0 * k as f64 - 1.5 };
            let keys = track.iter().enumerate();
            keys.map(|(k, e)| format!("{}: {}", frame(k), numbers(e))).collect::<Vec<_>>().join(";")
        };
        let render = case.take([case.model()]).with("--ellipse", ellipse);
        case.check(&render.run().succeeded().dump());
    }
}

#[test]
fn keys_are_joined_by_lines_or_smooth_curves() {
    let keys = "0: 0.2,0.5,0.6,0.4,0; 4: 0.3,0.6,0.6,0.4,20; 16: 0.8,0.4,0.9,0.5,90";
    let masks = [Interpolation::Linear, Interpolation::Smooth].map(|interpolation| {
        let render = Render::of(Case::named("t2v-euler").model()).size(96, 64, 17).dumped();
        let render = render.with("--ellipse", keys);
        let done = render.with("--ellipse-interp", interpolation.name()).run().succeeded();
        let track = Track::parse(keys, interpolation).unwrap().at_latent_frames(5);
        let expected = Tensor::from_slice(Mask::gaussian(&track, 12, 8).values()).view([5, 8, 12]);
        let mask = done.dump().read(wan_alpha_core::device::Device::cpu(), "mask").unwrap();
        // A request holds its numbers to 1e-6.
        assert!(relative_error(&mask, &expected) <= 1e-5);
        mask
    });
    assert!(relative_error(&masks[0], &masks[1]) > 1e-3);
}

#[test]
fn the_strength_of_the_shift_may_be_negative_or_nothing() {
    let shifted = |mu: &str| {
        let render = Render::of(Case::named("t2v-euler").model()).size(64, 48, 5).dumped();
        let dump = render.with("--mu", mu).run().succeeded().dump();
        dump.read(wan_alpha_core::device::Device::cpu(), "noise.shifted").unwrap()
            - dump.read(wan_alpha_core::device::Device::cpu(), "noise").unwrap()
    };
    let (none, more, less) = (shifted("0"), shifted("0.25"), shifted("-0.25"));
    assert_eq!(none.abs().max().double_value(&[]), 0.0);
    // The shift is rounded to where the noise is.
    assert!((&more + &less).abs().max().double_value(&[]) < 1e-6);
    assert!((more.max().double_value(&[]) - 0.25).abs() < 1e-6);
}

#[test]
fn the_released_mask_file_is_brought_to_the_latent_grid() {
    for case in Case::all() {
        let render = case.take([case.model()]).with("--mask", case.mask_file());
        let dump = render.run().succeeded().dump();
        case.close(
            "mask_file.resized",
            &dump.read(wan_alpha_core::device::Device::cpu(), "mask").unwrap(),
            1e-5,
        );
        // Noise is drawn as ever, and shifted by this mask and no other.
        let noise = dump.read(wan_alpha_core::device::Device::cpu(), "noise").unwrap();
        case.close("noise", &noise, 1e-5);
        let mu = case.setting("mu").as_f64().unwrap();
        let shifted = noise + (1.0 - case.golden("mask_file.resized")) * mu;
        let error = relative_error(
            &dump.read(wan_alpha_core::device::Device::cpu(), "noise.shifted").unwrap(),
            &shifted,
        );
        assert!(error <= 1e-5, "{error:e}");
    }
}

#[test]
fn a_sequence_of_images_is_a_mask_like_any_other() {
    for case in Case::all() {
        for kind in ["png", "exr"] {
            let render = case.take([case.model()]);
            for (number, image) in images(&case.golden("mask")).iter().enumerate() {
                let path = render.file(&format!("masks/mask.{:04}.{kind}", number + 1001), "");
                image.write(&path);
            }
            let masks = render.path(if kind == "png" { "masks" } else { "masks/mask.####.exr" });
            case.check(&render.with("--mask", masks).run().succeeded().dump());
        }
    }
}

#[test]
fn prompts_are_read_from_files() {
    let case = Case::named("t2v-guided");
    let render = case.render([case.model()]);
    // With the mark some editors begin a file with, and the line end all of them end it with.
    let prompt = render.file("prompt.txt", format!("\u{feff}{}\r\n", case.text("prompt")));
    let negative = render.file("negative.txt", case.text("negative_prompt"));
    let at = |path: &Path| format!("@{}", path.display());
    let render = render.with("--prompt", at(&prompt)).with("--negative", at(&negative));
    case.check(&render.run().succeeded().dump());
}

#[test]
fn bfloat16_is_near_the_reference() {
    let case = Case::named("t2v");
    let render = case.render([case.model()]).with("--dtype", "bf16");
    let done = render.run().succeeded();
    assert_eq!(done.take()["request"]["precision"], "bf16");
    let latent = done.dump().read(wan_alpha_core::device::Device::cpu(), "latent.final").unwrap();
    let error = relative_error(&latent, &case.golden("latent.final"));
    // Eight bits of mantissa through four steps. Equal numbers would mean it was not used.
    assert!((1e-5..0.1).contains(&error), "{error:e}");
}

#[test]
fn strength_0_leaves_an_adapter_out() {
    let case = Case::named("t2v");
    let latent = |render: Render| {
        render
            .run()
            .succeeded()
            .dump()
            .read(wan_alpha_core::device::Device::cpu(), "latent.final")
            .unwrap()
    };
    let render = || case.render([case.model()]);
    let model = |parts: &[&str]| {
        let parts = parts.iter().map(|part| case.model().join(part));
        let shards = (1..=9).map(|n| {
            case.model().join(format!("diffusion_pytorch_model-{n:05}-of-00009.safetensors"))
        });
        shards.chain(parts).collect::<Vec<_>>()
    };
    let always = [
        support::model::TEXT,
        support::model::VAE,
        support::model::DECODERS,
        support::model::TOKENIZER,
    ];
    let without = |other| latent(case.render(model(&[&always[..], &[other]].concat())));
    let (no_dora, no_distill) = (without(support::model::DISTILL), without(support::model::DORA));
    assert_eq!(latent(render().with("--distill-strength", "0")), no_distill);
    // Of the DoRA the lengths of rows are left, as ever smaller strengths have it.
    let (none, next_to_none) = ("0", "0.0001");
    let [none, next] = [none, next_to_none].map(|s| latent(render().with("--dora-strength", s)));
    assert!(relative_error(&next, &none) < 1e-3, "{}", relative_error(&next, &none));
    assert!(relative_error(&no_dora, &none) > 1e-2, "{}", relative_error(&no_dora, &none));
    for flag in ["--dora-strength", "--distill-strength"] {
        let off = latent(render().with(flag, "0"));
        let half = latent(render().with(flag, "0.5"));
        assert!(relative_error(&half, &off) > 1e-3, "{flag}");
        assert!(relative_error(&half, &case.golden("latent.final")) > 1e-3, "{flag}");
    }
}

/// A mask's frame as an image.
struct MaskImage {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

/// `[frames, height, width]` → one image for each frame.
fn images(mask: &Tensor) -> Vec<MaskImage> {
    let size = mask.size();
    let image = |frame| MaskImage {
        width: size[2] as usize,
        height: size[1] as usize,
        values: mask.get(frame).flatten(0, -1).try_into().unwrap(),
    };
    (0..size[0]).map(image).collect()
}

impl MaskImage {
    fn write(&self, path: &Path) {
        if path.extension().is_some_and(|kind| kind == "png") {
            // 16 bits keep 1e-5.
            let samples = self.values.iter().map(|value| (value * 65535.0).round() as u16);
            image::ImageBuffer::<image::Luma<u16>, _>::from_raw(
                self.width as u32,
                self.height as u32,
                samples.collect::<Vec<_>>(),
            )
            .unwrap()
            .save(path)
            .unwrap();
            return;
        }
        let channel = AnyChannel::new("Y", FlatSamples::F32(self.values.clone()));
        let layer = Layer::new(
            (self.width, self.height),
            LayerAttributes::default(),
            Encoding::FAST_LOSSLESS,
            AnyChannels::sort([channel].into_iter().collect()),
        );
        Image::from_layer(layer).write().to_file(path).unwrap();
    }
}
