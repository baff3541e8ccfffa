//! Hosts that make filters alone, above all MLT (Kdenlive, Shotcut, Flowblade): no buttons, no keys, no
//! hidden parameters, no word of an edit, and everything anew for each frame, on many threads.

use std::fs;

use serde_json::json;
use wan_alpha_take::store::Take;
use wan_alpha_test_host::{
    Context, Depth, Frame, Host, Node, Plugin, Profile, Project, RenderAsk, Source,
};

use crate::drawn::{draw, wanted};
use crate::workshop::{SIZE, Workshop, alone, eventually};

const SIDES: [f64; 2] = [64.0, 48.0];

/// MLT, with projects as large as takes.
fn mlt(workshop: &Workshop) -> (Host, Plugin) {
    workshop.load(Profile::mlt().sized(SIDES[0], SIDES[1]))
}

fn source() -> Source {
    Source::over([0.0, 0.0, SIDES[0], SIDES[1]])
}

/// A clip with the filter on it.
fn filter(project: &Project, prompt: &str) -> Node {
    let node = project.add(Context::Filter).unwrap();
    node.connect("Source", source());
    node.set("prompt", prompt);
    node
}

fn at(node: &Node, time: f64) -> Frame {
    node.render(&RenderAsk::at(time))
}

/// Whether a frame is the clip, with a frame of a take over it; all of it straight.
fn lies_over(frame: &Frame, time: f64, take: Option<(&Take, u32)>) -> bool {
    let Some(image) = frame.picture() else { return false };
    let shown = take.map(|(take, index)| take.frame(index).unwrap());
    let [width, height] = SIZE.map(|side| side as i32);
    (0..height).all(|y| {
        (0..width).all(|x| {
            let under = source().pixel(f64::from(x) + 0.5, f64::from(y) + 0.5, time);
            let over = shown.as_ref().map_or([0.0; 4], |frame| {
                let at = ((height - 1 - y) * width + x) as usize * 4;
                [0, 1, 2, 3].map(|channel| frame[at + channel].to_f32())
            });
            let alpha = over[3].clamp(0.0, 1.0);
            let rest = under[3] * (1.0 - alpha);
            let color = |channel: usize| {
                (over[channel] * alpha + under[channel] * rest) / (alpha + rest).max(1e-9)
            };
            let wanted = [color(0), color(1), color(2), alpha + rest];
            let found = image.pixel(x, y);
            wanted.iter().zip(found).all(|(wanted, found)| (wanted - found).abs() < 2e-3)
        })
    })
}

fn only_take(workshop: &Workshop) -> Take {
    let takes = workshop.takes();
    assert_eq!(takes.len(), 1);
    workshop.store().find(&takes[0]).take.unwrap()
}

