//! Where the alpha of a clip is, latent frame by latent frame, to hold an ellipse against.

use wan_alpha_take::Ellipse;
use wan_alpha_take::frames::latent_frame_of;

/// A side of the map has at most so many cells: enough to tell whose an ellipse is.
const MOST: usize = 64;

/// The sum of alpha in each cell of a coarse picture, for each latent frame.
pub(super) struct AlphaMap {
    /// Width and height of the clip.
    size: [usize; 2],
    /// Columns and rows of the map.
    cells: [usize; 2],
    frames: Vec<Vec<f64>>,
}

impl AlphaMap {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let cells = [width, height].map(|side| side.clamp(1, MOST));
        Self { size: [width.max(1), height.max(1)], cells, frames: Vec::new() }
    }

    /// Takes a frame of the clip, counted from 0.
    pub(super) fn add(&mut self, frame: usize, alpha: &[f32]) {
        let [width, height] = self.size;
        let [columns, rows] = self.cells;
        let latent = latent_frame_of(u32::try_from(frame).unwrap_or(u32::MAX));
        if self.frames.len() <= latent {
            self.frames.resize(latent + 1, vec![0.0; columns * rows]);
        }
        for (y, line) in alpha.chunks(width).enumerate().take(height) {
            let row = y * rows / height * columns;
            for (x, value) in line.iter().enumerate() {
                self.frames[latent][row + x * columns / width] += f64::from(*value);
            }
        }
    }

    /// The share of a latent frame's alpha that an ellipse covers, a cell's width beyond its edge
    /// included; None where there is none.
    pub(super) fn share(&self, latent: usize, ellipse: &Ellipse) -> Option<f64> {
        let values = self.frames.get(latent)?;
        let [width, height] = self.size.map(|side| side as f64);
        let [columns, rows] = self.cells.map(|side| side as f64);
        let margin = (width / columns).max(height / rows) / height;
        let (sin, cos) = ellipse.angle.to_radians().sin_cos();
        let covers = |index: usize| {
            let (column, row) = (index % self.cells[0], index / self.cells[0]);
            // In frame heights, y up.
            let x = ((column as f64 + 0.5) / columns - ellipse.x) * width / height;
            let y = 1.0 - (row as f64 + 0.5) / rows - ellipse.y;
            let along = (x * cos + y * sin) / (ellipse.a / 2.0 + margin);
            let across = (y * cos - x * sin) / (ellipse.b / 2.0 + margin);
            along * along + across * across <= 1.0
        };
        let all: f64 = values.iter().sum();
        let inside = values.iter().enumerate().filter(|(index, _)| covers(*index));
        (all > 0.0).then(|| inside.map(|(_, value)| value).sum::<f64>() / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipse_covers_what_is_under_it() {
        // The top right quarter of a wide clip, in the first latent frame alone.
        let mut map = AlphaMap::new(128, 64);
        let alpha: Vec<f32> = (0..128 * 64)
            .map(|at| if at % 128 >= 64 && at / 128 < 32 { 0.5 } else { 0.0 })
            .collect();
        map.add(0, &alpha);
        map.add(1, &vec![0.0; 128 * 64]);
        let wide = Ellipse { x: 0.75, y: 0.75, a: 1.6, b: 0.8, angle: 0.0 };
        let share = |ellipse: Ellipse| map.share(0, &ellipse).unwrap();
        assert_eq!(share(wide), 1.0);
        assert_eq!(share(Ellipse { angle: 180.0, ..wide }), 1.0);
        // Upright it misses both ends.
        assert!((0.5..0.95).contains(&share(Ellipse { angle: 90.0, ..wide })));
        // Upside down, or mirrored, it is somewhere else.
        assert_eq!(share(Ellipse { y: 0.1, b: 0.4, ..wide }), 0.0);
        assert_eq!(share(Ellipse { x: 0.25, a: 0.8, ..wide }), 0.0);
        assert_eq!(map.share(1, &wide), None);
        assert_eq!(map.share(2, &wide), None);
    }
}
