//! Adapters (DoRA, LoRA, full-rank differences): their files, and what they do to a tensor.
//!
//! Merging is float32, one tensor at a time, in the order of release: DoRA, which must see the
//! pristine base weight, then the step-distillation LoRA. Decoder LoRAs are divided by their rank.
//!
//! Ports `wan/modules/model_dora_lightx2v.py:500` (`load_dora`),
//! `wan/modules/lightx2v_lora_adapter.py:40` (`_apply_lora_weights`) and `wan/modules/vae.py:25`
//! (`load_decoder_lora`).

mod alone;
mod kind;
mod pairs;

use std::collections::BTreeMap;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::adapter_keys::{Role, flat, split_role};
use super::distillation::{Evidence, evidence};
use super::file::TensorFile;
use super::held_tensor::Held;
use super::image_names::refuse_other_kind;
use super::kept_adapters::KeptAdapters;
use super::marks::is_mark_in_adapter;
use super::merge::{Merge, RowLength};
use super::names;
use super::quantization::{check_adapter, unknown_mark};
use super::set::TensorSet;
use super::stored_weight::matrix_of;
use crate::{Error, Result};
pub use kind::AdapterKind;
pub use pairs::LowRankPair;

/// The raw names, in the adapter's file, of what changes one tensor.
#[derive(Clone, Debug, Default)]
struct Change {
    down: Option<String>,
    up: Option<String>,
    magnitude: Option<String>,
    alpha: Option<String>,
    difference: Option<String>,
    /// What a pair adds to a bias, scaled as the pair is.
    up_bias: Option<String>,
}

impl Change {
    /// Every name with what it is called in a fingerprint.
    fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { down, up, magnitude, alpha, difference, up_bias } = self;
        [
            ("down", down),
            ("up", up),
            ("magnitude", magnitude),
            ("alpha", alpha),
            ("difference", difference),
            ("up_bias", up_bias),
        ]
        .into_iter()
        .filter_map(|(role, raw)| Some((role, raw.as_deref()?)))
    }
}

/// An adapter whose every change has a target of the right shape.
#[derive(Clone, Debug)]
pub struct Adapter {
    kind: AdapterKind,
    file: Arc<TensorFile>,
    strength: f64,
    changes: BTreeMap<String, Change>,
    unmatched: Vec<String>,
}

impl Adapter {
    /// Reads an adapter's header and checks it against the network it changes.
    ///
    /// # Errors
    /// A pair is incomplete, a shape does not fit its target, or (DoRA, decoder LoRA) a target
    /// does not exist: the adapter is of another model. Both are told from the headers, before
    /// anything is loaded.
    pub(crate) fn open(
        kind: AdapterKind,
        file: Arc<TensorFile>,
        strength: f64,
        base: &TensorSet,
    ) -> Result<Self> {
        let mut adapter = Self::unchecked(kind, file, strength)?;
        adapter.check_kinds()?;
        adapter.check(base)?;
        Ok(adapter)
    }

    /// What a file says of an adapter, whichever model it is for.
    ///
    /// # Errors
    /// Two keys say one thing, or one is a mark that nothing reads.
    pub(super) fn unchecked(
        kind: AdapterKind,
        file: Arc<TensorFile>,
        strength: f64,
    ) -> Result<Self> {
        let (changes, unmatched) = (BTreeMap::new(), Vec::new());
        let mut adapter = Self { kind, file: file.clone(), strength, changes, unmatched };
        for raw in file.names() {
            adapter.place(raw)?;
        }
        Ok(adapter)
    }

    /// How it is known to be step distillation.
    pub fn evidence(&self) -> Option<Evidence> {
        evidence(&self.file).filter(|_| self.kind == AdapterKind::Distill)
    }

    /// What kind it is.
    pub fn kind(&self) -> AdapterKind {
        self.kind
    }

    /// The file that the adapter was read from.
    pub fn path(&self) -> &std::path::Path {
        self.file.path()
    }

    pub(super) fn file(&self) -> &TensorFile {
        &self.file
    }

    pub(super) fn into_file(self) -> Arc<TensorFile> {
        self.file
    }

