//! JSON in which no key stands twice: of two values the last one would count in silence, and nobody knows
//! which was meant.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};

/// Reads a text like [`serde_json::from_str`], and refuses a key that stands twice in one object, at any
/// depth, by its name, line and column.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_str(text);
    UniqueKeys.deserialize(&mut reader)?;
    reader.end()?;
    serde_json::from_str(text)
}

/// Any value, of which nothing is kept but that its keys are unique.
struct UniqueKeys;

impl<'de> DeserializeSeed<'de> for UniqueKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = object.next_key::<String>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format!(
                    "the key `{name}` stands twice: take one of them out"
                )));
            }
            names.insert(name);
            object.next_value_seed(Self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_key_that_stands_twice_is_named_with_its_line_at_any_depth() {
        let text = "{\"a\": [{\"b\": 1, \"c\": \"x\"}],\n \"d\": {\"b\": true, \"b\": null}}";
        let error = from_str::<Value>(text).unwrap_err();
        let words = error.to_string();
        assert!(words.contains("the key `b` stands twice") && words.contains("line 2"), "{words}");
        // The same name, written otherwise.
        assert!(from_str::<Value>(r#"{"a": 1, "\u0061": 2}"#).is_err());
    }

    #[test]
    fn everything_else_is_read_as_ever() {
        for text in ["{\"a\": [1, -2, 2.5, null, true, \"x\", {\"a\": {}}]}", "[]", "3", "\"x\""] {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(from_str::<Value>(text).unwrap(), expected);
        }
        for wrong in ["{", "[1,]", "{} x", ""] {
            let expected = serde_json::from_str::<Value>(wrong).unwrap_err();
            assert_eq!(
                from_str::<Value>(wrong).unwrap_err().is_eof(),
                expected.is_eof(),
                "{wrong}"
            );
        }
    }

    /// What is read into types with known fields refuses the second of a name by itself.
    #[test]
    fn tracks_and_requests_refuse_a_field_that_stands_twice() {
        let track = "[{\"x\": 0.5, \"y\": 0.5, \"a\": 0.2, \"b\": 0.2, \"angle\": 0},\n \
                     {\"x\": 0.5, \"y\": 0.5, \"x\": 0.6, \"a\": 0.2, \"b\": 0.2, \"angle\": 0}]";
        let words = wan_alpha_take::Track::from_json(track, 2).unwrap_err().to_string();
        assert!(words.contains("duplicate field `x`") && words.contains("line 2"), "{words}");
        let request = r#"{"version": 1, "version": 1}"#;
        let words = wan_alpha_take::TakeRequest::from_json(request).unwrap_err().to_string();
        assert!(words.contains("duplicate field `version`"), "{words}");
    }
}
