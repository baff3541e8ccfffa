//! Adapters (DoRA, LoRA, full-rank differences): their files, and what they do to a tensor.
//!
//! Merging is float32, one tensor at a time, in the order of release: DoRA, which must see the
//! pristine base weight, then the step-distillation LoRA. Decoder LoRAs are divided by their rank.
//!
//! Ports `wan/modules/model_dora_lightx2v.py:500` (`load_dora`),
//! `wan/modules/lightx2v_lora_adapter.py:40` (`_apply_lora_weights`) and `wan/modules/vae.py:25`
//! (`load_decoder_lora`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::file::TensorFile;
use super::held_tensor::Held;
use super::merge::Merge;
use super::names;
use super::set::TensorSet;
use super::shared_bytes::matrix_of;
use crate::{Error, Result};

/// What kind of adapter a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// The transparency DoRA of the diffusion transformer.
    Dora,
    /// A step-distillation LoRA of the diffusion transformer (LightX2V).
    Distill,
    /// The LoRA that makes the decoder one of color.
    ColorDecoder,
    /// The LoRA that makes the decoder one of alpha.
    AlphaDecoder,
}

impl AdapterKind {
    /// What it is called where a word is needed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dora => "dora",
            Self::Distill => "distill",
            Self::ColorDecoder => "colour-decoder",
            Self::AlphaDecoder => "alpha-decoder",
        }
    }
}

/// The raw names, in the adapter's file, of what changes one tensor.
#[derive(Clone, Debug, Default)]
struct Change {
    down: Option<String>,
    up: Option<String>,
    magnitude: Option<String>,
    alpha: Option<String>,
    difference: Option<String>,
}

