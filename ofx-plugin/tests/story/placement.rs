//! One ellipse, wherever an artist meets it.

use wan_alpha_take::{Ellipse, Interpolation, Mask, Track, frames};
use wan_alpha_test_host::Profile;

use crate::workshop::{FRAMES, SIZE, alone, plain_node, request};

/// Off-center, not round, turned, and on its way.
const KEYS: [(f64, Ellipse); 2] = [
    (0.0, Ellipse { x: 0.31, y: 0.62, a: 0.35, b: 0.8, angle: 25.0 }),
    (8.0, Ellipse { x: 0.71, y: 0.38, a: 0.55, b: 0.6, angle: -40.0 }),
];

alone! {
    fn node_text_and_track_file_make_one_mask_and_one_key(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.set("startFrame", 10);
        for (frame, ellipse) in KEYS {
            // 24 frames of the host are 16 of the take.
            let time = 10.0 + frame * 24.0 / 16.0;
            node.key("ellipseCenter", time, [ellipse.x, ellipse.y]);
            node.key("ellipseAxes", time, [ellipse.a, ellipse.b]);
            node.key("ellipseAngle", time, ellipse.angle);
        }
        node.press("generate");
        let by_node = request(&node);

        let latent_frames = frames::latent_frames(FRAMES).unwrap();
        let text: Vec<_> =
            KEYS.iter().map(|(frame, ellipse)| format!("{frame}: {ellipse}")).collect();
        let track = Track::parse(&text.join("; "), Interpolation::Linear).unwrap();
        let by_text = track.at_latent_frames(latent_frames);
        let file = serde_json::to_string(&by_text).unwrap();
        let by_file = Track::from_json(&file, latent_frames).unwrap();

        let [width, height] = SIZE.map(|side| side as usize / frames::CELL);
        let mask = |ellipses: &[Ellipse]| Mask::gaussian(ellipses, width, height);
        for ellipses in [by_text, by_file] {
            let typed = wan_alpha_take::TakeRequest { ellipse: ellipses, ..by_node.clone() };
            let typed = typed.accept().unwrap();
            assert_eq!(typed.ellipse, by_node.ellipse);
            assert_eq!(mask(&typed.ellipse).values(), mask(&by_node.ellipse).values());
            assert_eq!(typed.key().unwrap(), by_node.key().unwrap());
        }
    }

    fn speed_and_rate_say_when_a_key_is_met(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().at_rate(48.0));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.set("speed", 0.5);
        // A frame of the take is 6 of the host: latent frame 1 is met at 2.5 frames of the take.
        node.key("ellipseCenter", 10.0, [0.0, 0.5]);
        node.key("ellipseCenter", 70.0, [1.0, 0.5]);
        node.set("startFrame", 10);
        node.press("generate");
        let found: Vec<_> = request(&node).ellipse.iter().map(|ellipse| ellipse.x).collect();
        assert_eq!(found, [0.0, 0.25, 0.65]);
    }

    fn a_start_that_was_typed_stays_wherever_it_lies(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().from_to(1001.0, 1100.0));
        let project = plugin.project();
        for (typed, expected) in [(vec![], 1001), (vec![7], 7), (vec![7, 0], 0), (vec![5000], 5000)] {
            let node = project.add_preferred().unwrap();
            plain_node(&node, "one");
            for start in &typed {
                node.set("startFrame", *start);
            }
            node.press("generateAndWait");
            assert_eq!(node.int("startFrame"), expected, "{typed:?}");
            let says = "The take begins on frame 1001, the first of the timeline.";
            assert_eq!(node.text("status").contains(says), typed.is_empty(), "{}", node.text("status"));
        }
        // A typed 0 that was saved before anything was generated.
        let saved = workshop.at("shot.json");
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.set("startFrame", 7);
        node.set("startFrame", 0);
        project.save(&saved);
        let again = plugin.open(&saved).unwrap();
        let node = again.nodes().pop().unwrap();
        node.press("generate");
        assert_eq!(node.int("startFrame"), 0);
    }

    fn before_the_first_take_its_place_and_length_are_the_models(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.set("outside", 3);
        // 9 frames of 16 to the second, at 24 to the second; 64 × 48 pixels in the middle.
        assert_eq!(node.time_domain().1, [0.0, 12.0]);
        let overlay = node.overlay().unwrap();
        let outline = |drawing: wan_alpha_test_host::Drawing| {
            let points = &drawing.shapes(wan_alpha_test_host::Shape::LineLoop)[1].points;
            let across = points.iter().map(|point| point[0]);
            [across.clone().fold(f64::MAX, f64::min), across.fold(f64::MIN, f64::max)]
        };
        let before = outline(overlay.draw());
        assert!((before[1] - before[0] - 0.6 * 48.0).abs() < 2.0, "{before:?}");
        node.press("generateAndWait");
        assert_eq!(outline(overlay.draw()), before, "the overlay jumps to the take");
        assert_eq!(node.time_domain().1, [1.0, 13.0]);
        assert!(!workshop.takes().is_empty());
    }

    fn strength_zero_is_without_ellipse(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.set("mu", 0.0);
        node.set("ellipseCenter", [0.1, 0.9]);
        node.press("generate");
        assert_eq!(request(&node).ellipse, [Ellipse::default(); 3]);
    }
}
