//! In the place of `vector`, for processors that it is not written for.

#![forbid(unsafe_code)]

use half::f16;

use super::pixel::{AlphaMode, Pixel};
use super::taps::TapPair;
use super::transfer::LinearTable;

pub(super) use NoVectors as Vectors;

/// What this processor can do: nothing, so that nobody has one.
#[derive(Clone, Copy, Debug)]
pub(super) enum NoVectors {}

impl NoVectors {
    pub(super) fn here() -> Option<Self> {
        None
    }

    pub(super) fn read_display(self, _: &[[f16; 4]], _: AlphaMode, _: &mut [Pixel]) {
        match self {}
    }

    pub(super) fn read_linear(
        self,
        _: &[[f16; 4]],
        _: &LinearTable,
        _: AlphaMode,
        _: &mut [Pixel],
    ) -> f16 {
        match self {}
    }

    pub(super) fn mix_rows(self, _: &mut [Pixel], _: [&[Pixel]; 2], _: f32, _: f32) {
        match self {}
    }

    pub(super) fn mix_columns(self, _: &mut [Pixel], _: &[Pixel], _: &[TapPair]) {
        match self {}
    }
}
