//! The engine's jobs and who wants them. Pure bookkeeping: no socket, thread or clock.
//!
//! Equal keys share a job. Jobs run one at a time in the order in which they came. A job lives while
//! it has a holder; the running one is then told to stop, and leaves when it has.
//!
//! Invariants:
//! - A waiting job has a holder.
//! - A render's holder never outlives its connection; a generate's always does.
//! - A node holds one take: its newest.

use std::collections::BTreeSet;

use crate::engine::message::{Holder, Progress};
use crate::key::TakeKey;
use crate::warning::Warning;

/// One connection to the engine; numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What became of a submitted take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The take had no job, and got one.
    Accepted {
        /// How many jobs come before it, the running one included.
        ahead: u32,
    },
    /// One holder more of a job that there was.
    Attached {
        /// How many jobs come before it, the running one included.
        ahead: u32,
    },
}

/// Somebody who no longer waits for a take, and should hear of it.
pub type Dropped = (ConnectionId, TakeKey);

/// A take that somebody wants.
#[derive(Debug)]
pub struct Job<R> {
    key: TakeKey,
    request: R,
    holders: Vec<HolderEntry>,
    running: bool,
    progress: Option<Progress>,
    /// What is to be known of the take, as far as it has been made.
    warnings: Vec<Warning>,
}

#[derive(Debug)]
struct HolderEntry {
    holder: Holder,
    /// Who hears of the job; none once a generate's connection is closed.
    connection: Option<ConnectionId>,
}

impl<R> Job<R> {
    /// The key of the take that the job makes.
    pub fn key(&self) -> TakeKey {
        self.key
    }

    /// How many want it.
    pub fn holders(&self) -> usize {
        self.holders.len()
    }

    /// How far it is; none while it waits.
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// What is to be known of the take, as far as it has been made.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Whether the worker has it.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// The connections that hear of it.
    pub fn watchers(&self) -> BTreeSet<ConnectionId> {
        self.holders.iter().filter_map(|held| held.connection).collect()
    }

    fn release(&mut self, mut goes: impl FnMut(&HolderEntry) -> bool) {
        self.holders.retain(|held| !goes(held));
    }
}

/// All jobs of an engine. `R` is what the worker needs to do one.
#[derive(Debug)]
pub struct JobTable<R> {
    /// In the order of their coming; the running one is first.
    jobs: Vec<Job<R>>,
}

impl<R> Default for JobTable<R> {
    fn default() -> Self {
        Self { jobs: Vec::new() }
    }
}

impl<R> JobTable<R> {
    /// The jobs, the running one first.
    pub fn jobs(&self) -> &[Job<R>] {
        &self.jobs
    }

    /// Whether there is nothing to do and nothing being done.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether the worker has a job.
    pub fn is_running(&self) -> bool {
        self.jobs.first().is_some_and(Job::is_running)
    }

    /// Adds a holder to the take's job, and a job if it has none. A newer Generate of a node takes
    /// the place of its older one, whose connection is among those dropped.
    ///
    /// The same holder again changes nothing but the connection that hears of the job.
    pub fn submit(
        &mut self,
        connection: ConnectionId,
        key: TakeKey,
        holder: Holder,
        request: R,
    ) -> (Submitted, Vec<Dropped>) {
        let dropped = match &holder {
            Holder::Generate { .. } => self.replace_generate(key, &holder, connection),
            Holder::Render | Holder::PatientRender => Vec::new(),
        };
        let held = HolderEntry { holder, connection: Some(connection) };
        let ahead = self.position(key).unwrap_or(self.jobs.len());
        let submitted = match self.jobs.get_mut(ahead) {
            Some(job) => {
                job.release(|other| other.is_same(&held));
                job.holders.push(held);
                Submitted::Attached { ahead: count(ahead) }
            }
            None => {
                let holders = vec![held];
                let (progress, warnings) = (None, Vec::new());
                self.jobs.push(Job { key, request, holders, running: false, progress, warnings });
                Submitted::Accepted { ahead: count(ahead) }
            }
        };
        (submitted, dropped)
    }

    /// Removes a holder; a render is the one of this connection. A node that is none, but has the
    /// take in its project, stands for those whose connection is closed: an earlier session of it.
    /// False if there was nobody.
    pub fn cancel(&mut self, connection: ConnectionId, key: TakeKey, holder: &Holder) -> bool {
        let held = HolderEntry { holder: holder.clone(), connection: Some(connection) };
        let Some(job) = self.job_mut(key) else { return false };
        let before = job.holders.len();
        job.release(|other| other.is_same(&held));
        if job.holders.len() == before && !holder.ends_with_connection() {
            job.release(|other| other.connection.is_none());
        }
        let found = job.holders.len() < before;
        self.drop_unwanted();
        found
    }

