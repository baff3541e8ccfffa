//! What a vision model is shown of a clip.

use anyhow::{Context, Result, anyhow};
use data_encoding::BASE64;
use fast_image_resize::FilterType;
use image::RgbImage;
use wan_alpha_core::Watch;
use wan_alpha_take::frame::OwnedFrame;

use crate::data::media::Reader;
use crate::data::set::Set;
use crate::error_text::in_words;
use crate::media::png::encode_plain;
use crate::media::resize::{HiddenColor, resized};

/// The longer side of a picture, at most.
const LONGEST: usize = 512;
/// Where the clip is transparent.
const GRAY: f32 = 0.5;

/// Some frames of a row, evenly spread over the clip, as data URLs of PNG.
pub(super) fn of(set: &Set, row: usize, count: usize, watch: &dyn Watch) -> Result<Vec<String>> {
    let length = set.frames(row)?;
    let mut reader = set.reader(row)?;
    let mut urls = Vec::new();
    for index in places(length, count) {
        let picture = frame_at(&mut reader, index)?;
        urls.push(format!("data:image/png;base64,{}", BASE64.encode(&png(picture)?)));
    }
    for words in reader.warnings() {
        watch.warn(&format!("{}: {words}", set.name(row)));
    }
    Ok(urls)
}

/// Reads on to a frame. What is wrong there ends the command as any failure of a row does, with the
/// answers so far kept; it is not bad input, and so its type is left behind.
fn frame_at(reader: &mut Reader, index: usize) -> Result<OwnedFrame> {
    let mut read = || {
        reader.skip(index - reader.next_frame())?;
        reader.next()?.with_context(|| format!("it ended before frame {index}"))
    };
    read().map_err(|error| anyhow!(in_words(&error)))
}

/// The middles of equal parts; of a clip that is shorter, every frame.
fn places(length: usize, count: usize) -> Vec<usize> {
    let count = count.min(length);
    (0..count).map(|part| (2 * part + 1) * length / (2 * count)).collect()
}

fn png(picture: OwnedFrame) -> Result<Vec<u8>> {
    let longest = picture.width.max(picture.height).max(1);
    let side = |side: usize| (side * LONGEST.min(longest) / longest).max(1);
    let (width, height) = (side(picture.width), side(picture.height));
    let hidden = HiddenColor::Arbitrary;
    let picture = resized(picture, [width, height], FilterType::Bilinear, hidden);
    let bytes = picture.pixels().iter().flat_map(|[r, g, b, alpha]| {
        let over = |value: &f32| ((value * alpha + GRAY * (1.0 - alpha)) * 255.0 + 0.5) as u8;
        [over(r), over(g), over(b)]
    });
    let image = RgbImage::from_raw(width as u32, height as u32, bytes.collect());
    Ok(encode_plain(&image.context("a frame of another size")?)?)
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
