//! The parts that turn an RGBA clip into a latent.

use std::path::PathBuf;
use std::sync::Arc;

use super::candidate::{Candidate, Channel};
use super::decoder_files::Decoders;
use super::discover::Found;
use super::network::Network;
use super::set::TensorSet;
use super::single_candidate::{incomplete, single};
use crate::{Error, Result};

/// A base autoencoder and the merge block that was trained beside it.
#[derive(Debug)]
pub struct EncoderFiles {
    /// Holds `encoder.*`. LoRAs change decoders only, so that of a complete color autoencoder
    /// will do.
    pub base: Arc<TensorSet>,
    /// The merge block, `middle.block.*`.
    pub merge: Arc<TensorSet>,
}

/// A tensor that an autoencoder with an encoder has.
const FIRST: &str = "encoder.conv1.weight";

/// The parts as they are missed.
const AUTOENCODER: &str = "autoencoder with an encoder (Wan2.1_VAE.pth)";
const MERGE_BLOCK: &str = "merge block (Wan-Alpha-v2-VAE.bin)";

impl EncoderFiles {
    /// Recognizes the parts among `paths`, whatever else is there. Reads headers only.
    ///
    /// # Errors
    /// One is missing ([`crate::Error::Incomplete`]), or has two candidates.
    pub fn find(paths: &[PathBuf]) -> Result<Self> {
        let Found { vaes, merges, passed_over, .. } = Found::among(paths)?;
        let mut missing = Vec::new();
        let (base, others): (Vec<_>, Vec<_>) =
            vaes.into_iter().partition(|vae| vae.channel() == Channel::Base);
        let base = match single("autoencoder", base)? {
            Some(base) => Some(base),
            None => {
                let color = others.into_iter().filter(|vae| vae.channel() == Channel::Color);
                single("color autoencoder", color.collect())?
            }
        };
        let base = base.map(|vae| TensorSet::new(vae.files, Network::Vae)).transpose()?;
        let base = base.filter(|set| set.contains(FIRST));
        if base.is_none() {
            missing.push(AUTOENCODER);
        }
        let merge = single("merge block", merges)?;
        if merge.is_none() {
            missing.push(MERGE_BLOCK);
        }
        let (Some(base), Some(merge)) = (base, merge) else {
            return Err(incomplete(&missing, paths, passed_over));
        };
        let merge = TensorSet::new(merge.files, Network::Merge)?;
        let files = Self { base: Arc::new(base), merge: Arc::new(merge) };
        files.check()?;
        Ok(files)
    }

    /// Whether the two belong together, as far as their widths show.
    ///
    /// # Errors
    /// They do not.
    pub fn check(&self) -> Result<()> {
        let width = self.base.shape("encoder.middle.2.residual.6.weight")?;
        let width = width.first().copied().unwrap_or(0);
        let (entry, path, name) = self.merge.find("middle.block.conv1.weight")?;
        let expected = [width, 2 * width, 1, 1, 1];
        if entry.shape == expected {
            return Ok(());
        }
        Err(Error::Tensor {
            path: path.to_owned(),
            name: name.to_owned(),
            expected: format!("{expected:?}, twice what the encoder gives"),
            found: format!("{:?}; it was trained beside another autoencoder", entry.shape),
        })
    }

    /// What a model that decodes can encode with; what is missing of it is added to `missing`.
    pub(super) fn beside(
        decoders: &Decoders,
        merges: Vec<Candidate>,
        missing: &mut Vec<&str>,
    ) -> Result<Option<Self>> {
        let (Decoders::Adapted { base, .. } | Decoders::Complete { color: base, .. }) = decoders;
        let merge = single("merge block", merges)?;
        let Some(merge) = merge.filter(|_| base.contains(FIRST)) else {
            missing.push(if base.contains(FIRST) { MERGE_BLOCK } else { AUTOENCODER });
            return Ok(None);
        };
        let merge = Arc::new(TensorSet::new(merge.files, Network::Merge)?);
        Ok(Some(Self { base: Arc::clone(base), merge }))
    }
}
