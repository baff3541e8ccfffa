//! The rule that every network's files are held to: a weight of less than 16 bits is multiplied by its
//! scale, and whatever says that weights are quantized is obeyed, or the file is refused.
//!
//! An fp8 file without any scale or mark is a plain cast; integers without a scale are nothing that can
//! be read.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tch::Kind;

use super::file::TensorFile;
use super::marks::{CONFIGURATIONS, SCALE, writer_of_mark};
use super::network::Network;
use super::scale::ScaleLayout;
use super::stored_kind::{StoredKind, TensorEntry};
use super::stored_weight::matrix_of;
use crate::error::WeightFormat;
use crate::{Error, Result};

/// Bytes of the longest configuration of a layer.
const LONGEST_CONFIGURATION: u64 = 1 << 16;

/// Fields of a configuration that say nothing of what the weight is.
const HARMLESS: [&str; 4] = ["format", "full_precision_matrix_mult", "orig_dtype", "orig_shape"];

/// What to do about a format that is not read.
const ANOTHER_FILE: &str = "fetch the same model in bf16, fp16, scaled fp8 or GGUF (Q8_0 to Q4_K)";
/// What to do about a weight that lacks its scale.
const WITH_SCALES: &str = "fetch it again together with its scales, or the same model in bf16, fp16, \
    scaled fp8 or GGUF (Q8_0 to Q4_K)";

/// Original names of a network, each with its file's number and its name there.
pub(super) type Places = BTreeMap<String, (usize, String)>;

/// What a network's files say of quantization.
#[derive(Default)]
pub(super) struct Quantized {
    /// Of weights by their original names: file and key.
    pub(super) configurations: Vec<(String, usize, String)>,
    /// Keys beside weights that stand for nothing known: file and key.
    pub(super) beside: Vec<(String, usize, String)>,
    /// Scales and marks that are not understood: file and key.
    pub(super) unknown: Vec<(usize, String)>,
    /// Says that a file has quantized weights: file and key.
    pub(super) file_mark: Option<(usize, String)>,
}

/// Which scales belong to which weights: the layout of each weight that has scales, by its original
/// name.
///
/// # Errors
/// A weight, a scale or a mark breaks the rule.
pub(super) fn scale_layouts(
    network: Network,
    files: &[Arc<TensorFile>],
    places: &Places,
    said: &Quantized,
) -> Result<BTreeMap<String, ScaleLayout>> {
    let rule = Rule { network, files, places };
    // First what names the format: of its scales and marks some may be unknown.
    let configured = rule.configurations(said)?;
    if let Some((file, key)) = said.unknown.first() {
        return Err(unknown_mark(&files[*file], key));
    }
    rule.nothing_beside_narrow(said)?;
    let marked = said.file_mark.is_some()
        || !configured.is_empty()
        || places.keys().any(|name| name.ends_with(SCALE));
    let mut layouts = BTreeMap::new();
    for name in places.keys() {
        match name.strip_suffix(SCALE) {
            Some(weight) => rule.has_weight(name, weight)?,
            None => {
                let configuration = configured.get(name).map(String::as_str);
                if let Some(layout) = rule.layout(name, configuration, marked)? {
                    layouts.insert(name.clone(), layout);
                }
            }
        }
    }
    Ok(layouts)
}

/// The refusal of a mark that is not understood.
pub(super) fn unknown_mark(file: &TensorFile, key: &str) -> Error {
    WeightFormat {
        path: file.path().to_owned(),
        name: key.to_owned(),
        format: file.entry(key).map_or("a remark".into(), |entry| entry.stored.to_string()),
        problem: format!(
            "belongs to quantized weights of a kind that is not read{}, which would be noise without it",
            writer_of_mark(key).map_or_else(String::new, |writer| format!(" ({writer})"))
        ),
        remedy: ANOTHER_FILE,
    }
    .into()
}

