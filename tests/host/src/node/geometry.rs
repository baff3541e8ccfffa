//! What a host asks an instance about its picture before it renders.

#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::sync::Arc;

use crate::action::Action;
use crate::call::Call;
use crate::effect::{Effect, Preferences};
use crate::images::source::Source;
use crate::profile::Context;
use crate::project::Settings;
use crate::properties::{Item, PropertySet};
use crate::rules::Rule;
use crate::status::Status;

/// Ranges of frames, by clip.
pub type FramesOfClips = Vec<(String, Vec<[f64; 2]>)>;

const PREMULTIPLICATIONS: [&str; 3] =
    ["OfxImageOpaque", "OfxImageAlphaPremultiplied", "OfxImageAlphaUnPremultiplied"];

/// What the instance is told of its project.
pub(crate) fn describe_project(effect: &Effect, settings: &Settings) {
    let properties = &effect.properties;
    let Settings { size, offset, pixel_aspect, frame_rate, timeline } = settings.clone();
    properties.put("OfxImageEffectPropProjectSize", size);
    properties.put("OfxImageEffectPropProjectOffset", offset);
    properties.put("OfxImageEffectPropProjectExtent", [0, 1].map(|n| offset[n] + size[n]));
    properties.put("OfxImageEffectPropPixelAspectRatio", [pixel_aspect]);
    properties.put("OfxImageEffectPropFrameRate", [frame_rate]);
    let duration = timeline[1] - timeline[0] + 1.0;
    properties.put("OfxImageEffectInstancePropEffectDuration", [duration]);
    properties.put("OfxPropIsInteractive", [i32::from(!effect.host.profile.background)]);
    if let Some(output) = effect.clip("Output") {
        let put = |name, value: f64| output.properties.put(name, [value]);
        put("OfxImageEffectPropFrameRate", frame_rate);
        put("OfxImageEffectPropUnmappedFrameRate", frame_rate);
        put("OfxImagePropPixelAspectRatio", pixel_aspect);
        for name in ["OfxImageEffectPropFrameRange", "OfxImageEffectPropUnmappedFrameRange"] {
            output.properties.put(name, timeline);
        }
        output.properties.put("OfxImageClipPropConnected", [1]);
    }
}

fn settings(effect: &Effect) -> Option<Settings> {
    effect.node.upgrade().map(|node| node.project.settings())
}

/// The project's frame in canonical coordinates: left, bottom, right, top.
pub(crate) fn project_region(effect: &Effect) -> [f64; 4] {
    let Some(Settings { size, offset, .. }) = settings(effect) else { return [0.0; 4] };
    [offset[0], offset[1], offset[0] + size[0], offset[1] + size[1]]
}

/// What is connected, first things first.
pub(crate) fn connected(effect: &Effect) -> Vec<(String, Source)> {
    let clips = effect.clips();
    clips.iter().filter_map(|clip| Some((clip.name.clone(), clip.source()?))).collect()
}

/// Asks for the region of definition: the answer, and the region that the host goes by.
pub(crate) fn region(effect: &Arc<Effect>, time: f64, scale: [f64; 2]) -> (Status, [f64; 4]) {
    let name = "OfxImageEffectPropRegionOfDefinition";
    let default = connected(effect)
        .into_iter()
        .map(|(_, source)| source.region)
        .reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
        .unwrap_or_else(|| project_region(effect));
    let reply = PropertySet::reply(&effect.host, &[(name, default.map(Item::Double).to_vec())]);
    let status = Call::of(effect, Action::GetRegionOfDefinition)
        .at(time)
        .scaled(scale)
        .with_reply(&reply)
        .perform();
    let found = reply.doubles(name);
    let region = [found[0], found[1], found[2], found[3]];
    if status == Status::OK {
        let is_region = region.iter().all(|side| side.is_finite())
            && region[0] <= region[2]
            && region[1] <= region[3];
        if !is_region {
            let words = format!("the region of definition is {region:?}");
            fault(effect, &Action::GetRegionOfDefinition, words);
            return (status, default);
        }
        return (status, region);
    }
    (status, default)
}

