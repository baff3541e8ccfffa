//! Final latents on disk, so that a crash while decoding costs the decoding alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error_text::in_words;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{self, Kind, Tensor};
use wan_alpha_core::weights::TensorFile;
use wan_alpha_take::{TakeKey, TakeRequest, Warning};

/// A latent nobody came back for.
const ABANDONED: Duration = Duration::from_secs(7 * 24 * 3600);

const TENSOR: &str = "latent";

/// How a latent was made, kept beside it: its bytes as a tensor of this name.
const MADE: &str = "made";

/// What a latent was made on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    /// The class of the device.
    pub(super) device: String,
    /// How attention was computed.
    pub(super) attention: Option<String>,
    /// What was warned of while it was made.
    #[serde(default)]
    pub(super) warnings: Vec<Warning>,
}

/// A folder of latents, named by the keys of their takes.
pub(super) struct Latents {
    opened: Device,
    folder: PathBuf,
}

impl Latents {
    pub(super) fn in_folder(opened: Device, folder: PathBuf) -> Self {
        Self { opened, folder }
    }

    /// The latent of a take, if it is there and whole.
    pub(super) fn recall(&self, key: &TakeKey, request: &TakeRequest) -> Option<(Tensor, Made)> {
        let path = self.path(key);
        if !path.is_file() {
            return None;
        }
        match read(self.opened, &path, request) {
            Ok(latent) => Some(latent),
            Err(error) => {
                log::warn!("the latent {} is not used: {}", path.display(), in_words(&error));
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a latent until its take is published.
    pub(super) fn keep(&self, key: &TakeKey, latent: &Tensor, made: &Made) -> Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder)?;
        self.tidy();
        let file = NamedTempFile::new_in(&self.folder)?;
        let latent = latent.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
        let made = self.opened.tensor(&serde_json::to_vec(made)?)?;
        Tensor::write_safetensors(&[(TENSOR, latent), (MADE, made)], file.path())?;
        file.as_file().sync_all()?;
        file.persist(self.path(key)).context("cannot name the latent")?;
        Ok(())
    }

    pub(super) fn forget(&self, key: &TakeKey) {
        let _ = fs::remove_file(self.path(key));
    }

    fn path(&self, key: &TakeKey) -> PathBuf {
        self.folder.join(format!("{key}.safetensors"))
    }

    /// Removes what nobody came back for.
    fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|about| about.modified());
            let age = age.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
            if age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn read(opened: Device, path: &Path, request: &TakeRequest) -> Result<(Tensor, Made)> {
    let file = TensorFile::open(path)?;
    let latent = file.read(opened, TENSOR)?;
    let (width, height) = request.latent_size();
    let expected = [16, request.latent_frames() as i64, height as i64, width as i64];
    ensure!(latent.kind() == Kind::Float, "its numbers are {:?}", latent.kind());
    ensure!(latent.size() == expected, "its sizes are {:?}, expected {expected:?}", latent.size());
    ensure!(latent.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0, "its numbers are not finite");
    let made: Vec<u8> = file.read(opened, MADE)?.try_into()?;
    Ok((latent, serde_json::from_slice(&made)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wan_alpha_take::WarningCode;

    fn request() -> TakeRequest {
        let request = serde_json::json!({
            "version": TakeRequest::VERSION, "numerics": 1, "prompt": "smoke",
            "negative_prompt": null, "seed": 5, "frames": 5, "width": 48, "height": 32,
            "take_rate": 16,
            "ellipse": [{"x":0.5,"y":0.5,"a":0.6,"b":1.0,"angle":0.0},
                        {"x":0.5,"y":0.5,"a":0.6,"b":1.0,"angle":0.0}],
            "mask": null, "mu": [0.05, 0.05], "mu_scale": 1.0, "steps": 2, "shift": 5.0,
            "guidance": 1.0, "solver": "unipc", "dora_strength": 1.0, "distill_strength": 1.0,
            "precision": "f32", "decode_tiling": "whole", "model": "tiny",
            "model_fingerprint": "0".repeat(64), "first_image": null,
        });
        TakeRequest::from_json(&request.to_string()).unwrap()
    }

    #[test]
    fn a_latent_is_kept_until_it_is_forgotten_and_a_damaged_one_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let latents = Latents::in_folder(Device::cpu(), folder.path().join("latents"));
        let request = request();
        let key = request.key().unwrap();
        assert!(latents.recall(&key, &request).is_none());
        let latent = Tensor::randn([16, 2, 4, 6], (Kind::Float, tch::Device::Cpu));
        let made = Made {
            device: "cpu".into(),
            attention: Some("flash".into()),
            warnings: vec![Warning::new(WarningCode::Computation, "the first of it", "")],
        };
        latents.keep(&key, &latent, &made).unwrap();
        assert_eq!(latents.recall(&key, &request).unwrap(), (latent.shallow_clone(), made.clone()));

        for wrong in [latent.narrow(1, 0, 1), &latent * f64::NAN] {
            latents.keep(&key, &wrong, &made).unwrap();
            assert!(latents.recall(&key, &request).is_none());
            assert!(!latents.path(&key).exists());
        }
        fs::write(latents.path(&key), b"cut").unwrap();
        assert!(latents.recall(&key, &request).is_none());
        latents.keep(&key, &latent, &made).unwrap();
        latents.forget(&key);
        assert!(latents.recall(&key, &request).is_none());
    }
}
