//! Latents of clips that are drawn without end, encoded as they are needed; for transformers that
//! start from nothing, when there is no model yet that could cache a set.
//!
//! Of an autoencoder with its merge block the latents are RGBA's, with the masks of the ellipses that
//! are known of each clip: a fit, at training's threshold, finds none in what is thin. Of a base
//! autoencoder they are those of color over one of the eight backgrounds, and nothing is raised.
//!
//! From a pool, clips come in an order that differs from epoch to epoch, and the latent of each is
//! kept: a function of its number alone, so that a run that goes on makes it again.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::image_condition::{FirstFrameConditions, ImageCondition};
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::text::{EMBEDDING, Tokenizer, Umt5};
use wan_alpha_core::train::{ComputeOptions, LatentBatch, LatentEncoder, StepRng, Texts};
use wan_alpha_core::vae::Corner;
use wan_alpha_core::weights::{
    EncoderFiles, Weights, find_base_autoencoder, find_image_encoder, find_text_encoder,
    find_tokenizer,
};
use wan_alpha_core::{Error, Unwatched, Watch};
use wan_alpha_take::{Mask, StillImage};

use super::batch_source::BatchSource;
use super::batches_by_shape::BatchesByShape;
use super::clip_shapes::ClipShapes;
use super::clips::EpochShuffle;
use super::settings::{self, Settings};
use crate::data::procedural::{DrawnClip, DrawnSet, DrawnStream, Language, Scene};
use crate::data::{RgbaClip, Window};

/// See the module's head.
pub(super) struct LiveFeed {
    training: DrawnSet,
    measured: DrawnSet,
    seed: u64,
    pool: Option<Pool>,
    shapes: ClipShapes,
    languages: Vec<Language>,
    accumulate: u64,
    /// The batches to measure with: their shape, and the numbers of their clips.
    held_out: Vec<(Window, Range<u64>)>,
    tokenizer: Tokenizer,
    /// Tokens that the transformer attends to.
    text_length: usize,
    networks: Mutex<Networks>,
    /// Latents of the pool's clips, by number.
    kept: Mutex<BTreeMap<u64, Encoded>>,
    device: Device,
}

/// The numbers of the clips that come again and again, and their order.
enum Pool {
    OneShape {
        numbers: Vec<usize>,
        order: EpochShuffle,
    },
    /// The shapes take turns over the numbers.
    Mixed(BatchesByShape),
}

impl Pool {
    fn new(size: usize, seed: u64, shapes: &ClipShapes) -> Self {
        let all = shapes.all();
        if all.len() == 1 {
            let order = EpochShuffle::new(seed);
            return Self::OneShape { numbers: (0..size).collect(), order };
        }
        let of_shape = |(place, (_, clips)): (usize, &(Window, usize))| {
            ((place..size).step_by(all.len()).collect(), *clips)
        };
        Self::Mixed(BatchesByShape::new(seed, all.iter().enumerate().map(of_shape).collect()))
    }
}

/// What the encoders make of a clip.
struct Encoded {
    /// `[16, t, h/8, w/8]`
    latent: Tensor,
    /// What an image-to-video transformer is given of the first frame.
    image: Option<ImageCondition>,
}

impl Encoded {
    fn shallow_clone(&self) -> Self {
        let image = self.image.as_ref().map(ImageCondition::shallow_clone);
        Self { latent: self.latent.shallow_clone(), image }
    }
}

/// What makes a batch of shots.
struct Networks {
    encoder: LatentEncoder,
    /// Of an image-to-video transformer: what its takes begin with. The background is white then.
    conditions: Option<FirstFrameConditions>,
    /// The frozen text encoder; none where one is trained along.
    text: Option<Umt5>,
}

/// A scene with its captions.
pub(super) struct Shot {
    /// Of a clip of the pool.
    number: Option<u64>,
    /// None where its latent is known.
    clip: Option<RgbaClip>,
    captions: Vec<String>,
    /// The Gaussian of each latent frame, `[t, h/8, w/8]`.
    mask: Mask,
}

