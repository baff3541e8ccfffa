//! What is said of a take that is wanted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Holder, Problem, ProblemCode};
use crate::key::TakeKey;
use crate::memory_limit::CapSource;
use crate::request::{RequestError, TakeRequest};

/// A take is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// The key of the take, made of its request.
    pub key: TakeKey,
    /// The encoded request, as it is: another version of it must be readable enough to be refused.
    pub request: serde_json::Value,
    /// Directories of takes; the first writable one is published to.
    pub stores: Vec<PathBuf>,
    /// Where models are looked up.
    pub model_roots: Vec<PathBuf>,
    /// Who wants it, and for how long.
    pub holder: Holder,
    /// The memory that it may use; none from a client that knows of no limits: the engine's own hold then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryTerms>,
}

/// The memory of a device that a take may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryTerms {
    /// Bytes at most; without a limit, what is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Where that was set, to be told where the take does not fit.
    #[serde(default)]
    pub limit_by: CapSource,
    /// Bytes that are left free for others; without them, what is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom: Option<u64>,
}

impl Submit {
    /// The request, accepted.
    ///
    /// # Errors
    /// Those of [`TakeRequest::from_json`].
    pub fn accepted_request(&self) -> Result<TakeRequest, RequestError> {
        TakeRequest::from_json(&self.request.to_string())
    }

    /// The request, accepted, if it is that of the key: the request is what counts.
    ///
    /// # Errors
    /// Why the take is refused, with the codes of [`RequestError::code`] and [`ProblemCode::KeyMismatch`].
    pub fn verified_request(&self) -> Result<TakeRequest, Problem> {
        let refuse = |error: RequestError| Problem::from_sentence(error.code(), &error.to_string());
        let request = self.accepted_request().map_err(refuse)?;
        let key = request.key().map_err(refuse)?;
        if key == self.key {
            return Ok(request);
        }
        let message = format!("the request has the key {key}, and not {}", self.key);
        Err(Problem::new(ProblemCode::KeyMismatch, message, "press Generate again"))
    }
}
