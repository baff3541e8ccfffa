//! Level 4: pictures.

use std::time::Duration;

use wan_alpha_test_host::{
    Abort, Context, Depth, Frame, Image, Profile, RenderAsk, Status, Stride, Tiles,
};

use crate::check::Check;
use crate::report::Report;
use crate::subject::{Scene, Subject};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "render.contexts",
        about: "A frame in every context, with pictures at all inputs.",
        why: "It is what the plug-in is for.",
        fix: "Answer OK once every pixel of the window is written, and Failed with a persistent message where that cannot be.",
        patience: 60,
        work: contexts,
    },
    Check {
        id: "render.memory",
        about: "Every depth, with rows that are packed, padded and from the top down, and guards around them.",
        why: "A write beside the window is a crash of the host, some day; a pixel left out shows rubbish.",
        fix: "Take address, bounds and rowBytes from the image and step from row to row by rowBytes as it is.",
        patience: 90,
        work: memory,
    },
    Check {
        id: "render.windows",
        about: "Parts of the frame, at random and as tiles on several threads, beside the whole.",
        why: "Hosts render what they show, in strips or tiles; seams show where they differ.",
        fix: "Compute each pixel from its place in the frame, not in the window; or set OfxImageEffectPropSupportsTiles to 0.",
        patience: 90,
        work: windows,
    },
    Check {
        id: "render.scales",
        about: "Proxies: renders at a half, a third and other scales, and thumbnails.",
        why: "Viewers render at the scale that they show.",
        fix: "Take sizes from the bounds of the image and scale lengths by OfxImageEffectPropRenderScale.",
        patience: 60,
        work: scales,
    },
    Check {
        id: "render.times",
        about: "Frames far outside of the project, between frames, and the same ones again.",
        why: "Artists scrub past the ends, and a frame must look the same the next time.",
        fix: "Let a picture depend on parameters, clips and time only, and answer for every time.",
        patience: 60,
        work: times,
    },
    Check {
        id: "render.varies",
        about: "Whether a picture that changes with time alone is said to.",
        why: "A host shows the first frame for all others where OfxImageEffectFrameVarying is 0 and nothing is animated.",
        fix: "Set OfxImageEffectFrameVarying to 1 in clip preferences.",
        patience: 60,
        work: varies,
    },
    Check {
        id: "render.alpha",
        about: "Whether color and alpha are as clip preferences say.",
        why: "Hosts composite by what they are told: bright fringes, or no transparency at all.",
        fix: "Set OfxImageEffectPropPreMultiplication to what is rendered.",
        patience: 60,
        work: alpha,
    },
    Check {
        id: "render.answers",
        about: "Region of definition, regions of interest, frames needed, time domain and identity.",
        why: "A host renders, caches and asks for inputs by them.",
        fix: "Answer with finite regions and ranges, or with ReplyDefault.",
        patience: 30,
        work: answers,
    },
    Check {
        id: "render.aborts",
        about: "How soon a render ends that is given up, and what it answers.",
        why: "The artist has moved on; the host waits for the render to come back.",
        fix: "Ask abort every few rows and every few milliseconds of waiting, and then answer OK.",
        patience: 60,
        work: aborts,
    },
];

/// Renders, and says so where nothing comes of it.
pub(crate) fn rendered(scene: &Scene, ask: &RenderAsk, report: &mut Report) -> Option<Image> {
    let frame = scene.node.render(ask);
    report.rules(&scene.host);
    match frame.picture() {
        Some(image) => Some(image.clone()),
        None => {
            report.fault(format!("nothing is rendered: {}{}", frame.status, said(&frame)));
            None
        }
    }
}

fn said(frame: &Frame) -> String {
    if frame.says().is_empty() {
        " without a message".to_owned()
    } else {
        format!(", {:?}", frame.says())
    }
}

fn contexts(subject: &Subject, report: &mut Report) {
    for context in Context::ALL {
        let profile = Profile::plain().with_contexts(&[context]);
        let host = Subject::host(profile.clone());
        let known = host.open(&subject.file).and_then(|binary| binary.plugin(subject.nth)).is_ok();
        host.take_faults();
        if !known {
            continue;
        }
        subject.node(report, profile, |scene, report| {
            report.step(format!("{context:?}"));
            rendered(scene, &RenderAsk::at(scene.project.time()), report);
            for clip in scene.inputs() {
                let optional = scene.node.clip_properties(&clip).ints("OfxImageClipPropOptional");
                if optional == [1] {
                    report.step(format!("{context:?} without {clip}"));
                    scene.node.disconnect(&clip);
                    rendered(scene, &RenderAsk::at(scene.project.time()), report);
                }
            }
        });
    }
}

