//! A weight that is stored in a way that is not read.

#![forbid(unsafe_code)]

use std::path::PathBuf;

/// A weight, or what belongs to one, that would make noise of a model if it were passed over.
#[derive(Debug, thiserror::Error)]
#[error("{}; {remedy}", self.what())]
pub struct WeightFormat {
    /// The file that holds it.
    pub path: PathBuf,
    /// Its name in that file.
    pub name: String,
    /// What it is stored as.
    pub format: String,
    /// What is wrong, after the name.
    pub problem: String,
    /// What to do about it, as a clause.
    pub remedy: &'static str,
}

impl WeightFormat {
    /// What is wrong, without what to do.
    #[must_use]
    pub fn what(&self) -> String {
        format!("{}: `{}` ({}) {}", self.path.display(), self.name, self.format, self.problem)
    }
}
