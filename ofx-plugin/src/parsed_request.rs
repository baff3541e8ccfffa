//! A take that a node has asked for, as one of its hidden texts says.

#![forbid(unsafe_code)]

use wan_alpha_take::{TakeKey, TakeRequest};

/// A take that a node has asked for.
#[derive(Debug)]
pub(crate) struct AcceptedRequest {
    pub(crate) request: TakeRequest,
    pub(crate) key: TakeKey,
}

/// What one of the two texts says.
#[derive(Debug)]
pub(crate) enum ParsedRequest {
    /// A take.
    Take(Box<AcceptedRequest>),
    /// Nothing that can be read, and why.
    Unreadable(String),
}

impl ParsedRequest {
    pub(crate) fn read(text: &str) -> Self {
        let accepted = TakeRequest::from_parameter(text)
            .and_then(|request| Ok(AcceptedRequest { key: request.key()?, request }));
        match accepted {
            Ok(accepted) => Self::Take(Box::new(accepted)),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    pub(crate) fn accepted(&self) -> Option<&AcceptedRequest> {
        match self {
            Self::Take(accepted) => Some(accepted),
            Self::Unreadable(_) => None,
        }
    }
}
