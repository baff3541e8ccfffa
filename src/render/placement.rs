//! Where the subject goes, as a command line says it: an ellipse, a track, a mask from a file; else what is
//! to be seen of the image.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use wan_alpha_core::Watch;
use wan_alpha_core::weights::read_bare_tensor;
use wan_alpha_take::counted::counted;
use wan_alpha_take::frames::STRIDE;
use wan_alpha_take::{Ellipse, Guide, Mask, MaskSource, TakeRequest, Track, Warning, key_warnings};

use crate::args::Render;
use crate::exit::{Exit, OrExit};
use crate::media::mask::MaskSequence;
use crate::text_file;

/// The placement a command line asks for.
pub(super) struct SubjectPlacement {
    guide: Guide,
    /// What is to be known of the keys that it is from.
    of_keys: Vec<Warning>,
}

impl From<Guide> for SubjectPlacement {
    fn from(guide: Guide) -> Self {
        Self { guide, of_keys: Vec::new() }
    }
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
            return mask.or_exit(Exit::BadInput).map(|mask| Guide::Map(mask).into());
        }
        if let Some(path) = &args.ellipse_track {
            let text = text_file::read_text(path, watch)?
                .with_context(|| format!("cannot read --ellipse-track file {}", path.display()))
                .or_exit(Exit::BadInput)?;
            let ellipses = Track::from_json(&text, latent_frames)
                .with_context(|| path.display().to_string())
                .or_exit(Exit::BadInput)?;
            return Ok(Guide::Ellipses(ellipses).into());
        }
        let Some(text) = &args.ellipse else {
            return Ok(match of_image {
                Some(ellipse) => Guide::ImageAlpha { ellipse, latent_frames }.into(),
                None => Guide::Ellipses(vec![Ellipse::default(); latent_frames]).into(),
            });
        };
        let track = Track::parse(text, args.ellipse_interp).or_exit(Exit::BadInput)?;
        let keys: Vec<f64> = track.keys().iter().map(|(frame, _)| *frame).collect();
        let frames = u32::try_from(latent_frames.saturating_sub(1))? * STRIDE + 1;
        let guide = Guide::Ellipses(track.at_latent_frames(latent_frames));
        Ok(Self { guide, of_keys: key_warnings(&keys, frames) })
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
            return Ok(Guide::Ellipses(request.ellipse.clone()).into());
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
        if MaskSource::of(&mask) != *source {
            return Err(anyhow!(
                "--mask {} is not the mask that the take was placed by: its size or its values differ",
                path.display()
            ))
            .or_exit(Exit::BadInput);
        }
        Ok(Guide::Map(mask).into())
    }

    pub(super) fn guide(&self) -> &Guide {
        &self.guide
    }

    /// What is to be known of it, in the take of this request.
    pub(super) fn warnings(&self, request: &TakeRequest) -> Vec<Warning> {
        [self.of_keys.clone(), self.guide.warnings(request)].concat()
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
        ensure!(
            !MaskSequence::names_text(path),
            "{} is text: expected a mask as images (PNG or EXR, a folder or a pattern of such as m.####.exr), as a \
             movie, or as a tensor [frames, height, width] that torch.save wrote (m.pt)",
            path.display()
        );
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
    remarks.iter().for_each(|words| watch.warn(words));
    check(images.len())?;
    let (width, height) = images.first().map_or((0, 0), |image| (image.width, image.height));
    let shape = [images.len(), height, width];
    let values = images.into_iter().flat_map(|image| image.values).collect();
    Mask::new(values, shape).map_err(|error| anyhow!("{}: {error}", path.display()))
}
