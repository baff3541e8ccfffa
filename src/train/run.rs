//! The loop of a run, the same for every task.
//!
//! Invariants: a run that is stopped, killed or fails goes on from its last state with the losses an
//! unbroken run would have had; what is measured or looked at changes nothing.

#![forbid(unsafe_code)]

use std::thread;
use std::time::Instant;

use anyhow::{Context, Error, Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::train::{Loss, Losses, Optimizer, StepRng, Task};
use wan_alpha_take::counted::counted;

use super::batch_source::{self, BatchSource};
use super::folder::RunFolder;
use super::log::RunLog;
use super::plot;
use super::settings::Settings;
use crate::exit::Exit;
use crate::progress::TerminalProgress;

/// A run, and what it reports to.
pub(super) struct TrainRun<'a> {
    pub(super) device: Device,
    pub(super) settings: &'a Settings,
    pub(super) folder: &'a RunFolder,
    pub(super) progress: &'a TerminalProgress,
    pub(super) watch: &'a dyn Watch,
}

/// What is done for one kind of task alone.
pub(super) trait TaskHooks<T> {
    /// Pictures of what the networks make, averages in place; name and PNG.
    fn samples(&self, task: &T, watch: &dyn Watch) -> Result<Vec<(String, Vec<u8>)>>;

    /// The last touch before the results are written, and what there is to say of it.
    fn finish(&self, task: &T, watch: &dyn Watch) -> Result<Option<String>> {
        let _ = (task, watch);
        Ok(None)
    }
}

/// What a step is to a network's watch: nothing to show, only whether to go on.
struct Within<'a>(&'a dyn Watch);

impl Watch for Within<'_> {
    fn go_on(&self) -> bool {
        self.0.go_on()
    }

    fn warn(&self, message: &str) {
        self.0.warn(message);
    }
}

