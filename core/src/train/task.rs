//! What the four trainings have in common.

#![forbid(unsafe_code)]

use std::sync::Arc;

use tch::{Kind, Tensor};

use super::export::Export;
use super::losses::Losses;
use super::parameters::Parameters;
use super::step_rng::StepRng;
use crate::device::Device;
use crate::weights::{LowRank, MemorySet, TensorSet, Weights};
use crate::{Result, Watch};

/// One training: networks, what of them is trained, and the losses of a batch.
pub trait Task {
    /// What a step is made of: clips, or latents with their texts.
    type Batch;

    /// What is trained. Names are those of the released files, or `part.` and the original name.
    fn parameters(&self) -> &Parameters;

    /// The same, for [`super::Optimizer::update`].
    fn parameters_mut(&mut self) -> &mut Parameters;

    /// The losses of a batch; their gradients, times `loss_scale`, are added to those of the
    /// parameters. With n batches to a step, `loss_scale` is 1/n and `rng` has the batch as its
    /// part.
    ///
    /// # Errors
    /// A loss is not finite ([`crate::Error::Diverged`]), a shape does not fit, memory runs out, or
    /// `watch` cancels. Gradients may then be half done: forget them.
    fn step(
        &self,
        batch: &Self::Batch,
        rng: &StepRng,
        loss_scale: f64,
        watch: &dyn Watch,
    ) -> Result<Losses>;

    /// The losses of a batch and nothing else: the same draws give the same numbers again.
    ///
    /// # Errors
    /// As [`Task::step`].
    fn evaluate(&self, batch: &Self::Batch, rng: &StepRng, watch: &dyn Watch) -> Result<Losses>;

    /// The files that a run ends with, in the released formats.
    ///
    /// # Errors
    /// Memory runs out.
    fn export(&self) -> Result<Vec<Export>>;
}

/// Where a network's first numbers come from.
#[derive(Clone, Debug)]
pub enum Origin<Config> {
    /// Weights that are read from files.
    Files(Arc<TensorSet>),
    /// Nothing: random numbers from a seed.
    Nothing {
        /// The sizes of the network.
        config: Config,
        /// The seed of the run, which every first number follows from.
        seed: u64,
    },
}

/// What a run's networks compute with, and where. What is trained, the losses and the optimizer are
/// float32 all the same (float64 in a run of float64): with `BFloat16` precision is mixed.
#[derive(Clone, Copy, Debug)]
pub struct ComputeOptions {
    /// The dtype that networks compute in: Float, or `BFloat16`; Double for tests of gradients.
    pub kind: Kind,
    /// Where networks and what is trained are: the CPU or a card.
    pub device: Device,
}

impl ComputeOptions {
    /// Everything in float32 and on the CPU.
    pub fn cpu() -> Self {
        Self { kind: Kind::Float, device: Device::cpu() }
    }

    /// The kind of what is trained, of losses and of moments: float32, or float64 in a run of
    /// float64.
    pub(super) fn master_dtype(self) -> Kind {
        crate::weights::at_least_float32(self.kind)
    }

    /// The tensors of `set` as networks take them.
    pub(super) fn weights(self, set: &Arc<MemorySet>) -> Weights {
        Weights::in_memory(Arc::clone(set), self.kind, self.device)
    }

    /// A tensor of a batch, or what a network gives, as losses take it: of any shape, on the
    /// device, in the master dtype.
    pub(super) fn to_master(self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.f_to_device(self.device.tch())?.f_to_kind(self.master_dtype())?)
    }

    /// What [`ComputeOptions::to_master`] gives, of any shape, in the kind that networks compute
    /// in.
    pub(super) fn to_compute(self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.f_to_kind(self.kind)?)
    }

    /// Standard normal numbers of `shape`, drawn on the CPU, as losses take them.
    pub(super) fn normal(self, rng: &StepRng, purpose: &str, shape: &[i64]) -> Result<Tensor> {
        self.to_master(&rng.normal(self.device, purpose, shape)?)
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
    pub(super) rng: StepRng,
    pub(super) opened: Device,
}

impl NewAdapter<'_> {
    /// Beside the weight `base`: `[out, in]` or a kernel `[out, in, …]`. Its tensors are added to
    /// `parameters`.
    pub(super) fn make(
        &self,
        base: &Tensor,
        master_dtype: Kind,
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
            self.rng.uniform(self.opened, &name("lora_A"), &down, (inputs as f64).powf(-0.5))?;
        let first = first.f_to_device(base.device())?.f_to_kind(master_dtype)?;
        let zeros = Tensor::f_zeros(&up[..], (master_dtype, base.device()))?;
        let magnitude = if self.magnitude {
            let matrix = base.f_to_kind(master_dtype)?.f_reshape([size[0], -1])?;
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
