//! What is signed besides the bytes of a file: the statement of its marks, as C2PA has it.
#![forbid(unsafe_code)]

use serde_json::{Map, Value, json};

use crate::media::provenance::{OriginMarks, Provenance, TRAINED_ALGORITHMIC_MEDIA};

/// What the assertion of ours is called: model and take, which C2PA has no words for.
const ORIGIN: &str = "org.wanalpha.origin";

/// The claim of a file called `title`, of that type. No prompt stands in it, unless the marks have it.
pub(super) fn of(title: &str, mime: &str, provenance: &Provenance) -> Value {
    let (name, version) = provenance.software.split_once(' ').unwrap_or((&provenance.software, ""));
    let OriginMarks { model, take, prompt, .. } = &provenance.origin;
    let said = [
        ("model", Some(model)),
        ("take", Some(take)),
        ("prompt", prompt.as_ref()),
        ("owner", Some(&provenance.owner)),
    ];
    let said = said.into_iter().filter_map(|(name, text)| {
        let text = text.filter(|text| !text.is_empty())?;
        Some((name.to_owned(), json!(text)))
    });
    let said: Map<String, Value> = said.collect();
    let created = json!({
        "label": "c2pa.actions.v2",
        "data": { "actions": [{
            "action": "c2pa.created",
            "when": provenance.made.iso_words(),
            "softwareAgent": { "name": name, "version": version },
            "digitalSourceType": TRAINED_ALGORITHMIC_MEDIA,
        }] },
    });
    let mut assertions = vec![created];
    if !said.is_empty() {
        assertions.push(json!({ "label": ORIGIN, "data": said }));
    }
    json!({
        "claim_generator_info": [{ "name": name, "version": version }],
        "title": title,
        "format": mime,
        "assertions": assertions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::provenance;

    #[test]
    fn a_claim_says_what_the_marks_say_and_no_more() {
        let mut about = provenance();
        about.origin.prompt = None;
        let claim = of("a.png", "image/png", &about);
        let action = &claim["assertions"][0]["data"]["actions"][0];
        assert_eq!(action["action"], "c2pa.created");
        assert_eq!(action["digitalSourceType"], TRAINED_ALGORITHMIC_MEDIA);
        assert_eq!(action["when"], about.made.iso_words());
        let origin = &claim["assertions"][1]["data"];
        assert_eq!(origin["model"], about.origin.model);
        assert_eq!(origin["take"], about.origin.take);
        assert_eq!(origin["prompt"], Value::Null);
        assert!(!claim.to_string().contains(&about.description), "the prompt stays out");
        about.origin.prompt = Some("a ball".to_owned());
        assert_eq!(of("a", "b", &about)["assertions"][1]["data"]["prompt"], "a ball");
    }
}
