//! The stages that the work is told of in, and that errors name.

use std::fmt;

/// A stage of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Reading and merging weights.
    Load,
    /// Encoding the prompt by the text encoder.
    Text,
    /// Denoising the latent, step by step.
    Sample,
    /// Decoding the latent to color and alpha.
    Decode,
    /// Encoding a clip to a latent, or the image that a take begins with: after the prompt, then.
    Encode,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Load => "loading the model",
            Self::Text => "reading the prompt",
            Self::Sample => "sampling",
            Self::Decode => "decoding",
            Self::Encode => "encoding",
        })
    }
}
