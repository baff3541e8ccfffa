//! A picture to plot on whose letters are those of a bitmap font: the machine that trains may have no
//! font at all, and a font of outlines takes five crates to draw.

#![forbid(unsafe_code)]

use noto_sans_mono_bitmap::{
    FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width,
};
use plotters::prelude::{BitMapBackend, DrawingBackend};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind,
};

/// The one size of all text, whatever size a style asks for.
const HEIGHT: RasterHeight = RasterHeight::Size16;
const WEIGHT: FontWeight = FontWeight::Regular;

/// What plotters draws on; all but letters is the bitmap's own.
pub(super) struct LetteredBackend<'a>(pub(super) BitMapBackend<'a>);

type BitmapError = <BitMapBackend<'static> as DrawingBackend>::ErrorType;
type PlotterResult = Result<(), DrawingErrorKind<BitmapError>>;

impl DrawingBackend for LetteredBackend<'_> {
    type ErrorType = BitmapError;

    fn get_size(&self) -> (u32, u32) {
        self.0.get_size()
    }

    fn ensure_prepared(&mut self) -> PlotterResult {
        self.0.ensure_prepared()
    }

    fn present(&mut self) -> PlotterResult {
        self.0.present()
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> PlotterResult {
        self.0.draw_pixel(point, color)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> PlotterResult {
        self.0.draw_line(from, to, style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> PlotterResult {
        self.0.draw_rect(upper_left, bottom_right, style, fill)
    }

    fn draw_text<T: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &T,
        at: BackendCoord,
    ) -> PlotterResult {
        let (width, height) = size_of(text);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Right => -width,
            HPos::Center => -width / 2,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        let color = style.color();
        for (place, glyph) in glyphs(text).enumerate() {
            for (row, pixels) in glyph.rows().enumerate() {
                for (column, coverage) in pixels.iter().enumerate().filter(|(_, one)| **one > 0) {
                    let x = left + (place * glyph.width() + column) as i32;
                    let (x, y) = style.transform().transform(x, top + row as i32);
                    let color = color.mix(f64::from(*coverage) / 255.0);
                    self.0.draw_pixel((at.0 + x, at.1 + y), color)?;
                }
            }
        }
        Ok(())
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        _style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<BitmapError>> {
        let (width, height) = size_of(text);
        Ok((width.unsigned_abs(), height.unsigned_abs()))
    }
}

/// Letters that the font lacks are question marks.
fn glyphs(text: &str) -> impl Iterator<Item = RasterizedChar> {
    let glyph = |letter| get_raster(letter, WEIGHT, HEIGHT);
    text.chars().filter_map(move |letter| glyph(letter).or_else(|| glyph('?')))
}

/// Width and height of a line in pixels.
fn size_of(text: &str) -> (i32, i32) {
    let width = text.chars().count() * get_raster_width(WEIGHT, HEIGHT);
    (width as i32, HEIGHT.val() as i32)
}
