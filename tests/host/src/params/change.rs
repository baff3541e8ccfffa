//! Changes of values, and telling the plug-in of them.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::undo;
use super::{Curve, Param};
use crate::action::Action;
use crate::boundary::Answer;
use crate::call::Call;
use crate::doing;
use crate::effect::Effect;
use crate::rules::Rule;
use crate::status::Status;

/// Why something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The artist did it; also by undo, redo and presets.
    UserEdited,
    /// The plug-in did it.
    PluginEdited,
    /// The time of the project has changed.
    Time,
}

impl Reason {
    /// As OpenFX names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserEdited => "OfxChangeUserEdited",
            Self::PluginEdited => "OfxChangePluginEdited",
            Self::Time => "OfxChangeTime",
        }
    }
}

/// Changes that lead to changes go no deeper.
const DEEPEST: usize = 16;

/// Where the artist is in time.
pub(crate) fn timeline_time(param: &Param) -> f64 {
    let node = param.effect.upgrade().and_then(|effect| effect.node.upgrade());
    node.map_or(0.0, |node| node.project.now())
}

/// The plug-in changes a parameter: the host keeps it, remembers it for undo, and tells the plug-in
/// of it as if somebody else had done it. `change` is given the curve and the current time.
pub(crate) fn by_plugin(
    param: &Arc<Param>,
    verb: &str,
    change: impl FnOnce(&mut Curve, f64) -> bool,
) -> Answer {
    let doing = doing::here()?;
    let effect = param.effect.upgrade().ok_or(Status::ERR_BAD_HANDLE)?;
    let only_in_changes = effect.host.profile.sets_in_changes_only;
    if !doing.action.may_set_parameters() || only_in_changes && !doing.action.is_change() {
        doing.fault(Rule::SetWhereAllowed, format!("the plug-in {verb} {}", param.id));
        return Err(Status::FAILED);
    }
    let current = doing.time.unwrap_or_else(|| timeline_time(param));
    let before = param.curve();
    let mut after = before.clone();
    if !change(&mut after, current) {
        return Err(Status::FAILED);
    }
    let after = after.map(|value| param.clamped(value, effect.host.profile.clamp));
    param.replace(after.clone());
    if !effect.is_alive() {
        doing.fault(Rule::NoSetInCreate, format!("the plug-in {verb} {}", param.id));
        return Ok(());
    }
    if let Some(node) = effect.node.upgrade() {
        node.mirror(&effect, param);
        undo::by_plugin(&node, param, before, after);
        node.touch();
    }
    if doing::depth(&Action::InstanceChanged) >= DEEPEST {
        let words = format!("a change of {} follows {DEEPEST} others, each by the last", param.id);
        doing.fault(Rule::BoundedRecursion, words);
        return Ok(());
    }
    tell(&effect, "OfxTypeParameter", &[param.id.as_str()], Reason::PluginEdited, current);
    prefer_again(&effect, &param.id);
    Ok(())
}

/// Where clip preferences hang on it, they are asked for again.
pub(crate) fn prefer_again(effect: &Arc<Effect>, id: &str) {
    if !effect.is_alive() {
        return;
    }
    let slaves = effect.properties.texts("OfxImageEffectPropClipPreferencesSlaveParam");
    if slaves.iter().any(|slave| slave == id) {
        crate::node::geometry::clip_preferences(effect);
    }
}

/// Tells an instance that something has changed. The last answer to a change itself.
pub(crate) fn tell(
    effect: &Arc<Effect>,
    kind: &str,
    names: &[&str],
    reason: Reason,
    time: f64,
) -> Status {
    if effect.host.profile.instance_per_frame {
        return Status::REPLY_DEFAULT;
    }
    let bracket = |action| {
        let mut call = Call::of(effect, action);
        call.arguments().put("OfxPropChangeReason", [reason.name()]);
        call.perform();
    };
    let lived = effect.is_alive();
    bracket(Action::BeginInstanceChanged);
    let mut answer = Status::REPLY_DEFAULT;
    for name in names {
        let mut call = Call::of(effect, Action::InstanceChanged).at(time).scaled([1.0; 2]);
        call.doing.by_artist = reason == Reason::UserEdited;
        let arguments = call.arguments();
        arguments.put("OfxPropType", [kind]);
        arguments.put("OfxPropName", [*name]);
        arguments.put("OfxPropChangeReason", [reason.name()]);
        answer = call.perform();
    }
    // Where the artist deletes the node meanwhile, there is nobody to tell.
    if effect.is_alive() || !lived {
        bracket(Action::EndInstanceChanged);
    }
    answer
}

/// What Nuke makes of a text: commands in brackets are run, variables put in, braces taken away.
/// There are no such commands and variables here, so that nothing is left of them.
pub(crate) fn evaluated(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '[' => {
                let mut depth = 1;
                while depth > 0
                    && let Some(inner) = rest.next()
                {
                    depth += match inner {
                        '[' => 1,
                        ']' => -1,
                        _ => 0,
                    };
                }
            }
            '$' => {
                while rest
                    .next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                    .is_some()
                {}
            }
            ']' | '{' | '}' => {}
            other => made.push(other),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::evaluated;

    #[test]
    fn nothing_is_left_of_commands_and_variables() {
        assert_eq!(evaluated("a cat [exec rm] on {grass} for $5 ok"), "a cat  on grass for  ok");
        assert_eq!(evaluated("plain, with \\ and \"quotes\""), "plain, with \\ and \"quotes\"");
        assert_eq!(evaluated("open [bracket"), "open ");
    }
}
