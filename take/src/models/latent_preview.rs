//! The linear map by which a latent that is not finished is looked at: from its channels to a color and an
//! alpha for each of its cells.

use serde::{Deserialize, Serialize};

use crate::frame::OwnedFrame;

/// Channels of a latent.
const CHANNELS: usize = 16;

/// What a cell of a normalized latent looks like, roughly: fitted to an autoencoder's decoders when a model
/// is added. It is no part of the model: takes are the same without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentPreview {
    /// Red, green and blue, display-referred and multiplied by alpha, and alpha, each in \[0, 1\]: what each
    /// channel adds, and a constant at the end.
    pub rows: [[f32; CHANNELS + 1]; 4],
    /// Root mean squares of what color, multiplied by alpha, and alpha were off by on latents that it was not
    /// fitted to, of 1.
    pub off_by: [f32; 2],
}

impl LatentPreview {
    /// Whether every number of it is finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.rows.iter().flatten().chain(&self.off_by).all(|number| number.is_finite())
    }

    /// The picture of one latent frame, a pixel for each cell: straight, display-referred. `cells` are its
    /// channels, each row by row: `[16, height, width]`; what is not there counts as 0.
    #[must_use]
    pub fn picture(&self, width: usize, height: usize, cells: &[f32]) -> OwnedFrame {
        let count = width * height;
        let pixels = (0..count).flat_map(|cell| {
            let [r, g, b, alpha] = self.rows.map(|row| {
                let (weights, constant) = (&row[..CHANNELS], row[CHANNELS]);
                let channels = cells.iter().skip(cell).step_by(count.max(1));
                let sum: f32 = weights.iter().zip(channels).map(|(a, b)| a * b).sum();
                let value = sum + constant;
                // What is no number shows as nothing.
                if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
            });
            let straight = |color: f32| if alpha > 0.0 { (color / alpha).min(1.0) } else { 0.0 };
            [straight(r), straight(g), straight(b), alpha]
        });
        OwnedFrame::new(0, width, height, pixels.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_the_sum_of_its_channels_between_0_and_1_divided_by_alpha() {
        let mut rows = [[0.0; 17]; 4];
        rows[0][0] = 0.5;
        rows[1][15] = 1.0;
        rows[2][16] = 0.25;
        rows[3] = [1.0; 17];
        let map = LatentPreview { rows, off_by: [0.0; 2] };
        // Two cells beside each other: channel by channel.
        let mut cells = [0.0; 32];
        (cells[0], cells[1]) = (0.5, 3.0);
        (cells[30], cells[31]) = (-1.0, f32::NAN);
        let picture = map.picture(2, 1, &cells);
        // Of the first cell alpha is 0.5 − 1 + 1, color half of it or as much; the second is no number.
        assert_eq!(picture.rgba, [0.5, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]);
        assert!(map.is_finite());
        rows[2][3] = f32::INFINITY;
        assert!(!LatentPreview { rows, off_by: [0.0; 2] }.is_finite());
    }
}
