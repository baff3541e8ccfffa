//! What only an image-to-video transformer has, by original names; and adapters made for the other kind.

#![forbid(unsafe_code)]

use std::path::Path;

use super::set::TensorSet;
use crate::{Error, Result};

/// What only an image-to-video transformer has.
const IMAGE_EMBEDDING: &str = "img_emb.";

/// Whether a transformer's tensor is for an image: the tokens of one, or what attends to them.
pub(super) fn is_of_image(name: &str) -> bool {
    let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
    let last = module.rsplit('.').next().unwrap_or(module);
    name.starts_with(IMAGE_EMBEDDING) || matches!(last, "k_img" | "v_img" | "norm_k_img")
}

/// Whether a transformer's takes begin with an image.
pub(super) fn is_image_to_video(dit: &TensorSet) -> bool {
    dit.names().any(|name| name.starts_with(IMAGE_EMBEDDING))
}

/// Refuses an adapter that changes tensors by these names where it is of the other kind of transformer
/// than `base`: by what it changes, since most of the shapes are equal. `distills` says that it is of step
/// distillation, which changes all that attends.
pub(super) fn refuse_other_kind<'a>(
    path: &Path,
    changed: impl Iterator<Item = &'a str> + Clone,
    distills: bool,
    base: &TensorSet,
) -> Result<()> {
    let of_image = changed.clone().find(|name| is_of_image(name));
    let attends = changed.clone().any(|name| name.contains(".cross_attn."));
    match (of_image, is_image_to_video(base)) {
        (Some(name), false) => Err(Error::file(
            path,
            format!(
                "is an adapter of an image-to-video transformer: it changes `{name}`, and the \
                 transformer is a text-to-video one; use the adapter made for that"
            ),
        )),
        (None, true) if distills && attends => Err(Error::file(
            path,
            "is a LoRA of a text-to-video transformer: it changes what attends to the text, but nothing \
             that attends to an image (`k_img`, `v_img`, `img_emb`), and the transformer is an \
             image-to-video one; use the LoRA made for that",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_an_image_is_told_by_its_name() {
        for name in [
            "img_emb.proj.0.weight",
            "img_emb.emb_pos",
            "blocks.3.cross_attn.k_img.bias",
            "blocks.3.cross_attn.norm_k_img.weight",
        ] {
            assert!(is_of_image(name), "{name}");
        }
        for name in
            ["patch_embedding.weight", "blocks.3.cross_attn.norm_k.weight", "head.modulation"]
        {
            assert!(!is_of_image(name), "{name}");
        }
    }
}