/// Whether a tensor of an adapter without marks is what it seems: a float, or a plain cast to fp8.
///
/// # Errors
/// It is quantized.
pub(super) fn check_adapter(file: &TensorFile, key: &str) -> Result<()> {
    let Some(entry) = file.entry(key) else { return Ok(()) };
    let plain = match &entry.stored {
        StoredKind::Plain(Kind::Float8e4m3fn | Kind::Float8e5m2) | StoredKind::Blocks(_) => true,
        StoredKind::Plain(kind) => is_wide(*kind),
        StoredKind::Unreadable(_) => false,
    };
    // Written as whole numbers by some.
    if plain || (key.ends_with(".alpha") && matches!(entry.stored, StoredKind::Plain(_))) {
        return Ok(());
    }
    Err(WeightFormat {
        path: file.path().to_owned(),
        name: key.to_owned(),
        format: entry.stored.to_string(),
        problem: "is quantized, and adapters are read as floats alone".into(),
        remedy: "fetch the same adapter in bf16, fp16 or fp32",
    }
    .into())
}

/// Whether a number has 16 bits or more and is no integer.
fn is_wide(kind: Kind) -> bool {
    matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)
}

struct Rule<'a> {
    network: Network,
    files: &'a [Arc<TensorFile>],
    places: &'a Places,
}

