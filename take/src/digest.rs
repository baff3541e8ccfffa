//! 256-bit hashes, written as 64 hexadecimal digits: one type for each thing that is hashed.

use thiserror::Error;

/// Text that is not 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} is \"{found}\": expected 64 lower-case hexadecimal digits; copy it whole")]
pub struct DigestError {
    /// What it should be, such as "take key".
    pub what: &'static str,
    /// The text given; its beginning, if it is long.
    pub found: String,
}

/// Declares such a type, with `Display`, `FromStr` and serde, all in hexadecimal. One spelling
/// only: what reads upper-case digits could be told apart by text and not by value.
macro_rules! digest {
    ($(#[$meta:meta])* $name:ident, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(blake3::Hash::from_bytes(self.0).to_hex().as_str())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::digest::DigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match $crate::digest::from_hex(text) {
                    Some(bytes) => Ok(Self(bytes)),
                    None => Err($crate::digest::DigestError {
                        what: $what,
                        found: text.chars().take(80).collect(),
                    }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use digest;

digest! {
    /// Identifies a model by what it computes with: BLAKE3 over name, dtype, shape and data of
    /// every tensor used.
    Fingerprint, "model fingerprint"
}

digest! {
    /// BLAKE3 of something that a request refers to and does not hold: a mask's values, an image.
    ContentHash, "content hash"
}

pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !text.as_bytes().iter().all(lower) {
        return None;
    }
    blake3::Hash::from_hex(text).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_text_is_refused_and_named() {
        let upper = "A".repeat(64);
        let wide = "é".repeat(32);
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &upper, &wide, "../../etc/passwd"]
        {
            let error = text.parse::<Fingerprint>().unwrap_err();
            assert!(error.to_string().starts_with("model fingerprint is \""), "{error}");
        }
        assert!("x".repeat(1 << 20).parse::<ContentHash>().unwrap_err().to_string().len() < 200);
    }

    proptest! {
        #[test]
        fn text_and_json_round_trip(bytes: [u8; 32]) {
            let digest = Fingerprint(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            let json = serde_json::to_string(&digest).unwrap();
            prop_assert_eq!(&json, &format!("\"{digest}\""));
            prop_assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), digest);
        }

        #[test]
        fn any_text_is_survived(text in ".{0,80}") {
            let _ = text.parse::<Fingerprint>();
        }
    }
}
