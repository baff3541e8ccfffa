//! What should be known of a take that is made all the same: a code for programs, and words for
//! people. It travels with the job that makes the take, and stands in the take's record.

use serde::{Deserialize, Serialize};

use crate::codes::spelled_codes;

spelled_codes! {
    /// What kind of warning it is, for programs.
    WarningCode {
        /// The take is of a size that its model was not made for.
        SizeBeyondModel = "size-beyond-model",
        /// The take is of a length that its model was not made for.
        FramesBeyondModel = "frames-beyond-model",
        /// Fewer steps than the model wants.
        FewSteps = "few-steps",
        /// The prompt has words that the model does not know.
        UnknownWords = "unknown-words",
        /// The ellipse lies wholly outside the frame.
        EllipseOutside = "ellipse-outside",
        /// The mask that stands in for the ellipse shows no place for the subject.
        MaskEmpty = "mask-empty",
        /// Keys of the ellipse lie beyond the last frame.
        KeysBeyondEnd = "keys-beyond-end",
        /// All keys of the ellipse fall on what the model sees as one frame.
        KeysOnOneFrame = "keys-on-one-frame",
        /// An image was cropped or padded for the aspect of the take.
        ImageEdges = "image-edges",
        /// An image has no transparency at all.
        ImageOpaque = "image-opaque",
        /// There is nothing in an image.
        ImageEmpty = "image-empty",
        /// An image's alpha is too faint, or too small, for an ellipse of it.
        ImageFaint = "image-faint",
        /// Hardly anything is to be seen in the take.
        EmptyTake = "empty-take",
        /// The subject does not go where the moving ellipse goes.
        EllipseNotFollowed = "ellipse-not-followed",
        /// The prompt is longer than the model reads, and was cut.
        PromptCut = "prompt-cut",
        /// Files or tensors of the model are not used, or are not as expected.
        ModelFiles = "model-files",
        /// The latent could not be kept: after a crash the take is made from its beginning.
        LatentNotKept = "latent-not-kept",
        /// Decoding multiplied float32 as TF32, with ten bits of mantissa.
        Tf32 = "tf32",
        /// Something else that came up while the take was computed.
        Computation = "computation",
    }
}

/// What should be known of a take, and what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The kind of warning, for programs.
    pub code: WarningCode,
    /// What is so, as the first part of a sentence, or as a whole one.
    pub message: String,
    /// What the user can do, as its end; nothing where there is nothing to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Warning {
    /// A warning in words; `remedy` may be empty.
    #[must_use]
    pub fn new(code: WarningCode, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: remedy.into() }
    }

    /// Whether it has the user's own words in it, which no log may have that others read.
    #[must_use]
    pub fn quotes_prompt(&self) -> bool {
        matches!(self.code, WarningCode::UnknownWords | WarningCode::PromptCut)
    }

    /// Whether it only remarks on how the take was computed: nothing is wrong, nothing to be done.
    #[must_use]
    pub fn is_remark(&self) -> bool {
        self.code == WarningCode::Tf32
    }

    /// What a log may say of it that others read too: without a word of the prompt.
    #[must_use]
    pub fn for_log(&self) -> String {
        match self.code {
            WarningCode::PromptCut => {
                "the prompt is longer than the model reads, and was cut".into()
            }
            WarningCode::UnknownWords => "the prompt has words that the model does not know".into(),
            _ => self.to_string(),
        }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_back_and_codes_of_later_versions_kept() {
        for code in WarningCode::KNOWN.iter().cloned().chain([WarningCode::Other("new".into())]) {
            for remedy in ["", "do that"] {
                let warning = Warning::new(code.clone(), "this", remedy);
                let json = serde_json::to_string(&warning).unwrap();
                assert!(json.starts_with(&format!("{{\"code\":\"{}\"", code.as_str())), "{json}");
                assert_eq!(serde_json::from_str::<Warning>(&json).unwrap(), warning);
            }
        }
    }

    #[test]
    fn a_log_is_told_no_words_of_the_prompt() {
        let of = |code| Warning::new(code, "the prompt says “dog”", "say something else");
        assert!(!of(WarningCode::UnknownWords).for_log().contains("dog"));
        assert!(!of(WarningCode::PromptCut).for_log().contains("dog"));
        let other = of(WarningCode::FewSteps);
        assert_eq!(other.for_log(), "the prompt says “dog”; say something else");
    }
}
