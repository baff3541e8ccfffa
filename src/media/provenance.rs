//! What a picture's file says of where it is from: of its take, and that a model made it.
//!
//! The marks of origin stand in every file that is written, in the words of IPTC's photo metadata
//! (2025.1); China's label (GB 45438) and the prompt only where they are asked for. Nothing of this is in
//! the take itself. `xmp` is the packet that PNG, MOV and WebP carry, `date` the time.

pub(crate) mod date;
pub(crate) mod xmp;

use serde_json::json;

pub(crate) use date::DateTime;

/// IPTC's term for what a trained model made.
pub(crate) const TRAINED_ALGORITHMIC_MEDIA: &str =
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/// The program, as the marks name the system.
const SYSTEM: &str = "wan-alpha";

/// What every file says about how it was made. No path or machine belongs in here: equal takes give equal
/// files, but for the time in the marks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provenance {
    /// Program and version that made it.
    pub(crate) software: String,
    /// For people: the prompt. Empty where it is left out.
    pub(crate) description: String,
    /// For programs: the request, as JSON. Empty where it is left out.
    pub(crate) recipe: String,
    /// Frames per second of the take.
    pub(crate) frame_rate: i32,
    /// The number of its first frame.
    pub(crate) first_frame: u64,
    /// Whose it is; empty where nobody says.
    pub(crate) owner: String,
    /// When the file was written.
    pub(crate) made: DateTime,
    /// What made it, for the marks of origin.
    pub(crate) origin: OriginMarks,
}

/// What the marks of origin say, besides the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginMarks {
    /// The model's name; empty where it is not known.
    pub(crate) model: String,
    /// The take's key; empty where it is none of a request.
    pub(crate) take: String,
    /// The prompt, where the marks are to have it.
    pub(crate) prompt: Option<String>,
    /// Whether China's label stands in it.
    pub(crate) china: bool,
}

impl Provenance {
    /// This program and its version, as every file names it.
    pub(crate) fn this_program() -> String {
        concat!("wan-alpha ", env!("CARGO_PKG_VERSION")).to_owned()
    }

    /// Of a picture of several takes of a model.
    pub(crate) fn of_model(model: &str, made: DateTime) -> Self {
        let origin = OriginMarks { model: model.to_owned(), ..OriginMarks::default() };
        Self { software: Self::this_program(), made, origin, ..Self::default() }
    }

    /// Of a picture that is no take.
    pub(super) fn none() -> Self {
        Self { software: Self::this_program(), ..Self::default() }
    }

    /// The marks of origin: the names of their properties, and what they say.
    pub(crate) fn marks(&self) -> Vec<(&'static str, String)> {
        let OriginMarks { model, take, prompt, china } = &self.origin;
        let version = self.software.strip_prefix(SYSTEM).unwrap_or_default().trim();
        let mut marks = vec![
            ("Iptc4xmpExt:DigitalSourceType", TRAINED_ALGORITHMIC_MEDIA.to_owned()),
            ("Iptc4xmpExt:AISystemUsed", SYSTEM.to_owned()),
            ("Iptc4xmpExt:AISystemVersionUsed", version.to_owned()),
            ("wanAlpha:Model", model.clone()),
            ("wanAlpha:Take", take.clone()),
            ("Iptc4xmpExt:AIPromptInformation", prompt.clone().unwrap_or_default()),
            ("TC260:AIGC", if *china { self.label_of_china() } else { String::new() }),
        ];
        marks.retain(|(_, words)| !words.is_empty());
        marks
    }

    /// The fields of GB 45438, appendix E. 1 says: made by a model.
    fn label_of_china(&self) -> String {
        let producer = if self.owner.is_empty() { SYSTEM } else { &self.owner };
        json!({
            "Label": "1",
            "ContentProducer": producer,
            "ProduceID": self.origin.take,
            "ReservedCode1": "",
            "ContentPropagator": "",
            "PropagateID": "",
            "ReservedCode2": "",
        })
        .to_string()
    }

    /// The marks as attributes of an EXR file, whose names have no colon in front of what is ours.
    pub(crate) fn exr_texts(&self) -> Vec<(&'static str, String)> {
        let named = self.marks().into_iter().map(|(name, words)| match name {
            "wanAlpha:Model" => ("wanAlphaModel", words),
            "wanAlpha:Take" => ("wanAlphaTake", words),
            "TC260:AIGC" => ("AIGC", words),
            name => (name, words),
        });
        named.collect()
    }
}
