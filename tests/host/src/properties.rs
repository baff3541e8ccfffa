//! Property sets: what they hold, who may write it, and of which type it is.

#![forbid(unsafe_code)]

mod slots;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::boundary::Handled;
use crate::doing;
use crate::host::HostState;
use crate::params::ParamKind;
use crate::registry::Handle;
use crate::rules::Rule;
use crate::status::Status;
use slots::{Slot, Slots};

/// One value of a property.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A whole number of 32 bits.
    Int(i32),
    /// A number with a fraction.
    Double(f64),
    /// A text in UTF-8.
    Text(String),
    /// A pointer, as a number.
    Pointer(usize),
}

/// Of what type a property is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Int,
    Double,
    Text,
    Pointer,
}

impl Type {
    fn zero(self) -> Item {
        match self {
            Self::Int => Item::Int(0),
            Self::Double => Item::Double(0.0),
            Self::Text => Item::Text(String::new()),
            Self::Pointer => Item::Pointer(0),
        }
    }

    fn of(item: &Item) -> Self {
        match item {
            Item::Int(_) => Self::Int,
            Item::Double(_) => Self::Double,
            Item::Text(_) => Self::Text,
            Item::Pointer(_) => Self::Pointer,
        }
    }
}

macro_rules! items {
    ($($from:ty => $to:ident),+) => {$(
        impl From<$from> for Item {
            fn from(value: $from) -> Self {
                Self::$to(value.into())
            }
        }
    )+};
}
items!(i32 => Int, f64 => Double, &str => Text, String => Text, usize => Pointer);

/// What a set belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Host,
    Descriptor,
    Instance,
    ClipDescriptor,
    Clip,
    ParamDescriptor(ParamKind),
    Param(ParamKind),
    ParamSet,
    Image,
    InteractDescriptor,
    Interact,
    /// Told to the plug-in with an action.
    Arguments,
    /// Filled by the plug-in in answer to an action.
    Reply,
}

/// A property set that plug-ins have a handle of.
#[derive(Debug)]
pub(crate) struct PropertySet {
    handle: Handle,
    host: Weak<HostState>,
    place: Place,
    slots: Mutex<Slots>,
    /// What was made of it last, as it was then: most instances are alike.
    instance: Mutex<Option<MadeInstance>>,
}

/// What the set of an instance was made of, of which place it is, and what it was made to.
type MadeInstance = (Slots, Place, Slots);

impl Handled for PropertySet {
    const WHAT: &'static str = "a property set";

    fn host(&self) -> Option<Arc<HostState>> {
        self.host.upgrade()
    }
}

impl PropertySet {
    /// With what OpenFX gives a set of that place, less what the host lacks.
    pub(crate) fn new(host: &Arc<HostState>, place: Place) -> Arc<Self> {
        Self::with(host, place, Slots::of_place(host, place))
    }

    /// An instance's set, made from its descriptor's: what both have in common is taken over.
    pub(crate) fn made_from(&self, host: &Arc<HostState>, place: Place) -> Arc<Self> {
        let from = self.slots.lock().clone();
        let mut made = self.instance.lock();
        if !made.as_ref().is_some_and(|(of, at, _)| of.is_same(&from) && *at == place) {
            let mut slots = from.of_instance(host, place);
            if let (Place::Param(_), Some(kind)) = (place, slots.get_mut("OfxPropType")) {
                kind.values = Arc::new(vec!["OfxTypeParameterInstance".into()]);
            }
            *made = Some((from, place, slots));
        }
        let slots = made.as_ref().map(|(_, _, slots)| slots.clone());
        Self::with(host, place, slots.unwrap_or_default())
    }

    /// Takes over what both have in common.
    pub(crate) fn clone_from_set(&self, other: &Self) {
        let from = other.slots.lock().clone();
        self.slots.lock().take_over(&from);
    }

