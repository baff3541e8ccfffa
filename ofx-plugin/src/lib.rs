//! The OpenFX node `WanAlpha`: what a compositor sees of this project.
//!
//! Read in this order:
//! - [`params`]: the one table of parameters, as data.
//! - `entry`: the three exported functions and the entry point behind them.
//! - `actions`: which function answers which action.
//! - `describe`: what hosts learn about the node; `instance`, `picture`, `changed`: what one node
//!   on a canvas answers.
//! - [`picture`]: a take's frame, or words in its place, as pixels of the host.
//! - `host`: the host's suites behind safe types.
//!
//! This build describes the node, keeps its parameters and answers for its geometry. It makes no
//! takes yet: a render fails and a button says so, both in words.
//!
//! Invariants:
//! - Neither libtorch nor CUDA is linked, and only the entry points of OpenFX are exported (test
//!   `binary`).
//! - Loading and describing start no thread and no process, open no socket, touch no file, read no
//!   environment variable.
//! - No panic leaves an entry point, and only statuses that OpenFX knows do.
//! - Only the property, image effect and parameter suites are required (test `describe`).
//! - A string of the host is copied before the next call; a string given to the host is static or
//!   outlives the call. No lock is held across a call to the host; there is none.
//! - Unsafe code is in `entry` and under `host`, nowhere else.

#![deny(unsafe_code)]

mod actions;
mod changed;
mod describe;
mod entry;
mod host;
mod instance;
mod names;
pub mod params;
pub mod picture;
mod status;

pub use entry::{OfxGetNumberOfPlugins, OfxGetPlugin, OfxSetHost};

/// Names the node in every project that holds one; never changes.
pub const IDENTIFIER: &std::ffi::CStr = c"org.wanalpha.generator";
