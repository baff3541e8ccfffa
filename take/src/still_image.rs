//! The image that a take begins or ends with: straight, display-referred RGBA, as a request means it by
//! its hash, and in the size of a take.
//!
//! - [`StillImage::hash`]: what a request holds of it.
//! - [`StillImage::fitted`]: in the size of a take, and what became of its edges.
//! - [`take_size`]: the size of a take that has its aspect.

mod lanczos;

use thiserror::Error;

use crate::counted::{counted, verb};
use crate::digest::ContentHash;
use crate::ellipse::Ellipse;
use crate::fit::{Compressor, FitError, FitSettings};
use crate::warning::{Warning, WarningCode};

/// Longest side of an image in pixels.
const MOST_PIXELS: u32 = 16_384;

/// Alpha below half of a step of 8 bits is none: what is left of the filter's lobes would else show
/// color that nobody chose.
const LEAST_ALPHA: f64 = 0.5 / 255.0;

/// Pixels that sides of a take are rounded by, which an image is stretched for.
const ROUNDED: f64 = 17.0;
/// But no image is stretched as much as this.
const STRETCHED: f64 = 1.1;

/// Columns or rows, of which one is none, and `is` or `are`.
fn lines([columns, rows]: [u32; 2], kind: &str) -> String {
    let (count, what) = if columns > 0 { (columns, "column") } else { (rows, "row") };
    format!("{} {}", counted(count, &format!("{kind}{what}")), verb(count, "is", "are"))
}

/// A picture that a take begins or ends with.
#[derive(Clone, Debug, PartialEq)]
pub struct StillImage {
    width: u32,
    height: u32,
    /// Straight, display-referred RGBA in \[0, 1\], row 0 on top: `[height, width, 4]`.
    rgba: Vec<f32>,
}

/// Why pixels are no image that a take can begin with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StillImageError {
    /// No pixels, or too many.
    #[error(
        "an image of {width} × {height} pixels: expected 1 to {MOST_PIXELS} on each side; resize it"
    )]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// More or fewer numbers than its size says.
    #[error(
        "an image of {width} × {height} pixels has {found} values: expected four for each pixel"
    )]
    Length {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// How many values there are.
        found: usize,
    },
    /// A number that is no color.
    #[error("an image has {found} at column {column}, row {row}: expected 0 to 1; mend it")]
    Value {
        /// The value as text.
        found: String,
        /// Column of the pixel, from 0 on the left.
        column: usize,
        /// Row of the pixel, from 0 on top.
        row: usize,
    },
}

/// What became of an image's edges when it was brought to the aspect of a take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeChange {
    /// Nothing: it was stretched by a few pixels at most.
    Kept,
    /// So many columns and rows of its own were cut off, half on each side.
    Cropped([u32; 2]),
    /// So many transparent columns and rows, of its own size, were added, half on each side.
    Padded([u32; 2]),
}

impl EdgeChange {
    /// Of an image of a size, opaque everywhere or not, in a take of a size.
    #[must_use]
    pub fn of(image: [u32; 2], is_opaque: bool, take: [u32; 2]) -> Self {
        let [w, h] = image.map(f64::from);
        let [wide, high] = take.map(f64::from);
        // By how much one of the take's sides would have to be another for the aspect of the image.
        let off = (wide - high * w / h).abs().min((high - wide * h / w).abs());
        let stretch = (w * high) / (h * wide);
        if off < ROUNDED && stretch.max(1.0 / stretch) < STRETCHED {
            return Self::Kept;
        }
        let whole = |length: f64| length.round().max(1.0) as u32;
        let [width, height] = image;
        if is_opaque {
            if w / h > wide / high {
                Self::Cropped([width - whole(h * wide / high).min(width), 0])
            } else {
                Self::Cropped([0, height - whole(w * high / wide).min(height)])
            }
        } else if w / h > wide / high {
            Self::Padded([0, whole(w * high / wide).saturating_sub(height)])
        } else {
            Self::Padded([whole(h * wide / high).saturating_sub(width), 0])
        }
    }

