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
    /// By UUID as `nvidia-smi -L` prints it, `GPU-` or, of a part of a card, `MIG-` and hexadecimal
    /// digits, in small letters; the beginning will do where it is one card's alone.
    Uuid(String),
}

impl CardName {
    /// Whether `uuid` (`GPU-…` or `MIG-…`) is meant.
    pub(super) fn is_of(&self, index: usize, uuid: &str) -> bool {
        match self {
            Self::Index(wanted) => *wanted == index,
            Self::Uuid(wanted) => uuid.to_ascii_lowercase().starts_with(wanted),
        }
    }
}

const EXPECTED: &str =
    "auto, cpu, cuda:N (or N) with a card's index, or GPU-… or MIG-… with a card's UUID";

/// What the UUIDs of cards, and of parts of cards, begin with.
const UUIDS: [&str; 2] = ["GPU-", "MIG-"];

/// `GPU-` or `MIG-`, and the digits that follow it in `text`, which is of small letters.
fn uuid_parts(text: &str) -> Option<(&'static str, &str)> {
    UUIDS
        .into_iter()
        .find_map(|prefix| Some((prefix, text.strip_prefix(&*prefix.to_ascii_lowercase())?)))
}

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
        let card = if let Some((_, digits)) = uuid_parts(&lower) {
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
                let (prefix, digits) = uuid_parts(uuid).unwrap_or((UUIDS[0], uuid));
                write!(f, "{prefix}{digits}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        for text in ["auto", "cpu", "cuda:3", "GPU-8f6d2c11-0a", "MIG-8f6d2c11-0a"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for (text, same) in
            [("2", "cuda:2"), ("cuda", "cuda:0"), ("cuda:gpu-8F", "GPU-8f"), ("mig-A", "MIG-a")]
        {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), same);
        }
        let wrong = ["", "gpu", "cuda:", "cuda:-1", "-1", "cuda:x", "+1", "GPU-", "GPU-xyz", "0,1"];
        for text in wrong.into_iter().chain(["MIG-", "MIG-GPU-1/2/0", "mig"]) {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert!(error.contains("cuda:N") && error.contains(text), "{text}: {error}");
        }
    }
}
