//! The contact sheet: a few frames of the take over what an artist would judge them on.
//!
//! One column per frame, evenly spread from first to last; four rows: over a checkerboard, over
//! near-black (where bright fringes and glow show), over a bright saturated color (where dark
//! fringes and leftover background show), and alpha itself. Composited in linear light, as Nuke
//! and Fusion do it, then encoded as sRGB: composited in display values, soft edges would look
//! thinner here than they will in the comp.

use fast_image_resize::{FilterType, ResizeAlg};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster};
use wan_alpha_take::color::{linear_premultiplied, quantize_8, to_display, to_linear};
use wan_alpha_take::frame::Frame;

use super::resize::filtered;

/// What the file of one is called beside the frames.
pub(crate) const FILE_NAME: &str = "contact-sheet.png";

const COLUMNS: usize = 6;
/// The longer side of a thumbnail, in pixels.
const THUMB: usize = 320;
/// Pixels between pictures, and around them.
pub(super) const GUTTER: usize = 8;
/// Height of the strip of a label.
pub(super) const LABEL: usize = LETTERS.val() + 3;
/// The font is the node's.
pub(super) const LETTERS: RasterHeight = RasterHeight::Size16;
/// Side of a square of the checkerboard.
const CHECK: usize = 12;

const SURROUND: [u8; 3] = [38, 38, 38];
const INK: [u8; 3] = [170, 170, 170];

/// What a row is composited over; display values.
#[derive(Clone, Copy)]
pub(super) enum Ground {
    Checker([[u8; 3]; 2]),
    Flat([u8; 3]),
    /// Alpha itself as gray.
    Alpha,
}

/// The checkerboard of every sheet.
pub(super) const CHECKER: Ground = Ground::Checker([[96; 3], [144; 3]]);

const ROWS: [Ground; 4] =
    [CHECKER, Ground::Flat([12, 13, 16]), Ground::Flat([64, 128, 214]), Ground::Alpha];

/// Collects thumbnails while the frames of a take pass by.
pub(crate) struct ContactSheet {
    /// The frames to show, rising.
    chosen: Vec<usize>,
    thumb: ThumbSize,
    /// Linear, premultiplied RGBA of the size `thumb`: the only form that can be filtered and
    /// composited.
    thumbs: Vec<Vec<f32>>,
}

/// Pixels of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThumbSize {
    pub(super) width: usize,
    pub(super) height: usize,
}

impl ContactSheet {
    /// The sheet of a take with so many frames of a size, of which none has been seen.
    pub(crate) fn new(frames: usize, width: usize, height: usize) -> Self {
        Self { chosen: spread(frames), thumb: thumb_size(width, height), thumbs: Vec::new() }
    }

    /// Takes a thumbnail if this frame is one of the chosen.
    pub(crate) fn offer(&mut self, frame: &Frame<'_>) {
        if self.chosen.contains(&frame.index) {
            self.thumbs.push(reduce(frame, self.thumb));
        }
    }

    /// The finished sheet as width, height and 8-bit RGB.
    pub(crate) fn draw(&self) -> (usize, usize, Vec<u8>) {
        let ThumbSize { width, height } = self.thumb;
        let mut sheet = Canvas::new(
            GUTTER + self.chosen.len() * (width + GUTTER),
            LABEL + GUTTER + ROWS.len() * (height + GUTTER),
        );
        for (column, (frame, thumb)) in self.chosen.iter().zip(&self.thumbs).enumerate() {
            let x = GUTTER + column * (width + GUTTER);
            sheet.number(x, GUTTER, *frame);
            for (row, ground) in ROWS.into_iter().enumerate() {
                let y = LABEL + GUTTER + row * (height + GUTTER);
                sheet.thumb([x, y], thumb, width, ground);
            }
        }
        sheet.into_rgb()
    }
}

/// At most [`COLUMNS`] frames, the first and the last among them.
fn spread(frames: usize) -> Vec<usize> {
    let columns = COLUMNS.min(frames);
    match columns {
        0 | 1 => (0..columns).collect(),
        _ => (0..columns)
            .map(|column| {
                let gaps = columns - 1;
                (column * (frames - 1) + gaps / 2) / gaps
            })
            .collect(),
    }
}

