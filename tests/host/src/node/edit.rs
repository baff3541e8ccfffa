//! What the artist does with parameters, and what the panel shows.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::Node;
use crate::images::source::Source;
use crate::params::change::{self, Reason};
use crate::params::undo::{self, Step};
use crate::params::{Curve, Param, ParamKind, Value};
use crate::properties::Properties;
use crate::rules::fail;
use crate::status::Status;

impl Node {
    /// The artist changes a parameter. On one that is animated this makes a key where he is in time.
    #[track_caller]
    pub fn set(&self, id: &str, value: impl Into<Value>) {
        let param = self.param(id);
        let value = fitted(&param, value.into());
        let now = self.state.project.now();
        self.edit(&param, now, |curve| {
            if curve.is_animating() { curve.key(now, value) } else { curve.set(value) }
        });
    }

    /// The artist makes a key.
    #[track_caller]
    pub fn key(&self, id: &str, time: f64, value: impl Into<Value>) {
        let param = self.param(id);
        if !param.animates() {
            fail(&format!("{id} does not animate"));
        }
        let value = fitted(&param, value.into());
        self.edit(&param, time, |curve| curve.key(time, value));
    }

    /// The artist deletes a key.
    #[track_caller]
    pub fn delete_key(&self, id: &str, time: f64) {
        let param = self.param(id);
        self.edit(&param, time, |curve| {
            curve.delete_key(time);
        });
    }

    /// The artist deletes all keys; the value of the first one stays.
    #[track_caller]
    pub fn delete_keys(&self, id: &str) {
        let param = self.param(id);
        self.edit(&param, self.state.project.now(), Curve::delete_all_keys);
    }

    /// The artist resets a parameter to its default.
    #[track_caller]
    pub fn reset(&self, id: &str) {
        let param = self.param(id);
        let default = param.default();
        self.edit(&param, self.state.project.now(), |curve| curve.set(default));
    }

    #[track_caller]
    fn edit(&self, param: &Arc<Param>, time: f64, change: impl FnOnce(&mut Curve)) {
        let node = &self.state;
        node.host().on_main_thread();
        if param.kind.count() == 0 {
            fail(&format!("{} is a {} and has no value", param.id, param.kind.name()));
        }
        let before = param.curve();
        let mut after = before.clone();
        change(&mut after);
        let clamp = node.host().profile.clamp;
        let after = after.map(|value| param.clamped(value, clamp));
        param.replace(after.clone());
        let effect = node.effect();
        node.mirror(&effect, param);
        undo::by_artist(node, param, before, after);
        node.touch();
        change::tell(&effect, "OfxTypeParameter", &[param.id.as_str()], Reason::UserEdited, time);
        change::prefer_again(&effect, &param.id);
        node.after_action();
    }

    /// The artist presses a button. What the plug-in answers.
    #[track_caller]
    pub fn press(&self, id: &str) -> Status {
        let param = self.param(id);
        if param.kind != ParamKind::PushButton {
            fail(&format!("{id} is a {}, not a button", param.kind.name()));
        }
        if self.state.host().profile.instance_per_frame {
            fail(&format!("this host has no buttons, {id} least of all"));
        }
        let status = self.changed(id, Reason::UserEdited, self.state.project.now());
        self.state.touch();
        self.state.after_action();
        status
    }

    /// The host says that a parameter has changed, of whatever name. What the plug-in answers.
    #[track_caller]
    pub fn changed(&self, name: &str, reason: Reason, time: f64) -> Status {
        self.state.host().on_main_thread();
        let effect = self.state.effect();
        let status = change::tell(&effect, "OfxTypeParameter", &[name], reason, time);
        self.state.after_action();
        status
    }

    /// The artist undoes the last step. Its name, if there was one.
    #[track_caller]
    pub fn undo(&self) -> Option<String> {
        let step = self.state.steps.lock().done.pop()?;
        self.replay(&step, |change| change.before.clone());
        let name = step.name.clone();
        self.state.steps.lock().undone.push(step);
        self.state.after_action();
        Some(name)
    }

    /// The artist does again what was undone last. Its name, if there was something.
    #[track_caller]
    pub fn redo(&self) -> Option<String> {
        let step = self.state.steps.lock().undone.pop()?;
        self.replay(&step, |change| change.after.clone());
        let name = step.name.clone();
        self.state.steps.lock().done.push(step);
        self.state.after_action();
        Some(name)
    }

    #[track_caller]
    fn replay(&self, step: &Step, curve: impl Fn(&undo::Change) -> Curve) {
        let node = &self.state;
        node.host().on_main_thread();
        let effect = node.effect();
        for change in &step.changes {
            if let Some(param) = effect.params.find(&change.id) {
                param.replace(curve(change));
                node.mirror(&effect, &param);
            }
        }
        node.touch();
        node.steps.lock().replaying = true;
        for change in &step.changes {
            let time = node.project.now();
            let names = [change.id.as_str()];
            change::tell(&effect, "OfxTypeParameter", &names, Reason::UserEdited, time);
            change::prefer_again(&effect, &change.id);
        }
        node.steps.lock().replaying = false;
    }

    /// Names of the steps that could be undone, the last one last.
    #[must_use]
    pub fn undo_steps(&self) -> Vec<String> {
        self.state.steps.lock().done.iter().map(|step| step.name.clone()).collect()
    }

