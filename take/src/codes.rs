//! Codes for programs, each with one spelling wherever it is written.

/// Declares an enum of codes, each with its spelling in messages. A code that another version has is
/// kept as it is spelled.
macro_rules! spelled_codes {
    ($(#[$about:meta])* $Name:ident { $($(#[$meta:meta])* $code:ident = $spelling:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $Name {
            $($(#[$meta])* $code,)+
            /// A code that another version has, kept as it is spelled.
            Other(String),
        }

        impl $Name {
            /// All that this version knows, in the order of declaration.
            #[cfg(test)]
            const KNOWN: &[Self] = &[$(Self::$code),+];

            /// The code as messages spell it: words with hyphens between them.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$code => $spelling,)+
                    Self::Other(spelling) => spelling,
                }
            }
        }

        impl From<String> for $Name {
            fn from(spelling: String) -> Self {
                match spelling.as_str() {
                    $($spelling => Self::$code,)+
                    _ => Self::Other(spelling),
                }
            }
        }

        impl From<$Name> for String {
            fn from(code: $Name) -> Self {
                match code {
                    $Name::Other(spelling) => spelling,
                    known => known.as_str().to_owned(),
                }
            }
        }
    };
}

pub(crate) use spelled_codes;
