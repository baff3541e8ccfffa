//! One node of a project.
//!
//! Hosts make instances in numbers, silently and often: making one looks up handles and starts
//! nothing.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use wan_alpha_take::TakeKey;

use crate::contexts;
use crate::host::{ClipHandle, Effect, ParameterHandle};
use crate::names;
use crate::notice::Notice;
use crate::ofx_status::{ActionResult, Status};
use crate::params::{self, Hosts, Shown, TABLE};
use crate::session::PluginSession;

/// What is kept per instance.
pub(crate) struct Instance {
    /// Names this instance to the engine: unlike any other instance, ever.
    id: String,
    /// The take that it asked for last.
    requested: Mutex<Option<TakeKey>>,
    /// What is to be said besides the state of the take.
    notice: Mutex<Option<Notice>>,
    /// Whether the host shows an error message of a render.
    shows_error: AtomicBool,
    /// Whether the host shows a progress bar of this instance.
    pub(crate) shows_progress: AtomicBool,
    /// The input clip, which a generator does not have.
    source: Option<ClipHandle>,
    /// Whether its host makes filters alone.
    is_filter: bool,
    /// The parameters in the order of [`TABLE`]; a host may have left one out.
    parameters: Vec<Option<ParameterHandle>>,
}

impl Instance {
    /// The instance that [`create`] gave an effect.
    pub(crate) fn of(effect: Effect<'_>) -> Result<&Self, Status> {
        effect.instance()
    }

    /// # Errors
    /// [`Status::BAD_HANDLE`] where the host has not made this parameter.
    pub(crate) fn parameter(&self, id: &CStr) -> Result<ParameterHandle, Status> {
        let found = params::position(id).and_then(|position| self.parameters.get(position));
        found.copied().flatten().ok_or(Status::BAD_HANDLE)
    }

    /// Names this instance to the engine.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The take that it asked for last.
    pub(crate) fn requested(&self) -> Option<TakeKey> {
        *self.requested.lock()
    }

    pub(crate) fn set_requested(&self, key: Option<TakeKey>) {
        *self.requested.lock() = key;
    }

    pub(crate) fn notice(&self) -> Option<Notice> {
        self.notice.lock().clone()
    }

    pub(crate) fn set_notice(&self, notice: Option<Notice>) {
        *self.notice.lock() = notice;
    }

    /// Notes that a render has failed and has the host show why.
    pub(crate) fn note_error_shown(&self) {
        self.shows_error.store(true, Ordering::Relaxed);
    }

    /// Notes that the host shows no error of a render any more; whether it did until now.
    pub(crate) fn note_error_cleared(&self) -> bool {
        self.shows_error.swap(false, Ordering::Relaxed)
    }

    /// The Source, where something is connected to it; a filter always has one, unless the host says
    /// that it has not.
    pub(crate) fn connected_source(&self, effect: Effect<'_>) -> Option<ClipHandle> {
        let source = self.source?;
        let connected =
            effect.clip_properties(source).and_then(|clip| clip.int(names::CLIP_CONNECTED));
        let is_connected = connected.map_or(self.is_filter, |connected| connected == 1);
        is_connected.then_some(source)
    }

    /// Whether its host makes filters alone: it has neither buttons nor keys that can be counted on.
    pub(crate) fn is_filter(&self) -> bool {
        self.is_filter
    }
}

/// OK rather than the default: some hosts destroy only what was created with OK.
pub(crate) fn create(effect: Effect<'_>) -> ActionResult {
    let is_filter = contexts::makes_filters_alone(effect.host());
    let is_general = effect
        .properties()?
        .text(names::CONTEXT, 0)
        .is_ok_and(|context| context.as_bytes() == names::CONTEXT_GENERAL.to_bytes());
    let has_source = is_general || is_filter;
    let source = if has_source { effect.clip(names::CLIP_SOURCE).ok() } else { None };
    let parameters: Vec<_> =
        TABLE.iter().map(|parameter| effect.parameter(parameter.id).ok()).collect();
    for (parameter, handle) in TABLE.iter().zip(&parameters) {
        let Some(properties) = handle.and_then(|handle| handle.properties(effect).ok()) else {
            continue;
        };
        if is_filter && parameter.hosts == Hosts::NotFilters {
            properties.set_optional(names::SECRET, true);
        }
        match parameter.shown {
            Shown::Editable => {}
            Shown::ReadOnly => properties.set_optional(names::ENABLED, false),
            Shown::Hidden => properties.set_optional(names::SECRET, true),
        }
    }
    let id = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
    let (requested, notice, shows_error, shows_progress) = Default::default();
    let instance = Instance {
        id,
        requested,
        notice,
        shows_error,
        shows_progress,
        source,
        is_filter,
        parameters,
    };
    effect.attach(instance)?;
    Ok(Status::OK)
}

pub(crate) fn destroy(effect: Effect<'_>) -> ActionResult {
    let Some(instance) = effect.detach::<Instance>()? else { return Ok(Status::OK) };
    // A bar without its node would stay for good in some hosts.
    effect.end_progress(&instance.shows_progress);
    // The take goes on being made, for the next node with these parameters.
    if let Some(session) = PluginSession::if_open() {
        session.node_destroyed(instance.requested(), instance.id.clone());
    }
    Ok(Status::OK)
}