impl LiveFeed {
    pub(super) fn open(
        settings: &Settings,
        about: &settings::Transformer,
        tokenizer: Option<Tokenizer>,
        transformer: &DitConfig,
        compute: ComputeOptions,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let with_images = transformer.is_image_to_video();
        let shapes = ClipShapes::of(settings)?;
        for (Window { height, width, .. }, _) in shapes.all() {
            ensure!(
                height.is_multiple_of(16) && width.is_multiple_of(16),
                "data.height and data.width: a transformer takes multiples of 16, found {height} and \
                 {width}"
            );
        }
        ensure!(
            !about.encoder.is_empty(),
            "task.encoder: drawn clips need the autoencoder that makes latents of them"
        );
        let (tokenizer, text) = match tokenizer {
            Some(tokenizer) => (tokenizer, None),
            None => {
                ensure!(
                    !about.text_frozen.is_empty(),
                    "task.text_frozen: captions need a text encoder and its tokenizer"
                );
                let set = find_text_encoder(&about.text_frozen)?;
                let path = find_tokenizer(&about.text_frozen)?;
                let tokenizer = Tokenizer::of_encoder(&path, set.shape(EMBEDDING)?, watch)?;
                let ComputeOptions { kind, device } = compute;
                (tokenizer, Some(Umt5::new(Weights::new(set, vec![], kind, device))?))
            }
        };
        let encoder = latent_encoder(about, compute, watch)?;
        let conditions =
            with_images.then(|| conditions(about, compute.device, watch)).transpose()?;
        Ok(Self {
            training: settings.data.drawn(DrawnStream::Training, settings.seed)?,
            measured: settings.data.drawn(DrawnStream::HeldOut, settings.seed)?,
            seed: settings.seed,
            pool: settings.data.pool.map(|size| Pool::new(size as usize, settings.seed, &shapes)),
            held_out: shapes.held_out(settings.data.held_out() as u64),
            shapes,
            languages: settings.data.language.all(),
            accumulate: settings.accumulate as u64,
            tokenizer,
            text_length: transformer.text_tokens(),
            networks: Mutex::new(Networks { encoder, conditions, text }),
            kept: Mutex::default(),
            device: compute.device,
        })
    }

    /// The shots of a batch to train on.
    fn training_shots(&self, batch: u64) -> Vec<Shot> {
        if let Some(Pool::Mixed(batches)) = &self.pool {
            let shapes = self.shapes.all();
            let shot = |number: usize| {
                let (window, _) = shapes[number % shapes.len()];
                self.shot_of_pool(number as u64, &window)
            };
            return batches.get(batch).into_iter().map(shot).collect();
        }
        let (window, places) = self.shapes.training(batch);
        let shot = |place| match &self.pool {
            Some(Pool::OneShape { numbers, order }) => {
                self.shot_of_pool(order.row(numbers, place) as u64, &window)
            }
            _ => self.shot(&self.training, place, &window),
        };
        places.map(shot).collect()
    }

    /// A clip that is drawn no more where its latent is known.
    fn shot_of_pool(&self, number: u64, window: &Window) -> Shot {
        if !self.kept.lock().contains_key(&number) {
            return Shot { number: Some(number), ..self.shot(&self.training, number, window) };
        }
        let scene = Scene::draw(&self.training, number);
        self.described(&scene, Some(number), None, window)
    }

    fn shot(&self, set: &DrawnSet, index: u64, window: &Window) -> Shot {
        let DrawnClip { scene, frames } = DrawnClip::draw(set, index, window);
        self.described(&scene, None, Some(frames), window)
    }

    fn described(
        &self,
        scene: &Scene,
        number: Option<u64>,
        clip: Option<RgbaClip>,
        window: &Window,
    ) -> Shot {
        let each = self.languages.iter();
        let captions =
            each.flat_map(|&language| [scene.caption(language), scene.short_caption(language)]);
        let captions = captions.collect();
        let ellipses = scene.ellipses(window);
        let mask = Mask::gaussian(&ellipses, window.width / 8, window.height / 8);
        Shot { number, clip, captions, mask }
    }
}

