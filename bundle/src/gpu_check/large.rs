//! The part `large`: a model of the released sizes and random weights, made on the spot and used by
//! the engine as any other. Load, four steps, decoding, memory at each; a take cancelled in the middle
//! of a step; memory after unloading and after the engine's end. Without a card a small one, so that
//! all of it has been run.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use super::memory::{self, MemorySampler};
use super::plan::{AvailableRoom, TakeShape, fit};
use super::process::{self, ProgramRun, Wish};
use super::report::{Measurement, four_digits};
use super::stages::{self, RenderStage, StageSpan};
use super::{Check, OutOfTime, PartVerdict, must_succeed, random_model};

/// The name that the random model is added under.
const NAME: &str = "gpu-check";
const PROMPT: &str = "a soap bubble drifts through the frame";
const STEPS: &str = "4";
/// Of the take that is cancelled: more than it will get.
const MANY_STEPS: &str = "1000";
/// Written and read again to find out how fast the disk is.
const PROBE: usize = 256 << 20;
/// For the driver to take memory back, and nvidia-smi to say so.
const SETTLING: Duration = Duration::from_millis(1_200);
/// A command of the engine's that computes nothing.
const SHORT: Duration = Duration::from_secs(20);
/// Starting `engine status` and being told takes this long by itself.
const ASKING: f64 = 1.0;
/// What an engine without a model may hold: its context.
const UNLOADED: f64 = 1.2e9;

pub(super) fn run(check: &mut Check<'_>, limit: Duration) -> Result<PartVerdict> {
    let deadline = Instant::now() + limit;
    let Some(card) = check.card.clone() else {
        Stand { check, shape: TakeShape::SMALL, deadline, sampler: None }.run()?;
        let why = "there is no card: a small model on the processor instead";
        return Ok(PartVerdict::LeftOut(why.to_owned()));
    };
    if check
        .report
        .found("machine", "the program can use the card")
        .is_some_and(|found| found.holds == Some(false))
    {
        let why = "the program does not use the card (see machine), and takes days without it";
        return Ok(PartVerdict::LeftOut(why.to_owned()));
    }
    let room = AvailableRoom {
        disk: free_disk(check.scratch)?,
        card: card.free,
        time: limit,
        rate: disk_rate(check.scratch)?,
    };
    check.measured(Measurement::number("disk", room.rate / 1e9, "GB/s"))?;
    let (shape, scaled) = match fit(TakeShape::RELEASED, &room) {
        Ok(fitted) => fitted,
        Err(why) => return Ok(PartVerdict::LeftOut(why)),
    };
    let scaled = scaled.unwrap_or_else(|| format!("{} layers", shape.sizes.layers));
    check
        .measured(Measurement::new("model", scaled).with("parameters", shape.sizes.parameters()))?;
    let sampler = match MemorySampler::start() {
        Ok(sampler) => Some(sampler),
        Err(error) => {
            let why = format!("not measured: {error:#}");
            check.measured(Measurement::new("memory", why))?;
            None
        }
    };
    Stand { check, shape, deadline, sampler }.run()?;
    Ok(PartVerdict::Done)
}

/// The model, and what is done with it.
struct Stand<'a, 'b> {
    check: &'a mut Check<'b>,
    shape: TakeShape,
    deadline: Instant,
    sampler: Option<MemorySampler>,
}

impl Stand<'_, '_> {
    fn run(mut self) -> Result<()> {
        let folder = self.check.scratch.join("large-model");
        let done = self.run_in(&folder);
        // Gigabytes that no later part needs.
        let _ = fs::remove_dir_all(&folder);
        done
    }

