//! How host and plug-in manage colors, as OpenFX 1.5 has it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::action::Action;
use crate::call::Call;
use crate::effect::Effect;
use crate::properties::{Item, PropertySet};
use crate::rules::Rule;
use crate::status::Status;

/// The configuration whose names of color spaces are used.
pub(crate) const CONFIGURATION: &str = "ofx-native-v1.5_aces-v1.3_ocio-v2.3";

/// Every style, each holding what those before it do.
const STYLES: [&str; 5] = [
    "OfxImageEffectColourManagementNone",
    "OfxImageEffectColourManagementBasic",
    "OfxImageEffectColourManagementCore",
    "OfxImageEffectColourManagementFull",
    "OfxImageEffectColourManagementOCIO",
];

/// Names of families, and some of single color spaces.
const BASIC: [&str; 5] =
    ["ofx_display_hdr", "ofx_display_sdr", "ofx_raw", "ofx_scene_linear", "ofx_scene_log"];
const CORE: [&str; 6] =
    ["srgb_tx", "lin_rec709_srgb", "ACEScg", "srgb_display", "ACES2065-1", "ACEScct"];

const STYLE: &str = "OfxImageEffectPropColourManagementStyle";
const COLORSPACE: &str = "OfxImageClipPropColourspace";

fn rank(style: &str) -> usize {
    STYLES.iter().position(|known| *known == style).unwrap_or(0)
}

/// Settles on the highest style that both have.
pub(crate) fn negotiate(effect: &Effect) {
    let Some(ours) = effect.host.profile.color_management else { return };
    let theirs = effect.properties.text(STYLE);
    let common = rank(ours).min(rank(&theirs));
    effect.properties.put(STYLE, [STYLES[common]]);
    effect.properties.put("OfxImageEffectPropColourManagementConfig", [CONFIGURATION]);
}

/// Asks for the color space of the output, where colors of the instance are managed, and keeps it.
pub(crate) fn output_colorspace(effect: &Arc<Effect>) {
    let style = rank(&effect.properties.text(STYLE));
    if effect.host.profile.color_management.is_none() || style == 0 {
        return;
    }
    let (status, space) = ask(effect);
    let is_known = BASIC.contains(&&*space) || (style >= 2 && CORE.contains(&&*space));
    if status == Status::OK && !is_known {
        let words =
            format!("the output is said to be in {space:?}, which {} has not", STYLES[style]);
        let during = format!("{} of {}", Action::GetOutputColourspace.name(), effect.title());
        effect.host.faults.add(Rule::SensibleAnswer, &during, words);
    }
    if let Some(output) = effect.clip("Output") {
        output.properties.put(COLORSPACE, [space]);
    }
}

/// Asks for the color space of the output, whatever was settled on.
pub(crate) fn ask(effect: &Arc<Effect>) -> (Status, String) {
    let reply = PropertySet::reply(&effect.host, &[(COLORSPACE, vec![Item::from("")])]);
    let mut call = Call::of(effect, Action::GetOutputColourspace);
    call.arguments().put("OfxImageClipPropPreferredColourspaces", ["ofx_scene_linear"]);
    let status = call.with_reply(&reply).perform();
    (status, reply.text(COLORSPACE))
}
