//! A number for each cell of each latent frame.

/// One value in [0, 1] for each cell of each latent frame: `[frames, height, width]`, float32, row by
/// row from the top left. A [`Mask`](crate::Mask) and a [`Coverage`](crate::fit::Coverage) are such
/// grids, made in different ways.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentGrid {
    shape: [usize; 3],
    values: Vec<f32>,
}

impl LatentGrid {
    /// The grid of as many values as the shape has cells; whoever makes it has seen to that.
    pub(crate) fn new(values: Vec<f32>, shape: [usize; 3]) -> Self {
        debug_assert_eq!(values.len(), shape.iter().product::<usize>());
        Self { shape, values }
    }

    /// The shape, `[latent frames, rows, columns]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// All values, `[frames, height, width]` with the column fastest.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values of one latent frame, counted from 0, `[height, width]` with the column fastest.
    #[must_use]
    pub fn frame(&self, frame: usize) -> Option<&[f32]> {
        let [frames, height, width] = self.shape;
        let cells = height * width;
        (frame < frames).then(|| &self.values[frame * cells..][..cells])
    }
}
