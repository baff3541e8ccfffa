//! What a node has accepted: the meaning of its hidden texts.
//!
//! `takeRequest` and `takeKey` are the take that Generate asked for, `heldRequest` and `heldKey` the
//! last one that was there when it did. The request is what counts, and the key is made of it; the
//! key beside it is for people, scripts and farms, and where it disagrees the status says so.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::sync::Arc;

use crate::node::Node;
use crate::params::{HELD_KEY, HELD_REQUEST, TAKE_KEY, TAKE_REQUEST};
use crate::parsed_request::{AcceptedRequest, ParsedRequest};
use crate::session::PluginSession;
use crate::status::Status;

/// One of the two takes of a node, as its parameters have it.
#[derive(Debug)]
pub(crate) struct SavedRequest {
    /// The request, as it is saved.
    pub(crate) text: String,
    /// The key, as it is saved.
    pub(crate) key: String,
    /// What the request says; nothing where there is none.
    pub(crate) entry: Option<Arc<ParsedRequest>>,
}

impl SavedRequest {
    fn of(node: Node<'_>, [request, key]: [&CStr; 2]) -> Result<Self, Status> {
        let [text, key] = [node.text(request)?, node.text(key)?];
        let entry = if text.is_empty() {
            None
        } else {
            Some(PluginSession::of(node.effect().host()).read(text.clone()))
        };
        Ok(Self { text, key, entry })
    }

    pub(crate) fn accepted(&self) -> Option<&AcceptedRequest> {
        self.entry.as_deref().and_then(ParsedRequest::accepted)
    }

    /// Whether the key that is saved is not that of the request.
    pub(crate) fn disagrees(&self) -> bool {
        self.accepted().is_some_and(|accepted| accepted.key.to_string() != self.key)
    }
}

/// The takes of a node.
#[derive(Debug)]
pub(crate) struct SavedRequests {
    /// What Generate asked for last.
    pub(crate) take: SavedRequest,
    /// The last one before that which was there.
    pub(crate) held: SavedRequest,
}

impl SavedRequests {
    /// A node without a request touches nothing outside its own parameters.
    pub(crate) fn of(node: Node<'_>) -> Result<Self, Status> {
        Ok(Self {
            take: SavedRequest::of(node, [TAKE_REQUEST, TAKE_KEY])?,
            held: SavedRequest::of(node, [HELD_REQUEST, HELD_KEY])?,
        })
    }

    /// The held take, where it is another than the one asked for.
    pub(crate) fn held(&self) -> Option<&AcceptedRequest> {
        let held = self.held.accepted()?;
        (self.take.accepted().map(|take| take.key) != Some(held.key)).then_some(held)
    }
}
