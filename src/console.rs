//! How the model talks to the terminal, and how long its stages took.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use wan_alpha_core::{Stage, Watch};
use wan_alpha_take::Warning;
use wan_alpha_take::engine::message::Progress;

use crate::interrupt::Interrupt;
use crate::media::sequence;
use crate::progress::TerminalProgress as Screen;

/// A [`Watch`] that shows progress, keeps warnings and timings, and stops on Ctrl-C.
pub(crate) struct Console<'a> {
    progress: &'a Screen,
    interrupt: &'a Interrupt,
    record: Mutex<StageTimings>,
}

struct StageTimings {
    begun: Instant,
    stages: Vec<(Stage, Instant)>,
    warnings: Vec<String>,
    /// What was remarked on, for the same to be said once.
    remarks: Vec<String>,
}

impl<'a> Console<'a> {
    pub(crate) fn new(progress: &'a Screen, interrupt: &'a Interrupt) -> Self {
        let record = StageTimings {
            begun: Instant::now(),
            stages: Vec::new(),
            warnings: Vec::new(),
            remarks: Vec::new(),
        };
        Self { progress, interrupt, record: Mutex::new(record) }
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.record.lock().warnings.clone()
    }

    /// Shows what an engine says of a take.
    pub(crate) fn show(&self, progress: &Progress) {
        let (step, of) = (progress.step as usize, progress.of as usize);
        self.progress.update(&progress.stage, step, of);
    }

    /// Says what is read of folders that hold the same frames twice.
    pub(crate) fn say_choices(&self, folders: &[PathBuf]) {
        for words in sequence::choices(folders) {
            self.remark(&words);
        }
    }

    /// A remark, unless quiet.
    pub(crate) fn remark(&self, message: &str) {
        self.progress.remark(message);
    }

    /// A warning that depends on the machine, and therefore is no part of a take's record.
    pub(crate) fn caution(&self, message: impl Display) {
        self.progress.note(format!("warning: {message}"));
    }

    /// Seconds by stage, and in all.
    pub(crate) fn timings(&self) -> Value {
        let record = self.record.lock();
        let now = Instant::now();
        let ends = record.stages.iter().skip(1).map(|(_, begun)| *begun).chain([now]);
        let mut seconds = Map::new();
        for ((stage, begun), end) in record.stages.iter().zip(ends) {
            let name = name(*stage);
            let before = seconds.get(name).and_then(Value::as_f64).unwrap_or(0.0);
            seconds.insert(name.to_owned(), json!(before + (end - *begun).as_secs_f64()));
        }
        seconds.insert("total".to_owned(), json!((now - record.begun).as_secs_f64()));
        Value::Object(seconds)
    }
}

const fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Load => "load",
        Stage::Text => "text",
        Stage::Sample => "sample",
        Stage::Decode => "decode",
        Stage::Encode => "encode",
    }
}

impl Watch for Console<'_> {
    fn progress(&self, stage: Stage, step: usize, of: usize) {
        let stages = &mut self.record.lock().stages;
        if stages.last().is_none_or(|(last, _)| *last != stage) {
            stages.push((stage, Instant::now()));
        }
        self.progress.update(&stage.to_string(), step, of);
    }

    fn go_on(&self) -> bool {
        !self.interrupt.asked()
    }

    fn writes(&self, verb: &str, step: usize, of: usize) {
        self.progress.update(verb, step, of);
    }

    fn rest_paused(&self, _stage: Stage, step: usize, of: usize) {
        self.progress.update(Progress::SHORT_OF_MEMORY, step, of);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }

    fn warn(&self, message: &str) {
        self.record.lock().warnings.push(message.to_owned());
        self.progress.note(format!("warning: {message}"));
    }

    fn tell(&self, warning: &Warning) {
        let text = warning.to_string();
        let record = &mut *self.record.lock();
        let said = if warning.is_remark() { &mut record.remarks } else { &mut record.warnings };
        // An engine says what was said here before.
        if said.contains(&text) {
            return;
        }
        said.push(text.clone());
        if warning.is_remark() {
            self.progress.remark(text);
        } else {
            self.progress.note(format!("warning: {text}"));
        }
    }
}
