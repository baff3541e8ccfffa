//! `wan-alpha ellipse show`: a track, an ellipse or a mask as a picture.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::RgbaImage as EightBits;
use wan_alpha_core::Watch;
use wan_alpha_take::color::quantize_8;
use wan_alpha_take::frames::{CELL, latent_center, latent_frame_of};
use wan_alpha_take::{Ellipse, Mask, Track};

use super::picture::{EllipsePicture, outline_of_mask};
use crate::args::ShowEllipse;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::{probe_file, write_whole};
use crate::media::frame::SIZE_LIMIT;
use crate::media::reading::PictureReading;
use crate::media::remarks::PictureRemarks;
use crate::media::rgba::{PictureLosses, RgbaImage};
use crate::own_inputs::refuse_input;
use crate::render::read_mask;
use crate::text_file;
use crate::write_lock::WriteLock;

/// What there is to draw.
enum ShownPlacement {
    /// The ellipse of the frame, and those of other times.
    Ellipse(Ellipse, Vec<Ellipse>),
    /// A mask, and which of its frames.
    Mask(Mask, usize),
}

/// The size of a take where nothing says otherwise.
const SIZE: [usize; 2] = [832, 480];

pub(super) fn run(args: &ShowEllipse, context: &CommandContext<'_>) -> Result<()> {
    refuse_input("--out", &args.out, args.placement.iter().chain([&args.over]))?;
    probe_file(&args.out).or_exit(Exit::BadInput)?;
    let _lock = WriteLock::of_file(&args.out)?;
    context.console.say_choices(args.placement.as_slice());
    let mut picture = ground(args, context.console).or_exit(Exit::BadInput)?;
    let shown = ShownPlacement::of(args, context.console).or_exit(Exit::BadInput)?;
    let [width, height] = picture.size();
    match shown {
        ShownPlacement::Ellipse(ellipse, others) => {
            let (columns, rows) = (width / CELL, height / CELL);
            let mask = Mask::gaussian(&[ellipse], columns, rows);
            picture.dim_outside(mask.values(), [columns, rows]);
            for other in others {
                picture.outline(&other, 0.35);
            }
            picture.outline(&ellipse, 1.0);
        }
        ShownPlacement::Mask(mask, frame) => {
            let [_, rows, columns] = mask.shape();
            let values = mask.frame(frame).unwrap_or_default();
            picture.dim_outside(values, [columns, rows]);
            outline_of_mask(&mut picture, values, [columns, rows]);
        }
    }
    Ok(write_whole(&args.out, &picture.to_png()?)?)
}

impl ShownPlacement {
    fn of(args: &ShowEllipse, watch: &dyn Watch) -> Result<Self> {
        let latent = latent_frame_of(args.frame);
        let Some(path) = &args.placement else {
            let text = args.ellipse.as_deref().unwrap_or_default();
            let track = Track::parse(text, args.ellipse_interp)?;
            let keys = track.keys();
            let others = if keys.len() > 1 { keys } else { &[] };
            let others = others.iter().map(|key| key.1).collect();
            return Ok(Self::Ellipse(track.sample(latent_center(latent)), others));
        };
        let name = path.display();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            let text = text_file::read_text(path, watch)?
                .with_context(|| format!("cannot read {name}"))?;
            let length = serde_json::from_str::<Vec<Ellipse>>(&text).map_or(0, |track| track.len());
            let mut track = Track::from_json(&text, length).with_context(|| name.to_string())?;
            check_frame(path, args.frame, track.len())?;
            let ellipse = track.remove(latent);
            return Ok(Self::Ellipse(ellipse, track));
        }
        let mask = read_mask(path, args.layer.as_deref(), watch, |found| {
            check_frame(path, args.frame, found)
        })?;
        Ok(Self::Mask(mask, latent))
    }
}

fn check_frame(path: &Path, frame: u32, latent_frames: usize) -> Result<()> {
    ensure!(latent_frames > 0, "{} is empty: expected one entry per latent frame", path.display());
    ensure!(
        latent_frame_of(frame) < latent_frames,
        "--frame is {frame}, but {} has {latent_frames} latent frames: take frames 0 to {}",
        path.display(),
        4 * (latent_frames - 1)
    );
    Ok(())
}

/// The picture before anything is drawn.
fn ground(args: &ShowEllipse, watch: &dyn Watch) -> Result<EllipsePicture> {
    if args.over == Path::new("checker") {
        return Ok(EllipsePicture::checker(args.size.unwrap_or(SIZE)));
    }
    let name = args.over.display();
    let image = RgbaImage::read(&args.over, &PictureReading::default())
        .with_context(|| format!("--over {name} cannot be read as PNG or EXR; or give checker"))?;
    let size = <[usize; 2]>::from(image.size);
    ensure!(
        args.size.is_none_or(|wanted| wanted == size),
        "--over {name} is {} × {}: leave --size out, or give that",
        size[0],
        size[1]
    );
    ensure!(
        size.iter().all(|side| (CELL..=SIZE_LIMIT).contains(side)),
        "--over {name} is {} × {}: expected {CELL} to {SIZE_LIMIT} on a side",
        size[0],
        size[1]
    );
    let (mut remarks, mut losses) = (PictureRemarks::default(), PictureLosses::default());
    image.tell(&args.over, &mut remarks);
    let bytes = image.display(None, &mut losses)?.into_iter().map(quantize_8).collect();
    remarks.lines().iter().chain(&losses.lines()).for_each(|words| watch.warn(words));
    let image = EightBits::from_raw(size[0] as u32, size[1] as u32, bytes);
    Ok(EllipsePicture::over(&image.context("a picture of another size")?))
}
