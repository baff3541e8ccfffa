//! Where the subject of a take goes. Whatever it comes from, it is one thing to the model: a map for each
//! latent frame, 1 where the subject is, outside of which the mean of the noise is raised.
//!
//! There are three kinds of it, and a new one is a variant here and nothing else anywhere: what it is in a
//! request ([`Guide::ellipses`], [`Guide::mask`]), on the latent grid ([`Guide::on_grid`]), and in words
//! ([`Guide::kind`]).

use crate::digest::ContentHash;
use crate::ellipse::Ellipse;
use crate::mask::Mask;
use crate::request::{MaskSource, TakeRequest};
use crate::warning::Warning;

/// Where the subject of a take goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Guide {
    /// An ellipse for each latent frame, drawn or keyed.
    Ellipses(Vec<Ellipse>),
    /// A painted map for each latent frame; it is resampled to the latent grid.
    Map(Mask),
    /// The ellipse of what is to be seen of the image that the take begins with, held for so many latent
    /// frames: of those that follow nothing is known.
    ImageAlpha {
        /// That of the image, in the size of the take.
        ellipse: Ellipse,
        /// For how long it is held.
        latent_frames: usize,
    },
}

impl Guide {
    /// What it is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ellipses(_) => "an ellipse",
            Self::Map(_) => "a painted map",
            Self::ImageAlpha { .. } => "the alpha of the image",
        }
    }

    /// For how many latent frames it says where the subject is.
    #[must_use]
    pub fn latent_frames(&self) -> usize {
        match self {
            Self::Ellipses(ellipses) => ellipses.len(),
            Self::Map(map) => map.shape()[0],
            Self::ImageAlpha { latent_frames, .. } => *latent_frames,
        }
    }

    /// What a request holds of it: one ellipse for each latent frame; where a map stands in for it, the
    /// default.
    #[must_use]
    pub fn ellipses(&self) -> Vec<Ellipse> {
        match self {
            Self::Ellipses(ellipses) => ellipses.clone(),
            Self::Map(map) => vec![Ellipse::default(); map.shape()[0]],
            Self::ImageAlpha { ellipse, latent_frames } => vec![*ellipse; *latent_frames],
        }
    }

    /// The map that a request refers to and does not hold.
    #[must_use]
    pub fn mask(&self) -> Option<&Mask> {
        match self {
            Self::Map(map) => Some(map),
            Self::Ellipses(_) | Self::ImageAlpha { .. } => None,
        }
    }

    /// What a request holds of that map.
    #[must_use]
    pub fn mask_source(&self) -> Option<MaskSource> {
        self.mask().map(MaskSource::of)
    }

    /// What the model is given, as many values across and down as the latent has: the Gaussians of the
    /// ellipses, or the map as it was painted, in its own size.
    #[must_use]
    pub fn on_grid(&self, width: usize, height: usize) -> Mask {
        match self {
            Self::Map(map) => map.clone(),
            Self::Ellipses(_) | Self::ImageAlpha { .. } => {
                Mask::gaussian(&self.ellipses(), width, height)
            }
        }
    }

    /// What is to be known of it in the take of this request.
    #[must_use]
    pub fn warnings(&self, request: &TakeRequest) -> Vec<Warning> {
        self.mask().and_then(|map| request.mask_warning(map)).into_iter().collect()
    }
}

impl MaskSource {
    /// What tells a mask from every other: its sizes and the BLAKE3 of its values.
    #[must_use]
    pub fn of(mask: &Mask) -> Self {
        let mut hasher = blake3::Hasher::new();
        for value in mask.values() {
            hasher.update(&value.to_le_bytes());
        }
        let shape = mask.shape().map(|axis| u32::try_from(axis).unwrap_or(u32::MAX));
        Self { shape, blake3: ContentHash(*hasher.finalize().as_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_kinds_are_one_thing_to_the_model() {
        let ellipse = Ellipse { x: 0.25, a: 0.4, ..Ellipse::default() };
        let drawn = Guide::Ellipses(vec![ellipse; 3]);
        let of_image = Guide::ImageAlpha { ellipse, latent_frames: 3 };
        let painted = Guide::Map(Mask::gaussian(&[ellipse; 3], 20, 12));
        let guides = [&drawn, &of_image, &painted];
        for guide in guides {
            assert_eq!(guide.latent_frames(), 3, "{}", guide.kind());
            assert_eq!(guide.on_grid(20, 12).values(), drawn.on_grid(20, 12).values());
        }
        assert_eq!(drawn.ellipses(), of_image.ellipses());
        assert_eq!(painted.ellipses(), [Ellipse::default(); 3]);
        assert!(drawn.mask_source().is_none() && of_image.mask().is_none());
        let source = painted.mask_source().unwrap();
        assert_eq!(source.shape, [3, 12, 20]);
        assert_ne!(source, MaskSource::of(&Mask::gaussian(&[Ellipse::default(); 3], 20, 12)));
        let mut kinds: Vec<_> = guides.iter().map(|guide| guide.kind()).collect();
        kinds.dedup();
        assert_eq!(kinds.len(), 3);
    }
}
