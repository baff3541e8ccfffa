//! The frames of a take, kept as they come.

use wan_alpha_core::generate::{FrameSink, SinkError};
use wan_alpha_take::frame::Frame;

/// RGBA of each frame, row 0 on top.
#[derive(Default, PartialEq)]
pub(crate) struct Frames(pub(crate) Vec<Vec<f32>>);

impl FrameSink for Frames {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError> {
        assert_eq!(frame.index, self.0.len());
        self.0.push(frame.rgba.to_vec());
        Ok(())
    }
}