/// What an image covers: the region of definition, or the whole project in hosts whose images are
/// all of one size.
pub(crate) fn frame(effect: &Effect, region: [f64; 4]) -> [f64; 4] {
    if effect.host.profile.multi_resolution {
        return region;
    }
    let [left, bottom, right, top] = project_region(effect);
    [0.0, 0.0, right - left, top - bottom]
}

/// Asks which part of each input is wanted for a part of the output.
pub(crate) fn regions_of_interest(
    effect: &Arc<Effect>,
    time: f64,
    scale: [f64; 2],
    wanted: [f64; 4],
) -> (Status, Vec<(String, [f64; 4])>) {
    let inputs: Vec<_> =
        effect.clips().iter().filter(|clip| !clip.is_output()).map(|c| c.name.clone()).collect();
    let reply = PropertySet::reply(&effect.host, &[]);
    let property = |clip: &str| format!("OfxImageClipPropRoI_{clip}");
    for clip in &inputs {
        reply.expect(&property(clip), wanted.map(Item::Double).to_vec(), 4);
    }
    let mut call = Call::of(effect, Action::GetRegionsOfInterest).at(time).scaled(scale);
    call.arguments().put("OfxImageEffectPropRegionOfInterest", wanted);
    let status = call.with_reply(&reply).perform();
    let region = |clip: String| {
        let found = reply.doubles(&property(&clip));
        (clip, [found[0], found[1], found[2], found[3]])
    };
    let regions: Vec<_> = inputs.into_iter().map(region).collect();
    for (clip, region) in &regions {
        if region.iter().any(|side| !side.is_finite()) {
            let words = format!("the region of interest of {clip} is {region:?}");
            fault(effect, &Action::GetRegionsOfInterest, words);
        }
    }
    (status, regions)
}

/// Asks which frames of each input are wanted. Only of plug-ins that look at other times.
pub(crate) fn frames_needed(effect: &Arc<Effect>, time: f64) -> (Status, FramesOfClips) {
    let inputs: Vec<_> =
        effect.clips().iter().filter(|clip| !clip.is_output()).map(|c| c.name.clone()).collect();
    let reply = PropertySet::reply(&effect.host, &[]);
    let property = |clip: &str| format!("OfxImageClipPropFrameRange_{clip}");
    for clip in &inputs {
        reply.expect(&property(clip), vec![Item::Double(time); 2], 0);
    }
    let call = Call::of(effect, Action::GetFramesNeeded).at(time);
    let status = call.with_reply(&reply).perform();
    let ranges = |clip: String| {
        let found = reply.doubles(&property(&clip));
        let ranges: Vec<_> = found.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        let ranges = if ranges.is_empty() { vec![[time; 2]] } else { ranges };
        (clip, ranges)
    };
    (status, inputs.into_iter().map(ranges).collect())
}

/// Asks whether the picture is that of a clip at a time.
pub(crate) fn identity(
    effect: &Arc<Effect>,
    time: f64,
    scale: [f64; 2],
    window: [i32; 4],
    field: &str,
) -> Option<(String, f64)> {
    let expected =
        [("OfxPropName", vec![Item::from("")]), ("OfxPropTime", vec![Item::Double(time)])];
    let reply = PropertySet::reply(&effect.host, &expected);
    let mut call = Call::of(effect, Action::IsIdentity).at(time).scaled(scale);
    let arguments = call.arguments();
    arguments.put("OfxImageEffectPropRenderWindow", window);
    arguments.put("OfxImageEffectPropFieldToRender", [field]);
    if call.with_reply(&reply).perform() != Status::OK {
        return None;
    }
    let (clip, time) = (reply.text("OfxPropName"), reply.doubles("OfxPropTime"));
    if effect.clip(&clip).is_none() {
        let words = format!("the picture is said to be that of the clip {clip:?}");
        fault(effect, &Action::IsIdentity, words);
        return None;
    }
    Some((clip, time.first().copied().unwrap_or_default()))
}

