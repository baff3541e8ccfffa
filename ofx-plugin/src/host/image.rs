//! The host's output image: fetched for one render, released however that ends.
//!
//! What is fetched is believed about its memory and nothing else: hosts give other depths than they
//! were offered, and wrong scales. Rows may be padded or run downwards in memory, bounds may begin
//! anywhere and reach beyond what is to be rendered.

use std::marker::PhantomData;
use std::ptr;
use std::slice;

use openfx_sys::{OfxPropertySetHandle, OfxTime};
use thiserror::Error;

use super::{ClipHandle, Effect, Host, Properties, call_suite};
use crate::names;
use crate::ofx_status::Status;
use crate::surface::{ClipAlpha, Depth, PixelCanvas, PixelSource, Window};

impl<'a> Effect<'a> {
    /// The image of a clip that is to be rendered, whole or in part.
    pub(crate) fn output_image(
        self,
        clip: ClipHandle,
        time: OfxTime,
    ) -> Result<OutputImage<'a>, ImageRefusal> {
        let (fetched, _) = self.fetch_image(clip, time)?;
        Ok(OutputImage { memory: ImageMemory::of(fetched.properties()?)?, _fetched: fetched })
    }

    /// The image of an input, as much of it as is asked for by regions of interest.
    pub(crate) fn input_image(
        self,
        clip: ClipHandle,
        time: OfxTime,
    ) -> Result<InputImage<'a>, ImageRefusal> {
        let (fetched, host) = self.fetch_image(clip, time)?;
        let image = fetched.properties()?;
        let memory = ImageMemory::of(image)?;
        let premultiplication = image.text(names::PREMULTIPLICATION, 0).unwrap_or_default();
        let alpha = match premultiplication.as_bytes() {
            // What MLT says of its images is not so: their colors are never multiplied.
            _ if host.name() == names::MLT => ClipAlpha::Straight,
            text if text == names::PREMULTIPLIED.to_bytes() => ClipAlpha::Premultiplied,
            text if text == names::OPAQUE.to_bytes() => ClipAlpha::Opaque,
            _ => ClipAlpha::Straight,
        };
        let size = |name, index| {
            let size = image.double(name, index).ok();
            size.filter(|size| size.is_finite() && *size > 0.0).unwrap_or(1.0)
        };
        let scale = [0, 1].map(|index| size(names::RENDER_SCALE, index));
        let pixel_aspect = size(names::PIXEL_ASPECT, 0);
        Ok(InputImage { memory, alpha, scale, pixel_aspect, _fetched: fetched })
    }

    fn fetch_image(
        self,
        clip: ClipHandle,
        time: OfxTime,
    ) -> Result<(FetchedImage<'a>, Host), ImageRefusal> {
        let (mut handle, host) = (ptr::null_mut(), self.host());
        // SAFETY: the clip belongs to this effect's instance; no region means what is rendered; the
        // handle is ours.
        unsafe {
            call_suite!(host.effect, clipGetImage(clip.0, time, ptr::null(), &raw mut handle))
        }?;
        if handle.is_null() {
            return Err(Status::FAILED.into());
        }
        // From here on it is released.
        Ok((FetchedImage { host, handle, lent: PhantomData }, host))
    }

    /// Whether the host no longer wants what is being rendered. Cheap.
    pub(crate) fn is_aborted(self) -> bool {
        // SAFETY: the handle is valid during the action.
        self.host().effect.abort.is_some_and(|abort| unsafe { abort(self.raw()) } != 0)
    }
}

/// Why there is no image to draw into. As a sentence, it says what to do.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ImageRefusal {
    /// The host gives none, or does not say what it is.
    #[error("the host gives no image to draw into (its status is {}); render once more", .0.raw())]
    Host(Status),
    /// The host says that it has no memory for one.
    #[error("the host has no memory for the picture; free some, or render at a smaller size")]
    NoMemory,
    /// Its pixels are not RGBA of a known depth.
    #[error(
        "the host's image has {components} pixels of {depth}: expected RGBA of Byte, Short, Half or \
         Float; set the output of the node to RGBA"
    )]
    Format { components: String, depth: String },
    /// Its memory cannot hold the pixels that it says it has.
    #[error(
        "the host's image cannot be: {width} x {height} pixels of {pixel_bytes} bytes, in rows of \
         {row_bytes}; render in another pixel depth"
    )]
    Memory { width: usize, height: usize, pixel_bytes: usize, row_bytes: i32 },
}

impl From<Status> for ImageRefusal {
    fn from(status: Status) -> Self {
        if status == Status::MEMORY { Self::NoMemory } else { Self::Host(status) }
    }
}

impl ImageRefusal {
    /// What the render is answered with.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Host(status) => *status,
            Self::NoMemory => Status::MEMORY,
            Self::Format { .. } => Status::IMAGE_FORMAT,
            Self::Memory { .. } => Status::FAILED,
        }
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

/// An image of the host to be read, during one action.
pub(crate) struct InputImage<'a> {
    memory: ImageMemory,
    alpha: ClipAlpha,
    scale: [f64; 2],
    pixel_aspect: f64,
    _fetched: FetchedImage<'a>,
}

impl InputImage<'_> {
    /// Whether its colors are not multiplied by its alpha.
    pub(crate) fn is_straight(&self) -> bool {
        self.alpha != ClipAlpha::Premultiplied
    }

    /// How it carries its alpha, by what the host says of it.
    pub(crate) fn alpha(&self) -> ClipAlpha {
        self.alpha
    }

    /// The bounds of its memory.
    pub(crate) fn bounds(&self) -> Window {
        self.memory.bounds
    }

    /// Pixels for one unit of canonical coordinates, to the right and upwards.
    pub(crate) fn pixels_per_unit(&self) -> [f64; 2] {
        [self.scale[0] / self.pixel_aspect, self.scale[1]]
    }

    /// Width of a pixel by its height.
    pub(crate) fn pixel_aspect(&self) -> f64 {
        self.pixel_aspect * self.scale[1] / self.scale[0]
    }
}

