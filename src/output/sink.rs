//! Where the model's frames go: into the folder of a take, each as soon as it is there.

use anyhow::Result;
use wan_alpha_core::generate::{FrameSink, SinkError};
use wan_alpha_core::tch::Tensor;
use wan_alpha_take::frame::Frame;

use super::{Writer, Written};
use crate::dump::Dump;
use crate::exit::carried;

/// Writes frames as they come, and tensors where a dump was asked for; `look` sees each frame before
/// it is written, and may end the take.
pub(crate) struct WriterSink<L> {
    /// Goes first when a take is given up: its folder may be the writer's, which goes if empty.
    dump: Option<Dump>,
    writer: Writer,
    look: L,
}

impl<L: FnMut(&Frame<'_>) -> Result<()>> WriterSink<L> {
    /// A sink that writes into a folder that is ready.
    pub(crate) fn new(writer: Writer, dump: Option<Dump>, look: L) -> Self {
        Self { dump, writer, look }
    }

    /// Writes what comes after the frames: the contact sheet, and the dump.
    pub(crate) fn finish(self) -> Result<Written> {
        let written = self.writer.finish()?;
        if let Some(dump) = self.dump {
            dump.finish()?;
        }
        Ok(written)
    }
}

impl<L: FnMut(&Frame<'_>) -> Result<()>> FrameSink for WriterSink<L> {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError> {
        (self.look)(&frame).and_then(|()| self.writer.write(frame)).map_err(carried)
    }

    fn wants_tensors(&self) -> bool {
        self.dump.is_some()
    }

    fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<(), SinkError> {
        match &mut self.dump {
            Some(dump) => dump.add(name, tensor).map_err(carried),
            None => Ok(()),
        }
    }
}
