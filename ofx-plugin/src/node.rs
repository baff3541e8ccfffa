//! A node within one action: its parameters by id, with their types.

#![forbid(unsafe_code)]

use std::ffi::CStr;

use crate::host::{Effect, ParameterHandle, c_text};
use crate::instance::Instance;
use crate::ofx_status::Status;

/// A node within one action, at one time of the host.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    effect: Effect<'a>,
    instance: &'a Instance,
    time: f64,
}

impl<'a> Node<'a> {
    pub(crate) fn of(effect: Effect<'a>, time: f64) -> Result<Self, Status> {
        Ok(Self { effect, instance: Instance::of(effect)?, time })
    }

    pub(crate) fn effect(self) -> Effect<'a> {
        self.effect
    }

    pub(crate) fn instance(self) -> &'a Instance {
        self.instance
    }

    pub(crate) fn time(self) -> f64 {
        self.time
    }

    /// The same node at another time.
    pub(crate) fn at(self, time: f64) -> Self {
        Self { time, ..self }
    }

    pub(crate) fn int(self, id: &CStr) -> Result<i32, Status> {
        self.parameter(id)?.int_at(self.effect, self.time)
    }

    pub(crate) fn double(self, id: &CStr) -> Result<f64, Status> {
        self.parameter(id)?.double_at(self.effect, self.time)
    }

    pub(crate) fn pair(self, id: &CStr) -> Result<[f64; 2], Status> {
        self.parameter(id)?.pair_at(self.effect, self.time)
    }

    pub(crate) fn text(self, id: &CStr) -> Result<String, Status> {
        self.parameter(id)?.text_at(self.effect, self.time)
    }

    /// One of the choices of a parameter; a host's number beyond the last is the first.
    pub(crate) fn choice<T: Copy>(self, id: &CStr, choices: &[T]) -> Result<T, Status> {
        let found = usize::try_from(self.int(id)?).ok().and_then(|index| choices.get(index));
        found.or(choices.first()).copied().ok_or(Status::FAILED)
    }

    pub(crate) fn set_int(self, id: &CStr, value: i32) -> Result<(), Status> {
        self.parameter(id)?.set_int(self.effect, value)
    }

    /// Sets a whole number, where it is another.
    pub(crate) fn set_changed_int(self, id: &CStr, value: i32) -> Result<(), Status> {
        if self.int(id)? == value { Ok(()) } else { self.set_int(id, value) }
    }

    pub(crate) fn set_double(self, id: &CStr, value: f64) -> Result<(), Status> {
        self.parameter(id)?.set_double(self.effect, value)
    }

    pub(crate) fn set_pair(self, id: &CStr, pair: [f64; 2]) -> Result<(), Status> {
        self.parameter(id)?.set_pair(self.effect, pair)
    }

    pub(crate) fn set_text(self, id: &CStr, text: &str) -> Result<(), Status> {
        self.parameter(id)?.set_text(self.effect, &c_text(text))
    }

    /// Sets a text, where it is another.
    pub(crate) fn set_changed_text(self, id: &CStr, text: &str) -> Result<(), Status> {
        if self.text(id)? == text { Ok(()) } else { self.set_text(id, text) }
    }

    fn parameter(self, id: &CStr) -> Result<ParameterHandle, Status> {
        self.instance.parameter(id)
    }
}
