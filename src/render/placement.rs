//! Where the subject goes: an ellipse, a track, or a mask from a file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use wan_alpha_core::Watch;
use wan_alpha_core::weights::read_bare_tensor;
use wan_alpha_take::counted::counted;
use wan_alpha_take::frames::STRIDE;
use wan_alpha_take::{
    ContentHash, Ellipse, Mask, MaskSource, TakeRequest, Track, Warning, key_warnings,
};

use crate::args::Render;
use crate::exit::{Exit, OrExit};
use crate::media::mask::MaskSequence;
use crate::text_file;

/// The placement a command line asks for.
pub(super) enum SubjectPlacement {
    /// An ellipse for each latent frame, and what is to be known of the keys that they are from.
    Ellipses(Vec<Ellipse>, Vec<Warning>),
    /// A mask for each latent frame.
    Mask(Mask),
}

impl SubjectPlacement {
    /// Reads it for a take of `latent_frames`; where nothing is asked for, it is `of_image`, held, or in
    /// the middle.
    pub(super) fn of(
        args: &Render,
        latent_frames: usize,
        of_image: Option<Ellipse>,
        watch: &dyn Watch,
    ) -> Result<Self> {
        if let Some(path) = &args.mask {
            let check = |found| check_length(found, latent_frames);
            let mask = read_mask(path, args.layer.as_deref(), watch, check);
            return mask.or_exit(Exit::BadInput).map(Self::Mask);
        }
        if let Some(path) = &args.ellipse_track {
            let text = text_file::read_text(path, watch)?
                .with_context(|| format!("cannot read --ellipse-track file {}", path.display()))
                .or_exit(Exit::BadInput)?;
            let ellipses = Track::from_json(&text, latent_frames)
                .with_context(|| path.display().to_string())
                .or_exit(Exit::BadInput)?;
            return Ok(Self::Ellipses(ellipses, Vec::new()));
        }
        let Some(text) = &args.ellipse else {
            let held = of_image.unwrap_or_default();
            return Ok(Self::Ellipses(vec![held; latent_frames], Vec::new()));
        };
        let track = Track::parse(text, args.ellipse_interp).or_exit(Exit::BadInput)?;
        let keys: Vec<f64> = track.keys().iter().map(|(frame, _)| *frame).collect();
        let frames = u32::try_from(latent_frames.saturating_sub(1))? * STRIDE + 1;
        let warnings = key_warnings(&keys, frames);
        Ok(Self::Ellipses(track.at_latent_frames(latent_frames), warnings))
    }

    /// That of an earlier take: its ellipses, or the mask that `args` give again.
    pub(super) fn again(args: &Render, request: &TakeRequest, watch: &dyn Watch) -> Result<Self> {
        let Some(source) = &request.mask else {
            if args.mask.is_some() {
                return Err(anyhow!(
                    "the take of --from was placed by ellipses, not by a mask: leave --mask out"
                ))
                .or_exit(Exit::BadInput);
            }
            return Ok(Self::Ellipses(request.ellipse.clone(), Vec::new()));
        };
        let Some(path) = &args.mask else {
            return Err(anyhow!(
                "the take was placed by a mask from a file, which its request does not hold: give it \
                 again with --mask"
            ))
            .or_exit(Exit::BadInput);
        };
        let check = |found| check_length(found, source.shape[0] as usize);
        let mask = read_mask(path, args.layer.as_deref(), watch, check).or_exit(Exit::BadInput)?;
        let placement = Self::Mask(mask);
        if placement.describe_mask().as_ref() != Some(source) {
            return Err(anyhow!(
                "--mask {} is not the mask that the take was placed by: its size or its values differ",
                path.display()
            ))
            .or_exit(Exit::BadInput);
        }
        Ok(placement)
    }

    /// One ellipse for each latent frame; where a mask stands in for it, the default.
    pub(super) fn ellipses(&self) -> Vec<Ellipse> {
        match self {
            Self::Ellipses(ellipses, _) => ellipses.clone(),
            Self::Mask(mask) => vec![Ellipse::default(); mask.shape()[0]],
        }
    }

    pub(super) fn mask(&self) -> Option<&Mask> {
        match self {
            Self::Mask(mask) => Some(mask),
            Self::Ellipses(..) => None,
        }
    }

    /// What is to be known of it, in the take of this request.
    pub(super) fn warnings(&self, request: &TakeRequest) -> Vec<Warning> {
        match self {
            Self::Ellipses(_, warnings) => warnings.clone(),
            Self::Mask(mask) => request.mask_warning(mask).into_iter().collect(),
        }
    }

    /// What tells one mask from another: its sizes and the BLAKE3 of its values.
    pub(super) fn describe_mask(&self) -> Option<MaskSource> {
        let mask = self.mask()?;
        let mut hasher = blake3::Hasher::new();
        for value in mask.values() {
            hasher.update(&value.to_le_bytes());
        }
        let shape = mask.shape().map(|axis| u32::try_from(axis).unwrap_or(u32::MAX));
        Some(MaskSource { shape, blake3: ContentHash(*hasher.finalize().as_bytes()) })
    }
}

/// The files of `--mask`.
pub(super) fn mask_files(args: &Render) -> Result<Vec<PathBuf>> {
    match &args.mask {
        Some(path) if MaskSequence::names_images(path) => {
            Ok(MaskSequence::find(path, args.layer.as_deref())?.files().to_vec())
        }
        path => Ok(path.iter().cloned().collect()),
    }
}

/// A mask of the wrong length is refused before anything is loaded.
fn check_length(found: usize, expected: usize) -> Result<()> {
    ensure!(
        found == expected,
        "--mask has {}, expected {expected}, one for each latent frame (take frame 0, then every 4). \
         Give as many, or --frames {}",
        counted(found, "frame"),
        4 * found.max(1) - 3
    );
    Ok(())
}

/// Reads a mask of any form; `check` may refuse its number of latent frames.
pub(crate) fn read_mask(
    path: &Path,
    layer: Option<&str>,
    watch: &dyn Watch,
    check: impl Fn(usize) -> Result<()>,
) -> Result<Mask> {
    if MaskSequence::names_images(path) {
        return read_images(path, layer, watch, check);
    }
    if let Some(layer) = layer {
        watch.warn(&format!(
            "{}: it is a tensor, which has no layers: --layer {layer} changes nothing",
            path.display()
        ));
    }
    // A mask is no part of the model, which errors of its files are about.
    let (size, values) = read_bare_tensor(path).map_err(|error| anyhow!("{error}"))?;
    ensure!(
        size.len() == 3 && size.iter().all(|&axis| axis > 0),
        "{}: a mask is a tensor [frames, height, width], found {size:?}",
        path.display()
    );
    check(size[0] as usize)?;
    let shape = [size[0] as usize, size[1] as usize, size[2] as usize];
    Mask::new(values, shape).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn read_images(
    path: &Path,
    layer: Option<&str>,
    watch: &dyn Watch,
    check: impl Fn(usize) -> Result<()>,
) -> Result<Mask> {
    let sequence = MaskSequence::find(path, layer)?;
    sequence.len().map_or(Ok(()), &check)?;
    let (images, remarks) = sequence.read()?;
    remarks.warnings.iter().for_each(|words| watch.warn(words));
    check(images.len())?;
    let (width, height) = images.first().map_or((0, 0), |image| (image.width, image.height));
    let shape = [images.len(), height, width];
    let values = images.into_iter().flat_map(|image| image.values).collect();
    Mask::new(values, shape).map_err(|error| anyhow!("{}: {error}", path.display()))
}
