//! What a picture's file says of where it is from.

/// What every file says about how it was made. No time, path or machine belongs in here: equal
/// takes give equal files.
#[derive(Clone, Debug)]
pub(crate) struct Provenance {
    /// Program and version that made it.
    pub(crate) software: String,
    /// For people: the prompt.
    pub(crate) description: String,
    /// For programs: the request, as JSON.
    pub(crate) recipe: String,
    /// Frames per second of the take.
    pub(crate) frame_rate: i32,
}

impl Provenance {
    /// This program and its version, as every file names it.
    pub(crate) fn this_program() -> String {
        concat!("wan-alpha ", env!("CARGO_PKG_VERSION")).to_owned()
    }

    /// Of a picture that is no take.
    pub(super) fn none() -> Self {
        Self {
            software: Self::this_program(),
            description: String::new(),
            recipe: String::new(),
            frame_rate: 0,
        }
    }
}
