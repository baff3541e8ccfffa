//! How good a picture looks, by LAION's aesthetic predictor, which VBench scores aesthetic quality
//! with: a linear layer on CLIP's features (`sa_0_4_vit_l_14_linear.pth` for ViT-L/14).

use std::path::Path;

use tch::{Kind, Tensor};

use super::clip::numbers;
use crate::device::Device;
use crate::linear::Linear;
use crate::weights::TensorFile;
use crate::{Error, Result};

/// LAION's aesthetic predictor: a linear layer on CLIP's features of a picture.
#[derive(Debug)]
pub struct Aesthetic(Linear);

impl Aesthetic {
    /// Reads the layer: `weight` `[1, width]` and `bias` `[1]`, where `width` is that of the
    /// features of the model it was trained on.
    ///
    /// # Errors
    /// The file is no such layer, or is one of another model's.
    pub fn open(path: &Path, width: i64, device: Device) -> Result<Self> {
        let file = TensorFile::open(path)?;
        let read = |name: &str, shape: &[i64]| -> Result<Tensor> {
            let found = file.entry(name).map(|entry| entry.shape.clone());
            if found.as_deref() != Some(shape) {
                return Err(Error::Tensor {
                    path: path.to_owned(),
                    name: name.to_owned(),
                    expected: format!(
                        "{shape:?}, LAION's predictor for a CLIP model of {width} features"
                    ),
                    found: found.map_or_else(|| "nothing".into(), |shape| format!("{shape:?}")),
                });
            }
            Ok(file.read(device, name)?.f_to_device(device.tch())?.f_to_kind(Kind::Float)?)
        };
        let (weight, bias) = (read("weight", &[1, width])?, Some(read("bias", &[1])?));
        Ok(Self(Linear::Plain { weight, bias }))
    }

    /// A tenth of the predicted mark of 1 to 10, as VBench has it, for each row of `features`
    /// `[n, d]`.
    ///
    /// # Errors
    /// Shapes that do not fit, or memory runs out.
    pub fn scores(&self, features: &Tensor) -> Result<Vec<f64>> {
        let _guard = tch::no_grad_guard();
        let marks = self.0.forward(features)?.f_squeeze_dim(-1)?.f_div_scalar(10.0)?;
        numbers(&marks)
    }
}