impl Rule<'_> {
    fn refuse(&self, (file, key): (usize, &str), problem: String, remedy: &'static str) -> Error {
        let file = &self.files[file];
        WeightFormat {
            path: file.path().to_owned(),
            name: key.to_owned(),
            format: file.entry(key).map_or("a remark".into(), |entry| entry.stored.to_string()),
            problem,
            remedy,
        }
        .into()
    }

    /// The place of a tensor that is there, and its entry.
    fn tensor(&self, name: &str) -> Option<((usize, &str), &TensorEntry)> {
        let (file, key) = self.places.get(name)?;
        Some(((*file, key.as_str()), self.files[*file].entry(key)?))
    }

    /// Whether only floats have keys beside them that stand for nothing known.
    fn nothing_beside_narrow(&self, said: &Quantized) -> Result<()> {
        for (weight, file, key) in &said.beside {
            let Some((_, entry)) = self.tensor(weight) else { continue };
            let float = match &entry.stored {
                StoredKind::Plain(kind) => is_wide(*kind),
                StoredKind::Blocks(_) => true,
                StoredKind::Unreadable(_) => false,
            };
            if !float {
                return Err(unknown_mark(&self.files[*file], key));
            }
        }
        Ok(())
    }

    fn has_weight(&self, scale: &str, weight: &str) -> Result<()> {
        match self.tensor(scale) {
            Some((place, _)) if !self.places.contains_key(weight) => Err(self.refuse(
                place,
                format!("is the scale of `{weight}`, which is missing"),
                WITH_SCALES,
            )),
            _ => Ok(()),
        }
    }

    /// How the scales of a weight lie, if it has any.
    fn layout(
        &self,
        name: &str,
        configuration: Option<&str>,
        marked: bool,
    ) -> Result<Option<ScaleLayout>> {
        let Some((place, entry)) = self.tensor(name) else { return Ok(None) };
        let scale = self.tensor(&format!("{name}{SCALE}"));
        let narrow = match &entry.stored {
            StoredKind::Plain(Kind::Float8e4m3fn | Kind::Float8e5m2) => true,
            StoredKind::Plain(Kind::Int8) if scale.is_some() => true,
            StoredKind::Plain(kind) if is_wide(*kind) => false,
            StoredKind::Blocks(_) => false,
            // Indices that other programs keep in the file, and nobody computes with.
            StoredKind::Plain(Kind::Int64) if name.ends_with("position_ids") => return Ok(None),
            StoredKind::Plain(_) => {
                let problem =
                    "are integers without a scale that says what they stand for".to_owned();
                return Err(self.refuse(place, problem, WITH_SCALES));
            }
            StoredKind::Unreadable(_) => {
                return Err(self.refuse(
                    place,
                    "are numbers that are not read".into(),
                    ANOTHER_FILE,
                ));
            }
        };
        let Some((scale_place, scale)) = scale else {
            if let Some(format) = configuration {
                let problem = format!("is marked as {format}, and its scale is missing");
                return Err(self.refuse(place, problem, WITH_SCALES));
            }
            if narrow && marked {
                let problem = "has no scale, and other weights of its model have: without it, it would \
                               be noise";
                return Err(self.refuse(place, problem.into(), WITH_SCALES));
            }
            return Ok(None);
        };
        if !narrow {
            let problem =
                format!("is a scale, and `{}` is not quantized: nothing would use it", place.1);
            return Err(self.refuse(scale_place, problem, ANOTHER_FILE));
        }
        if !matches!(&scale.stored, StoredKind::Plain(kind) if is_wide(*kind)) {
            let problem = format!("are scales of a kind that is not read, of `{}`", place.1);
            return Err(self.refuse(scale_place, problem, ANOTHER_FILE));
        }
        let size = matrix_of(&entry.shape);
        ScaleLayout::of(&scale.shape, size).map(Some).ok_or_else(|| {
            let problem = format!(
                "are scales of {:?} for a weight of {:?}, of which nothing says which belongs where",
                scale.shape, entry.shape
            );
            self.refuse(scale_place, problem, ANOTHER_FILE)
        })
    }

    /// What ComfyUI's configurations call the format of each weight.
    fn configurations(&self, said: &Quantized) -> Result<BTreeMap<String, String>> {
        let mut formats = BTreeMap::new();
        for (weight, file, key) in &said.configurations {
            let text = self.files[*file].small(key, LONGEST_CONFIGURATION)?;
            let text = text.trim_ascii_end();
            let text = text.strip_suffix(b"\0").unwrap_or(text);
            let parsed: Value = serde_json::from_slice(text).map_err(|error| {
                self.refuse(
                    (*file, key),
                    format!("is no description of a format ({error})"),
                    ANOTHER_FILE,
                )
            })?;
            let format = self.configured(weight, (*file, key.as_str()), &parsed)?;
            formats.insert(weight.clone(), format);
        }
        for (number, file) in self.files.iter().enumerate() {
            let Some(text) = file.metadata(CONFIGURATIONS) else { continue };
            let remark = (number, CONFIGURATIONS);
            let unreadable = |problem: String| {
                self.refuse(remark, format!("is no list of formats ({problem})"), ANOTHER_FILE)
            };
            let parsed: Value =
                serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
            let layers = parsed.get("layers").and_then(Value::as_object);
            for (layer, parsed) in layers.ok_or_else(|| unreadable("it has no layers".into()))? {
                let Some(weight) = self.network.weight_of(layer) else {
                    if self
                        .files
                        .iter()
                        .any(|file| file.entry(&format!("{layer}.weight")).is_some())
                    {
                        continue;
                    }
                    return Err(unreadable(format!("`{layer}` is no layer of this network")));
                };
                let format = self.configured(&weight, remark, parsed)?;
                formats.insert(weight, format);
            }
        }
        Ok(formats)
    }

    /// The format that a configuration names, if it is one that is read and the weight is of it.
    fn configured(&self, weight: &str, place: (usize, &str), parsed: &Value) -> Result<String> {
        let unread = |problem: String| Err(self.refuse(place, problem, ANOTHER_FILE));
        let format = parsed.get("format").and_then(Value::as_str).unwrap_or("nothing");
        let kind = match format {
            "float8_e4m3fn" => Kind::Float8e4m3fn,
            "float8_e5m2" => Kind::Float8e5m2,
            "int8_tensorwise" => Kind::Int8,
            other => return unread(format!("says that `{weight}` is {other}, which is not read")),
        };
        for (field, value) in parsed.as_object().into_iter().flatten() {
            let rotated =
                field.contains("rot") && !matches!(value, Value::Bool(false) | Value::Null);
            if rotated && !field.contains("size") {
                return unread(format!(
                    "says that `{weight}` is {format} after a rotation ({field}), which is not read: \
                     multiplied by its scale alone it would be noise"
                ));
            }
            if !HARMLESS.contains(&field.as_str()) && !field.contains("rot") {
                return unread(format!("says `{field}` of `{weight}`, which is not understood"));
            }
        }
        let Some((stored, entry)) = self.tensor(weight) else {
            return unread(format!("describes `{weight}`, which is missing"));
        };
        if entry.stored != StoredKind::Plain(kind) {
            let problem = format!("is not the {format} that its file says it is");
            return Err(self.refuse(stored, problem, ANOTHER_FILE));
        }
        Ok(format.to_owned())
    }
}
