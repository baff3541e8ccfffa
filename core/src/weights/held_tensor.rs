//! A tensor that may be held by several threads.

#![forbid(unsafe_code)]

use parking_lot::Mutex;
use tch::Tensor;

/// A tensor that several threads hold. Its handle may go from thread to thread, but not be used by
/// two at once.
#[derive(Debug)]
pub(super) struct Held {
    tensor: Mutex<Tensor>,
    /// The sizes of its axes, which need no lock.
    pub(super) shape: Vec<i64>,
}

impl Held {
    /// Takes a handle of a tensor.
    pub(super) fn new(tensor: Tensor) -> Self {
        let shape = tensor.size();
        Self { tensor: Mutex::new(tensor), shape }
    }

    /// Another handle of the same tensor.
    pub(super) fn tensor(&self) -> Tensor {
        self.tensor.lock().shallow_clone()
    }
}
