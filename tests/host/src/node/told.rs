//! What a plug-in says to the artist.

#![forbid(unsafe_code)]

/// A message of the plug-in to the artist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `OfxMessageError` and the like.
    pub kind: String,
    /// Its name in the tables of translations.
    pub id: String,
    /// What it says to the artist.
    pub text: String,
}

/// Something told of progress.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It begins, and what it is of.
    Start(String),
    /// How much is done, 0 to 1.
    Update(f64),
    /// The work is over.
    End,
}

#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) persistent: Option<Message>,
    pub(crate) messages: Vec<Message>,
    pub(crate) progress: Vec<Progress>,
    /// How often the progress that is shown was updated.
    pub(crate) progressing: Option<u32>,
}
