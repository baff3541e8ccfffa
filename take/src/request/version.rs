//! The versions of a request's encoding. A request is spelled in the lowest that can say it, so that
//! what an earlier program could say keeps its spelling and its key.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use super::{DecodePrecision, RequestError, Solver, TakeRequest};

/// The fields of version 2, which version 1 does not know.
const SINCE_2: &[&str] =
    &["loras", "decode_precision", "last_image", "first_image_name", "last_image_name"];

impl TakeRequest {
    /// Reads an encoded request of any version and accepts it.
    ///
    /// # Errors
    /// [`RequestError::Json`], [`RequestError::Version`], and those of [`accept`](Self::accept). A
    /// field or choice that the version named does not have is [`RequestError::Foreign`].
    pub fn from_json(json: &str) -> Result<Self, RequestError> {
        /// Read first: a version to come may well have other fields.
        #[derive(serde::Deserialize)]
        struct Versioned {
            version: u32,
            #[serde(flatten)]
            others: BTreeMap<String, IgnoredAny>,
        }
        let unreadable = |reason| RequestError::Json { reason };
        let Versioned { version, others } = serde_json::from_str(json).map_err(unreadable)?;
        check(version)?;
        let foreign = |what: &str| Err(RequestError::Foreign { version, what: what.to_owned() });
        if version < 2
            && let Some(field) = SINCE_2.iter().find(|field| others.contains_key(**field))
        {
            return foreign(field);
        }
        let request: Self = serde_json::from_str(json).map_err(unreadable)?;
        if request.lowest_version() > version {
            return foreign(request.solver.name());
        }
        request.accept()
    }

    pub(super) fn check_version(&self) -> Result<(), RequestError> {
        check(self.version)
    }

    pub(crate) fn in_lowest_version(self) -> Self {
        Self { version: self.lowest_version(), ..self }
    }

    /// The lowest version that has a spelling for all that this says.
    fn lowest_version(&self) -> u32 {
        let newer_choice = match self.solver {
            Solver::UniPc | Solver::DpmPlusPlus | Solver::Euler => false,
            Solver::Lcm | Solver::Rcm => true,
        };
        let newer_field = !self.loras.is_empty()
            || self.decode_precision != DecodePrecision::usual()
            || self.last_image.is_some()
            || self.first_image_name.is_some()
            || self.last_image_name.is_some();
        if newer_choice || newer_field { 2 } else { 1 }
    }
}

fn check(found: u32) -> Result<(), RequestError> {
    if (1..=TakeRequest::VERSION).contains(&found) {
        return Ok(());
    }
    Err(RequestError::Version { found })
}
