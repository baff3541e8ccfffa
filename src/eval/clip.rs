//! The clips that are measured: takes of the store, and folders of frames with what is known of
//! them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use wan_alpha_core::Watch;
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::store::{Store, Take};
use wan_alpha_take::{Ellipse, TakeRequest};

use crate::exit::{Exit, OrExit};
use crate::media::frame::of_stored;
use crate::media::reading::PictureReading;
use crate::media::rgba::RgbaSequence;
use crate::media::sequence;
use crate::unique_json;

/// A clip, and what was asked for as far as it says so itself.
pub(super) struct EvalClip {
    pub(super) name: String,
    pub(super) prompt: Option<String>,
    /// One ellipse per latent frame, where one was asked for.
    pub(super) track: Option<Vec<Ellipse>>,
    pub(super) place: ClipPlace,
    frames: ClipFrames,
}

/// Where a clip is, to know it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClipPlace {
    /// A take of the store, by its key.
    Key(String),
    /// A folder, as the system knows it.
    Folder(PathBuf),
}

enum ClipFrames {
    Store(Take),
    Images(Box<RgbaSequence>),
}

impl EvalClip {
    /// A take of the store, by its key or the beginning of it.
    pub(super) fn of_store(store: &Store, key: &str, watch: &dyn Watch) -> Result<Self> {
        let take = crate::take::find(store, key, watch)?;
        let about = take.description();
        let key = about.key.to_string();
        Ok(Self {
            name: key.get(..12).unwrap_or(&key).to_owned(),
            prompt: Some(about.request.prompt.clone()),
            track: asked_track(&about.request),
            place: ClipPlace::Key(key),
            frames: ClipFrames::Store(take),
        })
    }

    /// A folder of frames; beside them may lie `take.json`, or `prompt.txt` and `track.json`.
    pub(super) fn of_folder(folder: &Path, reading: &PictureReading) -> Result<Self> {
        let name = folder.file_name().map_or(folder.as_os_str(), |name| name);
        let images = RgbaSequence::find(&[images_of(folder)], reading)?;
        let request = request_of(folder).or_exit(Exit::BadInput)?;
        let beside = |file: &str| -> Result<Option<String>> {
            let path = folder.join(file);
            if !path.is_file() {
                return Ok(None);
            }
            let text = fs::read_to_string(&path);
            text.map(Some).with_context(|| format!("cannot read {}", path.display()))
        };
        let own = || -> Result<_> {
            let prompt = beside("prompt.txt")?.map(|text| text.trim_end().to_owned());
            let track = match beside("track.json")? {
                None => None,
                Some(text) => Some(
                    serde_json::from_str::<Vec<Ellipse>>(&text)
                        .with_context(|| format!("{}: track.json", folder.display()))?,
                ),
            };
            Ok((prompt, track))
        };
        let (prompt, track) = own().or_exit(Exit::BadInput)?;
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            prompt: prompt.or_else(|| request.as_ref().map(|request| request.prompt.clone())),
            track: track.or_else(|| request.as_ref().and_then(asked_track)),
            place: ClipPlace::Folder(folder.canonicalize().unwrap_or_else(|_| folder.to_owned())),
            frames: ClipFrames::Images(Box::new(images)),
        })
    }

    /// The images of the clip; none of a take of the store.
    pub(super) fn files(&self) -> &[PathBuf] {
        match &self.frames {
            ClipFrames::Store(_) => &[],
            ClipFrames::Images(images) => images.files(),
        }
    }

    /// How many frames the clip has, their width and their height.
    pub(super) fn shape(&self) -> [usize; 3] {
        match &self.frames {
            ClipFrames::Store(take) => {
                let request = &take.description().request;
                [request.frames, request.width, request.height].map(|side| side as usize)
            }
            ClipFrames::Images(images) => {
                let (width, height) = images.size();
                [images.len(), width, height]
            }
        }
    }

    /// Hands on every frame in order; one at a time is in memory.
    pub(super) fn for_each(
        &mut self,
        watch: &dyn Watch,
        mut see: impl FnMut(OwnedFrame) -> Result<()>,
    ) -> Result<()> {
        let [frames, width, height] = self.shape();
        for index in 0..frames {
            if !watch.go_on() {
                return Err(anyhow!("cancelled while measuring {}", self.name))
                    .or_exit(Exit::Cancelled);
            }
            see(match &mut self.frames {
                ClipFrames::Store(take) => of_stored(index, &take.frame(index as u32)?),
                ClipFrames::Images(images) => {
                    OwnedFrame::new(index, width, height, images.read_next()?)
                }
            })?;
        }
        if let ClipFrames::Images(images) = &self.frames {
            for words in images.warnings() {
                watch.warn(&format!("{}: {words}", self.name));
            }
        }
        Ok(())
    }
}

/// The folders of frames that a path means: itself, or those in it, by name.
pub(super) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let search = || -> Result<Vec<PathBuf>> {
        let entries = |folder: &Path| -> Result<Vec<PathBuf>> {
            let read = fs::read_dir(folder)
                .with_context(|| format!("cannot read the folder {}", folder.display()))?;
            let mut paths =
                read.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
            paths.sort();
            Ok(paths)
        };
        let has_frames = |paths: &[PathBuf]| paths.iter().any(|path| is_image(path));
        let inside = entries(path)?;
        if has_frames(&inside) {
            return Ok(vec![path.to_owned()]);
        }
        let mut found = Vec::new();
        for folder in inside.into_iter().filter(|path| path.is_dir()) {
            if has_frames(&entries(&folder)?) {
                found.push(folder);
            }
        }
        ensure!(
            !found.is_empty(),
            "{} has neither PNG or EXR frames nor folders of such",
            path.display()
        );
        Ok(found)
    };
    search().or_exit(Exit::BadInput)
}

fn is_image(path: &Path) -> bool {
    let is_sheet = path.file_name().is_some_and(sequence::is_sheet);
    sequence::is_image(path) && !is_sheet && path.is_file()
}

/// What to read in a folder. Of a render, which may be there in both formats and beside other sequences,
/// EXR, as everywhere.
pub(super) fn images_of(folder: &Path) -> PathBuf {
    for extension in ["exr", "png"] {
        if folder.join(format!("rgba.0000.{extension}")).is_file() {
            return folder.join(format!("rgba.####.{extension}"));
        }
    }
    folder.to_owned()
}

/// The request in a folder's `take.json`; a decoded latent's has none.
fn request_of(folder: &Path) -> Result<Option<TakeRequest>> {
    let path = folder.join("take.json");
    if !path.is_file() {
        return Ok(None);
    }
    let name = path.display();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
    let take: Value =
        unique_json::from_str(&text).with_context(|| format!("{name} is not JSON"))?;
    let request = take.get("request").map(|request| TakeRequest::from_json(&request.to_string()));
    request.transpose().with_context(|| format!("the request in {name}"))
}

/// The ellipses that a request asked for: none where it shifted nothing, or by a mask.
fn asked_track(request: &TakeRequest) -> Option<Vec<Ellipse>> {
    let shifted = request.mu.iter().any(|mu| *mu != 0.0);
    (shifted && request.mask.is_none()).then(|| request.ellipse.clone())
}
