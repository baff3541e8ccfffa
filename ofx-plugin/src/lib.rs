//! The OpenFX node `WanAlpha`: what a compositor sees of this project.
//!
//! Read in this order:
//! - [`params`]: the one table of parameters, as data.
//! - `entry`, `overlay_entry`: the three exported functions and the entry points behind them.
//! - `actions`: which function answers which action.
//! - `describe`: what hosts learn about the node (`contexts`: as what it is offered); `geometry`, `timing`: where and when it shows.
//! - `changed`, `buttons`, `node_update`: what it does on the main thread; `build_request`: the
//!   request that its parameters make; `make_take`: what asks for it where there are no buttons;
//!   `saved_requests`: those that it has made; `take_state`: what
//!   there is to see of them; `notice`: what else the node says; `model_limits`: what its model is for.
//! - `render`: which frame, or what instead of it (`render_decision`), drawn by [`picture`].
//! - `session`: what all nodes of a process share: store, models, engine; `node_log`: where they say
//!   what they do.
//! - `overlay`: the ellipse in the viewer, to be dragged.
//! - `host`: the host's suites behind safe types; `surface`: what is drawn on; `node`: one node
//!   within one action.
//!
//! Invariants:
//! - Neither libtorch nor CUDA is linked, and only the entry points of OpenFX are exported (test
//!   `binary`).
//! - Nothing starts a thread or a process, opens a socket, or writes a file before a button or a render
//!   asks for a take; only the record of the model is read, for the overlay and for how long the take
//!   will be (test `quiet`).
//! - In a session with an artist only a button has a take made (tests `story`, `batch`).
//! - A render sets no parameter; an event of the main thread sets `revision` where what there is to
//!   see has changed, so that hosts let go of the pictures that they keep.
//! - No panic leaves an entry point, and only statuses that OpenFX knows do.
//! - Only the property, image effect and parameter suites are required (test `describe`).
//! - A string of the host is copied before the next call; a string given to the host is static or
//!   outlives the call. No lock is held across a call to the host.
//! - Unsafe code is in `entry`, `overlay_entry`, `picture::vector` and under `host`, nowhere else.

#![deny(unsafe_code)]

mod actions;
mod build_request;
mod buttons;
mod changed;
mod color_management;
mod contexts;
mod describe;
mod drawn_ellipse;
mod ellipse_keys;
mod entry;
mod environment;
mod first_image;
mod geometry;
mod host;
mod image_file;
mod instance;
mod make_take;
mod model_limits;
mod names;
mod node;
mod node_log;
mod node_transfer;
mod node_update;
mod notice;
mod notice_lifetime;
mod ofx_status;
mod overlay;
mod overlay_entry;
pub mod params;
pub mod picture;
mod render;
mod render_decision;
mod render_error;
mod saved_requests;
mod session;
mod source_frame;
mod status_text;
mod surface;
mod take_size;
mod take_state;
mod timing;

pub use entry::{OfxGetNumberOfPlugins, OfxGetPlugin, OfxSetHost};

/// Names the node in every project that holds one; never changes.
pub const IDENTIFIER: &std::ffi::CStr = c"org.wanalpha.generator";
