//! Drawing by the host: the Draw Suite of OpenFX 1.5.

use std::ffi::{CString, c_int, c_void};
use std::marker::PhantomData;

use openfx_sys::{
    OfxDrawContextHandle, OfxDrawPrimitive, OfxDrawPrimitive_kOfxDrawPrimitiveLineLoop,
    OfxDrawPrimitive_kOfxDrawPrimitiveLineStrip, OfxDrawPrimitive_kOfxDrawPrimitiveLines,
    OfxDrawPrimitive_kOfxDrawPrimitivePolygon, OfxDrawSuiteV1,
    OfxDrawTextAlignment_kOfxDrawTextAlignmentBaseline,
    OfxDrawTextAlignment_kOfxDrawTextAlignmentLeft, OfxPointD, OfxRGBAColourF,
    OfxStandardColour_kOfxStandardColourOverlayActive,
};

use super::{Host, call_suite};
use crate::surface::{Color, Figure, OverlayCanvas, Point};

/// The canvas of the host's Draw Suite, for the length of one draw action.
pub(crate) struct DrawSuiteCanvas<'a> {
    suite: &'static OfxDrawSuiteV1,
    context: OfxDrawContextHandle,
    /// Whether anything can be seen.
    has_drawn: bool,
    lent: PhantomData<&'a ()>,
}

impl DrawSuiteCanvas<'_> {
    /// None where the host has no such suite, or gave no context.
    ///
    /// # Safety
    /// A context that is not null must be one of this host's, valid for the lifetime.
    pub(super) unsafe fn new(host: Host, context: *mut c_void) -> Option<Self> {
        if context.is_null() {
            return None;
        }
        let context = context.cast();
        Some(Self { suite: host.draw?, context, has_drawn: false, lent: PhantomData })
    }

    /// Whether the host has drawn any figure.
    pub(crate) fn has_drawn(&self) -> bool {
        self.has_drawn
    }
}

impl OverlayCanvas for DrawSuiteCanvas<'_> {
    fn preferred_color(&self) -> Option<Color> {
        let which = OfxStandardColour_kOfxStandardColourOverlayActive;
        let mut color = OfxRGBAColourF { r: 0.0, g: 0.0, b: 0.0, a: 0.0 };
        // SAFETY: the context is valid during the action, and the color ours.
        unsafe { call_suite!(self.suite, getColour(self.context, which, &raw mut color)) }.ok()?;
        Some(Color([color.r, color.g, color.b, color.a]))
    }

    fn set_color(&mut self, Color([r, g, b, a]): Color) {
        let color = OfxRGBAColourF { r, g, b, a };
        // SAFETY: as above; the host copies the color before it returns.
        let _ = unsafe { call_suite!(self.suite, setColour(self.context, &raw const color)) };
    }

    fn set_line_width(&mut self, pixels: f32) {
        // SAFETY: as above.
        let _ = unsafe { call_suite!(self.suite, setLineWidth(self.context, pixels)) };
    }

    fn draw_figure(&mut self, figure: Figure, points: &[Point]) {
        let points: Vec<_> = points.iter().map(|&[x, y]| OfxPointD { x, y }).collect();
        let Ok(count) = c_int::try_from(points.len()) else { return };
        let (primitive, points) = (primitive(figure), points.as_ptr());
        // SAFETY: as above; so many points are there until the call returns.
        let drawn =
            unsafe { call_suite!(self.suite, draw(self.context, primitive, points, count)) };
        self.has_drawn |= drawn.is_ok();
    }

    fn draw_text(&mut self, [x, y]: Point, text: &str) {
        // A NUL in the middle ends it for the host, too.
        let text = CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default();
        let at = OfxPointD { x, y };
        let alignment = OfxDrawTextAlignment_kOfxDrawTextAlignmentLeft
            | OfxDrawTextAlignment_kOfxDrawTextAlignmentBaseline;
        let (text, alignment) = (text.as_ptr(), alignment as c_int);
        // SAFETY: as above; text and point are there until the call returns.
        let _ = unsafe {
            call_suite!(self.suite, drawText(self.context, text, &raw const at, alignment))
        };
    }
}

fn primitive(figure: Figure) -> OfxDrawPrimitive {
    match figure {
        Figure::Lines => OfxDrawPrimitive_kOfxDrawPrimitiveLines,
        Figure::Strip => OfxDrawPrimitive_kOfxDrawPrimitiveLineStrip,
        Figure::Loop => OfxDrawPrimitive_kOfxDrawPrimitiveLineLoop,
        Figure::Polygon => OfxDrawPrimitive_kOfxDrawPrimitivePolygon,
    }
}
