//! Images that takes begin with: kept in the store, and what is known of them.

use wan_alpha_take::store::StoreError;
use wan_alpha_take::{ContentHash, StillImage};

use super::PluginSession;
use crate::image_file::{ImageFile, ImageFileError, ImageReader, KeptImage};

/// What is known of an image of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageFacts {
    /// Width and height in pixels.
    pub(crate) size: [u32; 2],
    /// Whether it is opaque everywhere.
    pub(crate) is_opaque: bool,
}

impl ImageFacts {
    fn of(image: &StillImage) -> Self {
        Self { size: [image.width(), image.height()], is_opaque: image.is_opaque() }
    }
}

impl PluginSession {
    /// Puts an image into the store.
    pub(crate) fn keep_image(&self, image: &StillImage) -> Result<ContentHash, StoreError> {
        let hash = self.store.keep_image(image)?;
        log::info!("image {hash}: kept");
        self.image_facts.lock().insert(hash, ImageFacts::of(image));
        Ok(hash)
    }

    /// Has the image of a file put into the store, unless that was done and the file is as it was.
    pub(crate) fn keep_image_file(&self, file: &ImageFile) -> Result<KeptImage, ImageFileError> {
        let stamps = file.stamps()?;
        let known = self.kept_images.lock().get(file).cloned();
        if let Some((of, kept)) = known
            && of == stamps
            && self.store.image(&kept.source.hash).image.is_some()
        {
            return Ok(kept);
        }
        let program = self.engine_program();
        let environment = &self.environment.for_engine;
        let reader =
            ImageReader { program: &program, environment, stores: &self.environment.stores };
        let kept = reader.keep(file)?;
        log::info!("image {}: kept, from {}", kept.source.hash, file.path.display());
        self.kept_images.lock().insert(file.clone(), (stamps, kept.clone()));
        Ok(kept)
    }

    /// The image of a file, as it was when it was kept last; none where that was not in this session.
    pub(crate) fn kept_image(&self, file: &ImageFile) -> Option<KeptImage> {
        self.kept_images.lock().get(file).map(|(_, kept)| kept.clone())
    }

    /// What is known of an image of the store, which is read for it once.
    pub(crate) fn image_facts(&self, hash: &ContentHash) -> Option<ImageFacts> {
        if let Some(known) = self.image_facts.lock().get(hash) {
            return Some(*known);
        }
        let facts = ImageFacts::of(&self.store.image(hash).image?);
        self.image_facts.lock().insert(*hash, facts);
        Some(facts)
    }
}
