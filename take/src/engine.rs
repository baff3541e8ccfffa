//! The engine between processes: what it and its clients say to each other, and how they meet.
//!
//! - [`message`]: what is said, a line of JSON each; [`endpoint`]: where an engine listens, and how it
//!   is found.
//! - [`client`]: the engine as plug-in and command use it, behind one thread; [`server`]: the engine's
//!   side of it, with its [`queue`] of jobs.

pub mod client;
pub mod endpoint;
pub mod message;
pub mod queue;
pub mod server;
mod transport;
