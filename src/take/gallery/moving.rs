//! A small moving picture with alpha: an animated PNG, which every browser plays.

use anyhow::{Context, Result};
use png::{BitDepth, ColorType, Encoder};
use wan_alpha_take::frame::OwnedFrame;

use crate::media::thumbnail::small;

/// Pictures that it has at most.
const PICTURES: usize = 16;
/// Its longer side in pixels, at most.
const SIDE: usize = 160;

/// The frames that it shows of so many.
pub(super) fn places(frames: usize) -> Vec<usize> {
    let shown = frames.clamp(1, PICTURES);
    (0..shown).map(|place| place * frames.max(1) / shown).collect()
}

/// The bytes of its file; it is played over and over, once in so many seconds.
///
/// # Errors
/// There is no frame, or frames are of several sizes.
pub(super) fn encode(frames: &[OwnedFrame], seconds: f64) -> Result<Vec<u8>> {
    let pictures = frames.iter().map(|frame| small(frame, SIDE)).collect::<Vec<_>>();
    let first = pictures.first().context("the take has no frames")?;
    let count = u32::try_from(pictures.len())?;
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, first.width(), first.height());
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Eight);
    if count > 1 {
        encoder.set_animated(count, 0)?;
        let milliseconds = (seconds * 1000.0 / f64::from(count)).round().clamp(1.0, 60_000.0);
        encoder.set_frame_delay(milliseconds as u16, 1000)?;
    }
    let mut writer = encoder.write_header()?;
    for picture in &pictures {
        writer.write_image_data(picture.as_raw())?;
    }
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn shown_frames_are_spread_over_the_take() {
        assert_eq!(places(1), [0]);
        assert_eq!(places(5), [0, 1, 2, 3, 4]);
        let places = places(81);
        assert_eq!((places.len(), places[0], places[15]), (16, 0, 75));
    }

    #[test]
    fn it_plays_with_its_alpha_in_the_time_of_the_take() {
        let frame = |index: usize| {
            let alpha = index as f32 / 2.0;
            OwnedFrame::new(index, 2, 1, [[1.0, 0.5, 0.0, alpha]; 2].concat())
        };
        let bytes = encode(&[frame(0), frame(1), frame(2)], 0.3).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        assert_eq!(reader.info().animation_control().unwrap().num_frames, 3);
        let mut pixels = vec![0; 8];
        for alpha in [0, 128, 255] {
            reader.next_frame(&mut pixels).unwrap();
            assert_eq!((pixels[3], pixels[7]), (alpha, alpha));
            let control = reader.info().frame_control().unwrap();
            assert_eq!((control.delay_num, control.delay_den), (100, 1000));
        }
        // Color under alpha 0 is black, as in all that is written.
        let still = encode(&[frame(0)], 1.0).unwrap();
        let reader = png::Decoder::new(Cursor::new(still)).read_info().unwrap();
        assert!(reader.info().animation_control().is_none());
    }
}
