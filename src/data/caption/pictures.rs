//! What a vision model is shown of a clip.

use std::io::Cursor;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::FilterType;
use image::{ImageFormat, RgbImage};

use crate::data::clip::{Picture, Under};
use crate::data::set::Set;

/// The longer side of a picture, at most.
const LONGEST: usize = 512;
/// Where the clip is transparent.
const GREY: f32 = 0.5;

/// Some frames of a row, evenly spread over the clip, as data URLs of PNG.
pub(super) fn of(set: &Set, row: usize, count: usize) -> Result<Vec<String>> {
    let length = set.frames(row)?;
    let mut reader = set.reader(row)?;
    let mut urls = Vec::new();
    for index in places(length, count) {
        reader.skip(index - reader.next_frame())?;
        let picture = reader.next()?.with_context(|| format!("it ended before frame {index}"))?;
        urls.push(format!("data:image/png;base64,{}", STANDARD.encode(png(picture)?)));
    }
    Ok(urls)
}

/// The middles of equal parts; of a clip that is shorter, every frame.
fn places(length: usize, count: usize) -> Vec<usize> {
    let count = count.min(length);
    (0..count).map(|part| (2 * part + 1) * length / (2 * count)).collect()
}

fn png(picture: Picture) -> Result<Vec<u8>> {
    let longest = picture.width.max(picture.height).max(1);
    let side = |side: usize| (side * LONGEST.min(longest) / longest).max(1);
    let (width, height) = (side(picture.width), side(picture.height));
    let picture = picture.resized(width, height, FilterType::Triangle, Under::Void);
    let bytes = picture.rgba.as_chunks::<4>().0.iter().flat_map(|[r, g, b, alpha]| {
        let over = |value: &f32| ((value * alpha + GREY * (1.0 - alpha)) * 255.0 + 0.5) as u8;
        [over(r), over(g), over(b)]
    });
    let image = RgbImage::from_raw(width as u32, height as u32, bytes.collect());
    let mut file = Cursor::new(Vec::new());
    image.context("a frame of another size")?.write_to(&mut file, ImageFormat::Png)?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spread_evenly() {
        assert_eq!(places(17, 4), [2, 6, 10, 14]);
        assert_eq!(places(1, 4), [0]);
        assert_eq!(places(3, 4), [0, 1, 2]);
        assert!(places(0, 4).is_empty());
    }
}
