//! What is said of colors to hosts that manage them.

use wan_alpha_test_host::{Context, Host, Profile, Status};

use crate::{Scene, file};

const STYLE: &str = "OfxImageEffectPropColourManagementStyle";
const CONFIGURATIONS: &str = "OfxImageEffectPropColourManagementAvailableConfigs";
const BASIC: &str = "OfxImageEffectColourManagementBasic";
const CORE: &str = "OfxImageEffectColourManagementCore";

#[test]
fn nothing_is_said_to_a_host_that_has_not_said_how_it_manages_colors() {
    for profile in [
        Profile::plain(),
        Profile::nuke(),
        Profile::nuke17_strict(),
        Profile::host_support(),
        Profile::resolve(),
        Profile::natron(),
        Profile::mlt(),
        Profile::plain().managing_color("OfxImageEffectColourManagementNone"),
        Profile::plain().managing_color(CORE).without_properties(&[STYLE]),
    ] {
        let label = format!("{} {:?}", profile.label, profile.color_management);
        let host = Host::new(profile);
        let plugin = host.load(file()).unwrap();
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        // A node that declares any of it leaves Nuke 17 in a partial state.
        let described = plugin.described(node.context()).unwrap();
        let clips = ["Source", "Output"].map(|clip| described.clip(clip));
        let sets = clips.into_iter().flatten().chain([plugin.properties(), node.properties()]);
        for set in sets {
            for name in set.all().into_keys().filter(|name| name.contains("Colour")) {
                assert!(!set.was_set(&name), "{name} in {label}");
            }
        }
        assert_eq!(node.output_colorspace(), (Status::REPLY_DEFAULT, String::new()), "{label}");
    }
}

#[test]
fn a_host_that_manages_colors_is_told_the_space_of_the_transfer() {
    let names = ["srgb_tx", "lin_rec709_srgb", "ACEScg"];
    let families = ["ofx_display_sdr", "ofx_scene_linear", "ofx_scene_linear"];
    for (style, profile, auto, told) in [
        (CORE, Profile::plain(), 0, names),
        (CORE, Profile::nuke17_strict(), 1, names),
        (BASIC, Profile::plain(), 0, families),
        // The node needs no more than the core has.
        ("OfxImageEffectColourManagementFull", Profile::natron(), 1, names),
        ("OfxImageEffectColourManagementOCIO", Profile::plain(), 0, names),
    ] {
        let scene = Scene::new(profile.managing_color(style), Context::General);
        let described = scene.plugin.properties();
        assert_eq!(described.text(STYLE).as_deref(), Some(CORE));
        let configuration = "ofx-native-v1.5_aces-v1.3_ocio-v2.3";
        assert_eq!(described.texts(CONFIGURATIONS), [configuration]);
        let space = || scene.node.clip_properties("Output").text("OfxImageClipPropColourspace");
        assert_eq!(space().as_deref(), Some(told[auto]), "{style}");
        for (transfer, name) in (1..).zip(told) {
            scene.node.set("transfer", transfer);
            // The host has asked again.
            assert_eq!(space().as_deref(), Some(name), "{style}");
            assert_eq!(scene.node.output_colorspace(), (Status::OK, name.to_owned()));
        }
    }
}
