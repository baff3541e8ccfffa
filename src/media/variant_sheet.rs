//! The picture of takes that differ in their seeds alone: one frame of each over a checkerboard, and its
//! number and its seed under it.

use noto_sans_mono_bitmap::{FontWeight, get_raster_width};
use wan_alpha_take::frame::Frame;

use super::contact_sheet::{
    CHECKER, Canvas, GUTTER, LABEL, LETTERS, ThumbSize, reduce, thumb_size,
};

/// What the file of one is called.
pub(crate) const FILE_NAME: &str = "variants.png";

/// The most letters of a label.
const LABEL_LETTERS: usize = "64: seed 4294967295".len();

/// Collects a frame of each take, as they are made.
pub(crate) struct VariantSheet {
    thumb: ThumbSize,
    cells: Vec<VariantCell>,
}

struct VariantCell {
    label: String,
    /// None while its take is not made.
    thumb: Option<Vec<f32>>,
}

impl VariantSheet {
    /// A sheet of takes of a size with these seeds, of which none has been seen.
    pub(crate) fn new(seeds: &[u32], width: usize, height: usize) -> Self {
        let label = |(place, seed): (usize, &u32)| format!("{}: seed {seed}", place + 1);
        let cells = seeds.iter().enumerate().map(label);
        let cells = cells.map(|label| VariantCell { label, thumb: None }).collect();
        Self { thumb: thumb_size(width, height), cells }
    }

    /// Takes the frame that stands for the take at a place, counted from 0.
    pub(crate) fn show(&mut self, place: usize, frame: &Frame<'_>) {
        if let Some(cell) = self.cells.get_mut(place) {
            cell.thumb = Some(reduce(frame, self.thumb));
        }
    }

    /// The sheet as far as takes have been seen, as width, height and 8-bit RGB: as many columns as rows, or
    /// one more.
    pub(crate) fn draw(&self) -> (usize, usize, Vec<u8>) {
        let ThumbSize { width, height } = self.thumb;
        let letter = get_raster_width(FontWeight::Regular, LETTERS);
        let step = [width.max(LABEL_LETTERS * letter) + GUTTER, height + LABEL + GUTTER];
        let columns = (1..).find(|side| side * side >= self.cells.len()).unwrap_or(1);
        let rows = self.cells.len().div_ceil(columns);
        let mut sheet = Canvas::new(GUTTER + columns * step[0], GUTTER + rows * step[1]);
        for (place, cell) in self.cells.iter().enumerate() {
            let [x, y] = [place % columns, place / columns];
            let [x, y] = [GUTTER + x * step[0], GUTTER + y * step[1]];
            if let Some(thumb) = &cell.thumb {
                sheet.thumb([x, y], thumb, width, CHECKER);
            }
            sheet.text(x, y + height + 2, &cell.label);
        }
        sheet.into_rgb()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pixel of a sheet of frames of 64 × 64 pixels, by its cell and its place in there.
    fn pixel(sheet: &VariantSheet, [column, row]: [usize; 2], [x, y]: [usize; 2]) -> [u8; 3] {
        let (width, _, rgb) = sheet.draw();
        let x = GUTTER + column * (320 + GUTTER) + x;
        let y = GUTTER + row * (320 + LABEL + GUTTER) + y;
        let at = (y * width + x) * 3;
        [rgb[at], rgb[at + 1], rgb[at + 2]]
    }

    #[test]
    fn each_take_has_its_cell_with_its_seed_under_it_and_those_to_come_are_empty() {
        let mut sheet = VariantSheet::new(&[3, 5, 9, 4_294_967_295, 1], 64, 64);
        let (width, height, rgb) = sheet.draw();
        assert_eq!((width, height), (8 + 3 * 328, 8 + 2 * (328 + LABEL)));
        assert_eq!(rgb.len(), width * height * 3);
        let surround = pixel(&sheet, [1, 1], [160, 160]);
        let red = [1.0, 0.0, 0.0, 1.0].repeat(64 * 64);
        sheet.show(4, &Frame { index: 0, width: 64, height: 64, rgba: &red });
        assert_eq!(pixel(&sheet, [1, 1], [160, 160]), [255, 0, 0]);
        assert_eq!(pixel(&sheet, [0, 1], [160, 160]), surround);
        let clear = [0.0; 4].repeat(64 * 64);
        sheet.show(0, &Frame { index: 0, width: 64, height: 64, rgba: &clear });
        assert!([[96; 3], [144; 3]].contains(&pixel(&sheet, [0, 0], [160, 160])));
        // Every cell has letters under it, made or not.
        for cell in [[0, 0], [2, 0], [1, 1]] {
            let under = (0..160).flat_map(|x| (0..LABEL).map(move |y| [x, 320 + y]));
            assert!(under.into_iter().any(|place| pixel(&sheet, cell, place)[0] > 120), "{cell:?}");
        }
    }

    #[test]
    fn takes_that_are_narrower_than_their_label_have_room_for_it() {
        let letter = get_raster_width(FontWeight::Regular, LETTERS);
        let (width, ..) = VariantSheet::new(&[1, 2], 16, 4096).draw();
        assert_eq!(width, GUTTER + 2 * (LABEL_LETTERS * letter + GUTTER));
    }
}
