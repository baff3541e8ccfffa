//! Which of libtorch's kernels computes attention.

use std::fmt;

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// Above so many tokens attention in memory quadratic in them is refused on a GPU.
const MOST_QUADRATIC: i64 = 4096;

/// A kernel of libtorch for attention. All compute the same but for rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionKernel {
    /// Products of whole matrices: memory quadratic in tokens.
    Math,
    /// FlashAttention, or a processor's kernel of its form.
    Flash,
    /// The memory-efficient kernel of CUTLASS.
    Efficient,
    /// The attention kernel of cuDNN.
    Cudnn,
}

impl fmt::Display for AttentionKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Math => "math",
            Self::Flash => "flash",
            Self::Efficient => "efficient",
            Self::Cudnn => "cudnn",
        })
    }
}

/// What attention is asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelQuery {
    pub(super) tokens: i64,
    pub(super) heads: i64,
    pub(super) head_dim: i64,
    pub(super) kind: Kind,
    pub(super) device: Device,
}

impl KernelQuery {
    /// What libtorch would take, with tensors laid out as a block's.
    ///
    /// # Errors
    /// Memory runs out, or [`Asked::refuse_quadratic`].
    pub(super) fn kernel(self) -> Result<AttentionKernel> {
        let Self { tokens, heads, head_dim, kind, device } = self;
        let x = Tensor::f_empty([1, tokens, heads, head_dim], (kind, device))?.f_transpose(1, 2)?;
        let choice = Tensor::f_internal_fused_sdp_choice(
            &x,
            &x,
            &x,
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        )?;
        let kernel = match choice {
            0 => AttentionKernel::Math,
            1 => AttentionKernel::Flash,
            2 => AttentionKernel::Efficient,
            3 => AttentionKernel::Cudnn,
            other => {
                return Err(Error::Torch {
                    doing: "choosing a kernel for attention".into(),
                    detail: format!("it chose number {other}, which this program does not know"),
                });
            }
        };
        self.refuse_quadratic(kernel)?;
        log::info!("attention over {tokens} tokens: kernel {kernel}");
        Ok(kernel)
    }

    fn refuse_quadratic(self, kernel: AttentionKernel) -> Result<()> {
        let Self { tokens, heads, head_dim, kind, device } = self;
        let Device::Cuda(index) = device else { return Ok(()) };
        if kernel != AttentionKernel::Math || tokens <= MOST_QUADRATIC {
            return Ok(());
        }
        let (name, advice) = match kind {
            Kind::BFloat16 => (
                "bfloat16",
                "bfloat16 needs compute capability 8.0 (RTX 30, A100) or newer: take --dtype f32, \
                 another GPU (--device), or a smaller size or fewer frames",
            ),
            _ => ("float32", "take another GPU (--device), or a smaller size or fewer frames"),
        };
        let gigabytes = (heads * tokens * tokens * 4) as f64 / 1e9;
        Err(Error::Input(format!(
            "cuda:{index} has no fused attention for {name} and heads of {head_dim} channels; over \
             {tokens} tokens the quadratic one would take {gigabytes:.0} GB, and above \
             {MOST_QUADRATIC} it is not tried: {advice}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tokens: i64, kind: Kind, device: Device) -> KernelQuery {
        KernelQuery { tokens, heads: 40, head_dim: 128, kind, device }
    }

    #[test]
    fn a_processor_has_a_fused_kernel() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let asked = KernelQuery { heads: 2, ..asked(100, kind, Device::Cpu) };
            let kernel = asked.kernel().unwrap();
            assert_eq!(kernel.to_string(), "flash");
        }
        // A processor computes what it is asked, however long it takes.
        assert!(
            asked(9000, Kind::Float, Device::Cpu).refuse_quadratic(AttentionKernel::Math).is_ok()
        );
    }

    #[test]
    fn the_quadratic_kernel_is_refused_on_a_gpu_where_it_would_not_fit() {
        let card = Device::Cuda(1);
        let refused = |asked: KernelQuery, kernel| asked.refuse_quadratic(kernel);
        assert!(refused(asked(4096, Kind::BFloat16, card), AttentionKernel::Math).is_ok());
        for kernel in [AttentionKernel::Flash, AttentionKernel::Efficient, AttentionKernel::Cudnn] {
            assert!(refused(asked(32_760, Kind::BFloat16, card), kernel).is_ok());
        }
        let error = refused(asked(32_760, Kind::BFloat16, card), AttentionKernel::Math);
        let text = error.unwrap_err().to_string();
        for part in ["cuda:1", "bfloat16", "32760 tokens", "172 GB", "8.0", "--dtype f32"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let error = refused(asked(5000, Kind::Float, card), AttentionKernel::Math);
        assert!(!error.unwrap_err().to_string().contains("--dtype f32"));
    }
}
