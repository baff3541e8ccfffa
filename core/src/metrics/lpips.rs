//! The perceptual distance LPIPS (Zhang et al. 2018), version 0.1: features of an image network,
//! normalized along channels, compared with learned weights.
//!
//! Weights are the user's: the trunk as torchvision saves it (`features.0.weight`, …) and the heads
//! as the package `lpips` ships them (`lin0.model.1.weight`, …). Widths are the files'.

use std::path::Path;

use tch::{Kind, Tensor};

use crate::device::Device;
use crate::weights::TensorFile;
use crate::{Error, Result};

/// The image network under the distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trunk {
    /// The usual choice for measuring.
    AlexNet,
    /// Nearer to what perceptual losses train on.
    Vgg16,
}

/// A convolution of a trunk. After it comes a ReLU.
struct Plan {
    /// Its place in the trunk, by which its tensors are named.
    place: usize,
    stride: i64,
    padding: i64,
    pooled_before: bool,
    /// Whether what it gives is compared.
    compared: bool,
}

const fn conv(place: usize, stride: i64, padding: i64, pooled: bool, compared: bool) -> Plan {
    Plan { place, stride, padding, pooled_before: pooled, compared }
}

const ALEXNET: [Plan; 5] = [
    conv(0, 4, 2, false, true),
    conv(3, 1, 2, true, true),
    conv(6, 1, 1, true, true),
    conv(8, 1, 1, false, true),
    conv(10, 1, 1, false, true),
];

const VGG16: [Plan; 13] = [
    conv(0, 1, 1, false, false),
    conv(2, 1, 1, false, true),
    conv(5, 1, 1, true, false),
    conv(7, 1, 1, false, true),
    conv(10, 1, 1, true, false),
    conv(12, 1, 1, false, false),
    conv(14, 1, 1, false, true),
    conv(17, 1, 1, true, false),
    conv(19, 1, 1, false, false),
    conv(21, 1, 1, false, true),
    conv(24, 1, 1, true, false),
    conv(26, 1, 1, false, false),
    conv(28, 1, 1, false, true),
];

/// Mean and deviation of what the trunks were trained on, for colors in [−1, 1].
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

/// Keeps the normalization of an empty feature finite.
const EPSILON: f64 = 1e-10;

impl Trunk {
    /// The network's name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AlexNet => "AlexNet",
            Self::Vgg16 => "VGG16",
        }
    }

    fn plan(self) -> &'static [Plan] {
        match self {
            Self::AlexNet => &ALEXNET,
            Self::Vgg16 => &VGG16,
        }
    }

    /// Side of the window of its maximum pooling; the stride is 2.
    fn pool(self) -> i64 {
        match self {
            Self::AlexNet => 3,
            Self::Vgg16 => 2,
        }
    }

    /// The smallest picture of which something reaches the last layer.
    fn least_side(self) -> usize {
        match self {
            Self::AlexNet => 31,
            Self::Vgg16 => 16,
        }
    }
}

struct Layer {
    plan: &'static Plan,
    weight: Tensor,
    bias: Tensor,
    /// Of layers that are compared: `[1, c, 1, 1]`.
    head: Option<Tensor>,
}

/// The distance, with its weights.
pub struct Lpips {
    trunk: Trunk,
    layers: Vec<Layer>,
    shift: Tensor,
    scale: Tensor,
    device: Device,
}

