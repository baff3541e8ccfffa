//! The properties of a set, which sets that are alike have in common until one of them is written to:
//! hosts make instances in numbers, each with a set for every parameter.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Item, Place, Type, table};
use crate::host::HostState;

/// One property of a set.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) of: Type,
    /// How many values; 0 is any number.
    pub(super) dimension: usize,
    pub(super) writable: bool,
    pub(super) default: Arc<Vec<Item>>,
    pub(super) values: Arc<Vec<Item>>,
    /// Whether the plug-in has written it.
    pub(super) written: bool,
}

/// The properties of a set by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(Arc<BTreeMap<Cow<'static, str>, Slot>>);

impl Slots {
    /// What OpenFX gives a set of that place, less what the host lacks.
    pub(super) fn of_place(host: &HostState, place: Place) -> Self {
        let lacks = |name: &str| host.profile.lacks_properties.iter().any(|lacked| lacked == name);
        let known = table::of(place).filter(|definition| !lacks(definition.name));
        let slots = known.map(|definition| {
            let of = definition.of(place);
            let dimension = definition.dimension(place);
            let default = Arc::new(definition.default(place, of, dimension));
            let (values, writable) = (Arc::clone(&default), definition.writable(place));
            let slot = Slot { of, dimension, writable, default, values, written: false };
            (Cow::Borrowed(definition.name), slot)
        });
        Self(Arc::new(slots.collect()))
    }

    /// An instance's, made from its descriptor's: what both have in common is taken over.
    pub(super) fn of_instance(&self, host: &HostState, place: Place) -> Self {
        let mut made = Self::of_place(host, place);
        for (name, known) in Arc::make_mut(&mut made.0) {
            if let Some(slot) = self.0.get(name) {
                known.values = Arc::clone(&slot.values);
                known.written = slot.written;
                // What a descriptor says is what an instance goes back to.
                known.default = Arc::clone(&slot.values);
            }
        }
        made
    }

    /// Takes over what both have in common.
    pub(super) fn take_over(&mut self, other: &Self) {
        for (name, known) in Arc::make_mut(&mut self.0) {
            if let Some(slot) = other.0.get(name) {
                *known = slot.clone();
            }
        }
    }

    /// Whether nothing was written to either since one was made as the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Slot> {
        self.0.get(name)
    }

    /// A property that is about to be written to.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Slot> {
        if !self.0.contains_key(name) {
            return None;
        }
        Arc::make_mut(&mut self.0).get_mut(name)
    }

    pub(super) fn insert(&mut self, name: &str, slot: Slot) {
        Arc::make_mut(&mut self.0).insert(Cow::Owned(name.to_owned()), slot);
    }

    pub(super) fn remove(&mut self, name: &str) {
        Arc::make_mut(&mut self.0).remove(name);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Slot)> {
        self.0.iter().map(|(name, slot)| (&**name, slot))
    }
}
