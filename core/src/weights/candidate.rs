//! A part of a model that was found among files, before it is known to be the only one.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::adapter_keys::{FileKind, recognize};
use super::file::TensorFile;

/// One or several files that together are one part.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) files: Vec<Arc<TensorFile>>,
}

impl Candidate {
    pub(super) fn path(&self) -> PathBuf {
        self.files.first().map(|file| file.path().to_owned()).unwrap_or_default()
    }

    /// The `config.json` beside the files.
    pub(super) fn config(&self) -> Option<PathBuf> {
        let config = self.path().parent()?.join("config.json");
        config.is_file().then_some(config)
    }

    /// Every tensor's name in the files.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| file.names())
    }

    /// Whether it has decoder LoRAs, whatever else it has.
    pub(super) fn has_decoders(&self) -> bool {
        let keys: Vec<&str> = self.keys().collect();
        recognize(&keys) == Some(FileKind::Decoders)
    }

    /// What the file's name says of a complete autoencoder: nothing else tells the two apart. In the
    /// layout of Diffusers all files have one name, and the folder's says it.
    pub(super) fn channel(&self) -> Channel {
        let path = self.path();
        let lower =
            |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().to_lowercase();
        let file = lower(path.file_name());
        let folder = lower(path.parent().and_then(Path::file_name));
        let name = if file.starts_with("diffusion_pytorch_model") { folder } else { file };
        // The product's own name says nothing.
        let name =
            ["wan_alpha", "wan-alpha", "wanalpha"].iter().fold(name, |n, own| n.replace(own, ""));
        if name.contains("rgb") || name.contains("fgr") {
            Channel::Color
        } else if name.contains("pha") {
            Channel::Alpha
        } else {
            Channel::Base
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Base,
    Color,
    Alpha,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_complete_autoencoder_says_its_channel_in_its_name() {
        let channel = |name: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
            Candidate { files: vec![Arc::new(TensorFile::open(&path).unwrap())] }.channel()
        };
        assert!(channel("wan_alpha_2.1_vae_rgb_channel.safetensors.safetensors") == Channel::Color);
        assert!(channel("wan_alpha_2.1_vae_alpha_channel.safetensors") == Channel::Alpha);
        assert!(channel("Wan-Alpha-vae_pha.safetensors") == Channel::Alpha);
        assert!(channel("Wan2.1_VAE.safetensors") == Channel::Base);
        assert!(channel("vae_rgb/diffusion_pytorch_model.safetensors") == Channel::Color);
        assert!(channel("vae_alpha/diffusion_pytorch_model.safetensors") == Channel::Alpha);
        assert!(channel("vae/diffusion_pytorch_model.safetensors") == Channel::Base);
        assert!(channel("rgb/Wan2.1_VAE.safetensors") == Channel::Base);
    }
}
