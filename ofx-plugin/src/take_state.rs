//! What a node does at events of the main thread: it looks how things stand and says so.
//!
//! Hosts keep pictures by the values of parameters, on disk too, and nothing outside the main thread
//! may change one. So `revision` carries, in its lowest bits, what was there to see when it was set;
//! an event that finds something else sets a fresh one, and the host lets go of its pictures.

#![forbid(unsafe_code)]

use std::ffi::CStr;

use wan_alpha_take::TakeRequest;
use wan_alpha_take::engine::message::Problem;

use crate::node::Node;
use crate::params::{
    HELD_KEY, HELD_REQUEST, REVISION, START_FRAME, STATUS, TAKE_KEY, TAKE_REQUEST,
};
use crate::parsed_request::ParsedRequest;
use crate::saved_requests::SavedRequests;
use crate::session::{JobReadiness, PluginSession};
use crate::status::Status;
use crate::{build_request, sentences};

/// What there is to see.
#[derive(Debug)]
pub(crate) enum TakeState {
    /// A node that has not asked for anything.
    Blank,
    /// The take that it asked for, or what has become of that.
    Take(JobReadiness),
    /// A request that cannot be read, and why.
    Unreadable(String),
}

/// Bits of a revision that say what was there to see.
const BITS: u32 = 4;

impl TakeState {
    /// As things are.
    pub(crate) fn of(record: &SavedRequests, session: &PluginSession) -> Self {
        match record.take.entry.as_deref() {
            None => Self::Blank,
            Some(ParsedRequest::Unreadable(reason)) => Self::Unreadable(sentences::brief(reason)),
            Some(ParsedRequest::Take(accepted)) => {
                Self::Take(session.readiness_everywhere(accepted.key))
            }
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
            Self::Unreadable(text) => reason(text),
        }
    }

    /// A revision that no host has seen, for this sight.
    pub(crate) fn fresh_revision(&self) -> i32 {
        fastrand::i32(0..1 << (31 - BITS)) << BITS | self.class()
    }

    fn fits(&self, revision: i32) -> bool {
        revision & ((1 << BITS) - 1) == self.class()
    }
}

/// Whether an event may bring the held take back: not where it may be part of an undo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restoring {
    Allowed,
    Forbidden,
}

/// Looks how things stand, lets the host look again where that has changed, and says it.
pub(crate) fn update_status(node: Node<'_>, restoring: Restoring) -> Result<(), Status> {
    if node.text(TAKE_REQUEST)?.is_empty() {
        // Nothing was asked for, so nothing outside the node is looked at.
        bump_revision(node, &TakeState::Blank)?;
        let words = node.instance().trouble().unwrap_or_default();
        return set_status(node, &words);
    }
    let session = PluginSession::of(node.effect().host());
    let record = SavedRequests::of(node)?;
    session.has(node.instance().name(), record.take.accepted().map(|take| take.key));
    let sight = TakeState::of(&record, &session);
    if let TakeState::Take(JobReadiness::Failed(problem)) = &sight
        && restoring == Restoring::Allowed
        && record.held().is_some()
    {
        let why = failure(&session, problem);
        return restore_previous(node, &session, &record, why, c"Take failed");
    }
    bump_revision(node, &sight)?;
    set_status(node, &status_line(node, &session, &record, &sight))
}

/// Puts the held take back in the place of one that will not be made, and keeps saying why. Where
/// none is held, the node goes on showing why.
pub(crate) fn restore_previous(
    node: Node<'_>,
    session: &PluginSession,
    record: &SavedRequests,
    why: String,
    edit: &'static CStr,
) -> Result<(), Status> {
    let held = &record.held;
    let sight = match held.entry.as_deref() {
        Some(ParsedRequest::Take(accepted)) => TakeState::Take(session.readiness(accepted.key)),
        Some(ParsedRequest::Unreadable(reason)) => TakeState::Unreadable(sentences::brief(reason)),
        None => TakeState::Blank,
    };
    let put = NewTake { edit, take: [&held.text, &held.key], held: None, start: None };
    put.put(node, &sight)?;
    set_status(node, &why)?;
    node.instance().set_trouble(Some(why));
    Ok(())
}

/// What the viewer says of the take: a line, as things are now. Changes nothing.
pub(crate) fn overlay_line(node: Node<'_>) -> Result<String, Status> {
    if node.text(TAKE_REQUEST)?.is_empty() {
        return Ok(node.instance().trouble().unwrap_or_default());
    }
    let session = PluginSession::of(node.effect().host());
    let record = SavedRequests::of(node)?;
    Ok(match TakeState::of(&record, &session) {
        TakeState::Take(JobReadiness::Pending(pending)) => sentences::progress(&pending),
        // What takes longer to find out is in the status already.
        _ => node.text(STATUS)?,
    })
}

