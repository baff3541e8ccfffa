//! AdamW with moments by name, what is done to gradients before it, and the average after it.

#![forbid(unsafe_code)]

use tch::Tensor;

use super::parameters::Parameters;
use crate::{Error, Result};

/// How parameters are changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimiserSettings {
    /// Learning rate.
    pub rate: f64,
    /// How the rate begins.
    pub schedule: Schedule,
    /// Decay of the first and of the second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// What is taken off a parameter in each step, times the rate; apart from the gradient.
    pub weight_decay: f64,
    /// The largest length of all gradients together; a longer one is scaled down.
    pub clip: Option<f64>,
    /// Decay of the moving average of the parameters, where one is kept.
    pub ema: Option<f64>,
}

impl Default for OptimiserSettings {
    /// As released: PyTorch's defaults at a rate of 1e-4, no clipping, no average.
    fn default() -> Self {
        Self {
            rate: 1e-4,
            schedule: Schedule::Constant,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.01,
            clip: None,
            ema: None,
        }
    }
}

/// The learning rate over the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// The same throughout.
    #[default]
    Constant,
    /// A third of it for the first 5 steps: PyTorch's `ConstantLR`, with which the released
    /// transformer was trained.
    Released,
}

impl Schedule {
    /// The factor in step `step`, counted from 1.
    pub fn factor(self, step: u64) -> f64 {
        match self {
            Self::Released if step <= 5 => 1.0 / 3.0,
            _ => 1.0,
        }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// The step, counted from 1.
    pub step: u64,
    /// The length of the gradients before clipping.
    pub gradient_norm: f64,
    /// The learning rate.
    pub rate: f64,
}

/// AdamW, clipping and moving average for one set of [`Parameters`].
#[derive(Debug)]
pub struct Optimiser {
    settings: OptimiserSettings,
    step: u64,
    /// In the order of the parameters.
    states: Vec<State>,
}

#[derive(Debug)]
struct State {
    first: Tensor,
    second: Tensor,
    average: Option<Tensor>,
}

impl Optimiser {
    /// Moments of zero, an average equal to the parameters, step 0.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn new(settings: OptimiserSettings, parameters: &Parameters) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let state = |(_, tensor): (&str, &Tensor)| -> Result<State> {
            let average = settings.ema.map(|_| tensor.f_detach_copy()).transpose()?;
            Ok(State { first: tensor.f_zeros_like()?, second: tensor.f_zeros_like()?, average })
        };
        let states = parameters.iter().map(state).collect::<Result<_>>()?;
        Ok(Self { settings, step: 0, states })
    }

    /// Steps made.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// How parameters are changed.
    pub fn settings(&self) -> &OptimiserSettings {
        &self.settings
    }

    /// Makes a step with the gradients that the parameters have gathered, and forgets those.
    ///
    /// # Errors
    /// A gradient is not finite ([`Error::Diverged`]): nothing has been changed then.
    pub fn update(&mut self, parameters: &mut Parameters) -> Result<Update> {
        let _guard = tch::no_grad_guard();
        let gradient_norm = parameters.gradient_norm()?;
        if !gradient_norm.is_finite() {
            let name = parameters.first_bad_gradient()?.unwrap_or("all together").to_owned();
            return Err(Error::Diverged {
                what: format!("the gradient of `{name}` is not finite"),
            });
        }
        let scale = match self.settings.clip {
            // As torch.nn.utils.clip_grad_norm_.
            Some(limit) => (limit / (gradient_norm + 1e-6)).min(1.0),
            None => 1.0,
        };
        self.step += 1;
        let rate = self.settings.rate * self.settings.schedule.factor(self.step);
        for ((_, parameter), state) in parameters.iter().zip(&mut self.states) {
            let mut gradient = parameter.f_grad()?;
            if gradient.defined() {
                if scale < 1.0 {
                    gradient = gradient.f_mul_scalar(scale)?;
                }
                adamw(parameter, &gradient, state, &self.settings, rate, self.step)?;
            }
            if let (Some(average), Some(decay)) = (&mut state.average, self.settings.ema) {
                let _ = average.f_lerp_(parameter, 1.0 - decay)?;
            }
        }
        parameters.zero_gradients();
        Ok(Update { step: self.step, gradient_norm, rate })
    }

    /// Puts the averages where the parameters are, and those where the averages were: once before
    /// sampling, evaluating or exporting, once after. Without averages nothing happens.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn exchange(&mut self, parameters: &Parameters) -> Result<()> {
        let _guard = tch::no_grad_guard();
        for ((_, parameter), state) in parameters.iter().zip(&mut self.states) {
            if let Some(average) = &mut state.average {
                let kept = parameter.f_detach_copy()?;
                parameter.shallow_clone().f_copy_(average)?;
                average.f_copy_(&kept)?;
            }
        }
        Ok(())
    }

    /// The tensors of a run's state: `parameter.…`, `first.…`, `second.…`, `average.…`, and `step`;
    /// on the CPU, in memory of their own.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn state(&self, parameters: &Parameters) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = vec![("step".to_owned(), Tensor::f_from_slice(&[self.step as i64])?)];
        for ((name, parameter), state) in parameters.iter().zip(&self.states) {
            let State { first, second, average } = state;
            let parts = [("parameter", parameter), ("first", first), ("second", second)];
            for (part, tensor) in
                parts.into_iter().chain(average.iter().map(|average| ("average", average)))
            {
                let copy = tensor.f_detach_copy()?.f_to_device(tch::Device::Cpu)?;
                tensors.push((format!("{part}.{name}"), copy));
            }
        }
        Ok(tensors)
    }

    /// Takes a run's state up again. `read` gives the tensor of a name, `None` where there is none.
    ///
    /// # Errors
    /// A tensor is missing or of another shape: the state is of another run, or other settings. What
    /// has been read up to then is in place.
    pub fn restore(
        &mut self,
        parameters: &Parameters,
        read: impl Fn(&str) -> Result<Option<Tensor>>,
    ) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let find = |name: String| {
            read(&name)?.ok_or_else(|| {
                Error::Input(format!(
                    "the state to resume has no `{name}`: it is of a run with other settings"
                ))
            })
        };
        let copy = |name: String, into: &Tensor| -> Result<()> {
            let tensor = find(name.clone())?;
            if tensor.size() != into.size() {
                return Err(Error::Input(format!(
                    "the state to resume: `{name}`: expected {:?}, found {:?}; it is of a run with \
                     other settings",
                    into.size(),
                    tensor.size()
                )));
            }
            into.shallow_clone().f_copy_(&tensor)?;
            Ok(())
        };
        for ((name, parameter), state) in parameters.iter().zip(&self.states) {
            copy(format!("parameter.{name}"), parameter)?;
            copy(format!("first.{name}"), &state.first)?;
            copy(format!("second.{name}"), &state.second)?;
            if let Some(average) = &state.average {
                copy(format!("average.{name}"), average)?;
            }
        }
        let step = find("step".to_owned())?.f_int64_value(&[0])?;
        self.step = u64::try_from(step).unwrap_or_default();
        Ok(())
    }
}

