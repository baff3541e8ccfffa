//! The one frame type of the project, [`Frame`](wan_alpha_take::frame::Frame), beside what is near to
//! it: how large a picture may be, and frames of the store.

use anyhow::ensure;
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::store;

/// All that may ever be asked to be a picture, in pixels on a side; EXR and PNG readers in the field
/// stop near here.
pub(crate) const SIZE_LIMIT: usize = 16384;

/// Refuses what is too large to be read.
pub(super) fn check_size(width: usize, height: usize) -> anyhow::Result<()> {
    ensure!(
        width <= SIZE_LIMIT && height <= SIZE_LIMIT,
        "it is {width} × {height}; more than {SIZE_LIMIT} on a side is not read"
    );
    Ok(())
}

/// A frame of the store, which keeps half floats, in single precision.
pub(crate) fn of_stored(index: usize, stored: &store::Frame) -> OwnedFrame {
    let rgba = stored.iter().map(|value| value.to_f32()).collect();
    OwnedFrame::new(index, stored.width as usize, stored.height as usize, rgba)
}