alone! {
    fn the_filter_is_for_hosts_that_know_nothing_else(workshop) {
        let (_host, plugin) = mlt(workshop);
        assert_eq!(plugin.contexts(), [Context::Filter]);
        let described = plugin.described(Context::Filter).unwrap();
        assert_eq!(described.clips(), ["Source", "Output"]);
        let is_secret = |id: &str| described.param(id).unwrap().1.ints("OfxParamPropSecret") == [1];
        assert!(is_secret("alphaMode") && !is_secret("makeTake") && !is_secret("overSource"));
        assert_eq!(described.param("makeTake").unwrap().1.ints("OfxParamPropDefault"), [0]);
        let project = plugin.project();
        let (_, wanted) = filter(&project, "one").preferences();
        assert_eq!(wanted.premultiplication, "OfxImageAlphaUnPremultiplied");
        let (_host, plugin) = workshop.load(Profile::plain().with_contexts(&[Context::Filter]));
        assert_eq!(plugin.contexts(), [Context::Filter]);
        for profile in [
            Profile::plain(),
            Profile::natron(),
            Profile::nuke(),
            Profile::resolve(),
            Profile::plain().with_contexts(&[Context::Filter, Context::Generator]),
            Profile::plain().with_contexts(&[Context::Filter, Context::General]),
        ] {
            let (_host, plugin) = workshop.load(profile);
            for context in plugin.contexts() {
                assert_ne!(context, Context::Filter);
                assert!(plugin.described(context).unwrap().param("makeTake").is_none());
            }
        }
    }

    fn without_make_take_the_clip_is_as_it_was_whatever_is_typed(workshop) {
        let (_host, plugin) = mlt(workshop);
        let project = plugin.project();
        let node = filter(&project, "");
        for typed in ["f", "fl", "fla", "flame"] {
            node.set("prompt", typed);
            assert!(lies_over(&at(&node, 3.0), 3.0, None));
        }
        for depth in [Depth::Byte, Depth::Short, Depth::Half] {
            let frame = node.render(&RenderAsk { depth, ..RenderAsk::at(2.0) });
            let [width, height] = SIZE.map(|side| side as i32);
            let clip = source().image([0, 0, width, height], [1.0; 2], 2.0, depth);
            assert_eq!(frame.image(), &clip, "{depth:?}");
        }
        node.set("missing", 2);
        assert!(at(&node, 3.0).says().contains("Make take is off"));
        assert!(workshop.engines().is_empty() && !workshop.store_folder().exists());
    }

    fn make_take_stands_for_generate_and_the_take_lies_over_the_clip(workshop) {
        let (host, plugin) = mlt(workshop);
        let project = plugin.project();
        let node = filter(&project, "one");
        node.set("timelineRate", 16.0);
        assert!(lies_over(&at(&node, 0.0), 0.0, None));
        node.set("makeTake", 1);
        let frames = node.render_sequence(0, 8, &RenderAsk::at(0.0));
        let take = only_take(workshop);
        for (frame, time) in frames.iter().zip(0_u8..) {
            assert!(lies_over(frame, time.into(), Some((&take, time.into()))), "frame {time}");
        }
        // It is saved with the project, and found again.
        let saved = workshop.at("shot.mlt");
        project.save(&saved);
        let again = plugin.open(&saved).unwrap();
        let opened = again.nodes().remove(0);
        assert_eq!((opened.int("makeTake"), opened.text("takeRequest")), (1, String::new()));
        opened.connect("Source", source());
        assert!(lies_over(&at(&opened, 5.0), 5.0, Some((&take, 5))));
        // Off, the clip is as it was.
        host.world_changed();
        node.set("makeTake", 0);
        assert!(lies_over(&at(&node, 5.0), 5.0, None));
        assert_eq!(workshop.engines().len(), 1);
    }

    fn the_take_replaces_the_clip_where_that_is_chosen(workshop) {
        let (_host, plugin) = mlt(workshop);
        let project = plugin.project();
        let node = filter(&project, "one");
        node.set("timelineRate", 16.0);
        node.set("overSource", 1);
        node.set("makeTake", 1);
        let frame = at(&node, 4.0);
        let shown = only_take(workshop).frame(4).unwrap();
        let found = frame.image().pixel(20, 30);
        let at = ((SIZE[1] as usize - 1 - 30) * SIZE[0] as usize + 20) * 4;
        let wanted = [0, 1, 2, 3].map(|channel| shown[at + channel].to_f32());
        // Straight, though nobody has said so.
        assert!(wanted.iter().zip(found).all(|(a, b)| (a - b).abs() < 2e-3), "{wanted:?} {found:?}");
    }

    fn what_differs_from_frame_to_frame_makes_one_take(workshop) {
        let (host, plugin) = mlt(workshop);
        let project = plugin.project();
        let node = filter(&project, "one");
        for (time, x) in [(0.0, 0.1), (20.0, 0.9)] {
            node.key("ellipseCenter", time, [x, 0.5]);
            node.key("mu", time, x / 10.0);
        }
        node.set("makeTake", 1);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let node = &node;
                scope.spawn(move || {
                    for frame in 0..5 {
                        assert!(!at(node, f64::from(frame * 4 + thread % 4)).failed());
                    }
                });
            }
        });
        let first = only_take(workshop);
        let log = fs::read_to_string(workshop.at("state/wan-alpha/node.log")).unwrap();
        assert_eq!(log.matches("differ from frame to frame").count(), 1, "{log}");
        // Off forgets it.
        host.world_changed();
        node.set("makeTake", 0);
        assert!(lies_over(&at(&node, 10.0), 10.0, None));
        node.set("makeTake", 1);
        host.world_changed();
        assert!(!at(&node, 10.0).failed());
        assert_eq!(workshop.takes().len(), 2);
        let other = workshop.takes().into_iter().find(|key| *key != first.description().key);
        let other = workshop.store().find(&other.unwrap()).take.unwrap();
        let centers = &other.description().request.ellipse;
        assert!(centers.iter().all(|ellipse| ellipse.x == centers[0].x), "{centers:?}");
    }

    fn a_prompt_that_is_typed_while_it_is_on_makes_nothing(workshop) {
        let (host, plugin) = mlt(workshop);
        let project = plugin.project();
        let node = filter(&project, "smoke");
        assert!(lies_over(&at(&node, 0.0), 0.0, None));
        node.set("makeTake", 1);
        assert!(!at(&node, 0.0).failed());
        for typed in ["smok", "smo", "smoky"] {
            node.set("prompt", typed);
            let frame = at(&node, 0.0);
            assert!(frame.says().contains("turn Make take off and on"), "{}", frame.says());
        }
        node.set("missing", 3);
        assert!(lies_over(&at(&node, 0.0), 0.0, None));
        node.set("missing", 0);
        assert_eq!(workshop.takes().len(), 1);
        node.set("makeTake", 0);
        host.world_changed();
        assert!(lies_over(&at(&node, 0.0), 0.0, None));
        node.set("makeTake", 1);
        host.world_changed();
        assert!(!at(&node, 0.0).failed());
        assert_eq!(workshop.takes().len(), 2);
    }

    fn a_node_that_asks_for_nothing_yet_is_not_turned_on_by_a_keystroke(workshop) {
        let (_host, plugin) = mlt(workshop);
        let project = plugin.project();
        let node = filter(&project, "");
        node.set("makeTake", 1);
        assert!(at(&node, 0.0).says().contains("prompt is empty"));
        node.set("prompt", "s");
        assert!(at(&node, 0.0).says().contains("turn Make take off and on"));
        assert!(workshop.engines().is_empty());
    }

    fn on_a_farm_every_filter_has_its_take(workshop, "WAN_ALPHA_BATCH" = "1") {
        let (_host, plugin) = mlt(workshop);
        let project = plugin.project();
        for (prompt, count) in [("one", 1), ("two", 2), ("three", 3)] {
            let node = filter(&project, prompt);
            node.key("mu", 0.0, 0.01);
            node.key("mu", 9.0, 0.09);
            for frame in node.render_sequence(0, 9, &RenderAsk::at(0.0).for_a_file()) {
                assert!(!frame.failed(), "{}", frame.says());
            }
            assert_eq!(workshop.takes().len(), count);
        }
    }

    fn an_editor_shows_the_clip_while_the_take_is_made(workshop) {
        workshop.gate("sampling", 2);
        let (host, plugin) = mlt(workshop);
        let project = plugin.project();
        let node = filter(&project, "one");
        node.set("timelineRate", 16.0);
        node.set("missing", 3);
        node.set("makeTake", 1);
        assert!(lies_over(&at(&node, 2.0), 2.0, None));
        host.world_changed();
        eventually("an engine is there", || !workshop.engines().is_empty());
        // Off, it is no longer wanted.
        node.set("makeTake", 0);
        assert!(lies_over(&at(&node, 2.0), 2.0, None));
        assert!(workshop.takes().is_empty());
        workshop.open_gate();
        node.set("makeTake", 1);
        host.world_changed();
        eventually("the take is shown", || {
            host.world_changed();
            let frame = at(&node, 2.0);
            workshop.takes().len() == 1 && lies_over(&frame, 2.0, Some((&only_take(workshop), 2)))
        });
    }

    fn a_take_that_is_not_made_fails_the_render_in_words(workshop) {
        let what = json!({ "fail": { "code": "x", "message": "no room", "remedy": "make some" } });
        workshop.fault("sampling", 1, 9, what);
        let (_host, plugin) = mlt(workshop);
        let project = plugin.project();
        let node = filter(&project, "one");
        node.set("makeTake", 1);
        let frame = at(&node, 0.0);
        assert!(frame.failed() && frame.says().contains("No room"), "{frame:?}");
        node.set("missing", 2);
        assert!(at(&node, 0.0).failed());
    }

    fn a_filter_with_buttons_generates_by_them(workshop) {
        let profile = Profile::plain().with_contexts(&[Context::Filter]).at_rate(16.0);
        let (host, plugin) = workshop.load(profile.sized(SIDES[0], SIDES[1]));
        let project = plugin.project();
        let node = filter(&project, "one");
        node.set("timelineRate", 50.0);
        node.press("generateAndWait");
        host.world_changed();
        let start = f64::from(node.int("startFrame"));
        let take = only_take(workshop);
        assert!(lies_over(&at(&node, start + 3.0), start + 3.0, Some((&take, 3))));
    }

    fn over_a_clip_that_covers_nothing_the_take_is_alone(workshop) {
        let nothing = Source::over([4.0; 4]);
        for profile in [
            Profile::mlt(),
            Profile::plain().with_contexts(&[Context::Filter]).in_background(),
        ] {
            let (_host, plugin) = workshop.load(profile.sized(SIDES[0], SIDES[1]).at_rate(16.0));
            let project = plugin.project();
            let node = filter(&project, "one");
            node.set("timelineRate", 16.0);
            node.set("transfer", 1);
            node.set("makeTake", 1);
            let [width, height] = SIZE.map(|side| side as i32);
            let ask = RenderAsk { bounds: Some([0, 0, width, height]), ..RenderAsk::at(2.0) };
            for source in [nothing.clone(), nothing.clone().without_images()] {
                node.connect("Source", source);
                let frame = node.render(&ask);
                assert!(!frame.failed(), "{}", frame.says());
                let shown = only_take(workshop).frame(2).unwrap();
                for [x, y] in [[20, 30], [0, 0], [63, 47], [5, 5]] {
                    let at = ((height - 1 - y) * width + x) as usize * 4;
                    let wanted = [0, 1, 2, 3].map(|channel| shown[at + channel].to_f32());
                    let found = frame.image().pixel(x, y);
                    let is_near = wanted.iter().zip(found).all(|(a, b)| (a - b).abs() < 4e-3);
                    assert!(is_near || wanted[3] == 0.0 && found[3] == 0.0, "{wanted:?} {found:?}");
                }
            }
            // A clip that covers something is not left out in silence.
            node.connect("Source", source().without_images());
            let frame = node.render(&RenderAsk { time: 3.0, ..ask });
            assert!(frame.failed() && frame.says().contains("clip under the take cannot be had"));
        }
    }

    fn a_take_of_another_size_lies_in_the_middle_of_the_clip(workshop) {
        let profile = Profile::plain().with_contexts(&[Context::Filter]);
        let (host, plugin) = workshop.load(profile.sized(SIDES[0], SIDES[1]));
        let project = plugin.project();
        let node = filter(&project, "one");
        let like = wanted(workshop, &node);
        let take = draw(workshop, &like, 7, [16, 16], &|_, _, _| [1.0, 0.5, 0.25, 1.0]);
        host.world_changed();
        crate::drawn::show(&node, &take);
        let time = f64::from(node.int("startFrame"));
        let frame = at(&node, time);
        assert_eq!(frame.image().pixel(32, 24), [1.0, 0.5, 0.25, 1.0]);
        assert_eq!(frame.image().pixel(2, 40), source().pixel(2.5, 40.5, time));
    }
}
