//! The built plug-in, loaded as a host loads it, against a small host of our own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod actions;
mod binary;
mod describe;
mod golden;
mod quiet;
mod support;
mod table;