/// Large frames are fitted to [`THUMB`]; small ones shown in whole multiples of their pixels.
pub(super) fn thumb_size(width: usize, height: usize) -> ThumbSize {
    let longer = width.max(height).max(1);
    if longer <= THUMB {
        let times = THUMB / longer;
        return ThumbSize { width: width * times, height: height * times };
    }
    let fit = |side: usize| ((side * THUMB + longer / 2) / longer).max(1);
    ThumbSize { width: fit(width), height: fit(height) }
}

/// A frame in the size of a thumbnail: linear, premultiplied RGBA.
pub(super) fn reduce(frame: &Frame<'_>, to: ThumbSize) -> Vec<f32> {
    let pixels: Vec<f32> =
        frame.pixels().iter().flat_map(|pixel| linear_premultiplied(*pixel)).collect();
    // Bilinear averages over the whole footprint when it reduces and cannot ring, as Lanczos does
    // around hair in front of a glow.
    let algorithm = if to.width > frame.width {
        ResizeAlg::Nearest
    } else {
        ResizeAlg::Convolution(FilterType::Bilinear)
    };
    filtered(&pixels, [frame.width, frame.height], [to.width, to.height], algorithm)
}

impl Ground {
    /// One pixel of a thumbnail over this ground, as display values.
    fn under(self, [r, g, b, a]: [f32; 4], x: usize, y: usize) -> [u8; 3] {
        let ground = match self {
            Self::Checker(tones) => tones[(x / CHECK + y / CHECK) % 2],
            Self::Flat(color) => color,
            // As the value itself, not as light: the way viewers show a single channel.
            Self::Alpha => return [quantize_8(a); 3],
        };
        std::array::from_fn(|channel| {
            let behind = to_linear(f32::from(ground[channel]) / 255.0);
            quantize_8(to_display([r, g, b][channel] + behind * (1.0 - a)))
        })
    }
}

/// A sheet that is drawn on.
pub(super) struct Canvas {
    size: ThumbSize,
    rgb: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { size: ThumbSize { width, height }, rgb: SURROUND.repeat(width * height) }
    }

    /// Sets a pixel; one outside is left out, as a number wider than a narrow column may be.
    fn set(&mut self, x: usize, y: usize, color: [u8; 3]) {
        if x < self.size.width && y < self.size.height {
            let at = (y * self.size.width + x) * 3;
            self.rgb[at..at + 3].copy_from_slice(&color);
        }
    }

    /// A thumbnail of [`reduce`], so wide, over a ground.
    pub(super) fn thumb(
        &mut self,
        [left, top]: [usize; 2],
        thumb: &[f32],
        width: usize,
        ground: Ground,
    ) {
        for (place, pixel) in thumb.as_chunks::<4>().0.iter().enumerate() {
            let (x, y) = (place % width, place / width);
            self.set(left + x, top + y, ground.under(*pixel, x, y));
        }
    }

    /// A frame number, as in the file names.
    fn number(&mut self, left: usize, top: usize, number: usize) {
        self.text(left, top, &format!("{number:04}"));
    }

    /// Letters of ASCII in a line.
    pub(super) fn text(&mut self, left: usize, top: usize, text: &str) {
        let letters = text.chars().filter_map(|c| get_raster(c, FontWeight::Regular, LETTERS));
        let mut left = left;
        for letter in letters {
            for (y, row) in letter.rows().enumerate() {
                for (x, &ink) in row.iter().enumerate() {
                    self.set(left + x, top + y, inked(ink));
                }
            }
            left += letter.width();
        }
    }

    /// Width, height and 8-bit RGB.
    pub(super) fn into_rgb(self) -> (usize, usize, Vec<u8>) {
        (self.size.width, self.size.height, self.rgb)
    }
}

/// The surround under so much ink, of 255.
fn inked(ink: u8) -> [u8; 3] {
    let mixed = |behind: u8, before: u8| {
        let (behind, before, ink) = (u32::from(behind), u32::from(before), u32::from(ink));
        ((behind * (255 - ink) + before * ink + 127) / 255) as u8
    };
    std::array::from_fn(|channel| mixed(SURROUND[channel], INK[channel]))
}

#[cfg(test)]
mod tests {
    use noto_sans_mono_bitmap::get_raster_width;

    use super::*;

    fn sheet_of(width: usize, height: usize, frames: usize, pixel: [f32; 4]) -> ContactSheet {
        let rgba = pixel.repeat(width * height);
        let mut sheet = ContactSheet::new(frames, width, height);
        for index in 0..frames {
            sheet.offer(&Frame { index, width, height, rgba: &rgba });
        }
        sheet
    }

