//! How long what a node says stands: until its cause is gone.

#![forbid(unsafe_code)]

use wan_alpha_take::TakeKey;

use crate::build_request::{self, BuildRequestError, Instead};
use crate::node::Node;
use crate::notice::{Notice, NoticeCause};
use crate::ofx_status::Status;
use crate::saved_requests::SavedRequests;
use crate::session::{JobReadiness, PluginSession};
use crate::status_text;

/// Has the node say what a button did or could not do, until something is changed that would be
/// generated.
pub(crate) fn say_of_button(node: Node<'_>, session: &PluginSession, text: impl Into<String>) {
    let cause = NoticeCause::Parameters(wanted_key(node, session).ok());
    node.instance().set_notice(Some(Notice { text: text.into(), cause }));
}

/// Lets go of the node's notice where its cause is gone, and brings a refusal up to what would be
/// refused now.
pub(crate) fn refresh(node: Node<'_>) -> Result<(), Status> {
    let Some(mut notice) = node.instance().notice() else { return Ok(()) };
    // Whoever said something had a session.
    let session = PluginSession::of(node.effect().host());
    let has_take = |key| -> Result<bool, Status> {
        let saved = SavedRequests::of(node)?;
        Ok(saved.take.accepted().is_some_and(|take| take.key == key))
    };
    let stands = match notice.cause {
        NoticeCause::Refusal => match wanted_key(node, &session) {
            Ok(_) => false,
            Err(error) => {
                notice.text = refusal_text(&error);
                true
            }
        },
        NoticeCause::Parameters(before) => wanted_key(node, &session).ok() == before,
        NoticeCause::Take(key) => has_take(key)?,
        NoticeCause::Making(key) => {
            has_take(key)? && !matches!(session.readiness(key), JobReadiness::Ready(_))
        }
    };
    node.instance().set_notice(stands.then_some(notice));
    Ok(())
}

/// The key of the take that the parameters ask for.
pub(crate) fn wanted_key(
    node: Node<'_>,
    session: &PluginSession,
) -> Result<TakeKey, BuildRequestError> {
    Ok(build_request::request(node, session, Instead::default())?.key()?)
}

/// Why nothing is started, as a sentence.
pub(crate) fn refusal_text(error: &BuildRequestError) -> String {
    format!("Nothing was started: {}.", status_text::one_line(&error.to_string()))
}
