//! The negative prompts that models were released with.

#![forbid(unsafe_code)]

/// The negative prompt of Wan-Alpha's own command: that of the base model without the terms for style,
/// works of art and paintings.
pub const RELEASED_NEGATIVE_PROMPT: &str = "色调艳丽，过曝，静态，细节模糊不清，字幕，画面，静止，\
    整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，\
    畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走";

/// Whether a negative prompt is one that a model was released with, terms before it included: of such a one
/// no user has chosen the length.
pub(super) fn is_built_in(text: &str) -> bool {
    text == RELEASED_NEGATIVE_PROMPT || text.ends_with(NEGATIVE_PROMPT)
}

/// The negative prompt the base model was released with.
pub const NEGATIVE_PROMPT: &str = "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，\
    画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，\
    画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，\
    背景人很多，倒着走";
