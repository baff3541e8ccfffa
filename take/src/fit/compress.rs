//! Alpha in pixels becomes coverage of latent cells: binarised, averaged over the pixels of a
//! cell and over the frames of a latent frame.

use std::ops::Deref;

use thiserror::Error;

use crate::frames::{CELL, FrameCountError, STRIDE, latent_frames};
use crate::latent_grid::LatentGrid;

/// What is wrong with an alpha.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum FitError {
    /// A clip smaller than one latent cell.
    #[error(
        "the alpha is {width} x {height} pixels: expected at least {CELL} x {CELL}, one latent cell"
    )]
    Size {
        /// Width of the frames.
        width: usize,
        /// Height of the frames.
        height: usize,
    },
    /// A frame with more or fewer pixels than the first said.
    #[error(
        "alpha frame {frame} has {found} pixels: expected {width} x {height}, as all frames have"
    )]
    Length {
        /// Which frame, from 0.
        frame: u32,
        /// Width of the frames.
        width: usize,
        /// Height of the frames.
        height: usize,
        /// Pixels of this one.
        found: usize,
    },
    /// A clip whose length no take has.
    #[error("the alpha has {0}")]
    Frames(FrameCountError),
}

impl From<FrameCountError> for FitError {
    // By hand: told above, and so no source, which would be told again.
    fn from(error: FrameCountError) -> Self {
        Self::Frames(error)
    }
}

/// How much of each latent cell the subject covers, 0 to 1; see [`LatentGrid`] for how the values are
/// laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage(LatentGrid);

impl Deref for Coverage {
    type Target = LatentGrid;

    fn deref(&self) -> &LatentGrid {
        &self.0
    }
}

/// Makes the [`Coverage`] of a clip out of its alpha, keeping nothing but that.
///
/// The grid has ⌊width/8⌋ × ⌊height/8⌋ cells, as released: of a size that is no multiple of 8, a
/// cell is a little larger than 8 pixels and takes its share of those it cuts.
#[derive(Clone, Debug)]
pub struct Compressor {
    /// As alpha is: single precision, so that an alpha of exactly 0.1 is not above 0.1.
    threshold: f32,
    size: [usize; 2],
    columns: Vec<CellPart>,
    rows: Vec<CellPart>,
    frames: u32,
    /// The latent frame in the making: the sum of the frames so far.
    sum: Vec<f64>,
    values: Vec<f32>,
}

/// The part of a row or column of pixels that one cell takes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CellPart {
    pixel: usize,
    cell: usize,
    weight: f64,
}

impl Compressor {
    /// For frames of `width` × `height` pixels; alpha above `threshold` is subject.
    ///
    /// # Errors
    /// [`FitError::Size`] if there is not a whole cell.
    pub fn new(width: usize, height: usize, threshold: f64) -> Result<Self, FitError> {
        if width < CELL || height < CELL {
            return Err(FitError::Size { width, height });
        }
        Ok(Self {
            threshold: threshold as f32,
            size: [width, height],
            columns: shares(width),
            rows: shares(height),
            frames: 0,
            sum: vec![0.0; (width / CELL) * (height / CELL)],
            values: Vec::new(),
        })
    }

    /// Takes the next frame's alpha, row by row from the top.
    ///
    /// # Errors
    /// [`FitError::Length`] if it has not width × height values.
    pub fn push(&mut self, alpha: &[f32]) -> Result<(), FitError> {
        let [width, height] = self.size;
        if alpha.len() != width * height {
            let (frame, found) = (self.frames, alpha.len());
            return Err(FitError::Length { frame, width, height, found });
        }
        let cells = width / CELL;
        let mut row = vec![0.0; cells];
        let mut taken = usize::MAX;
        for share in &self.rows {
            if share.pixel != taken {
                taken = share.pixel;
                row.fill(0.0);
                let pixels = &alpha[taken * width..][..width];
                for part in &self.columns {
                    if pixels[part.pixel] > self.threshold {
                        row[part.cell] += part.weight;
                    }
                }
            }
            for (sum, value) in self.sum[share.cell * cells..][..cells].iter_mut().zip(&row) {
                *sum += share.weight * value;
            }
        }
        // Latent frame 0 is take frame 0, every other the mean of four.
        if self.frames.is_multiple_of(STRIDE) {
            let of = if self.frames == 0 { 1 } else { STRIDE };
            let mean = self.sum.iter().map(|sum| (sum / f64::from(of)) as f32);
            self.values.extend(mean);
            self.sum.fill(0.0);
        }
        self.frames += 1;
        Ok(())
    }

