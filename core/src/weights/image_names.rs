//! What only an image-to-video transformer has, by original names; and adapters made for the other kind.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
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

/// The first tensor that tells an adapter, which changes these, as one of an image-to-video transformer:
/// it makes tokens of an image, or in every block that it has attend to something else it has attend to an
/// image. A stray key is none of that.
fn of_images<'a>(changed: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if let Some(name) = changed.clone().find(|name| name.starts_with(IMAGE_EMBEDDING)) {
        return Some(name);
    }
    let block = |name: &'a str| name.split_once(".cross_attn.").map(|(block, _)| block);
    let mut of_image = changed.clone().filter(|name| is_of_image(name));
    let seeing: BTreeSet<_> = of_image.clone().filter_map(block).collect();
    let attending: BTreeSet<_> = changed.filter_map(block).collect();
    of_image.next().filter(|_| seeing == attending)
}

/// Refuses an adapter that changes tensors by these names where it is of the other kind of transformer
/// than `base`: by what it changes, since most of the shapes are equal. `distills` says that it is of step
/// distillation, which changes all that attends.
pub(super) fn refuse_other_kind<'a>(
    path: &Path,
    mut changed: impl Iterator<Item = &'a str> + Clone,
    distills: bool,
    base: &TensorSet,
) -> Result<()> {
    if !is_image_to_video(base) {
        return match of_images(changed) {
            None => Ok(()),
            Some(name) => Err(Error::file(
                path,
                format!(
                    "is an adapter of an image-to-video transformer: it changes `{name}`, which is for an \
                     image as all of `k_img`, `v_img` and `img_emb` are, and the transformer is a \
                     text-to-video one; use the adapter made for that"
                ),
            )),
        };
    }
    let attends = changed.clone().any(|name| name.contains(".cross_attn."));
    if distills && attends && !changed.any(is_of_image) {
        return Err(Error::file(
            path,
            "is a LoRA of a text-to-video transformer: it changes what attends to the text, but nothing \
             that attends to an image (`k_img`, `v_img`, `img_emb`), and the transformer is an \
             image-to-video one; use the LoRA made for that",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_of_images_by_all_of_its_keys_and_not_by_a_stray_one() {
        let of = |names: &[&'static str]| of_images(names.iter().copied());
        let [text, next] = ["blocks.0.cross_attn.k.weight", "blocks.1.cross_attn.k.weight"];
        let image = "blocks.0.cross_attn.k_img.weight";
        assert_eq!(of(&[text, image]), Some(image));
        assert_eq!(of(&[image]), Some(image));
        assert_eq!(of(&[text, image, next]), None);
        assert_eq!(of(&[text, next]), None);
        let tokens = "img_emb.proj.1.weight";
        assert_eq!(of(&[text, next, tokens]), Some(tokens));
    }

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
