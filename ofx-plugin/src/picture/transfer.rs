//! From the display-referred values of a take to those that the host works in.

#![forbid(unsafe_code)]

use std::sync::OnceLock;

use half::f16;
use wan_alpha_take::color::{to_display, to_linear_mirrored as to_linear};

/// The color space of the values that the host works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Display-referred, as takes are: sRGB.
    AsGenerated,
    /// Scene-linear with the primaries of Rec.709.
    LinearRec709,
    /// Scene-linear with the primaries AP1 of ACES.
    AcesCg,
}

/// How the names of hosts begin whose pictures are scene-linear; others show what they are given.
const LINEAR_HOSTS: [&str; 2] = ["uk.co.thefoundry.", "fr.inria.Natron"];

/// Rec.709 (white D65) to AP1 (white of ACES, close to D60), adapted after Bradford: the product
/// XYZ→AP1 · Bradford · Rec.709→XYZ of the chromaticities in ITU-R BT.709-6 §3 and in SMPTE ST
/// 2065-1 and AMPAS S-2014-004, rounded. White stays white. A test works it out anew.
const REC709_TO_AP1: [[f32; 3]; 3] = [
    [0.613_097_4, 0.339_523_15, 0.047_379_45],
    [0.070_193_72, 0.916_353_9, 0.013_452_4],
    [0.020_615_593, 0.109_569_77, 0.869_814_6],
];

/// The way back: the inverse of [`REC709_TO_AP1`], rounded; a test goes there and back.
const AP1_TO_REC709: [[f32; 3]; 3] = [
    [1.705_051, -0.621_792_1, -0.083_258_87],
    [-0.130_256_4, 1.140_804_7, -0.010_548_322],
    [-0.024_003_36, -0.128_968_97, 1.152_972_4],
];

impl Transfer {
    /// What a host of this name works in, unless the artist says otherwise.
    pub(crate) fn of_host(name: &str) -> Self {
        let is_linear = LINEAR_HOSTS.iter().any(|linear| name.starts_with(linear));
        if is_linear { Self::LinearRec709 } else { Self::AsGenerated }
    }

    /// A straight color of display-referred values, in this space.
    pub(super) fn of_display(self, rgb: [f32; 3]) -> [f32; 3] {
        match self {
            Self::AsGenerated => rgb,
            Self::LinearRec709 => rgb.map(to_linear),
            Self::AcesCg => to_ap1(rgb.map(to_linear)),
        }
    }

    /// A straight color of this space, as display-referred values; not bounded.
    pub(super) fn to_display(self, rgb: [f32; 3]) -> [f32; 3] {
        match self {
            Self::AsGenerated => rgb,
            Self::LinearRec709 => rgb.map(to_display),
            Self::AcesCg => product(&AP1_TO_REC709, rgb).map(to_display),
        }
    }
}

#[inline]
pub(super) fn to_ap1(rgb: [f32; 3]) -> [f32; 3] {
    product(&REC709_TO_AP1, rgb)
}

#[inline]
fn product(matrix: &[[f32; 3]; 3], [r, g, b]: [f32; 3]) -> [f32; 3] {
    matrix.map(|[of_r, of_g, of_b]| of_r * r + of_g * g + of_b * b)
}

/// The bits of half-float 1: every value of a sound take is at most this, and as bits the positive
/// ones lie in order.
const ONE: usize = 0x3C00;

/// As many as the bits below those of 2 can be: with others masked away nothing is beyond the table.
pub(super) const SLOTS: usize = 0x4000;

/// Linear light for the bits of every half-float from 0 to 1, and of some beyond.
#[derive(Debug)]
pub(super) struct LinearTable([f32; SLOTS]);

impl LinearTable {
    /// Made once. It lies in the library itself, not in memory that unloading would leave behind.
    pub(super) fn get() -> &'static Self {
        static TABLE: OnceLock<LinearTable> = OnceLock::new();
        TABLE.get_or_init(|| {
            #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 65536")]
            Self(std::array::from_fn(|bits| to_linear(f16::from_bits(bits as u16).to_f32())))
        })
    }

    /// Linear light by the bits of a half-float.
    pub(super) fn slots(&self) -> &[f32; SLOTS] {
        &self.0
    }

    /// Whether a value lies between 0 and 1.
    #[inline]
    pub(super) fn has(&self, display: f16) -> bool {
        usize::from(display.to_bits()) <= ONE
    }

    /// Of a value that lies between 0 and 1.
    #[inline]
    pub(super) fn known(&self, display: f16) -> f32 {
        self.0[usize::from(display.to_bits()) & (SLOTS - 1)]
    }

    /// What is not a finite number counts as 0.
    #[inline]
    pub(super) fn linear(&self, display: f16) -> f32 {
        if self.has(display) { self.known(display) } else { beyond(display) }
    }
}

#[cold]
fn beyond(display: f16) -> f32 {
    if display.is_finite() { to_linear(display.to_f32()) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_the_inverse() {
        for transfer in [Transfer::AsGenerated, Transfer::LinearRec709, Transfer::AcesCg] {
            for color in [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.9, 0.02, 0.4], [0.0, 1.0, 0.0]] {
                let found = transfer.to_display(transfer.of_display(color));
                for (found, expected) in found.into_iter().zip(color) {
                    assert!((found - expected).abs() < 2e-5, "{transfer:?} {color:?} {found}");
                }
            }
        }
    }
}
