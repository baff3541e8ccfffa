//! Draw suite, version 1 (OpenFX 1.5): everything drawn is written down.

#![allow(unsafe_code, reason = "functions that C calls, and arrays as pointer and count")]

use std::ffi::{c_char, c_int, c_uint};
use std::sync::Arc;

use openfx_sys::{OfxDrawContextHandle, OfxDrawSuiteV1, OfxPointD, OfxRGBAColourF};

use crate::boundary::{Place, Several, Text, suite_functions, without};
use crate::doing;
use crate::overlay::{Canvas, Shape, Stroke};
use crate::rules::Rule;
use crate::status::Status;

/// Background, active, selected, deselected, marquee and what is behind it, text.
const STANDARD: [[f32; 4]; 7] = [
    [0.0, 0.0, 0.0, 1.0],
    [0.0, 1.0, 0.0, 1.0],
    [1.0, 1.0, 0.0, 1.0],
    [0.8, 0.8, 0.8, 1.0],
    [1.0, 1.0, 1.0, 1.0],
    [0.0, 0.0, 0.0, 0.5],
    [1.0, 1.0, 1.0, 1.0],
];

/// The canvas is there while Draw is, and no longer.
fn drawn_on(canvas: &Arc<Canvas>) -> Result<(), Status> {
    let current = doing::now().and_then(|doing| doing.canvas.clone());
    if current.is_some_and(|current| Arc::ptr_eq(&current, canvas)) {
        return Ok(());
    }
    doing::fault(Rule::DrawInDraw, "something is drawn where nothing is".to_owned());
    Err(Status::FAILED)
}

fn all_finite(points: &[[f64; 2]]) -> Result<(), Status> {
    if points.iter().flatten().all(|value| value.is_finite()) {
        return Ok(());
    }
    doing::fault(Rule::SensibleAnswer, format!("points that are none are drawn: {points:?}"));
    Err(Status::ERR_VALUE)
}

suite_functions! {
    fn standard_color(canvas: Arc<Canvas> as OfxDrawContextHandle, which: u32 as c_uint, place: Place<OfxRGBAColourF> as *mut OfxRGBAColourF) {
        drawn_on(&canvas)?;
        let color = usize::try_from(which).ok().and_then(|which| STANDARD.get(which));
        let &[r, g, b, a] = color.ok_or(Status::ERR_VALUE)?;
        place.put(OfxRGBAColourF { r, g, b, a });
        Ok(())
    }

    fn color(canvas: Arc<Canvas> as OfxDrawContextHandle, color: Option<[f32; 4]> as *const OfxRGBAColourF) {
        drawn_on(&canvas)?;
        canvas.pen.lock().color = color.ok_or(Status::ERR_VALUE)?;
        Ok(())
    }

    fn width(canvas: Arc<Canvas> as OfxDrawContextHandle, width: f32 as f32) {
        drawn_on(&canvas)?;
        canvas.pen.lock().width = width;
        Ok(())
    }

    fn stipple(canvas: Arc<Canvas> as OfxDrawContextHandle, pattern: u32 as c_uint) {
        drawn_on(&canvas)?;
        canvas.pen.lock().stipple = pattern;
        Ok(())
    }

    fn primitive(canvas: Arc<Canvas> as OfxDrawContextHandle, shape: u32 as c_uint, points: Several<*const OfxPointD> as *const OfxPointD, many: i32 as c_int) {
        drawn_on(&canvas)?;
        let shape = Shape::numbered(shape).ok_or(Status::ERR_VALUE)?;
        let many = usize::try_from(many).map_err(|_| Status::ERR_VALUE)?;
        if !shape.takes(many) {
            let words = format!("{shape:?} is drawn with {many} points");
            doing::fault(Rule::SensibleAnswer, words);
            return Err(Status::ERR_VALUE);
        }
        // SAFETY: there are as many as the plug-in says.
        let points = unsafe { points.copied(many) };
        let points: Vec<_> = points.into_iter().map(|point| [point.x, point.y]).collect();
        all_finite(&points)?;
        let pen = *canvas.pen.lock();
        canvas.strokes.lock().push(Stroke { shape, points, text: String::new(), pen });
        Ok(())
    }

    fn text(canvas: Arc<Canvas> as OfxDrawContextHandle, text: Text as *const c_char, at: Option<[f64; 2]> as *const OfxPointD, alignment: i32 as c_int) {
        drawn_on(&canvas)?;
        let at = at.ok_or(Status::ERR_VALUE)?;
        all_finite(&[at])?;
        let pen = *canvas.pen.lock();
        let shape = Shape::Text { alignment };
        canvas.strokes.lock().push(Stroke { shape, points: vec![at], text: text.0, pen });
        Ok(())
    }
}

pub(super) fn suite(nulls: &[String]) -> OfxDrawSuiteV1 {
    let mut suite = OfxDrawSuiteV1 {
        getColour: Some(standard_color),
        setColour: Some(color),
        setLineWidth: Some(width),
        setLineStipple: Some(stipple),
        draw: Some(primitive),
        drawText: Some(text),
    };
    without!(suite, nulls, [getColour, setColour, setLineWidth, setLineStipple, draw, drawText]);
    suite
}
