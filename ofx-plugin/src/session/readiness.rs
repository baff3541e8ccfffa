//! Whether a take is there: in the store, being made, failed, or nowhere.

use std::time::{Duration, Instant};

use wan_alpha_take::TakeKey;
use wan_alpha_take::engine::client::{EngineState, JobState, Snapshot};
use wan_alpha_take::engine::message::{DeviceReport, Problem, Progress};
use wan_alpha_take::store::{StoreError, Take};

use super::PluginSession;

/// How long what the engine said about takes of earlier sessions is believed.
const REPORT_LIFETIME: Duration = Duration::from_secs(2);

/// How long a render waits for the engine to say whether it makes a take.
const FIRST_REPORT_TIMEOUT: Duration = Duration::from_millis(40);

/// Whether a take is there, or what has become of it.
#[derive(Debug)]
pub(crate) enum JobReadiness {
    /// It is in the store.
    Ready(Take),
    /// It is being made, or waits for that.
    Pending(JobProgress),
    /// It was not made, and why.
    Failed(Problem),
    /// Its file is damaged, and how; nobody makes it anew.
    Damaged(String),
    /// It is in no store, and nobody makes it.
    Absent,
}

/// How far the making of a take is.
#[derive(Clone, Debug)]
pub(crate) enum JobProgress {
    /// An engine is being looked for or started, for so many seconds now, or has not answered yet.
    Starting(u64),
    /// An engine of another version finishes so many jobs first.
    OtherVersion(u32),
    /// The engine gives no sign of life.
    Silent,
    /// The engine is there and opens its device: which, and for how many seconds now.
    Opening(String, u64),
    /// So many takes come first.
    Queued(u32),
    /// The engine makes it, and is so far.
    Running(Progress),
}

impl PluginSession {
    /// Whether a take is there. Looks into the store; starts nothing.
    pub(crate) fn readiness(&self, key: TakeKey) -> JobReadiness {
        if let Some(take) = self.find(key) {
            return JobReadiness::Ready(take);
        }
        let snapshot = self.client.snapshot();
        match snapshot.jobs.get(&key) {
            // Published in the moment between the two looks; or not where we look.
            Some(JobState::Done) => {
                self.find(key).map_or_else(|| self.not_there(key), JobReadiness::Ready)
            }
            Some(JobState::Failed(problem)) => JobReadiness::Failed(problem.clone()),
            Some(JobState::Running(progress)) => {
                JobReadiness::Pending(JobProgress::Running(progress.clone()))
            }
            Some(JobState::Queued { ahead }) => {
                JobReadiness::Pending(queued_progress(snapshot.device.as_ref(), *ahead))
            }
            Some(JobState::Sent) => JobReadiness::Pending(unanswered_progress(&snapshot.engine)),
            Some(JobState::Cancelled) | None => reported_progress(&snapshot, key)
                .map_or_else(|| self.not_there(key), JobReadiness::Pending),
        }
    }

    /// What is to be said of a take that is not shown and that nobody makes.
    fn not_there(&self, key: TakeKey) -> JobReadiness {
        let damage = self.damaged.lock().get(&key).cloned();
        damage.map_or(JobReadiness::Absent, JobReadiness::Damaged)
    }

    /// Whether a take is there, once the engine was asked whether it makes the take for somebody else:
    /// for an earlier session of this project, or another host. Waits a moment for the first answer.
    pub(crate) fn readiness_everywhere(&self, key: TakeKey) -> JobReadiness {
        let known = self.readiness(key);
        let is_to_ask = match &known {
            JobReadiness::Absent | JobReadiness::Damaged(_) => true,
            // Of what others have made the engine says nothing unasked.
            JobReadiness::Pending(_) => self.client.job(key).is_none_or(|job| job.is_finished()),
            JobReadiness::Ready(_) | JobReadiness::Failed(_) => false,
        };
        if self.batch || !is_to_ask {
            return known;
        }
        let before = self.client.snapshot();
        let first = {
            let mut requested = self.report_requested.lock();
            if requested.is_some_and(|requested| requested.elapsed() < REPORT_LIFETIME) {
                return known;
            }
            requested.replace(Instant::now()).is_none()
        };
        self.client.ask_report();
        if first {
            let end = Instant::now() + FIRST_REPORT_TIMEOUT;
            let mut seen = before.revision;
            while Instant::now() < end {
                seen = self.client.wait(seen, end.saturating_duration_since(Instant::now()));
                let now = self.client.snapshot();
                if now.reports > before.reports || now.engine == EngineState::Absent {
                    break;
                }
            }
        }
        self.readiness(key)
    }

    /// The take, from the store; kept open for the next look.
    fn find(&self, key: TakeKey) -> Option<Take> {
        if let Some(take) = self.open_takes.lock().get(&key) {
            return Some(take.clone());
        }
        let found = self.store.find(&key);
        for problem in &found.problems {
            self.note_damage(key, problem);
        }
        let take = found.take?;
        self.damaged.lock().remove(&key);
        self.open_takes.lock().put(key, take.clone());
        Some(take)
    }

    /// Notes what is wrong with a take's file. One that is damaged is set aside, so that nobody finds
    /// it another time: what it was is remembered until the take is there again.
    pub(crate) fn note_damage(&self, key: TakeKey, problem: &StoreError) {
        log::warn!("{problem}");
        if let StoreError::Damaged { .. } = problem {
            self.damaged.lock().insert(key, problem.to_string());
        }
    }

    /// Closes a take of which a frame was damaged, so that it is looked for again.
    pub(crate) fn close_take(&self, key: TakeKey) {
        self.open_takes.lock().pop(&key);
    }
}

/// How far a take is that so many others come before.
fn queued_progress(device: Option<&DeviceReport>, ahead: u32) -> JobProgress {
    match device {
        // The CPU is open at once.
        Some(DeviceReport { name, opening_seconds: Some(seconds @ 1..), .. }) => {
            JobProgress::Opening(name.clone(), *seconds)
        }
        _ => JobProgress::Queued(ahead),
    }
}

/// How far a take is that the engine has not answered for yet.
fn unanswered_progress(engine: &EngineState) -> JobProgress {
    match engine {
        EngineState::OtherVersion { jobs, .. } => JobProgress::OtherVersion(*jobs),
        EngineState::Silent => JobProgress::Silent,
        EngineState::Starting { seconds } => JobProgress::Starting(*seconds),
        _ => JobProgress::Starting(0),
    }
}

/// How far a take of somebody else is, as a living engine says.
fn reported_progress(snapshot: &Snapshot, key: TakeKey) -> Option<JobProgress> {
    if !matches!(snapshot.engine, EngineState::Ready(_)) {
        return None;
    }
    let report = snapshot.report.as_ref()?;
    let jobs = &report.jobs;
    let place = jobs.iter().position(|job| job.key == key)?;
    let ahead = u32::try_from(place).unwrap_or(u32::MAX);
    let waits = || queued_progress(Some(&report.device), ahead);
    Some(jobs[place].progress.clone().map_or_else(waits, JobProgress::Running))
}
