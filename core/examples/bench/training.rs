//! Whole steps of training: draws, forward, losses, backward, AdamW.

use tch::Tensor;
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::train::{
    AuxiliaryNetworks, ComputeOptions, DORA_TARGETS, LatentBatch, Optimizer, OptimizerSettings,
    Origin, RgbaClips, RgbaVae, RgbaVaeSettings, StepRng, Task, Texts, Trained, Transformer,
    TransformerSettings, VaeConfig, init,
};
use wan_alpha_core::weights::Network;

use super::{Case, Error, RandomModel, Sizes, random};

/// Width 512, 8 heads, ffn 2048, 8 layers, DoRA 32, 64 text tokens, latent 16×5×32×32.
pub(super) fn transformer() -> Result<Case, Error> {
    let (text, tokens) = (512, 64);
    let model = RandomModel::transformer(&Sizes { dim: 512, ffn: 2048, text, layers: 8 });
    let (set, _) = model.weights(Network::Dit)?;
    // Four heads of the released size would be inferred.
    let config = DitConfig { heads: 8, text_length: tokens, ..DitConfig::infer(&set, None)? };
    let settings = TransformerSettings {
        trained: Trained::Dora { rank: 32, targets: DORA_TARGETS.map(str::to_owned).into() },
        ..TransformerSettings::default()
    };
    let origin = Origin::Files(set);
    let task = Transformer::new(&origin, config, None, settings, 7, ComputeOptions::cpu())?;
    let batch = LatentBatch {
        latents: random(&[1, 16, 5, 32, 32], 1.0),
        masks: Some(random(&[1, 5, 32, 32], 1.0).sigmoid()),
        texts: Texts::Contexts(vec![random(&[tokens, text], 1.0)]),
        images: None,
    };
    let shape = batch.latents.size();
    steps(task, batch, shape)
}

/// Dim 32, LoRA 32, clips of 64×64×5, batch 4; no perceptual loss, no transformer beside.
pub(super) fn autoencoder() -> Result<Case, Error> {
    let tensors = init::vae(Device::cpu(), &VaeConfig { dim: 32 }, 7)?;
    let mut model = RandomModel::default();
    for name in tensors.names() {
        model.tensors.push((name.to_owned(), tensors.get(name)?));
    }
    let (set, _) = model.weights(Network::Vae)?;
    let settings = RgbaVaeSettings { rank: 32, ..RgbaVaeSettings::default() };
    let task =
        RgbaVae::new(&set, settings, AuxiliaryNetworks::default(), 7, ComputeOptions::cpu())?;
    let clip = |channels| random(&[4, 5, 64, 64, channels], 1.0).clamp(-1.0, 1.0);
    let batch = RgbaClips { color: clip(3), alpha: clip(1) };
    steps(task, batch, vec![4, 3, 5, 64, 64])
}

fn steps<T: Task + 'static>(mut task: T, batch: T::Batch, shape: Vec<i64>) -> Result<Case, Error>
where
    T::Batch: 'static,
{
    let parameters = task.parameters().count();
    let mut optimizer = Optimizer::new(OptimizerSettings::default(), task.parameters())?;
    let run = move || {
        let rng = StepRng::new(7, optimizer.step() + 1);
        let losses = task.step(&batch, &rng, 1.0, &Unwatched)?;
        optimizer.update(task.parameters_mut())?;
        Ok(Tensor::from(losses.total()))
    };
    Ok(Case { run: Box::new(run), shape, parameters })
}
