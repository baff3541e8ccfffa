//! A CUDA card, and which of several computes.

use std::fmt;

use super::LIBTORCH_BUILD;
use super::choice::CardName;
use super::cuda_version::LEAST_CAPABILITY;
use super::unavailable::CudaUnavailable;

/// A card as CUDA's runtime describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Among the visible cards, as CUDA counts them.
    pub index: usize,
    /// Its model, such as `NVIDIA H200`.
    pub name: String,
    /// `GPU-`, or `MIG-` of a part of a card, and 32 hexadecimal digits in five groups. Identifies one card of one owner: not for
    /// records that leave the machine.
    pub uuid: String,
    /// Compute capability: major, minor.
    pub capability: (u32, u32),
    /// Bytes of memory that the card has, in use or not.
    pub total_memory: u64,
    /// Whether a desktop draws with it: work on it may be interrupted, and the screen stutters.
    pub has_display: bool,
}

impl Card {
    /// Whether attention in bfloat16 is there.
    pub fn is_supported(&self) -> bool {
        self.capability >= LEAST_CAPABILITY
    }

    /// What takes are compared by: model, compute capability and libtorch's build, in a word such as
    /// `NVIDIA-H200-sm90-libtorch-2.13.0-cu130` of at most 120 letters, digits, dots and hyphens.
    pub fn class(&self) -> String {
        let (major, minor) = self.capability;
        let name: String = self.name.chars().take(60).collect();
        let text = format!("{name} sm{major}{minor} libtorch {LIBTORCH_BUILD}");
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.capability;
        let gigabytes = self.total_memory as f64 / 1e9;
        write!(
            f,
            "{} (cuda:{}, compute capability {major}.{minor}, {gigabytes:.1} GB)",
            self.name, self.index
        )
    }
}

/// Among all visible cards the one of that name, if it can be used.
pub(super) fn named<'a>(
    cards: &'a [Card],
    name: &CardName,
    visible: Option<&str>,
) -> Result<&'a Card, CudaUnavailable> {
    let found: Vec<&Card> =
        cards.iter().filter(|card| name.is_of(card.index, &card.uuid)).collect();
    match found[..] {
        [card] if card.is_supported() => Ok(card),
        [card] => Err(CudaUnavailable::TooOld { cards: vec![card.to_string()] }),
        _ => Err(CudaUnavailable::NoSuchCard {
            matching: found.len(),
            cards: cards.iter().map(Card::to_string).collect(),
            visible: visible.map(str::to_owned),
        }),
    }
}

/// The cards that [`super::DeviceChoice::Auto`] may take: those that can be used, without the only
/// one that drives a display where there is another.
pub(super) fn candidates(cards: &[Card]) -> Result<Vec<&Card>, CudaUnavailable> {
    let supported: Vec<&Card> = cards.iter().filter(|card| card.is_supported()).collect();
    if supported.is_empty() {
        return Err(CudaUnavailable::TooOld { cards: cards.iter().map(Card::to_string).collect() });
    }
    let displays = cards.iter().filter(|card| card.has_display).count();
    if supported.len() > 1 && displays == 1 {
        return Ok(supported.into_iter().filter(|card| !card.has_display).collect());
    }
    Ok(supported)
}

/// Of `(card, free bytes)` the card with the most free memory; the first of equal ones.
pub(super) fn freest<'a>(cards: &[(&'a Card, u64)]) -> Option<&'a Card> {
    let most = cards.iter().map(|(_, free)| *free).max()?;
    cards.iter().find(|(_, free)| *free == most).map(|(card, _)| *card)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(index: usize, capability: (u32, u32), has_display: bool) -> Card {
        Card {
            index,
            name: format!("card {index}"),
            uuid: format!("GPU-0000000{index}-0000-0000-0000-000000000000"),
            capability,
            total_memory: 24_000_000_000,
            has_display,
        }
    }

    fn indices(cards: &[&Card]) -> Vec<usize> {
        cards.iter().map(|card| card.index).collect()
    }

    #[test]
    fn the_only_card_of_a_display_is_left_alone_where_there_is_a_choice() {
        let ampere = (8, 6);
        for (cards, expected) in [
            (vec![card(0, ampere, true)], vec![0]),
            (vec![card(0, ampere, true), card(1, ampere, false)], vec![1]),
            (vec![card(0, ampere, false), card(1, ampere, false)], vec![0, 1]),
            // Whatever is taken, a display remains.
            (
                vec![card(0, ampere, true), card(1, ampere, true), card(2, ampere, false)],
                vec![0, 1, 2],
            ),
            // The other one cannot be used: no choice.
            (vec![card(0, ampere, true), card(1, (7, 5), false)], vec![0]),
            (vec![card(0, (6, 1), true), card(1, ampere, false)], vec![1]),
        ] {
            assert_eq!(indices(&candidates(&cards).unwrap()), expected);
        }
        let error = candidates(&[card(0, (7, 5), false)]).unwrap_err().to_string();
        assert!(
            error.contains("card 0") && error.contains("7.5") && error.contains("8.0"),
            "{error}"
        );
    }

    #[test]
    fn the_freest_card_counts_and_the_first_of_equal_ones() {
        let cards = [card(0, (8, 0), false), card(1, (8, 0), false), card(2, (8, 0), false)];
        let free = |bytes: [u64; 3]| cards.iter().zip(bytes).collect::<Vec<_>>();
        assert_eq!(freest(&free([1, 3, 2])).unwrap().index, 1);
        assert_eq!(freest(&free([5, 5, 2])).unwrap().index, 0);
        assert!(freest(&[]).is_none());
    }

    #[test]
    fn the_class_of_a_card_is_a_word() {
        let named = |name: &str| Card { name: name.to_owned(), ..card(0, (9, 0), false) }.class();
        let build = LIBTORCH_BUILD.replace('+', "-");
        assert_eq!(named("NVIDIA H200"), format!("NVIDIA-H200-sm90-libtorch-{build}"));
        let long = named(&"NVIDIA RTX™ (Grün) ".repeat(9));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        assert!(long.len() <= 120 && long.chars().all(plain), "{long}");
    }

    #[test]
    fn a_card_is_named_by_index_or_the_beginning_of_its_uuid() {
        let cards = [card(0, (8, 0), false), card(1, (9, 0), false), card(2, (7, 5), false)];
        let uuid = |text: &str| CardName::Uuid(text.to_owned());
        assert_eq!(named(&cards, &CardName::Index(1), None).unwrap().index, 1);
        assert_eq!(named(&cards, &uuid("gpu-00000001"), None).unwrap().index, 1);
        for (name, words) in [
            (CardName::Index(3), ["3 cards are visible", "cuda:2"]),
            (uuid("gpu-0000"), ["3 of them", "cuda:1"]),
            (uuid("gpu-ff"), ["none of them", "CUDA_VISIBLE_DEVICES is `0,1`"]),
            (CardName::Index(2), ["7.5", "8.0"]),
        ] {
            let error = named(&cards, &name, Some("0,1")).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{name:?}: {error}");
        }
    }
}
