//! A forward pass whose blocks keep nothing for the way back but what they were given.
//!
//! Memory then grows with the number of layers by one residual stream each, and by nothing else;
//! the way back runs every block a second time. Gradients are those of a plain pass.

#![forbid(unsafe_code)]

use tch::Tensor;

use super::{Dit, Embedded, ImagePrompt, Prompt, Rope, unpatchify};
use crate::watch::check;
use crate::weights::at_least_float32;
use crate::{Result, Stage, Watch};

/// A pass that has gone forward, from [`Dit::recomputed`].
#[derive(Debug)]
pub struct Recomputed<'a> {
    dit: &'a Dit,
    rope: &'a Rope,
    /// What each block was given: `[blocks, b, tokens, dim]`.
    inputs: Tensor,
    entry: Joint,
    time: Joint,
    projected: Joint,
    text: Joint,
    /// Tokens of images, of an image-to-video transformer; nothing goes back to them.
    image: Option<Tensor>,
    /// What the head was given.
    last: Tensor,
    velocity: Tensor,
}

/// Where the graph is cut: a tensor of the caller's side, and the leaf that stands for it on the
/// blocks' side and gathers its gradient.
#[derive(Debug)]
struct Joint {
    outer: Tensor,
    leaf: Tensor,
}

impl Joint {
    fn new(outer: Tensor) -> Result<Self> {
        let leaf = leaf(&outer, outer.requires_grad())?;
        Ok(Self { outer, leaf })
    }

    /// A number whose gradient in the outer tensor is what the leaf has gathered.
    fn carried(&self) -> Result<Option<Tensor>> {
        let gradient = self.leaf.f_grad()?;
        if self.outer.requires_grad() && gradient.defined() {
            return carrier(&self.outer, &gradient).map(Some);
        }
        Ok(None)
    }
}

fn leaf(tensor: &Tensor, requires_grad: bool) -> Result<Tensor> {
    Ok(tensor.f_detach()?.f_set_requires_grad(requires_grad)?)
}

/// Σ y·g: its gradient in y is g.
fn carrier(y: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    Ok(y.f_mul(&gradient.f_detach()?)?.f_sum(at_least_float32(y.kind()))?)
}

impl Dit {
    /// Like [`Dit::forward_from`], for a loss whose gradients are wanted: call `backward` on a function
    /// of [`Recomputed::velocity`], then [`Recomputed::backward`]. Nothing that `latent` depends on
    /// may have gone backward in between. What makes an image's tokens gets no gradient.
    ///
    /// # Errors
    /// As [`Dit::forward_from`].
    pub fn recomputed<'a>(
        &'a self,
        latent: &Tensor,
        timesteps: &[f64],
        prompt: &Prompt,
        image: Option<&ImagePrompt>,
        rope: &'a Rope,
        watch: &dyn Watch,
    ) -> Result<Recomputed<'a>> {
        let joined = self.joined(latent, image)?;
        let image = image.map(|image| image.tokens().f_detach()).transpose()?;
        let Embedded { x, time, projected } = self.embed(&joined, timesteps)?;
        let entry = Joint::new(x)?;
        let (time, projected) = (Joint::new(time)?, Joint::new(projected)?);
        let text = Joint::new(prompt.embedded.shallow_clone())?;
        // The blocks work in the memory that they are given.
        let mut x = entry.leaf.f_detach_copy()?;
        let blocks = self.blocks.len() as i64;
        // One piece of memory: many, kept among larger ones that come and go, would hold those from
        // being used again.
        let size: Vec<i64> = [blocks].into_iter().chain(x.size()).collect();
        let inputs = Tensor::f_empty(&size[..], (x.kind(), x.device()))?;
        for index in 0..self.blocks.len() {
            check(watch, Stage::Sample)?;
            {
                let _guard = tch::no_grad_guard();
                inputs.f_get(index as i64)?.f_copy_(&x)?;
            }
            // With gradients, though nothing of them is kept: without, a block works in place and
            // rounds otherwise, and the pass backward would not be that of this pass.
            self.blocks.with(index, &mut |block| {
                let keys = block.text_keys(&text.leaf)?;
                let of_image = image.as_ref().map(|tokens| block.image_keys(tokens)).transpose()?;
                block.forward(&mut x, &projected.leaf, rope, &keys, of_image.as_ref())
            })?;
            x = x.f_detach()?;
        }
        let last = leaf(&x, true)?;
        let velocity = unpatchify(&self.project(&last, &time.leaf)?, &latent.size())?;
        Ok(Recomputed {
            dit: self,
            rope,
            inputs,
            entry,
            time,
            projected,
            text,
            image,
            last,
            velocity,
        })
    }
}

impl Recomputed<'_> {
    /// What [`Dit::forward`] gives: `[b, 16, frames, height, width]`, float32.
    pub fn velocity(&self) -> &Tensor {
        &self.velocity
    }

    /// Brings the gradient that has reached [`Recomputed::velocity`] to every parameter, to the
    /// latent and to the prompt.
    ///
    /// # Errors
    /// As [`Dit::forward`].
    pub fn backward(self, watch: &dyn Watch) -> Result<()> {
        let mut gradient = self.last.f_grad()?;
        for index in (0..self.dit.blocks.len()).rev() {
            if !gradient.defined() {
                break;
            }
            check(watch, Stage::Sample)?;
            let wanted = index > 0 || self.entry.outer.requires_grad();
            let x = leaf(&self.inputs.f_get(index as i64)?, wanted)?;
            self.dit.blocks.with(index, &mut |block| {
                let keys = block.text_keys(&self.text.leaf)?;
                let image = self.image.as_ref();
                let of_image = image.map(|tokens| block.image_keys(tokens)).transpose()?;
                let mut y = x.shallow_clone();
                let time = &self.projected.leaf;
                block.forward(&mut y, time, self.rope, &keys, of_image.as_ref())?;
                if y.requires_grad() {
                    carrier(&y, &gradient)?.f_backward()?;
                }
                Ok(())
            })?;
            gradient = x.f_grad()?;
        }
        let mut total: Option<Tensor> = None;
        let mut add = |term: Tensor| -> Result<()> {
            total = Some(match total.take() {
                Some(sum) => sum.f_add(&term)?,
                None => term,
            });
            Ok(())
        };
        if self.entry.outer.requires_grad() && gradient.defined() {
            add(carrier(&self.entry.outer, &gradient)?)?;
        }
        for joint in [&self.time, &self.projected, &self.text] {
            if let Some(term) = joint.carried()? {
                add(term)?;
            }
        }
        match total {
            Some(total) => Ok(total.f_backward()?),
            None => Ok(()),
        }
    }
}
