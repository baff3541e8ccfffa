//! Asking a plug-in for an action, and checking how it comes out of it.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::action::Action;
use crate::doing::{self, Doing};
use crate::effect::Effect;
use crate::host::HostState;
use crate::lent;
use crate::plugin::Entry;
use crate::properties::PropertySet;
use crate::rules::Rule;
use crate::status::Status;

/// An action that is about to be asked for.
pub(crate) struct Call {
    pub(crate) doing: Doing,
    entry: Entry,
    handle: usize,
    arguments: Option<Arc<PropertySet>>,
    reply: Option<Arc<PropertySet>>,
}

impl Call {
    /// Of the plug-in as a whole.
    pub(crate) fn to(host: &Arc<HostState>, entry: Entry, action: Action) -> Self {
        let doing = Doing::new(host, entry.address(), action);
        Self { doing, entry, handle: 0, arguments: None, reply: None }
    }

    /// A call of an action on an effect.
    pub(crate) fn of(effect: &Arc<Effect>, action: Action) -> Self {
        let mut call = Self::to(&effect.host, effect.entry, action);
        call.doing.effect = Some(effect.clone());
        call.handle = effect.handle();
        call
    }

    /// With another handle and entry point: an overlay's.
    pub(crate) fn through(mut self, entry: Entry, handle: usize) -> Self {
        self.entry = entry;
        self.handle = handle;
        self
    }

    pub(crate) fn at(mut self, time: f64) -> Self {
        self.doing.time = Some(time);
        self.arguments().put("OfxPropTime", [time]);
        self
    }

    pub(crate) fn scaled(mut self, scale: [f64; 2]) -> Self {
        self.arguments().put("OfxImageEffectPropRenderScale", scale);
        self
    }

    pub(crate) fn with_reply(mut self, reply: &Arc<PropertySet>) -> Self {
        self.reply = Some(reply.clone());
        self
    }

    /// With a set of somebody's in the place of arguments.
    pub(crate) fn with_arguments(mut self, arguments: &Arc<PropertySet>) -> Self {
        self.arguments = Some(arguments.clone());
        self
    }

    /// What is told with the action.
    pub(crate) fn arguments(&mut self) -> &Arc<PropertySet> {
        let host = &self.doing.host;
        self.arguments.get_or_insert_with(|| PropertySet::arguments(host))
    }

    /// The same, to look at.
    pub(crate) fn told(&self) -> Option<&Arc<PropertySet>> {
        self.arguments.as_ref()
    }

    /// Calls the plug-in, and checks how it behaves and answers.
    pub(crate) fn perform(self) -> Status {
        let doing = Arc::new(self.doing);
        let set = |set: &Option<Arc<PropertySet>>| set.as_ref().map_or(0, |set| set.handle());
        let (arguments, reply) = (set(&self.arguments), set(&self.reply));
        doing.host.count_action();
        let status = doing::within(&doing, || {
            self.entry.call(doing.action.name(), self.handle, arguments, reply)
        });
        lent::spoil();
        if !status.is_known() {
            doing.fault(Rule::KnownStatus, format!("it is answered with {status}"));
        } else if !doing.action.may_answer(status) {
            doing.fault(Rule::FittingStatus, format!("it is answered with {status}"));
        }
        doing.check_left();
        if let (Some(effect), Status::OK) = (&doing.effect, status) {
            match doing.action {
                Action::CreateInstance if self.handle == effect.handle() => {
                    effect.lives.store(true, Ordering::Release);
                }
                Action::DestroyInstance if self.handle == effect.handle() => {
                    effect.lives.store(false, Ordering::Release);
                }
                _ => {}
            }
        }
        status
    }
}
