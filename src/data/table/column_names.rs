//! What the columns of a table are called, and what a person may have meant by other names.

/// What the columns are called that mean something.
pub(super) const NAMES: [&str; 20] = [
    "colour",
    "color",
    "video_fgr",
    "alpha",
    "video_pha",
    "kind",
    "status",
    "source",
    "association",
    "color_space",
    "layer",
    "labels",
    "track",
    "declined",
    "frame_height",
    "frame_width",
    "num_frames",
    "prompt",
    "caption",
    "caption_short",
];

/// The name that a column was meant to have, if it is one but for its capitals or its blanks.
pub(crate) fn meant_column(name: &str) -> Option<String> {
    let plain = name.trim().to_lowercase().replace([' ', '-'], "_");
    (plain != name && (NAMES.contains(&plain.as_str()) || plain.starts_with("caption")))
        .then_some(plain)
}