/// What a DoRA or a LoRA does to one layer: names in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowRankPair {
    /// The layer's original name, such as `blocks.0.self_attn.q`.
    pub module: String,
    /// A, `[rank, in]`.
    pub down: String,
    /// B, `[out, rank]`.
    pub up: String,
    /// The magnitude of a DoRA, as many numbers as there are rows.
    pub magnitude: Option<String>,
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
        let mut adapter =
            Self { kind, file, strength, changes: BTreeMap::new(), unmatched: Vec::new() };
        let file = adapter.file.clone();
        for raw in file.names() {
            adapter.place(raw);
        }
        adapter.check(base)?;
        Ok(adapter)
    }

    /// The low-rank pairs of a transformer's adapter, whichever model it is for.
    ///
    /// # Errors
    /// It has something else than pairs and magnitudes, or half a pair.
    pub(super) fn pairs(file: Arc<TensorFile>) -> Result<Vec<LowRankPair>> {
        let kind = AdapterKind::Dora;
        let (changes, unmatched) = (BTreeMap::new(), Vec::new());
        let mut adapter = Self { kind, file: file.clone(), strength: 1.0, changes, unmatched };
        file.names().for_each(|raw| adapter.place(raw));
        if let Some(raw) = adapter.unmatched.first() {
            let problem = format!("`{raw}` changes no layer of a transformer that is known");
            return Err(Error::file(file.path(), problem));
        }
        let pair = |(name, change): (&String, &Change)| match change {
            Change { down: Some(down), up: Some(up), magnitude, alpha: None, difference: None } => {
                let module = name.trim_end_matches(".weight").to_owned();
                let (down, up) = (down.clone(), up.clone());
                Ok(LowRankPair { module, down, up, magnitude: magnitude.clone() })
            }
            _ => Err(Error::file(
                file.path(),
                format!(
                    "what it does to `{name}` is no DoRA: expected lora_A, lora_B and a magnitude"
                ),
            )),
        };
        adapter.changes.iter().map(pair).collect()
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

    /// What it changes and how, with the tensor's name in its file, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = (String, &str)> {
        self.changes.iter().flat_map(|(name, change)| {
            let Change { down, up, magnitude, alpha, difference } = change;
            [
                ("down", down),
                ("up", up),
                ("magnitude", magnitude),
                ("alpha", alpha),
                ("difference", difference),
            ]
            .into_iter()
            .filter_map(move |(role, raw)| Some((format!("{name}/{role}"), raw.as_deref()?)))
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

    /// Keys that change nothing in this network, for a warning.
    pub fn unmatched(&self) -> &[String] {
        &self.unmatched
    }

    /// Whether it changes a tensor.
    pub(crate) fn changes(&self, name: &str) -> bool {
        self.changes.contains_key(name)
    }

    /// What this adapter does to the tensor `name`, read and on `device`; nothing where it does
    /// nothing.
    ///
    /// - DoRA: V = W + strength·(B·A), W' = V·magnitude / ‖V‖ per output row; strength 0 means the
    ///   adapter is off.
    /// - LoRA: W' = W + strength·(B·A), times alpha / rank where the file has an alpha.
    /// - decoder LoRA: W' = W + (B·A) / rank (trained with alpha 1).
    /// - difference: W' = W + strength·difference.
    ///
    /// A convolution's kernel is treated as a matrix `[out, in·taps]`.
    pub(super) fn merging(&self, name: &str, device: Device) -> Result<Option<Merge>> {
        let change = self.changes.get(name).filter(|_| self.strength != 0.0);
        let Some(change) = change else { return Ok(None) };
        let _guard = tch::no_grad_guard();
        let read =
            |raw: &str| Ok::<_, Error>(self.file.read_as(raw, Kind::Float)?.f_to_device(device)?);
        let (Some(down), Some(up)) = (&change.down, &change.up) else {
            let Some(difference) = &change.difference else { return Ok(None) };
            let difference = Held::new(read(difference)?);
            return Ok(Some(Merge::Difference { difference, strength: self.strength }));
        };
        let (down, up) = (read(down)?, read(up)?);
        let rank = down.size()[0];
        let scale = match (self.kind, &change.alpha) {
            (AdapterKind::ColorDecoder | AdapterKind::AlphaDecoder, _) => 1.0 / rank as f64,
            (_, Some(alpha)) => read(alpha)?.f_double_value(&[])? / rank as f64,
            (_, None) => 1.0,
        };
        let magnitude = change
            .magnitude
            .as_ref()
            .map(|magnitude| Ok::<_, Error>(Held::new(read(magnitude)?.f_reshape([-1, 1])?)));
        Ok(Some(Merge::LowRank {
            down: Held::new(down.f_reshape([rank, -1])?),
            up: Held::new(up.f_reshape([-1, rank])?.f_mul_scalar(self.strength * scale)?),
            magnitude: magnitude.transpose()?,
        }))
    }

    /// `base` (float32, on the CPU) with this adapter's change of the tensor `name` merged in, in
    /// place.
    pub(super) fn merge(&self, name: &str, base: Tensor) -> Result<Tensor> {
        let Some(merge) = self.merging(name, Device::Cpu)? else { return Ok(base) };
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

    /// Files a raw key under the tensor it changes.
    fn place(&mut self, raw: &str) {
        let key = match self.kind {
            AdapterKind::Dora | AdapterKind::Distill => names::unwrapped(raw),
            AdapterKind::ColorDecoder | AdapterKind::AlphaDecoder => {
                let prefix =
                    if self.kind == AdapterKind::ColorDecoder { "vae_fgr." } else { "vae_pha." };
                // A training checkpoint holds much more than the decoder's LoRA.
                match raw.strip_prefix(prefix) {
                    Some(key) if key.contains("decoder") && key.contains(".lora_") => key,
                    _ => return,
                }
            }
        };
        let Some((module, role)) = split_role(key) else {
            self.unmatched.push(raw.to_owned());
            return;
        };
        let decoder = matches!(self.kind, AdapterKind::ColorDecoder | AdapterKind::AlphaDecoder);
        let module_name = if decoder {
            names::vae_module(module.trim_end_matches(".conv3D"))
        } else if role == Role::ModulationDifference {
            names::dit(&format!("{module}.modulation"))
                .map(|name| name.trim_end_matches(".modulation").to_owned())
        } else {
            names::dit_module(module)
        };
        let Some(module) = module_name else {
            self.unmatched.push(raw.to_owned());
            return;
        };
        let tensor = match role {
            Role::BiasDifference => "bias",
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
        };
        *place = Some(raw.to_owned());
    }

    fn check(&mut self, base: &TensorSet) -> Result<()> {
        let mut absent = Vec::new();
        for (name, change) in &self.changes {
            if !base.contains(name) {
                absent.push(name.clone());
                continue;
            }
            self.check_shapes(name, change, base.shape(name)?)?;
        }
        let first = absent.first().cloned();
        for name in &absent {
            if let Some(change) = self.changes.remove(name) {
                let Change { down, up, magnitude, alpha, difference } = change;
                self.unmatched
                    .extend([down, up, magnitude, alpha, difference].into_iter().flatten());
            }
        }
        let strict = self.kind != AdapterKind::Distill;
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
            (Some(half), None) | (None, Some(half)) => {
                return Err(Error::file(
                    self.path(),
                    format!("`{half}` is half of a pair; its other half is missing"),
                ));
            }
            (None, None) => match &change.difference {
                Some(difference) if numel(&shape(difference)) != numel(target) => {
                    return Err(refuse(difference, format!("[{}] for `{name}`", join(target))));
                }
                Some(_) => {}
                None => {
                    let lone = change.magnitude.as_ref().or(change.alpha.as_ref());
                    let lone = lone.map_or("", String::as_str);
                    return Err(Error::file(
                        self.path(),
                        format!("`{lone}` belongs to a pair that is missing"),
                    ));
                }
            },
        }
        if let Some(magnitude) = &change.magnitude
            && numel(&shape(magnitude)) != target[0]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Down,
    Up,
    Magnitude,
    Alpha,
    Difference,
    BiasDifference,
    ModulationDifference,
}

/// Splits an adapter's key into the module it changes and what it holds.
fn split_role(key: &str) -> Option<(&str, Role)> {
    const ROLES: [(&str, Role); 14] = [
        (".lora_A.default.weight", Role::Down),
        (".lora_A.weight", Role::Down),
        (".lora_down.weight", Role::Down),
        (".lora_B.default.weight", Role::Up),
        (".lora_B.weight", Role::Up),
        (".lora_up.weight", Role::Up),
        (".lora_magnitude_vector.default.weight", Role::Magnitude),
        (".lora_magnitude_vector.weight", Role::Magnitude),
        (".lora_magnitude_vector", Role::Magnitude),
        (".dora_scale", Role::Magnitude),
        (".alpha", Role::Alpha),
        (".diff", Role::Difference),
        (".diff_b", Role::BiasDifference),
        (".diff_m", Role::ModulationDifference),
    ];
    ROLES.iter().find_map(|&(suffix, role)| Some((key.strip_suffix(suffix)?, role)))
}

/// What an adapter file is, judged by its keys; `None` for a file that is no adapter.
pub(crate) fn recognize(keys: &[&str]) -> Option<FileKind> {
    let decoder = |key: &str| {
        (key.starts_with("vae_fgr.") || key.starts_with("vae_pha.")) && key.contains(".lora_")
    };
    let role = |key: &str| split_role(names::unwrapped(key)).map(|(_, role)| role);
    if keys.iter().any(|key| decoder(key)) {
        Some(FileKind::Decoders)
    } else if keys.iter().any(|key| role(key) == Some(Role::Magnitude)) {
        Some(FileKind::Dora)
    } else if keys.iter().any(|key| role(key).is_some()) {
        Some(FileKind::Distill)
    } else {
        None
    }
}

/// The kinds of adapter file; one file holds both decoders' LoRAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Dora,
    Distill,
    Decoders,
}

fn join(sizes: &[i64]) -> String {
    sizes.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}
