//! What language a caption is in, as far as its letters say.

/// Languages that the text encoder was trained to read captions in, and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CaptionLanguage {
    English,
    Chinese,
    /// Much of both English and Chinese.
    Mixed,
    Other,
    /// No letters at all.
    None,
}

impl CaptionLanguage {
    /// By the share of each script, a Chinese character being about a word.
    pub(super) fn of(text: &str) -> Self {
        let (mut latin, mut chinese, mut others) = (0.0, 0.0, 0.0);
        for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
            match letter {
                'a'..='z' | 'A'..='Z' => latin += 0.2,
                '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
                    chinese += 1.0;
                }
                _ => others += 0.4,
            }
        }
        let all: f64 = latin + chinese + others;
        match all {
            0.0 => Self::None,
            _ if latin >= 0.9 * all => Self::English,
            _ if chinese >= 0.85 * all && others <= 0.05 * all => Self::Chinese,
            _ if others <= 0.1 * all => Self::Mixed,
            _ => Self::Other,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "Chinese",
            Self::Mixed => "mixed",
            Self::Other => "other",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_told_apart() {
        for (text, expected) in [
            ("A red ball, café style, moves.", CaptionLanguage::English),
            ("该视频的背景是透明的。3D卡通风格,一个球。", CaptionLanguage::Chinese),
            ("Красный шар движется слева направо.", CaptionLanguage::Other),
            ("赤いボールがゆっくりと動いている。", CaptionLanguage::Other),
            ("The ball 是红色的球 moves 向右移动", CaptionLanguage::Mixed),
            ("12 — 3", CaptionLanguage::None),
            ("", CaptionLanguage::None),
        ] {
            assert_eq!(CaptionLanguage::of(text), expected, "{text}");
        }
    }
}
