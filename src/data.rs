//! `wan-alpha data`: data sets for training, from a table and its files to clips.
//!
//! A data set is a folder with a table ([`table`]); [`Set::open`] reads it, and everything that
//! trains goes through it:
//!
//! - [`Set::rows`]: captions, labels, kind of every [`Row`](table::Row);
//! - [`Set::split`]: 95 of 100 *sources* to train on, the others to measure with;
//! - [`Set::clip`]: a window of a row for the autoencoder, `[t, h, w, 4]`, straight and
//!   display-referred in \[0, 1\]: [`RgbaClip`];
//! - [`Set::bucketed`]: all frames of a row, one by one, at the transformer's size;
//! - [`cache::Index`]: latents, contexts and masks of a set that `data cache` has been through;
//! - [`procedural::Clip::draw`]: endless clips without a disk, or [`procedural::Scene::draw`] for their
//!   captions, labels and ellipses alone.
//!
//! Invariants: every draw comes from a [`Draw`] and is a pure function of (run seed, purpose,
//! place), so that a resumed run sees what an unbroken one would have; an error names row and file.

mod bucket;
pub(crate) mod cache;
mod caption;
mod check;
mod clip;
mod media;
pub(crate) mod procedural;
mod rng;
mod set;
pub(crate) mod table;
mod window;
mod write_procedural;

pub(crate) use clip::{RgbaClip, Window};
pub(crate) use rng::DataRng;
pub(crate) use set::{Set, Split, split};

use anyhow::Result;

use crate::args::DataCommand;
use crate::context::CommandContext;

/// Runs a verb of `wan-alpha data`.
pub(crate) fn run(command: &DataCommand, context: &CommandContext<'_>) -> Result<()> {
    match command {
        DataCommand::Caption(args) => caption::run(args, context),
        DataCommand::Cache(args) => cache::run(args, context),
        DataCommand::Check(args) => check::run(args, context),
        DataCommand::Procedural(args) => write_procedural::run(args, context),
    }
}
