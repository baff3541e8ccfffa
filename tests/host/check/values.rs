//! Values to try on a parameter: its ends, its default, and what artists type.

use wan_alpha_test_host::{Node, ParamKind, Properties, Value};

/// What stands for an end that is nowhere.
const FAR: f64 = 1e6;

/// Words that were too much for some plug-in or host.
pub(crate) const WORDS: &[&str] = &[
    "",
    "plain",
    "zwölf \u{1F408}\u{200d} \"Katzen\" [exit] {Gras} $HOME %s%n",
    "two\nlines\tand a \\ backslash",
    "../../../etc/passwd",
    "{\"not\": [\"closed\"",
];

/// Values of a parameter within what it allows, the default last; none where it has no value.
pub(crate) fn of(kind: ParamKind, properties: &Properties) -> Vec<Value> {
    let ends = |end: &str| properties.doubles(&format!("OfxParamProp{end}"));
    match kind {
        ParamKind::PushButton | ParamKind::Group | ParamKind::Page => Vec::new(),
        ParamKind::Boolean => vec![true.into(), false.into()],
        ParamKind::Choice => {
            let options = properties.texts("OfxParamPropChoiceOption").len();
            let last = i32::try_from(options).unwrap_or(i32::MAX);
            let default = properties.ints("OfxParamPropDefault").first().copied().unwrap_or(0);
            (0..last.min(16)).chain([last - 1, default]).map(Value::from).collect()
        }
        ParamKind::String | ParamKind::Custom => {
            let long = "long ".repeat(1200);
            let words = WORDS.iter().map(|words| Value::from(*words));
            words.chain([Value::from(long), default(kind, properties)]).collect()
        }
        _ => {
            let whole =
                matches!(kind, ParamKind::Integer | ParamKind::Integer2D | ParamKind::Integer3D);
            let count = kind.count();
            let at = |values: Vec<f64>, otherwise: f64| -> Vec<f64> {
                let one = |n: usize| values.get(n).copied().filter(|v| v.abs() < 1e12);
                (0..count).map(|n| one(n).unwrap_or(otherwise)).collect()
            };
            let (least, most) = (at(ends("Min"), -FAR), at(ends("Max"), FAR));
            let middle = least.iter().zip(&most).map(|(a, b)| (a + b) / 2.0).collect();
            let fitted = |values: Vec<f64>| {
                if whole {
                    Value::Ints(values.into_iter().map(|value| value as i32).collect())
                } else {
                    Value::Doubles(values)
                }
            };
            let mut values: Vec<_> = [least, most, middle].map(fitted).into();
            values.push(default(kind, properties));
            values
        }
    }
}

fn default(kind: ParamKind, properties: &Properties) -> Value {
    match kind {
        ParamKind::String | ParamKind::Custom => {
            properties.text("OfxParamPropDefault").unwrap_or_default().into()
        }
        ParamKind::Integer | ParamKind::Integer2D | ParamKind::Integer3D => {
            Value::Ints(properties.ints("OfxParamPropDefault"))
        }
        _ => Value::Doubles(properties.doubles("OfxParamPropDefault")),
    }
}

/// Gives every parameter with a value another one than it has.
pub(crate) fn change_all(node: &Node, only: impl Fn(&str, &Properties) -> bool) {
    for (id, kind) in node.params() {
        let properties = node.param_properties(&id);
        if !only(&id, &properties) {
            continue;
        }
        let before = node.value(&id);
        let mut other = of(kind, &properties).into_iter().rev().filter(|value| *value != before);
        if let Some(value) = other.next() {
            node.set(&id, value);
        }
    }
}

/// A value at random, within the bounds or far outside of them.
pub(crate) fn at_random(
    random: &mut fastrand::Rng,
    kind: ParamKind,
    properties: &Properties,
) -> Option<Value> {
    let known = of(kind, properties);
    if known.is_empty() {
        return None;
    }
    if random.u8(..) < 160 {
        return known.get(random.usize(..known.len())).cloned();
    }
    Some(match kind {
        ParamKind::Boolean | ParamKind::Choice => random.i32(-3..40).into(),
        ParamKind::String | ParamKind::Custom => {
            let length = random.usize(..60);
            (0..length).map(|_| random.char('\u{1}'..'\u{2fff}')).collect::<String>().into()
        }
        ParamKind::Integer | ParamKind::Integer2D | ParamKind::Integer3D => {
            Value::Ints((0..kind.count()).map(|_| random.i32(..)).collect())
        }
        _ => Value::Doubles(
            (0..kind.count())
                .map(|_| match random.u8(..8) {
                    0 => f64::MAX,
                    1 => -1e300,
                    2 => f64::MIN_POSITIVE,
                    _ => (random.f64() - 0.5) * 10_f64.powi(random.i32(-3..9)),
                })
                .collect(),
        ),
    })
}