    /// Where an image of a size lies in the take's frame: left, bottom, right, top in fractions of it,
    /// from the lower left corner. One that was cropped reaches beyond.
    #[must_use]
    pub fn place(self, image: [u32; 2]) -> [f64; 4] {
        let added = match self {
            Self::Kept => [0, 0],
            Self::Cropped(by) => by.map(|pixels| -i64::from(pixels)),
            Self::Padded(by) => by.map(i64::from),
        };
        let side = |axis: usize| {
            let (own, added) = (f64::from(image[axis]), added[axis]);
            let whole = own + added as f64;
            let before = added.div_euclid(2) as f64;
            [before / whole, (before + own) / whole]
        };
        // Rows are counted from the top.
        let ([left, right], [top, bottom]) = (side(0), side(1));
        [left, 1.0 - bottom, right, 1.0 - top]
    }
}

impl StillImage {
    /// An image of straight, display-referred RGBA in \[0, 1\], row 0 on top.
    ///
    /// # Errors
    /// [`StillImageError`], naming the first thing that is wrong.
    pub fn new(width: u32, height: u32, rgba: Vec<f32>) -> Result<Self, StillImageError> {
        let fits = |side: u32| (1..=MOST_PIXELS).contains(&side);
        if !fits(width) || !fits(height) {
            return Err(StillImageError::Size { width, height });
        }
        let found = rgba.len();
        if found != width as usize * height as usize * 4 {
            return Err(StillImageError::Length { width, height, found });
        }
        match rgba.iter().position(|value| !(0.0..=1.0).contains(value)) {
            None => Ok(Self { width, height, rgba }),
            Some(place) => Err(StillImageError::Value {
                found: rgba[place].to_string(),
                column: place / 4 % width as usize,
                row: place / 4 / width as usize,
            }),
        }
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Straight, display-referred RGBA, row 0 on top: `[height, width, 4]`.
    #[must_use]
    pub fn rgba(&self) -> &[f32] {
        &self.rgba
    }

    /// The pixels, row by row from the top.
    #[must_use]
    pub fn pixels(&self) -> &[[f32; 4]] {
        self.rgba.as_chunks::<4>().0
    }

    /// What a request means it by: BLAKE3 of width and height, 32 bits each, and of the values as they
    /// are, float32; all little-endian.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.width.to_le_bytes()).update(&self.height.to_le_bytes());
        for row in self.rgba.chunks(self.width as usize * 4) {
            let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        ContentHash(hasher.finalize().into())
    }

    /// Whether it is opaque everywhere.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.pixels().iter().all(|pixel| pixel[3] == 1.0)
    }

