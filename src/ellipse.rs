//! `wan-alpha ellipse`: from an alpha to a track, and from a placement to a picture of it.

mod alpha;
mod picture;
mod show;

use anyhow::{Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_take::Ellipse;
use wan_alpha_take::counted::counted;
use wan_alpha_take::ellipse::AXIS;
use wan_alpha_take::fit::{Coverage, Fit};

use crate::args::{EllipseCommand, FitEllipse};
use crate::console::Console;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::{probe_file, write_whole};
use crate::own_inputs::refuse_input;
use crate::stdout::print_lines;
use crate::write_lock::WriteLock;

/// Runs a verb of `wan-alpha ellipse`.
pub(crate) fn run(command: &EllipseCommand, context: &CommandContext<'_>) -> Result<()> {
    match command {
        EllipseCommand::Fit(args) => fit(args, context),
        EllipseCommand::Show(args) => show::run(args, context),
    }
}

fn fit(args: &FitEllipse, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { progress, console, .. } = *context;
    if !(0.0..1.0).contains(&args.threshold) {
        return Err(anyhow!(
            "--threshold is {}: expected 0 or more, below 1; 0.1 is what the model's masks are \
             made with",
            args.threshold
        ))
        .or_exit(Exit::BadInput);
    }
    let mut locks = Vec::new();
    if let Some(out) = &args.out {
        refuse_input("--out", out, &alpha::files(args)?)?;
        probe_file(out).or_exit(Exit::BadInput)?;
        locks.push(WriteLock::of_file(out)?);
    }
    let coverage = alpha::read(args, context)?;
    let track = track(&coverage, args, console).or_exit(Exit::BadInput)?;
    progress.done();
    let text = to_json(&track)?;
    match &args.out {
        Some(path) => write_whole(path, text.as_bytes())?,
        None => print_lines(&[text.trim_end()])?,
    }
    drop(locks);
    Ok(())
}

/// The track of the fitted ellipses. A latent frame without a subject gets the ellipse of the
/// nearest one with; of two equally near, the earlier.
fn track(coverage: &Coverage, args: &FitEllipse, console: &Console<'_>) -> Result<Vec<Ellipse>> {
    let [_, height, width] = coverage.shape();
    let fits = coverage.fit(args.rounds);
    let found: Vec<usize> = (0..fits.len()).filter(|&frame| fits[frame].is_some()).collect();
    let empty: Vec<usize> = (0..fits.len()).filter(|&frame| fits[frame].is_none()).collect();
    let mut track: Vec<Ellipse> = Vec::with_capacity(fits.len());
    for frame in 0..fits.len() {
        let nearest = found.iter().min_by_key(|other| other.abs_diff(frame));
        let Some(Fit { ellipse, enlargements, covered }) = nearest.and_then(|&frame| fits[frame])
        else {
            return Err(anyhow!(
                "there is no subject in any frame: no alpha is above {} on more than a fifth of \
                 an 8 × 8 cell; check that this is the alpha, or lower --threshold",
                args.threshold
            ));
        };
        let on_frame = ellipse.on_frame(width, height);
        let fitted = settled(on_frame, track.last());
        if fitted.a != on_frame.a.max(*AXIS.start()) || fitted.b != on_frame.b.max(*AXIS.start()) {
            console.caution(format!(
                "latent frame {frame}: an axis is longer than {} frame heights, and was cut to that",
                AXIS.end()
            ));
        }
        if fits[frame].is_some() {
            log::info!(
                "latent frame {frame} (to take frame {}): {}, enlarged {}, covers {:.1} %",
                4 * frame,
                fitted.rounded(),
                counted(enlargements, "time"),
                covered * 100.0
            );
        } else {
            log::info!("latent frame {frame} (to take frame {}): empty", 4 * frame);
        }
        track.push(fitted.rounded());
    }
    if !empty.is_empty() {
        console.warn(&format!(
            "latent frames {empty:?} have no subject: each has the ellipse of the nearest that does"
        ));
    }
    Ok(track)
}

/// Within what a request accepts, and turned no further than needed from the ellipse before: half a
/// turn changes nothing of an ellipse.
fn settled(ellipse: Ellipse, before: Option<&Ellipse>) -> Ellipse {
    let near = before.map_or(0.0, |before| before.angle);
    let turns = ((ellipse.angle - near) / 180.0).round();
    Ellipse {
        a: ellipse.a.clamp(*AXIS.start(), *AXIS.end()),
        b: ellipse.b.clamp(*AXIS.start(), *AXIS.end()),
        angle: ellipse.angle - 180.0 * turns,
        ..ellipse
    }
}

/// A track file, an ellipse per line.
fn to_json(track: &[Ellipse]) -> Result<String> {
    let lines: Vec<String> = track.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    Ok(format!("[\n  {}\n]\n", lines.join(",\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_follow_each_other_and_axes_stay_in_range() {
        let at = |angle| Ellipse { angle, ..Ellipse::default() };
        assert_eq!(settled(at(155.0), None).angle, -25.0);
        assert_eq!(settled(at(-100.0), Some(&at(85.0))).angle, 80.0);
        assert_eq!(settled(at(10.0), Some(&at(350.0))).angle, 370.0);
        let long = settled(Ellipse { a: 7.0, b: 0.001, ..Ellipse::default() }, None);
        assert_eq!((long.a, long.b), (6.0, 0.002));
        assert_eq!(long.validate(), Ok(()));
    }
}
