//! Steps back and forth.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::{Curve, Param, ParamSet};
use crate::doing;
use crate::node::NodeState;
use crate::profile::Undo;
use crate::rules::Rule;

/// What one parameter was and has become.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) before: Curve,
    pub(crate) after: Curve,
}

/// What is undone at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) changes: Vec<Change>,
}

impl Step {
    /// A parameter that changes again within a step is still undone to what it was before it.
    fn add(&mut self, change: Change) {
        match self.changes.iter_mut().find(|known| known.id == change.id) {
            Some(known) => known.after = change.after,
            None => self.changes.push(change),
        }
    }
}

/// The steps of one node.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) done: Vec<Step>,
    pub(crate) undone: Vec<Step>,
    /// The edit that the plug-in has begun, and how often.
    open: Option<(Step, u32)>,
    /// While the plug-in is being told of undo and redo.
    pub(crate) replaying: bool,
}

impl Steps {
    pub(crate) fn push(&mut self, step: Step) {
        if !step.changes.is_empty() {
            self.done.push(step);
            self.undone.clear();
        }
    }
}

fn node_of(set: &ParamSet) -> Option<Arc<NodeState>> {
    set.effect.upgrade()?.node.upgrade()
}

/// The plug-in begins an edit.
pub(crate) fn begin(set: &ParamSet, name: &str) {
    let Some(node) = node_of(set) else { return };
    let mut steps = node.steps.lock();
    match &mut steps.open {
        Some((_, depth)) => *depth += 1,
        None => {
            steps.open = Some((Step { name: name.to_owned(), changes: Vec::new() }, 1));
        }
    }
}

/// The plug-in ends an edit.
pub(crate) fn end(set: &ParamSet) {
    let Some(node) = node_of(set) else { return };
    let mut steps = node.steps.lock();
    match steps.open.take() {
        Some((step, 1)) => steps.push(step),
        Some((step, depth)) => steps.open = Some((step, depth - 1)),
        None => {}
    }
}

/// The plug-in has written a parameter.
pub(crate) fn by_plugin(node: &NodeState, param: &Param, before: Curve, after: Curve) {
    let mut steps = node.steps.lock();
    let undoable = match node.host().profile.undo {
        Undo::CanUndo => param.can_undo(),
        Undo::EditBlockInOpenPanel => {
            let shown = node.is_panel_open() && steps.open.is_some();
            param.can_undo() && param.evaluates() && shown
        }
        Undo::OfTheArtistOnly => false,
    };
    if !undoable || before == after {
        return;
    }
    if steps.replaying {
        let words = format!("{} is written, which loses what could be redone", param.id);
        doing::fault(Rule::UndisturbedUndo, words);
        return;
    }
    let change = Change { id: param.id.clone(), before, after };
    if let Some((step, _)) = &mut steps.open {
        step.add(change);
    } else {
        let name = format!("Set {}", change.id);
        steps.push(Step { name, changes: vec![change] });
    }
}

/// The artist has changed a parameter.
pub(crate) fn by_artist(node: &NodeState, param: &Param, before: Curve, after: Curve) {
    let undoable = match node.host().profile.undo {
        Undo::CanUndo | Undo::OfTheArtistOnly => param.can_undo(),
        Undo::EditBlockInOpenPanel => param.can_undo() && param.evaluates(),
    };
    if undoable && before != after {
        let change = Change { id: param.id.clone(), before, after };
        let name = format!("Change {}", change.id);
        node.steps.lock().push(Step { name, changes: vec![change] });
    }
}
