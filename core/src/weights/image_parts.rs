//! The parts that only an image-to-video model has, and whether all parts are of one kind.
//!
//! How others join such a model's parts is not known yet: what is not understood is refused with the list
//! of its keys, and never left alone.

use std::path::Path;
use std::sync::Arc;

use wan_alpha_take::counted::{counted, verb};

use super::adapter::{Adapter, AdapterKind};
use super::candidate::Candidate;
use super::clip_names::is_of_text;
use super::encoder_files::EncoderFiles;
use super::image_names::is_image_to_video;
use super::network::Network;
use super::set::TensorSet;
use super::single_candidate::single;
use crate::{Error, Result, Watch};

/// How many keys an error lists.
const LISTED: usize = 12;

/// The image encoder of an image-to-video transformer, or nothing where it is added to `missing`.
pub(super) fn image_encoder(
    dit: &TensorSet,
    candidates: Vec<Candidate>,
    missing: &mut Vec<&str>,
) -> Result<Option<Arc<TensorSet>>> {
    if !is_image_to_video(dit) {
        return Ok(None);
    }
    let Some(found) = single("image encoder", candidates)? else {
        missing.push("image encoder (models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth)");
        return Ok(None);
    };
    let set = TensorSet::new(found.files, Network::Clip)?;
    let keys = set.foreign().iter().filter(|(_, key)| !is_of_text(key));
    refuse_unknown(keys.map(|(path, key)| (path.as_path(), key.as_str())), "the image encoder")?;
    Ok(Some(Arc::new(set)))
}

/// Whether nothing in a model is left over, and its parts are for images, where it is an image-to-video
/// one.
pub(super) fn check(
    dit: &TensorSet,
    adapters: &[Adapter],
    encoder: Option<&EncoderFiles>,
    watch: &dyn Watch,
) -> Result<()> {
    if !is_image_to_video(dit) {
        return Ok(());
    }
    let keys = dit.foreign().iter().map(|(path, key)| (path.as_path(), key.as_str()));
    refuse_unknown(keys, "an image-to-video transformer")?;
    for adapter in adapters {
        let keys = adapter.unmatched().iter().map(|key| (adapter.path(), key.as_str()));
        refuse_unknown(keys, "an adapter of an image-to-video transformer")?;
        if adapter.kind() == AdapterKind::Dora {
            warn_of_text(adapter, watch);
        }
    }
    encoder.map_or(Ok(()), EncoderFiles::check)
}

/// A DoRA for text fits by shape, as none touches what is for images; only its name may tell.
fn warn_of_text(adapter: &Adapter, watch: &dyn Watch) {
    let name = adapter.path().file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.contains("t2v") {
        watch.warn(&format!(
            "{}: by its name this is a DoRA of a text-to-video transformer, and the transformer is an \
             image-to-video one, whose weights have other lengths: the take may look wrong",
            adapter.path().display()
        ));
    }
}

fn refuse_unknown<'a>(keys: impl Iterator<Item = (&'a Path, &'a str)>, what: &str) -> Result<()> {
    let keys: Vec<_> = keys.collect();
    let Some((path, _)) = keys.first() else { return Ok(()) };
    let listed: Vec<_> = keys.iter().take(LISTED).map(|(_, key)| format!("`{key}`")).collect();
    let more = match keys.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::file(
        path,
        format!(
            "{} {} not understood as {what}: {}{more}; what {} to an image is not known, so that the model \
             is refused",
            counted(keys.len(), "key"),
            verb(keys.len(), "is", "are"),
            listed.join(", "),
            verb(keys.len(), "it does", "they do")
        ),
    ))
}
