//! A job of a farm before it is written in the farm's form.

use std::path::PathBuf;

/// A shot as a farm is told of it.
pub(super) struct JobShot {
    pub(super) name: String,
    /// Gigabytes of a card's memory; none where it needs no card.
    pub(super) card_gigabytes: Option<u32>,
}

/// What both kinds of job are written from.
pub(super) struct PlannedJob<'a> {
    pub(super) name: String,
    /// Absolute, as is the folder.
    pub(super) table: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) program: &'a str,
    pub(super) shots: Vec<JobShot>,
    pub(super) then: &'a [String],
}

/// The files of a job by their names, and how it is run.
pub(super) struct JobFiles {
    pub(super) files: Vec<(&'static str, String)>,
    pub(super) next: String,
}
