//! Takes that begin with an image: a frame of Source, or a file.

use std::fs;

use wan_alpha_take::{Ellipse, StillImage};
use wan_alpha_test_host::{Context, Node, Profile, Project, RenderAsk, Shape, Source};

use crate::drawn::linear;
use crate::workshop::{Workshop, alone, event, plain_node, request, until_status};

/// Of the project, and of the clip that is connected.
const SIDES: [f64; 2] = [96.0, 48.0];

/// How an image may say that it carries its alpha.
const ALPHAS: [&str; 3] =
    ["OfxImageAlphaPremultiplied", "OfxImageAlphaUnPremultiplied", "OfxImageOpaque"];

/// A green disc on the left, half transparent, that moves up with time; the rest is nothing.
fn disc(u: f64, v: f64, time: f64) -> [f32; 4] {
    let (x, y) = (u * SIDES[0] - 24.0, v * SIDES[1] - 20.0 - time / 4.0);
    if x * x + y * y < 144.0 { [0.1, 0.7, 0.3, 0.5] } else { [0.0; 4] }
}

/// The same as a host that works in linear light has it.
fn linear_disc(u: f64, v: f64, time: f64) -> [f32; 4] {
    let [r, g, b, alpha] = disc(u, v, time);
    [linear(r), linear(g), linear(b), alpha]
}

fn clip() -> Source {
    Source::over([0.0, 0.0, SIDES[0], SIDES[1]]).showing(disc).with_alpha(ALPHAS[0])
}

fn profile(profile: Profile) -> Profile {
    profile.sized(SIDES[0], SIDES[1])
}

/// A node with Source, of a model that makes video from an image.
fn node_of(workshop: &Workshop, project: &Project) -> Node {
    workshop.change_model("scripted", |model| model.images = Some(1));
    let node = project.add(Context::General).unwrap();
    plain_node(&node, "one");
    node.set("transfer", 0);
    node
}

/// The image of the take that the node has asked for, from the store.
#[track_caller]
fn image(workshop: &Workshop, node: &Node) -> StillImage {
    let hash = request(node).first_image.unwrap();
    workshop.store().image(&hash).image.unwrap()
}

/// Whether an image is the disc at a time.
#[track_caller]
fn is_disc(image: &StillImage, time: f64, opaque: bool) {
    assert_eq!([image.width(), image.height()], [96, 48]);
    for (at, pixel) in image.pixels().iter().enumerate() {
        let [x, y] = [(at % 96) as f64 + 0.5, 47.5 - (at / 96) as f64];
        let [r, g, b, alpha] = disc(x / 96.0, y / 48.0, time);
        let expected = [r, g, b, if opaque { 1.0 } else { alpha }];
        let is_it = pixel.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(is_it, "{pixel:?} for {expected:?} at {x}, {y}");
    }
}

#[track_caller]
fn refused(node: &Node, words: &str) {
    let before = node.text("takeRequest");
    node.press("generate");
    assert!(node.text("status").contains(words), "`{words}` is not in {}", node.text("status"));
    assert_eq!(node.text("takeRequest"), before);
    event(node);
    assert!(node.text("status").contains(words), "it does not stand: {}", node.text("status"));
}

fn the_frame_of_source(workshop: &Workshop, host: Profile, is_linear: bool) {
    let (_host, plugin) = workshop.load(profile(host));
    let project = plugin.project();
    let node = node_of(workshop, &project);
    node.set("startFrame", 40);
    node.set("useSourceFrame", 1);
    for (count, alpha) in (1..).zip(ALPHAS) {
        let shows = if is_linear { linear_disc } else { disc };
        node.connect("Source", clip().with_alpha(alpha).showing(shows));
        let fetched = node.fetched("Source");
        node.press("generate");
        assert_eq!(node.fetched("Source") - fetched, 1);
        is_disc(&image(workshop, &node), 40.0, alpha == ALPHAS[2]);
        let asked = request(&node);
        assert_eq!(asked.first_image_name.as_deref(), Some("Source frame 40"));
        // Of the image's aspect, and about as many pixels as the model's own takes have.
        assert_eq!([asked.width, asked.height], [64, 32]);
        until_status(&node, "ready", |status| status.starts_with("Ready"));
        assert!(node.text("status").contains("begins with Source frame 40, 96x48"));
        // Nothing else looks at it.
        node.set("prompt", format!("again {count}"));
        event(&node);
        let _ = node.render(&RenderAsk::at(44.0));
        assert!(!node.text("status").contains("image"), "{}", node.text("status"));
        assert_eq!(node.fetched("Source") - fetched, 1);
    }
    // However it is carried, it is one image; without alpha it is another.
    assert_eq!(workshop.store().images().len(), 2);
}