    /// The pixel in the middle of a row's first thumbnail, and of the square right of it.
    fn middle(sheet: &ContactSheet, row: usize, right: usize) -> [u8; 3] {
        let (width, _, rgb) = sheet.draw();
        let x = GUTTER + sheet.thumb.width / 2 + right;
        let y = LABEL + GUTTER + row * (sheet.thumb.height + GUTTER) + sheet.thumb.height / 2;
        let at = (y * width + x) * 3;
        [rgb[at], rgb[at + 1], rgb[at + 2]]
    }

    #[test]
    fn frames_are_spread_from_first_to_last() {
        assert_eq!(spread(81), [0, 16, 32, 48, 64, 80]);
        assert_eq!(spread(17), [0, 3, 6, 10, 13, 16]);
        assert_eq!(spread(5), [0, 1, 2, 3, 4]);
        assert_eq!(spread(1), [0]);
    }

    #[test]
    fn thumbnails_fit_large_frames_and_multiply_small_ones() {
        let size = |width, height| ThumbSize { width, height };
        assert_eq!(thumb_size(832, 480), size(320, 185));
        assert_eq!(thumb_size(480, 832), size(185, 320));
        assert_eq!(thumb_size(64, 48), size(320, 240));
        assert_eq!(thumb_size(208, 120), size(208, 120));
        assert_eq!(thumb_size(16000, 16), size(320, 1));
    }

    #[test]
    fn memory_is_that_of_six_thumbnails_however_long_the_take() {
        let sheet = sheet_of(32, 16, 401, [1.0; 4]);
        assert_eq!(sheet.thumbs.len(), COLUMNS);
        let (width, height, rgb) = sheet.draw();
        assert_eq!((width, height), (8 + 6 * 328, 19 + 8 + 4 * 168));
        assert_eq!(rgb.len(), width * height * 3);
    }

    #[test]
    fn transparent_shows_the_grounds_whatever_its_color() {
        let sheet = sheet_of(64, 64, 1, [1.0, 0.0, 1.0, 0.0]);
        let mut tones = [middle(&sheet, 0, 0), middle(&sheet, 0, CHECK)];
        tones.sort_unstable();
        assert_eq!(tones, [[96; 3], [144; 3]]);
        assert_eq!(middle(&sheet, 1, 0), [12, 13, 16]);
        assert_eq!(middle(&sheet, 2, 0), [64, 128, 214]);
        assert_eq!(middle(&sheet, 3, 0), [0; 3]);
    }

    #[test]
    fn opaque_shows_itself_in_every_row() {
        let sheet = sheet_of(832, 480, 1, [0.8, 0.4, 0.2, 1.0]);
        for row in 0..3 {
            assert_eq!(middle(&sheet, row, 0), [204, 102, 51]);
        }
        assert_eq!(middle(&sheet, 3, 0), [255; 3]);
    }

    #[test]
    fn half_transparent_is_mixed_as_light() {
        let sheet = sheet_of(64, 64, 1, [1.0, 1.0, 1.0, 0.5]);
        // Half of white's light and half of the ground's (64, 128, 214), worked out to 30
        // digits; mixed as display values it would be [160, 192, 235].
        assert_eq!(middle(&sheet, 2, 0), [192, 205, 236]);
        assert_eq!(middle(&sheet, 3, 0), [128; 3]);
    }

    #[test]
    fn numbers_are_legible_and_each_digit_has_its_place() {
        let wide = get_raster_width(FontWeight::Regular, LETTERS);
        let draw = |number: usize| {
            let mut canvas = Canvas::new(4 * wide, LETTERS.val());
            canvas.number(0, 0, number);
            canvas.rgb
        };
        let (one, other) = (draw(4071), draw(4079));
        let differ = one.chunks(3).zip(other.chunks(3)).enumerate();
        let columns: Vec<_> =
            differ.filter(|(_, (a, b))| a != b).map(|(at, _)| at % (4 * wide)).collect();
        assert!(!columns.is_empty() && columns.iter().all(|x| *x >= 3 * wide), "{columns:?}");
        for place in 0..4 {
            let brightest =
                one.chunks(3).enumerate().filter(|(at, _)| at % (4 * wide) / wide == place);
            assert!(brightest.map(|(_, pixel)| pixel[0]).max() > Some(150), "digit {place}");
        }
    }
}
