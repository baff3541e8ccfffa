//! Enums with one name per variant, the same in JSON, on the command line and in messages.

use thiserror::Error;

/// A name that is none of the possible ones.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} is \"{found}\": expected one of {expected}")]
pub struct UnknownChoice {
    /// What is being chosen, such as "solver".
    pub what: &'static str,
    /// The name that was given instead.
    pub found: String,
    /// The names there are, separated by commas.
    pub expected: String,
}

/// Declares such an enum, with `ALL`, `name`, `Display`, `FromStr` and serde.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $name:ident, $what:literal { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name used in JSON, on the command line and in messages.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::choice::UnknownChoice;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::choice::UnknownChoice {
                        what: $what,
                        found: text.to_owned(),
                        expected: [$($text),+].join(", "),
                    }),
                }
            }
        }
    };
}
pub(crate) use choice;

#[cfg(test)]
mod tests {
    use crate::{DecodeTiling, Interpolation, Precision, Solver};

    #[test]
    fn names_are_the_same_everywhere() {
        macro_rules! check {
            ($($choice:ident),+) => {$(
                for &choice in $choice::ALL {
                    assert_eq!(choice.name().parse(), Ok(choice));
                    assert_eq!(choice.to_string(), choice.name());
                    let json = format!("\"{choice}\"");
                    assert_eq!(serde_json::to_string(&choice).unwrap(), json);
                    assert_eq!(serde_json::from_str::<$choice>(&json).unwrap(), choice);
                }
            )+};
        }
        check!(DecodeTiling, Interpolation, Precision, Solver);
    }

    #[test]
    fn unknown_names_are_answered_with_the_known() {
        let message = "heun".parse::<Solver>().unwrap_err().to_string();
        assert_eq!(message, "solver is \"heun\": expected one of unipc, dpm++, euler, lcm, rcm");
    }
}
