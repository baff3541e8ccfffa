//! The half of CLIP that sees: pictures made as small as it looks at them, cut into patches.

use tch::Tensor;

use super::config::ClipConfig;
use super::{odd, projected};
use crate::Result;
use crate::clip_tower::{MEAN, Norm, STD, Tower};
use crate::linear::Linear;
use crate::weights::Weights;

/// The half that sees.
#[derive(Debug)]
pub(super) struct Vision {
    /// `[w, 3, p, p]`
    patches: Tensor,
    /// The token that stands for the whole picture, `[1, 1, w]`.
    class: Tensor,
    /// What is added at each place, the class token's first: `[1 + patches, w]`.
    positions: Tensor,
    before: Norm,
    tower: Tower,
    after: Norm,
    projection: Linear,
    /// Side of the pictures, and of a patch.
    side: i64,
    patch: i64,
    /// `[1, 3, 1, 1]`
    mean: Tensor,
    std: Tensor,
}

impl Vision {
    pub(super) fn load(weights: &Weights, config: &ClipConfig) -> Result<Self> {
        let model = weights.sub("vision_model");
        let embeddings = model.sub("embeddings");
        let &[width, 3, patch, other] = embeddings.shape("patch_embedding.weight")? else {
            return Err(odd(&embeddings, "patch_embedding.weight"));
        };
        let side = config.side();
        if patch != other || patch < 1 || side % patch != 0 {
            return Err(odd(&embeddings, "patch_embedding.weight"));
        }
        let count = (side / patch) * (side / patch);
        let each = |values: [f32; 3]| -> Result<Tensor> {
            let values = Tensor::f_from_slice(&values)?.f_view([1, 3, 1, 1])?;
            Ok(values.f_to_device(weights.device().tch())?)
        };
        let output = projected(weights, "visual_projection", width)?;
        let tower = config.vision();
        let eps = tower.eps;
        Ok(Self {
            patches: embeddings.get("patch_embedding.weight", &[width, 3, patch, patch])?,
            class: embeddings.get("class_embedding", &[width])?.f_view([1, 1, width])?,
            positions: embeddings.get("position_embedding.weight", &[count + 1, width])?,
            // Spelled so in every file.
            before: Norm::load(&model.sub("pre_layrnorm"), width, eps)?,
            tower: Tower::load(&model.sub("encoder"), width, &tower)?,
            after: Norm::load(&model.sub("post_layernorm"), width, eps)?,
            projection: Linear::load(&weights.sub("visual_projection"), width, output)?,
            side,
            patch,
            mean: each(MEAN)?,
            std: each(STD)?,
        })
    }

    /// `[n, 3, h, w]` in [0, 1], of any size → `[n, d]`
    pub(super) fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
        let x = resized(pictures, self.side)?.f_sub(&self.mean)?.f_div(&self.std)?;
        let stride = [self.patch; 2];
        let patches = x.f_conv2d(&self.patches, None::<&Tensor>, stride, [0, 0], [1, 1], 1)?;
        // [n, w, side/p, side/p] → [n, patches, w]
        let patches = patches.f_flatten(2, -1)?.f_transpose(1, 2)?;
        let class = self.class.f_expand([patches.size()[0], 1, -1], false)?;
        let x = Tensor::f_cat(&[&class, &patches], 1)?.f_add(&self.positions)?;
        let x = self.tower.forward(&self.before.forward(&x)?, false)?;
        self.projection.forward(&self.after.forward(&x.f_select(1, 0)?)?)
    }

    /// Length of the features.
    pub(super) fn outputs(&self) -> i64 {
        self.projection.outputs()
    }
}

/// The shorter side to `side`, and the middle `side` × `side` of it.
fn resized(pictures: &Tensor, side: i64) -> Result<Tensor> {
    let size = pictures.size();
    let (height, width) = (size[2], size[3]);
    let shorter = height.min(width);
    let whole = |x: &Tensor| -> Result<Tensor> { Ok(x.f_round()?.f_clamp(0.0, 255.0)?) };
    let bytes = whole(&pictures.f_mul_scalar(255.0)?)?;
    let bytes = if shorter == side {
        bytes
    } else {
        let [height, width] = [height, width].map(|length| side * length / shorter);
        whole(&bytes.f_upsample_bicubic2d([height, width], false, None, None)?)?
    };
    let size = bytes.size();
    let middle = |length: i64| ((length - side) as f64 / 2.0).round_ties_even() as i64;
    let bytes = bytes.f_narrow(2, middle(size[2]), side)?.f_narrow(3, middle(size[3]), side)?;
    Ok(bytes.f_div_scalar(255.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn the_middle_of_a_wide_picture_is_what_is_seen() {
        // 16 × 6 pixels, red where the middle third is; no resizing: the shorter side fits.
        let columns: Vec<f32> =
            (0..16).map(|x| f32::from(u8::from((5..11).contains(&x)))).collect();
        let row = Tensor::from_slice(&columns).view([1, 1, 1, 16]);
        let wide = row.expand([1, 3, 6, 16], false);
        let seen = resized(&wide, 6).unwrap();
        assert_eq!(seen.size(), [1, 3, 6, 6]);
        assert_eq!(seen.min().double_value(&[]), 1.0);
        // 0.4 has no byte of its own.
        let gray = Tensor::full([1, 3, 6, 6], 0.4, (Kind::Float, Device::Cpu));
        let seen = resized(&gray, 6).unwrap().double_value(&[0, 0, 0, 0]);
        assert!((seen - 102.0 / 255.0).abs() < 1e-7);
        assert_eq!(resized(&wide, 4).unwrap().size(), [1, 3, 4, 4]);
    }
}