    fn run_in(&mut self, folder: &Path) -> Result<()> {
        self.make(folder)?;
        // The sampler's first reading is of before the engine.
        thread::sleep(SETTLING);
        let begun = Instant::now();
        let step = self.take(begun)?;
        self.engine_status()?;
        self.cancel(step)?;
        self.unload(begun)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn make(&mut self, folder: &Path) -> Result<()> {
        let (stop, deadline) = (self.check.stop.clone(), self.deadline);
        let go_on = || {
            ensure!(!stop.asked(), "it was stopped");
            if Instant::now() >= deadline {
                return Err(OutOfTime("time was up while the model was written".into()).into());
            }
            Ok(())
        };
        let begun = Instant::now();
        random_model::write(&self.shape.sizes, folder, &self.check.programs.draft_model, &go_on)?;
        let written = Measurement::number("writing the model", begun.elapsed().as_secs_f64(), "s");
        self.check.measured(written)?;
        let place = folder.to_string_lossy().into_owned();
        let added = self.check.told(&["model", "add", NAME, &place], self.left())?;
        self.check.measured(Measurement::number("its fingerprint", added.seconds(), "s"))
    }

    fn render_line(&self, steps: &str, seed: &str, out: &str) -> Vec<String> {
        let TakeShape { width, height, frames, .. } = self.shape;
        let size = [width, height, frames].map(|number| number.to_string());
        let precision = if self.check.card.is_some() { "bf16" } else { "f32" };
        let out = self.check.scratch.join(out).to_string_lossy().into_owned();
        [
            &["render", "--engine", "--model", NAME, "--prompt", PROMPT, "--guidance", "1"][..],
            &["--steps", steps, "--seed", seed, "--dtype", precision, "--format", "exr"],
            &["--width", &size[0], "--height", &size[1], "--frames", &size[2], "--out", &out],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
    }

    /// Makes a take with a cold engine; seconds of a step.
    fn take(&mut self, begun: Instant) -> Result<f64> {
        let line = self.render_line(STEPS, "1", "large-take");
        let words: Vec<_> = line.iter().map(String::as_str).collect();
        let run = self.check.told(&words, self.left())?;
        let _ = fs::remove_dir_all(self.check.scratch.join("large-take"));
        let spans = stages::spans(&run.lines, run.ended);
        let steps = stages::steps(&run.lines, RenderStage::Sampling);
        let step = steps.iter().copied().fold(f64::INFINITY, f64::min);
        ensure!(
            step.is_finite(),
            "the take told of no steps; its last words: {}",
            run.last_words()
        );

        for (what, stage) in
            [("loading", RenderStage::Loading), ("reading the prompt", RenderStage::Prompt)]
        {
            let seconds = stages::seconds(&spans, stage);
            self.check.measured(Measurement::number(what, seconds, "s"))?;
        }
        let first = steps.first().copied().unwrap_or(step);
        self.check
            .measured(Measurement::number("step", step, "s").with("first_s", four_digits(first)))?;
        let decoding = stages::seconds(&spans, RenderStage::Decoding);
        self.check.measured(Measurement::number("decoding", decoding, "s"))?;
        self.check.measured(Measurement::number("take", run.seconds(), "s"))?;
        self.peaks(begun, &run, &spans)?;
        Ok(step)
    }

    fn peaks(&mut self, begun: Instant, run: &ProgramRun, spans: &[StageSpan]) -> Result<()> {
        let Some(sampler) = &self.sampler else { return Ok(()) };
        let readings = sampler.readings();
        let shape = self.shape;
        for (stage, predicted) in [
            (RenderStage::Loading, shape.loaded()),
            (RenderStage::Sampling, shape.sampling()),
            (RenderStage::Decoding, shape.decoding()),
        ] {
            let of_stage = spans.iter().filter(|span| span.stage == stage);
            let within = of_stage
                .filter_map(|span| memory::peak(&readings, begun, (span.begun, span.ended)));
            if let Some(peak) = within.reduce(f64::max) {
                let what = format!("peak, {}", stage.words());
                let measurement = Measurement::number(what, peak / 1e9, "GB");
                self.check.measured(measurement.predicted(predicted / 1e9))?;
            }
        }
        let whole = memory::peak(&readings, begun, (begun, run.ended));
        let whole = whole.context("nvidia-smi told nothing of memory while the take was made")?;
        let predicted = shape.sampling().max(shape.decoding()) / 1e9;
        self.check.measured(Measurement::number("peak", whole / 1e9, "GB").predicted(predicted))
    }

    /// Whatever the engine says of its device.
    fn engine_status(&mut self) -> Result<()> {
        let status = self.status()?;
        for (name, value) in described(&status) {
            self.check.measured(Measurement::new(format!("engine: {name}"), value))?;
        }
        Ok(())
    }

    fn status(&self) -> Result<Value> {
        let run = self.check.told(&["engine", "status", "--json"], SHORT.min(self.left()))?;
        serde_json::from_str(&run.stdout()).context("`engine status --json` gave no JSON")
    }

    /// Cancels a take half a step after its first; how long until the engine has no job.
    fn cancel(&mut self, step: f64) -> Result<()> {
        let line = self.render_line(MANY_STEPS, "2", "cancelled-take");
        let words: Vec<_> = line.iter().map(String::as_str).collect();
        let half = Duration::from_secs_f64(step / 2.0);
        let (mut first, mut interrupted) = (None, None);
        let mut watch = |line: Option<&process::Said>| {
            let now = Instant::now();
            let told = line.and_then(|line| stages::progress(&line.text));
            if told.is_some_and(|told| told.stage == RenderStage::Sampling && told.step > 0) {
                first.get_or_insert(now);
            }
            if interrupted.is_none() && first.is_some_and(|first: Instant| now >= first + half) {
                interrupted = Some(now);
                return Wish::Interrupt;
            }
            Wish::GoOn
        };
        let mut command = self.check.command(&words);
        let run = process::run_watched(&mut command, self.left(), self.check.stop, &mut watch)?;
        let Some(interrupted) = interrupted else {
            must_succeed(&run, "render")?;
            anyhow::bail!("a take of {MANY_STEPS} steps was made before it could be cancelled");
        };
        ensure!(!run.end.is_success(), "a take was made although it was cancelled");
        while has_jobs(&self.status()?) {
            let too_long = || OutOfTime("the engine still works on a cancelled take".into());
            ensure!(!self.left().is_zero(), too_long());
        }
        let took = interrupted.elapsed().as_secs_f64();
        let blocks = 2.0 * step / self.shape.sizes.layers as f64 + ASKING;
        let expected = format!("≤ two blocks and {ASKING} s for asking, {blocks:.2} s");
        let measurement = Measurement::number("cancel", took, "s");
        // A processor's block of a small model takes no time: only asking would be judged.
        let judged = self.check.card.is_some();
        let measurement =
            if judged { measurement.expected(expected, took <= blocks) } else { measurement };
        self.check.measured(measurement)
    }

    fn unload(&mut self, begun: Instant) -> Result<()> {
        let run = self.check.told(&["engine", "unload"], SHORT.min(self.left()))?;
        self.check.measured(Measurement::number("unloading", run.seconds(), "s"))?;
        while self.status()?["unloading"] == Value::Bool(true) {
            let too_long = || OutOfTime("the engine does not unload".into());
            ensure!(!self.left().is_zero(), too_long());
        }
        self.held("after unloading", begun, UNLOADED)?;
        self.check.stop_engine()?;
        self.held("after the engine's end", begun, UNLOADED / 10.0)
    }

    fn held(&mut self, what: &str, begun: Instant, most: f64) -> Result<()> {
        let Some(sampler) = &self.sampler else { return Ok(()) };
        thread::sleep(SETTLING);
        let Some(held) = memory::now(&sampler.readings(), begun) else {
            anyhow::bail!("nvidia-smi tells nothing of memory");
        };
        let measurement = Measurement::number(format!("memory {what}"), held / 1e9, "GB");
        let expected = format!("≤ {:.2}", most / 1e9);
        self.check.measured(measurement.expected(expected, held <= most))
    }
}

/// What an engine says of its device and its memory, by name.
fn described(status: &Value) -> Map<String, Value> {
    let fields = status.as_object().cloned().unwrap_or_default();
    let of_others = ["engine", "jobs", "clients", "uptime_seconds"];
    fields.into_iter().filter(|(name, _)| !of_others.contains(&name.as_str())).collect()
}

fn has_jobs(status: &Value) -> bool {
    status["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty())
}

fn free_disk(folder: &Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(folder)
        .with_context(|| format!("free space of {} cannot be read", folder.display()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Bytes in a second that a file can be written with and found on the disk.
fn disk_rate(folder: &Path) -> Result<f64> {
    let path = folder.join("probe");
    let probe = || -> std::io::Result<f64> {
        let bytes = vec![0x5a; PROBE];
        let begun = Instant::now();
        fs::write(&path, &bytes)?;
        fs::File::open(&path)?.sync_all()?;
        let took = begun.elapsed().as_secs_f64();
        fs::remove_file(&path)?;
        Ok(PROBE as f64 / took)
    };
    probe().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_the_engine_says_of_its_device_is_kept() {
        let status = json!({
            "engine": { "pid": 7 }, "device": "Cuda(0)", "model": null, "uptime_seconds": 3,
            "clients": 1, "jobs": [], "memory": { "free": 5 }
        });
        let names: Vec<_> = described(&status).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["device", "memory", "model"]);
        assert!(!has_jobs(&status) && !has_jobs(&Value::Null));
        assert!(has_jobs(&json!({ "jobs": [{}] })));
    }

    #[test]
    fn the_disk_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert!(disk_rate(folder.path()).unwrap() > 0.0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(free_disk(folder.path()).unwrap() > 0);
    }
}
