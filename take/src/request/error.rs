//! Why a request is refused, in words, and the checks that say so.

use std::fmt::Display;
use std::ops::RangeInclusive;

use thiserror::Error;

use super::TakeRequest;
use crate::ellipse::EllipseError;
use crate::frames::FrameCountError;
use crate::problem::ProblemCode;

/// Why a request is not accepted.
#[derive(Debug, Error)]
pub enum RequestError {
    /// A field is out of its range.
    #[error("{field} is {found}: expected {expected}; {remedy}")]
    Invalid {
        /// The field of the request, in words.
        field: String,
        /// What the field holds.
        found: String,
        /// What it may hold.
        expected: String,
        /// What the user can do.
        remedy: String,
    },
    /// The number of frames is not 4n+1.
    #[error(transparent)]
    Frames(#[from] FrameCountError),
    /// An ellipse is out of its range.
    #[error("ellipse of latent frame {latent_frame}: {reason}")]
    Ellipse {
        /// Which of the ellipses, from 0.
        latent_frame: usize,
        /// What is wrong with it.
        reason: EllipseError,
    },
    /// The request was written by another version of this program.
    #[error(
        "the request is of version {found}: expected 1 to {}; use the version of wan-alpha that wrote \
         it, or generate the take again",
        TakeRequest::VERSION
    )]
    Version {
        /// The version that the request says it is of.
        found: u32,
    },
    /// The request says something that its version of the encoding has no word for.
    #[error(
        "the request is of version {version}, which does not know `{what}`; generate the take again"
    )]
    Foreign {
        /// The version that the request says it is of.
        version: u32,
        /// The field or choice.
        what: String,
    },
    /// A key was asked for, and the request does not say which model it is for.
    #[error(
        "the request for a take with the model {model:?} has no fingerprint of it, and without one \
         there is no key; add the model by name, or let the command fingerprint it"
    )]
    NoFingerprint {
        /// The name of the model.
        model: String,
    },
    /// The text of a node's parameter is not an encoded request.
    #[error("the node's takeRequest is not readable: {reason}; generate the take again")]
    Parameter {
        /// What is wrong with the text.
        reason: String,
    },
    /// The text is not a request.
    #[error("the request is not readable: {reason}; generate the take again")]
    Json {
        /// What the JSON reader says, with line and column.
        reason: serde_json::Error,
    },
}

impl RequestError {
    /// What kind of refusal this is, for programs.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::Version { .. } => ProblemCode::OtherVersion,
            Self::NoFingerprint { .. } => ProblemCode::NoFingerprint,
            Self::Invalid { .. }
            | Self::Frames(_)
            | Self::Ellipse { .. }
            | Self::Foreign { .. }
            | Self::Parameter { .. }
            | Self::Json { .. } => ProblemCode::InvalidRequest,
        }
    }
}

/// The remedy for a width or height that nothing can have; who knows the model says its size with it.
pub(super) const OWN_SIZE: &str = "choose the model's own";

impl RequestError {
    /// The same, with the size that the model draws by default where that is the remedy.
    pub(super) fn with_own_size(self, [width, height]: [u32; 2]) -> Self {
        match self {
            Self::Invalid { field, found, expected, remedy } if remedy == OWN_SIZE => {
                let remedy = format!("{remedy}, {width} x {height}");
                Self::Invalid { field, found, expected, remedy }
            }
            other => other,
        }
    }
}

/// `Ok` if `fine`, else [`RequestError::Invalid`] made of the rest.
pub(super) fn require(
    fine: bool,
    field: impl Into<String>,
    found: impl Display,
    expected: impl Into<String>,
    remedy: impl Into<String>,
) -> Result<(), RequestError> {
    if fine {
        return Ok(());
    }
    Err(RequestError::Invalid {
        field: field.into(),
        found: found.to_string(),
        expected: expected.into(),
        remedy: remedy.into(),
    })
}

/// `Ok` if `found` is in `range`; NaN never is.
pub(super) fn within<T: Display + PartialOrd>(
    range: RangeInclusive<T>,
    field: impl Into<String>,
    found: T,
    remedy: &'static str,
) -> Result<(), RequestError> {
    let expected = format!("{} to {}", range.start(), range.end());
    require(range.contains(&found), field, &found, expected, remedy)
}
