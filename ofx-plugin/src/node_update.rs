//! What a node does at events of the main thread: it looks what there is to see of its take, has the
//! host forget its pictures where that has changed, and writes the status.

#![forbid(unsafe_code)]

use std::ffi::CStr;

use wan_alpha_take::engine::message::Problem;
use wan_alpha_take::{Ellipse, TakeRequest, Warning};

use crate::build_request::Instead;
use crate::node::Node;
use crate::notice::{Notice, NoticeCause};
use crate::ofx_status::Status;
use crate::params::{
    ELLIPSE_ANGLE, ELLIPSE_AXES, ELLIPSE_CENTER, HELD_KEY, HELD_REQUEST, HISTORY, PREVIEW, PROMPT,
    REVISION, SEED, START_FRAME, STATUS, TAKE_HISTORY, TAKE_KEY, TAKE_REQUEST,
};
use crate::saved_requests::SavedRequests;
use crate::session::{JobReadiness, PluginSession};
use crate::take_state::{TakeState, TakeStateKind};
use crate::{build_request, ellipse_keys, model_limits, notice_lifetime, status_text};

/// Whether an event may bring the previous take back: not where it may be part of an undo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restoring {
    Allowed,
    Forbidden,
}

/// Brings revision and status up to what there is to see now.
pub(crate) fn update_node(node: Node<'_>, restoring: Restoring) -> Result<(), Status> {
    model_limits::update(node)?;
    notice_lifetime::refresh(node)?;
    if node.text(TAKE_REQUEST)?.is_empty() {
        // Nothing was asked for, so nothing outside the node is looked at.
        update_revision(node, &TakeState::Blank)?;
        return set_status(node, &notice_text(node).unwrap_or_default());
    }
    let session = PluginSession::of(node.effect().host());
    let saved = SavedRequests::of(node)?;
    let shown = saved.shown().accepted().map(|take| take.key);
    session.set_take_of_node(node.instance().id(), shown);
    let state = TakeState::of(&saved, &session);
    if let TakeState::Take(JobReadiness::Failed(problem)) = &state
        && restoring == Restoring::Allowed
        && !saved.is_recalled()
        && saved.previous().is_some()
        && shown.is_none_or(|key| !session.is_made_again(key))
    {
        let reason = failure_text(&session, problem);
        return restore_previous(node, &session, &saved, reason, c"Take failed");
    }
    update_preview(node, (&session, &saved), &state)?;
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
    let before = saved.before_previous();
    let previous = before.as_ref().map(|before| before.each_ref().map(|text| &**text));
    let history = Some(saved.history_without_take());
    let (start, seed, prompt, ellipse) = Default::default();
    TakeEdit { edit, take, previous, history, start, seed, prompt, ellipse }.apply(node, &state)?;
    set_status(node, &reason)?;
    notice_lifetime::say_of_button(node, session, reason);
    Ok(())
}

/// What the node says besides the state of its take.
fn notice_text(node: Node<'_>) -> Option<String> {
    node.instance().notice().map(|notice| notice.text)
}

/// What the viewer says of the take, in one line. Changes nothing.
pub(crate) fn overlay_text(node: Node<'_>) -> Result<String, Status> {
    if node.text(TAKE_REQUEST)?.is_empty() {
        return Ok(notice_text(node).unwrap_or_default());
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
    /// The requests of all takes; none to leave them as they are.
    pub(crate) history: Option<String>,
    /// The frame on which the take begins; none to leave it as it is.
    pub(crate) start: Option<i32>,
    /// The seed; none to leave it as it is.
    pub(crate) seed: Option<i32>,
    /// The prompt; none to leave it as it is.
    pub(crate) prompt: Option<&'a str>,
    /// The ellipse, which stands still; none to leave it as it is.
    pub(crate) ellipse: Option<Ellipse>,
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
            if let Some(history) = &self.history {
                node.set_text(TAKE_HISTORY, history)?;
            }
            // What is asked for is what is shown.
            node.set_changed_int(HISTORY, 0)?;
            if let Some(seed) = self.seed {
                node.set_int(SEED, seed)?;
            }
            if let Some(prompt) = self.prompt {
                node.set_text(PROMPT, prompt)?;
            }
            if let Some(Ellipse { x, y, a, b, angle }) = self.ellipse {
                node.set_pair(ELLIPSE_CENTER, [x, y])?;
                node.set_pair(ELLIPSE_AXES, [a, b])?;
                node.set_double(ELLIPSE_ANGLE, angle)?;
            }
            let [request, key] = self.take;
            node.set_text(TAKE_REQUEST, request)?;
            node.set_text(TAKE_KEY, key)
        })?;
        node.set_int(REVISION, state.fresh_revision())
    }
}

/// Whether the artist looks at takes that are being made.
pub(crate) fn wants_preview(node: Node<'_>) -> Result<bool, Status> {
    // Who makes filters alone has no revisions by which one preview would follow another.
    Ok(!node.instance().is_filter() && node.choice(PREVIEW, &[false, true])?)
}

