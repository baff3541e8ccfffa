//! `wan-alpha take gallery`: takes to look at in a browser.
//!
//! One page, which needs nothing else and can be sent: small pictures, recipes and the program that shows
//! them lie in it. Beside it, in `moving`, lie small moving pictures, which play under the pointer.

mod entry;
mod moving;
mod page;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;
use wan_alpha_core::{Stage, Watch};
use wan_alpha_take::counted::counted;
use wan_alpha_take::store::Store;

use crate::args::TakeGallery;
use crate::console::Console;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::{explain_write, write_whole};
use crate::write_lock::WriteLock;
use entry::{GalleryTake, find};

/// The page.
const PAGE: &str = "index.html";
/// The folder of moving pictures beside it.
const MOVING: &str = "moving";

/// Writes the page of the takes in some folders, or of all in the store; says where it is.
pub(super) fn run(args: &TakeGallery, store: &Store, console: &Console<'_>) -> Result<Vec<String>> {
    let takes = find(&args.folders, store, console)?;
    if takes.is_empty() {
        return Err(anyhow!("there are no takes to show: make one, or name folders of renders"))
            .or_exit(Exit::BadInput);
    }
    let moving = (!args.still).then(|| args.out.join(MOVING));
    let folder = moving.as_ref().unwrap_or(&args.out);
    fs::create_dir_all(folder).map_err(|error| explain_write(&args.out, &error))?;
    let _lock = WriteLock::of_folder(&args.out)?;
    refuse_others(&args.out.join(PAGE)).or_exit(Exit::BadInput)?;
    let done = AtomicUsize::new(0);
    let entries: Vec<Result<page::PageTake>> = takes
        .par_iter()
        .map(|take| {
            console.check(Stage::Encode)?;
            let entry = page_take(take, moving.as_deref())?;
            console.progress(Stage::Encode, done.fetch_add(1, Ordering::Relaxed) + 1, takes.len());
            Ok(entry)
        })
        .collect();
    let mut shown = Vec::new();
    for (entry, take) in entries.into_iter().zip(&takes) {
        match entry {
            Ok(entry) => shown.push(entry),
            Err(error) if Exit::of(&error) == Exit::Cancelled => return Err(error),
            Err(error) => {
                let text = crate::error_text::in_words(&error);
                console.caution(format!("take {} is left out: {text}", take.key));
            }
        }
    }
    let path = args.out.join(PAGE);
    write_whole(&path, page::draw(&shown)?.as_bytes())?;
    console
        .remark(&format!("{} in the gallery; open it in a browser", counted(shown.len(), "take")));
    Ok(vec![path.display().to_string()])
}

/// A page of others is not written over.
fn refuse_others(page: &Path) -> Result<()> {
    match fs::read_to_string(page) {
        Ok(text) if !text.contains(page::MARK) => Err(anyhow!(
            "{} is a page that wan-alpha did not write: choose another --out, or move it away",
            page.display()
        )),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot read {}", page.display()))
        }
        _ => Ok(()),
    }
}

/// What the page has of a take; its moving picture is written into a folder, unless it is there.
fn page_take(take: &GalleryTake, moving: Option<&Path>) -> Result<page::PageTake> {
    let name = format!("{}.png", take.key);
    let mut frames = take.frames()?;
    // The frame in the middle is the one that a still shows.
    let count = frames.len();
    let wanted = moving.filter(|folder| !folder.join(&name).exists());
    let places = if wanted.is_some() { moving::places(count) } else { vec![count / 2] };
    let chosen = frames.read(&places)?;
    let middle = places.iter().position(|place| *place >= count / 2).unwrap_or(0);
    if let Some(folder) = wanted {
        let seconds = count as f64 / f64::from(take.request.take_rate);
        write_whole(&folder.join(&name), &moving::encode(&chosen, seconds)?)?;
    }
    let moving = moving.map(|_| format!("{MOVING}/{name}"));
    page::PageTake::of(take, &chosen[middle], moving)
}
