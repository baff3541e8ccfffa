//! What projects hold must not change: `tests/data/params.golden.json`.

use std::path::Path;

use serde_json::{Value, json};
use wan_alpha_ofx::params::{Group, Kind, TABLE};

const ACCEPT: &str = "WAN_ALPHA_ACCEPT_PARAMS";

#[test]
fn parameters_are_those_that_projects_hold() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/params.golden.json");
    let found = serde_json::to_string_pretty(&now()).unwrap() + "\n";
    if std::env::var_os(ACCEPT).is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == found,
        "the parameters differ from {}.\nA parameter or choice appended is a deliberate change: \
         accept it with {ACCEPT}=1, and commit the file. Anything else breaks the projects of \
         those who use the node.\nThey are now:\n{found}",
        path.display()
    );
}

/// New ones come at the end: those of commit 7783599 are all there, as they were, and first.
#[test]
fn parameters_of_earlier_projects_are_as_they_were() {
    let earlier: Value =
        serde_json::from_str(include_str!("../data/params-of-7783599.json")).unwrap();
    let found = now();
    assert_eq!(found["identifier"], earlier["identifier"]);
    assert_eq!(found["groups"], earlier["groups"]);
    let [found, earlier] = [&found, &earlier].map(|of| of["parameters"].as_array().unwrap());
    for (found, earlier) in found.iter().zip(earlier) {
        assert_eq!(&without_later_choices(found, earlier), earlier);
    }
    assert!(found.len() >= earlier.len());
}

/// A parameter without the choices that were added after those it had: projects keep one by its text or
/// by its place.
fn without_later_choices(found: &Value, earlier: &Value) -> Value {
    let mut found = found.clone();
    if let Some(options) = earlier["options"].as_array() {
        found["options"].as_array_mut().unwrap().truncate(options.len());
    }
    found
}

fn now() -> Value {
    let groups: Vec<_> = Group::ALL.iter().map(|group| text(group.id())).collect();
    let parameters: Vec<_> = TABLE
        .iter()
        .map(|parameter| {
            let mut entry = json!({
                "id": text(parameter.id),
                "type": parameter.kind.name(),
                "animates": parameter.animates,
                "persistent": parameter.persistent,
            });
            match parameter.kind {
                Kind::Text { default, .. } => entry["default"] = text(default).into(),
                Kind::Int { default, range, .. } => {
                    entry["default"] = default.into();
                    entry["range"] = json!(range);
                }
                Kind::Double { default, range, .. } => {
                    entry["default"] = default.into();
                    entry["range"] = json!(range);
                }
                Kind::Double2D { default, range, .. } => {
                    entry["default"] = json!(default);
                    entry["range"] = json!(range);
                }
                Kind::Choice { options } => {
                    entry["default"] = 0.into();
                    entry["options"] = options.iter().map(|option| text(option)).collect();
                }
                Kind::Toggle => entry["default"] = 0.into(),
                Kind::Button => {}
            }
            entry
        })
        .collect();
    let identifier = text(wan_alpha_ofx::IDENTIFIER);
    json!({ "identifier": identifier, "groups": groups, "parameters": parameters })
}

fn text(text: &std::ffi::CStr) -> &str {
    text.to_str().unwrap()
}
