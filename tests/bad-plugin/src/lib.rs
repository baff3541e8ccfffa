//! An OpenFX plug-in for testing a host: it keeps every rule, and breaks one on demand.
//!
//! The binary has several plug-ins. The first one is good by itself: a picture of red from left to
//! right, green from bottom to top, and blue as `level` says; a panel with every type of parameter;
//! an overlay. Its parameter `mischief` says which rule it breaks on an instance ([`MISCHIEFS`]).
//! The others break one while they are loaded or described ([`BAD_FROM_THE_START`]).
//!
//! `mischief` holds what is bad, `picture` what is drawn, `describe` and `overlay` what their names
//! say; `ofx` is the way to the host. Everything here calls into C, so unsafe code is everywhere;
//! it is confined to one macro and to where memory of the host is written.

#![allow(unsafe_code)]
#![allow(missing_docs, reason = "a plug-in for tests")]

mod changed;
mod describe;
mod entry;
mod mischief;
mod ofx;
mod overlay;
mod picture;

pub use entry::{OfxGetNumberOfPlugins, OfxGetPlugin};
pub use mischief::{BAD_FROM_THE_START, MISCHIEFS};
