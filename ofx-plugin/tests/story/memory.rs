//! The memory that a node grants its takes.

use wan_alpha_take::DecodeTiling;
use wan_alpha_test_host::Profile;

use crate::workshop::{alone, plain_node, request, until_status};

alone! {
    fn little_memory_has_large_frames_decoded_in_tiles(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        node.set("frames", 1);
        let tiling = |memory: i32, size: [i32; 2]| {
            node.set("memory", memory);
            // The last choice: width and height count.
            node.set("resolution", 7);
            node.set("width", size[0]);
            node.set("height", size[1]);
            node.press("generate");
            until_status(&node, "ready", |status| status.starts_with("Ready"));
            request(&node).decode_tiling
        };
        assert_eq!(tiling(0, [832, 480]), DecodeTiling::Whole);
        assert_eq!(tiling(1, [832, 480]), DecodeTiling::Tiled);
        assert_eq!(tiling(1, [64, 48]), DecodeTiling::Whole);
        assert_eq!(tiling(2, [832, 480]), DecodeTiling::Whole);
        // What was chosen since is told.
        node.set("memory", 1);
        until_status(&node, "told", |status| status.contains("Changed since this take: memory."));
    }
}