    /// Whether it is transparent everywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pixels().iter().all(|pixel| pixel[3] == 0.0)
    }

    /// The image in the size of a take. One of nearly that aspect, as [`take_size`] has it, is stretched
    /// to it. Of another aspect, one with transparency is padded with more of that, and an opaque one
    /// is cropped, both around its middle.
    #[must_use]
    pub fn fitted(&self, width: u32, height: u32) -> (Self, EdgeChange) {
        let change = self.edge_change(width, height);
        match change {
            EdgeChange::Kept => (self.resized(width, height), change),
            EdgeChange::Cropped(by) => {
                (self.framed(by.map(|pixels| -i64::from(pixels))).resized(width, height), change)
            }
            EdgeChange::Padded(by) => {
                (self.framed(by.map(i64::from)).resized(width, height), change)
            }
        }
    }

    /// What [`StillImage::fitted`] does to the edges.
    #[must_use]
    pub fn edge_change(&self, width: u32, height: u32) -> EdgeChange {
        EdgeChange::of([self.width, self.height], self.is_opaque(), [width, height])
    }

    /// What is to be known of it in a take of a size; `which` is "first" or "last".
    #[must_use]
    pub fn warnings(&self, which: &str, [width, height]: [u32; 2]) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let [own_width, own_height] = [self.width, self.height];
        let mut edges = |what: String| {
            let message = format!(
                "the {which} image, {own_width} × {own_height}, is not of the aspect of the take, {width} × \
                 {height}: {what}"
            );
            let remedy = "give a width and height of its aspect, or an image of theirs";
            warnings.push(Warning::new(WarningCode::ImageEdges, message, remedy));
        };
        match self.edge_change(width, height) {
            EdgeChange::Kept => {}
            EdgeChange::Cropped([0, 0]) | EdgeChange::Padded([0, 0]) => {
                edges("it is too small to be brought to it, and is stretched".to_owned());
            }
            EdgeChange::Cropped(edge) => {
                edges(format!("{} cut off around its middle", lines(edge, "")));
            }
            EdgeChange::Padded(edge) => {
                edges(format!("{} added around it", lines(edge, "transparent ")));
            }
        }
        if self.is_opaque() {
            warnings.push(Warning::new(
                WarningCode::ImageOpaque,
                format!(
                    "the {which} image is opaque everywhere: the take has no transparency there"
                ),
                "give it an alpha, or a matte",
            ));
        }
        if self.is_empty() {
            warnings.push(Warning::new(
                WarningCode::ImageEmpty,
                format!("the {which} image is transparent everywhere: nothing of it is seen"),
                "give it an alpha that shows the subject",
            ));
        }
        warnings
    }

    /// The ellipse of what is not transparent in it, where it has the size of a take; none where there is
    /// nothing.
    ///
    /// # Errors
    /// Its size is no multiple of 8.
    pub fn ellipse(&self, settings: FitSettings) -> Result<Option<Ellipse>, FitError> {
        let (width, height) = (self.width as usize, self.height as usize);
        let mut compressor = Compressor::new(width, height, settings.threshold)?;
        let alpha: Vec<f32> = self.pixels().iter().map(|pixel| pixel[3]).collect();
        compressor.push(&alpha)?;
        Ok(compressor.finish()?.ellipses(settings.rounds).into_iter().next().flatten())
    }

    /// With so many columns and rows more, or fewer, around its middle; what is new is transparent.
    fn framed(&self, [columns, rows]: [i64; 2]) -> Self {
        let (w, h) = (i64::from(self.width), i64::from(self.height));
        let (width, height) = ((w + columns).max(1), (h + rows).max(1));
        // Half of what is added stands before it; of what is cut off, half goes there.
        let (left, top) = (columns.div_euclid(2), rows.div_euclid(2));
        let at = |x: i64, y: i64| {
            let (x, y) = (x - left, y - top);
            let inside = (0..w).contains(&x) && (0..h).contains(&y);
            if inside { self.pixels()[(y * w + x) as usize] } else { [0.0; 4] }
        };
        let rgba = (0..height).flat_map(|y| (0..width).flat_map(move |x| at(x, y))).collect();
        Self { width: width as u32, height: height as u32, rgba }
    }

    /// In another size, by Pillow's Lanczos filter: color is multiplied by alpha first and divided by it
    /// at the end, so that what nobody sees does not show at the edges. Alpha stays between those that
    /// lie under a pixel: the filter's lobes would leave rings around a subject, faint ones, which a hard
    /// render shows in full color. Where it stays as it is, the very same.
    #[must_use]
    pub fn resized(&self, width: u32, height: u32) -> Self {
        if (self.width, self.height) == (width, height) {
            return self.clone();
        }
        let weighted: Vec<[f64; 4]> = self
            .pixels()
            .iter()
            .map(|pixel| {
                let [r, g, b, alpha] = pixel.map(f64::from);
                [r * alpha, g * alpha, b * alpha, alpha]
            })
            .collect();
        let sizes = [[self.width, self.height], [width, height]];
        let [from, to] = sizes.map(|size| size.map(|side| side as usize));
        let alpha: Vec<f64> = weighted.iter().map(|pixel| pixel[3]).collect();
        let bounds = lanczos::bounds(&alpha, from, to);
        let straight = |([r, g, b, alpha], [least, most]): ([f64; 4], [f64; 2])| {
            let bounded = alpha.clamp(least, most);
            if alpha.min(bounded) < LEAST_ALPHA {
                return [0.0; 4];
            }
            [r / alpha, g / alpha, b / alpha, bounded].map(|value| value.clamp(0.0, 1.0) as f32)
        };
        let filtered = lanczos::filtered(&weighted, from, to);
        let rgba = filtered.into_iter().zip(bounds).flat_map(straight);
        Self { width, height, rgba: rgba.collect() }
    }
}

/// Width and height of a take with the aspect of an image, both multiples of 16, and of about so many
/// pixels: each side is rounded to whole pixels, then down to a multiple of 16, as Diffusers has it.
/// 832 × 480 stays so.
#[must_use]
pub fn take_size(image: [u32; 2], area: u32) -> [u32; 2] {
    let aspect = f64::from(image[1].max(1)) / f64::from(image[0].max(1));
    let side = |square: f64| {
        let pixels = square.sqrt().round() as u32;
        (pixels - pixels % 16).clamp(16, 4096)
    };
    [side(f64::from(area) / aspect), side(f64::from(area) * aspect)]
}

#[cfg(test)]
mod tests;
