//! A clip in files, as the model's encoder reads it.

use wan_alpha_core::encode::{ClipReader, ClipShape};
use wan_alpha_core::generate::SinkError;

use super::rgba::RgbaSequence;

impl ClipReader for RgbaSequence {
    fn shape(&self) -> ClipShape {
        let (width, height) = self.size();
        ClipShape { frames: self.len(), width, height }
    }

    fn frame(&mut self, rgba: &mut [f32]) -> Result<(), SinkError> {
        rgba.copy_from_slice(&self.read_next()?);
        Ok(())
    }
}
