//! The host's output image: fetched for one render, released however that ends.
//!
//! What is fetched is believed about its memory and nothing else: hosts give other depths than they
//! were offered, and wrong scales. Rows may be padded or run downwards in memory, bounds may begin
//! anywhere and reach beyond what is to be rendered.

use std::marker::PhantomData;
use std::ptr;
use std::slice;

use openfx_sys::{OfxPropertySetHandle, OfxTime};

use super::{ClipHandle, Effect, Host, Properties, call_suite};
use crate::names;
use crate::ofx_status::Status;
use crate::surface::{Depth, PixelCanvas, Window};

impl<'a> Effect<'a> {
    /// The image of a clip that is to be rendered, whole or in part.
    ///
    /// # Errors
    /// [`Status::IMAGE_FORMAT`] where its pixels are not RGBA of a known depth, [`Status::FAILED`]
    /// where its memory makes no sense; else what the host answered.
    pub(crate) fn output_image(
        self,
        clip: ClipHandle,
        time: OfxTime,
    ) -> Result<OutputImage<'a>, Status> {
        let (mut handle, host) = (ptr::null_mut(), self.host());
        // SAFETY: the clip belongs to this effect's instance; no region means what is rendered; the
        // handle is ours.
        unsafe {
            call_suite!(host.effect, clipGetImage(clip.0, time, ptr::null(), &raw mut handle))
        }?;
        if handle.is_null() {
            return Err(Status::FAILED);
        }
        // From here on it is released.
        let fetched = FetchedImage { host, handle, lent: PhantomData };
        // SAFETY: the host has just given this property set, and keeps it until it is released.
        let memory = ImageMemory::of(unsafe { Properties::new(host, handle) }?)?;
        Ok(OutputImage { memory, _fetched: fetched })
    }

    /// Whether the host no longer wants what is being rendered. Cheap.
    pub(crate) fn is_aborted(self) -> bool {
        // SAFETY: the handle is valid during the action.
        self.host().effect.abort.is_some_and(|abort| unsafe { abort(self.raw()) } != 0)
    }
}

/// An image of the host, during one action.
pub(crate) struct OutputImage<'a> {
    memory: ImageMemory,
    _fetched: FetchedImage<'a>,
}

impl OutputImage<'_> {
    /// The bounds of its memory; it may be larger than what is to be rendered, or smaller.
    pub(crate) fn bounds(&self) -> Window {
        self.memory.bounds
    }

    /// The part of the image that lies in a window, to be written.
    pub(crate) fn within(&mut self, window: Window) -> impl PixelCanvas {
        let window = window.intersection(self.memory.bounds);
        ImageWindow { memory: &mut self.memory, window }
    }
}

/// Gives the image back to the host when it is dropped.
struct FetchedImage<'a> {
    host: Host,
    handle: OfxPropertySetHandle,
    lent: PhantomData<&'a ()>,
}

impl Drop for FetchedImage<'_> {
    fn drop(&mut self) {
        // SAFETY: the host gave this handle, nobody has released it, and nobody uses it any more:
        // whoever borrowed the image is gone.
        let _ = unsafe { call_suite!(self.host.effect, clipReleaseImage(self.handle)) };
    }
}

/// Where the pixels of an image lie in memory.
struct ImageMemory {
    /// The first byte of the pixel at the lower left.
    data: *mut u8,
    bounds: Window,
    /// Bytes from one row to that above it; negative where rows run downwards in memory.
    row_bytes: isize,
    depth: Depth,
}

impl ImageMemory {
    fn of(image: Properties<'_>) -> Result<Self, Status> {
        let depth = match image.text(names::PIXEL_DEPTH, 0)?.as_bytes() {
            text if text == names::DEPTH_BYTE.to_bytes() => Depth::Byte,
            text if text == names::DEPTH_SHORT.to_bytes() => Depth::Short,
            text if text == names::DEPTH_HALF.to_bytes() => Depth::Half,
            text if text == names::DEPTH_FLOAT.to_bytes() => Depth::Float,
            _ => return Err(Status::IMAGE_FORMAT),
        };
        if image.text(names::COMPONENTS, 0)?.as_bytes() != names::RGBA.to_bytes() {
            return Err(Status::IMAGE_FORMAT);
        }
        let bound = |index| image.int_at(names::IMAGE_BOUNDS, index);
        let bounds = Window { x1: bound(0)?, y1: bound(1)?, x2: bound(2)?, y2: bound(3)? };
        let data = image.pointer(names::IMAGE_DATA)?.cast();
        Self::new(data, bounds, image.int(names::IMAGE_ROW_BYTES)?, depth)
    }

    /// Refuses what cannot be the memory of an image.
    fn new(data: *mut u8, bounds: Window, row_bytes: i32, depth: Depth) -> Result<Self, Status> {
        let row_bytes = isize::try_from(row_bytes).map_err(|_| Status::FAILED)?;
        let needed = bounds.width().checked_mul(depth.pixel_bytes()).ok_or(Status::FAILED)?;
        let whole = bounds.height().checked_mul(row_bytes.unsigned_abs());
        let is_sound = !data.is_null()
            && bounds.x1 <= bounds.x2
            && bounds.y1 <= bounds.y2
            && row_bytes.unsigned_abs() >= needed
            && whole.is_some_and(|whole| isize::try_from(whole).is_ok());
        is_sound.then_some(Self { data, bounds, row_bytes, depth }).ok_or(Status::FAILED)
    }

    /// Pixels of one row; none where the row or the columns are not all within the bounds.
    fn row(&mut self, y: i32, x1: i32, x2: i32) -> &mut [u8] {
        let Window { x1: left, y1: bottom, x2: right, y2: top } = self.bounds;
        if !(bottom..top).contains(&y) || x1 < left || x2 > right || x1 >= x2 {
            return &mut [];
        }
        let pixels = Window { x1, y1: y, x2, y2: y };
        let length = pixels.width() * self.depth.pixel_bytes();
        let before = Window { x1: left, y1: bottom, x2: x1, y2: y };
        let (across, up) = (before.width() * self.depth.pixel_bytes(), before.height());
        // SAFETY: OpenFX keeps the image's memory for us alone until it is released: `height` rows
        // of at least `width` pixels, `row_bytes` apart, which `new` has found to fit the address
        // space. The row is one of them and the columns lie in it, as checked above. Several renders
        // may write to one image at a time, but each has pixels of its own. `&mut self` lets one
        // slice of it live at a time.
        unsafe {
            let row = self.data.offset(up as isize * self.row_bytes);
            slice::from_raw_parts_mut(row.add(across), length)
        }
    }
}

/// The part of an image that lies in a window.
struct ImageWindow<'a> {
    memory: &'a mut ImageMemory,
    window: Window,
}

impl PixelCanvas for ImageWindow<'_> {
    fn window(&self) -> Window {
        self.window
    }

    fn depth(&self) -> Depth {
        self.memory.depth
    }

    fn row(&mut self, y: i32) -> &mut [u8] {
        let Window { x1, y1, x2, y2 } = self.window;
        if (y1..y2).contains(&y) { self.memory.row(y, x1, x2) } else { &mut [] }
    }
}

#[cfg(test)]
mod tests;