/// Depths that the plug-in has.
fn depths(scene: &Scene) -> Vec<Depth> {
    let names = scene.plugin.properties().texts("OfxImageEffectPropSupportedPixelDepths");
    names.iter().filter_map(|name| Depth::named(name)).collect()
}

fn memory(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let time = scene.project.time();
        for depth in depths(scene) {
            report.step(format!("{depth:?}"));
            let ask = RenderAsk::at(time).in_depth(depth);
            let Some(plain) = rendered(scene, &ask, report) else { continue };
            for stride in [
                Stride::Padded(64),
                Stride::odd(depth),
                Stride::Negative,
                Stride::NegativePadded(48),
            ] {
                report.step(format!("{depth:?}, {stride:?}"));
                let ask = ask.clone().with_stride(stride);
                if let Some(image) = rendered(scene, &ask, report)
                    && image != plain
                {
                    report.fault("the picture is another than in packed rows");
                }
            }
            report.rules(&scene.host);
        }
    });
}

fn windows(subject: &Subject, report: &mut Report) {
    let mut random = fastrand::Rng::with_seed(subject.seed);
    subject.node(report, Profile::plain(), |scene, report| {
        if scene.node.properties().ints("OfxImageEffectPropSupportsTiles") == [0] {
            return report.skip("it renders whole frames only");
        }
        let ask = RenderAsk::at(scene.project.time());
        let Some(whole) = rendered(scene, &ask, report) else { return };
        let [left, bottom, right, top] = whole.bounds();
        if right - left < 2 || top - bottom < 2 {
            return report.skip("the frame is empty");
        }
        for _ in 0..24 {
            let mut span = |low: i32, high: i32| {
                let from = random.i32(low..high);
                (from, random.i32(from + 1..=high))
            };
            let ((x1, x2), (y1, y2)) = (span(left, right), span(bottom, top));
            let window = [x1, y1, x2, y2];
            report.step(format!("the window {window:?}"));
            if let Some(part) = rendered(scene, &ask.clone().within(window), report)
                && part != whole.crop(window)
            {
                report.fault("the part differs from the same part of the whole frame");
            }
        }
        for (tiles, threads) in [
            (Tiles::Separate([64, 64]), 1),
            (Tiles::Separate([i32::MAX, 7]), 4),
            (Tiles::Shared([37, 29]), 4),
        ] {
            report.step(format!("{tiles:?} on {threads} threads"));
            let ask = ask.clone().in_tiles(tiles).on_threads(threads);
            if let Some(image) = rendered(scene, &ask, report)
                && image != whole
            {
                report.fault("the frame put together of tiles differs from the whole one");
            }
        }
    });
}

fn scales(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let time = scene.project.time();
        for scale in [0.5, 1.0 / 3.0, 0.25, 0.7, 0.05] {
            report.step(format!("the scale {scale:.2}"));
            rendered(scene, &RenderAsk::at(time).scaled(scale), report);
        }
        report.step("scaled across only");
        rendered(scene, &RenderAsk { scale: [0.5, 1.0], ..RenderAsk::at(time) }, report);
        report.step("a draft");
        rendered(scene, &RenderAsk { draft: true, ..RenderAsk::at(time).scaled(0.5) }, report);
        report.step("a thumbnail");
        if scene.node.thumbnail(time, 0.2).failed() {
            report.fault("nothing is rendered");
        }
        report.step("an image larger than the frame");
        let [width, height] = scene.project.settings().size.map(|side| side as i32);
        let bounds = Some([-20, -10, width + 20, height + 10]);
        rendered(scene, &RenderAsk { bounds, ..RenderAsk::at(time) }, report);
    });
}

fn times(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let [first, middle, last] = scene.times();
        let mut before = Vec::new();
        let all =
            [first, middle, middle + 0.5, last, first - 1000.0, last + 1e6, first, middle, last];
        for time in all {
            report.step(format!("frame {time}"));
            if let Some(image) = rendered(scene, &RenderAsk::at(time), report) {
                before.push(image);
            }
        }
        report.step("a sequence");
        let (from, to) = (first as i32, first as i32 + 5);
        let frames = scene.node.render_sequence(from, to, &RenderAsk::at(first).for_a_file());
        if let Some(failed) = frames.iter().find(|frame| frame.failed()) {
            report.fault(format!("nothing is rendered: {}{}", failed.status, said(failed)));
        }
    });
}

