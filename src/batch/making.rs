//! Shots made one after the other, beside other processes with the same table.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::{Map, Value, json};
use wan_alpha_core::device::Opened;
use wan_alpha_take::TakeKey;
use wan_alpha_take::engine::message::ProblemCode;
use wan_alpha_take::store::Store;

use super::models::{AskedShot, Models};
use super::report::{BatchReport, ShotFailure, ShotReport, ShotState};
use super::shots::BatchShot;
use crate::console::Console;
use crate::context::CommandContext;
use crate::exit::{Exit, code_of};
use crate::making_in_place::MakingInPlace;
use crate::output::{TAKE, has_all_files};
use crate::render::write_stored;

/// Between two looks whether other processes have finished with their shots.
const LOOK: Duration = Duration::from_millis(300);

/// A shot whose row has been completed to a request.
pub(super) struct PlannedShot {
    /// Its place in the table.
    pub(super) row: usize,
    pub(super) shot: BatchShot,
    pub(super) key: TakeKey,
    /// The number of its model.
    pub(super) model: usize,
}

impl PlannedShot {
    fn not_begun(&self) -> ShotReport {
        ShotReport::not_begun(&self.shot, Some(&self.key))
    }
}

/// What makes the shots of a batch.
pub(super) struct Making<'a> {
    maker: MakingInPlace<'a>,
    store: &'a Store,
    models: Models<'a>,
    context: &'a CommandContext<'a>,
}

/// What is known of the shots, and a pass over those that are left.
#[derive(Default)]
struct Pass {
    /// Of all shots, by their places in the table.
    reports: BTreeMap<usize, ShotReport>,
    /// How many of them have been dealt with.
    done: usize,
    /// Those that other processes are at.
    others: Vec<PlannedShot>,
    /// Why none is begun any more.
    end: Option<ShotFailure>,
}

impl Pass {
    fn report(&self) -> BatchReport {
        BatchReport { shots: self.reports.values().cloned().collect() }
    }
}

impl<'a> Making<'a> {
    pub(super) fn new(
        opened: &'a Opened,
        store: &'a Store,
        models: Models<'a>,
        context: &'a CommandContext<'a>,
    ) -> Self {
        let maker = MakingInPlace::new(opened, store, context.environment);
        Self { maker, store, models, context }
    }

    /// Makes all of them, and says what became of each in the order of the table. `keep` is given what is
    /// known so far before the first and after each.
    pub(super) fn run(
        mut self,
        shots: Vec<PlannedShot>,
        keep: impl Fn(&BatchReport),
    ) -> BatchReport {
        let reports = shots.iter().map(|planned| (planned.row, planned.not_begun())).collect();
        let mut pass = Pass { others: shots, reports, ..Pass::default() };
        keep(&pass.report());
        let mut has_waited = false;
        loop {
            let left = std::mem::take(&mut pass.others);
            let before = left.len();
            for shot in left {
                let done = pass.done;
                self.step(shot, &mut pass);
                if pass.done > done {
                    keep(&pass.report());
                }
            }
            if pass.others.is_empty() {
                break;
            }
            if pass.others.len() == before {
                if !std::mem::replace(&mut has_waited, true) {
                    let names: Vec<&str> =
                        pass.others.iter().map(|planned| planned.shot.name.as_str()).collect();
                    self.context.console.remark(&format!(
                        "other processes are at {}: they are waited for",
                        names.join(", ")
                    ));
                }
                thread::sleep(LOOK);
            }
        }
        pass.report()
    }

    /// One shot, or none any more.
    fn step(&mut self, planned: PlannedShot, pass: &mut Pass) {
        if pass.end.is_none() && self.context.interrupt.asked() {
            pass.end = Some(failure_of(&Exit::Cancelled.mark(anyhow!("cancelled"))));
        }
        let mut report = ShotReport { failure: pass.end.clone(), ..planned.not_begun() };
        if report.failure.is_none() {
            let begun = Instant::now();
            let console = Console::new(self.context.progress, self.context.interrupt);
            self.context.progress.begin_part(pass.done, pass.reports.len());
            match self.make(&planned, &console) {
                Ok(None) => return pass.others.push(planned),
                Ok(Some(state)) => report.state = state,
                Err(error) => {
                    let failure = failure_of(&error);
                    let text = crate::error_text::in_words(&error);
                    console.caution(format!("shot {} failed: {text}", report.name));
                    // A card that has failed makes no more takes in this process.
                    let ends = failure.code == ProblemCode::GpuFault.as_str()
                        || failure.code == Exit::Cancelled.name();
                    pass.end = ends.then(|| failure.clone());
                    report.failure = Some(failure);
                    report.state = ShotState::Failed;
                }
            }
            report.seconds = begun.elapsed().as_secs_f64();
            report.warnings = console.warnings();
        }
        pass.reports.insert(planned.row, report);
        pass.done += 1;
    }

    /// Makes a shot and writes its files; none where another process is at it.
    fn make(&mut self, planned: &PlannedShot, console: &Console<'_>) -> Result<Option<ShotState>> {
        let PlannedShot { shot, key, .. } = planned;
        let mark = mark_of(shot, key);
        // Whoever is at it writes to its folder.
        let Some(_held) = self.maker.hold(&held_as(shot, key)?)? else { return Ok(None) };
        if is_there(shot, &mark) {
            return Ok(Some(ShotState::There));
        }
        console.remark(&format!("shot {}:", shot.name));
        let is_stored = self.store.find(key).take.is_some();
        let (take, settings) = {
            let context = CommandContext { console, ..*self.context };
            // Read anew, since images of all shots would not fit in memory.
            let AskedShot { asked, model, settings } = self.models.ask(shot, &context)?;
            asked.keep_images(self.store, console)?;
            let files = self.models.files(model);
            let by = (&files, shot.render.memory);
            let take = self.maker.make_unless_claimed(&asked.request, asked.mask(), by, console)?;
            (take, settings)
        };
        let Some(take) = take else { return Ok(None) };
        let more = Map::from_iter([("shot".to_owned(), mark)]);
        write_stored((&shot.render, &settings), &take, more, console)?;
        if let Some(report) = &take.description().report {
            console.remark(&format!("shot {}: the take {report}", shot.name));
        }
        Ok(Some(if is_stored { ShotState::FromStore } else { ShotState::Made }))
    }
}

/// What the folder of a shot says of the row that it was written for.
pub(super) fn mark_of(shot: &BatchShot, key: &TakeKey) -> Value {
    let row = blake3::hash(shot.words.join("\0").as_bytes()).to_hex();
    json!({ "name": shot.name, "key": key, "row": row.as_str() })
}

/// Whether the files of a shot are there, all of them, as its row asks for them.
pub(super) fn is_there(shot: &BatchShot, mark: &Value) -> bool {
    let text = std::fs::read(shot.render.out.join(TAKE)).unwrap_or_default();
    let take: Value = serde_json::from_slice(&text).unwrap_or_default();
    take["state"] == "complete" && take["shot"] == *mark && has_all_files(&shot.render.out, &take)
}

/// What the folder of a shot is held by.
fn held_as(shot: &BatchShot, key: &TakeKey) -> Result<TakeKey> {
    let folder = std::path::absolute(&shot.render.out)?;
    let held = format!("shot\0{}\0{key}", folder.display());
    Ok(TakeKey(*blake3::hash(held.as_bytes()).as_bytes()))
}

pub(super) fn failure_of(error: &anyhow::Error) -> ShotFailure {
    let message = crate::error_text::in_words(error);
    ShotFailure { code: code_of(error), exit: Exit::of(error).code(), message }
}
