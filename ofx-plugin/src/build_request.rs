//! The take that a node's parameters ask for now.
//!
//! Where a parameter leaves it to the model, the model's record says. The keyframed ellipse and
//! strength are sampled once per latent frame, at the host's time of the middle of its span.

#![forbid(unsafe_code)]

use thiserror::Error;
use wan_alpha_take::models::{Manifest, ModelError};
use wan_alpha_take::{
    DecodePrecision, DecodeTiling, DraftError, Fingerprint, Guide, LoraSource, LoraWord,
    LoraWordError, MemoryLimit, Precision, RequestDraft, RequestError, Solver, TakeRequest, frames,
};

use crate::drawn_ellipse::drawn_ellipse;
use crate::first_image::{FirstImage, FirstImageError, has_image};
use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{
    GUIDANCE, LORAS, MAX_PROMPT, MEMORY, MODEL, MU, NEGATIVE_PROMPT, PRECISION, PROMPT,
    PROMPT_TEMPLATE, SEED, SHIFT, SOLVER, STEPS,
};
use crate::session::PluginSession;
use crate::take_size::{frame_count, size};
use crate::timing::Timing;

/// Why there is no request.
#[derive(Debug, Error)]
pub(crate) enum BuildRequestError {
    /// The host does not answer.
    #[error("the host does not give the node's parameters; make the node anew")]
    Host(Status),
    /// The model is not to be had.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A line of the LoRAs names none.
    #[error("LoRAs: {reason}")]
    Lora { reason: LoraWordError },
    /// The image that the take is to begin with is not to be had.
    #[error(transparent)]
    Image(#[from] FirstImageError),
    /// The model makes video from words alone.
    #[error(
        "model {model} makes video from text alone, and the take is to begin with an image; choose an \
         image-to-video model, or turn Use Source frame off and leave Image empty"
    )]
    OfText { model: String },
    /// The model makes video from an image.
    #[error(
        "model {model} makes video from an image; turn Use Source frame on, or choose the file of an Image"
    )]
    OfImage { model: String },
    /// The model makes video between two images.
    #[error(
        "model {model} makes video between two images, and a node has one; have the take made by \
         `wan-alpha render --image FILE --last-image FILE`"
    )]
    OfTwoImages { model: String },
    /// A text is longer than projects should hold.
    #[error("the {what} is {found} bytes long: expected at most {MAX_PROMPT}; shorten it")]
    Long { what: &'static str, found: usize },
    /// The request is not acceptable, or nobody says what it needs.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The number of frames cannot be made, or the request has no key.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl From<Status> for BuildRequestError {
    fn from(status: Status) -> Self {
        Self::Host(status)
    }
}

/// What counts in the place of a parameter: what a button is about to write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Instead<'a> {
    /// The host's frame on which the take begins.
    pub(crate) start: Option<i32>,
    /// The seed of the noise.
    pub(crate) seed: Option<i32>,
    /// The image that the take begins with, once it is taken.
    pub(crate) image: Option<&'a FirstImage>,
}

/// Prompts to begin with, in the order of the parameter, after "none": background, style, shot, subject.
const TEMPLATES: [&str; 4] = [
    "The background of this video is transparent. Realistic style, medium shot. A torch flame flickers in the wind.",
    "The background of this video is transparent. Realistic style, wide shot. White smoke rises slowly and curls.",
    "The background of this video is transparent. Realistic style, close-up. A soap bubble floats upwards and shimmers.",
    "The background of this video is transparent. Realistic style, close-up. Orange sparks fly up from a fire.",
];

/// The prompt; where it is empty, the template that was chosen.
fn prompt(node: Node<'_>) -> Result<String, BuildRequestError> {
    let own = text(node, PROMPT, "prompt")?;
    Ok(match template(node)? {
        Some(template) if own.trim().is_empty() => template.to_owned(),
        _ => own,
    })
}