/// θ ← θ·(1 − rate·decay) − rate·m̂ / (√v̂ + ε), as `torch.optim.AdamW`.
fn adamw(
    parameter: &Tensor,
    gradient: &Tensor,
    state: &mut State,
    settings: &OptimiserSettings,
    rate: f64,
    step: u64,
) -> Result<()> {
    let OptimiserSettings { betas: [beta1, beta2], eps, weight_decay, .. } = *settings;
    let steps = i32::try_from(step).unwrap_or(i32::MAX);
    let correction = |beta: f64| 1.0 - beta.powi(steps);
    let State { first, second, .. } = state;
    let _ = first.f_lerp_(gradient, 1.0 - beta1)?;
    let squares = gradient.f_square()?.f_mul_scalar_(1.0 - beta2)?;
    let _ = second.f_mul_scalar_(beta2)?.f_add_(&squares)?;
    // The step's size and sign go into the denominator: addcdiv has no factor here.
    let size = -correction(beta1) / rate;
    let denominator = second
        .f_sqrt()?
        .f_mul_scalar_(size / correction(beta2).sqrt())?
        .f_add_scalar_(size * eps)?;
    let mut parameter = parameter.shallow_clone();
    let _ = parameter.f_mul_scalar_(1.0 - rate * weight_decay)?.f_addcdiv_(first, &denominator)?;
    Ok(())
}
