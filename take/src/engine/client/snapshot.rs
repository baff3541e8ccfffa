//! What a client knows, as others read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::message::{
    DeviceReport, Identity, PreviewPicture, Problem, Progress, StatusReport,
};
use crate::key::TakeKey;
use crate::warning::Warning;

/// What a client knows at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Raised with every change.
    pub revision: u64,
    /// How the engine is at this moment.
    pub engine: EngineState,
    /// What the engine computes on, where somebody who waits for a take should know of it: it is
    /// still being opened, or a GPU is not used.
    pub device: Option<DeviceReport>,
    /// The take that the engine has begun last for this process, and what it is computed with, in a
    /// line for people.
    pub begun: Option<(TakeKey, String)>,
    /// The takes that this process asked for: all unfinished ones, and the latest finished.
    pub jobs: BTreeMap<TakeKey, JobState>,
    /// What the engine has said of takes among them: each in the order in which it was said.
    pub warnings: BTreeMap<TakeKey, Vec<Warning>>,
    /// What a take is going to be, of which the engine has said so last.
    pub preview: Option<(TakeKey, Arc<PreviewPicture>)>,
    /// The engine's latest report.
    pub report: Option<StatusReport>,
    /// How many reports there were.
    pub reports: u64,
}

/// How the engine is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineState {
    /// Nobody asked for it so far.
    #[default]
    Unused,
    /// It is being looked for, or greeted.
    Connecting,
    /// Being started, by this process or another.
    Starting {
        /// Whole seconds that this process has waited for it.
        seconds: u64,
    },
    /// At work, or waiting for it.
    Ready(Identity),
    /// Of another version: it finishes these jobs before it is replaced.
    OtherVersion {
        /// Who the engine is, its version included.
        engine: Identity,
        /// How many jobs it has to finish.
        jobs: u32,
    },
    /// It gives no sign of life; it will be ended if it stays so.
    Silent,
    /// There is none, and nobody needs one.
    Absent,
    /// There is none although one is needed.
    Unavailable(Problem),
}

/// How a take goes.
#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    /// The engine has not answered yet; see [`EngineState`].
    Sent,
    /// It waits for others.
    Queued {
        /// Jobs before it when it was queued.
        ahead: u32,
    },
    /// It is being made.
    Running(Progress),
    /// It is published in one of the stores of its request.
    Done,
    /// It will not be made.
    Failed(Problem),
    /// Nobody in this process wants it any more.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Done | Self::Failed(_) | Self::Cancelled)
    }
}

impl Snapshot {
    /// Every unfinished take fails, as there is no engine.
    pub(super) fn fail_all(&mut self, problem: &Problem) {
        self.engine = EngineState::Unavailable(problem.clone());
        for job in self.jobs.values_mut().filter(|job| !job.is_finished()) {
            *job = JobState::Failed(problem.clone());
        }
    }
}
