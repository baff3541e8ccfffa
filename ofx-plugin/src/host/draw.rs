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

use super::{Host, ask};
use crate::overlay::{Canvas, Colour, Figure, Point};

/// The host's drawing, for the length of one draw action.
pub(crate) struct Drawing<'a> {
    suite: &'static OfxDrawSuiteV1,
    context: OfxDrawContextHandle,
    /// Whether anything can be seen.
    has_drawn: bool,
    lent: PhantomData<&'a ()>,
}

impl Drawing<'_> {
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

impl Canvas for Drawing<'_> {
    fn preferred(&self) -> Option<Colour> {
        let which = OfxStandardColour_kOfxStandardColourOverlayActive;
        let mut colour = OfxRGBAColourF { r: 0.0, g: 0.0, b: 0.0, a: 0.0 };
        // SAFETY: the context is valid during the action, and the colour ours.
        unsafe { ask!(self.suite, getColour(self.context, which, &raw mut colour)) }.ok()?;
        Some(Colour([colour.r, colour.g, colour.b, colour.a]))
    }

    fn colour(&mut self, Colour([r, g, b, a]): Colour) {
        let colour = OfxRGBAColourF { r, g, b, a };
        // SAFETY: as above; the host copies the colour before it returns.
        let _ = unsafe { ask!(self.suite, setColour(self.context, &raw const colour)) };
    }

    fn line_width(&mut self, pixels: f32) {
        // SAFETY: as above.
        let _ = unsafe { ask!(self.suite, setLineWidth(self.context, pixels)) };
    }

    fn draw(&mut self, figure: Figure, points: &[Point]) {
        let points: Vec<_> = points.iter().map(|&[x, y]| OfxPointD { x, y }).collect();
        let Ok(count) = c_int::try_from(points.len()) else { return };
        let (primitive, points) = (primitive(figure), points.as_ptr());
        // SAFETY: as above; so many points are there until the call returns.
        let drawn = unsafe { ask!(self.suite, draw(self.context, primitive, points, count)) };
        self.has_drawn |= drawn.is_ok();
    }

    fn write(&mut self, [x, y]: Point, text: &str) {
        // A NUL in the middle ends it for the host, too.
        let text = CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default();
        let at = OfxPointD { x, y };
        let alignment = OfxDrawTextAlignment_kOfxDrawTextAlignmentLeft
            | OfxDrawTextAlignment_kOfxDrawTextAlignmentBaseline;
        let (text, alignment) = (text.as_ptr(), alignment as c_int);
        // SAFETY: as above; text and point are there until the call returns.
        let _ = unsafe { ask!(self.suite, drawText(self.context, text, &raw const at, alignment)) };
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
