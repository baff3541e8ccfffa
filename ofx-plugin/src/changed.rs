//! Events of the main thread: buttons, edits, the timeline.

#![forbid(unsafe_code)]

use crate::host::{Effect, Properties};
use crate::node::Node;
use crate::node_update::{Restoring, update_node};
use crate::ofx_status::{ActionResult, Status};
use crate::params;
use crate::{buttons, names};

/// A parameter or clip has changed, or the time.
pub(crate) fn changed(effect: Effect<'_>, arguments: Properties<'_>) -> ActionResult {
    // What the node sets itself needs no answer.
    let reason = arguments.text(names::CHANGE_REASON, 0)?;
    if reason.as_bytes() == names::PLUGIN_EDITED.to_bytes() {
        return Ok(Status::REPLY_DEFAULT);
    }
    // Nuke does not render again while a message stands.
    effect.clear_error();
    let node = Node::of(effect, arguments.double(names::TIME, 0).unwrap_or(0.0))?;
    let name = arguments.text(names::NAME, 0).unwrap_or_default();
    let is_parameter = arguments
        .text(names::TYPE, 0)
        .is_ok_and(|kind| kind.as_bytes() == names::TYPE_PARAMETER.to_bytes());
    let is_edit = reason.as_bytes() == names::USER_EDITED.to_bytes();
    if is_parameter
        && is_edit
        && let Some(button) = button(&name)
    {
        button(node)?;
        return Ok(Status::OK);
    }
    if is_parameter && is_edit && name.as_bytes() == params::START_FRAME.to_bytes() {
        node.set_changed_int(params::START_TYPED, 1)?;
    }
    // Undo and redo arrive as edits, and what is written in answer to them loses what could be done
    // again.
    let restoring = if is_parameter && is_edit { Restoring::Forbidden } else { Restoring::Allowed };
    update_node(node, restoring)?;
    Ok(Status::OK)
}

/// The end of what has changed. Some hosts say no more than this of a change of time.
pub(crate) fn change_ended(effect: Effect<'_>, arguments: Properties<'_>) -> ActionResult {
    let reason = arguments.text(names::CHANGE_REASON, 0)?;
    let is_time = reason.as_bytes() == names::TIME_CHANGED.to_bytes();
    if !is_time || effect.host().sets_in_changes_only() {
        return Ok(Status::REPLY_DEFAULT);
    }
    update_node(Node::of(effect, 0.0)?, Restoring::Allowed)?;
    Ok(Status::OK)
}

/// The artist has opened the panel of the node.
pub(crate) fn panel_opened(effect: Effect<'_>) -> ActionResult {
    if effect.host().sets_in_changes_only() {
        return Ok(Status::REPLY_DEFAULT);
    }
    update_node(Node::of(effect, 0.0)?, Restoring::Allowed)?;
    Ok(Status::OK)
}

/// What a button does.
type ButtonFunction = fn(Node<'_>) -> Result<(), Status>;

/// The button of that name; none for anything else: hosts report parameters of their own, too.
fn button(name: &str) -> Option<ButtonFunction> {
    let buttons: [(_, ButtonFunction); 11] = [
        (params::GENERATE, buttons::generate),
        (params::GENERATE_AND_WAIT, buttons::generate_and_wait),
        (params::CANCEL, buttons::cancel),
        (params::MAKE_AGAIN, buttons::make_again),
        (params::VARY, buttons::vary),
        (params::REVERT, buttons::revert),
        (params::REFRESH, buttons::refresh),
        (params::START_HERE, buttons::start_here),
        (params::RELEASE_GPU, buttons::release_gpu),
        (params::PAUSE, buttons::pause),
        (params::RESUME, buttons::resume),
    ];
    buttons
        .into_iter()
        .find(|(id, _)| id.to_bytes() == name.as_bytes())
        .map(|(_, function)| function)
}
