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
pub(super) struct TimingHistory {
    path: PathBuf,
    known: BTreeMap<String, f64>,
}

/// One take on its way.
#[derive(Debug)]
pub(super) struct TimedRun {
    keys: BTreeMap<Stage, String>,
    expected: BTreeMap<Stage, f64>,
    /// Steps that each stage is known or expected to have.
    steps: BTreeMap<Stage, usize>,
    stage: Option<(Stage, Instant, usize)>,
    took: BTreeMap<Stage, f64>,
}

impl TimingHistory {
    /// What earlier engines learned; losing it costs an estimate.
    pub(super) fn read(state: &Path) -> Self {
        let path = state.join("pace.json");
        let text = fs::read(&path).ok();
        let known = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { path, known }
    }

    /// Starts the clock of a take that begins now.
    pub(super) fn begin(&self, request: &TakeRequest, device: &str) -> TimedRun {
        let kind = |stage: Stage| {
            let TakeRequest { width, height, frames, precision, .. } = request;
            let size = match stage {
                Stage::Sample => format!("{width}x{height}x{frames}"),
                Stage::Decode => format!("{width}x{height}"),
                Stage::Load | Stage::Text | Stage::Encode => String::new(),
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
        TimedRun { keys, expected, steps, stage: None, took: BTreeMap::new() }
    }

    /// Keeps what a finished take has taught.
    pub(super) fn learn(&mut self, run: TimedRun) {
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

impl TimedRun {
    /// Seconds of sampling and of decoding, where earlier takes tell.
    pub(super) fn learned(&self) -> Option<(f64, f64)> {
        let whole = |stage| Some(self.expected.get(&stage)? * *self.steps.get(&stage)? as f64);
        Some((whole(Stage::Sample)?, whole(Stage::Decode)?))
    }

    /// What to expect of a stage, in seconds, until it is known better.
    pub(super) fn suppose(&mut self, stage: Stage, seconds: f64) {
        if let Some(&steps) = self.steps.get(&stage).filter(|steps| **steps > 0) {
            self.expected.entry(stage).or_insert(seconds / steps as f64);
        }
    }

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
        let now = left(stage, of.saturating_sub(step));
        // What comes before sampling is minutes where a take is hours, and may not be known yet.
        let mut seconds = if stage < Stage::Sample { now.unwrap_or(0.0) } else { now? };
        // Stages that are still to come; loading may be skipped and is not counted.
        for later in [Stage::Sample, Stage::Decode].into_iter().filter(|later| *later > stage) {
            seconds += left(later, *self.steps.get(&later)?)?;
        }
        Some(seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wan_alpha_take::NUMERICS;

    use super::*;

    fn request(frames: u32) -> TakeRequest {
        let latent_frames = (frames as usize - 1) / 4 + 1;
        let ellipse = serde_json::json!({ "x": 0.5, "y": 0.5, "a": 0.6, "b": 1.0, "angle": 0.0 });
        let request = serde_json::json!({
            "version": TakeRequest::VERSION, "numerics": NUMERICS, "prompt": "smoke",
            "negative_prompt": null, "seed": 5, "frames": frames, "width": 48, "height": 32,
            "take_rate": 16, "ellipse": vec![ellipse; latent_frames], "mask": null,
            "mu": vec![0.05; latent_frames], "mu_scale": 1.0, "steps": 4, "shift": 5.0,
            "guidance": 1.0, "solver": "unipc", "dora_strength": 1.0, "distill_strength": 1.0,
            "precision": "f32", "decode_tiling": "whole", "model": "tiny",
            "model_fingerprint": "0".repeat(64), "first_image": null,
        });
        TakeRequest::from_json(&request.to_string()).unwrap()
    }

    /// A take of 2 s a step of sampling and 5 s a latent frame; what it said after each step.
    fn go_through(run: &mut TimedRun, latent_frames: usize) -> Vec<Option<f64>> {
        let mut now = Instant::now();
        let mut said = Vec::new();
        for (stage, steps, seconds) in
            [(Stage::Text, 2, 1), (Stage::Sample, 4, 2), (Stage::Decode, latent_frames, 5)]
        {
            for step in 0..=steps {
                if step > 0 {
                    now += Duration::from_secs(seconds);
                }
                said.push(run.step_at(now, stage, step, steps));
            }
        }
        said
    }

    #[test]
    fn the_time_left_is_learned_from_earlier_takes() {
        let folder = tempfile::tempdir().unwrap();
        let mut pace = TimingHistory::read(folder.path());
        let mut first = pace.begin(&request(5), "cpu");
        assert_eq!(first.learned(), None);
        let said = go_through(&mut first, 2);
        // Decoding is unknown until one of its steps is done.
        assert_eq!(said[..8], [None; 8]);
        assert_eq!(said[8..], [None, Some(5.0), Some(0.0)][..]);
        pace.learn(first);

        // As the next engine reads it.
        let pace = TimingHistory::read(folder.path());
        let mut second = pace.begin(&request(5), "cpu");
        assert_eq!(second.learned(), Some((8.0, 10.0)));
        let expected = [20.0, 19.0, 18.0, 18.0, 16.0, 14.0, 12.0, 10.0, 10.0, 5.0, 0.0];
        assert_eq!(go_through(&mut second, 2), expected.map(Some));
        // Longer takes decode as fast and sample otherwise; another device is another thing.
        assert_eq!(pace.begin(&request(9), "cpu").learned(), None);
        assert_eq!(pace.begin(&request(5), "cuda").learned(), None);
    }

    #[test]
    fn an_estimate_counts_until_it_is_known_better() {
        let pace = TimingHistory::read(Path::new("nowhere"));
        let mut run = pace.begin(&request(5), "cpu");
        run.suppose(Stage::Sample, 400.0);
        run.suppose(Stage::Decode, 20.0);
        let expected = [420.0, 421.0, 420.0, 420.0, 26.0, 24.0, 22.0, 20.0, 20.0, 5.0, 0.0];
        assert_eq!(go_through(&mut run, 2), expected.map(Some));
        run.suppose(Stage::Decode, 1e9);
        assert_eq!(run.learned(), Some((400.0, 20.0)));
    }
}