impl std::fmt::Debug for InputImage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InputImage({:?}, {:?})", self.memory.bounds, self.memory.depth)
    }
}

impl PixelSource for InputImage<'_> {
    fn depth(&self) -> Depth {
        self.memory.depth
    }

    fn row(&self, y: i32) -> (i32, &[u8]) {
        let Window { x1, x2, .. } = self.memory.bounds;
        let Some((first, length)) = self.memory.place(y, x1, x2) else { return (x1, &[]) };
        // SAFETY: OpenFX keeps an input's memory as it is until it is released, which is after every
        // borrow of this; `place` has found the row within it.
        (x1, unsafe { slice::from_raw_parts(first, length) })
    }
}

/// Gives the image back to the host when it is dropped.
struct FetchedImage<'a> {
    host: Host,
    handle: OfxPropertySetHandle,
    lent: PhantomData<&'a ()>,
}

impl FetchedImage<'_> {
    fn properties(&self) -> Result<Properties<'_>, Status> {
        // SAFETY: the host has given this property set, and keeps it until it is released.
        unsafe { Properties::new(self.host, self.handle) }
    }
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
    fn of(image: Properties<'_>) -> Result<Self, ImageRefusal> {
        let depth_name = image.text(names::PIXEL_DEPTH, 0)?;
        let components = image.text(names::COMPONENTS, 0)?;
        let depth = match depth_name.as_bytes() {
            text if text == names::DEPTH_BYTE.to_bytes() => Some(Depth::Byte),
            text if text == names::DEPTH_SHORT.to_bytes() => Some(Depth::Short),
            text if text == names::DEPTH_HALF.to_bytes() => Some(Depth::Half),
            text if text == names::DEPTH_FLOAT.to_bytes() => Some(Depth::Float),
            _ => None,
        };
        let is_rgba = components.as_bytes() == names::RGBA.to_bytes();
        let Some(depth) = depth.filter(|_| is_rgba) else {
            let bare = |name: &str, prefix| name.strip_prefix(prefix).unwrap_or(name).to_owned();
            return Err(ImageRefusal::Format {
                components: bare(&components, "OfxImageComponent"),
                depth: bare(&depth_name, "OfxBitDepth"),
            });
        };
        let bound = |index| image.int_at(names::IMAGE_BOUNDS, index);
        let bounds = Window { x1: bound(0)?, y1: bound(1)?, x2: bound(2)?, y2: bound(3)? };
        let data = image.pointer(names::IMAGE_DATA)?.cast();
        Self::new(data, bounds, image.int(names::IMAGE_ROW_BYTES)?, depth)
    }

    /// Refuses what cannot be the memory of an image.
    fn new(
        data: *mut u8,
        bounds: Window,
        row_bytes: i32,
        depth: Depth,
    ) -> Result<Self, ImageRefusal> {
        let (width, height) = (bounds.width(), bounds.height());
        let pixel_bytes = depth.pixel_bytes();
        let refusal = || ImageRefusal::Memory { width, height, pixel_bytes, row_bytes };
        let row_bytes = isize::try_from(row_bytes).map_err(|_| refusal())?;
        let needed = width.checked_mul(pixel_bytes).ok_or_else(refusal)?;
        let whole = bounds.height().checked_mul(row_bytes.unsigned_abs());
        let is_memory = !data.is_null()
            && row_bytes.unsigned_abs() >= needed
            && whole.is_some_and(|whole| isize::try_from(whole).is_ok());
        // Without pixels there is nothing to point to, as where a clip covers nothing.
        let is_sound = bounds.x1 <= bounds.x2
            && bounds.y1 <= bounds.y2
            && (is_memory || width == 0 || height == 0);
        is_sound.then_some(Self { data, bounds, row_bytes, depth }).ok_or_else(refusal)
    }

    /// Where pixels of one row begin and how many bytes they are; `None` where the row or the columns
    /// are not all within the bounds.
    fn place(&self, y: i32, x1: i32, x2: i32) -> Option<(*mut u8, usize)> {
        let Window { x1: left, y1: bottom, x2: right, y2: top } = self.bounds;
        if !(bottom..top).contains(&y) || x1 < left || x2 > right || x1 >= x2 {
            return None;
        }
        let pixels = Window { x1, y1: y, x2, y2: y };
        let length = pixels.width() * self.depth.pixel_bytes();
        let before = Window { x1: left, y1: bottom, x2: x1, y2: y };
        let (across, up) = (before.width() * self.depth.pixel_bytes(), before.height());
        // SAFETY: the image's memory is `height` rows of at least `width` pixels, `row_bytes` apart,
        // which `new` has found to fit the address space. The row is one of them and the columns lie
        // in it, as checked above.
        Some((unsafe { self.data.offset(up as isize * self.row_bytes).add(across) }, length))
    }

    /// Pixels of one row; none where the row or the columns are not all within the bounds.
    fn row(&mut self, y: i32, x1: i32, x2: i32) -> &mut [u8] {
        let Some((first, length)) = self.place(y, x1, x2) else { return &mut [] };
        // SAFETY: OpenFX keeps the image's memory for us alone until it is released, and `place` has
        // found the row within it. Several renders may write to one image at a time, but each has
        // pixels of its own. `&mut self` lets one slice of it live at a time.
        unsafe { slice::from_raw_parts_mut(first, length) }
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
