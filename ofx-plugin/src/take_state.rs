//! What there is to see of a node's take.
//!
//! Hosts keep pictures by the values of parameters, on disk too, and nothing outside the main thread
//! may change one. So `revision` carries, in its lowest bits, what was there to see when it was set;
//! an event that finds something else sets a fresh one, and the host lets go of its pictures.

#![forbid(unsafe_code)]

use wan_alpha_take::TakeKey;

use crate::saved_requests::{ParsedRequest, SavedRequest, SavedRequests};
use crate::session::{JobReadiness, PluginSession};
use crate::status_text;

/// What there is to see of a node's take.
#[derive(Debug)]
pub(crate) enum TakeState {
    /// Nothing: the node has not asked for anything.
    Blank,
    /// The take that it asked for, or what has become of that.
    Take(JobReadiness),
    /// Nothing: the request cannot be read, and why.
    Unreadable(String),
}

/// A [`TakeState`] without what belongs to it: all that decides what a render does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeStateKind {
    /// Nothing was asked for yet.
    Blank,
    /// The take is there.
    Ready,
    /// The take is being made.
    Pending,
    /// The take is in no store, or damaged there, and nobody makes it.
    Absent,
    /// The take was not made, or its request cannot be read.
    Failed,
}

/// How many of the lowest bits of a revision say what was there to see.
const CLASS_BITS: u32 = 4;

impl TakeState {
    /// The state of the take that a node shows, or would show. Asks the engine too, where nobody else knows.
    pub(crate) fn of(saved: &SavedRequests, session: &PluginSession) -> Self {
        Self::of_saved(saved.shown(), |key| session.readiness_everywhere(key))
    }

    /// The state of the take that a node showed before.
    pub(crate) fn of_previous(saved: &SavedRequests, session: &PluginSession) -> Self {
        Self::of_saved(&saved.previous, |key| session.readiness(key))
    }

    fn of_saved(saved: &SavedRequest, readiness: impl FnOnce(TakeKey) -> JobReadiness) -> Self {
        match saved.parsed.as_deref() {
            None => Self::Blank,
            Some(ParsedRequest::Unreadable(reason)) => {
                Self::Unreadable(status_text::one_line(reason))
            }
            Some(ParsedRequest::Take(accepted)) => Self::Take(readiness(accepted.key)),
        }
    }

    /// The state without what belongs to it.
    pub(crate) fn kind(&self) -> TakeStateKind {
        match self {
            Self::Blank => TakeStateKind::Blank,
            Self::Take(JobReadiness::Ready(_)) => TakeStateKind::Ready,
            Self::Take(JobReadiness::Pending(_)) => TakeStateKind::Pending,
            Self::Take(JobReadiness::Absent | JobReadiness::Damaged(_)) => TakeStateKind::Absent,
            Self::Take(JobReadiness::Failed(_)) | Self::Unreadable(_) => TakeStateKind::Failed,
        }
    }

    /// Equal for what looks alike. 0 is that of a new node.
    fn class(&self) -> i32 {
        let reason = |text: &str| {
            4 + i32::from(
                text.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % 12,
            )
        };
        match self {
            Self::Blank => 0,
            Self::Take(JobReadiness::Ready(_)) => 1,
            Self::Take(JobReadiness::Pending(_)) => 2,
            Self::Take(JobReadiness::Absent) => 3,
            Self::Take(JobReadiness::Failed(problem)) => reason(&problem.message),
            Self::Take(JobReadiness::Damaged(text)) | Self::Unreadable(text) => reason(text),
        }
    }

    /// A revision that no host has seen, for this state.
    pub(crate) fn fresh_revision(&self) -> i32 {
        fastrand::i32(0..1 << (31 - CLASS_BITS)) << CLASS_BITS | self.class()
    }

    /// Whether a revision was set for something that looks like this.
    pub(crate) fn fits(&self, revision: i32) -> bool {
        revision & ((1 << CLASS_BITS) - 1) == self.class()
    }
}

#[cfg(test)]
mod tests {
    use wan_alpha_take::engine::message::{Problem, ProblemCode};

    use super::*;

    #[test]
    fn a_revision_says_what_was_there_to_see() {
        let failed = |text: &str| {
            TakeState::Take(JobReadiness::Failed(Problem::new(ProblemCode::Failed, text, "y")))
        };
        let states = [
            TakeState::Take(JobReadiness::Absent),
            failed("out of memory"),
            failed("no model"),
            TakeState::Unreadable("no".into()),
        ];
        for state in &states {
            let revisions = [(); 100].map(|()| state.fresh_revision());
            assert!(revisions.iter().all(|&revision| revision >= 0 && state.fits(revision)));
            assert!(revisions.windows(2).any(|pair| pair[0] != pair[1]));
            assert!(!TakeState::Blank.fits(revisions[0]));
        }
        assert!(TakeState::Blank.fits(0));
    }
}
