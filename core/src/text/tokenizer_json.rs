//! What a `tokenizer.json` is, found out before a tokenizer is made of it.

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::sentence_piece::{ParsedModel, check_longest};

/// The kind of umT5's tokenizer, as files call it.
const UNIGRAM: &str = "Unigram";

/// That a file is of umT5's kind, and has no piece that is too long to be taken down again.
///
/// # Errors
/// It is of another kind, which is named, has such a piece, or is no `tokenizer.json`.
pub(super) fn check(bytes: &[u8]) -> ParsedModel<()> {
    let TokenizerJson { model } =
        serde_json::from_slice(bytes).map_err(|error| format!("not a tokenizer.json: {error}"))?;
    match model.kind.as_deref() {
        Some(UNIGRAM) => check_longest(model.vocab.longest),
        Some(other) => Err(format!(
            "is a tokenizer of kind {other}: expected {UNIGRAM}, as umT5's is; fetch the one of \
             google/umt5-xxl"
        )),
        None => Err(format!(
            "does not say the kind of its tokenizer: expected {UNIGRAM}; fetch the one of \
             google/umt5-xxl"
        )),
    }
}

/// The one part of the file that matters here.
#[derive(Deserialize)]
struct TokenizerJson {
    model: TokenizerModel,
}

#[derive(Deserialize)]
struct TokenizerModel {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    vocab: Vocabulary,
}

/// Pieces, of which only the length counts.
#[derive(Default)]
struct Vocabulary {
    /// Bytes of the longest piece.
    longest: usize,
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabularyVisitor)
    }
}

struct VocabularyVisitor;

impl<'de> Visitor<'de> for VocabularyVisitor {
    type Value = Vocabulary;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list or a map of pieces")
    }

    /// Unigram's: pieces with their scores.
    fn visit_seq<A: SeqAccess<'de>>(self, mut pieces: A) -> Result<Vocabulary, A::Error> {
        let mut longest = 0;
        while let Some((piece, _)) = pieces.next_element::<(String, IgnoredAny)>()? {
            longest = longest.max(piece.len());
        }
        Ok(Vocabulary { longest })
    }

    /// That of other kinds: pieces with their ids.
    fn visit_map<A: MapAccess<'de>>(self, mut pieces: A) -> Result<Vocabulary, A::Error> {
        let mut longest = 0;
        while let Some((piece, _)) = pieces.next_entry::<String, IgnoredAny>()? {
            longest = longest.max(piece.len());
        }
        Ok(Vocabulary { longest })
    }

    fn visit_unit<E: Error>(self) -> Result<Vocabulary, E> {
        Ok(Vocabulary::default())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use crate::text::Tokenizer;

    fn error_of(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, bytes).unwrap();
        Tokenizer::open(&path).unwrap_err().to_string()
    }

    #[test]
    fn a_tokenizer_of_another_kind_is_refused_by_the_name_of_what_it_is() {
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metrics/clip/tokenizer.json");
        let error = error_of(&std::fs::read(clip).unwrap());
        assert!(error.contains("of kind BPE: expected Unigram"), "{error}");
        for kind in ["WordPiece", "WordLevel", "of next year"] {
            let error = error_of(json!({ "model": { "type": kind } }).to_string().as_bytes());
            assert!(error.contains(&format!("of kind {kind}:")), "{error}");
        }
        let error = error_of(json!({ "model": { "vocab": {} } }).to_string().as_bytes());
        assert!(error.contains("does not say the kind"), "{error}");
    }

    /// The tree of pieces is taken down by a function that calls itself: it must not be built.
    #[test]
    fn a_piece_that_no_language_has_is_refused_before_it_is_in_a_tree() {
        let file = |length: usize| {
            let vocab =
                json!([["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["b".repeat(length), -1.0]]);
            let model = json!({ "type": "Unigram", "unk_id": 2, "vocab": vocab });
            json!({
                "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
                "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
                "model": model,
            })
        };
        for length in [4097, 3_000_000] {
            let error = error_of(file(length).to_string().as_bytes());
            assert!(error.contains(&format!("{length} bytes")), "{error}");
            assert!(error.contains("at most 4096"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, file(4096).to_string()).unwrap();
        Tokenizer::open(&path).unwrap();
    }

    #[test]
    fn what_is_no_tokenizer_json_is_refused_in_words() {
        for bytes in [
            &b"{}"[..],
            b"[]",
            b"{\"model\": 3}",
            b"{\"model\": {\"type\": \"Unigram\", \"vocab\": 7}}",
        ] {
            let error = error_of(bytes);
            assert!(error.contains("not a tokenizer.json"), "{error}");
        }
    }
}