impl TrainRun<'_> {
    /// Trains to the last step. Returns the losses on what is held out, where there is any.
    pub(super) fn train<T: Task, F: BatchSource<Batch = T::Batch>>(
        &self,
        task: &mut T,
        feed: &F,
        extras: &dyn TaskHooks<T>,
    ) -> Result<Option<Losses>> {
        let mut optimizer = Optimizer::new(self.settings.optimizer(), task.parameters())?;
        if let Some(state) = self.folder.newest(self.watch)? {
            let restored =
                optimizer.restore(task.parameters(), |name| state.read(self.device, name));
            restored?;
            self.progress.remark(format!("going on after step {}", state.step));
        }
        let begun = optimizer.step();
        let mut log = RunLog::open(self.folder, begun)?;
        self.progress.remark(format!(
            "{} in {}, {}{} to a step",
            counted(task.parameters().count(), "parameter"),
            counted(task.parameters().len(), "tensor"),
            counted(self.settings.clips_per_step(), "clip"),
            if self.settings.data.shapes.is_empty() { "" } else { " of the first shape" },
        ));
        if begun < self.settings.steps {
            self.steps(task, feed, extras, &mut optimizer, &mut log)?;
        }
        let measured = self.measure(task, feed, &mut optimizer)?;
        self.averaged(task, &mut optimizer, |task| {
            if let Some(remark) = extras.finish(task, &Within(self.watch))? {
                self.progress.remark(remark);
            }
            self.export(task)
        })?;
        Ok(measured)
    }

    fn steps<T: Task, F: BatchSource<Batch = T::Batch>>(
        &self,
        task: &mut T,
        feed: &F,
        extras: &dyn TaskHooks<T>,
        optimizer: &mut Optimizer,
        log: &mut RunLog,
    ) -> Result<()> {
        let Settings { steps, accumulate, every, .. } = *self.settings;
        let begun = optimizer.step();
        let mut saved = begun;
        self.progress.update("training", begun as usize, steps as usize);
        let outcome = thread::scope(|scope| {
            let batches = batch_source::prefetch(scope, feed, begun + 1..=steps, accumulate as u64);
            while optimizer.step() < steps {
                let clock = Instant::now();
                let step = optimizer.step() + 1;
                let losses = self.gradients(task, feed, step, || batches.next())?;
                let update = optimizer.update(task.parameters_mut())?;
                log.step(&losses, &update, clock.elapsed().as_secs_f64())?;
                self.progress.update("training", step as usize, steps as usize);

                let due = |every: u64| every > 0 && (step.is_multiple_of(every) || step == steps);
                if due(every.evaluate)
                    && let Some(losses) = self.measure(task, feed, optimizer)?
                {
                    log.held_out(step, &losses)?;
                }
                if due(every.sample) {
                    self.sample(task, optimizer, step, extras)?;
                }
                if due(every.plot) {
                    plot::draw(&self.folder.log(), &self.folder.plot())?;
                }
                // Last: what a state has seen is in the log and in the pictures.
                if due(every.checkpoint) || step == steps {
                    self.save(task, optimizer)?;
                    saved = step;
                    if step < steps {
                        self.averaged(task, optimizer, |task| self.export(task))?;
                    }
                }
            }
            Ok::<(), Error>(())
        });
        let Err(error) = outcome else { return Ok(()) };
        // The last whole step is kept, whatever ended the run, unless its numbers are at fault.
        let step = optimizer.step();
        let diverged = matches!(
            error.downcast_ref::<wan_alpha_core::Error>(),
            Some(wan_alpha_core::Error::Diverged { .. })
        );
        if step > saved && !diverged && self.save(task, optimizer).is_ok() {
            saved = step;
        }
        let error = match Exit::of(&error) {
            Exit::Cancelled => Exit::Cancelled.mark(anyhow!("stopped at step {step} of {steps}")),
            _ => error.context(format!("step {} of {steps}", step + 1)),
        };
        self.progress.note(format!("the same command goes on after step {saved}"));
        Err(error)
    }

    /// Gradients of a whole step, and its losses.
    fn gradients<T: Task, F: BatchSource<Batch = T::Batch>>(
        &self,
        task: &mut T,
        feed: &F,
        step: u64,
        mut next: impl FnMut() -> Result<F::Raw>,
    ) -> Result<Losses> {
        let parts = self.settings.accumulate as u64;
        task.parameters_mut().zero_gradients();
        let mut mean = Mean::default();
        for part in 0..parts {
            let raw = next_unless_stopped(self.watch, &mut next)?;
            let rng = StepRng::new(self.settings.seed, step).part(part);
            let batch = feed.batch(&raw, &rng)?;
            let loss_scale = 1.0 / parts as f64;
            let losses = task.step(&batch, &rng, loss_scale, &Within(self.watch));
            mean.add(&losses?);
        }
        Ok(mean.losses())
    }

    /// The losses on what is held out, of the averages, each time with the same draws.
    fn measure<T: Task, F: BatchSource<Batch = T::Batch>>(
        &self,
        task: &mut T,
        feed: &F,
        optimizer: &mut Optimizer,
    ) -> Result<Option<Losses>> {
        if feed.eval_batches() == 0 {
            return Ok(None);
        }
        self.averaged(task, optimizer, |task| {
            let mut mean = Mean::default();
            for index in 0..feed.eval_batches() {
                // Steps count from 1, so that these are nobody else's.
                let rng = StepRng::new(self.settings.seed, 0).part(index);
                let batch = feed.batch(&feed.measure(index)?, &rng)?;
                mean.add(&task.evaluate(&batch, &rng, &Within(self.watch))?);
            }
            Ok(Some(mean.losses()))
        })
    }

    fn sample<T: Task>(
        &self,
        task: &mut T,
        optimizer: &mut Optimizer,
        step: u64,
        extras: &dyn TaskHooks<T>,
    ) -> Result<()> {
        let samples =
            self.averaged(task, optimizer, |task| extras.samples(task, &Within(self.watch)))?;
        for (name, png) in samples {
            crate::media::atomic_file::write_whole(&self.folder.sample(step, &name), &png)?;
        }
        Ok(())
    }

    fn save<T: Task>(&self, task: &T, optimizer: &Optimizer) -> Result<()> {
        let tensors = optimizer.state(task.parameters())?;
        self.folder.save(optimizer.step(), &tensors, self.settings.every.keep)
    }

    fn export<T: Task>(&self, task: &T) -> Result<()> {
        for export in task.export()? {
            export.write(&self.folder.model())?;
        }
        Ok(())
    }

    /// Works with the moving averages in the parameters' place, and puts them back whatever comes.
    fn averaged<T: Task, R>(
        &self,
        task: &mut T,
        optimizer: &mut Optimizer,
        work: impl FnOnce(&T) -> Result<R>,
    ) -> Result<R> {
        optimizer.swap_ema_weights(task.parameters())?;
        let done = work(task);
        optimizer.swap_ema_weights(task.parameters())?;
        done
    }
}

/// The next batch, unless somebody asks to stop while it is waited for.
fn next_unless_stopped<Raw>(
    watch: &dyn Watch,
    next: &mut impl FnMut() -> Result<Raw>,
) -> Result<Raw> {
    if !watch.go_on() {
        return Err(Exit::Cancelled.mark(anyhow!("stopped")));
    }
    next().context("cannot read the training data")
}

/// The mean of several batches' losses.
#[derive(Default)]
struct Mean {
    sums: Vec<Loss>,
    count: f64,
}

impl Mean {
    fn add(&mut self, losses: &Losses) {
        if self.sums.is_empty() {
            self.sums.clone_from(&losses.0);
        } else {
            for (sum, loss) in self.sums.iter_mut().zip(&losses.0) {
                sum.value += loss.value;
            }
        }
        self.count += 1.0;
    }

    fn losses(self) -> Losses {
        let mean = |loss: Loss| Loss { value: loss.value / self.count, ..loss };
        Losses(self.sums.into_iter().map(mean).collect())
    }
}
