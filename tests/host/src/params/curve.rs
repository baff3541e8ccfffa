//! Values, and values over time.

#![forbid(unsafe_code)]

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ParamKind;
use crate::properties::{Item, Type};

/// The value of a parameter: as many numbers as its type has, or a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// Of an Integer, Boolean or Choice, or of several Integers.
    Ints(Vec<i32>),
    /// Of a Double, several, or a color.
    Doubles(Vec<f64>),
    /// Of a String or Custom.
    Text(String),
}

macro_rules! values {
    ($($from:ty: |$given:ident| $to:expr;)+) => {$(
        impl From<$from> for Value {
            fn from($given: $from) -> Self {
                $to
            }
        }
    )+};
}
values! {
    i32: |value| Self::Ints(vec![value]);
    bool: |value| Self::Ints(vec![value.into()]);
    f64: |value| Self::Doubles(vec![value]);
    &str: |value| Self::Text(value.to_owned());
    String: |value| Self::Text(value);
    &String: |value| Self::Text(value.clone());
}

impl<const N: usize> From<[f64; N]> for Value {
    fn from(values: [f64; N]) -> Self {
        Self::Doubles(values.to_vec())
    }
}

impl<const N: usize> From<[i32; N]> for Value {
    fn from(values: [i32; N]) -> Self {
        Self::Ints(values.to_vec())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ints(values) => write!(f, "{values:?}"),
            Self::Doubles(values) => write!(f, "{values:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl Value {
    pub(crate) fn zero(kind: ParamKind) -> Self {
        match kind.of() {
            Type::Double => Self::Doubles(vec![0.0; kind.count()]),
            Type::Text => Self::Text(String::new()),
            _ => Self::Ints(vec![0; kind.count()]),
        }
    }

    pub(crate) fn from_items(kind: ParamKind, items: &[Item]) -> Self {
        match kind.of() {
            Type::Double => Self::Doubles(
                items
                    .iter()
                    .map(|item| if let Item::Double(v) = item { *v } else { 0.0 })
                    .collect(),
            ),
            Type::Text => match items.first() {
                Some(Item::Text(text)) => Self::Text(text.clone()),
                _ => Self::Text(String::new()),
            },
            _ => Self::Ints(
                items.iter().map(|item| if let Item::Int(v) = item { *v } else { 0 }).collect(),
            ),
        }
    }

    /// As a parameter of that type holds it: whole numbers serve as numbers.
    pub(crate) fn fitted(self, kind: ParamKind) -> Option<Self> {
        let fits = match (&self, kind.of()) {
            (Self::Ints(values), Type::Int | Type::Double) => values.len() == kind.count(),
            (Self::Doubles(values), Type::Double) => values.len() == kind.count(),
            (Self::Text(_), Type::Text) => true,
            _ => false,
        };
        match self {
            _ if !fits || kind.count() == 0 => None,
            Self::Ints(values) if kind.of() == Type::Double => {
                Some(Self::Doubles(values.into_iter().map(f64::from).collect()))
            }
            value => Some(value),
        }
    }

    /// The one whole number.
    #[must_use]
    pub fn as_int(&self) -> Option<i32> {
        match self {
            Self::Ints(values) => values.first().copied(),
            _ => None,
        }
    }

    /// The number, where it is a single one.
    #[must_use]
    pub fn as_double(&self) -> Option<f64> {
        match self {
            Self::Doubles(values) => values.first().copied(),
            _ => None,
        }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn map_ints(self, map: impl Fn(usize, i32) -> i32) -> Self {
        match self {
            Self::Ints(values) => {
                Self::Ints(values.into_iter().enumerate().map(|(at, v)| map(at, v)).collect())
            }
            other => other,
        }
    }

    pub(crate) fn map_doubles(self, map: impl Fn(usize, f64) -> f64) -> Self {
        match self {
            Self::Doubles(values) => {
                Self::Doubles(values.into_iter().enumerate().map(|(at, v)| map(at, v)).collect())
            }
            other => other,
        }
    }

    /// A fraction of the way to another one. Texts, choices and the like stay until it is reached.
    fn towards(&self, other: &Self, part: f64, kind: ParamKind) -> Self {
        let between = |from: f64, to: f64| from + (to - from) * part;
        match (self, other) {
            (Self::Doubles(from), Self::Doubles(to)) => {
                Self::Doubles(from.iter().zip(to).map(|(a, b)| between(*a, *b)).collect())
            }
            (Self::Ints(from), Self::Ints(to)) if kind.is_number() => Self::Ints(
                from.iter()
                    .zip(to)
                    .map(|(a, b)| between((*a).into(), (*b).into()).round() as i32)
                    .collect(),
            ),
            _ => self.clone(),
        }
    }
}

/// A value over time: keys in order, straight lines between them, or the same at all times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Curve {
    value: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<(f64, Value)>,
}

impl Curve {
    pub(crate) fn of(value: Value) -> Self {
        Self { value, keys: Vec::new() }
    }

    pub(crate) fn is_animating(&self) -> bool {
        !self.keys.is_empty()
    }

    pub(crate) fn constant(&self) -> &Value {
        &self.value
    }

    pub(crate) fn keys(&self) -> &[(f64, Value)] {
        &self.keys
    }

    pub(crate) fn at(&self, time: f64, kind: ParamKind) -> Value {
        let (Some(first), Some(last)) = (self.keys.first(), self.keys.last()) else {
            return self.value.clone();
        };
        let after = self.keys.partition_point(|(at, _)| *at <= time);
        if after == 0 {
            return first.1.clone();
        }
        match (self.keys.get(after - 1), self.keys.get(after)) {
            (Some((from, before)), Some((to, next))) => {
                before.towards(next, (time - from) / (to - from), kind)
            }
            _ => last.1.clone(),
        }
    }

    /// With every value made into another one.
    pub(crate) fn map(self, map: impl Fn(Value) -> Value) -> Self {
        let keys = self.keys.into_iter().map(|(time, value)| (time, map(value))).collect();
        Self { value: map(self.value), keys }
    }

    /// The same at all times.
    pub(crate) fn set(&mut self, value: Value) {
        self.value = value;
        self.keys.clear();
    }

    /// A key, in the place of one at the same time.
    pub(crate) fn key(&mut self, time: f64, value: Value) {
        let at = self.keys.partition_point(|(at, _)| *at < time);
        match self.keys.get_mut(at) {
            Some((found, old)) if *found == time => *old = value,
            _ => self.keys.insert(at, (time, value)),
        }
    }

    pub(crate) fn delete_key(&mut self, time: f64) -> bool {
        let before = self.keys.len();
        if let [(only, value)] = self.keys.as_slice()
            && *only == time
        {
            self.value = value.clone();
        }
        self.keys.retain(|(at, _)| *at != time);
        self.keys.len() < before
    }

    /// Left with the value of the first key.
    pub(crate) fn delete_all_keys(&mut self) {
        if let Some((_, value)) = self.keys.first() {
            self.value = value.clone();
        }
        self.keys.clear();
    }

    /// Of numbers, per frame.
    pub(crate) fn derivative(&self, time: f64, kind: ParamKind) -> Vec<f64> {
        let step = 1e-3;
        let [before, after] = [time - step, time + step].map(|time| self.at(time, kind));
        match (before, after) {
            (Value::Doubles(before), Value::Doubles(after)) => {
                before.iter().zip(after).map(|(a, b)| (b - a) / (2.0 * step)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Of numbers, over frames. Exact for straight lines: their ends and middles decide.
    pub(crate) fn integral(&self, from: f64, until: f64, kind: ParamKind) -> Vec<f64> {
        let (first, last) = (from.min(until), from.max(until));
        let inner = self.keys.iter().map(|(at, _)| *at).filter(|at| first < *at && *at < last);
        let times: Vec<f64> = [first].into_iter().chain(inner).chain([last]).collect();
        let mut sum = vec![0.0; kind.count()];
        for piece in times.windows(2) {
            if let &[begin, end] = piece
                && let Value::Doubles(middle) = self.at((begin + end) / 2.0, kind)
            {
                sum.iter_mut().zip(middle).for_each(|(sum, value)| *sum += value * (end - begin));
            }
        }
        let sign = if until < from { -1.0 } else { 1.0 };
        sum.into_iter().map(|value| sign * value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> Curve {
        let mut curve = Curve::of(Value::from([0.0, 0.0]));
        curve.key(10.0, [1.0, 4.0].into());
        curve.key(0.0, [0.0, 2.0].into());
        curve.key(20.0, [1.0, 0.0].into());
        curve
    }

    #[test]
    fn keys_are_in_order_and_joined_by_straight_lines() {
        let at = |time| curve().at(time, ParamKind::Double2D);
        assert_eq!(at(-5.0), [0.0, 2.0].into());
        assert_eq!(at(2.5), [0.25, 2.5].into());
        assert_eq!(at(10.0), [1.0, 4.0].into());
        assert_eq!(at(15.0), [1.0, 2.0].into());
        assert_eq!(at(99.0), [1.0, 0.0].into());
    }

    #[test]
    fn slopes_and_areas_are_those_of_the_lines() {
        let slope = curve().derivative(5.0, ParamKind::Double2D);
        assert!((slope[0] - 0.1).abs() < 1e-9 && (slope[1] - 0.2).abs() < 1e-9, "{slope:?}");
        let area = curve().integral(0.0, 20.0, ParamKind::Double2D);
        assert!((area[0] - 15.0).abs() < 1e-9 && (area[1] - 50.0).abs() < 1e-9, "{area:?}");
    }

    #[test]
    fn the_last_key_leaves_its_value() {
        let mut curve = curve();
        assert!(curve.delete_key(0.0) && curve.delete_key(20.0) && !curve.delete_key(3.0));
        assert!(curve.delete_key(10.0));
        assert!(!curve.is_animating());
        assert_eq!(*curve.constant(), [1.0, 4.0].into());
    }

    #[test]
    fn choices_do_not_glide() {
        let mut curve = Curve::of(0.into());
        curve.key(0.0, 0.into());
        curve.key(10.0, 4.into());
        assert_eq!(curve.at(9.0, ParamKind::Choice), 0.into());
        assert_eq!(curve.at(9.0, ParamKind::Integer), 4.into());
    }
}
