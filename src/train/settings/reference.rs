//! `docs/training-settings.md`, made of the settings' types: keys as serde reads them, defaults as
//! serde fills them in, words and types as they stand above and beside the fields.
//!
//! Written anew with `WAN_ALPHA_WRITE_DOCS=1 cargo test -p wan-alpha settings::reference`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use wan_alpha_core::Unwatched;

use super::task::{Dit, Form, Hard, Merge, Pieces, Rounding, Text};
use super::*;

const SOURCES: [&str; 2] = [include_str!("../settings.rs"), include_str!("task.rs")];

const HEAD: &str = "\
# Settings of a training run

Made from the types in `src/train/settings.rs` and `src/train/settings/task.rs`; a test keeps it so.
The file of a run is TOML; paths count from its folder. An example for each kind lies in
`resources/training-examples`, how runs are begun is in [training.md](training.md).

A run computes on one device, the one of `--device`: there is no key for several GPUs, and
[training.md](training.md#several-gpus) says what to use instead. When a run goes on, `steps`,
`[optimiser]` and `[every]` may differ from what they were, and nothing else.
";

/// A table of the file: where it stands, what it is for, and its rows.
struct Table {
    name: &'static str,
    about: &'static str,
    type_name: &'static str,
    keys: Vec<String>,
    /// Every key with its default; null where there is none.
    defaults: Map<String, Value>,
    /// Keys that must be given.
    required: Vec<String>,
}

impl Table {
    /// `sample` holds the keys that must be given, and nothing else.
    fn of<T: DeserializeOwned + Serialize>(
        name: &'static str,
        about: &'static str,
        sample: &Value,
    ) -> Self {
        let type_name = std::any::type_name::<T>().rsplit("::").next().unwrap();
        let whole: T = serde_json::from_value(sample.clone()).unwrap();
        let required: Vec<String> = sample.as_object().unwrap().keys().cloned().collect();
        for key in &required {
            let mut without = sample.clone();
            without.as_object_mut().unwrap().remove(key);
            assert!(
                serde_json::from_value::<T>(without).is_err(),
                "{type_name}.{key} has a default"
            );
        }
        let unknown = serde_json::from_value::<T>(json!({ "?": 0 })).err().unwrap().to_string();
        let defaults = serde_json::to_value(whole).unwrap().as_object().unwrap().clone();
        Self { name, about, type_name, keys: quoted(&unknown), defaults, required }
    }

    fn markdown(&self) -> String {
        let fields = fields_of(self.type_name);
        let found: Vec<&String> = fields.iter().map(|(key, _)| key).collect();
        assert_eq!(found, self.keys.iter().collect::<Vec<_>>(), "{}", self.type_name);
        let mut text = format!("\n## {}\n\n{}\n\n", self.name, self.about);
        text += "| key | type | default | what |\n|---|---|---|---|\n";
        for (key, field) in fields {
            let default = if self.required.contains(&key) {
                "must be given".to_owned()
            } else {
                shown(&self.defaults[&key])
            };
            text += &format!("| `{key}` | {} | {default} | {} |\n", field.kind(), field.doc);
        }
        text
    }
}

/// The names between backticks in what serde says of an unknown one; the first is the unknown one.
fn quoted(message: &str) -> Vec<String> {
    message.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
}

/// A field as its source has it.
struct Field {
    doc: String,
    type_name: String,
}

impl Field {
    /// The type in words.
    fn kind(&self) -> String {
        let inner = self.type_name.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>'));
        let name = inner.unwrap_or(&self.type_name);
        match name {
            "u64" | "usize" | "i64" => "whole number".to_owned(),
            "f64" => "number".to_owned(),
            "bool" => "true or false".to_owned(),
            "[f64; 2]" => "two numbers".to_owned(),
            "PathBuf" => "path".to_owned(),
            "Vec<[usize; 3]>" => "list of `[frames, height, width]`".to_owned(),
            "Vec<PathBuf>" => "list of paths".to_owned(),
            "Vec<String>" => "list of texts".to_owned(),
            "Task" | "Data" | "Optimizer" | "Every" | "Dit" | "Text" => "table, below".to_owned(),
            _ => choices(name)
                .iter()
                .map(|choice| format!("`{choice}`"))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

/// The words that an enumeration is given by.
fn choices(type_name: &str) -> Vec<String> {
    fn of<T: DeserializeOwned>() -> Vec<String> {
        quoted(&serde_json::from_value::<T>(json!("?")).err().unwrap().to_string())
    }
    match type_name {
        "Precision" => of::<Precision>(),
        "Languages" => of::<Languages>(),
        "Warm" => of::<Warm>(),
        "Form" => of::<Form>(),
        "Merge" => of::<Merge>(),
        "Hard" => of::<Hard>(),
        "Rounding" => of::<Rounding>(),
        _ => panic!("no words for the type {type_name}"),
    }
}

/// Keys and fields of a struct in the order of its source.
fn fields_of(type_name: &str) -> Vec<(String, Field)> {
    let start = format!("struct {type_name} {{\n");
    let body = SOURCES.iter().find_map(|source| source.split_once(&start)).unwrap().1;
    let (mut docs, mut renamed) = (Vec::new(), None);
    let mut fields = Vec::new();
    for line in body.lines().map(str::trim).take_while(|line| *line != "}") {
        if let Some(doc) = line.strip_prefix("/// ") {
            docs.push(doc);
        } else if line.starts_with("#[") {
            renamed = line.split_once("rename = \"").and_then(|(_, rest)| rest.split('"').next());
        } else if let Some((name, type_name)) =
            line.trim_start_matches("pub(crate) ").split_once(": ")
        {
            let type_name = type_name.trim_end_matches(',').to_owned();
            assert!(!docs.is_empty(), "{name} says nothing of itself");
            let field = Field { doc: docs.join(" "), type_name };
            fields.push((renamed.unwrap_or(name).to_owned(), field));
            (docs, renamed) = (Vec::new(), None);
        }
    }
    fields
}

fn shown(default: &Value) -> String {
    match default {
        Value::Null => String::new(),
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Object(_) => "as below".to_owned(),
        other => format!("`{}`", toml::Value::try_from(other).unwrap()),
    }
}

fn tables() -> Vec<Table> {
    let nothing = json!({});
    let tokenizer = json!({ "kind": "tokenizer", "vocabulary": 300 });
    vec![
        Table::of::<Settings>(
            "The run",
            "Outside of any table, before the first `[…]`.",
            &json!({ "steps": 1, "task": tokenizer, "data": {} }),
        ),
        Table::of::<Data>("`[data]`", "What is trained on.", &nothing),
        Table::of::<Optimizer>("`[optimiser]`", "AdamW. What is left out is PyTorch's.", &nothing),
        Table::of::<Every>(
            "`[every]`",
            "How often, in steps; 0 is never. The end of a run counts as every one of them.",
            &nothing,
        ),
        Table::of::<Pieces>(
            "`[task]` of the kind `tokenizer`",
            "Pieces of words, from the captions of `steps` × `batch` drawn clips.",
            &json!({ "vocabulary": 300 }),
        ),
        Table::of::<BaseVae>(
            "`[task]` of the kind `base-vae`",
            "A video autoencoder, of color and of alpha.",
            &nothing,
        ),
        Table::of::<RgbaVae>(
            "`[task]` of the kind `rgba-vae`",
            "A merge block behind a base autoencoder's encoder, and LoRAs for both decoders.",
            &nothing,
        ),
        Table::of::<Transformer>(
            "`[task]` of the kinds `transformer` and `dora`",
            "A whole transformer, with its text encoder where one is given; or a DoRA for one there is.",
            &nothing,
        ),
        Table::of::<Dit>(
            "`dit` of the kind `transformer`",
            "As `dit = { dim = …, … }`, or as a table `[task.dit]`.",
            &json!({ "dim": 1, "heads": 1, "layers": 1, "ffn": 1, "text_dim": 1 }),
        ),
        Table::of::<Text>(
            "`text` of the kind `transformer`",
            "As `text = { … }`, or as a table `[task.text]`.",
            &json!({ "vocabulary": 1, "dim": 1, "heads": 1, "ffn": 1, "layers": 1 }),
        ),
    ]
}

#[test]
fn the_reference_is_that_of_the_types() {
    let tables = tables();
    // No kind is left out.
    let kinds =
        quoted(&serde_json::from_value::<Task>(json!({"kind": "?"})).err().unwrap().to_string());
    assert_eq!(kinds.len(), 5);
    for kind in &kinds {
        let named = format!("`{kind}`");
        assert!(
            tables
                .iter()
                .any(|table| table.name.starts_with("`[task]`") && table.name.contains(&named))
        );
    }
    let wanted = HEAD.to_owned() + &tables.iter().map(Table::markdown).collect::<String>();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/training-settings.md");
    if std::env::var_os("WAN_ALPHA_WRITE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), wanted);
}

/// Every example of a kind is read by the reader of runs, and the paper's have the paper's numbers.
#[test]
fn the_examples_are_runs_and_the_papers_are_as_the_paper_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/training-examples");
    let mut runs = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let settings = Settings::read(&path, &Unwatched).unwrap();
            let kind = serde_json::to_value(&settings.task).unwrap()["kind"].clone();
            runs.insert(name, (kind.as_str().unwrap().to_owned(), settings));
        }
    }
    let kinds: Vec<_> =
        runs.iter().map(|(name, (kind, _))| (name.as_str(), kind.as_str())).collect();
    let expected = [
        ("base-vae", "base-vae"),
        ("image-dora", "dora"),
        ("paper-dora", "dora"),
        ("paper-rgba-vae", "rgba-vae"),
        ("tokenizer", "tokenizer"),
        ("transformer", "transformer"),
    ];
    assert_eq!(kinds, expected);

    let (_, vae) = &runs["paper-rgba-vae"];
    let value = serde_json::to_value(vae).unwrap();
    let at = |pointer: &str| value.pointer(pointer).cloned().unwrap_or_default();
    for (pointer, expected) in [
        ("/steps", json!(75_000)),
        ("/batch", json!(2)),
        ("/precision", json!("bf16")),
        ("/task/rank", json!(128)),
        ("/task/l1", json!(1.0)),
        ("/task/edge", json!(1.0)),
        ("/task/perceptual", json!(1.0)),
        ("/task/bidirectional", json!(0.1)),
        ("/task/rounding", json!("bf16")),
        ("/task/normalise", json!(false)),
        ("/data/frames", json!(17)),
        ("/data/height", json!(272)),
        ("/data/width", json!(272)),
        ("/optimiser/rate", json!(1e-4)),
        ("/optimiser/betas", json!([0.9, 0.999])),
        ("/optimiser/eps", json!(1e-8)),
        ("/optimiser/weight_decay", json!(0.01)),
        ("/optimiser/schedule", json!("constant")),
    ] {
        assert_eq!(at(pointer), expected, "paper-rgba-vae{pointer}");
    }
    let (_, dora) = &runs["paper-dora"];
    let value = serde_json::to_value(dora).unwrap();
    let at = |pointer: &str| value.pointer(pointer).cloned().unwrap_or_default();
    for (pointer, expected) in [
        ("/steps", json!(1750)),
        ("/batch", json!(1)),
        ("/accumulate", json!(8)),
        ("/precision", json!("bf16")),
        ("/task/rank", json!(32)),
        ("/task/targets", json!(["q", "k", "v", "o", "ffn.0", "ffn.2"])),
        ("/task/mu", json!(0.05)),
        ("/task/rounding", json!("bf16")),
        ("/task/recompute", json!(true)),
        ("/optimiser/rate", json!(1e-4)),
        ("/optimiser/weight_decay", json!(0.01)),
        ("/optimiser/schedule", json!("released")),
        ("/every/checkpoint", json!(250)),
    ] {
        assert_eq!(at(pointer), expected, "paper-dora{pointer}");
    }
}
