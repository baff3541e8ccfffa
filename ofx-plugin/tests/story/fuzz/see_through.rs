//! The one step of a session that waits for what becomes of a take.

use wan_alpha_test_host::{RenderAsk, Settings};

use super::session::Session;
use crate::workshop::until_status;

impl Session<'_> {
    /// Asks for a take and waits for what becomes of it, beside all that is under way.
    pub(super) fn see_through(&mut self) {
        self.note("see a take through".to_owned());
        self.project.set_settings(Settings {
            size: self.profile.size,
            offset: self.profile.offset,
            pixel_aspect: self.profile.pixel_aspect,
            frame_rate: self.profile.frame_rate,
            timeline: self.profile.timeline,
        });
        let node = self.project.add_preferred().unwrap();
        node.set("prompt", "smoke");
        // One that nothing else asks for.
        node.set("seed", 2_000_000 + (self.tally.made + self.tally.failed) as i32);
        let (is_made, says) = if self.profile.instance_per_frame {
            let rendered = |on: i32| {
                node.set("makeTake", on);
                node.render(&RenderAsk { remembered: false, ..RenderAsk::at(1.0) })
            };
            assert!(!rendered(0).failed());
            let frame = rendered(1);
            (!frame.failed(), frame.says().to_owned())
        } else {
            // Some node of the session may have paused the engine.
            node.press("resume");
            node.press("generate");
            let refreshes = self.profile.sets_in_changes_only;
            let status = until_status(&node, "settled", |status| {
                let is_settled = status.contains("Ready") || status.contains("engine.log");
                if refreshes && !is_settled {
                    node.press("refresh");
                }
                is_settled
            });
            (status.contains("Ready"), status)
        };
        self.host.world_changed();
        assert_eq!(is_made, self.makes_takes, "{says}");
        self.tally.made += u32::from(self.makes_takes);
        self.tally.failed += u32::from(!self.makes_takes);
        node.delete();
    }
}
