//! What a node does at events of the main thread: it looks what there is to see of its take, has the
//! host forget its pictures where that has changed, and writes the status.

#![forbid(unsafe_code)]

use std::ffi::CStr;

use wan_alpha_take::TakeRequest;
use wan_alpha_take::engine::message::Problem;

use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{
    HELD_KEY, HELD_REQUEST, REVISION, START_FRAME, STATUS, TAKE_KEY, TAKE_REQUEST,
};
use crate::saved_requests::SavedRequests;
use crate::session::{JobReadiness, PluginSession};
use crate::take_state::TakeState;
use crate::{build_request, status_text};

/// Whether an event may bring the previous take back: not where it may be part of an undo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restoring {
    Allowed,
    Forbidden,
}

/// Brings revision and status up to what there is to see now.
pub(crate) fn update_node(node: Node<'_>, restoring: Restoring) -> Result<(), Status> {
    if node.text(TAKE_REQUEST)?.is_empty() {
        // Nothing was asked for, so nothing outside the node is looked at.
        update_revision(node, &TakeState::Blank)?;
        let notice = node.instance().notice().unwrap_or_default();
        return set_status(node, &notice);
    }
    let session = PluginSession::of(node.effect().host());
    let saved = SavedRequests::of(node)?;
    session.set_take_of_node(node.instance().id(), saved.take.accepted().map(|take| take.key));
    let state = TakeState::of(&saved, &session);
    if let TakeState::Take(JobReadiness::Failed(problem)) = &state
        && restoring == Restoring::Allowed
        && saved.previous().is_some()
    {
        let reason = failure_text(&session, problem);
        return restore_previous(node, &session, &saved, reason, c"Take failed");
    }
    update_revision(node, &state)?;
    set_status(node, &status_text(node, &session, &saved, &state))
}

/// Puts the previous take in the place of one that will not be made, and keeps saying why. Where
/// there is no previous one, the node goes on showing why.
pub(crate) fn restore_previous(
    node: Node<'_>,
    session: &PluginSession,
    saved: &SavedRequests,
    reason: String,
    edit: &'static CStr,
) -> Result<(), Status> {
    let state = TakeState::of_previous(saved, session);
    let take = [&*saved.previous.text, &*saved.previous.key];
    TakeEdit { edit, take, previous: None, start: None }.apply(node, &state)?;
    set_status(node, &reason)?;
    node.instance().set_notice(Some(reason));
    Ok(())
}

/// What the viewer says of the take, in one line. Changes nothing.
pub(crate) fn overlay_text(node: Node<'_>) -> Result<String, Status> {
    if node.text(TAKE_REQUEST)?.is_empty() {
        return Ok(node.instance().notice().unwrap_or_default());
    }
    let session = PluginSession::of(node.effect().host());
    let saved = SavedRequests::of(node)?;
    Ok(match TakeState::of(&saved, &session) {
        TakeState::Take(JobReadiness::Pending(progress)) => status_text::progress(&progress),
        // What takes longer to find out is in the status already.
        _ => node.text(STATUS)?,
    })
}

/// A change of the take that a node asks for, as one step of undo.
pub(crate) struct TakeEdit<'a> {
    /// The name of the step of undo.
    pub(crate) edit: &'static CStr,
    /// Request and key of the take.
    pub(crate) take: [&'a str; 2],
    /// Request and key of the previous take; none to leave it as it is.
    pub(crate) previous: Option<[&'a str; 2]>,
    /// The frame on which the take begins; none to leave it as it is.
    pub(crate) start: Option<i32>,
}

impl TakeEdit<'_> {
    /// Writes the parameters, and a revision for what there is to see then.
    pub(crate) fn apply(&self, node: Node<'_>, state: &TakeState) -> Result<(), Status> {
        node.effect().as_one_edit(self.edit, || {
            if let Some(start) = self.start {
                node.set_int(START_FRAME, start)?;
            }
            if let Some([request, key]) = self.previous {
                node.set_text(HELD_REQUEST, request)?;
                node.set_text(HELD_KEY, key)?;
            }
            let [request, key] = self.take;
            node.set_text(TAKE_REQUEST, request)?;
            node.set_text(TAKE_KEY, key)
        })?;
        node.set_int(REVISION, state.fresh_revision())
    }
}

/// Has the host forget its pictures, where they no longer are what there is to see.
fn update_revision(node: Node<'_>, state: &TakeState) -> Result<(), Status> {
    if state.fits(node.int(REVISION)?) {
        return Ok(());
    }
    node.set_int(REVISION, state.fresh_revision())
}

/// Writes the status, where it is another.
pub(crate) fn set_status(node: Node<'_>, text: &str) -> Result<(), Status> {
    if node.text(STATUS)? == text { Ok(()) } else { node.set_text(STATUS, text) }
}

/// The text of the parameter `status`, as things are now.
fn status_text(
    node: Node<'_>,
    session: &PluginSession,
    saved: &SavedRequests,
    state: &TakeState,
) -> String {
    let mut parts = Vec::new();
    parts.extend(node.instance().notice());
    match state {
        TakeState::Blank => {}
        TakeState::Unreadable(reason) => {
            parts.push(format!("{}.", status_text::capitalised(reason)));
        }
        TakeState::Take(JobReadiness::Ready(take)) => {
            parts.push(status_text::ready(&take.description().request));
        }
        TakeState::Take(JobReadiness::Pending(progress)) => {
            parts.push(status_text::progress(progress));
            parts.extend(session.unused_gpu().as_deref().map(status_text::without_gpu));
        }
        TakeState::Take(JobReadiness::Failed(problem)) => {
            parts.push(failure_text(session, problem));
        }
        TakeState::Take(JobReadiness::Absent) => parts.push(format!(
            "This take is in no store ({}). Generate makes one from the parameters as they are now.",
            session.searched_folders()
        )),
    }
    if saved.take.has_other_key() {
        parts.push("takeKey is not the key of takeRequest; the request counts.".to_owned());
    }
    if let Some(accepted) = saved.take.accepted() {
        parts.extend(changes_text(node, session, &accepted.request));
    }
    parts.join(" ")
}

fn failure_text(session: &PluginSession, problem: &Problem) -> String {
    format!("{} Log: {}", status_text::problem(problem), session.environment.engine_log().display())
}

/// How the take that the parameters describe differs from the one asked for; none where it does not.
fn changes_text(node: Node<'_>, session: &PluginSession, take: &TakeRequest) -> Option<String> {
    match build_request::request(node, session, None) {
        Ok(wanted) => {
            let changed = build_request::differences(take, &wanted);
            (!changed.is_empty()).then(|| status_text::changed_parameters(&changed))
        }
        Err(error) => {
            let reason = status_text::one_line(&error.to_string());
            Some(format!("Changed since this take, and cannot be generated: {reason}."))
        }
    }
}
