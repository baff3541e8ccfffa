//! Where the subject goes: an ellipse, a track, or a mask from a file.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::weights::read_bare_tensor;
use wan_alpha_take::{Ellipse, Mask, TakeRequest, Track};

use crate::args::Render;
use crate::exit::{Exit, OrExit};
use crate::mask_sequence::MaskSequence;

/// The placement a command line asks for.
pub(super) enum Placement {
    /// One ellipse, still or moving between keys.
    Track(Track),
    /// The text of a track file: one ellipse for each latent frame.
    TrackFile(String),
    /// A mask for each latent frame.
    Mask(Mask),
}

impl Placement {
    pub(super) fn of(args: &Render) -> Result<Self> {
        if let Some(path) = &args.mask {
            return read_mask(path).or_exit(Exit::BadInput).map(Self::Mask);
        }
        if let Some(path) = &args.ellipse_track {
            return Render::read_text("--ellipse-track", path).map(Self::TrackFile);
        }
        let text = args.ellipse.clone().unwrap_or_else(|| Ellipse::default().to_string());
        Track::parse(&text, args.ellipse_interp).or_exit(Exit::BadInput).map(Self::Track)
    }

    /// One ellipse for each latent frame; where a mask stands in for it, the default.
    pub(super) fn ellipses(&self, latent_frames: usize) -> Result<Vec<Ellipse>> {
        match self {
            Self::Track(track) => Ok(track.at_latent_frames(latent_frames)),
            Self::TrackFile(text) => Track::from_json(text, latent_frames).or_exit(Exit::BadInput),
            Self::Mask(_) => Ok(vec![Ellipse::default(); latent_frames]),
        }
    }

    pub(super) fn mask(&self) -> Option<&Mask> {
        match self {
            Self::Mask(mask) => Some(mask),
            _ => None,
        }
    }

    /// What tells one mask from another: its sizes and the BLAKE3 of its values.
    pub(super) fn describe_mask(&self) -> Option<Value> {
        let mask = self.mask()?;
        let mut hasher = blake3::Hasher::new();
        for value in mask.values() {
            hasher.update(&value.to_le_bytes());
        }
        Some(json!({ "shape": mask.shape(), "blake3": hasher.finalize().to_hex().as_str() }))
    }

    /// A mask of the wrong length is refused before anything is loaded.
    pub(super) fn check_mask(&self, request: &TakeRequest) -> Result<()> {
        let Some([found, ..]) = self.mask().map(Mask::shape) else { return Ok(()) };
        let expected = request.latent_frames();
        if found == expected {
            return Ok(());
        }
        Err(anyhow!(
            "--mask has {found} frames, expected {expected}: one for each latent frame of {} \
             frames (frame 0, then every 4). Give as many, or --frames {}",
            request.frames,
            4 * found.max(1) - 3
        ))
        .or_exit(Exit::BadInput)
    }
}

fn read_mask(path: &Path) -> Result<Mask> {
    if MaskSequence::names_images(path) {
        return read_images(path);
    }
    let tensor = read_bare_tensor(path)?;
    let size = tensor.size();
    ensure!(
        size.len() == 3 && size.iter().all(|&axis| axis > 0),
        "{}: a mask is a tensor [frames, height, width], found {size:?}",
        path.display()
    );
    let values: Vec<f32> = Tensor::f_to_kind(&tensor, Kind::Float)?.f_flatten(0, -1)?.try_into()?;
    let shape = [size[0] as usize, size[1] as usize, size[2] as usize];
    Mask::new(values, shape).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn read_images(path: &Path) -> Result<Mask> {
    let images = MaskSequence::find(path)?.read()?;
    let (width, height) = images.first().map_or((0, 0), |image| (image.width, image.height));
    let shape = [images.len(), height, width];
    let values = images.into_iter().flat_map(|image| image.values).collect();
    Mask::new(values, shape).map_err(|error| anyhow!("{}: {error}", path.display()))
}
