//! What a latent looks like before it is decoded: a linear map, fitted to the decoders.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod frames;

use std::path::{Path, PathBuf};

use frames::Frames;
use parking_lot::Mutex;
use tch::{Kind, Tensor};
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{DecodeSettings, Keep, Pipeline, TakeInputs};
use wan_alpha_core::preview::{CLIP, LatentSource, fit, middle_cells};
use wan_alpha_core::weights::Strengths;
use wan_alpha_core::{Error, Unwatched, Watch};
use wan_alpha_take::{Ellipse, RequestDraft, Solver, TakeRequest};

fn open(model: &str) -> Pipeline {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(Path::new(model));
    Pipeline::open(&[folder], Strengths::default(), Device::cpu(), Keep::Nothing, &Unwatched)
        .unwrap()
}

fn request(pipeline: &Pipeline, side: u32, change: impl FnOnce(&mut RequestDraft)) -> TakeRequest {
    let mut draft = RequestDraft::new("model".to_owned(), "a large orange flame".to_owned());
    (draft.width, draft.height, draft.frames) = (Some(side), Some(side), Some(17));
    (draft.ellipse, draft.mu) = (vec![Ellipse::default(); 5], vec![0.05; 5]);
    change(&mut draft);
    draft.complete(&pipeline.defaults()).unwrap()
}

/// Keeps the latents that steps lead to.
#[derive(Default)]
struct Predictions(Mutex<Vec<Tensor>>);

impl Watch for Predictions {
    fn wants_prediction(&self) -> bool {
        true
    }

    fn prediction(&self, latent: &Tensor) {
        self.0.lock().push(latent.copy());
    }
}

#[test]
fn every_step_tells_what_it_leads_to_and_the_last_one_the_latent_itself() {
    for solver in [Solver::Euler, Solver::Lcm, Solver::Rcm] {
        let mut pipeline = open("tests/data/t2v-euler/model");
        let request = request(&pipeline, 32, |draft| {
            (draft.solver, draft.steps) = (Some(solver), Some(3));
        });
        let watch = Predictions::default();
        let mut frames = Frames::default();
        let latent = pipeline.latent(&request, TakeInputs::default(), &mut frames, &watch).unwrap();
        let told = watch.0.into_inner();
        assert_eq!(told.len(), 3, "{solver}");
        let off = |tensor: &Tensor| (tensor - &latent).abs().max().double_value(&[]);
        assert!(off(&told[2]) < 1e-5, "{solver}: {}", off(&told[2]));
        assert!(off(&told[0]) > 1e-3, "{solver}: {}", off(&told[0]));
        let untold = open("tests/data/t2v-euler/model")
            .latent(&request, TakeInputs::default(), &mut frames, &Unwatched)
            .unwrap();
        assert!(untold.equal(&latent), "{solver}: being looked at changes the take");
    }
}

/// A soft ball that moves to the right, of another color, size and place for each number.
fn ball(number: usize) -> Vec<f32> {
    let part = |of: usize| (number * of % 7) as f32 / 6.0;
    let color = [part(1), part(2), part(3)];
    let radius = 8.0 + 12.0 * part(4);
    let mut rgba = Vec::new();
    for frame in 0..CLIP.frames {
        let center = [12.0 + 24.0 * part(5) + frame as f32, 12.0 + 24.0 * part(6)];
        for place in 0..CLIP.width * CLIP.height {
            let at = [place % CLIP.width, place / CLIP.width].map(|at| at as f32 + 0.5);
            let far = (at[0] - center[0]).hypot(at[1] - center[1]);
            rgba.extend(color);
            rgba.push(((radius - far) / 6.0).clamp(0.0, 1.0));
        }
    }
    rgba
}

#[test]
fn a_preview_of_the_draft_model_shows_where_the_subject_is_and_its_color() {
    let mut pipeline = open("resources/draft-model");
    let (decoders, encoder) = (&pipeline.files().decoders, pipeline.files().encoder.as_ref());
    let clips = LatentSource::Clips(encoder.unwrap(), &ball);
    let fitted =
        |source: &LatentSource<'_>| fit(decoders, source, Device::cpu(), &Unwatched).unwrap();
    let map = fitted(&clips);
    let of_noise = fitted(&LatentSource::Noise);
    eprintln!("off by {:?}; fitted to noise by {:?}", map.off_by, of_noise.off_by);
    assert!(map == fitted(&clips), "not the same twice");
    assert!(map.off_by[1] < of_noise.off_by[1], "{:?} {:?}", map.off_by, of_noise.off_by);
    let request = request(&pipeline, 96, |draft| {
        (draft.mu, draft.steps, draft.guidance) = (vec![0.5; 5], Some(8), Some(1.0));
    });
    let mut frames = Frames::default();
    let latent = pipeline.latent(&request, TakeInputs::default(), &mut frames, &Unwatched).unwrap();
    let (width, height, cells) = middle_cells(&latent).unwrap();
    assert_eq!((width, height), (12, 12));
    let preview = Tensor::from_slice(&map.picture(width, height, &cells).rgba);
    let preview = preview.view([12, 12, 4]).to_kind(Kind::Double);
    pipeline.decode(&latent, DecodeSettings::of(&request), &mut frames, &Unwatched).unwrap();
    // The third latent frame stands for the frames 5 to 8.
    let decoded: Vec<f32> = frames.0[5..9].concat();
    let decoded = Tensor::from_slice(&decoded).to_kind(Kind::Double).view([4, 12, 8, 12, 8, 4]);
    let decoded = decoded.mean_dim([0i64, 2, 4].as_slice(), false, Kind::Double);
    let alphas = [&preview, &decoded].map(|picture| picture.select(2, 3));
    let off = (&alphas[0] - &alphas[1]).square().mean(Kind::Double).sqrt().double_value(&[]);
    let varies = alphas[1].std(true).double_value(&[]);
    // Color counts where there is something.
    let there = alphas[1].unsqueeze(2);
    let colors = [&preview, &decoded].map(|picture| picture.narrow(2, 0, 3) * &there);
    let color = (&colors[0] - &colors[1]).square().mean(Kind::Double).sqrt().double_value(&[]);
    eprintln!("alpha off by {off:.3}, varies by {varies:.3}; color off by {color:.3}");
    assert!(off < 0.5 * varies, "alpha is off by {off:.3} where it varies by {varies:.3}");
    assert!(color < 0.15, "color is off by {color:.3}");
}

#[test]
fn fitting_can_be_cancelled() {
    struct Stopped;
    impl Watch for Stopped {
        fn go_on(&self) -> bool {
            false
        }
    }
    let pipeline = open("tests/data/t2v-euler/model");
    let decoders = &pipeline.files().decoders;
    let fitted = fit(decoders, &LatentSource::Noise, Device::cpu(), &Stopped);
    assert!(matches!(fitted, Err(Error::Cancelled(_))));
}
