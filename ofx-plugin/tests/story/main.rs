//! The node as an artist uses it, in a headless host, with an engine that follows a script.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![cfg(unix)]

mod batch;
mod check;
mod demo;
mod drawn;
mod filter;
mod first_image;
mod fringes;
mod fuzz;
mod hang;
mod history;
mod hostile;
mod log;
mod loras;
mod memory;
mod messages;
mod mischief;
mod pause;
mod pictures;
mod placement;
mod preview;
mod rows;
mod scrub;
mod story;
mod strict;
mod takes_kept;
mod threads;
mod words;
mod workshop;