fn varies(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        for clip in scene.inputs() {
            scene.node.disconnect(&clip);
        }
        let (_, preferences) = scene.node.preferences();
        if preferences.frame_varying {
            return report.note("it is said to");
        }
        let [first, middle, last] = scene.times();
        let pictures = [first, middle, last].map(|time| {
            let frame = scene.node.render(&RenderAsk { remembered: false, ..RenderAsk::at(time) });
            frame.picture().map(Image::digest)
        });
        if pictures.iter().any(|picture| *picture != pictures[0]) {
            report.fault("frames differ, nothing is animated, and it is not said to vary");
        }
    });
}

fn alpha(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let (_, preferences) = scene.node.preferences();
        let said = preferences.premultiplication;
        report.note(said.clone());
        if preferences.components != "OfxImageComponentRGBA" {
            return;
        }
        for time in scene.times() {
            report.step(format!("frame {time}"));
            let Some(image) = rendered(scene, &RenderAsk::at(time), report) else { return };
            let pixels = || image.pixels();
            if pixels().any(|[.., alpha]| !(-1e-3..=1.001).contains(&alpha)) {
                report.advice("an alpha lies outside of 0 to 1");
            }
            match said.as_str() {
                "OfxImageOpaque" if pixels().any(|[.., alpha]| alpha != 1.0) => {
                    report.fault("it is said to be opaque and has transparent pixels");
                }
                "OfxImageAlphaPremultiplied" => {
                    let glows = |[r, g, b, a]: [f32; 4]| a == 0.0 && [r, g, b] != [0.0; 3];
                    if pixels().any(glows) {
                        report.advice(
                            "it is said to be premultiplied and has color where alpha is 0",
                        );
                    }
                }
                _ => {}
            }
        }
    });
}

fn answers(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let node = &scene.node;
        let fits = |status: Status, report: &mut Report| {
            if !matches!(status, Status::OK | Status::REPLY_DEFAULT) {
                report.fault(format!("it is answered with {status}"));
            }
        };
        report.step("the time domain");
        fits(node.time_domain().0, report);
        report.step("clip preferences");
        fits(node.preferences().0, report);
        for time in scene.times() {
            report.step(format!("the region of definition at {time}"));
            let (status, region) = node.region(time);
            fits(status, report);
            report.step(format!("regions of interest at {time}"));
            fits(node.regions_of_interest(time, region).0, report);
            report.step(format!("frames needed at {time}"));
            fits(node.frames_needed(time).0, report);
            report.step(format!("identity at {time}"));
            let window = region.map(|side| side.clamp(-1e6, 1e6) as i32);
            if let Some((clip, _)) = node.identity(time, window) {
                report.note(format!("it is {clip}"));
            }
        }
    });
}

/// A render that takes longer than this must ask whether it is given up.
const LONG: Duration = Duration::from_millis(250);
/// Within which it must come back.
const PROMPT: Duration = Duration::from_millis(150);

fn aborts(subject: &Subject, report: &mut Report) {
    subject.node(report, Profile::plain(), |scene, report| {
        let time = scene.project.time();
        for polls in [0, 1, 5, 50] {
            report.step(format!("given up at question {}", polls + 1));
            let mut soonest: Option<Duration> = None;
            for _ in 0..3 {
                let ask = RenderAsk::at(time).aborted(Abort::AfterPolls(polls));
                let frame = scene.node.render(&ask);
                report.rules(&scene.host);
                if !frame.aborted {
                    if frame.polls == 0 && frame.took > LONG {
                        report.advice(format!("it takes {:?} and never asks", frame.took));
                    }
                    return;
                }
                let took = frame.abort_took.unwrap_or_default();
                soonest = Some(soonest.map_or(took, |before| before.min(took)));
            }
            if let Some(took) = soonest.filter(|took| *took > PROMPT) {
                report.fault(format!("it comes back after {took:?}"));
            }
        }
        report.step("the frame after it");
        rendered(scene, &RenderAsk::at(time), report);
    });
}
