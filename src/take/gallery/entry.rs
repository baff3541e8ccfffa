//! Takes that a gallery shows: those of the store, or of folders of renders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::store::{Store, Take};
use wan_alpha_take::{TakeKey, TakeReport, TakeRequest};

use crate::exit::{Exit, OrExit};
use crate::media::frame::of_stored;
use crate::media::reading::PictureReading;
use crate::media::rgba::RgbaSequence;
use crate::output::TAKE;
use crate::saved_request;

/// How deep folders of renders may lie below a folder that is named.
const DEPTH: usize = 6;

/// A take, its frames not read yet.
pub(super) struct GalleryTake {
    pub(super) key: TakeKey,
    pub(super) request: TakeRequest,
    pub(super) report: Option<TakeReport>,
    pub(super) warnings: Vec<String>,
    pub(super) made: SystemTime,
    source: FrameSource,
}

enum FrameSource {
    Stored(Store),
    Folder(PathBuf),
}

/// Frames of a take, one after the other.
pub(super) enum TakeFrames {
    Stored(Take),
    Files(Box<RgbaSequence>),
}

/// The takes of these folders and of those below them, or all of the store; each once, the newest first.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn find(
    folders: &[PathBuf],
    store: &Store,
    watch: &dyn Watch,
) -> Result<Vec<GalleryTake>> {
    let mut takes = if folders.is_empty() { of_store(store, watch) } else { Vec::new() };
    for folder in folders {
        let about = folder.metadata();
        let about = about.with_context(|| format!("cannot read {}", folder.display()));
        if !about.or_exit(Exit::BadInput)?.is_dir() {
            return Err(anyhow!("{} is no folder of takes", folder.display()))
                .or_exit(Exit::BadInput);
        }
        let mut renders = Vec::new();
        below(folder, DEPTH, &mut renders);
        for render in renders {
            match of_folder(&render) {
                Ok(take) => takes.push(take),
                Err(error) => watch.warn(&format!("{} is left out: {error:#}", render.display())),
            }
        }
        takes.extend(of_store(&Store::new([folder.clone()]), watch));
    }
    let mut seen = BTreeSet::new();
    takes.retain(|take| seen.insert(take.key));
    takes.sort_by_key(|take| std::cmp::Reverse(take.made));
    Ok(takes)
}

fn of_store(store: &Store, watch: &dyn Watch) -> Vec<GalleryTake> {
    let listing = store.list();
    for problem in &listing.problems {
        watch.warn(&problem.to_string());
    }
    let take = |info: wan_alpha_take::store::TakeInfo| {
        let about = info.description;
        GalleryTake {
            key: about.key,
            request: about.request,
            report: about.report,
            warnings: about.warnings.iter().map(ToString::to_string).collect(),
            made: info.made,
            source: FrameSource::Stored(store.clone()),
        }
    };
    listing.takes.into_iter().map(take).collect()
}

/// Folders with a take.json, of others below them none.
fn below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if folder.join(TAKE).is_file() {
        found.push(folder.to_owned());
        return;
    }
    if depth == 0 {
        return;
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.iter().for_each(|folder| below(folder, depth - 1, found));
}

fn of_folder(folder: &Path) -> Result<GalleryTake> {
    let request = saved_request::read(&folder.to_string_lossy())?.request;
    let about = folder.join(TAKE);
    let take: serde_json::Value = serde_json::from_slice(&std::fs::read(&about)?)?;
    let warnings = take["warnings"].as_array().into_iter().flatten();
    Ok(GalleryTake {
        key: request.key()?,
        request,
        report: serde_json::from_value(take["report"].clone()).ok(),
        warnings: warnings.filter_map(|words| words.as_str().map(str::to_owned)).collect(),
        made: about.metadata()?.modified()?,
        source: FrameSource::Folder(folder.to_owned()),
    })
}

impl GalleryTake {
    /// Its frames.
    ///
    /// # Errors
    /// They cannot be read, or are gone.
    pub(super) fn frames(&self) -> Result<TakeFrames> {
        match &self.source {
            FrameSource::Stored(store) => {
                let mut found = store.look_at(&self.key);
                match (found.take, found.problems.pop()) {
                    (Some(take), _) => Ok(TakeFrames::Stored(take)),
                    (None, Some(problem)) => Err(problem.into()),
                    (None, None) => Err(anyhow!("it has gone from the store")),
                }
            }
            FrameSource::Folder(folder) => {
                let reading = PictureReading::default();
                let clip = RgbaSequence::find(std::slice::from_ref(folder), &reading)?;
                Ok(TakeFrames::Files(Box::new(clip)))
            }
        }
    }
}

impl TakeFrames {
    /// How many there are, one at least.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Stored(take) => take.frames() as usize,
            Self::Files(clip) => clip.len(),
        }
    }

    /// Those of some places, in rising order.
    pub(super) fn read(&mut self, places: &[usize]) -> Result<Vec<OwnedFrame>> {
        match self {
            Self::Stored(take) => {
                let frame = |&place: &usize| -> Result<OwnedFrame> {
                    Ok(of_stored(place, &take.frame(u32::try_from(place)?)?))
                };
                places.iter().map(frame).collect()
            }
            Self::Files(clip) => {
                let (width, height) = clip.size();
                let mut frames = Vec::new();
                for place in 0..=places.last().copied().unwrap_or(0) {
                    let rgba = clip.read_next()?;
                    if places.contains(&place) {
                        frames.push(OwnedFrame::new(place, width, height, rgba));
                    }
                }
                Ok(frames)
            }
        }
    }
}
