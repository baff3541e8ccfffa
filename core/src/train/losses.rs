//! What is minimized. Every term is a mean, differentiable in what is predicted.
//!
//! Clips are `[b, t, h, w, 3]` in [−1, 1], latents `[b, 16, t, h, w]`. Where the released code
//! departs from the paper it is followed; the switch [`Bidirectional`] holds the one departure that
//! changes what is learned.
//!
//! Ports `Wan-Alpha-VAE-train/train_vae.py:226` to 245, `Wan-Alpha-VAE-train/loss_tools.py:6`
//! (`GradLayer`) and `Wan-Alpha-VAE-train/diffsynth/pipelines/wan_video_maskpre_new.py:257`
//! (`training_loss`).

#![forbid(unsafe_code)]

use tch::Tensor;

use super::stride_losses;
use crate::weights::at_least_float32;
use crate::{Error, Result};

/// Weights of red, green and blue in what the edge loss calls gray; they do not sum to 1.
const GRAY: [f64; 3] = [65.738 / 256.0, 129.057 / 256.0, 25.064 / 256.0];

/// The form of the bidirectional diffusion loss. M is the region mask, e the squared error times
/// the weight of its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bidirectional {
    /// clamp(M·e, 0, 1), as released: where M is −1 nothing is learned.
    #[default]
    Released,
    /// M·e, the paper's equation 3.
    Paper,
    /// M·clamp(e, 0, 1): equation 3 within bounds.
    Clamped,
}

/// The terms of one step, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Losses(pub Vec<Loss>);

/// One term of a loss, as it is logged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Its name, such as `edge.soft`.
    pub name: &'static str,
    /// The value, not yet times its weight.
    pub value: f64,
    /// What it counts in the total.
    pub weight: f64,
}

impl Losses {
    /// The weighted sum that is minimized.
    pub fn total(&self) -> f64 {
        self.0.iter().map(|loss| loss.weight * loss.value).sum()
    }

    /// The value of the term of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|loss| loss.name == name).map(|loss| loss.value)
    }
}

/// Terms as they are computed: their weighted sum as a tensor with a way back, and their values.
#[derive(Debug, Default)]
pub(super) struct Sum {
    total: Option<Tensor>,
    terms: Vec<(&'static str, Tensor, f64)>,
}

impl Sum {
    pub(super) fn add(&mut self, name: &'static str, value: Tensor, weight: f64) -> Result<()> {
        if weight != 0.0 {
            self.carry(value.f_mul_scalar(weight)?)?;
        }
        self.note(name, value.f_detach()?, weight);
        Ok(())
    }

