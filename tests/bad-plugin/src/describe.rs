//! What a host learns.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use openfx_sys::*;

use crate::entry::{OK, overlay_entry};
use crate::ofx::{Props, Suites, call};

pub(crate) fn describe(suites: &Suites, effect: OfxImageEffectHandle, bad: &str) -> c_int {
    static TIMES: AtomicU32 = AtomicU32::new(0);
    let set = suites.effect_properties(effect);
    let once = TIMES.fetch_add(1, Ordering::Relaxed) == 0;
    let label = if bad == "another label each time" && once { c"First" } else { c"Bad" };
    suites.set_text(set, c"OfxPropLabel", 0, label);
    suites.set_text(set, c"OfxImageEffectPluginPropGrouping", 0, c"Test");
    let contexts = [c"OfxImageEffectContextGenerator", c"OfxImageEffectContextGeneral"];
    for (at, context) in (0..).zip(contexts) {
        suites.set_text(set, c"OfxImageEffectPropSupportedContexts", at, context);
    }
    let depths = [c"OfxBitDepthFloat", c"OfxBitDepthHalf", c"OfxBitDepthShort", c"OfxBitDepthByte"];
    for (at, depth) in (0..).zip(depths) {
        suites.set_text(set, c"OfxImageEffectPropSupportedPixelDepths", at, depth);
    }
    let safe = c"OfxImageEffectRenderFullySafe";
    suites.set_text(set, c"OfxImageEffectPluginRenderThreadSafety", 0, safe);
    if bad == "wrong property type" {
        suites.set_int(set, c"OfxPropLabel", 0, 1);
    }
    let entry: unsafe extern "C" fn(_, _, _, _) -> _ = overlay_entry;
    let entry = entry as *mut std::ffi::c_void;
    for name in
        [c"OfxImageEffectPluginPropOverlayInteractV1", c"OfxImageEffectPluginPropOverlayInteractV2"]
    {
        call!(suites.property, propSetPointer(set, name.as_ptr(), 0, entry));
    }
    OK
}

fn clip(suites: &Suites, effect: OfxImageEffectHandle, name: &CStr) -> Props {
    let mut set = ptr::null_mut();
    call!(suites.effect, clipDefine(effect, name.as_ptr(), &raw mut set));
    let rgba = c"OfxImageComponentRGBA";
    suites.set_text(set, c"OfxImageEffectPropSupportedComponents", 0, rgba);
    set
}

pub(crate) fn in_context(
    suites: &Suites,
    effect: OfxImageEffectHandle,
    told: Props,
    bad: &str,
) -> c_int {
    let context = suites.text(told, c"OfxImageEffectPropContext");
    if context.as_c_str() == c"OfxImageEffectContextGeneral" {
        let source = clip(suites, effect, c"Source");
        suites.set_int(source, c"OfxImageClipPropOptional", 0, 1);
    }
    clip(suites, effect, c"Output");
    let set = suites.param_set(effect);
    let define = |kind: &CStr, id: &CStr| {
        let mut properties = ptr::null_mut();
        call!(suites.parameter, paramDefine(set, kind.as_ptr(), id.as_ptr(), &raw mut properties));
        properties
    };
    let panel = define(c"OfxParamTypeGroup", c"panel");
    suites.set_int(panel, c"OfxParamPropGroupOpen", 0, 1);
    let mischief = define(c"OfxParamTypeChoice", c"mischief");
    for (at, option) in (0..).zip(crate::MISCHIEFS) {
        let option = std::ffi::CString::new(*option).unwrap_or_default();
        suites.set_text(mischief, c"OfxParamPropChoiceOption", at, &option);
    }
    suites.set_int(mischief, c"OfxParamPropAnimates", 0, 0);
    let level = define(c"OfxParamTypeDouble", c"level");
    let range = |set, name: &CStr, values: &[f64]| suites.set_doubles(set, name, values);
    range(level, c"OfxParamPropMin", &[0.0]);
    range(level, c"OfxParamPropMax", &[1.0]);
    let default = if bad == "default out of range" { 3.0 } else { 0.5 };
    range(level, c"OfxParamPropDefault", &[default]);
    let center = define(c"OfxParamTypeDouble2D", c"centre");
    range(center, c"OfxParamPropDefault", &[0.5, 0.5]);
    range(center, c"OfxParamPropMin", &[-2.0, -2.0]);
    range(center, c"OfxParamPropMax", &[3.0, 3.0]);
    let unbounded = define(c"OfxParamTypeDouble", c"unbounded");
    range(unbounded, c"OfxParamPropDefault", &[0.25]);
    let color = define(c"OfxParamTypeRGBA", c"colour");
    range(color, c"OfxParamPropDefault", &[1.0, 0.5, 0.25, 1.0]);
    let count = define(c"OfxParamTypeInteger", c"count");
    suites.set_int(count, c"OfxParamPropMin", 0, 0);
    suites.set_int(count, c"OfxParamPropMax", 0, 1000);
    define(c"OfxParamTypeBoolean", c"flag");
    let text = define(c"OfxParamTypeString", c"text");
    suites.set_text(text, c"OfxParamPropDefault", 0, c"some words, rather many of them");
    let status = define(c"OfxParamTypeString", c"status");
    suites.set_int(status, c"OfxParamPropPersistant", 0, 0);
    suites.set_int(status, c"OfxParamPropEvaluateOnChange", 0, 0);
    suites.set_int(status, c"OfxParamPropCanUndo", 0, 0);
    define(c"OfxParamTypeCustom", c"custom");
    for button in [c"go", c"work", c"ask"] {
        let button = define(c"OfxParamTypePushButton", button);
        suites.set_text(button, c"OfxParamPropParent", 0, c"panel");
    }
    let page = define(c"OfxParamTypePage", c"page");
    suites.set_text(page, c"OfxParamPropPageChild", 0, c"level");
    if bad == "defined twice" {
        define(c"OfxParamTypeInteger", c"count");
    }
    if bad == "value while describing" {
        suites.int_param(effect, c"count");
    }
    OK
}
