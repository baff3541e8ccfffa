//! A LoRA as it is asked for in words: `name`, or `name:strength`.

use thiserror::Error;

/// A LoRA's name or file, and how strongly it is merged.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraWord {
    /// A name or a path.
    pub what: String,
    /// 1 where nothing is said.
    pub strength: f64,
}

/// Words that name no LoRA.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{found}` names no LoRA: expected NAME or NAME:STRENGTH, such as smoke:0.8")]
pub struct LoraWordError {
    /// What was given.
    pub found: String,
}

impl LoraWord {
    /// Reads `NAME|FILE[:strength]`: what follows the last colon is the strength, if it is a number.
    ///
    /// # Errors
    /// There is no name.
    pub fn parse(text: &str) -> Result<Self, LoraWordError> {
        let text = text.trim();
        let strength = |text: &str| text.trim().parse::<f64>().ok().filter(|s| s.is_finite());
        let split = text.rsplit_once(':').and_then(|(what, after)| Some((what, strength(after)?)));
        let (what, strength) = split.unwrap_or((text, 1.0));
        let what = what.trim();
        if what.is_empty() || what.ends_with(':') {
            return Err(LoraWordError { found: text.to_owned() });
        }
        Ok(Self { what: what.to_owned(), strength })
    }

    /// Reads a list, a line each; empty lines count for nothing.
    ///
    /// # Errors
    /// A line has no name.
    pub fn lines(text: &str) -> Result<Vec<Self>, LoraWordError> {
        text.lines().filter(|line| !line.trim().is_empty()).map(Self::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_after_the_last_colon_is_the_strength() {
        for (text, what, strength) in [
            ("smoke", "smoke", 1.0),
            (" smoke : -0.5 ", "smoke", -0.5),
            ("C:\\loras\\ink.safetensors", "C:\\loras\\ink.safetensors", 1.0),
            ("a:b:2", "a:b", 2.0),
            ("ink:inf", "ink:inf", 1.0),
        ] {
            assert_eq!(LoraWord::parse(text), Ok(LoraWord { what: what.to_owned(), strength }));
        }
        for text in ["", ":0.5", "::1", "smoke:"] {
            let error = LoraWord::parse(text).unwrap_err().to_string();
            assert!(error.contains("NAME:STRENGTH"), "{error}");
        }
        let list = LoraWord::lines("\n smoke:0.5\r\n\n ink \n").unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].strength, list[1].what.as_str()), (0.5, "ink"));
    }
}
