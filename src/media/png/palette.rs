//! Pixels that are places in a palette.

use anyhow::{Context, Result, ensure};
use png::{BitDepth, Info};

/// The most bits of a place; fewer lie side by side in a byte, the first in its high bits.
const BYTE: usize = 8;

/// Colors of rows of packed places, and alpha where the palette has it. `rgba` is 1 everywhere.
///
/// # Errors
/// Where a place is none of the palette's.
pub(super) fn spread(rgba: &mut [f32], rows: &[u8], info: &Info<'_>) -> Result<()> {
    let palette = info.palette.as_deref().context("it has no palette (PLTE): write it again")?;
    let colors = palette.as_chunks::<3>().0;
    let alphas = info.trns.as_deref().unwrap_or_default();
    let bits = match info.bit_depth {
        BitDepth::One => 1,
        BitDepth::Two => 2,
        BitDepth::Four => 4,
        _ => BYTE,
    };
    let (width, value) = (info.width as usize, |byte: u8| f32::from(byte) / 255.0);
    let length = (width * bits).div_ceil(BYTE).max(1);
    let pixels = rgba.as_chunks_mut::<4>().0.chunks_exact_mut(width.max(1));
    for (row, (line, bytes)) in pixels.zip(rows.chunks_exact(length)).enumerate() {
        for (column, pixel) in line.iter_mut().enumerate() {
            let byte = bytes.get(column * bits / BYTE).copied().unwrap_or_default();
            let shift = BYTE - bits - column * bits % BYTE;
            let place = usize::from(byte >> shift) & ((1 << bits) - 1);
            let color = colors.get(place);
            ensure!(
                color.is_some(),
                "the pixel at column {column}, row {row} has color {place} of a palette of {}: it is damaged; \
                 write it again",
                colors.len()
            );
            for (channel, sample) in pixel.iter_mut().zip(color.into_iter().flatten()) {
                *channel = value(*sample);
            }
            pixel[3] = alphas.get(place).map_or(1.0, |alpha| value(*alpha));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::png::read;
    use png::{ColorType, Encoder};

    /// A PNG of one row of places of so many bits, with two colors.
    fn written(depth: BitDepth, row: &[u8], width: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, width, 1);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(depth);
        encoder.set_palette(vec![255, 0, 0, 0, 51, 255]);
        encoder.set_trns(vec![102]);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(row).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn places_of_every_width_are_colors_and_one_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.png");
        let right = [[1.0, 0.0, 0.0, 0.4], [0.0, 0.2, 1.0, 1.0], [0.0, 0.2, 1.0, 1.0]].concat();
        for (depth, good, bad, wrong) in [
            (BitDepth::One, vec![0b0110_0000], vec![], 0),
            (BitDepth::Two, vec![0b0001_0100], vec![0b0001_1100], 3),
            (BitDepth::Four, vec![0x01, 0x10], vec![0x01, 0x20], 2),
            (BitDepth::Eight, vec![0, 1, 1], vec![0, 1, 200], 200),
        ] {
            std::fs::write(&path, written(depth, &good, 3)).unwrap();
            let image = read(&path).unwrap();
            assert_eq!(image.rgba, right, "{depth:?}");
            assert!(image.has_alpha);
            if bad.is_empty() {
                continue;
            }
            std::fs::write(&path, written(depth, &bad, 3)).unwrap();
            let text = read(&path).err().unwrap().to_string();
            assert!(text.contains(&format!("color {wrong} of a palette of 2")), "{text}");
        }
    }
}
