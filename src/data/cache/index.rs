//! Which file is which row's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::Entry;
use super::entry::longest_context;
use crate::media::atomic_file::write_whole;
use wan_alpha_core::device::Device;

pub(super) const NAME: &str = "index.jsonl";

/// A row of a cached set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// From 1, in the table.
    pub(crate) row: usize,
    #[serde(rename = "colour")]
    pub(crate) color: String,
    pub(crate) captions: Vec<String>,
    pub(crate) source: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// The file of the clip.
    pub(crate) file: String,
    /// The file of the captions' contexts; none in caches whose clips' files have them.
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// What the encoder saw where alpha is 0.
    pub(crate) background: String,
    /// Whether the clip's file has what an image-to-video transformer is given of its first frame.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) image: bool,
    pub(crate) frames: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

pub(super) fn write(folder: &Path, lines: &[Line]) -> Result<PathBuf> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    let path = folder.join(NAME);
    write_whole(&path, &bytes)?;
    Ok(path)
}

/// A cached set, for training.
pub(crate) struct CacheIndex {
    opened: Device,
    folder: PathBuf,
    pub(crate) lines: Vec<Line>,
}

impl CacheIndex {
    pub(crate) fn open(opened: Device, folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("{} is no cached set: make one with `data cache`", folder.display())
        })?;
        let line = |(index, line): (usize, &str)| {
            serde_json::from_str(line)
                .with_context(|| format!("line {} of {} is broken", index + 1, path.display()))
        };
        let lines = text.lines().enumerate().map(line).collect::<Result<_>>()?;
        Ok(Self { opened, folder: folder.to_owned(), lines })
    }

    /// Whether a transformer that attends to `most` tokens takes every context; headers alone are read.
    ///
    /// # Errors
    /// A context has more, or its file cannot be read.
    pub(crate) fn check_contexts(&self, most: usize) -> Result<()> {
        let mut known = BTreeSet::new();
        for line in &self.lines {
            let file = line.text.as_ref().unwrap_or(&line.file);
            if !known.insert(file) {
                continue;
            }
            let longest = longest_context(&self.folder.join(file))?;
            ensure!(
                longest <= most as i64,
                "row {} ({}) of {}: a caption has {longest} tokens, and the transformer takes {most} at most \
                 (`text_len` of its config.json): shorten it, or cache the set with the model that is \
                 trained, whose length it is cut to then",
                line.row,
                line.color,
                self.folder.display()
            );
        }
        Ok(())
    }

    /// Reads what is cached of a row, by its place in `lines`.
    pub(crate) fn read(&self, index: usize) -> Result<Entry> {
        let line = self.lines.get(index);
        let line =
            line.with_context(|| format!("row {index} of {} from 0 on", self.lines.len()))?;
        let name = || format!("row {} ({}) of {}", line.row, line.color, self.folder.display());
        let text = line.text.as_ref().map(|text| self.folder.join(text));
        Entry::read(self.opened, &self.folder.join(&line.file), text.as_deref()).with_context(name)
    }
}
