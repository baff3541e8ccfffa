//! Versions of CUDA, and the least that a card must be capable of.

use std::fmt;

/// Below this libtorch has no fused attention in bfloat16: one product of queries and keys of a
/// take of 832×480×81 would need 80 GB.
pub(super) const LEAST_CAPABILITY: (u32, u32) = (8, 0);

/// A version of CUDA, as drivers and runtimes tell theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion {
    /// The first number: 13 of 13.0.
    pub major: u32,
    /// The second number: 0 of 13.0.
    pub minor: u32,
}

impl CudaVersion {
    /// As the runtime counts: 1000·major + 10·minor.
    pub(super) fn from_number(number: i32) -> Self {
        let number = number.unsigned_abs();
        Self { major: number / 1000, minor: number % 1000 / 10 }
    }

    /// The first driver on Linux that speaks it, as NVIDIA's release notes of CUDA give it (table
    /// "CUDA Toolkit and Minimum Required Driver Version for CUDA Minor Version Compatibility").
    pub(super) fn least_driver(self) -> &'static str {
        match self.major {
            0..=11 => "450.80.02",
            12 => "525.60.13",
            _ => "580",
        }
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_cuda_numbers_them() {
        let version = CudaVersion::from_number(12_040);
        assert_eq!((version.to_string().as_str(), version.major), ("12.4", 12));
        assert_eq!(CudaVersion::from_number(13_000).least_driver(), "580");
    }
}
