//! The hosts that are known well enough to be played.

#![forbid(unsafe_code)]

use super::{Clamp, Context, Formatting, Profile, Restore, Undo};
use crate::images::Depth;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

impl Profile {
    /// A host that has everything and no quirks.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            name: "org.wanalpha.testhost".to_owned(),
            label: "Test host".to_owned(),
            version: [1, 0, 0],
            api: [1, 5],
            introduces_itself: true,
            contexts: vec![Context::Generator, Context::General, Context::Filter],
            lists_contexts: true,
            instance_per_frame: false,
            depths: vec![Depth::Float, Depth::Half, Depth::Short, Depth::Byte],
            tiles: true,
            multi_resolution: true,
            overlays: true,
            render_scales: vec![1.0, 0.5, 1.0 / 3.0, 0.25],
            lacks_properties: Vec::new(),
            images_lack: Vec::new(),
            images_say: Vec::new(),
            refuses_images: None,
            lacks_suites: Vec::new(),
            null_functions: Vec::new(),
            animates_strings: true,
            clamp: Clamp::ToRange,
            evaluates_strings: false,
            freezes_described_state: false,
            saves_defaults: true,
            restore: Restore::BeforeCreate,
            rebuilds_instances: false,
            unknown_parameters: Vec::new(),
            tries_half_scale: false,
            processors: None,
            undo: Undo::CanUndo,
            bare_time_changes: false,
            sets_in_changes_only: false,
            message_length: None,
            color_management: None,
            messages: Formatting::Formatted,
            background: false,
            view_tiles: None,
            frame_rate: 24.0,
            timeline: [1.0, 100.0],
            size: [1920.0, 1080.0],
            offset: [0.0, 0.0],
            pixel_aspect: 1.0,
        }
    }

    /// A host like Nuke of Foundry.
    #[must_use]
    pub fn nuke() -> Self {
        Self {
            name: "uk.co.thefoundry.nuke".to_owned(),
            label: "nuke".to_owned(),
            version: [15, 0, 4],
            api: [1, 4],
            introduces_itself: false,
            contexts: vec![Context::General, Context::Filter],
            depths: vec![Depth::Float],
            render_scales: vec![1.0],
            lacks_properties: names(&[
                "OfxImageEffectInstancePropSequentialRender",
                "OfxImageEffectPropNoSpatialAwareness",
                "OfxParamHostPropSupportsStrChoice",
                "OfxImageClipPropFormat",
            ]),
            lacks_suites: vec![("OfxProgressSuite".to_owned(), 2), ("OfxDrawSuite".to_owned(), 1)],
            animates_strings: false,
            evaluates_strings: true,
            freezes_described_state: true,
            saves_defaults: false,
            view_tiles: Some([i32::MAX, 64]),
            timeline: [1001.0, 1100.0],
            ..Self::plain()
        }
    }

    /// A host like Nuke 17, which keeps OpenFX strictly.
    #[must_use]
    pub fn nuke17_strict() -> Self {
        Self {
            version: [17, 0, 2],
            api: [1, 5],
            depths: vec![Depth::Float, Depth::Half],
            sets_in_changes_only: true,
            message_length: Some(120),
            ..Self::nuke()
        }
    }

    /// A host built on the official support library, as its demo is.
    #[must_use]
    pub fn host_support() -> Self {
        Self {
            name: "uk.co.foundry.ofxhostdemo".to_owned(),
            label: "Host demo".to_owned(),
            introduces_itself: false,
            bare_time_changes: true,
            ..Self::plain()
        }
        .without_suite("OfxDrawSuite")
        .without_properties(&["OfxImageEffectPropNoSpatialAwareness"])
    }

    /// `DaVinci` Resolve, Edit page.
    #[must_use]
    pub fn resolve() -> Self {
        Self {
            name: "DaVinciResolve".to_owned(),
            label: "DaVinci Resolve".to_owned(),
            version: [19, 0, 0],
            api: [1, 4],
            introduces_itself: false,
            contexts: vec![Context::Generator, Context::Filter, Context::General],
            depths: vec![Depth::Float, Depth::Short, Depth::Byte],
            tiles: false,
            multi_resolution: false,
            render_scales: vec![1.0, 0.5, 0.25],
            lacks_properties: names(&[
                "OfxPropPluginDescription",
                "OfxImageEffectInstancePropSequentialRender",
                "OfxParamPropDefaultCoordinateSystem",
                "OfxImageEffectPropProjectOffset",
                "OfxImageClipPropFormat",
            ]),
            images_lack: names(&["OfxImageEffectPropRenderScale", "OfxImagePropField"]),
            lacks_suites: vec![
                ("OfxMessageSuite".to_owned(), 2),
                ("OfxProgressSuite".to_owned(), 2),
                ("OfxDrawSuite".to_owned(), 1),
            ],
            animates_strings: false,
            clamp: Clamp::ToRangeOrNothing,
            rebuilds_instances: true,
            processors: Some(1),
            unknown_parameters: names(&["ResolveUseAlphaForTrackCompositing"]),
            undo: Undo::OfTheArtistOnly,
            timeline: [0.0, 119.0],
            ..Self::plain()
        }
    }

    /// A host like Natron, of open source.
    #[must_use]
    pub fn natron() -> Self {
        Self {
            name: "fr.inria.Natron".to_owned(),
            label: "Natron".to_owned(),
            version: [2, 5, 0],
            api: [1, 4],
            introduces_itself: false,
            contexts: vec![Context::General, Context::Generator, Context::Filter],
            depths: vec![Depth::Float, Depth::Short, Depth::Byte],
            render_scales: vec![1.0, 0.5, 0.25, 0.125],
            lacks_properties: names(&["OfxImageEffectPropNoSpatialAwareness"]),
            lacks_suites: vec![("OfxDrawSuite".to_owned(), 1)],
            saves_defaults: false,
            tries_half_scale: true,
            undo: Undo::EditBlockInOpenPanel,
            // `message` and `setPersistentMessage` of RB-2.5 pass their va_list on as an argument.
            messages: Formatting::WithAList,
            view_tiles: Some([256, 256]),
            timeline: [1.0, 250.0],
            ..Self::plain()
        }
    }

    /// A host like MLT, which Kdenlive, Shotcut and Flowblade use.
    #[must_use]
    pub fn mlt() -> Self {
        Self {
            name: "MLT".to_owned(),
            label: "MLT".to_owned(),
            version: [7, 41, 0],
            introduces_itself: false,
            contexts: vec![Context::Filter],
            lists_contexts: false,
            instance_per_frame: true,
            depths: vec![Depth::Byte, Depth::Short, Depth::Half, Depth::Float],
            tiles: false,
            multi_resolution: false,
            overlays: false,
            render_scales: vec![1.0],
            // Of rate and size it tells none of the sets that a plug-in can ask.
            lacks_properties: names(&[
                "OfxImageEffectPropFrameRate",
                "OfxImageEffectPropUnmappedFrameRate",
                "OfxImageEffectPropProjectSize",
                "OfxImageEffectPropProjectOffset",
                "OfxImageEffectPropProjectExtent",
                "OfxImageEffectPropNoSpatialAwareness",
                "OfxImageClipPropFormat",
            ]),
            animates_strings: false,
            undo: Undo::OfTheArtistOnly,
            background: true,
            frame_rate: 25.0,
            timeline: [0.0, 249.0],
            ..Self::plain()
        }
        .without_suite("OfxDrawSuite")
        .without_suite("OfxProgressSuite")
    }
}