    fn with(host: &Arc<HostState>, place: Place, slots: Slots) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            handle: Handle::of(me),
            host: Arc::downgrade(host),
            place,
            slots: Mutex::new(slots),
            instance: Mutex::default(),
        })
    }

    /// What the host tells with an action.
    pub(crate) fn arguments(host: &Arc<HostState>) -> Arc<Self> {
        Self::with(host, Place::Arguments, Slots::default())
    }

    /// What the plug-in may answer, with what it is when it does not.
    pub(crate) fn reply(host: &Arc<HostState>, expected: &[(&str, Vec<Item>)]) -> Arc<Self> {
        let made = Self::with(host, Place::Reply, Slots::default());
        for (name, values) in expected {
            made.expect(name, values.clone(), values.len());
        }
        made
    }

    /// Another property of a reply, of that dimension; the values give the type.
    pub(crate) fn expect(&self, name: &str, values: Vec<Item>, dimension: usize) {
        let of = values.first().map_or(Type::Double, Type::of);
        let slot = Slot {
            of,
            dimension,
            writable: true,
            default: Arc::new(values.clone()),
            values: Arc::new(if dimension == 0 { Vec::new() } else { values }),
            written: false,
        };
        self.slots.lock().insert(name, slot);
    }

    pub(crate) fn handle(&self) -> usize {
        self.handle.number()
    }

    pub(crate) fn host(&self) -> Option<Arc<HostState>> {
        self.host.upgrade()
    }

    // What the host itself reads and writes.

    /// Known from now on, whatever the table says.
    pub(crate) fn put<I: Into<Item>>(&self, name: &str, values: impl IntoIterator<Item = I>) {
        let lacks = |host: Arc<HostState>| host.profile.lacks_properties.iter().any(|n| n == name);
        if self.host().is_some_and(lacks) {
            return;
        }
        let values: Vec<Item> = values.into_iter().map(Into::into).collect();
        let mut slots = self.slots.lock();
        if slots.get(name).is_some_and(|slot| *slot.values == values) {
            return;
        }
        match slots.get_mut(name) {
            Some(slot) => slot.values = Arc::new(values),
            None => {
                let of = values.first().map_or(Type::Text, Type::of);
                let (dimension, values) = (values.len(), Arc::new(values));
                let default = Arc::clone(&values);
                let slot = Slot { of, dimension, writable: false, default, values, written: false };
                slots.insert(name, slot);
            }
        }
    }

    pub(crate) fn forget(&self, name: &str) {
        self.slots.lock().remove(name);
    }

    pub(crate) fn values(&self, name: &str) -> Option<Vec<Item>> {
        self.slots.lock().get(name).map(|slot| slot.values.to_vec())
    }

    pub(crate) fn was_written(&self, name: &str) -> bool {
        self.slots.lock().get(name).is_some_and(|slot| slot.written)
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let text = |item| match item {
            Item::Text(text) => Some(text),
            _ => None,
        };
        self.values(name).unwrap_or_default().into_iter().filter_map(text).collect()
    }

    pub(crate) fn ints(&self, name: &str) -> Vec<i32> {
        let int = |item| match item {
            Item::Int(value) => Some(value),
            _ => None,
        };
        self.values(name).unwrap_or_default().into_iter().filter_map(int).collect()
    }

    pub(crate) fn doubles(&self, name: &str) -> Vec<f64> {
        let double = |item| match item {
            Item::Double(value) => Some(value),
            Item::Int(value) => Some(value.into()),
            _ => None,
        };
        self.values(name).unwrap_or_default().into_iter().filter_map(double).collect()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.texts(name).into_iter().next().unwrap_or_default()
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.ints(name).first().is_some_and(|&value| value != 0)
    }

    pub(crate) fn pointer(&self, name: &str) -> usize {
        match self.values(name).unwrap_or_default().first() {
            Some(Item::Pointer(pointer)) => *pointer,
            _ => 0,
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Vec<Item>> {
        let slots = self.slots.lock();
        slots.iter().map(|(name, slot)| (name.to_owned(), slot.values.to_vec())).collect()
    }

    // What the plug-in reads and writes.

    fn unknown(&self, name: &str) -> Status {
        if let Some(host) = self.host() {
            host.unknown_properties.lock().insert(format!("{name} on {:?}", self.place));
        }
        Status::ERR_UNKNOWN
    }

    pub(crate) fn write(&self, name: &str, index: i32, value: Item) -> Result<(), Status> {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(name) else {
            drop(slots);
            return Err(self.unknown(name));
        };
        if Type::of(&value) != slot.of {
            let words = format!("{name} is {:?} and is set to {value:?}", slot.of);
            doing::fault(Rule::PropertyType, words);
            return Err(Status::ERR_VALUE);
        }
        if !slot.writable {
            doing::fault(Rule::ReadOnlyProperty, format!("{name} of {:?} is set", self.place));
            return Err(Status::ERR_VALUE);
        }
        let length = slot.values.len();
        let values = Arc::make_mut(&mut slot.values);
        match usize::try_from(index) {
            Ok(index) if index < length => values[index] = value,
            Ok(index) if slot.dimension == 0 && index == length => values.push(value),
            _ => {
                let words = format!("{name} has {length} values and [{index}] is set");
                doing::fault(Rule::PropertyIndex, words);
                return Err(Status::ERR_BAD_INDEX);
            }
        }
        slot.written = true;
        Ok(())
    }

    /// All values of a property at once.
    pub(crate) fn write_all(&self, name: &str, values: Vec<Item>) -> Result<(), Status> {
        if let Some(slot) = self.slots.lock().get_mut(name)
            && slot.dimension == 0
            && slot.writable
            && values.iter().all(|value| Type::of(value) == slot.of)
        {
            slot.values = Arc::new(values);
            slot.written = true;
            return Ok(());
        }
        (0..).zip(values).try_for_each(|(index, value)| self.write(name, index, value))
    }

    pub(crate) fn value(&self, name: &str, index: i32, wanted: Type) -> Result<Item, Status> {
        let slots = self.slots.lock();
        let Some(slot) = slots.get(name) else {
            drop(slots);
            return Err(self.unknown(name));
        };
        if slot.of != wanted {
            let words = format!("{name} is {:?} and is read as {wanted:?}", slot.of);
            doing::fault(Rule::PropertyType, words);
            return Err(Status::ERR_VALUE);
        }
        let value = usize::try_from(index).ok().and_then(|index| slot.values.get(index));
        value.cloned().ok_or(Status::ERR_BAD_INDEX)
    }

    pub(crate) fn reset(&self, name: &str) -> Result<(), Status> {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(name) else {
            drop(slots);
            return Err(self.unknown(name));
        };
        if !slot.writable {
            doing::fault(Rule::ReadOnlyProperty, format!("{name} of {:?} is reset", self.place));
            return Err(Status::ERR_VALUE);
        }
        slot.values = Arc::clone(&slot.default);
        slot.written = false;
        Ok(())
    }

    pub(crate) fn dimension(&self, name: &str) -> Result<usize, Status> {
        let length = self.slots.lock().get(name).map(|slot| slot.values.len());
        length.ok_or_else(|| self.unknown(name))
    }
}

/// A property set to look at.
#[derive(Clone, Debug)]
pub struct Properties(pub(crate) Arc<PropertySet>);

impl Properties {
    /// Every value of a property; none where the set does not have it.
    #[must_use]
    pub fn get(&self, name: &str) -> Vec<Item> {
        self.0.values(name).unwrap_or_default()
    }

    /// Every text of a property.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.0.texts(name)
    }

    /// The first text of a property.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.texts(name).into_iter().next()
    }

    /// Every whole number of a property.
    #[must_use]
    pub fn ints(&self, name: &str) -> Vec<i32> {
        self.0.ints(name)
    }

    /// Every number of a property.
    #[must_use]
    pub fn doubles(&self, name: &str) -> Vec<f64> {
        self.0.doubles(name)
    }

    /// The first pointer of a property.
    #[must_use]
    pub fn pointer(&self, name: &str) -> usize {
        self.0.pointer(name)
    }

    /// Whether the plug-in has set it.
    #[must_use]
    pub fn was_set(&self, name: &str) -> bool {
        self.0.was_written(name)
    }

    /// All properties by name, with their values in order.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Vec<Item>> {
        self.0.all()
    }

    /// Makes the host say something else.
    pub fn put<I: Into<Item>>(&self, name: &str, values: impl IntoIterator<Item = I>) {
        self.0.put(name, values);
    }
}
