//! What adapters there are, and what they are called.

#![forbid(unsafe_code)]

/// What kind of adapter a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// The transparency DoRA of the diffusion transformer.
    Dora,
    /// A step-distillation LoRA of the diffusion transformer (LightX2V).
    Distill,
    /// Any other LoRA of the diffusion transformer: style, subject, motion.
    Lora,
    /// The LoRA that makes the decoder one of color.
    ColorDecoder,
    /// The LoRA that makes the decoder one of alpha.
    AlphaDecoder,
}

impl AdapterKind {
    /// What it is called in fingerprints and in files, for ever.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dora => "dora",
            Self::Distill => "distill",
            Self::Lora => "lora",
            Self::ColorDecoder => "colour-decoder",
            Self::AlphaDecoder => "alpha-decoder",
        }
    }

    /// What it is called where people read of it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Dora => "DoRA",
            Self::Distill => "distillation",
            Self::Lora => "LoRA",
            Self::ColorDecoder => "color decoder",
            Self::AlphaDecoder => "alpha decoder",
        }
    }
}
