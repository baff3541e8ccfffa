//! How long a take still takes, learned from earlier ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use wan_alpha_core::Stage;
use wan_alpha_take::TakeRequest;

/// The stages that take time, in their order.
const STAGES: [Stage; 4] = [Stage::Text, Stage::Load, Stage::Sample, Stage::Decode];

/// Seconds a step of each stage took, by kind of take.
#[derive(Debug)]
pub(crate) struct TimingHistory {
    path: PathBuf,
    known: BTreeMap<String, f64>,
}

/// One take on its way.
#[derive(Debug)]
pub(crate) struct TimedRun {
    keys: BTreeMap<Stage, String>,
    expected: BTreeMap<Stage, f64>,
    /// Steps that each stage is known or expected to have.
    steps: BTreeMap<Stage, usize>,
    /// The stage that runs, since when, and how many of its steps were done then.
    stage: Option<(Stage, Instant, usize)>,
    took: BTreeMap<Stage, f64>,
    /// Operations of a step of each stage, where they were counted.
    operations: BTreeMap<Stage, f64>,
}

impl TimingHistory {
    /// What earlier engines learned; losing it costs an estimate.
    pub(crate) fn read(state: &Path) -> Self {
        let path = state.join("pace.json");
        Self { known: known(&path), path }
    }

    /// Starts the clock of a take that begins now.
    pub(crate) fn begin(&self, request: &TakeRequest, device: &str) -> TimedRun {
        let kind = |stage: Stage| {
            let TakeRequest { width, height, frames, precision, .. } = request;
            let size = match stage {
                Stage::Sample => format!("{width}x{height}x{frames}"),
                Stage::Decode => format!("{width}x{height}"),
                Stage::Load | Stage::Text | Stage::Encode => String::new(),
            };
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
        let (took, operations) = Default::default();
        TimedRun { keys, expected, steps, stage: None, took, operations }
    }

    /// Seconds of sampling and decoding together, by takes of other sizes: `work` says how much a
    /// transformer computes in the take of a request.
    pub(crate) fn scaled(
        &self,
        request: &TakeRequest,
        device: &str,
        work: &dyn Fn(&TakeRequest) -> f64,
    ) -> Option<f64> {
        let run = self.begin(request, device);
        let others = |stage: Stage| {
            let key = run.keys.get(&stage).map(String::as_str).unwrap_or_default();
            let kind = key.rsplit_once(' ').map(|(kind, _)| format!("{kind} ")).unwrap_or_default();
            self.known.iter().filter_map(move |(key, seconds)| {
                let sides = key.strip_prefix(&kind)?.split('x').map(str::parse::<u32>);
                Some((sides.collect::<Result<Vec<_>, _>>().ok()?, *seconds))
            })
        };
        // The nearest in size tells most.
        let nearest = |ratios: Vec<(f64, f64)>| {
            let distance = |ratio: f64| ratio.ln().abs();
            let usable = ratios.into_iter().filter(|(ratio, _)| ratio.is_finite() && *ratio > 0.0);
            let best = usable.min_by(|(a, _), (b, _)| distance(*a).total_cmp(&distance(*b)));
            best.map(|(ratio, seconds)| ratio * seconds)
        };
        let sampling = others(Stage::Sample).filter_map(|(sides, seconds)| {
            let &[width, height, frames] = &sides[..] else { return None };
            let other = TakeRequest { width, height, frames, ..request.clone() };
            Some((work(request) / work(&other), seconds))
        });
        let decoding = others(Stage::Decode).filter_map(|(sides, seconds)| {
            let &[width, height] = &sides[..] else { return None };
            let area = |width: u32, height: u32| f64::from(width) * f64::from(height);
            Some((area(request.width, request.height) / area(width, height), seconds))
        });
        let (step, frame) = (nearest(sampling.collect())?, nearest(decoding.collect())?);
        Some(step * f64::from(request.steps) + frame * request.latent_frames() as f64)
    }

    /// Keeps what a finished take has taught, beside what others have meanwhile.
    pub(crate) fn learn(&mut self, run: TimedRun) {
        self.known = known(&self.path);
        for (stage, seconds) in run.took {
            if let Some(key) = run.keys.get(&stage) {
                self.known.insert(key.clone(), seconds);
            }
        }
        let text = serde_json::to_vec_pretty(&self.known).unwrap_or_default();
        if let Err(error) = write(&self.path, &text) {
            log::info!("what was learned could not be kept: {error}");
        }
    }
}

fn known(path: &Path) -> BTreeMap<String, f64> {
    let text = fs::read(path).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Whole or not at all: engines and commands of this user write beside one another.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.persist(path)?;
    Ok(())
}

/// The device of a history: on a processor the pace hangs on its threads.
pub(crate) fn pace_class(class: &str, threads: i32) -> String {
    if class == "cpu" { format!("cpu-{threads}") } else { class.to_owned() }
}

impl TimedRun {
    /// Seconds of sampling and of decoding, where earlier takes tell.
    pub(crate) fn learned(&self) -> Option<(f64, f64)> {
        let whole = |stage| Some(self.expected.get(&stage)? * *self.steps.get(&stage)? as f64);
        Some((whole(Stage::Sample)?, whole(Stage::Decode)?))
    }