/// Does what [`update_revision`] does for a node that has a take, whose preview may be another than the one
/// that the revision shows.
fn update_preview(
    node: Node<'_>,
    (session, saved): (&PluginSession, &SavedRequests),
    state: &TakeState,
) -> Result<(), Status> {
    let Some(key) = saved.shown().accepted().map(|take| take.key) else {
        return update_revision(node, state);
    };
    let is_wanted = state.kind() == TakeStateKind::Pending && wants_preview(node)?;
    let Some(latest) = session.latest_preview(key).filter(|_| is_wanted) else {
        return update_revision(node, state);
    };
    let revision = node.int(REVISION)?;
    if state.fits(revision) && session.preview_under(revision, key).as_ref() == Some(&latest) {
        return Ok(());
    }
    let fresh = state.fresh_revision();
    session.show_under(fresh, key, latest);
    node.set_int(REVISION, fresh)
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
    node.set_changed_text(STATUS, text)
}

/// The text of the parameter `status`, as things are now.
fn status_text(
    node: Node<'_>,
    session: &PluginSession,
    saved: &SavedRequests,
    state: &TakeState,
) -> String {
    // Of a take, what it is comes first.
    let notice = node.instance().notice();
    let is_of_take = |notice: &Notice| matches!(notice.cause, NoticeCause::Take(_));
    let is_refused =
        notice.as_ref().is_some_and(|notice| matches!(notice.cause, NoticeCause::Refusal));
    let (of_take, first): (Vec<_>, Vec<_>) = notice.into_iter().partition(is_of_take);
    let mut parts: Vec<String> = first.into_iter().map(|notice| notice.text).collect();
    match state {
        TakeState::Blank => {}
        TakeState::Unreadable(reason) => {
            parts.push(format!("{}.", status_text::capitalised(reason)));
        }
        TakeState::Take(JobReadiness::Ready(take)) => {
            let about = take.description();
            parts.push(status_text::ready(&about.request));
            parts.extend(status_text::outcome(about.report.as_ref(), &about.warnings));
        }
        TakeState::Take(JobReadiness::Pending(progress)) => {
            parts.push(status_text::progress(progress));
            parts.extend(preset_text(session, saved));
            parts.extend(pending_warnings(session, saved).iter().map(status_text::warning));
            parts.extend(session.unused_gpu().as_deref().map(status_text::without_gpu));
        }
        TakeState::Take(JobReadiness::Failed(problem)) => {
            parts.push(failure_text(session, problem));
        }
        TakeState::Take(JobReadiness::Absent) => parts.push(format!(
            "This take is in no store ({}). Make again makes it.",
            session.searched_folders()
        )),
        TakeState::Take(JobReadiness::Damaged(damage)) => {
            parts.push(status_text::damaged(damage));
        }
    }
    if let Some(take) = saved.shown().accepted() {
        // Of the request: hosts make the instance anew that took the image.
        let facts = take.request.first_image.and_then(|hash| session.image_facts(&hash));
        parts.extend(status_text::begins_with(&take.request, facts.map(|facts| facts.size)));
    }
    parts.extend(ellipse_keys::told(node, session).unwrap_or_default());
    let back = node.int(HISTORY).unwrap_or(0);
    if back > 0 && !saved.is_recalled() {
        parts.push("This node has not had so many takes: this is the latest.".to_owned());
    }
    parts.extend(of_take.into_iter().map(|notice| notice.text));
    if saved.take.has_other_key() {
        parts.push("takeKey is not the key of takeRequest; the request counts.".to_owned());
    }
    if let Some(accepted) = saved.shown().accepted() {
        // A refusal has said why.
        parts.extend(changes_text(node, session, &accepted.request).filter(|_| !is_refused));
    }
    status_text::joined(&parts)
}

/// Whose settings the take that is being made has, by what that is known, and what the node has otherwise;
/// none where its model's record names no preset.
fn preset_text(session: &PluginSession, saved: &SavedRequests) -> Option<String> {
    let take = saved.shown().accepted()?;
    let preset = session.model(&take.request.model).ok()?.preset?;
    Some(format!("{}.", status_text::capitalised(&preset.line(&take.request))))
}

/// What is to be known of the take that is being made: what its request says of itself, and what the
/// engine has said since. They say some of it alike.
fn pending_warnings(session: &PluginSession, saved: &SavedRequests) -> Vec<Warning> {
    let Some(take) = saved.shown().accepted() else { return Vec::new() };
    let model = session.model(&take.request.model).ok();
    let known = model.map(|model| take.request.warnings(&model.defaults, &model.made_for));
    known.into_iter().flatten().chain(session.warnings(take.key)).collect()
}

/// Why a take was not made, and where more is said about it.
pub(crate) fn failure_text(session: &PluginSession, problem: &Problem) -> String {
    status_text::with_log(status_text::problem(problem), &session.environment.engine_log())
}

/// How the take that the parameters describe differs from the one asked for; none where it does not.
fn changes_text(node: Node<'_>, session: &PluginSession, take: &TakeRequest) -> Option<String> {
    match build_request::request(node, session, Instead::default()) {
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
