//! `wan-alpha encode`: an RGBA clip to the latent it would have come from.

use anyhow::Result;
use wan_alpha_core::Watch;
use wan_alpha_core::encode::{ClipReader, Options, encode};
use wan_alpha_core::tch::Kind;
use wan_alpha_core::weights::EncoderFiles;
use wan_alpha_take::Precision;
use wan_alpha_take::counted::counted;

use crate::args::Encode;
use crate::context::CommandContext;
use crate::device;
use crate::latent_file::{About, Unwritten};
use crate::media::rgba::RgbaSequence;
use crate::model::Chosen;
use crate::own_inputs::refuse_input;
use crate::stdout::print_lines;

/// Encodes the clip that `args` name.
pub(crate) fn run(args: &Encode, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let chosen = Chosen::of(&args.model, &environment.models)?;
    let files = EncoderFiles::find(&chosen.paths)?;
    let mut clip = RgbaSequence::find(&args.frames, &args.reading.reading())?;
    console.say_choices(&args.frames);
    let shape = clip.shape();
    shape.check()?;
    refuse_input("--out", &args.out, clip.files().iter().chain(&chosen.paths))?;
    let out = Unwritten::create(&args.out)?;
    let device = device::open(&args.computing, environment, console)?.device;
    let encoder = files.fingerprint(console)?;

    let kind = if args.dtype == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
    let options = Options { background: args.background, kind, device };
    let latent = encode(&files, options, &mut clip, console)?;
    for words in clip.warnings() {
        console.warn(&words);
    }
    out.finish(&latent, &About { shape, background: args.background, encoder })?;
    progress.done();
    print_lines(&[args.out.display().to_string()])?;
    progress.remark(format!(
        "{} of {} × {} over {}: a latent of {} × {} × {} cells",
        counted(shape.frames, "frame"),
        shape.width,
        shape.height,
        args.background.name(),
        shape.latent_frames(),
        shape.width / 8,
        shape.height / 8,
    ));
    Ok(())
}
