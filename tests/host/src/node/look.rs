//! Single questions, for those who want the plug-in's own answer.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::geometry::FramesOfClips;
use super::{Node, colors, geometry};
use crate::action::Action;
use crate::call::Call;
use crate::effect::{Effect, Preferences};
use crate::images::Rect;
use crate::rules::fail;
use crate::status::Status;

impl Node {
    /// Asks the instance whose panel is shown; where there is one for each frame, that of a time.
    #[track_caller]
    fn of_frame<R>(&self, time: f64, question: impl FnOnce(&Arc<Effect>) -> R) -> R {
        if self.state.host().profile.instance_per_frame {
            return self.with_instance(0, time, question);
        }
        question(&self.state.effect())
    }

    /// The region of definition at a time, and how the plug-in answered.
    #[track_caller]
    pub fn region(&self, time: f64) -> (Status, [f64; 4]) {
        let ask = |effect: &Arc<Effect>| geometry::region(effect, time, [1.0; 2]);
        let answer = self.of_frame(time, ask);
        self.state.host().faults.check();
        answer
    }

    /// The regions of inputs that are wanted for a region of the output.
    #[track_caller]
    pub fn regions_of_interest(
        &self,
        time: f64,
        wanted: [f64; 4],
    ) -> (Status, Vec<(String, [f64; 4])>) {
        let answer = self
            .of_frame(time, |effect| geometry::regions_of_interest(effect, time, [1.0; 2], wanted));
        self.state.host().faults.check();
        answer
    }

    /// The frames of inputs that are wanted for a frame of the output.
    #[track_caller]
    pub fn frames_needed(&self, time: f64) -> (Status, FramesOfClips) {
        let answer = geometry::frames_needed(&self.state.effect(), time);
        self.state.host().faults.check();
        answer
    }

    /// The clip and time whose picture this one is, if it is.
    #[track_caller]
    pub fn identity(&self, time: f64, window: Rect) -> Option<(String, f64)> {
        let answer = self.of_frame(time, |effect| {
            geometry::identity(effect, time, [1.0; 2], window, "OfxFieldNone")
        });
        self.state.host().faults.check();
        answer
    }

    /// From when to when there is a picture.
    #[track_caller]
    pub fn time_domain(&self) -> (Status, [f64; 2]) {
        self.state.host().on_main_thread();
        let answer = self.of_frame(self.state.project.now(), geometry::time_domain);
        self.state.host().faults.check();
        answer
    }

    /// What the plug-in wants of its clips.
    #[track_caller]
    pub fn preferences(&self) -> (Status, Preferences) {
        self.state.host().on_main_thread();
        let now = self.state.project.now();
        let answer = self.of_frame(now, geometry::clip_preferences);
        self.state.host().faults.check();
        answer
    }

    /// The color space that the output is said to be in, and how the plug-in answered; the default is no
    /// color space.
    #[track_caller]
    pub fn output_colorspace(&self) -> (Status, String) {
        self.state.host().on_main_thread();
        let answer = self.of_frame(self.state.project.now(), colors::ask);
        self.state.host().faults.check();
        answer
    }

    /// How often this instance has fetched an image of a clip.
    #[must_use]
    #[track_caller]
    pub fn fetched(&self, clip: &str) -> u32 {
        match self.state.effect().clip(clip) {
            Some(clip) => clip.fetched.load(Ordering::Relaxed),
            None => fail(&format!("{} has no clip {clip}", self.state.name)),
        }
    }

    /// An action of whatever name on this instance, without arguments.
    #[track_caller]
    pub fn action(&self, name: &str) -> Status {
        self.state.host().on_main_thread();
        let ask = |effect: &Arc<Effect>| Call::of(effect, Action::named(name)).perform();
        let status = self.of_frame(self.state.project.now(), ask);
        self.state.after_action();
        status
    }
}
