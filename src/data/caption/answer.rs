//! What a vision model said, taken out of what its service sent.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The captions and labels of a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CaptionAnswer {
    pub(super) long: String,
    pub(super) short: String,
    pub(super) labels: BTreeMap<String, String>,
}

impl CaptionAnswer {
    /// From the body of a chat completion.
    pub(super) fn of(body: &str) -> Result<Self> {
        let reply: Value = serde_json::from_str(body).context("it is no JSON")?;
        let content = &reply["choices"][0]["message"]["content"];
        let text = content.as_str().context("it has no choices[0].message.content")?;
        // Some wrap it in a code fence, or say something before.
        let object = text.find('{').zip(text.rfind('}')).and_then(|(from, to)| text.get(from..=to));
        let object =
            object.with_context(|| format!("the model gave no JSON object: {}", cut(text)))?;
        let object: Value = serde_json::from_str(object)
            .with_context(|| format!("the model gave broken JSON: {}", cut(object)))?;
        let caption = |name: &str| -> Result<String> {
            let words = object[name].as_str().unwrap_or_default().split_whitespace();
            let words = words.collect::<Vec<_>>().join(" ");
            ensure!(!words.is_empty(), "the model left out `{name}`: {}", cut(text));
            Ok(words)
        };
        let mut labels = BTreeMap::new();
        for (name, value) in object["labels"].as_object().into_iter().flatten() {
            let value = match value {
                Value::String(text) => text.trim().to_owned(),
                Value::Null => continue,
                other => other.to_string(),
            };
            // A label's separators in a CSV cell.
            let plain = |text: &str| text.replace([';', '=', '\n'], " ").trim().to_owned();
            if !value.is_empty() {
                labels.insert(plain(name), plain(&value));
            }
        }
        Ok(Self { long: caption("long")?, short: caption("short")?, labels })
    }
}

/// Why a service that has answered did not describe the pictures, where it says so itself.
pub(super) fn refusal(body: &str) -> Option<String> {
    let reply: Value = serde_json::from_str(body).ok()?;
    let choice = &reply["choices"][0];
    let said = choice["message"]["refusal"].as_str().filter(|said| !said.trim().is_empty());
    let filtered = choice["finish_reason"] == "content_filter";
    said.map(|said| format!("the model refuses: {}", cut(said)))
        .or_else(|| filtered.then(|| "the service's content filter has stopped it".to_owned()))
}

/// The beginning of a text, for messages.
pub(super) fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(200).collect();
    if short.len() < line.len() { short + "…" } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(content: &str) -> Result<CaptionAnswer> {
        CaptionAnswer::of(&json!({"choices": [{"message": {"content": content}}]}).to_string())
    }

    #[test]
    fn captions_are_found_in_whatever_stands_around_them() {
        let content = "Here it is:\n```json\n{\"long\": \"A  red\\nball\", \"short\": \"ball\", \
                       \"labels\": {\"style\": \"3D; cartoon\", \"speed\": 2, \"shot\": null}}\n```";
        let answer = of(content).unwrap();
        assert_eq!((answer.long.as_str(), answer.short.as_str()), ("A red ball", "ball"));
        let labels = [("speed", "2"), ("style", "3D  cartoon")];
        assert_eq!(answer.labels, labels.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    }

    #[test]
    fn a_refusal_is_one_only_where_the_service_says_so() {
        let of = |choice: Value| refusal(&json!({ "choices": [choice] }).to_string());
        let said = of(json!({"message": {"content": null, "refusal": "I  cannot."}}));
        assert_eq!(said.as_deref(), Some("the model refuses: I cannot."));
        let filtered = of(json!({"finish_reason": "content_filter", "message": {}}));
        assert!(filtered.unwrap().contains("content filter"));
        assert_eq!(of(json!({"message": {"content": "I cannot.", "refusal": null}})), None);
        assert_eq!(refusal("<html>"), None);
    }

    #[test]
    fn anything_else_is_said_in_words() {
        for (content, words) in [
            ("I cannot see it.", "no JSON object: I cannot see it."),
            ("{\"long\": ", "no JSON object"),
            ("{\"long\": }", "broken JSON"),
            ("{\"long\": \"a\"}", "left out `short`"),
            ("{\"long\": \" \", \"short\": \"b\"}", "left out `long`"),
        ] {
            let text = format!("{:#}", of(content).unwrap_err());
            assert!(text.contains(words), "{text}");
        }
        assert!(format!("{:#}", CaptionAnswer::of("<html>").unwrap_err()).contains("no JSON"));
        assert!(format!("{:#}", CaptionAnswer::of("{}").unwrap_err()).contains("choices[0]"));
    }
}