/// Puts a take in its place, in one step of undo.
pub(crate) struct NewTake<'a> {
    pub(crate) edit: &'static CStr,
    /// Request and key.
    pub(crate) take: [&'a str; 2],
    /// Request and key; none to leave it as it is.
    pub(crate) held: Option<[&'a str; 2]>,
    pub(crate) start: Option<i32>,
}

impl NewTake<'_> {
    pub(crate) fn put(&self, node: Node<'_>, sight: &TakeState) -> Result<(), Status> {
        node.effect().as_one_edit(self.edit, || {
            if let Some(start) = self.start {
                node.set_int(START_FRAME, start)?;
            }
            if let Some([request, key]) = self.held {
                node.set_text(HELD_REQUEST, request)?;
                node.set_text(HELD_KEY, key)?;
            }
            let [request, key] = self.take;
            node.set_text(TAKE_REQUEST, request)?;
            node.set_text(TAKE_KEY, key)
        })?;
        node.set_int(REVISION, sight.fresh_revision())
    }
}

/// Lets the host forget its pictures, where they no longer are what there is to see.
fn bump_revision(node: Node<'_>, sight: &TakeState) -> Result<(), Status> {
    if sight.fits(node.int(REVISION)?) {
        return Ok(());
    }
    node.set_int(REVISION, sight.fresh_revision())
}

/// Writes the status, where it is another.
pub(crate) fn set_status(node: Node<'_>, text: &str) -> Result<(), Status> {
    if node.text(STATUS)? == text { Ok(()) } else { node.set_text(STATUS, text) }
}

/// What a node has to say for itself now.
pub(crate) fn status_line(
    node: Node<'_>,
    session: &PluginSession,
    record: &SavedRequests,
    sight: &TakeState,
) -> String {
    let mut words = Vec::new();
    words.extend(node.instance().trouble());
    match sight {
        TakeState::Blank => {}
        TakeState::Unreadable(reason) => words.push(format!("{}.", sentences::capitalised(reason))),
        TakeState::Take(JobReadiness::Ready(take)) => words.push(sentences::ready(&take.description().request)),
        TakeState::Take(JobReadiness::Pending(pending)) => {
            words.push(sentences::progress(pending));
            words.extend(session.unused_gpu().as_deref().map(sentences::without_gpu));
        }
        TakeState::Take(JobReadiness::Failed(problem)) => words.push(failure(session, problem)),
        TakeState::Take(JobReadiness::Absent) => words.push(format!(
            "This take is in no store ({}). Generate makes one from the parameters as they are now.",
            session.searched()
        )),
    }
    if record.take.disagrees() {
        words.push("takeKey is not the key of takeRequest; the request counts.".to_owned());
    }
    if let Some(accepted) = record.take.accepted() {
        words.extend(staleness(node, session, &accepted.request));
    }
    words.join(" ")
}

fn failure(session: &PluginSession, problem: &Problem) -> String {
    format!("{} Log: {}", sentences::problem(problem), session.environment.engine_log().display())
}

/// Whether the parameters describe another take than the one asked for.
fn staleness(node: Node<'_>, session: &PluginSession, take: &TakeRequest) -> Option<String> {
    match build_request::request(node, session, None) {
        Ok(wanted) => {
            let changed = build_request::differences(take, &wanted);
            (!changed.is_empty()).then(|| sentences::stale(&changed))
        }
        Err(unwanted) => {
            let why = sentences::brief(&unwanted.to_string());
            Some(format!("Changed since this take, and cannot be generated: {why}."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wan_alpha_take::engine::message::ProblemCode;

    #[test]
    fn a_revision_says_what_was_there_to_see() {
        let failed = |text: &str| {
            TakeState::Take(JobReadiness::Failed(Problem::new(ProblemCode::Failed, text, "y")))
        };
        let sights = [
            TakeState::Take(JobReadiness::Absent),
            failed("out of memory"),
            failed("no model"),
            TakeState::Unreadable("no".into()),
        ];
        for sight in &sights {
            let revisions = [(); 100].map(|()| sight.fresh_revision());
            assert!(revisions.iter().all(|&revision| revision >= 0 && sight.fits(revision)));
            assert!(revisions.windows(2).any(|pair| pair[0] != pair[1]));
            assert!(!TakeState::Blank.fits(revisions[0]));
        }
        assert!(TakeState::Blank.fits(0));
    }
}
