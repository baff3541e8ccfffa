//! Frames handed on once, although decoding may begin a second time.

use tch::Tensor;
use wan_alpha_take::frame::Frame;

use super::{FrameSink, SinkError};

/// A [`FrameSink`] that is not given again what it has got.
pub(super) struct Once<'a> {
    sink: &'a mut dyn FrameSink,
    /// Frames that were handed on.
    given: usize,
}

impl<'a> Once<'a> {
    pub(super) fn new(sink: &'a mut dyn FrameSink) -> Self {
        Self { sink, given: 0 }
    }
}

impl FrameSink for Once<'_> {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError> {
        if frame.index < self.given {
            return Ok(());
        }
        self.given = frame.index + 1;
        self.sink.frame(frame)
    }

    fn wants_tensors(&self) -> bool {
        self.sink.wants_tensors()
    }

    fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<(), SinkError> {
        self.sink.tensor(name, tensor)
    }
}