    /// The losses that know a latent's strides, those that have a weight, of what is found and what is
    /// true, `[b, t, h, w, 3]` each: of its cells and of its frames.
    pub(super) fn add_strides(
        &mut self,
        names: [&'static str; 2],
        [x, y]: [&Tensor; 2],
        weights: [f64; 2],
    ) -> Result<()> {
        let of = [stride_losses::phases, stride_losses::borders];
        for ((name, weight), loss) in names.into_iter().zip(weights).zip(of) {
            if weight != 0.0
                && let Some(value) = loss(x, y)?
            {
                self.add(name, value, weight)?;
            }
        }
        Ok(())
    }

    /// A term whose gradient has gone its way already.
    pub(super) fn note(&mut self, name: &'static str, value: Tensor, weight: f64) {
        self.terms.push((name, value, weight));
    }

    /// Something that only its gradient is wanted of.
    pub(super) fn carry(&mut self, value: Tensor) -> Result<()> {
        self.total = Some(match self.total.take() {
            Some(total) => total.f_add(&value)?,
            None => value,
        });
        Ok(())
    }

    /// Sends the gradients back, each times `loss_scale`.
    ///
    /// # Errors
    /// A term is not finite ([`Error::Diverged`]); nothing has then gone back.
    pub(super) fn backward(self, loss_scale: f64) -> Result<Losses> {
        let Self { total, terms } = self;
        let losses = values(&terms)?;
        if let Some(total) = total {
            total.f_mul_scalar(loss_scale)?.f_backward()?;
        }
        Ok(losses)
    }

    /// The values of all terms, without gradients.
    pub(super) fn values(&self) -> Result<Losses> {
        values(&self.terms)
    }
}

fn values(terms: &[(&'static str, Tensor, f64)]) -> Result<Losses> {
    let loss = |(name, value, weight): &(&'static str, Tensor, f64)| {
        let value = value.f_double_value(&[])?;
        if !value.is_finite() {
            return Err(Error::Diverged { what: format!("the loss `{name}` is {value}") });
        }
        Ok(Loss { name, value, weight: *weight })
    };
    terms.iter().map(loss).collect::<Result<_>>().map(Losses)
}

/// Mean |x − y| of two clips `[b, t, h, w, 3]`: a number, `[]`.
///
/// # Errors
/// Shapes that do not fit, or memory runs out.
pub fn l1(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    mean(&x.f_sub(y)?.f_abs()?)
}

/// Mean (x − y)² of two clips `[b, t, h, w, 3]`: a number, `[]`.
///
/// # Errors
/// As [`l1`].
pub fn l2(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    mean(&x.f_sub(y)?.f_square()?)
}

/// Mean |S(x) − S(y)| of the lengths S of the gray gradient (central differences, zeros beyond the
/// border), of two clips `[b, t, h, w, 3]`: a number, `[]`. The paper calls S a Sobel operator.
///
/// # Errors
/// As [`l1`].
pub fn edge(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    l1(&edges(x)?, &edges(y)?)
}

/// `[b, t, h, w, 3]` → `[b, t, h, w]`
pub(super) fn edges(x: &Tensor) -> Result<Tensor> {
    let weights = Tensor::f_from_slice(&GRAY)?.f_to_device(x.device())?.f_to_kind(x.kind())?;
    let gray = x.f_matmul(&weights)?;
    let size = gray.size();
    let (h, w) = (size[size.len() - 2], size[size.len() - 1]);
    let tall = gray.f_constant_pad_nd([0, 0, 1, 1])?;
    let broad = gray.f_constant_pad_nd([1, 1])?;
    let vertical = tall.f_narrow(-2, 2, h)?.f_sub(&tall.f_narrow(-2, 0, h)?)?;
    let horizontal = broad.f_narrow(-1, 2, w)?.f_sub(&broad.f_narrow(-1, 0, w)?)?;
    let square = vertical.f_square()?.f_add(&horizontal.f_square()?)?;
    Ok(square.f_add_scalar(1e-6)?.f_sqrt()?)
}

/// Mean of clamp(M·w·(v̂ − v)², 0, 1), or as `form` has it: a number, `[]`. `mask` is
/// `[b, t, h, w]`, the others `[b, 16, t, h, w]`; the target keeps its gradient.
///
/// # Errors
/// As [`l1`].
pub fn bidirectional(
    prediction: &Tensor,
    target: &Tensor,
    mask: &Tensor,
    weight: f64,
    form: Bidirectional,
) -> Result<Tensor> {
    let error = prediction.f_sub(target)?.f_square()?;
    let mask = mask.f_to_device(error.device())?.f_to_kind(error.kind())?.f_unsqueeze(1)?;
    let loss = match form {
        Bidirectional::Released => error.f_mul(&mask)?.f_mul_scalar(weight)?.f_clamp(0.0, 1.0)?,
        Bidirectional::Paper => error.f_mul(&mask)?.f_mul_scalar(weight)?,
        Bidirectional::Clamped => error.f_mul_scalar(weight)?.f_clamp(0.0, 1.0)?.f_mul(&mask)?,
    };
    mean(&loss)
}

/// Mean (v̂ − v)² of each clip, times the weight of its time; their mean, `[]`. Both velocities are
/// `[b, 16, t, h, w]`, with a weight for each of the batch.
///
/// # Errors
/// As [`l1`].
pub fn velocity(prediction: &Tensor, target: &Tensor, weights: &[f64]) -> Result<Tensor> {
    let error = prediction.f_sub(target)?.f_square()?.f_flatten(1, -1)?;
    let each = error.f_mean_dim(1i64, false, error.kind())?;
    let weights = Tensor::f_from_slice(weights)?.f_to_device(each.device())?;
    mean(&each.f_mul(&weights.f_to_kind(each.kind())?)?)
}

/// Mean over the numbers of a latent of KL(N(m, e^v) ‖ N(mean, std²)) of its channel. `moments` is
/// `[b, t, h, w, 32]`; `mean` and `std` are `[16]`; the result is `[]`.
///
/// # Errors
/// As [`l1`].
pub fn divergence(moments: &Tensor, mean_: &Tensor, std: &Tensor) -> Result<Tensor> {
    let halves = moments.f_chunk(2, -1)?;
    let (m, log_variance) = (&halves[0], halves[1].f_clamp(-30.0, 20.0)?);
    let distance = m.f_sub(mean_)?.f_div(std)?.f_square()?;
    let ratio = log_variance.f_sub(&std.f_square()?.f_log()?)?;
    let sum = distance.f_add(&ratio.f_exp()?)?.f_sub(&ratio)?.f_sub_scalar(1.0)?;
    mean(&sum.f_mul_scalar(0.5)?)
}

pub(super) fn mean(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_mean(at_least_float32(x.kind()))?)
}