    /// Names of the steps that could be done again, the next one last.
    #[must_use]
    pub fn redo_steps(&self) -> Vec<String> {
        self.state.steps.lock().undone.iter().map(|step| step.name.clone()).collect()
    }

    /// The value of a parameter where the artist is in time.
    #[must_use]
    #[track_caller]
    pub fn value(&self, id: &str) -> Value {
        self.value_at(id, self.state.project.now())
    }

    /// The value of a parameter at a time.
    #[must_use]
    #[track_caller]
    pub fn value_at(&self, id: &str, time: f64) -> Value {
        let param = self.param(id);
        param.curve().at(time, param.kind)
    }

    /// The value of a text.
    #[must_use]
    #[track_caller]
    pub fn text(&self, id: &str) -> String {
        match self.value(id) {
            Value::Text(text) => text,
            other => fail(&format!("{id} is no text but {other}")),
        }
    }

    /// The value of a whole number, a choice or a yes or no.
    #[must_use]
    #[track_caller]
    pub fn int(&self, id: &str) -> i32 {
        let value = self.value(id);
        match value.as_int() {
            Some(int) => int,
            None => fail(&format!("{id} is no whole number but {value}")),
        }
    }

    /// The value of a number.
    #[must_use]
    #[track_caller]
    pub fn double(&self, id: &str) -> f64 {
        let value = self.value(id);
        match value.as_double() {
            Some(double) => double,
            None => fail(&format!("{id} is no number but {value}")),
        }
    }

    /// The values of several numbers.
    #[must_use]
    #[track_caller]
    pub fn doubles(&self, id: &str) -> Vec<f64> {
        match self.value(id) {
            Value::Doubles(doubles) => doubles,
            other => fail(&format!("{id} is no numbers but {other}")),
        }
    }

    /// The keys of a parameter.
    #[must_use]
    #[track_caller]
    pub fn keys(&self, id: &str) -> Vec<(f64, Value)> {
        self.param(id).curve().keys().to_vec()
    }

    /// Whether the panel lets the artist change it.
    #[must_use]
    #[track_caller]
    pub fn is_enabled(&self, id: &str) -> bool {
        let (param, described) = (self.param(id), self.described(id));
        let frozen = self.state.host().profile.freezes_described_state;
        let enabled = |set: &Properties| set.0.is_true("OfxParamPropEnabled");
        enabled(&Properties(param.properties.clone())) && (!frozen || enabled(&described))
    }

    /// Whether the panel hides it.
    #[must_use]
    #[track_caller]
    pub fn is_secret(&self, id: &str) -> bool {
        let (param, described) = (self.param(id), self.described(id));
        let frozen = self.state.host().profile.freezes_described_state;
        let secret = |set: &Properties| set.0.is_true("OfxParamPropSecret");
        secret(&Properties(param.properties.clone())) || (frozen && secret(&described))
    }

    #[track_caller]
    fn described(&self, id: &str) -> Properties {
        let described = self.state.project.loaded.contexts.get(&self.state.context);
        match described.and_then(|effect| effect.params.find(id)) {
            Some(param) => Properties(param.properties.clone()),
            None => fail(&format!("{id} was not described")),
        }
    }

    /// Ids and types of the parameters, in order.
    #[must_use]
    #[track_caller]
    pub fn params(&self) -> Vec<(String, ParamKind)> {
        let params = self.state.effect().params.all();
        params.iter().map(|param| (param.id.clone(), param.kind)).collect()
    }

    /// The properties of a parameter on this instance.
    #[must_use]
    #[track_caller]
    pub fn param_properties(&self, id: &str) -> Properties {
        Properties(self.param(id).properties.clone())
    }

    /// The properties of a clip on this instance.
    #[must_use]
    #[track_caller]
    pub fn clip_properties(&self, name: &str) -> Properties {
        match self.state.effect().clip(name) {
            Some(clip) => Properties(clip.properties.clone()),
            None => fail(&format!("{} has no clip {name}", self.state.name)),
        }
    }

    /// The properties of this instance.
    #[must_use]
    #[track_caller]
    pub fn properties(&self) -> Properties {
        Properties(self.state.effect().properties.clone())
    }

    /// Connects a picture to an input.
    #[track_caller]
    pub fn connect(&self, clip: &str, source: Source) {
        self.plug(clip, Some(source));
    }

    /// Disconnects an input from what it was connected to.
    #[track_caller]
    pub fn disconnect(&self, clip: &str) {
        self.plug(clip, None);
    }

    #[track_caller]
    fn plug(&self, name: &str, source: Option<Source>) {
        let node = &self.state;
        node.host().on_main_thread();
        for effect in node.instances() {
            match effect.clip(name) {
                Some(clip) if !clip.is_output() => clip.connect(source.clone()),
                _ => fail(&format!("{} has no input {name}", node.name)),
            }
            let time = node.project.now();
            change::tell(&effect, "OfxTypeClip", &[name], Reason::UserEdited, time);
            if effect.is_alive() {
                super::geometry::clip_preferences(&effect);
            }
        }
        node.touch();
        node.after_action();
    }
}

#[track_caller]
fn fitted(param: &Param, value: Value) -> Value {
    match value.clone().fitted(param.kind) {
        Some(value) => value,
        None => fail(&format!("{} is a {} and cannot be {value}", param.id, param.kind.name())),
    }
}
