//! The steps that press a button.

use wan_alpha_test_host::Node;

use super::session::Session;

const BUTTONS: [&str; 5] = ["cancel", "revert", "refresh", "startHere", "releaseGpu"];
/// Buttons that have a take made, and wait for none.
const ASKING: [&str; 5] = ["generate", "generate", "generate", "vary", "makeAgain"];
/// What keeps a take from being made that begins with nothing.
const LEFT_OUT: [&str; 5] = ["loras", "image", "matte", "useSourceFrame", "opaqueImage"];

impl Session<'_> {
    pub(super) fn button(&mut self, node: &Node) {
        if self.profile.instance_per_frame {
            // A session that asks for nothing leaves it off.
            let on = self.asks && self.rng.u32(0..3) == 0;
            self.note(format!("{}: makeTake {on}", node.name()));
            return node.set("makeTake", i32::from(on));
        }
        let button = match self.rng.u32(0..25) {
            0..8 if self.asks => self.pick(&ASKING),
            8 if self.asks => "generateAndWait",
            _ => self.pick(&BUTTONS),
        };
        // Whoever waits for an engine that is paused does so for good: no step leaves it paused.
        let pauses = button != "generateAndWait" && self.rng.u32(0..8) == 0;
        self.note(format!("{}: press {button}, paused {pauses}", node.name()));
        if button.starts_with("generate") {
            self.tally.generated += 1;
            if self.rng.bool() {
                for (id, value) in [("prompt", "smoke"), ("negativePrompt", ""), ("model", "auto")]
                {
                    node.set(id, value);
                }
                LEFT_OUT.iter().chain(&["precision"]).for_each(|id| node.reset(id));
            }
        }
        if pauses {
            node.press("pause");
        }
        let cancels = self.rng.bool().then(|| self.rng.u32(0..6));
        self.host.cancel_progress_at(cancels);
        node.press(button);
        let status = node.text("status");
        // Whether one that was asked for is ready by now is up to the engine.
        self.tally.ready += u32::from(!self.asks && status.contains("Ready"));
        self.tally.refused += u32::from(status.contains("Nothing was started"));
        if pauses {
            node.open_panel();
            node.press("resume");
        }
    }
}
