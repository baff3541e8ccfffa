//! The take that a node's parameters ask for now.
//!
//! Where a parameter leaves it to the model, the model's record says. The keyframed ellipse and
//! strength are sampled once per latent frame, at the host's time of the middle of its span.

#![forbid(unsafe_code)]

use thiserror::Error;
use wan_alpha_take::models::{Defaults, Manifest, ModelError};
use wan_alpha_take::{
    DraftError, Ellipse, Fingerprint, LoraSource, LoraWord, LoraWordError, Precision, RequestDraft,
    RequestError, Solver, TakeRequest, frames,
};

use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{
    ELLIPSE_ANGLE, ELLIPSE_AXES, ELLIPSE_CENTER, FRAMES, GUIDANCE, HEIGHT, LORAS, MAX_PROMPT,
    MODEL, MU, NEGATIVE_PROMPT, PRECISION, PROMPT, PROMPT_TEMPLATE, RESOLUTION, SEED, SHIFT,
    SOLVER, STEPS, WIDTH,
};
use crate::session::PluginSession;
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

/// The sizes that can be chosen by name, in the order of the parameter, between "model" and
/// "custom".
const SIZES: [[u32; 2]; 6] =
    [[832, 480], [480, 832], [1280, 720], [720, 1280], [624, 640], [640, 624]];

/// What counts in the place of a parameter: what a button is about to write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Instead {
    /// The host's frame on which the take begins.
    pub(crate) start: Option<i32>,
    /// The seed of the noise.
    pub(crate) seed: Option<i32>,
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

/// The request of the parameters as they are, accepted. Reads the model's record.
pub(crate) fn request(
    node: Node<'_>,
    session: &PluginSession,
    instead: Instead,
) -> Result<TakeRequest, BuildRequestError> {
    let manifest = session.model(node.text(MODEL)?.trim())?;
    let mut timing = Timing::of(node, TakeRequest::TAKE_RATE)?;
    if let Some(start) = instead.start {
        timing.start = f64::from(start);
    }
    let Manifest { name, fingerprint, defaults, .. } = manifest;
    let frames = frame_count(node, &defaults)?;
    let placed = placement(node, &timing, frames)?;
    let [width, height] = size(node, defaults.size_or_released())?;
    let draft = RequestDraft {
        negative_prompt: Some(text(node, NEGATIVE_PROMPT, "negative prompt")?),
        seed: instead.seed.map_or_else(|| node.int(SEED), Ok)?.unsigned_abs(),
        frames: Some(frames),
        width: Some(width),
        height: Some(height),
        ellipse: placed.iter().map(|(ellipse, _)| *ellipse).collect(),
        mu: placed.iter().map(|(_, mu)| *mu).collect(),
        loras: loras(node, session)?,
        model_fingerprint: Some(fingerprint),
        ..sampling(node, RequestDraft::new(name, prompt(node)?))?
    };
    Ok(draft.complete(&defaults)?)
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

/// 0 means the model's own; anything else goes to the nearest 4n+1.
pub(crate) fn frame_count(node: Node<'_>, own: &Defaults) -> Result<u32, Status> {
    let asked = u32::try_from(node.int(FRAMES)?).unwrap_or(0);
    Ok(if asked == 0 { own.frames_or_released() } else { snapped_frames(asked) })
}

fn snapped_frames(asked: u32) -> u32 {
    (asked + 1) / frames::STRIDE * frames::STRIDE + 1
}

/// Width and height; `own` is the model's.
pub(crate) fn size(node: Node<'_>, own: [u32; 2]) -> Result<[u32; 2], Status> {
    let chosen = usize::try_from(node.int(RESOLUTION)?).unwrap_or(0);
    if chosen == 0 {
        return Ok(own);
    }
    if let Some(&size) = SIZES.get(chosen - 1) {
        return Ok(size);
    }
    Ok([snapped_pixels(node.int(WIDTH)?), snapped_pixels(node.int(HEIGHT)?)])
}

/// The nearest multiple of 16, at least that.
fn snapped_pixels(asked: i32) -> u32 {
    (asked.max(0).unsigned_abs().saturating_add(8) / 16 * 16).max(16)
}

/// Ellipse and strength, per latent frame.
fn placement(
    node: Node<'_>,
    timing: &Timing,
    frame_count: u32,
) -> Result<Vec<(Ellipse, f64)>, BuildRequestError> {
    let latent_frames = TakeRequest::latent_frames_of(frame_count)?;
    let placed = (0..latent_frames).map(|k| {
        let node = node.at(timing.host_time(frames::latent_center(k)));
        let [x, y] = node.pair(ELLIPSE_CENTER)?;
        let [a, b] = node.pair(ELLIPSE_AXES)?;
        let ellipse = Ellipse { x, y, a, b, angle: node.double(ELLIPSE_ANGLE)? };
        Ok((ellipse, node.double(MU)?))
    });
    placed.collect()
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
        ("model", (a.model_fingerprint, a.mu_scale) == (b.model_fingerprint, b.mu_scale)),
        ("LoRAs", merges(a).eq(merges(b))),
        ("precision", a.precision == b.precision),
        ("steps", a.steps == b.steps),
        ("guidance", a.guidance == b.guidance),
        ("shift", a.shift == b.shift),
        ("solver", a.solver == b.solver),
        ("version of this plug-in", a.numerics == b.numerics),
    ];
    compared.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// What is merged beside the model's own, whatever it is called.
fn merges(request: &TakeRequest) -> impl Iterator<Item = (Fingerprint, f64)> + '_ {
    request.loras.iter().map(|lora| (lora.fingerprint, lora.strength))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_to_the_nearest_that_can_be_made() {
        let snapped = [1, 2, 3, 4, 5, 80, 81, 83, 257].map(snapped_frames);
        assert_eq!(snapped, [1, 1, 5, 5, 5, 81, 81, 85, 257]);
    }

    #[test]
    fn sizes_go_to_the_nearest_that_can_be_made() {
        let snapped = [64, 71, 72, 1080, 2048, -3].map(snapped_pixels);
        assert_eq!(snapped, [64, 64, 80, 1088, 2048, 16]);
    }

    #[test]
    fn sizes_are_those_of_the_parameter() {
        use crate::params::{Kind, TABLE, position};
        let table = position(RESOLUTION).map(|at| TABLE[at].kind);
        let Some(Kind::Choice { options }) = table else { panic!("{table:?}") };
        let names: Vec<_> =
            options[1..options.len() - 1].iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, SIZES.map(|[width, height]| format!("{width}x{height}")));
    }

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
