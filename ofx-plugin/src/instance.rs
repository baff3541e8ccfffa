//! One node of a project.
//!
//! Hosts make instances in numbers, silently and often: making one looks up handles and starts
//! nothing.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use wan_alpha_take::TakeKey;

use crate::host::{Clip, Effect, Parameter};
use crate::names;
use crate::params::{self, Shown, TABLE};
use crate::session::PluginSession;
use crate::status::{Answer, Status};

/// What is kept per instance.
pub(crate) struct Instance {
    /// Who this is to the engine: unlike any other instance, ever.
    name: String,
    /// The take that it asked for last.
    asked: Mutex<Option<TakeKey>>,
    /// What went wrong or was refused last, until the artist does something about it.
    trouble: Mutex<Option<String>>,
    /// Whether a render's message stands.
    complaining: AtomicBool,
    /// In the General context only.
    source: Option<Clip>,
    /// In the order of [`TABLE`]; a host may have left one out.
    parameters: Vec<Option<Parameter>>,
}

impl Instance {
    /// # Errors
    /// [`Status::BAD_HANDLE`] where the host has not made this parameter.
    pub(crate) fn parameter(&self, id: &CStr) -> Result<Parameter, Status> {
        let found = params::position(id).and_then(|position| self.parameters.get(position));
        found.copied().flatten().ok_or(Status::BAD_HANDLE)
    }

    /// Who this is to the engine.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The take that it asked for last.
    pub(crate) fn asked(&self) -> Option<TakeKey> {
        *self.asked.lock()
    }

    pub(crate) fn set_asked(&self, key: Option<TakeKey>) {
        *self.asked.lock() = key;
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }

    /// A render has failed, with a message.
    pub(crate) fn complains(&self) {
        self.complaining.store(true, Ordering::Relaxed);
    }

    /// Whether a message of a render stood until now.
    pub(crate) fn stops_complaining(&self) -> bool {
        self.complaining.swap(false, Ordering::Relaxed)
    }

    /// The Source, where something is connected to it.
    pub(crate) fn connected_source(&self, effect: Effect<'_>) -> Option<Clip> {
        let source = self.source?;
        let connected =
            effect.clip_properties(source).and_then(|clip| clip.int(names::CLIP_CONNECTED));
        (connected == Ok(1)).then_some(source)
    }
}

/// OK rather than the default: some hosts destroy only what was created with OK.
pub(crate) fn create(effect: Effect<'_>) -> Answer {
    let is_general = effect
        .properties()?
        .text(names::CONTEXT, 0)
        .is_ok_and(|context| context.as_bytes() == names::CONTEXT_GENERAL.to_bytes());
    let source = if is_general { effect.clip(names::CLIP_SOURCE).ok() } else { None };
    let parameters: Vec<_> =
        TABLE.iter().map(|parameter| effect.parameter(parameter.id).ok()).collect();
    for (parameter, handle) in TABLE.iter().zip(&parameters) {
        let Some(properties) = handle.and_then(|handle| handle.properties(effect).ok()) else {
            continue;
        };
        match parameter.shown {
            Shown::Editable => {}
            Shown::ReadOnly => properties.wish(names::ENABLED, false),
            Shown::Hidden => properties.wish(names::SECRET, true),
        }
    }
    let name = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
    let (asked, trouble, complaining) = Default::default();
    effect.attach(Instance { name, asked, trouble, complaining, source, parameters })?;
    Ok(Status::OK)
}

pub(crate) fn destroy(effect: Effect<'_>) -> Answer {
    let Some(instance) = effect.detach()? else { return Ok(Status::OK) };
    // The take goes on being made, for the next node with these parameters.
    if let Some(session) = PluginSession::opened() {
        session.leave(instance.asked.into_inner(), instance.name);
    }
    Ok(Status::OK)
}
