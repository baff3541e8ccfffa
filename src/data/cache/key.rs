//! What is cached depends on, as names.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use wan_alpha_core::text::TEXT_LENGTH;
use wan_alpha_core::vae::Corner;
use wan_alpha_take::{Ellipse, Fingerprint};

use crate::data::bucket::TrainingSize;
use crate::data::table::Row;
use crate::media::reading::Association;
use crate::media::rgba::unusual_reading;
use crate::media::sequence::{self, FrameNumbering};
use crate::media::video::is_movie;

/// What all rows of a run have in common.
pub(super) struct Recipe {
    pub(super) encoder: Fingerprint,
    /// Of the image encoder, where the model makes video from an image.
    pub(super) image: Option<Fingerprint>,
    pub(super) text: Fingerprint,
    /// Tokens that a caption is cut to.
    pub(super) text_length: usize,
    pub(super) size: TrainingSize,
    pub(super) bf16: bool,
}

impl Recipe {
    /// The name of a clip's file; `identity` is that of [`of_files`], `track` its own ellipses.
    pub(super) fn clip_file(
        &self,
        identity: &str,
        row: &Row,
        background: Corner,
        track: Option<&[Ellipse]>,
    ) -> String {
        let Self { encoder, image, size, bf16, .. } = self;
        let association = match row.association {
            None => "own",
            Some(Association::Straight) => "straight",
            Some(Association::Premultiplied) => "premultiplied",
        };
        let size = match size {
            TrainingSize::Own => "own".to_owned(),
            TrainingSize::Area(area) => area.to_string(),
        };
        let ellipses = track.unwrap_or_default().iter().map(|ellipse| format!("{ellipse}\n"));
        let ellipses: String = ellipses.collect();
        // As it was before images counted, where there is none.
        let image = image.as_ref().map(|image| format!("\nimage {image}")).unwrap_or_default();
        let background = background.name();
        named(&[
            "wan-alpha cache 2, clip",
            &format!("{encoder}\n{size}\n{bf16}\n{background}\n{association}\n{identity}{image}"),
            &ellipses,
        ])
    }

    /// The name of the file of a row's captions.
    pub(super) fn text_file(&self, row: &Row) -> String {
        let Self { text, bf16, text_length, .. } = self;
        // As it was before lengths counted, of the usual one.
        let length = match *text_length {
            TEXT_LENGTH => String::new(),
            other => format!("\n{other}"),
        };
        let common = format!("{text}\n{bf16}{length}");
        let captions = row.captions.iter().map(String::as_str);
        named(&["wan-alpha cache 2, text", &common].into_iter().chain(captions).collect::<Vec<_>>())
    }
}

/// A file's name, of all that it depends on.
fn named(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        // Lengths stand before what they measure.
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    format!("{}.safetensors", &hasher.finalize().to_hex()[..32])
}

/// A hash of a row's files.
pub(super) fn of_files(row: &Row) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let alpha = row.alpha_path();
    for (path, what) in [(Some(row.color_path()), "colour"), (alpha, "alpha")]
        .iter()
        .filter_map(|(path, what)| Some((path.as_deref()?, *what)))
    {
        let files = files_of(path, what)?;
        if what == "colour" {
            // As it was before tags counted, where there are none.
            let reading = row.reading();
            let first = files.first();
            let read = first.map(|file| unusual_reading(file, &reading)).transpose()?.flatten();
            for said in [read, reading.layer].into_iter().flatten() {
                hasher.update(&(said.len() as u64).to_le_bytes()).update(said.as_bytes());
            }
        }
        hasher.update(what.as_bytes()).update(&(files.len() as u64).to_le_bytes());
        for file in files {
            let read = || -> std::io::Result<blake3::Hash> {
                let mut one = blake3::Hasher::new();
                one.update_reader(File::open(&file)?)?;
                Ok(one.finalize())
            };
            let hash = read().with_context(|| format!("cannot read {}", file.display()))?;
            hasher.update(hash.as_bytes());
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn files_of(path: &Path, what: &str) -> Result<Vec<std::path::PathBuf>> {
    if is_movie(path) {
        Ok(vec![path.to_owned()])
    } else {
        Ok(sequence::find(path, what, FrameNumbering::EveryFrame)?)
    }
}
