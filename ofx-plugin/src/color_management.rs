//! What a host that manages colors is told of the node's, and what it says of those of Source (OpenFX 1.5).
//!
//! Such a host says first how it does. To every other one nothing of this is said: some take the mere
//! property amiss. Color spaces are named as in the configuration that comes with OpenFX 1.5.

#![forbid(unsafe_code)]

use std::ffi::CStr;

use crate::host::{ClipHandle, Effect, Properties};
use crate::names;
use crate::node::Node;
use crate::node_transfer::transfer_of;
use crate::ofx_status::{ActionResult, Status};
use crate::params::{ALPHA_MODE, TRANSFER};
use crate::picture::Transfer;

/// The configuration whose names are used.
const CONFIGURATION: &CStr = c"ofx-native-v1.5_aces-v1.3_ocio-v2.3";

/// The most that the node needs: names of single color spaces.
const OUR_STYLE: &CStr = c"OfxImageEffectColourManagementCore";

const NO_STYLE: &[u8] = b"OfxImageEffectColourManagementNone";
const BASIC: &[u8] = b"OfxImageEffectColourManagementBasic";
const CORE: &[u8] = OUR_STYLE.to_bytes();
const FULL: &[u8] = b"OfxImageEffectColourManagementFull";
const OCIO: &[u8] = b"OfxImageEffectColourManagementOCIO";

/// Color spaces as the configuration names them, the first of each being what the node says.
const CORE_NAMES: [(&CStr, Transfer); 4] = [
    (c"srgb_tx", Transfer::AsGenerated),
    (c"lin_rec709_srgb", Transfer::LinearRec709),
    (c"ACEScg", Transfer::AcesCg),
    (c"srgb_display", Transfer::AsGenerated),
];

/// Any color space of a display, and any that is linear in light.
const ANY_DISPLAY: &CStr = c"ofx_display_sdr";
const ANY_LINEAR: &CStr = c"ofx_scene_linear";

/// Which names of color spaces host and node have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CommonNames {
    /// Those of families of color spaces.
    Basic,
    /// Those of single ones too.
    Core,
}

/// Says that colors may be managed, where the host has said that it does, by names known here.
pub(crate) fn declare(host: Properties<'_>, ours: Properties<'_>) {
    let style = host.text(names::COLOR_STYLE, 0).unwrap_or_default();
    if style.is_empty() || style.as_bytes() == NO_STYLE {
        return;
    }
    let configurations = host.texts(names::COLOR_CONFIGURATIONS);
    let is_ours = |name: &String| name.as_bytes() == CONFIGURATION.to_bytes();
    if !configurations.is_empty() && !configurations.iter().any(is_ours) {
        return;
    }
    ours.set_optional(names::COLOR_STYLE, OUR_STYLE);
    ours.set_optional(names::COLOR_CONFIGURATIONS, CONFIGURATION);
    // A host asks for the color space where it asks for preferences.
    let _ = ours.set_all(names::PREFERENCES_SLAVE, [ALPHA_MODE, TRANSFER]);
}

/// What the host has settled on for an instance; none where it manages no colors of it.
fn common_names(effect: Effect<'_>) -> Option<CommonNames> {
    let style = effect.properties().ok()?.text(names::COLOR_STYLE, 0).ok()?;
    match style.as_bytes() {
        // A configuration of OCIO may know no others.
        BASIC | OCIO => Some(CommonNames::Basic),
        CORE | FULL => Some(CommonNames::Core),
        _ => None,
    }
}

/// Answers which color space the output is in: that of *Transfer*.
pub(crate) fn output_color_space(effect: Effect<'_>, reply: Properties<'_>) -> ActionResult {
    let Some(common) = common_names(effect) else { return Ok(Status::REPLY_DEFAULT) };
    let transfer = transfer_of(Node::of(effect, 0.0)?)?;
    reply.set(names::CLIP_COLOR_SPACE, name_of(transfer, common))?;
    Ok(Status::OK)
}

fn name_of(transfer: Transfer, common: CommonNames) -> &'static CStr {
    let of_family = if transfer == Transfer::AsGenerated { ANY_DISPLAY } else { ANY_LINEAR };
    let single = CORE_NAMES.iter().find(|(_, of)| *of == transfer).map(|(name, _)| *name);
    match common {
        CommonNames::Basic => of_family,
        CommonNames::Core => single.unwrap_or(of_family),
    }
}

/// The color space of a clip.
#[derive(Debug)]
pub(crate) struct ClipColors {
    pub(crate) transfer: Transfer,
    /// What the host calls it, where that is unknown here and *Transfer* counts instead.
    pub(crate) unknown: Option<String>,
}

/// The color space of a clip: as a host says that manages colors, else as *Transfer* says.
pub(crate) fn colors_of_clip(node: Node<'_>, clip: ClipHandle) -> Result<ClipColors, Status> {
    let own = transfer_of(node)?;
    let said = common_names(node.effect()).and_then(|_| {
        let properties = node.effect().clip_properties(clip).ok()?;
        properties.text(names::CLIP_COLOR_SPACE, 0).ok().filter(|name| !name.is_empty())
    });
    Ok(match said {
        None => ClipColors { transfer: own, unknown: None },
        Some(name) => match transfer_named(&name, own) {
            Some(transfer) => ClipColors { transfer, unknown: None },
            None => ClipColors { transfer: own, unknown: Some(name) },
        },
    })
}

/// The color space of that name; of a family, the node's own where that belongs to it.
fn transfer_named(name: &str, own: Transfer) -> Option<Transfer> {
    let is = |known: &CStr| known.to_bytes() == name.as_bytes();
    if is(ANY_DISPLAY) {
        return Some(Transfer::AsGenerated);
    }
    if is(ANY_LINEAR) {
        return Some(if own == Transfer::AsGenerated { Transfer::LinearRec709 } else { own });
    }
    CORE_NAMES.iter().find(|(known, _)| is(known)).map(|(_, transfer)| *transfer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Transfer; 3] = [Transfer::AsGenerated, Transfer::LinearRec709, Transfer::AcesCg];

    #[test]
    fn a_name_that_the_node_gives_is_read_as_what_it_was_given_for() {
        for transfer in ALL {
            for common in [CommonNames::Basic, CommonNames::Core] {
                let name = name_of(transfer, common).to_str().unwrap();
                assert_eq!(transfer_named(name, transfer), Some(transfer), "{name}");
            }
        }
        assert_eq!(transfer_named("srgb_display", Transfer::AcesCg), Some(Transfer::AsGenerated));
        let linear = transfer_named("ofx_scene_linear", Transfer::AsGenerated);
        assert_eq!(linear, Some(Transfer::LinearRec709));
        assert_eq!(transfer_named("arri_logc4", Transfer::AcesCg), None);
    }
}
