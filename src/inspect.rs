//! `wan-alpha inspect`: what files say of their origin, ours or not.
//!
//! What a file says can be written by anyone, and left out by anyone. Only a signature can be checked, and
//! that is done by the program `c2patool`, where it is found.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use crate::args::InspectFiles;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::embedded::EmbeddedTexts;
use crate::stdout::print_lines;

/// IPTC's terms for what a model had its part in, and what they mean.
const SOURCE_TYPES: [(&str, &str); 6] = [
    ("trainedAlgorithmicMedia", "made by a trained model"),
    ("compositeWithTrainedAlgorithmicMedia", "composed, with parts made by a trained model"),
    ("algorithmicMedia", "made by an algorithm"),
    ("compositeSynthetic", "composed, with synthetic parts"),
    ("algorithmicallyEnhanced", "changed by an algorithm"),
    ("digitalCapture", "taken by a camera"),
];

/// What is looked for: how it is told, and what files call it.
const LINES: [(&str, &[&str]); 9] = [
    ("system", &["Iptc4xmpExt:AISystemUsed", "AI_SYSTEM_USED"]),
    ("its version", &["Iptc4xmpExt:AISystemVersionUsed", "AI_SYSTEM_VERSION_USED"]),
    ("model", &["wanAlpha:Model", "wanAlphaModel", "WAN_ALPHA_MODEL"]),
    ("take", &["wanAlpha:Take", "wanAlphaTake", "WAN_ALPHA_TAKE"]),
    ("prompt", &["Iptc4xmpExt:AIPromptInformation", "AI_PROMPT_INFORMATION"]),
    ("program", &["Software", "xmp:CreatorTool", "ENCODER_SETTINGS"]),
    ("written", &["capDate", "xmp:CreateDate", "DATE_ENCODED"]),
    ("owner", &["owner", "dc:rights", "Copyright"]),
    ("China's label", &["AIGC", "TC260:AIGC"]),
];

const SOURCE_TYPE: [&str; 2] = ["Iptc4xmpExt:DigitalSourceType", "DIGITAL_SOURCE_TYPE"];
const RECIPE: [&str; 4] =
    ["wanAlphaRecipe", "wan-alpha recipe", "wanAlpha:Recipe", "WAN_ALPHA_RECIPE"];

/// Tells what each file says. One that cannot be read is told, and the others are looked at all the same.
pub(crate) fn run(args: &InspectFiles, context: &CommandContext<'_>) -> Result<()> {
    let mut lines = Vec::new();
    let mut about = Vec::new();
    let mut unread = Vec::new();
    for file in &args.files {
        match EmbeddedTexts::of(file) {
            Ok(found) => {
                let signature = Signature::of(file, &found);
                about.push(as_json(file, &found, &signature));
                lines.extend(in_words(file, &found, &signature));
            }
            Err(error) => unread.push(format!("{:#}", anyhow::Error::from(error))),
        }
    }
    context.progress.done();
    if args.json {
        lines = vec![serde_json::to_string_pretty(&json!({ "files": about }))?];
    }
    print_lines(&lines)?;
    match &unread[..] {
        [] => Ok(()),
        some => Err(anyhow!(some.join("; "))).or_exit(Exit::BadInput),
    }
}

/// Whether a file is signed, and whether that holds.
enum Signature {
    None,
    /// As `c2patool` has it.
    Checked(Value),
    /// Why it could not be checked.
    Unchecked(String),
}

impl Signature {
    fn of(file: &Path, found: &EmbeddedTexts) -> Self {
        let beside = file.with_extension("c2pa");
        if !found.has_c2pa && !beside.is_file() {
            return Self::None;
        }
        let mut command = Command::new("c2patool");
        command.arg(file);
        if !found.has_c2pa {
            command.arg("--external-manifest").arg(&beside);
        }
        match command.stdin(Stdio::null()).output() {
            Err(error) if error.kind() == ErrorKind::NotFound => Self::Unchecked(
                "it is checked by c2patool, which is not on PATH: install it (`cargo install c2patool`)"
                    .to_owned(),
            ),
            Err(error) => Self::Unchecked(format!("c2patool cannot be started: {error}")),
            Ok(output) => match serde_json::from_slice::<Value>(&output.stdout) {
                Ok(said) if output.status.success() => Self::Checked(said),
                _ => {
                    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
                    Self::Unchecked(format!("c2patool cannot read it: {said}"))
                }
            },
        }
    }

    /// What `c2patool` says of it: Valid, Trusted or Invalid.
    fn state(said: &Value) -> &str {
        said["validation_state"].as_str().unwrap_or("unknown")
    }

    fn words(&self) -> String {
        match self {
            Self::None => "none (no C2PA manifest)".to_owned(),
            Self::Unchecked(why) => format!("a C2PA manifest, not checked: {why}"),
            Self::Checked(said) => {
                let by = said.pointer("/manifests").and_then(Value::as_object);
                let active = said["active_manifest"].as_str().unwrap_or_default();
                let signer = by.and_then(|all| all.get(active));
                let signer = signer.and_then(|one| one.pointer("/signature_info/issuer"));
                let signer = signer.and_then(Value::as_str).unwrap_or("nobody that is named");
                match Self::state(said) {
                    "Valid" => format!("holds, by {signer} (who that is was not checked)"),
                    "Trusted" => format!("holds, by {signer}, whom c2patool trusts"),
                    "Invalid" => format!("DOES NOT HOLD, of {signer}"),
                    other => format!("a C2PA manifest of {signer}, of which c2patool says {other}"),
                }
            }
        }
    }
}

fn in_words(file: &Path, found: &EmbeddedTexts, signature: &Signature) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", file.display(), found.kind)];
    let mut add = |name: &str, words: &str| lines.push(format!("  {name:<14} {words}"));
    match found.text(&SOURCE_TYPE) {
        None => add("origin", "says nothing of it"),
        Some(term) => {
            let short = term.rsplit('/').next().unwrap_or(term);
            let known = SOURCE_TYPES.iter().find(|(name, _)| *name == short);
            let words = known.map_or("a term that is not known here", |(_, words)| words);
            add("origin", &format!("{words} ({short})"));
        }
    }
    for (name, names) in LINES {
        if let Some(text) = found.text(names) {
            add(name, text);
        }
    }
    let recipe = match found.text(&RECIPE) {
        Some(_) => "in it: `wan-alpha render --from` makes the take again",
        None => "none",
    };
    add("recipe", recipe);
    add("signature", &signature.words());
    lines
}

fn as_json(file: &Path, found: &EmbeddedTexts, signature: &Signature) -> Value {
    let texts = found.texts.iter().map(|(name, text)| json!({ "name": name, "text": text }));
    json!({
        "file": file,
        "kind": found.kind,
        "source_type": found.text(&SOURCE_TYPE),
        "recipe": found.text(&RECIPE).and_then(|text| serde_json::from_str::<Value>(text).ok()),
        "texts": texts.collect::<Vec<Value>>(),
        "has_c2pa": found.has_c2pa,
        "signature": match signature {
            Signature::None => Value::Null,
            Signature::Unchecked(why) => json!({ "unchecked": why }),
            Signature::Checked(said) => json!({ "state": Signature::state(said), "report": said }),
        },
    })
}
