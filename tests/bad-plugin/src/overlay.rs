//! A cross at `centre`, which can be dragged.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use openfx_sys::*;

use crate::entry::{OK, REPLY_DEFAULT};
use crate::ofx::{Props, Suites, call};

/// The context of an earlier drawing.
static KEPT: AtomicPtr<OfxDrawContext> = AtomicPtr::new(ptr::null_mut());

pub(crate) fn act(
    suites: &Suites,
    action: &str,
    interact: OfxInteractHandle,
    told: Props,
) -> c_int {
    if !action.starts_with("OfxInteract") {
        return REPLY_DEFAULT;
    }
    let effect: OfxImageEffectHandle = suites.pointer(told, c"OfxPropEffectInstance").cast();
    let mischief = suites.mischief(effect);
    match action {
        "OfxInteractActionDraw" => draw(suites, effect, interact, told, mischief),
        "OfxInteractActionPenDown" => OK,
        "OfxInteractActionPenMotion" => {
            if let (Some(suite), false) = (suites.interact, mischief == "draw later") {
                call!(suite, interactRedraw(interact));
            }
            if let (Some(suite), true) = (suites.draw, mischief == "draw later") {
                call!(suite, setLineWidth(KEPT.load(Ordering::Relaxed), 2.0));
            }
            OK
        }
        "OfxInteractActionPenUp" => {
            let [x, y] = [0, 1].map(|n| suites.double(told, c"OfxInteractPropPenPosition", n));
            let center = suites.param(effect, c"centre");
            call!(suites.parameter, paramSetValue(center, x / 100.0, y / 100.0));
            OK
        }
        _ => REPLY_DEFAULT,
    }
}

fn draw(
    suites: &Suites,
    effect: OfxImageEffectHandle,
    interact: OfxInteractHandle,
    told: Props,
    mischief: &str,
) -> c_int {
    if let (Some(suite), "draw in draw") = (suites.interact, mischief) {
        call!(suite, interactRedraw(interact));
    }
    let context: OfxDrawContextHandle = suites.pointer(told, c"OfxInteractPropDrawContext").cast();
    let Some(draw) = suites.draw.filter(|_| !context.is_null()) else { return OK };
    KEPT.store(context, Ordering::Relaxed);
    let time = suites.double(told, c"OfxPropTime", 0);
    let (mut x, mut y) = (0.0_f64, 0.0_f64);
    let center = suites.param(effect, c"centre");
    call!(suites.parameter, paramGetValueAtTime(center, time, &raw mut x, &raw mut y));
    let (x, y) = (x * 100.0, y * 100.0);
    let color = OfxRGBAColourF { r: 1.0, g: 0.5, b: 0.0, a: 1.0 };
    call!(draw, setColour(context, &raw const color));
    call!(draw, setLineWidth(context, 3.0));
    let points = [(-5.0, 0.0), (5.0, 0.0), (0.0, -5.0), (0.0, 5.0)];
    let points = points.map(|(dx, dy)| OfxPointD { x: x + dx, y: y + dy });
    call!(draw, draw(context, OfxDrawPrimitive_kOfxDrawPrimitiveLines, points.as_ptr(), 4));
    let at = OfxPointD { x, y };
    call!(draw, drawText(context, c"centre".as_ptr(), &raw const at, 1));
    OK
}