    /// What it changes and how, with the tensor's name in its file, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = (String, &str)> {
        self.changes.iter().flat_map(|(name, change)| {
            change.parts().map(move |(role, raw)| (format!("{name}/{role}"), raw))
        })
    }

    /// The first tensor whose LoRA is scaled by an alpha that is not its rank, with alpha / rank.
    ///
    /// The authors' loader ignores alpha, LightX2V's own uses it; here it counts.
    ///
    /// # Errors
    /// An alpha cannot be read.
    pub(super) fn scaled(&self) -> Result<Option<(&str, f64)>> {
        for (name, change) in &self.changes {
            let (Some(alpha), Some(down)) = (&change.alpha, &change.down) else { continue };
            let rank = self.file.entry(down).and_then(|entry| entry.shape.first().copied());
            let alpha: f64 = self.file.numbers(alpha)?.into_iter().map(f64::from).sum();
            let scale = alpha / rank.unwrap_or(1) as f64;
            if (scale - 1.0).abs() > 1e-6 {
                return Ok(Some((name, scale)));
            }
        }
        Ok(None)
    }

    /// Number of tensors it changes.
    pub fn targets(&self) -> usize {
        self.changes.len()
    }

    /// The tensors it changes, by their original names.
    pub(super) fn changed(&self) -> impl Iterator<Item = &str> + Clone {
        self.changes.keys().map(String::as_str)
    }

    /// Keys that change nothing in this network, for a warning.
    pub fn unmatched(&self) -> &[String] {
        &self.unmatched
    }

    /// Whether it changes a tensor.
    pub fn changes(&self, name: &str) -> bool {
        self.changes.contains_key(name)
    }

    /// What this adapter does to the tensor `name`, read and on `device`; nothing where it does
    /// nothing. What is `kept` is read once.
    ///
    /// - DoRA: V = W + strength·(B·A), W' = V·magnitude / ‖V‖ per output row. As in the authors' loader
    ///   the strength does not touch the magnitude, so that strength 0 still brings rows to it.
    /// - LoRA: W' = W + strength·(B·A), times alpha / rank where the file has an alpha. A further LoRA
    ///   with magnitudes: W' = W + strength·(V·magnitude / ‖V‖ − W), V at strength 1, as `ComfyUI` has it.
    /// - decoder LoRA: W' = W + (B·A) / rank (trained with alpha 1).
    /// - difference: W' = W + strength·difference.
    ///
    /// A convolution's kernel is treated as a matrix `[out, in·taps]`.
    pub(super) fn merging(
        &self,
        name: &str,
        device: Device,
        kept: Option<&KeptAdapters>,
    ) -> Result<Option<Merge>> {
        let rescales = self.kind == AdapterKind::Dora;
        let change = self.changes.get(name).filter(|_| rescales || self.strength != 0.0);
        let Some(change) = change else { return Ok(None) };
        let _guard = tch::no_grad_guard();
        let read = |raw: &str| match kept {
            Some(kept) => {
                Ok::<_, Error>(kept.read(&self.file, raw, device)?.f_to_kind(Kind::Float)?)
            }
            None => Ok(self.file.read_as(raw, Kind::Float)?.f_to_device(device)?),
        };
        let (Some(down), Some(up)) = (&change.down, &change.up) else {
            let (raw, scale) = match (&change.difference, &change.up_bias) {
                (Some(difference), _) => (difference, 1.0),
                (None, Some(bias)) => (bias, self.pair_scale(name, kept)?),
                (None, None) => return Ok(None),
            };
            let difference = Held::new(read(raw)?);
            return Ok(Some(Merge::Difference { difference, strength: self.strength * scale }));
        };
        let (down, up) = (read(down)?, read(up)?);
        let rank = down.size()[0];
        let scale = self.scale_of(change, rank, kept)?;
        let magnitude = change
            .magnitude
            .as_ref()
            .map(|magnitude| Ok::<_, Error>(Held::new(read(magnitude)?.f_reshape([-1, 1])?)));
        let magnitude = magnitude.transpose()?;
        let (strength, share) = match (self.kind, &magnitude) {
            (AdapterKind::Lora, Some(_)) => (1.0, self.strength),
            _ => (self.strength, 1.0),
        };
        Ok(Some(Merge::LowRank {
            down: Held::new(down.f_reshape([rank, -1])?),
            up: Held::new(up.f_reshape([-1, rank])?.f_mul_scalar(strength * scale)?),
            length: magnitude.map(RowLength::Magnitude),
            share,
        }))
    }

    /// What a pair of this rank counts.
    fn scale_of(&self, change: &Change, rank: i64, kept: Option<&KeptAdapters>) -> Result<f64> {
        Ok(match (self.kind, &change.alpha) {
            (AdapterKind::ColorDecoder | AdapterKind::AlphaDecoder, _) => 1.0 / rank as f64,
            (_, Some(alpha)) => {
                let alpha = match kept {
                    Some(kept) => {
                        let alpha = kept.read(&self.file, alpha, Device::Cpu)?;
                        alpha.f_to_kind(Kind::Float)?.f_sum(Kind::Double)?.f_double_value(&[])?
                    }
                    None => self.file.numbers(alpha)?.into_iter().map(f64::from).sum(),
                };
                alpha / rank as f64
            }
            (_, None) => 1.0,
        })
    }

    /// What the pair counts that changes the weight beside a bias.
    fn pair_scale(&self, bias: &str, kept: Option<&KeptAdapters>) -> Result<f64> {
        let weight = bias.strip_suffix("bias").map(|module| format!("{module}weight"));
        let change = weight.and_then(|weight| self.changes.get(&weight));
        let down = change.and_then(|change| self.file.entry(change.down.as_ref()?));
        match (change, down) {
            (Some(change), Some(down)) => {
                self.scale_of(change, down.shape.first().copied().unwrap_or(1), kept)
            }
            _ => Ok(1.0),
        }
    }

    /// `base` (float32, on the CPU) with this adapter's change of the tensor `name` merged in, in
    /// place.
    pub(super) fn merge(&self, name: &str, base: Tensor) -> Result<Tensor> {
        let Some(merge) = self.merging(name, Device::Cpu, None)? else { return Ok(base) };
        let _guard = tch::no_grad_guard();
        merge.apply(0, &mut base.f_view(matrix_of(&base.size()))?)?;
        Ok(base)
    }

    /// Has the system read what changes the tensor `name`.
    pub(super) fn read_ahead(&self, name: &str) {
        let Some(Change { down, up, difference, .. }) = self.changes.get(name) else { return };
        for raw in [down, up, difference].into_iter().flatten() {
            self.file.read_ahead(raw);
        }
    }

    /// Whether every tensor is read as what it is.
    fn check_kinds(&self) -> Result<()> {
        self.parts().try_for_each(|(_, raw)| check_adapter(&self.file, raw))
    }

    /// The original name of a module that a key says something of.
    fn module_name(&self, module: &str, role: Role) -> Option<String> {
        let decoder = matches!(self.kind, AdapterKind::ColorDecoder | AdapterKind::AlphaDecoder);
        if decoder {
            names::vae_module(module.trim_end_matches(".conv3D"))
        } else if role == Role::ModulationDifference {
            names::dit(&format!("{module}.modulation"))
                .map(|name| name.trim_end_matches(".modulation").to_owned())
        } else if let Some(flat) = flat(module) {
            names::dit_module_flat(flat)
        } else {
            names::dit_module(module)
        }
    }

    /// Files a raw key under the tensor it changes.
    fn place(&mut self, raw: &str) -> Result<()> {
        let key = match self.kind {
            AdapterKind::Dora | AdapterKind::Distill | AdapterKind::Lora => names::unwrapped(raw),
            AdapterKind::ColorDecoder | AdapterKind::AlphaDecoder => {
                let prefix =
                    if self.kind == AdapterKind::ColorDecoder { "vae_fgr." } else { "vae_pha." };
                // A training checkpoint holds much more than the decoder's LoRA.
                match raw.strip_prefix(prefix) {
                    Some(key) if key.contains("decoder") && key.contains(".lora_") => key,
                    _ => return Ok(()),
                }
            }
        };
        if is_mark_in_adapter(key) {
            return Err(unknown_mark(&self.file, raw));
        }
        let Some((module, role)) = split_role(key) else {
            self.unmatched.push(raw.to_owned());
            return Ok(());
        };
        let module_name = self.module_name(module, role);
        let Some(module) = module_name else {
            self.unmatched.push(raw.to_owned());
            return Ok(());
        };
        let tensor = match role {
            Role::BiasDifference | Role::UpBias => "bias",
            Role::ModulationDifference => "modulation",
            _ => "weight",
        };
        let change = self.changes.entry(format!("{module}.{tensor}")).or_default();
        let place = match role {
            Role::Down => &mut change.down,
            Role::Up => &mut change.up,
            Role::Magnitude => &mut change.magnitude,
            Role::Alpha => &mut change.alpha,
            Role::Difference | Role::BiasDifference | Role::ModulationDifference => {
                &mut change.difference
            }
            Role::UpBias => &mut change.up_bias,
        };
        match place.replace(raw.to_owned()) {
            None => Ok(()),
            Some(first) => Err(Error::file(
                self.path(),
                format!(
                    "`{first}` and `{raw}` are two spellings of one thing, and nothing says which \
                     counts; fetch the adapter from somewhere else"
                ),
            )),
        }
    }

    fn check(&mut self, base: &TensorSet) -> Result<()> {
        if matches!(self.kind, AdapterKind::Dora | AdapterKind::Distill) {
            let distills = self.kind == AdapterKind::Distill;
            refuse_other_kind(self.path(), self.changed(), distills, base)?;
        }
        let mut absent = Vec::new();
        for (name, change) in &self.changes {
            if !base.contains(name) {
                absent.push(name.clone());
                continue;
            }
            self.check_doubles(name, change)?;
            self.check_shapes(name, change, base.shape(name)?)?;
        }
        let first = absent.first().cloned();
        for name in &absent {
            if let Some(change) = self.changes.remove(name) {
                self.unmatched.extend(change.parts().map(|(_, raw)| raw.to_owned()));
            }
        }
        // What is trained for every variety of the model may change layers that this one has not.
        let strict = !matches!(self.kind, AdapterKind::Distill | AdapterKind::Lora);
        match first {
            Some(name) if strict || self.changes.is_empty() => Err(Error::File {
                path: self.path().to_owned(),
                problem: format!(
                    "changes `{name}` and {} more tensors that this model does not have; it belongs \
                     to another model, or this one's files are incomplete",
                    absent.len() - 1
                ),
            }),
            _ if self.changes.is_empty() => {
                Err(Error::file(self.path(), "changes no tensor of this model"))
            }
            _ => Ok(()),
        }
    }

    /// Whether one thing alone changes a tensor.
    fn check_doubles(&self, name: &str, change: &Change) -> Result<()> {
        let pair = change.down.as_ref().filter(|_| change.up.is_some());
        if let (Some(pair), Some(whole)) = (pair, &change.difference) {
            return Err(Error::file(
                self.path(),
                format!(
                    "`{whole}` and the pair of `{pair}` both change `{name}`; nothing says which counts"
                ),
            ));
        }
        if let (Some(first), Some(second)) = (&change.up_bias, &change.difference) {
            return Err(Error::file(
                self.path(),
                format!("`{first}` and `{second}` both change `{name}`; nothing says which counts"),
            ));
        }
        let has_magnitudes = || self.changes.values().any(|change| change.magnitude.is_some());
        if let Some(bias) = change.up_bias.as_ref().filter(|_| has_magnitudes()) {
            return Err(Error::file(
                self.path(),
                format!(
                    "`{bias}` is a bias of a DoRA's pair, which no trainer writes and is not read"
                ),
            ));
        }
        Ok(())
    }

    fn check_shapes(&self, name: &str, change: &Change, target: &[i64]) -> Result<()> {
        let shape =
            |raw: &str| self.file.entry(raw).map(|entry| entry.shape.clone()).unwrap_or_default();
        let refuse = |raw: &str, expected: String| Error::Tensor {
            path: self.path().to_owned(),
            name: raw.to_owned(),
            expected,
            found: format!("{:?}", shape(raw)),
        };
        let numel = |shape: &[i64]| shape.iter().product::<i64>();
        match (&change.down, &change.up) {
            (Some(down), Some(up)) => {
                let (a, b) = (shape(down), shape(up));
                let rank = a.first().copied().unwrap_or(0);
                if rank < 1 || a.get(1..) != target.get(1..) {
                    return Err(refuse(
                        down,
                        format!("[rank, {}] for `{name}`", join(&target[1..])),
                    ));
                }
                if b.get(..2) != Some(&[target[0], rank]) || numel(&b) != target[0] * rank {
                    return Err(refuse(up, format!("[{}, {rank}] for `{name}`", target[0])));
                }
            }
            (Some(half), None) | (None, Some(half)) => return Err(self.half_of_pair(half)),
            (None, None) => match change.difference.as_ref().or(change.up_bias.as_ref()) {
                Some(difference) if numel(&shape(difference)) != numel(target) => {
                    return Err(refuse(difference, format!("[{}] for `{name}`", join(target))));
                }
                Some(_) => {}
                None => return Err(self.without_pair(change)),
            },
        }
        if let Some(magnitude) = &change.magnitude
            && !is_of_rows(&shape(magnitude), target[0])
        {
            return Err(refuse(magnitude, format!("[{}] for `{name}`", target[0])));
        }
        if self.kind == AdapterKind::Dora && change.down.is_some() && change.magnitude.is_none() {
            return Err(Error::file(
                self.path(),
                format!("`{name}` has a LoRA pair but no magnitude"),
            ));
        }
        Ok(())
    }
}

/// Whether a DoRA's lengths are those of rows; [1, in] would be of columns, which is another adapter.
fn is_of_rows(shape: &[i64], rows: i64) -> bool {
    shape.first() == Some(&rows) && shape[1..].iter().all(|&size| size == 1)
}

fn join(sizes: &[i64]) -> String {
    sizes.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
