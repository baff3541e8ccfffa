//! The memory of an image that the plug-in writes to: rows with guards between and around them.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;

use super::{Depth, Image, Rect, height, poison, width};

/// How rows follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Stride {
    /// One after the other.
    #[default]
    Packed,
    /// With so many bytes between them.
    Padded(usize),
    /// Without gap, the lowest row last in memory.
    Negative,
    /// The lowest row last in memory, with so many bytes between rows.
    NegativePadded(usize),
}

impl Stride {
    /// One more component in each row, so that no row begins where a pixel might.
    #[must_use]
    pub fn odd(depth: Depth) -> Self {
        Self::Padded(depth.bytes())
    }

    fn padding(self) -> usize {
        match self {
            Self::Packed | Self::Negative => 0,
            Self::Padded(bytes) | Self::NegativePadded(bytes) => bytes,
        }
    }

    fn is_negative(self) -> bool {
        matches!(self, Self::Negative | Self::NegativePadded(_))
    }
}

/// Bytes before and after all rows.
const GUARD: usize = 4096;

/// Shared with the plug-in while it renders, looked at when it has returned.
pub(crate) struct Memory {
    /// In units that give rows the alignment that any pixel needs.
    units: Box<[UnsafeCell<u128>]>,
    pub(crate) bounds: Rect,
    pub(crate) depth: Depth,
    stride: Stride,
}

// SAFETY: whoever reads or writes does so through raw pointers, byte by byte, and only this file
// and the plug-in do; the plug-in has no business here once its action has returned, which is when
// this file looks. A plug-in that writes later is what the host is there to find out.
unsafe impl Sync for Memory {}
// SAFETY: as above; the memory belongs to no thread.
unsafe impl Send for Memory {}

impl Memory {
    /// With every pixel poisoned and every guard in place.
    pub(crate) fn new(bounds: Rect, depth: Depth, stride: Stride) -> Self {
        let row = width(bounds) * depth.pixel_bytes() + stride.padding();
        let bytes = 2 * GUARD + row * height(bounds);
        let units = (0..bytes.div_ceil(16)).map(|_| UnsafeCell::new(poison::GUARD_UNIT)).collect();
        let memory = Self { units, bounds, depth, stride };
        for y in bounds[1]..bounds[3] {
            memory.write_row(y, &poison::row(depth, bounds, y));
        }
        memory
    }

    /// With the pixels of a picture.
    pub(crate) fn of(image: &Image, stride: Stride) -> Self {
        let memory = Self::new(image.bounds, image.depth, stride);
        let length = memory.pixels_length();
        for (y, row) in (image.bounds[1]..).zip(image.bytes.chunks_exact(length.max(1))) {
            memory.write_row(y, row);
        }
        memory
    }

    fn base(&self) -> *mut u8 {
        self.units.as_ptr().cast::<u8>().cast_mut()
    }

    fn pixels_length(&self) -> usize {
        width(self.bounds) * self.depth.pixel_bytes()
    }

    fn row_length(&self) -> usize {
        self.pixels_length() + self.stride.padding()
    }

    /// Bytes from one row to the one above it.
    pub(crate) fn row_bytes(&self) -> i32 {
        let length = i32::try_from(self.row_length()).unwrap_or(i32::MAX);
        if self.stride.is_negative() { -length } else { length }
    }

    fn row_start(&self, y: i32) -> usize {
        let above = (i64::from(y) - i64::from(self.bounds[1])) as usize;
        let nth = if self.stride.is_negative() { height(self.bounds) - 1 - above } else { above };
        GUARD + nth * self.row_length()
    }

    /// Address of the lowest row.
    pub(crate) fn data(&self) -> usize {
        if height(self.bounds) == 0 {
            return 0;
        }
        self.base().wrapping_add(self.row_start(self.bounds[1])).expose_provenance()
    }

    fn copy_out(&self, start: usize, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.copy_to(start, &mut bytes);
        bytes
    }

    fn copy_to(&self, start: usize, bytes: &mut [u8]) {
        assert!(start + bytes.len() <= self.units.len() * 16);
        // SAFETY: the range lies within the allocation, as asserted; the slice is as long.
        unsafe { self.base().add(start).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    }

    fn write_row(&self, y: i32, pixels: &[u8]) {
        assert_eq!(pixels.len(), self.pixels_length());
        let start = self.row_start(y);
        assert!(start + pixels.len() <= self.units.len() * 16);
        // SAFETY: the range lies within the allocation, as asserted, which is made of cells.
        unsafe {
            self.base().add(start).copy_from_nonoverlapping(pixels.as_ptr(), pixels.len());
        }
    }

    pub(crate) fn row(&self, y: i32) -> Vec<u8> {
        self.copy_out(self.row_start(y), self.pixels_length())
    }

    /// The picture as it is now, within a window.
    pub(crate) fn image(&self, window: Rect) -> Image {
        let size = self.depth.pixel_bytes();
        let skipped = (window[0] - self.bounds[0]) as usize * size;
        let length = width(window) * size;
        let mut bytes = vec![0; length * height(window)];
        for (y, row) in (window[1]..window[3]).zip(bytes.chunks_exact_mut(length.max(1))) {
            self.copy_to(self.row_start(y) + skipped, row);
        }
        Image { bounds: window, depth: self.depth, bytes }
    }

    /// Where the guards around and between rows were written over.
    pub(crate) fn broken_guard(&self) -> Option<String> {
        let rows = self.row_length() * height(self.bounds);
        let is_whole = |start: usize, length: usize| {
            let found = self.copy_out(start, length);
            found.iter().zip(start..).all(|(byte, at)| *byte == poison::guard_byte(at))
        };
        if !is_whole(0, GUARD) {
            return Some("in front of the image".to_owned());
        }
        if !is_whole(GUARD + rows, self.units.len() * 16 - GUARD - rows) {
            return Some("behind the image".to_owned());
        }
        let padding = self.stride.padding();
        let between =
            |&y: &i32| padding > 0 && !is_whole(self.row_start(y) + self.pixels_length(), padding);
        let row = (self.bounds[1]..self.bounds[3]).find(between)?;
        Some(format!("in the padding of row {row}"))
    }
}
