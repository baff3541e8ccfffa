//! The perceptual loss: how far apart two clips are to the first layers of VGG16.
//!
//! Ports `Wan-Alpha-VAE-train/vgg_loss.py:90` (`VGGLoss`).

#![forbid(unsafe_code)]

use std::path::Path;

use tch::{Kind, Tensor};

use super::losses::mean;
use crate::device::Device;
use crate::weights::TensorFile;
use crate::{Error, Result};

/// Convolutions up to `relu2_2`: place in torchvision's `features`, channels in and out, whether
/// the image is halved before.
const LAYERS: [(usize, i64, i64, bool); 4] =
    [(0, 3, 64, false), (2, 64, 64, false), (5, 64, 128, true), (7, 128, 128, false)];

/// VGG16 up to `relu2_2`, frozen.
#[derive(Debug)]
pub struct Vgg(Vec<Layer>);

#[derive(Debug)]
struct Layer {
    weight: Tensor,
    bias: Tensor,
    halved: bool,
}

impl Vgg {
    /// Reads torchvision's weights (`vgg16-….pth`, or the same as safetensors): `features.0`, 2, 5
    /// and 7; the rest of the file is left alone.
    ///
    /// # Errors
    /// The file is no VGG16.
    pub fn open(path: &Path, kind: Kind, device: Device) -> Result<Self> {
        let file = TensorFile::open(path)?;
        let read = |name: String, shape: &[i64]| -> Result<Tensor> {
            let found = file.entry(&name).map(|entry| entry.shape.clone());
            if found.as_deref() != Some(shape) {
                return Err(Error::Tensor {
                    path: path.to_owned(),
                    name,
                    expected: format!("{shape:?}, as in torchvision's vgg16"),
                    found: found.map_or_else(|| "nothing".into(), |shape| format!("{shape:?}")),
                });
            }
            Ok(file.read(device, &name)?.f_to_kind(kind)?.f_to_device(device.tch())?)
        };
        let layer = |&(place, input, output, halved): &(usize, i64, i64, bool)| {
            let weight = read(format!("features.{place}.weight"), &[output, input, 3, 3])?;
            let bias = read(format!("features.{place}.bias"), &[output])?;
            Ok(Layer { weight: crate::vae::channels_last(&weight)?, bias, halved })
        };
        LAYERS.iter().map(layer).collect::<Result<_>>().map(Self)
    }

    /// Mean squared difference of `relu2_2` of two clips `[b, t, h, w, 3]` in [−1, 1], frame by
    /// frame, given as (x + 1) / 2 without further normalization: a number, `[]`.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn loss(&self, prediction: &Tensor, truth: &Tensor) -> Result<Tensor> {
        let truth = {
            let _guard = tch::no_grad_guard();
            self.features(truth)?
        };
        mean(&self.features(prediction)?.f_sub(&truth)?.f_square()?)
    }

    /// `[b·t, 128, h/2, w/2]`
    fn features(&self, clip: &Tensor) -> Result<Tensor> {
        let size = clip.size();
        let [h, w] = [size[size.len() - 3], size[size.len() - 2]];
        let unit = clip.f_mul_scalar(0.5)?.f_add_scalar(0.5)?;
        let mut x = unit.f_reshape([-1, h, w, 3])?.f_permute([0, 3, 1, 2])?;
        for Layer { weight, bias, halved } in &self.0 {
            if *halved {
                x = x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?;
            }
            x = x.f_conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1)?.f_relu()?;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::write_safetensors;

    #[test]
    fn another_network_is_refused_by_file_and_tensor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vgg.safetensors");
        let weight = Tensor::zeros([64, 3, 7, 7], (Kind::Float, tch::Device::Cpu));
        let tensors = [("features.0.weight".to_owned(), weight)];
        write_safetensors(&path, &tensors, &Default::default()).unwrap();
        let error = Vgg::open(&path, Kind::Float, Device::cpu()).unwrap_err().to_string();
        for words in ["vgg.safetensors", "features.0.weight", "[64, 3, 3, 3]", "[64, 3, 7, 7]"] {
            assert!(error.contains(words), "{error}");
        }
    }
}
