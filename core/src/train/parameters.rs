//! What is trained: tensors by name, in a fixed order.

#![forbid(unsafe_code)]

use tch::Tensor;

use crate::weights::at_least_float32;
use crate::{Error, Result};

/// Leaves that gather gradients, in the order they were added.
///
/// Networks hold other handles of the same tensors: what [`super::Optimizer`] or a checkpoint
/// changes here is what they compute with.
#[derive(Debug, Default)]
pub struct Parameters(Vec<(String, Tensor)>);

impl Parameters {
    /// Adds a tensor, in float32 (float64 stays), and returns the leaf it has become.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn add(&mut self, name: impl Into<String>, tensor: &Tensor) -> Result<Tensor> {
        let leaf = tensor.f_detach()?.f_to_kind(at_least_float32(tensor.kind()))?;
        // A handle of its own memory: steps change it in place.
        let leaf = leaf.f_detach_copy()?.f_set_requires_grad(true)?;
        // Gradients have their memory from the beginning: small tensors that appear among the large
        // ones of a backward pass, and stay, would hold those from being used again.
        tch::with_grad(|| leaf.f_mul_scalar(0.0)?.f_sum(leaf.kind())?.f_backward())?;
        self.0.push((name.into(), leaf.shallow_clone()));
        Ok(leaf)
    }

    /// Names and tensors, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensor of a name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.iter().find(|(other, _)| *other == name).map(|(_, tensor)| tensor)
    }

    /// How many tensors are trained.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers are trained, in all tensors together.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, tensor)| tensor.numel() as u64).sum()
    }

    /// Names and gradients, of those that have one.
    pub(super) fn gradients(&self) -> impl Iterator<Item = (&str, Tensor)> {
        self.iter().map(|(name, tensor)| (name, tensor.grad())).filter(|(_, g)| g.defined())
    }

    /// Sets every gradient to zero, before a step gathers its own.
    pub fn zero_gradients(&mut self) {
        self.0.iter_mut().for_each(|(_, tensor)| tensor.zero_grad());
    }

    /// The length of all gradients taken together as one vector.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn gradient_norm(&self) -> Result<f64> {
        let norms = self
            .gradients()
            .map(|(_, gradient)| Ok(gradient.f_norm()?))
            .collect::<Result<Vec<Tensor>>>()?;
        if norms.is_empty() {
            return Ok(0.0);
        }
        Ok(Tensor::f_stack(&norms, 0)?.f_norm()?.f_double_value(&[])?)
    }

    /// The first parameter whose gradient is not finite.
    pub(super) fn first_bad_gradient(&self) -> Result<Option<&str>> {
        for (name, gradient) in self.gradients() {
            if !crate::weights::is_finite(&gradient)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Copies numbers into a parameter.
    ///
    /// # Errors
    /// There is no such parameter, or its shape is another.
    pub fn set(&self, name: &str, value: &Tensor) -> Result<()> {
        let Some(tensor) = self.get(name) else {
            return Err(Error::Input(format!(
                "there is no parameter `{name}` in this run; it is of other settings"
            )));
        };
        if tensor.size() != value.size() {
            return Err(Error::Input(format!(
                "parameter `{name}`: expected {:?}, found {:?}; it is of other settings",
                tensor.size(),
                value.size()
            )));
        }
        let _guard = tch::no_grad_guard();
        tensor.shallow_clone().f_copy_(value)?;
        Ok(())
    }

    /// Copies of all of them, without gradients, on the CPU.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn snapshot(&self) -> Result<Vec<(String, Tensor)>> {
        let copy = |(name, tensor): (&str, &Tensor)| -> Result<(String, Tensor)> {
            let copy = tensor.f_detach_copy()?.f_to_device(tch::Device::Cpu)?;
            Ok((name.to_owned(), copy))
        };
        self.iter().map(copy).collect()
    }
}
