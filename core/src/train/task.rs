//! What the four trainings have in common.

#![forbid(unsafe_code)]

use std::sync::Arc;

use tch::{Kind, Tensor};

use super::export::Export;
use super::losses::Losses;
use super::parameters::Parameters;
use super::step_rng::StepRng;
use crate::device::Device;
use crate::linear::LowRank;
use crate::weights::{MemorySet, TensorSet, Weights};
use crate::{Result, Watch};

/// One training: networks, what of them is trained, and the losses of a batch.
pub trait Task {
    /// What a step is made of.
    type Batch;

    /// What is trained. Names are those of the released files, or `part.` and the original name.
    fn parameters(&self) -> &Parameters;

    /// The same, for [`super::Optimiser::update`].
    fn parameters_mut(&mut self) -> &mut Parameters;

    /// The losses of a batch; their gradients, times `share`, are added to those of the parameters.
    /// With n batches to a step, `share` is 1/n and `draws` has the batch as its part.
    ///
    /// # Errors
    /// A loss is not finite ([`crate::Error::Diverged`]), a shape does not fit, memory runs out, or
    /// `watch` cancels. Gradients may then be half done: forget them.
    fn step(
        &self,
        batch: &Self::Batch,
        draws: &StepRng,
        share: f64,
        watch: &dyn Watch,
    ) -> Result<Losses>;

    /// The losses of a batch and nothing else: the same draws give the same numbers again.
    ///
    /// # Errors
    /// As [`Task::step`].
    fn evaluate(&self, batch: &Self::Batch, draws: &StepRng, watch: &dyn Watch) -> Result<Losses>;

    /// The files that a run ends with, in the released formats.
    ///
    /// # Errors
    /// Memory runs out.
    fn export(&self) -> Result<Vec<Export>>;
}

/// Where a network's first numbers come from.
#[derive(Clone, Debug)]
pub enum Origin<Config> {
    /// Weights in files.
    Files(Arc<TensorSet>),
    /// Nothing: random numbers from a seed.
    Nothing {
        /// Sizes.
        config: Config,
        /// Of the run.
        seed: u64,
    },
}

/// What a run's networks compute with, and where. What is trained, the losses and the optimiser are
/// float32 all the same (float64 in a run of float64): with `BFloat16` precision is mixed.
#[derive(Clone, Copy, Debug)]
pub struct ComputeOptions {
    /// Float, or `BFloat16`; Double for tests of gradients.
    pub kind: Kind,
    /// CPU or GPU.
    pub device: Device,
}

impl ComputeOptions {
    /// float32 on the CPU.
    pub fn cpu() -> Self {
        Self { kind: Kind::Float, device: Device::cpu() }
    }

    pub(super) fn wide(self) -> Kind {
        crate::weights::wide(self.kind)
    }

    pub(super) fn weights(self, set: &Arc<MemorySet>) -> Weights {
        Weights::in_memory(Arc::clone(set), self.kind, self.device)
    }

    /// A tensor of a batch, as losses take it.
    pub(super) fn take(self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.f_to_device(self.device.tch())?.f_to_kind(self.wide())?)
    }

    /// What [`Placement::take`] gives, as networks take it.
    pub(super) fn narrow(self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.f_to_kind(self.kind)?)
    }

    /// What a network gives, as losses take it.
    pub(super) fn widen(self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.f_to_kind(self.wide())?)
    }

    /// A draw, which is made on the CPU.
    pub(super) fn normal(self, draws: &StepRng, purpose: &str, shape: &[i64]) -> Result<Tensor> {
        self.take(&draws.normal(self.device, purpose, shape)?)
    }
}

/// Makes leaves of the tensors that `wanted` names, as parameters `<prefix><name>`.
pub(super) fn train(
    set: &mut MemorySet,
    prefix: &str,
    wanted: impl Fn(&str) -> bool,
    parameters: &mut Parameters,
) -> Result<()> {
    let names: Vec<String> = set.names().filter(|name| wanted(name)).map(str::to_owned).collect();
    for name in names {
        let leaf = parameters.add(format!("{prefix}{name}"), &set.get(&name)?)?;
        set.insert(&name, leaf);
    }
    Ok(())
}

/// A low-rank adapter as peft begins one: A uniform, B zero, and a DoRA's magnitude the length of
/// each row.
pub(super) struct NewAdapter<'a> {
    /// Before `.lora_A.default.weight` and its like.
    pub(super) key: &'a str,
    pub(super) rank: i64,
    pub(super) scale: f64,
    pub(super) magnitude: bool,
    pub(super) draws: StepRng,
    pub(super) opened: Device,
}

impl NewAdapter<'_> {
    /// Beside the weight `base`: `[out, in]` or a kernel `[out, in, …]`.
    pub(super) fn make(
        &self,
        base: &Tensor,
        wide: Kind,
        parameters: &mut Parameters,
    ) -> Result<LowRank> {
        let size = base.size();
        let inputs: i64 = size[1..].iter().product();
        let mut down = size.clone();
        down[0] = self.rank;
        let mut up = vec![1; size.len()];
        (up[0], up[1]) = (size[0], self.rank);
        let name = |part: &str| format!("{}.{part}.default.weight", self.key);
        let first =
            self.draws.uniform(self.opened, &name("lora_A"), &down, (inputs as f64).powf(-0.5))?;
        let first = first.f_to_device(base.device())?.f_to_kind(wide)?;
        let zeros = Tensor::f_zeros(&up[..], (wide, base.device()))?;
        let magnitude = if self.magnitude {
            let matrix = base.f_to_kind(wide)?.f_reshape([size[0], -1])?;
            let lengths = matrix.f_norm_scalaropt_dim(2.0, 1i64, false)?;
            Some(parameters.add(name("lora_magnitude_vector"), &lengths)?)
        } else {
            None
        };
        Ok(LowRank {
            down: parameters.add(name("lora_A"), &first)?,
            up: parameters.add(name("lora_B"), &zeros)?,
            magnitude,
            scale: self.scale,
        })
    }
}