/// The encoder that `task.encoder` names: of an RGBA autoencoder, or of a base autoencoder where
/// there is no merge block.
fn latent_encoder(
    about: &settings::Transformer,
    compute: ComputeOptions,
    watch: &dyn Watch,
) -> Result<LatentEncoder> {
    match EncoderFiles::find(&about.encoder) {
        Ok(files) => Ok(LatentEncoder::rgba(&files, compute, watch)?),
        Err(Error::Incomplete { .. }) => {
            let set = find_base_autoencoder(&about.encoder)?;
            watch
                .warn("task.encoder has no merge block: latents are those of color, without alpha");
            Ok(LatentEncoder::color(&set, compute, watch)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// What an image-to-video transformer is given of first frames is made by: the files that
/// `task.image_encoder` and `task.encoder` name.
fn conditions(
    about: &settings::Transformer,
    device: Device,
    watch: &dyn Watch,
) -> Result<FirstFrameConditions> {
    ensure!(
        !about.image_encoder.is_empty(),
        "task.image_encoder: task.base makes video from an image, and drawn clips need the image encoder \
         that their first frames are seen with"
    );
    let encoder = EncoderFiles::find(&about.encoder)
        .context("task.encoder: an image-to-video transformer needs an RGBA autoencoder")?;
    let image_encoder = find_image_encoder(&about.image_encoder)?;
    Ok(FirstFrameConditions::load(&image_encoder, &encoder, device, watch)?)
}

impl LiveFeed {
    /// The latent of each shot, over a background of its own, or over white where it begins with an image.
    fn encode(
        &self,
        shots: &[Shot],
        rng: &StepRng,
        networks: &Networks,
    ) -> wan_alpha_core::Result<Vec<Encoded>> {
        let encoded = |(place, shot): (usize, &Shot)| {
            let Some(number) = shot.number else {
                let background = rng.corner(&format!("background {place}"));
                return self.encoded(shot, background, networks);
            };
            if let Some(known) = self.kept.lock().get(&number) {
                return Ok(known.shallow_clone());
            }
            let background = StepRng::new(self.seed, 0).corner(&format!("background of {number}"));
            let encoded = self.encoded(shot, background, networks)?;
            self.kept.lock().insert(number, encoded.shallow_clone());
            Ok(encoded)
        };
        shots.iter().enumerate().map(encoded).collect()
    }

    fn encoded(
        &self,
        shot: &Shot,
        background: Corner,
        networks: &Networks,
    ) -> wan_alpha_core::Result<Encoded> {
        let clip = shot
            .clip
            .as_ref()
            .ok_or_else(|| Error::Input("a clip's latent is not where it was kept".into()))?;
        let size = [clip.frames, clip.height, clip.width, 4].map(|side| side as i64);
        let rgba = self.device.tensor(&clip.rgba)?.f_view(size)?;
        let Some(conditions) = &networks.conditions else {
            return Ok(Encoded {
                latent: networks.encoder.latent(&rgba, background)?,
                image: None,
            });
        };
        let [width, height] = [clip.width, clip.height];
        let first = clip.rgba.iter().take(width * height * 4).map(|value| value.clamp(0.0, 1.0));
        let first = StillImage::new(width as u32, height as u32, first.collect())
            .map_err(|error| Error::Input(error.to_string()))?;
        let image = conditions.of(&first, clip.frames, &Unwatched)?;
        let latent = networks.encoder.latent(&rgba, Corner::WHITE)?;
        Ok(Encoded { latent, image: Some(image) })
    }
}

impl BatchSource for LiveFeed {
    type Raw = Vec<Shot>;
    type Batch = LatentBatch;

    fn training(&self, step: u64, part: u64) -> Result<Self::Raw> {
        Ok(self.training_shots((step - 1) * self.accumulate + part))
    }

    fn eval_batches(&self) -> u64 {
        self.held_out.len() as u64
    }

    fn measure(&self, index: u64) -> Result<Self::Raw> {
        let (window, clips) =
            self.held_out.get(index as usize).context("there are not so many batches")?;
        Ok(clips.clone().map(|number| self.shot(&self.measured, number, window)).collect())
    }

    fn batch(&self, raw: &Self::Raw, rng: &StepRng) -> Result<LatentBatch> {
        let networks = self.networks.lock();
        let make = || -> wan_alpha_core::Result<LatentBatch> {
            let _guard = wan_alpha_core::tch::no_grad_guard();
            let encoded = self.encode(raw, rng, &networks)?;
            let latents: Vec<_> = encoded.iter().map(|encoded| &encoded.latent).collect();
            let latents = Tensor::f_stack(&latents, 0)?;
            let images = encoded.into_iter().map(|encoded| encoded.image).collect();
            let masks = if networks.encoder.has_alpha() { Some(masks(raw)?) } else { None };
            let ids = raw.iter().enumerate().map(|(place, shot)| {
                let which = rng.index(&format!("caption {place}"), shot.captions.len() as u64);
                let caption = shot.captions.get(which as usize).map_or("", String::as_str);
                self.tokenizer.encode_whole(caption, self.text_length)
            });
            let ids = ids.collect::<wan_alpha_core::Result<Vec<_>>>()?;
            let texts = match &networks.text {
                None => Texts::Tokens(ids),
                Some(text) => {
                    let ids: Vec<&[i64]> = ids.iter().map(Vec::as_slice).collect();
                    Texts::Contexts(text.encode(&ids, &Unwatched)?)
                }
            };
            Ok(LatentBatch { latents, masks, texts, images })
        };
        Ok(make()?)
    }
}

/// `[b, t, h, w]`
fn masks(shots: &[Shot]) -> wan_alpha_core::Result<Tensor> {
    let each = shots.iter().map(|Shot { mask, .. }| {
        let shape = mask.shape().map(|side| side as i64);
        Ok(Tensor::f_from_slice(mask.values())?.f_view(shape)?)
    });
    Ok(Tensor::f_stack(&each.collect::<wan_alpha_core::Result<Vec<_>>>()?, 0)?)
}
