//! AdamW with moments by name, what is done to gradients before it, and the average after it.

#![forbid(unsafe_code)]

use tch::Tensor;

use super::parameters::Parameters;
use crate::{Error, Result};

/// How parameters are changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerSettings {
    /// Learning rate, before the schedule's factor.
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

impl Default for OptimizerSettings {
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
    /// The same rate throughout the run.
    #[default]
    Constant,
    /// A third of it for the first 5 steps: PyTorch's `ConstantLR`, with which the released
    /// transformer was trained (`train_gauss_ellipse.py:351`).
    Released,
    /// Rises over the first twentieth and falls as half a cosine to a hundredth in the last of
    /// `steps` steps; what comes after stays there. A short run ends better so.
    Cosine {
        /// Of the whole run.
        steps: u64,
    },
}

/// What [`Schedule::Cosine`] ends with.
const LAST_FACTOR: f64 = 0.01;

impl Schedule {
    /// The factor in step `step`, counted from 1.
    pub fn factor(self, step: u64) -> f64 {
        match self {
            Self::Released if step <= 5 => 1.0 / 3.0,
            Self::Cosine { steps } => {
                let (step, rise) = (step.min(steps) as f64, (steps as f64 / 20.0).max(1.0));
                let fall = ((step - rise) / (steps as f64 - rise).max(1.0)).clamp(0.0, 1.0);
                let bell = 0.5 + 0.5 * (std::f64::consts::PI * fall).cos();
                (step / rise).min(LAST_FACTOR + (1.0 - LAST_FACTOR) * bell)
            }
            Self::Constant | Self::Released => 1.0,
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
    /// The learning rate that the step was made with.
    pub rate: f64,
}

/// AdamW, clipping and moving average for one set of [`Parameters`].
#[derive(Debug)]
pub struct Optimizer {
    settings: OptimizerSettings,
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

impl Optimizer {
    /// Moments of zero, an average equal to the parameters, step 0.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn new(settings: OptimizerSettings, parameters: &Parameters) -> Result<Self> {
        let _guard = tch::no_grad_guard();
        let state = |(_, tensor): (&str, &Tensor)| -> Result<State> {
            let average = settings.ema.map(|_| tensor.f_detach_copy()).transpose()?;
            Ok(State { first: tensor.f_zeros_like()?, second: tensor.f_zeros_like()?, average })
        };
        let states = parameters.iter().map(state).collect::<Result<_>>()?;
        Ok(Self { settings, step: 0, states })
    }

    /// How many steps have been made.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// How parameters are changed.
    pub fn settings(&self) -> &OptimizerSettings {
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
    pub fn swap_ema_weights(&mut self, parameters: &Parameters) -> Result<()> {
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
    settings: &OptimizerSettings,
    rate: f64,
    step: u64,
) -> Result<()> {
    let OptimizerSettings { betas: [beta1, beta2], eps, weight_decay, .. } = *settings;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.detach().view([-1]).try_into().unwrap()
    }

    fn two() -> Parameters {
        let mut parameters = Parameters::default();
        let _ = parameters.add("p", &Tensor::from_slice(&[1f32, -2.0, 0.5, 3.0])).unwrap();
        let _ = parameters.add("q", &Tensor::from_slice(&[0.25f32, -0.75]).view([1, 2])).unwrap();
        parameters
    }

    /// Lets the gradients be those numbers.
    fn give(parameters: &Parameters, p: [f32; 4], q: [f32; 2]) {
        let gradients = [Tensor::from_slice(&p), Tensor::from_slice(&q).view([1, 2])];
        for ((_, parameter), gradient) in parameters.iter().zip(gradients) {
            (parameter * gradient).sum(tch::Kind::Float).backward();
        }
    }

    #[test]
    fn a_cosine_rises_falls_and_stays() {
        let at = |step| Schedule::Cosine { steps: 200 }.factor(step);
        assert_eq!([at(1), at(5), at(10)], [0.1, 0.5, 1.0]);
        assert!((11..200).all(|step| at(step + 1) < at(step)));
        // Half the way down.
        assert!((at(105) - 0.505).abs() < 1e-12, "{}", at(105));
        assert!((at(200) - LAST_FACTOR).abs() < 1e-12 && at(201) == at(200));
        assert!(Schedule::Cosine { steps: 1 }.factor(1) > 0.0);
    }

    fn give_step(parameters: &Parameters, k: f32) {
        give(parameters, [0.5, -1.0, 2.0, 0.001].map(|x| x * k), [1.0, -0.25].map(|x| x / k));
    }

    const SETTINGS: OptimizerSettings = OptimizerSettings {
        rate: 1e-2,
        schedule: Schedule::Released,
        betas: [0.9, 0.999],
        eps: 1e-8,
        weight_decay: 0.1,
        clip: Some(3.0),
        ema: None,
    };

    /// What PyTorch 2.13 gives: AdamW(lr 1e-2, weight_decay 0.1), ConstantLR's defaults,
    /// clip_grad_norm_ at 3, and after k steps gradients k·(0.5, −1, 2, 0.001) and (1, −0.25)/k.
    #[test]
    fn seven_steps_are_those_of_pytorch() {
        let mut parameters = two();
        let mut optimizer = Optimizer::new(SETTINGS, &parameters).unwrap();
        let expected: [(f64, f64, [f32; 6]); 7] = [
            (
                0.01 / 3.0,
                2.512_469_3,
                [0.996_333_36, -1.996, 0.496_5, 2.995_666_7, 0.246_583_34, -0.746_416_7],
            ),
            (
                0.01 / 3.0,
                4.611_467_4,
                [0.992_673_6, -1.992_007, 0.493_006_83, 2.991_340_6, 0.243_609_65, -0.743_276_4],
            ),
            (
                0.01 / 3.0,
                6.882_446_3,
                [0.989_004, -1.988_004_2, 0.489_503_7, 2.987_004_8, 0.241_022_68, -0.740_522_9],
            ),
            (
                0.01 / 3.0,
                9.168_775,
                [0.985_328_5, -1.983_995_9, 0.485_994_8, 2.982_663_4, 0.238_746_8, -0.738_080_56],
            ),
            (
                0.01 / 3.0,
                11.458_296,
                [0.981_649_9, -1.979_984_5, 0.482_482_64, 2.978_319, 0.236_724_26, -0.735_891_6],
            ),
            (
                0.01,
                13.748_801,
                [0.970_609_07, -1.967_945_3, 0.471_941, 2.965_281_5, 0.231_288_25, -0.729_956_45],
            ),
            (
                0.01,
                16.039_694,
                [0.959_573_45, -1.955_912_5, 0.461_404_06, 2.952_251_4, 0.226_390_67, -0.724_560_2],
            ),
        ];
        for (k, (rate, norm, values)) in (1..).zip(expected) {
            give_step(&parameters, k as f32);
            let update = optimizer.update(&mut parameters).unwrap();
            assert_eq!(update.step, k);
            assert!((update.rate - rate).abs() < 1e-12);
            assert!((update.gradient_norm / norm - 1.0).abs() < 1e-6, "{}", update.gradient_norm);
            let found: Vec<f32> = parameters.iter().flat_map(|(_, p)| numbers(p)).collect();
            for (found, expected) in found.iter().zip(values) {
                assert!(
                    (found - expected).abs() <= 2.0 * f32::EPSILON * expected.abs(),
                    "{k}: {found} {expected}"
                );
            }
        }
        let State { first, second, .. } = &optimizer.states[0];
        for (found, expected) in [
            (first, [0.332_985_3, -0.665_970_6, 1.331_941_2, 0.000_665_970_6]),
            (second, [0.002_806_542, 0.011_226_168, 0.044_904_67, 1.122_616_8e-8]),
        ] {
            for (found, expected) in numbers(found).into_iter().zip(expected) {
                assert!((found / expected - 1.0f32).abs() < 1e-6, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing_and_is_named() {
        let mut parameters = two();
        let mut optimizer = Optimizer::new(SETTINGS, &parameters).unwrap();
        give_step(&parameters, 1.0);
        optimizer.update(&mut parameters).unwrap();
        let before = optimizer.state(&parameters).unwrap();
        give(&parameters, [0.0; 4], [f32::NAN, 0.0]);
        let error = optimizer.update(&mut parameters).unwrap_err();
        assert!(matches!(error, Error::Diverged { .. }));
        assert!(error.to_string().contains("`q`"), "{error}");
        assert_eq!(optimizer.state(&parameters).unwrap(), before);
    }

    #[test]
    fn the_average_follows_and_changes_places() {
        let mut parameters = two();
        let settings = OptimizerSettings { ema: Some(0.9), ..SETTINGS };
        let mut optimizer = Optimizer::new(settings, &parameters).unwrap();
        let mut expected = numbers(parameters.get("p").unwrap());
        for k in 1..4 {
            give_step(&parameters, k as f32);
            optimizer.update(&mut parameters).unwrap();
            let now = numbers(parameters.get("p").unwrap());
            expected.iter_mut().zip(now).for_each(|(e, now)| *e = 0.9 * *e + 0.1 * now);
        }
        let trained = numbers(parameters.get("p").unwrap());
        optimizer.swap_ema_weights(&parameters).unwrap();
        let average = numbers(parameters.get("p").unwrap());
        assert!(average.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-6), "{average:?}");
        optimizer.swap_ema_weights(&parameters).unwrap();
        assert_eq!(numbers(parameters.get("p").unwrap()), trained);
    }

    #[test]
    fn a_state_goes_out_and_in_and_one_of_other_settings_is_refused() {
        let settings = OptimizerSettings { ema: Some(0.99), ..SETTINGS };
        let begin = || {
            let parameters = two();
            let optimizer = Optimizer::new(settings, &parameters).unwrap();
            (parameters, optimizer)
        };
        let advance = |parameters: &mut Parameters, optimizer: &mut Optimizer| {
            give_step(parameters, optimizer.step() as f32 + 1.0);
            optimizer.update(parameters).unwrap();
        };
        let (mut parameters, mut optimizer) = begin();
        for _ in 0..3 {
            advance(&mut parameters, &mut optimizer);
        }
        let state = optimizer.state(&parameters).unwrap();
        let find = |name: &str| {
            Ok(state.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor.shallow_clone()))
        };
        let (mut again, mut resumed) = begin();
        resumed.restore(&again, find).unwrap();
        for _ in 0..3 {
            advance(&mut parameters, &mut optimizer);
            advance(&mut again, &mut resumed);
        }
        assert_eq!(resumed.state(&again).unwrap(), optimizer.state(&parameters).unwrap());
        let without = |name: &str| if name == "second.q" { Ok(None) } else { find(name) };
        let error = resumed.restore(&again, without).unwrap_err().to_string();
        assert!(error.contains("second.q"), "{error}");
    }
}
