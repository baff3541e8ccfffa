//! What a model's latents look like before they are decoded, fitted for its record to drawn clips.

use anyhow::Result;
use wan_alpha_core::device::Device;
use wan_alpha_core::preview::{self, CLIP, LatentSource};
use wan_alpha_core::weights::{Decoders, EncoderFiles};
use wan_alpha_core::{Error, ErrorKind, Watch};
use wan_alpha_take::models::LatentPreview;

use crate::data::Window;
use crate::data::procedural::{DrawnClip, DrawnSet, DrawnStream, Edition};

/// The clips that maps are fitted to. Another seed is another map.
const CLIPS: DrawnSet =
    DrawnSet { edition: Edition::Second, seed: 0, stream: DrawnStream::HeldOut };

/// The map of these decoders; where it cannot be fitted that is said, and the model does without.
///
/// # Errors
/// `watch` cancels.
pub(super) fn fitted(
    autoencoder: (&Decoders, Option<&EncoderFiles>),
    device: Device,
    watch: &dyn Watch,
) -> Result<Option<LatentPreview>> {
    match fit(autoencoder, device, watch) {
        Ok(map) => Ok(Some(map)),
        Err(error) if error.kind() == ErrorKind::Cancelled => Err(error.into()),
        Err(error) => {
            watch.warn(&format!("takes of it can not be previewed: {error}"));
            Ok(None)
        }
    }
}

/// The map of these decoders, fitted to drawn clips where the model can encode; else to noise, which is said.
///
/// # Errors
/// As [`preview::fit`].
pub(crate) fn fit(
    (decoders, encoder): (&Decoders, Option<&EncoderFiles>),
    device: Device,
    watch: &dyn Watch,
) -> Result<LatentPreview, Error> {
    let draw = |number: usize| {
        let window = Window { frames: CLIP.frames, height: CLIP.height, width: CLIP.width };
        DrawnClip::draw(&CLIPS, number as u64, &window).frames.rgba
    };
    let source = match encoder {
        Some(files) => LatentSource::Clips(files, &draw),
        None => {
            watch.warn(
                "previews of its takes will be rough: without a merge block no clip can be encoded to fit \
                 them to",
            );
            LatentSource::Noise
        }
    };
    preview::fit(decoders, &source, device, watch)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wan_alpha_core::Unwatched;
    use wan_alpha_core::weights::{ModelFiles, Strengths};
    use wan_alpha_take::models::Manifest;

    use super::*;

    #[test]
    fn the_record_of_the_draft_model_holds_the_map_of_its_decoders() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("resources/draft-model");
        let files =
            ModelFiles::find(std::slice::from_ref(&folder), Strengths::default(), &Unwatched)
                .unwrap();
        let encoder = files.encoder.as_ref();
        assert!(encoder.is_some(), "the draft model can encode");
        let map = fit((&files.decoders, encoder), Device::cpu(), &Unwatched).unwrap();
        eprintln!("{}", serde_json::to_string(&map).unwrap());
        let [color, alpha] = map.off_by.map(|part| part * 255.0);
        assert!(color < 30.0 && alpha < 30.0, "off by {color:.1} and {alpha:.1} of 255");
        let record = std::fs::read(folder.join("wan-alpha.json")).unwrap();
        let record: Manifest = serde_json::from_slice(&record).unwrap();
        let kept = record.preview.unwrap();
        // Other processors round otherwise, and it was fitted to clips in 8 bits.
        for (kept, fitted) in kept.rows.iter().flatten().zip(map.rows.iter().flatten()) {
            assert!((kept - fitted).abs() < 4e-3, "{kept} is recorded, {fitted} is fitted");
        }
    }
}