    /// A connection is closed: its renders go, its generates stay and no longer hear of anything.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        for job in &mut self.jobs {
            job.release(|held| {
                held.connection == Some(connection) && held.holder.ends_with_connection()
            });
            for held in &mut job.holders {
                held.connection = held.connection.filter(|&other| other != connection);
            }
        }
        self.drop_unwanted();
    }

    /// The next job, from now on the running one; `None` while one runs or none waits.
    pub fn start_next(&mut self) -> Option<&Job<R>> {
        let first = self.jobs.first_mut().filter(|job| !job.running)?;
        first.running = true;
        Some(first)
    }

    /// Whether anybody still wants the running job.
    pub fn is_wanted(&self, key: TakeKey) -> bool {
        self.running(key).is_some_and(|job| !job.holders.is_empty())
    }

    /// Whether somebody wants the running job however long it takes.
    pub fn may_take_hours(&self, key: TakeKey) -> bool {
        let patient = |held: &HolderEntry| held.holder != Holder::Render;
        self.running(key).is_some_and(|job| job.holders.iter().any(patient))
    }

    /// The running job goes on. Returns who should hear of it.
    pub fn advance(&mut self, key: TakeKey, progress: &Progress) -> BTreeSet<ConnectionId> {
        let Some(job) = self.job_mut(key).filter(|job| job.running) else {
            return BTreeSet::new();
        };
        job.progress = Some(progress.clone());
        job.watchers()
    }

    /// Something is to be known of the running job's take. Returns who should hear of it: nobody where
    /// it has been said.
    pub fn warn(&mut self, key: TakeKey, warning: &Warning) -> BTreeSet<ConnectionId> {
        match self.job_mut(key).filter(|job| job.running) {
            Some(job) if !job.warnings.contains(warning) => {
                job.warnings.push(warning.clone());
                job.watchers()
            }
            _ => BTreeSet::new(),
        }
    }

    /// The running job is done or has failed. Returns who should hear of it.
    pub fn finish(&mut self, key: TakeKey) -> BTreeSet<ConnectionId> {
        match self.running(key) {
            Some(_) => self.jobs.remove(0).watchers(),
            None => BTreeSet::new(),
        }
    }

    /// The running job was stopped because nobody wanted it. Where somebody has wanted it since, it
    /// waits again, as the next.
    pub fn stopped(&mut self, key: TakeKey) {
        if self.running(key).is_none() {
            return;
        }
        for job in self.jobs.iter_mut().take(1) {
            job.running = false;
            job.progress = None;
            job.warnings.clear();
        }
        self.drop_unwanted();
    }

    /// Takes every holder away. Returns who should hear of it.
    pub fn stop_all(&mut self) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        for job in &mut self.jobs {
            dropped.extend(job.watchers().into_iter().map(|connection| (connection, job.key)));
            job.holders.clear();
        }
        self.drop_unwanted();
        dropped
    }

    fn replace_generate(
        &mut self,
        key: TakeKey,
        holder: &Holder,
        connection: ConnectionId,
    ) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        for job in self.jobs.iter_mut().filter(|job| job.key != key) {
            let before = job.watchers();
            job.release(|held| held.holder == *holder);
            let after = job.watchers();
            let gone = before.difference(&after).filter(|&&gone| gone != connection);
            dropped.extend(gone.map(|&gone| (gone, job.key)));
        }
        self.drop_unwanted();
        dropped
    }

    fn drop_unwanted(&mut self) {
        self.jobs.retain(|job| job.running || !job.holders.is_empty());
    }

    fn position(&self, key: TakeKey) -> Option<usize> {
        self.jobs.iter().position(|job| job.key == key)
    }

    fn job_mut(&mut self, key: TakeKey) -> Option<&mut Job<R>> {
        self.jobs.iter_mut().find(|job| job.key == key)
    }

    fn running(&self, key: TakeKey) -> Option<&Job<R>> {
        self.jobs.first().filter(|job| job.running && job.key == key)
    }
}

impl<R: Clone> Job<R> {
    /// What the worker needs.
    pub fn request(&self) -> R {
        self.request.clone()
    }
}

impl HolderEntry {
    fn is_same(&self, other: &Self) -> bool {
        let bound = self.holder.ends_with_connection();
        self.holder == other.holder && (!bound || self.connection == other.connection)
    }
}

fn count(jobs: usize) -> u32 {
    u32::try_from(jobs).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