/// The template that was chosen.
pub(crate) fn template(node: Node<'_>) -> Result<Option<&'static str>, Status> {
    let chosen = usize::try_from(node.int(PROMPT_TEMPLATE)?).ok();
    Ok(chosen.and_then(|chosen| TEMPLATES.get(chosen.checked_sub(1)?)).copied())
}

/// The request of the parameters as they are, accepted. Reads the model's record. Where no image is
/// taken, it is for comparing alone.
pub(crate) fn request(
    node: Node<'_>,
    session: &PluginSession,
    instead: Instead<'_>,
) -> Result<TakeRequest, BuildRequestError> {
    let manifest = session.model(node.text(MODEL)?.trim())?;
    let mut timing = Timing::of(node, TakeRequest::TAKE_RATE)?;
    if let Some(start) = instead.start {
        timing.start = f64::from(start);
    }
    let compared = match instead.image {
        Some(_) => None,
        None => FirstImage::compared(node, session)?,
    };
    let image = instead.image.or(compared.as_ref());
    check_image(&manifest, image.is_some())?;
    let Manifest { name, fingerprint, defaults, .. } = manifest;
    let frames = frame_count(node, &defaults)?;
    let latent_frames = TakeRequest::latent_frames_of(frames)?;
    let guide = match image.and_then(|image| image.ellipse) {
        Some(ellipse) => Guide::ImageAlpha { ellipse, latent_frames },
        None => Guide::Ellipses(at_latent_frames(node, &timing, latent_frames, drawn_ellipse)?),
    };
    let own_size = defaults.size_or_released();
    let [width, height] = size(node, own_size, image.map(|image| image.size))?;
    let draft = RequestDraft {
        negative_prompt: Some(text(node, NEGATIVE_PROMPT, "negative prompt")?),
        seed: instead.seed.map_or_else(|| node.int(SEED), Ok)?.unsigned_abs(),
        frames: Some(frames),
        width: Some(width),
        height: Some(height),
        ellipse: guide.ellipses(),
        mu: at_latent_frames(node, &timing, latent_frames, |node| node.double(MU))?,
        loras: loras(node, session)?,
        first_image: image.map(|image| image.source.clone()),
        memory: memory(node)?,
        model_fingerprint: Some(fingerprint),
        ..sampling(node, RequestDraft::new(name, prompt(node)?))?
    };
    Ok(draft.complete(&defaults)?)
}

/// Whether the model takes an image where the parameters say one, and does without where they say none,
/// before anything is taken. What else may be wrong is said when the request is made.
pub(crate) fn check_choice(
    node: Node<'_>,
    session: &PluginSession,
) -> Result<(), BuildRequestError> {
    let Ok(model) = session.model(node.text(MODEL)?.trim()) else { return Ok(()) };
    check_image(&model, has_image(node)?)
}

/// Whether a model takes an image, or does without, as far as its record says.
fn check_image(model: &Manifest, has_image: bool) -> Result<(), BuildRequestError> {
    let name = || model.name.clone();
    match (model.images, has_image) {
        (Some(0), true) => Err(BuildRequestError::OfText { model: name() }),
        (Some(1), false) => Err(BuildRequestError::OfImage { model: name() }),
        (Some(2..), _) => Err(BuildRequestError::OfTwoImages { model: name() }),
        _ => Ok(()),
    }
}

/// The memory that a take may use, where it is limited.
pub(crate) fn memory(node: Node<'_>) -> Result<Option<MemoryLimit>, Status> {
    let [a, b, c, d, e] = MemoryLimit::CHOICES.map(|choice| Some(MemoryLimit::gigabytes(choice)));
    node.choice(MEMORY, &[None, a, b, c, d, e])
}

/// The LoRAs that are listed, by their records.
fn loras(node: Node<'_>, session: &PluginSession) -> Result<Vec<LoraSource>, BuildRequestError> {
    let words = LoraWord::lines(&text(node, LORAS, "list of LoRAs")?)
        .map_err(|reason| BuildRequestError::Lora { reason })?;
    words.iter().map(|word| Ok(session.lora(&word.what)?.source(word.strength))).collect()
}

/// A text parameter, of a length that projects should hold.
fn text(
    node: Node<'_>,
    id: &std::ffi::CStr,
    what: &'static str,
) -> Result<String, BuildRequestError> {
    let text = node.text(id)?;
    if text.len() > MAX_PROMPT {
        return Err(BuildRequestError::Long { what, found: text.len() });
    }
    Ok(text)
}

/// What a parameter says at each latent frame.
fn at_latent_frames<T>(
    node: Node<'_>,
    timing: &Timing,
    latent_frames: usize,
    value: impl Fn(Node<'_>) -> Result<T, Status>,
) -> Result<Vec<T>, Status> {
    let at = |k| value(node.at(timing.host_time(frames::latent_center(k))));
    (0..latent_frames).map(at).collect()
}

/// The draft with how the node says that the model samples; 0 and the first choice leave it to the
/// model.
fn sampling(node: Node<'_>, draft: RequestDraft) -> Result<RequestDraft, Status> {
    let positive = |value: f64| (value > 0.0).then_some(value);
    Ok(RequestDraft {
        steps: u32::try_from(node.int(STEPS)?).ok().filter(|&steps| steps > 0),
        guidance: positive(node.double(GUIDANCE)?),
        shift: positive(node.double(SHIFT)?),
        solver: node.choice(
            SOLVER,
            &[
                None,
                Some(Solver::UniPc),
                Some(Solver::DpmPlusPlus),
                Some(Solver::Euler),
                Some(Solver::Lcm),
                Some(Solver::Rcm),
            ],
        )?,
        precision: node.choice(
            PRECISION,
            &[None, Some(Precision::F32), Some(Precision::Bf16), Some(Precision::Fp8)],
        )?,
        ..draft
    })
}

/// What changed between a take and what is wanted now, in the panel's words.
pub(crate) fn differences(take: &TakeRequest, wanted: &TakeRequest) -> Vec<&'static str> {
    let (a, b) = (take, wanted);
    let compared = [
        ("prompt", a.prompt == b.prompt),
        ("negative prompt", a.negative_prompt == b.negative_prompt),
        ("seed", a.seed == b.seed),
        ("ellipse", a.frames != b.frames || a.ellipse == b.ellipse),
        ("strength", a.frames != b.frames || a.mu == b.mu),
        ("number of frames", a.frames == b.frames),
        ("size", (a.width, a.height) == (b.width, b.height)),
        ("image", a.first_image == b.first_image),
        ("model", (a.model_fingerprint, a.mu_scale) == (b.model_fingerprint, b.mu_scale)),
        ("LoRAs", merges(a).eq(merges(b))),
        ("precision", a.precision == b.precision),
        ("memory", decoding(a) == decoding(b)),
        ("steps", a.steps == b.steps),
        ("guidance", a.guidance == b.guidance),
        ("shift", a.shift == b.shift),
        ("solver", a.solver == b.solver),
        ("version of this plug-in", a.numerics == b.numerics),
    ];
    compared.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// What of a request the memory says that it may use.
fn decoding(request: &TakeRequest) -> (DecodePrecision, DecodeTiling) {
    (request.decode_precision, request.decode_tiling)
}

/// What is merged beside the model's own, whatever it is called.
fn merges(request: &TakeRequest) -> impl Iterator<Item = (Fingerprint, f64)> + '_ {
    request.loras.iter().map(|lora| (lora.fingerprint, lora.strength))
}

#[cfg(test)]
mod tests {
    use wan_alpha_take::Ellipse;
    use wan_alpha_take::models::Defaults;

    use super::*;

    #[test]
    fn what_differs_is_named() {
        let draft = RequestDraft {
            frames: Some(1),
            ellipse: vec![Ellipse::default()],
            mu: vec![0.05],
            steps: Some(4),
            guidance: Some(1.0),
            precision: Some(Precision::F32),
            ..RequestDraft::new("m".into(), "dog".into())
        };
        let take = draft.complete(&Defaults::default()).unwrap();
        let wanted = TakeRequest { prompt: "cat".into(), mu: vec![0.1], ..take.clone() };
        assert_eq!(differences(&take, &wanted), ["prompt", "strength"]);
        assert!(differences(&take, &take).is_empty());
    }
}
