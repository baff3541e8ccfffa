//! The alpha of a clip, from images or from a video, and how it covers the latent cells.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_take::fit::{Compressor, Coverage, FitError};
use wan_alpha_take::frames::latent_frames;

use crate::args::FitEllipse;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::mask::MaskSequence;

/// Reads it frame by frame. The number of frames is checked before, where it is known.
pub(super) fn read(args: &FitEllipse, context: &CommandContext<'_>) -> Result<Coverage> {
    context.console.say_choices(&args.alpha);
    work(args, context).or_exit(Exit::BadInput)
}

/// The files that are read: a movie, or images.
pub(super) fn files(args: &FitEllipse) -> Result<Vec<PathBuf>> {
    Ok(find(args)?.files().to_vec())
}

fn find(args: &FitEllipse) -> Result<MaskSequence> {
    Ok(MaskSequence::find_all(&args.alpha, "alpha", args.layer.as_deref())?)
}

fn work(args: &FitEllipse, context: &CommandContext<'_>) -> Result<Coverage> {
    let sequence = find(args)?;
    let frames = sequence.len();
    if let Some(frames) = frames {
        latent_frames(u32::try_from(frames)?).map_err(FitError::from)?;
    }
    let name = || args.alpha.first().map_or_else(String::new, |path| path.display().to_string());
    let mut compressor = None;
    let remarks = sequence.for_each(|image| {
        let compressor = match &mut compressor {
            Some(compressor) => compressor,
            none => {
                let new = Compressor::new(image.width, image.height, args.threshold);
                none.insert(new.with_context(name)?)
            }
        };
        compressor.push(&image.values).with_context(name)?;
        step(context, compressor.frames(), frames.unwrap_or_default())
    })?;
    for words in &remarks {
        context.console.warn(words);
    }
    let compressor = compressor.ok_or_else(|| anyhow!("there is no alpha"))?;
    compressor.finish().with_context(name)
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