    /// What to expect of a stage, in seconds, until it is known better.
    pub(crate) fn suppose(&mut self, stage: Stage, seconds: f64) {
        if let Some(&steps) = self.steps.get(&stage).filter(|steps| **steps > 0) {
            self.expected.entry(stage).or_insert(seconds / steps as f64);
        }
    }

    /// How many operations a stage has: where no earlier take tells, the pace of one stage tells that of
    /// the next.
    pub(crate) fn count(&mut self, stage: Stage, operations: f64) {
        if let Some(&steps) = self.steps.get(&stage).filter(|steps| **steps > 0) {
            self.operations.insert(stage, operations / steps as f64);
        }
    }

    /// Seconds of a step of a stage, from what the other stages of this take took for their operations.
    fn counted(&self, stage: Stage) -> Option<f64> {
        let wanted = self.operations.get(&stage)?;
        let mut measured = self.took.iter().filter_map(|(other, seconds)| {
            self.operations.get(other).map(|operations| seconds / operations)
        });
        measured.next_back().map(|pace| pace * wanted)
    }

    /// What follows is not computing: the next step of the stage begins when it is told next.
    pub(crate) fn interrupt(&mut self) {
        self.stage = None;
    }

    /// A step is done; the seconds left, where they are known.
    pub(crate) fn step(&mut self, stage: Stage, step: usize, of: usize) -> Option<f64> {
        self.step_at(Instant::now(), stage, step, of)
    }

    fn step_at(&mut self, now: Instant, stage: Stage, step: usize, of: usize) -> Option<f64> {
        let (begun, first) = match self.stage {
            Some((current, begun, first)) if current == stage && first <= step => (begun, first),
            _ => (now, step),
        };
        self.stage = Some((stage, begun, first));
        self.steps.insert(stage, of);
        if step > first {
            self.took.insert(stage, (now - begun).as_secs_f64() / (step - first) as f64);
        }
        let left = |stage: Stage, steps: usize| {
            let known = self.took.get(&stage).or_else(|| self.expected.get(&stage)).copied();
            Some(known.or_else(|| self.counted(stage))? * steps as f64)
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
    fn takes_of_other_sizes_tell_where_none_of_this_size_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let mut pace = TimingHistory::read(folder.path());
        let work = |request: &TakeRequest| f64::from(request.frames);
        assert_eq!(pace.scaled(&request(9), "cpu-2", &work), None);
        let mut run = pace.begin(&request(5), "cpu-2");
        go_through(&mut run, 2);
        pace.learn(run);
        // Another process has learned meanwhile, and nothing of either is lost.
        let mut other = TimingHistory { known: BTreeMap::new(), path: pace.path.clone() };
        let mut run = other.begin(&request(81), "cpu-2");
        go_through(&mut run, 21);
        other.learn(run);
        let pace = TimingHistory::read(folder.path());
        // Four steps of 2 s at 5 frames; three latent frames of 5 s.
        assert_eq!(pace.scaled(&request(9), "cpu-2", &work), Some(4.0 * 2.0 * 9.0 / 5.0 + 15.0));
        assert_eq!(pace.scaled(&request(9), "cpu-1", &work), None);
    }

    #[test]
    fn operations_tell_what_no_earlier_take_does() {
        let pace = TimingHistory::read(Path::new("nowhere"));
        let mut run = pace.begin(&request(5), "cuda");
        // Four steps of 2 s; two latent frames of twice the operations.
        run.count(Stage::Sample, 400.0);
        run.count(Stage::Decode, 400.0);
        let expected = [14.0, 12.0, 10.0, 8.0, 8.0, 5.0, 0.0];
        let said = go_through(&mut run, 2);
        assert_eq!(said[..4], [None; 4]);
        assert_eq!(said[4..], expected.map(Some));
    }

    #[test]
    fn a_pause_is_no_computing() {
        let pace = TimingHistory::read(Path::new("nowhere"));
        let mut run = pace.begin(&request(5), "cpu");
        let begun = Instant::now();
        for (seconds, step) in [(0, 0), (2, 1), (3600, 1), (3602, 2), (3604, 3), (3606, 4)] {
            if seconds == 3600 {
                // An hour later the step that was done is told again.
                run.interrupt();
            }
            run.step_at(begun + Duration::from_secs(seconds), Stage::Sample, step, 4);
        }
        assert_eq!(run.took[&Stage::Sample], 2.0);
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
