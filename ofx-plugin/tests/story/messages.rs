//! What the node says, as hosts show it: Natron, which loses the arguments of a message, one that
//! formats, and one that shows the format as it is.

use wan_alpha_test_host::{Formatting, Profile, RenderAsk, Status};

use crate::workshop::{alone, plain_node};

alone! {
    fn a_refusal_is_read_in_every_host(workshop) {
        for profile in [
            Profile::natron(),
            Profile::plain(),
            Profile::plain().formatting(Formatting::AsGiven),
        ] {
            let (_host, plugin) = workshop.load(profile);
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            plain_node(&node, "one");
            node.set("model", "nowhere");
            node.press("generate");
            let messages = node.messages();
            let [message] = &messages[..] else { panic!("{messages:?}") };
            let (text, status) = (&message.text, node.text("status"));
            assert!(text.contains("Nothing was started: no model `nowhere`"), "{text}");
            assert_eq!(*text, status);
        }
    }

    fn percent_signs_are_signs(
        workshop, "WAN_ALPHA_MISSING" = "50%s and %n %d", "WAN_ALPHA_BATCH" = "1"
    ) {
        for (profile, sign) in [
            (Profile::natron(), "%"),
            (Profile::plain(), "%"),
            (Profile::plain().formatting(Formatting::AsGiven), "%%"),
        ] {
            let (_host, plugin) = workshop.load(profile);
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            plain_node(&node, "one");
            let frame = node.render(&RenderAsk::at(0.0).for_a_file());
            let expected = format!("WAN_ALPHA_MISSING is 50{sign}s and {sign}n {sign}d");
            assert!(frame.failed() && frame.says().starts_with(&expected), "{}", frame.says());
        }
    }

    fn an_image_that_cannot_be_drawn_into_is_told(workshop) {
        for (profile, status, says) in [
            (
                Profile::natron().with_images_saying("OfxImageEffectPropComponents", "OfxImageComponentRGB"),
                Status::ERR_IMAGE_FORMAT,
                "The host's image has RGB pixels of Float: expected RGBA",
            ),
            (
                Profile::natron().with_images_saying("OfxImageEffectPropPixelDepth", "OfxBitDepthOdd"),
                Status::ERR_IMAGE_FORMAT,
                "The host's image has RGBA pixels of Odd: expected RGBA",
            ),
            (
                Profile::natron().refusing_images(Status::ERR_MEMORY),
                Status::ERR_MEMORY,
                "The host has no memory for the picture; free some",
            ),
            (
                Profile::natron().refusing_images(Status::FAILED),
                Status::FAILED,
                "The host gives no image to draw into (its status is 1)",
            ),
        ] {
            let (_host, plugin) = workshop.load(profile);
            let project = plugin.project();
            let node = project.add_preferred().unwrap();
            let frame = node.render(&RenderAsk::at(0.0));
            assert_eq!(frame.status, status, "{says}");
            assert!(frame.says().starts_with(says), "{}", frame.says());
        }
    }

    fn memory_of_another_depth_than_the_image_says_is_told(workshop) {
        // As the demo of HostSupport does: Float, over a buffer of bytes.
        let says = Profile::plain()
            .with_images_saying("OfxImageEffectPropPixelDepth", "OfxBitDepthFloat");
        let (_host, plugin) = workshop.load(says);
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let frame = node.render(&RenderAsk::at(0.0).in_depth(wan_alpha_test_host::Depth::Byte));
        assert_eq!(frame.status, Status::FAILED);
        let expected = "The host's image cannot be: 1920 x 1080 pixels of 16 bytes, in rows of 7680";
        assert!(frame.says().starts_with(expected), "{}", frame.says());
    }

    fn a_request_that_cannot_be_read_is_told(workshop, "WAN_ALPHA_BATCH" = "1") {
        let (_host, plugin) = workshop.load(Profile::natron());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        node.set("takeRequest", "no base64 at all!");
        let frame = node.render(&RenderAsk::at(0.0).for_a_file());
        assert!(frame.failed() && frame.says().starts_with("Not readable: "), "{}", frame.says());
    }
}
