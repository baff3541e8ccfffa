//! The alpha of a clip, from images or from a video, and how it covers the latent cells.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_take::fit::{Compressor, Coverage, FitError};
use wan_alpha_take::frames::latent_frames;

use super::video;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::mask::MaskSequence;

/// Reads it frame by frame. The number of frames is checked before, where it is known.
pub(super) fn read(
    paths: &[PathBuf],
    threshold: f64,
    context: &CommandContext<'_>,
) -> Result<Coverage> {
    match paths {
        [one] if is_video(one) => {
            let read = |frame| step(context, frame, 0);
            let video::Alpha { coverage, by_luma } =
                video::read(one, threshold, read).or_exit(Exit::BadInput)?;
            if by_luma {
                context.console.caution(format!(
                    "{} has no alpha, or ffmpeg's decoder drops it (as that for VP9 does): its \
                     brightness is taken for it",
                    one.display()
                ));
            }
            Ok(coverage)
        }
        _ => {
            context.console.say_choices(paths);
            images(paths, threshold, context).or_exit(Exit::BadInput)
        }
    }
}

/// The files that are read: a video, or images.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    match paths {
        [one] if is_video(one) => Ok(vec![one.clone()]),
        _ => Ok(MaskSequence::find_all(paths, "alpha")?.files().to_vec()),
    }
}

fn is_video(path: &Path) -> bool {
    path.is_file() && !MaskSequence::names_images(path)
}

fn images(paths: &[PathBuf], threshold: f64, context: &CommandContext<'_>) -> Result<Coverage> {
    let sequence = MaskSequence::find_all(paths, "alpha")?;
    latent_frames(u32::try_from(sequence.len())?).map_err(FitError::from)?;
    let mut compressor = None;
    sequence.for_each(|image| {
        let compressor = match &mut compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(image.width, image.height, threshold)?),
        };
        compressor.push(&image.values)?;
        step(context, compressor.frames(), sequence.len())
    })?;
    let compressor = compressor.ok_or_else(|| anyhow!("there is no alpha"))?;
    Ok(compressor.finish()?)
}

/// A line of progress for so many frames: more would tell nobody anything.
const TOLD_EVERY: usize = 16;

/// Shows how far it is, and stops on Ctrl-C.
fn step(context: &CommandContext<'_>, frame: u32, of: usize) -> Result<()> {
    let CommandContext { progress, console, .. } = *context;
    let frame = frame as usize;
    if of > TOLD_EVERY && (frame.is_multiple_of(TOLD_EVERY) || frame == of) {
        progress.update("alpha", frame, of);
    }
    if console.go_on() {
        return Ok(());
    }
    Err(anyhow!("cancelled while reading the alpha")).or_exit(Exit::Cancelled)
}