/// Asks when there is a picture: the answer, and the range that the host goes by.
pub(crate) fn time_domain(effect: &Arc<Effect>) -> (Status, [f64; 2]) {
    let sources = connected(effect);
    let default = sources
        .into_iter()
        .map(|(_, source)| source.frames)
        .reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])
        .unwrap_or([f64::from(i32::MIN), f64::from(i32::MAX)]);
    let name = "OfxImageEffectPropFrameRange";
    let reply = PropertySet::reply(&effect.host, &[(name, default.map(Item::Double).to_vec())]);
    let status = Call::of(effect, Action::GetTimeDomain).with_reply(&reply).perform();
    let found = reply.doubles(name);
    if status != Status::OK {
        return (status, default);
    }
    if found[0].partial_cmp(&found[1]).is_none_or(Ordering::is_gt) {
        fault(effect, &Action::GetTimeDomain, format!("the time domain is {found:?}"));
        return (status, default);
    }
    (status, [found[0], found[1]])
}

/// Asks what the plug-in wants of its clips, and keeps it.
pub(crate) fn clip_preferences(effect: &Arc<Effect>) -> (Status, Preferences) {
    let Some(settings) = settings(effect) else { return (Status::FAILED, nothing(effect)) };
    let reply = PropertySet::reply(&effect.host, &[]);
    let default = if connected(effect).is_empty() && effect_makes_its_own(effect) {
        "OfxImageOpaque"
    } else {
        "OfxImageAlphaPremultiplied"
    };
    let depth = super::lifecycle::view_depth(effect);
    for (name, value) in [
        ("OfxImageEffectPropPreMultiplication", Item::from(default)),
        ("OfxImageEffectFrameVarying", Item::Int(0)),
        ("OfxImageClipPropContinuousSamples", Item::Int(0)),
        ("OfxImageEffectPropFrameRate", Item::Double(settings.frame_rate)),
        ("OfxImageClipPropFieldOrder", Item::from("OfxFieldNone")),
    ] {
        reply.expect(name, vec![value], 1);
    }
    for clip in effect.clips() {
        for (name, value) in [
            ("Components", Item::from("OfxImageComponentRGBA")),
            ("Depth", Item::from(depth.name())),
            ("PAR", Item::Double(settings.pixel_aspect)),
        ] {
            reply.expect(&format!("OfxImageClipProp{name}_{}", clip.name), vec![value], 1);
        }
    }
    let status = Call::of(effect, Action::GetClipPreferences).with_reply(&reply).perform();
    let first = |name: &str| reply.doubles(name).first().copied().unwrap_or(1.0);
    let preferences = Preferences {
        premultiplication: reply.text("OfxImageEffectPropPreMultiplication"),
        frame_varying: reply.is_true("OfxImageEffectFrameVarying"),
        continuous_samples: reply.is_true("OfxImageClipPropContinuousSamples"),
        components: reply.text("OfxImageClipPropComponents_Output"),
        pixel_aspect: first("OfxImageClipPropPAR_Output"),
        frame_rate: first("OfxImageEffectPropFrameRate"),
    };
    if !PREMULTIPLICATIONS.contains(&preferences.premultiplication.as_str()) {
        let words = format!("premultiplication is {:?}", preferences.premultiplication);
        fault(effect, &Action::GetClipPreferences, words);
    }
    if !(preferences.pixel_aspect > 0.0 && preferences.pixel_aspect.is_finite()) {
        let words = format!("pixel aspect is {}", preferences.pixel_aspect);
        fault(effect, &Action::GetClipPreferences, words);
    }
    effect.prefer(preferences.clone());
    super::colors::output_colorspace(effect);
    (status, preferences)
}

fn nothing(effect: &Effect) -> Preferences {
    Preferences {
        premultiplication: "OfxImageOpaque".to_owned(),
        frame_varying: false,
        continuous_samples: false,
        components: "OfxImageComponentRGBA".to_owned(),
        pixel_aspect: 1.0,
        frame_rate: effect.host.profile.frame_rate,
    }
}

fn effect_makes_its_own(effect: &Effect) -> bool {
    let context = effect.node.upgrade().map(|node| node.context);
    matches!(context, Some(Context::Generator | Context::General))
}

fn fault(effect: &Arc<Effect>, action: &Action, words: String) {
    let during = format!("{} of {}", action.name(), effect.title());
    effect.host.faults.add(Rule::SensibleAnswer, &during, words);
}
