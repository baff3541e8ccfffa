//! Solvers that add fresh noise, with the model that ships: the subject is where the ellipse is, as long as
//! the fresh noise has its mean raised like the first.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use tch::Kind;
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::{Dit, DitConfig};
use wan_alpha_core::generate::sampling::{Contexts, SamplingNoise, SamplingOptions, sample};
use wan_alpha_core::generate::{FrameSink, SinkError, decode};
use wan_alpha_core::noise::{ShiftedNoise, mask_on_grid};
use wan_alpha_core::text::{Tokenizer, Umt5};
use wan_alpha_core::weights::{ModelFiles, Strengths, Weights};
use wan_alpha_take::frame::Frame;
use wan_alpha_take::{Ellipse, Mask, Solver};

const FRAMES: usize = 5;
const CELLS: usize = 12;

/// What the model that ships multiplies μ by, and normal strength.
const SHIFT: f64 = 10.0 * 0.05;

/// Where alpha is: its center of mass over all frames, from the left in widths.
#[derive(Default)]
struct Center {
    mass: f64,
    moment: f64,
}

impl FrameSink for Center {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError> {
        for (index, pixel) in frame.rgba.chunks_exact(4).enumerate() {
            let x = (index % frame.width) as f64 + 0.5;
            self.mass += f64::from(pixel[3]);
            self.moment += f64::from(pixel[3]) * x / frame.width as f64;
        }
        Ok(())
    }
}

struct Draft {
    files: ModelFiles,
    dit: Dit,
    contexts: Contexts,
}

impl Draft {
    fn load() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../resources/draft-model");
        let files = ModelFiles::find(&[folder], Strengths::default(), &Unwatched).unwrap();
        let config = DitConfig::infer(&files.dit, files.config.as_deref()).unwrap();
        let device = Device::cpu();
        let weights = Weights::new(files.dit.clone(), [], Kind::Float, device);
        let dit = Dit::load(&weights, config, &Unwatched).unwrap();
        let tokens = Tokenizer::open(&files.tokenizer).unwrap().encode_at_most("A red ball", 64);
        let text = Weights::new(files.text.clone(), [], Kind::Float, device);
        let ids = tokens.unwrap().ids;
        let prompt =
            Umt5::new(text).unwrap().encode(&[ids.as_slice()], &Unwatched).unwrap().remove(0);
        Self { files, dit, contexts: Contexts { prompt, negative: None, image: None } }
    }

    /// Where the subject of a take is whose ellipse is at `x`; `fresh_shift` is that of the noise which
    /// steps add.
    fn center(&self, solver: Solver, steps: usize, x: f64, seed: u32, fresh_shift: f64) -> f64 {
        let device = Device::cpu();
        let ellipse = Ellipse { x, y: 0.5, a: 0.5, b: 0.5, angle: 0.0 };
        let mask = Mask::gaussian(&[ellipse; FRAMES], CELLS, CELLS);
        let mask = mask_on_grid(device, &mask, CELLS as i64, CELLS as i64).unwrap();
        let shape = [16, FRAMES as i64, CELLS as i64, CELLS as i64];
        let noises =
            |shift: f64| ShiftedNoise::new(device, seed, &shape, &mask, &[shift; FRAMES]).unwrap();
        let mut started = noises(SHIFT);
        let drawn = started.draw().unwrap();
        let first = started.raise(&drawn).unwrap();
        let mut fresh = noises(fresh_shift);
        drop(fresh.draw().unwrap());
        let mut noise = SamplingNoise { first, fresh: Some(fresh) };
        let options = SamplingOptions { solver, steps, shift: 5.0, guidance: 1.0 };
        let latent =
            sample(&self.dit, &self.contexts, &mut noise, &options, None, &Unwatched).unwrap();
        let mut center = Center::default();
        decode(&self.files.decoders, device, &latent, &mut center, &Unwatched).unwrap();
        center.moment / center.mass
    }
}

#[test]
fn the_subject_is_where_the_ellipse_is_if_fresh_noise_is_shifted_too() {
    let draft = Draft::load();
    let _guard = tch::no_grad_guard();
    for (solver, steps) in [(Solver::Lcm, 8), (Solver::Rcm, 4)] {
        // How far subjects follow an ellipse from left to right: 1 is all the way.
        let follows = |fresh_shift: f64| {
            let seeds = [1, 2];
            let at = |x| {
                let centers =
                    seeds.iter().map(|seed| draft.center(solver, steps, x, *seed, fresh_shift));
                centers.sum::<f64>() / seeds.len() as f64
            };
            (at(0.75) - at(0.25)) / 0.5
        };
        let (with, without) = (follows(SHIFT), follows(0.0));
        println!("{solver}: {with:.2} with, {without:.2} without");
        assert!(with > 0.7, "{solver}: {with:.2} with the shift in fresh noise");
        assert!(without < 0.3, "{solver}: {without:.2} without, {with:.2} with");
    }
}