    /// How many frames there were.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// The coverage of the whole clip.
    ///
    /// # Errors
    /// [`FitError::Frames`] if there were not 4n+1 frames.
    pub fn finish(self) -> Result<Coverage, FitError> {
        let [width, height] = self.size.map(|pixels| pixels / CELL);
        let frames = latent_frames(self.frames)?;
        Ok(Coverage(LatentGrid::new(self.values, [frames, height, width])))
    }
}

/// Which cells take which pixels, in pixel order; the weights of a cell sum to 1.
fn shares(pixels: usize) -> Vec<CellPart> {
    let cells = pixels / CELL;
    let length = pixels as f64 / cells as f64;
    let mut shares = Vec::with_capacity(pixels + cells);
    for pixel in 0..pixels {
        // In units of 1/cells of a pixel everything is whole.
        let (begin, end) = (pixel * cells, (pixel + 1) * cells);
        for cell in begin / pixels..=(end - 1) / pixels {
            let within = end.min((cell + 1) * pixels) - begin.max(cell * pixels);
            shares.push(CellPart { pixel, cell, weight: within as f64 / cells as f64 / length });
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(width: usize, height: usize, frames: &[Vec<f32>]) -> Coverage {
        let mut compressor = Compressor::new(width, height, 0.1).unwrap();
        for frame in frames {
            compressor.push(frame).unwrap();
        }
        compressor.finish().unwrap()
    }

    #[test]
    fn first_frame_stands_alone_and_the_others_by_four() {
        let with = |count: usize| {
            let mut frame = vec![0.1; 64];
            frame[..count].fill(0.100_001);
            frame
        };
        let frames = [with(64), with(0), with(8), with(16), with(24)];
        assert_eq!(coverage(8, 8, &frames).values(), [1.0, 48.0 / 256.0]);
    }

    #[test]
    fn odd_sizes_share_the_pixels_that_cells_cut() {
        for pixels in 8..200 {
            let shares = shares(pixels);
            for cell in 0..pixels / CELL {
                let of = shares.iter().filter(|share| share.cell == cell);
                let whole: f64 = of.map(|share| share.weight).sum();
                assert!((whole - 1.0).abs() < 1e-12, "{pixels} {cell}");
            }
        }
        // Two cells of 8.5 pixels: the middle column belongs half to each.
        let mut frame = vec![0.0; 17 * 8];
        frame.chunks_mut(17).for_each(|row| row[8] = 1.0);
        let found = coverage(17, 8, &[frame]);
        assert_eq!(found.shape(), [1, 1, 2]);
        assert!(found.values().iter().all(|value| (value - 0.5 / 8.5).abs() < 1e-7));
    }

    #[test]
    fn what_cannot_be_a_clip_is_said_in_words() {
        let text = Compressor::new(7, 80, 0.1).unwrap_err().to_string();
        assert!(text.contains("7 x 80 pixels: expected at least 8 x 8"), "{text}");
        let mut compressor = Compressor::new(16, 8, 0.1).unwrap();
        let text = compressor.push(&[0.0; 5]).unwrap_err().to_string();
        assert!(text.contains("frame 0 has 5 pixels: expected 16 x 8"), "{text}");
        compressor.push(&[0.0; 128]).unwrap();
        compressor.push(&[0.0; 128]).unwrap();
        let text = compressor.finish().unwrap_err().to_string();
        assert!(text.contains("the alpha has 2 frames: expected 4n+1"), "{text}");
        assert!(text.ends_with("use 1 or 5"), "{text}");
    }
}
