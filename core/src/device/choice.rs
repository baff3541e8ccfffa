//! A device as the user names it.

use std::fmt;
use std::str::FromStr;

/// What `--device` and `WAN_ALPHA_DEVICE` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The card with the most free memory, see [`super::open`]; the CPU where none can be used.
    #[default]
    Auto,
    /// The CPU, whatever cards there are.
    Cpu,
    /// A card by name.
    Cuda(CardName),
}

/// One of the visible cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardName {
    /// By index, as CUDA counts the visible cards from 0.
    Index(usize),
    /// By UUID as `nvidia-smi -L` prints it, `GPU-` and hexadecimal digits; the beginning will do
    /// where it is one card's alone.
    Uuid(String),
}

impl CardName {
    /// Whether `uuid` (`GPU-…`) is meant.
    pub(super) fn is_of(&self, index: usize, uuid: &str) -> bool {
        match self {
            Self::Index(wanted) => *wanted == index,
            Self::Uuid(wanted) => uuid.to_ascii_lowercase().starts_with(wanted),
        }
    }
}

const EXPECTED: &str = "auto, cpu, cuda:N (or N) with a card's index, or GPU-… with a card's UUID";

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            "cuda" => return Ok(Self::Cuda(CardName::Index(0))),
            _ => {}
        }
        let name = text.strip_prefix("cuda:").unwrap_or(text);
        let lower = name.to_ascii_lowercase();
        let is_index = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let card = if let Some(digits) = lower.strip_prefix("gpu-") {
            let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            (!digits.is_empty() && plain).then_some(CardName::Uuid(lower))
        } else {
            name.parse().ok().filter(|_| is_index).map(CardName::Index)
        };
        card.map(Self::Cuda).ok_or_else(|| format!("expected {EXPECTED}, found `{text}`"))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(CardName::Index(index)) => write!(f, "cuda:{index}"),
            Self::Cuda(CardName::Uuid(uuid)) => {
                write!(f, "GPU-{}", uuid.strip_prefix("gpu-").unwrap_or(uuid))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        for text in ["auto", "cpu", "cuda:3", "GPU-8f6d2c11-0a"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for (text, same) in [("2", "cuda:2"), ("cuda", "cuda:0"), ("cuda:gpu-8F", "GPU-8f")] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), same);
        }
        for text in ["", "gpu", "cuda:", "cuda:-1", "-1", "cuda:x", "+1", "GPU-", "GPU-xyz", "0,1"]
        {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert!(error.contains("cuda:N") && error.contains(text), "{text}: {error}");
        }
    }
}
