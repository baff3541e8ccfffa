//! Parameters: types, values over time, and the sets that hold them.

#![forbid(unsafe_code)]

pub(crate) mod change;
pub(crate) mod curve;
pub(crate) mod undo;

use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::boundary::Handled;
use crate::effect::Effect;
use crate::host::HostState;
use crate::profile::Clamp;
use crate::properties::{Place, PropertySet, Type};
use crate::registry::Handle;

pub use curve::Value;

pub(crate) use curve::Curve;

macro_rules! kinds {
    ($($(#[$doc:meta])+ $name:ident = $text:literal, $count:literal of $of:ident;)+) => {
        /// The type of a parameter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ParamKind {
            $($(#[$doc])+ $name,)+
        }

        impl ParamKind {
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// As OpenFX names it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// How many values it has.
            #[must_use]
            pub fn count(self) -> usize {
                match self {
                    $(Self::$name => $count,)+
                }
            }

            pub(crate) fn of(self) -> Type {
                match self {
                    $(Self::$name => Type::$of,)+
                }
            }
        }
    };
}

kinds! {
    /// A whole number, shown as one field.
    Integer = "OfxParamTypeInteger", 1 of Int;
    /// Two whole numbers in one parameter.
    Integer2D = "OfxParamTypeInteger2D", 2 of Int;
    /// Three whole numbers in one parameter.
    Integer3D = "OfxParamTypeInteger3D", 3 of Int;
    /// A number with a fraction.
    Double = "OfxParamTypeDouble", 1 of Double;
    /// Two numbers in one parameter.
    Double2D = "OfxParamTypeDouble2D", 2 of Double;
    /// Three numbers in one parameter.
    Double3D = "OfxParamTypeDouble3D", 3 of Double;
    /// A color without alpha.
    Rgb = "OfxParamTypeRGB", 3 of Double;
    /// A color with transparency.
    Rgba = "OfxParamTypeRGBA", 4 of Double;
    /// Yes or no, as a check box.
    Boolean = "OfxParamTypeBoolean", 1 of Int;
    /// One of several options, by its number.
    Choice = "OfxParamTypeChoice", 1 of Int;
    /// A text of any length.
    String = "OfxParamTypeString", 1 of Text;
    /// A text that only the plug-in understands.
    Custom = "OfxParamTypeCustom", 1 of Text;
    /// Something to press, without a value.
    PushButton = "OfxParamTypePushButton", 0 of Int;
    /// Parameters that belong together.
    Group = "OfxParamTypeGroup", 0 of Int;
    /// A page of the panel.
    Page = "OfxParamTypePage", 0 of Int;
}

impl ParamKind {
    pub(crate) fn is_number(self) -> bool {
        self.count() > 0 && self.of() != Type::Text && !matches!(self, Self::Boolean | Self::Choice)
    }
}

/// One parameter: its description, or its value on an instance.
pub(crate) struct Param {
    handle: Handle,
    pub(crate) effect: Weak<Effect>,
    pub(crate) id: String,
    pub(crate) kind: ParamKind,
    pub(crate) properties: Arc<PropertySet>,
    pub(crate) curve: Mutex<Curve>,
}

impl Handled for Param {
    const WHAT: &'static str = "a parameter";

    fn host(&self) -> Option<Arc<HostState>> {
        self.properties.host()
    }
}

impl Param {
    fn new(
        effect: Weak<Effect>,
        id: &str,
        kind: ParamKind,
        properties: Arc<PropertySet>,
        curve: Curve,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            handle: Handle::of(me),
            effect,
            id: id.to_owned(),
            kind,
            properties,
            curve: Mutex::new(curve),
        })
    }

    /// While it is being described.
    pub(crate) fn described(
        host: &Arc<HostState>,
        effect: Weak<Effect>,
        id: &str,
        kind: ParamKind,
    ) -> Arc<Self> {
        let properties = PropertySet::new(host, Place::ParamDescriptor(kind));
        for (name, value) in [
            ("OfxPropType", "OfxTypeParameter"),
            ("OfxPropName", id),
            ("OfxParamPropType", kind.name()),
            ("OfxParamPropScriptName", id),
            ("OfxPropLabel", id),
        ] {
            properties.put(name, [value]);
        }
        Self::new(effect, id, kind, properties, Curve::of(Value::zero(kind)))
    }

    /// On an instance, with its default.
    pub(crate) fn made(&self, host: &Arc<HostState>, effect: Weak<Effect>) -> Arc<Self> {
        let properties = self.properties.made_from(host, Place::Param(self.kind));
        let curve = Curve::of(self.default());
        Self::new(effect, &self.id, self.kind, properties, curve)
    }

    pub(crate) fn handle(&self) -> usize {
        self.handle.number()
    }

    pub(crate) fn default(&self) -> Value {
        let items = self.properties.values("OfxParamPropDefault").unwrap_or_default();
        Value::from_items(self.kind, &items)
    }

    pub(crate) fn is_persistent(&self) -> bool {
        self.kind.count() > 0 && self.properties.is_true("OfxParamPropPersistant")
    }

    pub(crate) fn evaluates(&self) -> bool {
        self.properties.is_true("OfxParamPropEvaluateOnChange")
    }

    pub(crate) fn can_undo(&self) -> bool {
        self.properties.is_true("OfxParamPropCanUndo")
    }

    pub(crate) fn animates(&self) -> bool {
        self.properties.is_true("OfxParamPropAnimates")
    }

    pub(crate) fn curve(&self) -> Curve {
        self.curve.lock().clone()
    }

    /// Puts another curve in the place of the one it has.
    pub(crate) fn replace(&self, curve: Curve) {
        let animating = i32::from(curve.is_animating());
        *self.curve.lock() = curve;
        self.properties.put("OfxParamPropIsAnimating", [animating]);
    }

    /// A value as this host keeps it.
    pub(crate) fn clamped(&self, value: Value, clamp: Clamp) -> Value {
        match self.kind {
            ParamKind::Boolean => value.map_ints(|_, value| i32::from(value != 0)),
            ParamKind::Choice => {
                let options = self.properties.values("OfxParamPropChoiceOption");
                let last = options.map_or(0, |options| options.len().saturating_sub(1));
                let last = i32::try_from(last).unwrap_or(i32::MAX);
                value.map_ints(|_, value| value.clamp(0, last))
            }
            kind if kind.is_number() => self.in_range(value, clamp),
            _ => value,
        }
    }

    fn in_range(&self, value: Value, clamp: Clamp) -> Value {
        let has_ranges = ["Min", "Max", "DisplayMin", "DisplayMax"].iter().any(|end| {
            self.properties.was_written(&format!("OfxParamPropDisplay{end}")) || {
                self.properties.was_written(&format!("OfxParamProp{end}"))
            }
        });
        let nothing = clamp == Clamp::ToRangeOrNothing && !has_ranges;
        match self.kind.of() {
            Type::Int => {
                let (least, most) = if nothing {
                    (vec![0; 3], vec![0; 3])
                } else {
                    (
                        self.properties.ints("OfxParamPropMin"),
                        self.properties.ints("OfxParamPropMax"),
                    )
                };
                value.map_ints(|at, value| {
                    let ends =
                        least.get(at).zip(most.get(at)).filter(|(least, most)| least <= most);
                    ends.map_or(value, |(&least, &most)| value.clamp(least, most))
                })
            }
            _ => {
                let (least, most) = if nothing {
                    (vec![-1.0; 4], vec![1.0; 4])
                } else {
                    let ends = |name| self.properties.doubles(name);
                    (ends("OfxParamPropMin"), ends("OfxParamPropMax"))
                };
                value.map_doubles(|at, value| {
                    let ends =
                        least.get(at).zip(most.get(at)).filter(|(least, most)| least <= most);
                    ends.map_or(value, |(&least, &most)| value.clamp(least, most))
                })
            }
        }
    }

    /// What is wrong with how it is described.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let id = &self.id;
        if self.kind.count() == 0 {
            return found;
        }
        let default = self.default();
        if self.kind.is_number() {
            if self.in_range(default.clone(), Clamp::ToRange) != default {
                found.push(format!("the default of {id} lies outside its range"));
            }
            for (least, most) in [("Min", "Max"), ("DisplayMin", "DisplayMax")] {
                let ends = |end| self.properties.doubles(&format!("OfxParamProp{end}"));
                if ends(least).iter().zip(ends(most)).any(|(least, most)| *least > most) {
                    found.push(format!("{least} of {id} is beyond {most}"));
                }
            }
        }
        if self.kind == ParamKind::Choice {
            let options = self.properties.texts("OfxParamPropChoiceOption").len();
            if default.as_int().is_none_or(|at| usize::try_from(at).is_ok_and(|at| at >= options)) {
                found.push(format!("the default of {id} is none of its {options} options"));
            }
        }
        found
    }
}

/// The parameters of an effect.
pub(crate) struct ParamSet {
    handle: Handle,
    pub(crate) effect: Weak<Effect>,
    pub(crate) properties: Arc<PropertySet>,
    list: RwLock<Vec<Arc<Param>>>,
}

impl Handled for ParamSet {
    const WHAT: &'static str = "a set of parameters";

    fn host(&self) -> Option<Arc<HostState>> {
        self.properties.host()
    }
}

impl ParamSet {
    pub(crate) fn new(
        host: &Arc<HostState>,
        effect: &Weak<Effect>,
        list: Vec<Arc<Param>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            handle: Handle::of(me),
            effect: effect.clone(),
            properties: PropertySet::new(host, Place::ParamSet),
            list: RwLock::new(list),
        })
    }

    pub(crate) fn handle(&self) -> usize {
        self.handle.number()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Param>> {
        self.list.read().clone()
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Param>> {
        self.list.read().iter().find(|param| param.id == id).cloned()
    }

    pub(crate) fn add(&self, param: Arc<Param>) {
        self.list.write().push(param);
    }
}
