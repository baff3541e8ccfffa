//! A picture of the host as an image that a take begins with: straight and display-referred.

#![forbid(unsafe_code)]

use super::pixel::pixel_of;
use super::transfer::Transfer;
use crate::surface::{ClipAlpha, PixelSource, Window};

/// What is captured of a picture.
#[derive(Debug)]
pub struct Captured {
    /// Straight, display-referred RGBA in \[0, 1\], row 0 on top.
    pub rgba: Vec<f32>,
    /// How many pixels had a color that no display shows, above 1 or below 0, and were cut to it.
    pub cut: usize,
}

/// The pixels of a window of a picture whose colors are in the space `transfer`. Where the picture has
/// none, they are transparent; what is not a finite number counts as 0.
#[must_use]
pub fn captured(
    image: &dyn PixelSource,
    window: Window,
    alpha: ClipAlpha,
    transfer: Transfer,
) -> Captured {
    /// By so much rounding puts colors beyond the ends.
    const ROUNDING: f32 = 1e-3;
    let depth = image.depth();
    let mut captured =
        Captured { rgba: Vec::with_capacity(window.width() * window.height() * 4), cut: 0 };
    for y in (window.y1..window.y2).rev() {
        let (first, bytes) = image.row(y);
        for x in window.x1..window.x2 {
            let at = usize::try_from(i64::from(x) - i64::from(first)).ok();
            let bytes = at.and_then(|at| bytes.get(at.checked_mul(depth.pixel_bytes())?..));
            let bytes = bytes.filter(|bytes| bytes.len() >= depth.pixel_bytes());
            let pixel = bytes.map_or([0.0; 4], |bytes| straight(pixel_of(bytes, depth), alpha));
            let [r, g, b, a] = pixel;
            let color = if a > 0.0 { transfer.to_display([r, g, b]) } else { [0.0; 3] };
            let is_within = |value: &f32| (-ROUNDING..=1.0 + ROUNDING).contains(value);
            captured.cut += usize::from(!color.iter().all(is_within));
            captured.rgba.extend(color.map(|value| value.clamp(0.0, 1.0)));
            captured.rgba.push(a);
        }
    }
    captured
}

/// A pixel whose color is not multiplied, its alpha within 0 and 1.
fn straight([r, g, b, a]: [f32; 4], alpha: ClipAlpha) -> [f32; 4] {
    match alpha {
        ClipAlpha::Opaque => [r, g, b, 1.0],
        ClipAlpha::Straight => [r, g, b, a.clamp(0.0, 1.0)],
        ClipAlpha::Premultiplied if a > 0.0 => [r / a, g / a, b / a, a.min(1.0)],
        ClipAlpha::Premultiplied => [0.0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::Depth;
    use wan_alpha_take::color::to_linear;

    /// Rows of float pixels, the lowest first, from column 2 and row 5 on.
    #[derive(Debug)]
    struct Rows(Vec<Vec<u8>>);

    impl Rows {
        fn new(rows: &[&[[f32; 4]]]) -> Self {
            let row = |row: &&[[f32; 4]]| {
                row.iter().flatten().flat_map(|value| value.to_ne_bytes()).collect()
            };
            Self(rows.iter().map(row).collect())
        }
    }

    impl PixelSource for Rows {
        fn depth(&self) -> Depth {
            Depth::Float
        }

        fn row(&self, y: i32) -> (i32, &[u8]) {
            let row = usize::try_from(y - 5).ok().and_then(|row| self.0.get(row));
            (2, row.map(Vec::as_slice).unwrap_or_default())
        }
    }

    #[test]
    fn rows_are_turned_and_nothing_lies_beyond_the_picture() {
        let rows = Rows::new(&[&[[0.1, 0.0, 0.0, 1.0]], &[[0.2, 0.0, 0.0, 1.0]]]);
        let window = Window { x1: 1, y1: 4, x2: 3, y2: 7 };
        let found = captured(&rows, window, ClipAlpha::Straight, Transfer::AsGenerated);
        let channel = |at: usize| found.rgba.chunks(4).map(move |pixel| pixel[at]);
        // The upper row first; column 1 and row 4 are outside.
        assert!(channel(0).eq([0.0, 0.2, 0.0, 0.1, 0.0, 0.0]));
        assert!(channel(3).eq([0.0, 1.0, 0.0, 1.0, 0.0, 0.0]));
    }

    #[test]
    fn colors_come_back_in_every_space_and_alpha() {
        let color = [0.8, 0.3, 0.1];
        let window = Window { x1: 2, y1: 5, x2: 3, y2: 6 };
        for transfer in [Transfer::AsGenerated, Transfer::LinearRec709, Transfer::AcesCg] {
            let [r, g, b] = transfer.of_display(color);
            for (alpha, carried, expected) in [
                (ClipAlpha::Opaque, [r, g, b, 0.0], 1.0),
                (ClipAlpha::Straight, [r, g, b, 0.5], 0.5),
                (ClipAlpha::Premultiplied, [r / 2.0, g / 2.0, b / 2.0, 0.5], 0.5),
            ] {
                let found = captured(&Rows::new(&[&[carried]]), window, alpha, transfer);
                for (found, expected) in found.rgba.iter().zip(color) {
                    assert!((found - expected).abs() < 2e-5, "{transfer:?} {alpha:?} {found}");
                }
                assert_eq!((found.rgba[3], found.cut), (expected, 0));
            }
        }
    }

    #[test]
    fn what_a_display_cannot_show_is_cut_and_counted() {
        let bright = [to_linear(0.5), 4.0, -0.2, 1.0];
        let rows = Rows::new(&[&[bright, [f32::NAN, 0.0, 0.0, f32::NAN]]]);
        let window = Window { x1: 2, y1: 5, x2: 4, y2: 6 };
        let found = captured(&rows, window, ClipAlpha::Straight, Transfer::LinearRec709);
        assert!((found.rgba[0] - 0.5).abs() < 1e-6);
        assert_eq!(found.rgba[1..], [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(found.cut, 1);
    }
}
