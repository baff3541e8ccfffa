//! How long a take still takes, learned from earlier ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wan_alpha_core::Stage;
use wan_alpha_take::{Precision, TakeRequest};

/// The stages that take time, in their order.
const STAGES: [Stage; 4] = [Stage::Text, Stage::Load, Stage::Sample, Stage::Decode];

/// Seconds a step of each stage took, by kind of take.
#[derive(Debug)]
pub(super) struct Pace {
    path: PathBuf,
    known: BTreeMap<String, f64>,
}

/// One take on its way.
#[derive(Debug)]
pub(super) struct Run {
    keys: BTreeMap<Stage, String>,
    expected: BTreeMap<Stage, f64>,
    /// Steps that each stage is known or expected to have.
    steps: BTreeMap<Stage, usize>,
    stage: Option<(Stage, Instant, usize)>,
    took: BTreeMap<Stage, f64>,
}

impl Pace {
    /// What earlier engines learned; losing it costs an estimate.
    pub(super) fn read(state: &Path) -> Self {
        let path = state.join("pace.json");
        let text = fs::read(&path).ok();
        let known = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { path, known }
    }

    /// A take begins.
    pub(super) fn begin(&self, request: &TakeRequest, device: &str) -> Run {
        let kind = |stage: Stage| {
            let TakeRequest { width, height, frames, precision, .. } = request;
            let size = match stage {
                Stage::Sample => format!("{width}x{height}x{frames}"),
                Stage::Decode => format!("{width}x{height}"),
                Stage::Load | Stage::Text => String::new(),
            };
            let precision = if *precision == Precision::F32 { "f32" } else { "bf16" };
            let model = request.model_fingerprint.map(|print| print.to_string());
            let model: String = model.unwrap_or_default().chars().take(12).collect();
            format!("{device} {model} {precision} {stage:?} {size}")
        };
        let keys: BTreeMap<_, _> = STAGES.into_iter().map(|stage| (stage, kind(stage))).collect();
        let expected =
            keys.iter().filter_map(|(stage, key)| Some((*stage, *self.known.get(key)?))).collect();
        let steps = BTreeMap::from([
            (Stage::Sample, request.steps as usize),
            (Stage::Decode, request.latent_frames()),
        ]);
        Run { keys, expected, steps, stage: None, took: BTreeMap::new() }
    }

    /// Keeps what a finished take has taught.
    pub(super) fn learn(&mut self, run: Run) {
        for (stage, seconds) in run.took {
            if let Some(key) = run.keys.get(&stage) {
                self.known.insert(key.clone(), seconds);
            }
        }
        let text = serde_json::to_vec_pretty(&self.known).unwrap_or_default();
        if let Err(error) = fs::write(&self.path, text) {
            log::info!("what was learned could not be kept: {error}");
        }
    }
}

impl Run {
    /// A step is done; the seconds left, where they are known.
    pub(super) fn step(&mut self, stage: Stage, step: usize, of: usize) -> Option<f64> {
        self.step_at(Instant::now(), stage, step, of)
    }

    fn step_at(&mut self, now: Instant, stage: Stage, step: usize, of: usize) -> Option<f64> {
        let begun = match self.stage {
            Some((current, begun, _)) if current == stage => begun,
            _ => now,
        };
        self.stage = Some((stage, begun, step));
        self.steps.insert(stage, of);
        if step > 0 {
            self.took.insert(stage, (now - begun).as_secs_f64() / step as f64);
        }
        let left = |stage: Stage, steps: usize| {
            let pace = self.took.get(&stage).or_else(|| self.expected.get(&stage))?;
            Some(pace * steps as f64)
        };
        let mut seconds = left(stage, of.saturating_sub(step))?;
        // Stages that are still to come; loading may be skipped and is not counted.
        for later in [Stage::Sample, Stage::Decode].into_iter().filter(|later| *later > stage) {
            seconds += left(later, *self.steps.get(&later)?)?;
        }
        Some(seconds)
    }
}