alone! {
    fn a_frame_of_source_is_taken_in_a_display_referred_host(workshop) {
        the_frame_of_source(workshop, Profile::plain(), false);
    }

    fn a_frame_of_source_is_taken_in_nuke(workshop) {
        the_frame_of_source(workshop, Profile::nuke(), true);
    }

    fn a_frame_of_source_is_taken_in_natron(workshop) {
        the_frame_of_source(workshop, Profile::natron(), true);
    }

    fn a_frame_of_source_is_in_the_color_space_that_a_host_says_it_is_in(workshop) {
        let host = Profile::plain().managing_color("OfxImageEffectColourManagementCore");
        let (_host, plugin) = workshop.load(profile(host));
        let project = plugin.project();
        let node = node_of(workshop, &project);
        node.set("startFrame", 40);
        node.set("useSourceFrame", 1);
        // The node itself gives what is display-referred.
        node.connect("Source", clip().showing(linear_disc).in_colorspace("lin_rec709_srgb"));
        node.press("generate");
        is_disc(&image(workshop, &node), 40.0, false);
        assert!(!node.text("status").contains("color space"), "{}", node.text("status"));
        node.connect("Source", clip().in_colorspace("arri_logc4"));
        node.press("generate");
        is_disc(&image(workshop, &node), 40.0, false);
        assert!(node.text("status").contains("in the color space arri_logc4, which"));
    }

    fn the_ellipse_is_that_of_the_image_unless_it_is_drawn(workshop) {
        let (_host, plugin) = workshop.load(profile(Profile::plain()));
        let project = plugin.project();
        let node = node_of(workshop, &project);
        node.set("startFrame", 1);
        node.set("useSourceFrame", 1);
        node.connect("Source", clip());
        let ellipse = |node: &Node| -> Ellipse {
            let ellipses = request(node).ellipse;
            assert!(ellipses.iter().all(|ellipse| *ellipse == ellipses[0]));
            ellipses[0]
        };
        node.press("generate");
        let first = ellipse(&node);
        // Fitted on a grid of 8 by 4 cells, and enlarged as the released tool does.
        assert!((first.x - 0.25).abs() < 0.1 && (0.4..0.9).contains(&first.b), "{first:?}");
        // The panel and the viewer show it; undone with the take.
        assert_eq!(node.doubles("ellipseCenter"), [first.x, first.y]);
        assert_eq!(node.doubles("ellipseAxes"), [first.a, first.b]);
        event(&node);
        assert!(!node.text("status").contains("hanged since"), "{}", node.text("status"));
        // Nobody has drawn it: of another frame it is another.
        node.set("startFrame", 60);
        node.press("generate");
        let second = ellipse(&node);
        assert!(second.y > first.y + 0.05, "{first:?} {second:?}");
        // Drawn, it stays.
        node.set("ellipseCenter", [0.5, 0.25]);
        node.set("startFrame", 20);
        node.press("generate");
        assert_eq!((ellipse(&node).x, ellipse(&node).y), (0.5, 0.25));
        node.key("ellipseCenter", 20.0, [0.1, 0.5]);
        node.key("ellipseCenter", 40.0, [0.9, 0.5]);
        node.press("generate");
        assert_ne!(request(&node).ellipse[0], request(&node).ellipse[2]);
    }

    fn where_there_is_no_image_it_is_said(workshop) {
        let (_host, plugin) = workshop.load(profile(Profile::plain()));
        let project = plugin.project();
        let node = node_of(workshop, &project);
        refused(&node, "model scripted makes video from an image; turn Use Source frame on");
        node.set("useSourceFrame", 1);
        refused(&node, "nothing is connected to Source");
        node.connect("Source", clip().with_frames([50.0, 60.0]));
        node.set("startFrame", 7);
        refused(&node, "the host gives no image of Source at frame 7, where the take begins");
        node.set("image", "/nowhere/fox.png");
        refused(&node, "turn one off, or empty the other");
        node.set("useSourceFrame", 0);
        refused(&node, "there is no file /nowhere/fox.png");
        node.set("image", "fox.png");
        refused(&node, "expected the whole path of a file");
        node.set("image", "");
        node.set("useSourceFrame", 1);
        node.set("startFrame", 55);
        workshop.change_model("scripted", |model| model.images = Some(2));
        std::thread::sleep(std::time::Duration::from_millis(1100));
        refused(&node, "--last-image FILE");
        workshop.change_model("scripted", |model| model.images = Some(0));
        std::thread::sleep(std::time::Duration::from_millis(1100));
        refused(&node, "makes video from text alone");
        // A record of before images counts says nothing: the engine knows.
        workshop.change_model("scripted", |model| model.images = None);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        node.press("generate");
        assert!(request(&node).first_image.is_some());
    }

    fn a_host_that_refuses_images_is_told_of(workshop) {
        let mut host = profile(Profile::plain());
        host.refuses_images = Some(wan_alpha_test_host::Status::FAILED);
        let (_host, plugin) = workshop.load(host);
        let project = plugin.project();
        let node = node_of(workshop, &project);
        node.set("useSourceFrame", 1);
        node.connect("Source", clip());
        refused(&node, "the host gives no image of Source");
    }

    fn a_file_is_read_by_the_program_that_makes_takes(workshop) {
        let (_host, plugin) = workshop.load(profile(Profile::resolve()));
        workshop.change_model("scripted", |model| model.images = Some(1));
        let project = plugin.project();
        let node = project.add(Context::Generator).unwrap();
        plain_node(&node, "one");
        let file = workshop.at("fox.image.txt");
        fs::write(&file, "80x40 disc").unwrap();
        node.set("image", file.to_str().unwrap());
        node.press("generate");
        let asked = request(&node);
        assert_eq!(asked.first_image_name.as_deref(), Some("fox.image.txt"));
        assert_eq!([asked.width, asked.height], [64, 32]);
        assert_eq!(image(workshop, &node).width(), 80);
        // That of the disc, as wide as high; the untouched one is not.
        let Ellipse { a, b, .. } = asked.ellipse[0];
        assert!((0.4..0.9).contains(&a) && (a - b).abs() < 0.05, "{:?}", asked.ellipse);
        // The instance that took it is gone by now.
        let status = until_status(&node, "ready", |status| status.starts_with("Ready"));
        assert!(status.contains("The take begins with fox.image.txt, 80x40."), "{status}");
        // Another picture under the same name is another take.
        fs::write(&file, "40x40 disc").unwrap();
        node.press("generate");
        assert_ne!(request(&node).first_image, asked.first_image);
        assert_eq!([request(&node).width, request(&node).height], [48, 48]);
    }

    fn a_take_that_is_lost_is_made_again_of_the_image_in_the_store(workshop) {
        let saved = workshop.at("shot.json");
        let asked = {
            let (_host, plugin) = workshop.load(profile(Profile::plain()));
            let project = plugin.project();
            let node = node_of(workshop, &project);
            let file = workshop.at("fox.image.txt");
            fs::write(&file, "80x40 disc").unwrap();
            node.set("image", file.to_str().unwrap());
            node.press("generate");
            until_status(&node, "ready", |status| status.starts_with("Ready"));
            project.save(&saved);
            fs::remove_file(&file).unwrap();
            request(&node)
        };
        // Nobody uses it while the project is closed.
        for take in workshop.takes() {
            workshop.store().remove(&take).unwrap();
        }
        let (host, plugin) = workshop.load(profile(Profile::plain()));
        let project = plugin.open(&saved).unwrap();
        let node = project.nodes().remove(0);
        until_status(&node, "missing", |status| status.contains("This take is in no store"));
        node.press("makeAgain");
        let status = until_status(&node, "ready", |status| status.starts_with("Ready"));
        assert!(status.contains("The take begins with fox.image.txt, 80x40."), "{status}");
        assert_eq!(request(&node), asked);
        assert_eq!(workshop.takes(), [asked.key().unwrap()]);
        host.world_changed();
    }

    fn a_file_without_alpha_is_refused_and_matte_and_opaque_are_offered(workshop) {
        let (_host, plugin) = workshop.load(profile(Profile::plain()));
        let project = plugin.project();
        let node = node_of(workshop, &project);
        let [file, matte] = ["rgb.txt", "matte.txt"].map(|name| workshop.at(name));
        fs::write(&file, "64x48 rgb").unwrap();
        fs::write(&matte, "64x48 matte").unwrap();
        node.set("image", file.to_str().unwrap());
        refused(&node, "no alpha; give its alpha as a second picture with Matte, or take it as opaque with Opaque image");
        node.set("opaqueImage", 1);
        node.press("generate");
        assert!(image(workshop, &node).is_opaque());
        node.set("matte", matte.to_str().unwrap());
        node.press("generate");
        assert!(!image(workshop, &node).is_opaque());
    }

    fn the_overlay_shows_where_the_image_lies(workshop) {
        let (_host, plugin) = workshop.load(profile(Profile::plain()));
        let project = plugin.project();
        let node = node_of(workshop, &project);
        node.set("fit", 0);
        let loops = |node: &Node| -> Vec<[f64; 4]> {
            let drawing = node.overlay().unwrap().draw();
            let loops = drawing.shapes(Shape::LineLoop);
            let bounds = loops.iter().filter(|shape| shape.points.len() == 4).map(|shape| {
                let along = |axis: usize| shape.points.iter().map(move |point| point[axis]);
                let least = |axis| along(axis).fold(f64::MAX, f64::min);
                let most = |axis| along(axis).fold(f64::MIN, f64::max);
                [least(0), least(1), most(0), most(1)]
            });
            bounds.collect()
        };
        assert!(loops(&node).is_empty());
        node.set("useSourceFrame", 1);
        node.connect("Source", clip());
        // Before it is taken: the whole frame. The second is the color, the first its shadow.
        assert_eq!(loops(&node)[1], [0.0, 0.0, 96.0, 48.0]);
        node.press("generate");
        assert_eq!(loops(&node)[1], [0.0, 0.0, 96.0, 48.0]);
        // In a square take it is padded: it lies across the middle of it.
        node.set("resolution", 7);
        node.set("width", 64);
        node.set("height", 64);
        node.press("generate");
        assert_eq!([request(&node).width, request(&node).height], [64, 64]);
        assert_eq!(loops(&node)[1], [24.0, 12.0, 72.0, 36.0]);
        until_status(&node, "warned", |status| status.starts_with("Ready"));
    }

    fn a_batch_render_takes_no_image(workshop, "WAN_ALPHA_BATCH" = "1") {
        let (_host, plugin) = workshop.load(profile(Profile::plain()));
        let project = plugin.project();
        let node = node_of(workshop, &project);
        node.set("useSourceFrame", 1);
        node.connect("Source", clip());
        let frame = node.render(&RenderAsk::at(1.0));
        assert!(frame.failed() && frame.says().contains("is taken by Generate"), "{}", frame.says());
        assert_eq!(node.fetched("Source"), 0);
        assert!(workshop.takes().is_empty());
    }

    fn make_take_takes_the_frame_that_the_take_begins_on(workshop) {
        let (host, plugin) = workshop.load(profile(Profile::mlt()));
        workshop.change_model("scripted", |model| model.images = Some(1));
        let project = plugin.project();
        let node = project.add(Context::Filter).unwrap();
        node.connect("Source", clip().with_alpha(ALPHAS[1]).with_frames([0.0, 99.0]));
        node.set("prompt", "one");
        node.set("useSourceFrame", 1);
        node.set("startFrame", 8);
        let at = |time: f64| {
            host.world_changed();
            node.render(&RenderAsk::at(time))
        };
        assert!(!at(0.0).failed());
        node.set("makeTake", 1);
        let early = at(3.0);
        assert!(early.failed() && early.says().contains("frame 8 of the clip"), "{}", early.says());
        assert!(!at(8.0).failed());
        assert!(!at(12.0).failed() && !at(3.0).failed());
        let takes = workshop.takes();
        assert_eq!((takes.len(), workshop.store().images().len()), (1, 1));
        let take = workshop.store().find(&takes[0]).take.unwrap();
        let asked = &take.description().request;
        is_disc(&workshop.store().image(&asked.first_image.unwrap()).image.unwrap(), 8.0, false);
    }
}