impl Lpips {
    /// Reads the trunk and its heads.
    ///
    /// # Errors
    /// A file is neither, or the two are not of one network.
    pub fn open(trunk: &Path, heads: &Path, device: Device) -> Result<Self> {
        let trunk_file = TensorFile::open(trunk)?;
        let heads_file = TensorFile::open(heads)?;
        let has = |place: usize| trunk_file.entry(&format!("features.{place}.weight")).is_some();
        let kind = match (has(10), has(28)) {
            (_, true) => Trunk::Vgg16,
            (true, false) => Trunk::AlexNet,
            _ => {
                return Err(Error::file(
                    trunk,
                    "neither AlexNet nor VGG16: expected torchvision's file, with tensors \
                     features.0.weight to features.10.weight or features.28.weight",
                ));
            }
        };
        let deliver = |tensor: Tensor| -> Result<Tensor> {
            Ok(tensor.f_to_device(device.tch())?.f_to_kind(Kind::Float)?)
        };
        let mut layers = Vec::new();
        let (mut width, mut heads_read) = (3, 0);
        for plan in kind.plan() {
            let name = format!("features.{}.weight", plan.place);
            let weight = trunk_file.read(device, &name)?;
            let (out, kernel) = match weight.size()[..] {
                [out, found, kernel, other] if found == width && kernel == other => (out, kernel),
                _ => {
                    let expected = format!("[out, {width}, k, k]");
                    return Err(wrong(&trunk_file, &name, expected, &weight));
                }
            };
            // Else pictures would come out larger or smaller than the network means.
            let expected_kernel = if plan.stride == 4 { 11 } else { 2 * plan.padding + 1 };
            if kernel != expected_kernel {
                let expected = format!("[out, {width}, {expected_kernel}, {expected_kernel}]");
                return Err(wrong(&trunk_file, &name, expected, &weight));
            }
            let name = format!("features.{}.bias", plan.place);
            let bias = trunk_file.read(device, &name)?;
            if bias.size() != [out] {
                return Err(wrong(&trunk_file, &name, format!("[{out}]"), &bias));
            }
            let head = if plan.compared {
                let name = format!("lin{heads_read}.model.1.weight");
                heads_read += 1;
                let head = heads_file.read(device, &name)?;
                if head.size() != [1, out, 1, 1] {
                    return Err(wrong(&heads_file, &name, format!("[1, {out}, 1, 1]"), &head));
                }
                Some(deliver(head)?)
            } else {
                None
            };
            width = out;
            layers.push(Layer { plan, weight: deliver(weight)?, bias: deliver(bias)?, head });
        }
        let each = |values: [f32; 3]| -> Result<Tensor> {
            deliver(Tensor::f_from_slice(&values)?.f_view([1, 3, 1, 1])?)
        };
        Ok(Self { trunk: kind, layers, shift: each(SHIFT)?, scale: each(SCALE)?, device })
    }

    /// Which network it is.
    pub fn trunk(&self) -> Trunk {
        self.trunk
    }

    /// Distances of pictures `[n, 3, h, w]` in [−1, 1], one for each.
    ///
    /// # Errors
    /// They are of different sizes or too small; memory runs out.
    pub fn distances(&self, found: &Tensor, expected: &Tensor) -> Result<Vec<f64>> {
        let _guard = tch::no_grad_guard();
        let least = self.trunk.least_side() as i64;
        match (found.size()[..] == expected.size()[..], &found.size()[..]) {
            (true, &[_, 3, height, width]) if height.min(width) >= least => {}
            _ => {
                return Err(Error::Input(format!(
                    "LPIPS by {} compares pictures [n, 3, height, width] of one size, at least \
                     {least} × {least}; found {:?} and {:?}",
                    self.trunk.name(),
                    found.size(),
                    expected.size()
                )));
            }
        }
        let count = found.size()[0];
        let both = Tensor::f_cat(&[found, expected], 0)?;
        let both = both.f_to_device(self.device.tch())?.f_to_kind(Kind::Float)?;
        let mut x = both.f_sub(&self.shift)?.f_div(&self.scale)?;
        let mut distance = Tensor::f_zeros([count], (Kind::Float, self.device.tch()))?;
        for Layer { plan, weight, bias, head } in &self.layers {
            if plan.pooled_before {
                let side = [self.trunk.pool(); 2];
                x = x.f_max_pool2d(side, [2, 2], [0, 0], [1, 1], false)?;
            }
            let (stride, padding) = ([plan.stride; 2], [plan.padding; 2]);
            x = x.f_conv2d(weight, Some(bias), stride, padding, [1, 1], 1)?.f_relu()?;
            if let Some(head) = head {
                let length = x.f_square()?.f_sum_dim_intlist([1i64].as_slice(), true, None)?;
                let unit = x.f_div(&length.f_sqrt()?.f_add_scalar(EPSILON)?)?;
                let apart = unit.f_narrow(0, 0, count)?.f_sub(&unit.f_narrow(0, count, count)?)?;
                let weighted = apart.f_square()?.f_mul(head)?;
                let weighted = weighted.f_sum_dim_intlist([1i64].as_slice(), false, None)?;
                let here = weighted.f_mean_dim([1i64, 2].as_slice(), false, None)?;
                distance = distance.f_add(&here)?;
            }
        }
        let distance = distance.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?;
        Ok(Vec::<f64>::try_from(distance)?)
    }
}

fn wrong(file: &TensorFile, name: &str, expected: String, found: &Tensor) -> Error {
    Error::Tensor {
        path: file.path().to_owned(),
        name: name.to_owned(),
        expected,
        found: format!("{:?}", found.size()),
    }
}
