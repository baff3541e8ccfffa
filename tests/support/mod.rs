//! What the tests of the command share. (A `mod.rs`, because Cargo takes every `tests/*.rs` for a
//! test of its own.)
//!
//! [`render`] calls the built command in a room of its own; [`reference`] has the authors' numbers;
//! [`exported`] is a take that is written as files and movies, [`ffmpeg`] finds what writes those;
//! [`model`] takes a reference model apart so that a test can spell it otherwise ([`rewrite`]), store
//! it in 8 bits ([`quantized`]) or damage it; [`random`] makes larger models; [`archive`] makes `torch.save` files; [`running`]
//! looks at the command while it works, [`pace`] at how much it works; [`room`] is a folder to call
//! any of its verbs in; [`stand_in`] plays CUDA; [`studio`]
//! has named models, a store and an engine; [`training`] calls and watches `wan-alpha train`.

// Every test file uses its own part of this.
#![allow(dead_code)]
// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod archive;
#[cfg(unix)]
pub(crate) mod exported;
#[cfg(unix)]
pub(crate) mod ffmpeg;
pub(crate) mod model;
pub(crate) mod pace;
pub(crate) mod quantized;
pub(crate) mod random;
pub(crate) mod reference;
pub(crate) mod render;
pub(crate) mod rewrite;
pub(crate) mod room;
pub(crate) mod running;
pub(crate) mod stand_in;
pub(crate) mod studio;
pub(crate) mod training;
