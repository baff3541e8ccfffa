//! The images that a take begins and ends with: what a model asks of a request, and what it is given.

use tch::Tensor;
use wan_alpha_take::models::{Defaults, Preset, UNDISTILLED};
use wan_alpha_take::{ContentHash, Mask, StillImage, TakeRequest};

use super::negative_prompt::NEGATIVE_PROMPT;
use super::{FrameSink, Keep, Pipeline, emit};
use crate::image_condition::{ConditionImages, ConditionParts, ImageCondition};
use crate::{Error, ErrorKind, Result, Watch, give_back};

/// What a request refers to and does not hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct TakeInputs<'a> {
    /// Stands in for the request's ellipse, one frame for each latent frame.
    pub mask: Option<&'a Mask>,
    /// The image that the take begins with, of any size.
    pub first_image: Option<&'a StillImage>,
    /// The image that it ends with, of any size.
    pub last_image: Option<&'a StillImage>,
}

/// What a condition depends on besides the model.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ConditionKey {
    first: ContentHash,
    last: Option<ContentHash>,
    frames: u32,
    size: [u32; 2],
}

/// The condition of the last take: with another prompt or seed it stays the same.
#[derive(Debug)]
pub(super) struct RememberedCondition {
    key: ConditionKey,
    condition: ImageCondition,
}

impl Pipeline {
    /// What the model does, `own` aside, where it is sampled by a preset: an image-to-video model that
    /// nobody distilled as its base was released.
    pub fn sampled_by(&self, preset: &Preset, own: &Defaults) -> Defaults {
        let sampled = preset.defaults(own);
        let Some(image) = self.config.image.as_ref().filter(|_| preset.name == UNDISTILLED) else {
            return sampled;
        };
        let (steps, guidance, shift, small, terms) = if image.tokens.is_some() {
            (50, 5.5, 16.0, None, "镜头切换，镜头晃动，")
        } else {
            (40, 5.0, 5.0, Some(3.0), "镜头晃动，")
        };
        let negative_prompt = sampled.negative_prompt.clone();
        Defaults {
            steps: Some(steps),
            guidance: Some(guidance),
            shift: Some(shift),
            shift_of_small_frames: small,
            negative_prompt: negative_prompt.or_else(|| Some(format!("{terms}{NEGATIVE_PROMPT}"))),
            ..sampled
        }
    }
}

impl Pipeline {
    /// With how many images its takes begin and end: none, the first, or first and last.
    pub fn images_needed(&self) -> u8 {
        self.config.images_needed()
    }

    /// Whether a request has the images that the model needs, and no others; and whether `inputs` brings
    /// them.
    ///
    /// # Errors
    /// What is missing or too much.
    pub fn check_images(&self, request: &TakeRequest, inputs: TakeInputs<'_>) -> Result<()> {
        let refuse = |words: String| Err(Error::Input(words));
        let model = &request.model;
        let (first, last) = (request.first_image, request.last_image);
        if !self.config.is_image_to_video() && first.or(last).is_some() {
            return refuse(format!(
                "the model `{model}` makes video from text alone, and the take is to begin with an \
                 image: choose an image-to-video model, or leave the image out"
            ));
        }
        if self.config.is_image_to_video() && first.is_none() {
            return refuse(format!(
                "the model `{model}` makes video from an image: give the one that the take begins with \
                 (--image FILE)"
            ));
        }
        if self.config.has_last_image() && last.is_none() {
            return refuse(format!(
                "the model `{model}` makes video between two images: give the one that the take ends \
                 with too (--last-image FILE)"
            ));
        }
        for (which, hash, image) in
            [("first", first, inputs.first_image), ("last", last, inputs.last_image)]
        {
            match (hash, image) {
                (None, None) => {}
                (Some(hash), Some(image)) if image.hash() == hash => {}
                (Some(hash), Some(image)) => {
                    return refuse(format!(
                        "the {which} image is {}, and the request is of {hash}: give the image it was \
                         made with",
                        image.hash()
                    ));
                }
                (Some(hash), None) => {
                    return refuse(format!(
                        "the {which} image of the request, {hash}, is not given"
                    ));
                }
                (None, Some(_)) => {
                    return refuse(format!("the request has no {which} image, and one is given"));
                }
            }
        }
        Ok(())
    }

    /// What the transformer is given of a take's images; nothing where there are none.
    pub(super) fn image_condition(
        &mut self,
        request: &TakeRequest,
        inputs: TakeInputs<'_>,
        transformer_stays: bool,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<Option<ImageCondition>> {
        let (Some(first), Some(first_hash)) = (inputs.first_image, request.first_image) else {
            return Ok(None);
        };
        let size = [request.width, request.height];
        let key = ConditionKey {
            first: first_hash,
            last: request.last_image,
            frames: request.frames,
            size,
        };
        // Whoever wants to see how it comes about sees it computed.
        if let Some(known) = self.condition.as_ref().filter(|known| known.key == key)
            && !sink.wants_tensors()
        {
            return Ok(Some(known.condition.shallow_clone()));
        }
        self.condition = None;
        if !transformer_stays && self.dit.take().is_some() {
            log::info!("the transformer makes room for the encoder");
            give_back(self.device)?;
        }
        let fitted = |image: &StillImage| image.fitted(size[0], size[1]).0;
        let (first, last) = (fitted(first), inputs.last_image.map(fitted));
        let images = ConditionImages { first: &first, last: last.as_ref() };
        let frames = request.frames as usize;
        let condition = match self.made_of(images, frames, sink, watch) {
            // Encoded a group of frames at a time, images need less than decoding does; what the take before
            // has left may be too much all the same.
            Err(error) if error.kind() == ErrorKind::OutOfMemory && self.is_loaded() => {
                watch.warn(&format!(
                    "{}: the transformer is let go, and encoding the image begins again",
                    error.what()
                ));
                self.unload()?;
                self.made_of(images, frames, sink, watch)?
            }
            made => made?,
        };
        if self.keep == Keep::Everything {
            let condition = condition.shallow_clone();
            self.condition = Some(RememberedCondition { key, condition });
        }
        Ok(Some(condition))
    }

    fn made_of(
        &self,
        images: ConditionImages<'_>,
        frames: usize,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<ImageCondition> {
        let (Some(image_encoder), Some(encoder)) = (&self.files.image_encoder, &self.files.encoder)
        else {
            return Err(Error::Input("the model has no image encoder".into()));
        };
        let sees_last = self.config.has_last_image();
        let parts = ConditionParts { image_encoder, encoder, sees_last, device: self.device };
        let show = |name: &str, tensor: &Tensor| emit(sink, name, tensor);
        ImageCondition::new(images, frames, &parts, show, watch)
    }
}
