//! From a prompt to the context the transformer attends to: cleaning, tokens, umT5.

mod clean;
mod sentence_piece;
mod tokenizer;
mod tokenizer_json;
mod umt5;

pub use clean::clean;
pub use tokenizer::{EMBEDDING, TEXT_LENGTH, Tokenizer, Tokens};
pub use umt5::Umt5;
pub(crate) use umt5::pad;
