//! What a take is found by: the one spelling of an accepted request, and its hash.
//!
//! [`TakeRequest::to_canonical`] is JSON with the fields in the order of their declaration, no
//! white space, and one spelling for every number; what says nothing of a field that version 2 added is
//! left out. The key is BLAKE3 of it with the names of model and LoRAs left empty and those of images
//! left out: fingerprints and hashes say which they are, whatever their names on this machine.
//!
//! Whoever changes a byte of this encoding loses every take made before. It is done deliberately:
//! a field added or changed raises [`TakeRequest::VERSION`], pixels changed by our code raise
//! `numerics`, and `tests/data/keys.txt` is renewed as `tests/key.rs` says.

use data_encoding::BASE64URL_NOPAD;

use crate::digest::digest;
use crate::request::{RequestError, TakeRequest};

digest! {
    /// The key of a take: equal keys, equal pixels.
    TakeKey, "take key"
}

impl TakeRequest {
    /// The longest [parameter](Self::to_parameter) that is read, in bytes. Two prompts of the
    /// greatest length, every character escaped, stay well below.
    pub const MAX_PARAMETER: usize = 2 << 20;

    /// The one spelling of an accepted request.
    #[must_use]
    pub fn to_canonical(&self) -> String {
        // Strings, numbers and lists: there is nothing here that JSON could refuse.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The key of the take that this request describes. The request is accepted first, so that no
    /// two spellings of one meaning get two keys.
    ///
    /// # Errors
    /// Those of [`accept`](Self::accept), and [`RequestError::NoFingerprint`].
    pub fn key(&self) -> Result<TakeKey, RequestError> {
        let mut request = self.clone().accept()?;
        if request.model_fingerprint.is_none() {
            return Err(RequestError::NoFingerprint { model: request.model });
        }
        request.model.clear();
        request.loras.iter_mut().for_each(|lora| lora.name.clear());
        (request.first_image_name, request.last_image_name) = (None, None);
        let request = request.in_lowest_version();
        Ok(TakeKey(blake3::hash(request.to_canonical().as_bytes()).into()))
    }

    /// The canonical form as a node keeps it in a project: base64url without padding, because
    /// hosts may evaluate brackets, braces and dollar signs in strings.
    #[must_use]
    pub fn to_parameter(&self) -> String {
        BASE64URL_NOPAD.encode(self.to_canonical().as_bytes())
    }

    /// Reads a [parameter](Self::to_parameter) and accepts the request. Any text is survived.
    ///
    /// # Errors
    /// [`RequestError::Parameter`] if it is too long or not base64url, else as
    /// [`from_json`](Self::from_json).
    pub fn from_parameter(text: &str) -> Result<Self, RequestError> {
        let unreadable = |reason: String| RequestError::Parameter { reason };
        if text.len() > Self::MAX_PARAMETER {
            let [found, most] = [text.len(), Self::MAX_PARAMETER];
            return Err(unreadable(format!("it is {found} bytes long, expected at most {most}")));
        }
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|error| unreadable(error.to_string()))?;
        let json = String::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
        Self::from_json(&json)
    }
}

#[cfg(test)]
mod tests;
