//! A latent on disk: one safetensors file, the normalized latent and what it is of.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use wan_alpha_core::device::Device;
use wan_alpha_core::encode::ClipShape;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::vae::{Corner, LATENT_CHANNELS};
use wan_alpha_core::weights::TensorFile;
use wan_alpha_take::Fingerprint;

use crate::exit::{Exit, OrExit};
use crate::media::atomic_file;
use crate::write_lock::WriteLock;

const TENSOR: &str = "latent";
/// What a render's `--dump` calls it.
const DUMPED: &str = "latent.final";

/// The remark that says what kind of latent a file holds, and its one value.
const KIND: &str = "wan-alpha.kind";
const RGBA: &str = "rgba-normalised";

/// What a latent is of.
pub(crate) struct About {
    pub(crate) shape: ClipShape,
    pub(crate) background: Corner,
    /// Of the parts that encoded it.
    pub(crate) encoder: Fingerprint,
}

/// A latent on its way to a file, which appears whole or not at all.
pub(crate) struct Unwritten {
    path: PathBuf,
    file: NamedTempFile,
    /// Against others that write the same file.
    _lock: WriteLock,
}

impl Unwritten {
    /// Finds out early whether the file can be written.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = atomic_file::begin(path)
            .map_err(|problem| anyhow!("cannot write the latent {}: {problem}", path.display()))
            .or_exit(Exit::BadInput)?;
        let lock = WriteLock::of_file(path)?;
        Ok(Self { path: path.to_owned(), file, _lock: lock })
    }

    /// Writes a normalized latent `[16, t, h, w]`, float32, on the CPU.
    pub(crate) fn finish(mut self, latent: &Tensor, about: &About) -> Result<()> {
        let bytes = bytes(latent)?;
        let header = header(&latent.size(), bytes.len(), about)?;
        let explain = || format!("cannot write the latent {}", self.path.display());
        let mut write = || -> std::io::Result<()> {
            let file = self.file.as_file_mut();
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            file.write_all(&bytes)?;
            file.sync_all()
        };
        write().with_context(explain)?;
        self.file.persist(&self.path).with_context(explain)?;
        Ok(())
    }
}

/// Sorted, and written here: equal latents give equal files.
fn header(size: &[i64], bytes: usize, about: &About) -> Result<Vec<u8>> {
    let ClipShape { frames, width, height } = about.shape;
    let header = json!({
        "__metadata__": {
            "format": "pt",
            (KIND): RGBA,
            "wan-alpha.frames": frames.to_string(),
            "wan-alpha.width": width.to_string(),
            "wan-alpha.height": height.to_string(),
            "wan-alpha.background": about.background.name(),
            "wan-alpha.encoder": about.encoder,
            "wan-alpha.version": env!("CARGO_PKG_VERSION"),
        },
        (TENSOR): { "dtype": "F32", "shape": size, "data_offsets": [0, bytes] },
    });
    let mut header = serde_json::to_vec::<Value>(&header)?;
    // Data begin at a multiple of 8.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

fn bytes(latent: &Tensor) -> Result<Vec<u8>> {
    let latent = latent.f_contiguous()?;
    let mut bytes = vec![0; latent.numel() * size_of::<f32>()];
    latent.f_copy_data_u8(&mut bytes, latent.numel())?;
    Ok(bytes)
}

/// A latent from disk.
pub(crate) struct Latent {
    numbers: Vec<f32>,
    /// `[16, t, h, w]`
    size: Vec<i64>,
    /// Of the clip it decodes to.
    pub(crate) shape: ClipShape,
    /// BLAKE3 of its numbers.
    pub(crate) hash: String,
}

impl Latent {
    /// `[16, t, h, w]`, normalized, float32, on the CPU.
    pub(crate) fn tensor(&self, opened: Device) -> Result<Tensor> {
        Ok(opened.tensor(&self.numbers)?.f_view(&self.size[..])?)
    }

    /// Reads a file of `wan-alpha encode`, or the dump of a render.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        // It is no part of a model, which errors of such files are about.
        let file = TensorFile::open_own(path)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| {
                format!(
                    "{} cannot be read as a latent, which `wan-alpha encode` writes, or `render --dump`",
                    path.display()
                )
            })
            .or_exit(Exit::BadInput)?;
        let attempt = || -> Result<Self> {
            if let Some(kind) = file.metadata(KIND) {
                ensure!(kind == RGBA, "it is a latent of kind `{kind}`, expected `{RGBA}`");
            }
            let entry = |name| Some((name, file.entry(name)?));
            let (name, entry) = entry(TENSOR).or_else(|| entry(DUMPED)).ok_or_else(|| {
                let names: Vec<_> = file.names().take(3).collect();
                anyhow!(
                    "it has no tensor `{TENSOR}` or `{DUMPED}`, but {}: it is no latent",
                    names.join(", ")
                )
            })?;
            let size = &entry.shape;
            let good = matches!(size[..], [LATENT_CHANNELS, (1..), (1..), (1..)])
                && size[2..].iter().all(|cells| cells % 2 == 0);
            ensure!(
                good,
                "its sizes are {size:?}, expected [{LATENT_CHANNELS}, frames, height/8, width/8], \
                 both even"
            );
            let numbers = file.numbers(name).map_err(|error| anyhow!("{error}"))?;
            ensure!(
                numbers.iter().all(|number| number.is_finite()),
                "its numbers are not finite: encode the clip again"
            );
            let cells = |axis: usize| size[axis] as usize;
            let shape =
                ClipShape { frames: 4 * cells(1) - 3, width: 8 * cells(3), height: 8 * cells(2) };
            let hash = blake3::hash(bytemuck::cast_slice(&numbers)).to_hex().to_string();
            Ok(Self { numbers, size: size.clone(), shape, hash })
        };
        attempt()
            .with_context(|| format!("cannot use the latent {}", path.display()))
            .or_exit(Exit::BadInput)
    }
}
