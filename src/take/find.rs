//! Takes by their keys, or by what these begin with.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use anyhow::{Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_take::TakeKey;
use wan_alpha_take::store::{Found, Store, Take};

use super::lines::folders;
use crate::exit::{Exit, OrExit};

/// The fewest letters of a key that name a take.
const SHORTEST: usize = 4;

/// A take by its key, or by the beginning of it. What is damaged or may not be read is said to be so.
pub(crate) fn find(store: &Store, text: &str, watch: &dyn Watch) -> Result<Take> {
    search(store, text, Store::find, watch)
}

/// The same for who only looks at it, which is no use of it.
pub(super) fn look_at(store: &Store, text: &str, watch: &dyn Watch) -> Result<Take> {
    search(store, text, Store::look_at, watch)
}

fn search(
    store: &Store,
    text: &str,
    by: fn(&Store, &TakeKey) -> Found,
    watch: &dyn Watch,
) -> Result<Take> {
    let key = key_of(store, text)?;
    let found = by(store, &key);
    if let Some(take) = found.take {
        for problem in &found.problems {
            watch.warn(&problem.to_string());
        }
        return Ok(take);
    }
    let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    match &problems[..] {
        [] => Err(anyhow!("no take {text} in {}", folders(store))),
        problems => Err(anyhow!(problems.join("; "))),
    }
    .or_exit(Exit::BadInput)
}

/// The key that a text is, or that a file in the store bears and that begins so.
pub(super) fn key_of(store: &Store, text: &str) -> Result<TakeKey> {
    if let Ok(key) = text.parse::<TakeKey>() {
        return Ok(key);
    }
    let listing = store.list();
    let unreadable = listing.problems.iter().filter_map(|problem| {
        problem.take_path()?.file_stem().and_then(OsStr::to_str)?.parse().ok()
    });
    let keys: BTreeSet<TakeKey> =
        listing.takes.iter().map(|take| take.description.key).chain(unreadable).collect();
    let fits = |key: &&TakeKey| text.len() >= SHORTEST && key.to_string().starts_with(text);
    let fitting: Vec<&TakeKey> = keys.iter().filter(fits).collect();
    match fitting[..] {
        [key] => Ok(*key),
        [] if text.len() < SHORTEST => {
            Err(anyhow!("`{text}` is too short: give {SHORTEST} letters of a take's key or more"))
        }
        [] => Err(anyhow!("no take begins with `{text}` in {}", folders(store))),
        _ => Err(anyhow!("{} takes begin with `{text}`; give more of the key", fitting.len())),
    }
    .or_exit(Exit::BadInput)
}
