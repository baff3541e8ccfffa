//! What a node says besides the state of its take: a refusal, a warning, what a button did.

#![forbid(unsafe_code)]

use wan_alpha_take::TakeKey;

/// Words on a node, and why they stand.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) cause: NoticeCause,
}

/// For as long as this is so, a notice stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoticeCause {
    /// The parameters make no request.
    Refusal,
    /// The parameters make this request, or none.
    Parameters(Option<TakeKey>),
    /// The node has this take.
    Take(TakeKey),
    /// The node has this take, and it is not there yet.
    Making(TakeKey),
}
