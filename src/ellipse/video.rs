//! How a video's alpha covers the latent cells.

use std::path::Path;

use anyhow::{Context, Result, bail};
use wan_alpha_take::fit::{Compressor, Coverage};

use crate::media::video::{Samples, Video, VideoPicture};

/// What a video says of its subject.
pub(super) struct Alpha {
    pub(super) coverage: Coverage,
    /// It is opaque throughout, so that brightness stood in.
    pub(super) by_luma: bool,
}

/// Reads a video; `step` hears of every frame and may end it.
pub(super) fn read(
    path: &Path,
    threshold: f64,
    step: impl FnMut(u32) -> Result<()>,
) -> Result<Alpha> {
    let mut video = Video::open(path, Samples::Gray)?;
    match compress(path, || Ok(video.next()?), threshold, step)? {
        Some(alpha) => Ok(alpha),
        None => bail!("{} has no picture", path.display()),
    }
}

/// Both planes at once: which of them is the alpha is known at the end.
fn compress(
    path: &Path,
    mut next: impl FnMut() -> Result<Option<VideoPicture>>,
    threshold: f64,
    mut step: impl FnMut(u32) -> Result<()>,
) -> Result<Option<Alpha>> {
    let mut planes: Option<[Compressor; 2]> = None;
    let mut opaque = true;
    let name = || path.display().to_string();
    while let Some(picture) = next()? {
        let [gray, alpha] = match &mut planes {
            Some(planes) => planes,
            none => {
                let new =
                    || Compressor::new(picture.width, picture.height, threshold).with_context(name);
                none.insert([new()?, new()?])
            }
        };
        let [found_gray, found_alpha] = picture.gray_and_alpha();
        opaque &= found_alpha.iter().all(|value| *value == 1.0);
        gray.push(&found_gray).with_context(name)?;
        alpha.push(&found_alpha).with_context(name)?;
        step(alpha.frames())?;
    }
    let Some([gray, alpha]) = planes else {
        return Ok(None);
    };
    let coverage = if opaque { gray } else { alpha }.finish().with_context(name)?;
    Ok(Some(Alpha { coverage, by_luma: opaque }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pictures: &[[f32; 2]]) -> Result<Option<Alpha>> {
        let mut pictures = pictures.iter();
        let next = || {
            let picture = pictures.next().map(|pixel| VideoPicture {
                width: 16,
                height: 8,
                values: pixel.repeat(16 * 8),
            });
            Ok(picture)
        };
        compress(Path::new("clip.mov"), next, 0.1, |_| Ok(()))
    }

    #[test]
    fn alpha_counts_unless_all_is_opaque() {
        let alpha = read(&[[0.0, 0.6]]).unwrap().unwrap();
        assert_eq!((alpha.coverage.values(), alpha.by_luma), (&[1.0, 1.0][..], false));
        let opaque = read(&[[0.0, 1.0]]).unwrap().unwrap();
        assert_eq!((opaque.coverage.values(), opaque.by_luma), (&[0.0, 0.0][..], true));
        assert!(read(&[]).unwrap().is_none());
        let text = format!("{:#}", read(&[[0.0; 2]; 2]).err().unwrap());
        assert!(text.contains("clip.mov") && text.contains("2 frames: expected 4n+1"), "{text}");
    }
}
