//! Message suite, versions 1 and 2.

#![allow(unsafe_code, reason = "functions that C calls")]

use std::ffi::c_void;
use std::sync::Arc;

use openfx_sys::{OfxMessageSuiteV1, OfxMessageSuiteV2};

use super::variable;
use crate::boundary::{suite_functions, without};
use crate::doing;
use crate::effect::Effect;
use crate::node::told::Message;
use crate::rules::Rule;
use crate::status::Status;

const KINDS: &[&str] = &["Fatal", "Error", "Warning", "Message", "Log", "Question"];

/// Both kinds of message, put together by C.
pub(super) fn said(
    effect: &Effect,
    is_persistent: bool,
    kind: &str,
    id: String,
    text: String,
) -> Result<(), Status> {
    let known = kind.strip_prefix("OfxMessage").is_some_and(|kind| KINDS.contains(&kind));
    if !known {
        doing::fault(Rule::SensibleAnswer, format!("there is no message of type {kind:?}"));
        return Err(Status::ERR_VALUE);
    }
    let Some(node) = effect.node.upgrade() else { return Ok(()) };
    let text = match effect.host.profile.message_length {
        Some(most) => text.chars().take(most).collect(),
        None => text,
    };
    let message = Message { kind: kind.to_owned(), id, text };
    let mut told = node.told.lock();
    if is_persistent {
        told.persistent = Some(message);
        return Ok(());
    }
    told.messages.push(message);
    drop(told);
    let waits = kind != "OfxMessageLog";
    if waits && doing::now().is_some_and(|doing| doing.action.is_of_rendering()) {
        let words = "a message that waits for the artist is shown while rendering".to_owned();
        doing::fault(Rule::MessageWhereAllowed, words);
    }
    if kind != "OfxMessageQuestion" {
        return Ok(());
    }
    if effect.host.profile.background {
        doing::fault(Rule::MessageWhereAllowed, "a question is asked of nobody".to_owned());
        return Err(Status::REPLY_NO);
    }
    let yes = effect.host.artist.lock().says_yes;
    Err(if yes { Status::REPLY_YES } else { Status::REPLY_NO })
}

suite_functions! {
    fn clear(effect: Arc<Effect> as *mut c_void) {
        if let Some(node) = effect.node.upgrade() {
            node.told.lock().persistent = None;
        }
        Ok(())
    }
}

pub(super) fn first(nulls: &[String]) -> OfxMessageSuiteV1 {
    let mut suite = OfxMessageSuiteV1 { message: Some(variable::message()) };
    without!(suite, nulls, [message]);
    suite
}

pub(super) fn second(nulls: &[String]) -> OfxMessageSuiteV2 {
    let mut suite = OfxMessageSuiteV2 {
        message: Some(variable::message()),
        setPersistentMessage: Some(variable::persistent_message()),
        clearPersistentMessage: Some(clear),
    };
    without!(suite, nulls, [message, setPersistentMessage, clearPersistentMessage]);
    suite
}
