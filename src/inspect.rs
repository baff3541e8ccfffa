//! `wan-alpha inspect`: what files say of their origin, ours or not.
//!
//! What a file says can be written by anyone, and left out by anyone. Only a signature can be checked, and
//! that is done by the makers' library for C2PA (`media::signature`), where there is one to check.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::args::{InspectFiles, RequiredMark};
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::embedded::EmbeddedTexts;
use crate::media::signature::{SignatureReader, SignatureReport, TRUSTED, VALID};
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
    let mut missed = Vec::new();
    if args.require.contains(&RequiredMark::Trusted) && args.trust.is_none() {
        return Err(anyhow!(
            "--require trusted: nobody is, without --trust FILE with the certificates of whom you trust"
        ))
        .or_exit(Exit::BadInput);
    }
    let reader = SignatureReader::new(&context.environment.c2pa, args.trust.as_deref());
    let mut reader = reader.or_exit(Exit::BadInput)?;
    for file in &args.files {
        if file.is_dir() {
            unread.push(format!("{} is a folder: name the files in it", file.display()));
            continue;
        }
        match EmbeddedTexts::of(file) {
            Ok(found) => {
                let signature = SignatureState::of(file, &found, &mut reader);
                let unmet = args.require.iter().filter_map(|what| unmet(*what, &found, &signature));
                missed.extend(unmet.map(|why| format!("{} {why}", file.display())));
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
    if !unread.is_empty() {
        return Err(anyhow!(unread.join("; "))).or_exit(Exit::BadInput);
    }
    ensure!(missed.is_empty(), "{}", missed.join("; "));
    Ok(())
}

/// What a file lacks of what is required of it, after its name.
fn unmet(
    required: RequiredMark,
    found: &EmbeddedTexts,
    signature: &SignatureState,
) -> Option<String> {
    let state = signature.state();
    match required {
        RequiredMark::Origin if found.text(&SOURCE_TYPE).is_none() => {
            Some("says nothing of its origin".to_owned())
        }
        RequiredMark::Signature if !matches!(state, Some(VALID | TRUSTED)) => {
            Some(format!("has no signature that holds: {}", signature.words()))
        }
        RequiredMark::Trusted if state != Some(TRUSTED) => {
            Some(format!("has no signature of who is trusted: {}", signature.words()))
        }
        _ => None,
    }
}

/// Whether a file is signed, and whether that holds.
enum SignatureState {
    None,
    /// As the library for C2PA has it.
    Checked(SignatureReport),
    /// Why it could not be checked.
    Unchecked(String),
}

impl SignatureState {
    fn of(file: &Path, found: &EmbeddedTexts, reader: &mut SignatureReader<'_>) -> Self {
        match reader.look(file, found.kind, found.has_c2pa) {
            Ok(None) => Self::None,
            Ok(Some(report)) => Self::Checked(report),
            Err(error) => Self::Unchecked(format!("{error:#}")),
        }
    }

    /// As C2PA calls it; none where nothing was checked.
    fn state(&self) -> Option<&str> {
        match self {
            Self::None | Self::Unchecked(_) => None,
            Self::Checked(report) => Some(report.state()),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::None => "none (no C2PA manifest)".to_owned(),
            Self::Unchecked(why) => format!("a C2PA manifest, not checked: {why}"),
            Self::Checked(report) => report.words(),
        }
    }
}

fn in_words(file: &Path, found: &EmbeddedTexts, signature: &SignatureState) -> Vec<String> {
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

fn as_json(file: &Path, found: &EmbeddedTexts, signature: &SignatureState) -> Value {
    let texts = found.texts.iter().map(|(name, text)| json!({ "name": name, "text": text }));
    json!({
        "file": file,
        "kind": found.kind,
        "source_type": found.text(&SOURCE_TYPE),
        "recipe": found.text(&RECIPE).and_then(|text| serde_json::from_str::<Value>(text).ok()),
        "texts": texts.collect::<Vec<Value>>(),
        "has_c2pa": found.has_c2pa,
        "signature": match signature {
            SignatureState::None => Value::Null,
            SignatureState::Unchecked(why) => json!({ "unchecked": why }),
            SignatureState::Checked(report) => {
                json!({ "state": report.state(), "report": report.said })
            }
        },
    })
}
