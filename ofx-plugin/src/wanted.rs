//! The take that a node's parameters ask for now.
//!
//! Where a parameter leaves it to the model, the model's record says. The keyframed ellipse and
//! strength are sampled once per latent frame, at the host's time of the middle of its span.

#![forbid(unsafe_code)]

use thiserror::Error;
use wan_alpha_take::models::{Defaults, Manifest, ModelError};
use wan_alpha_take::{
    DecodeTiling, Ellipse, Fingerprint, NUMERICS, Precision, RequestError, Solver, TakeRequest,
    frames,
};

use crate::node::Node;
use crate::params::{
    ELLIPSE_ANGLE, ELLIPSE_AXES, ELLIPSE_CENTER, FRAMES, GUIDANCE, HEIGHT, MAX_PROMPT, MODEL, MU,
    NEGATIVE_PROMPT, PRECISION, PROMPT, RESOLUTION, SEED, SHIFT, SOLVER, STEPS, WIDTH,
};
use crate::status::Status;
use crate::studio::Studio;
use crate::timing::Timing;

/// Why there is no request.
#[derive(Debug, Error)]
pub(crate) enum Unwanted {
    /// The host does not answer.
    #[error("the host does not give the node's parameters; make the node anew")]
    Host(Status),
    /// The model is not to be had.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model's record leaves something open that the node leaves to it.
    #[error(
        "the record of model `{model}` does not say {what}; run `wan-alpha model add {model}` again, or set it on the node"
    )]
    Silent { model: String, what: &'static str },
    /// A text is longer than projects should hold.
    #[error("the {what} is {found} bytes long: expected at most {MAX_PROMPT}; shorten it")]
    Long { what: &'static str, found: usize },
    /// The request is not acceptable.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl From<Status> for Unwanted {
    fn from(status: Status) -> Self {
        Self::Host(status)
    }
}

/// The sizes that can be chosen by name, in the order of the parameter, between "model" and
/// "custom".
const SIZES: [[u32; 2]; 6] =
    [[832, 480], [480, 832], [1280, 720], [720, 1280], [624, 640], [640, 624]];

/// Width and height where neither node nor model says anything: those of the released one.
pub(crate) const USUAL_SIZE: [u32; 2] = [832, 480];

/// What a model does where neither it nor the node says anything: what the released one does.
mod usual {
    pub(super) const FRAMES: u32 = 81;
    pub(super) const SHIFT: f64 = 5.0;
}

/// The request of the parameters as they are, accepted. Reads the model's record.
pub(crate) fn request(
    node: Node<'_>,
    studio: &Studio,
    start: Option<i32>,
) -> Result<TakeRequest, Unwanted> {
    let record = studio.model(node.text(MODEL)?.trim())?;
    let mut timing = Timing::of(node, TakeRequest::TAKE_RATE)?;
    if let Some(start) = start {
        timing.start = f64::from(start);
    }
    let frames = frame_count(node, &record.defaults)?;
    let placed = placement(node, &timing, frames)?;
    let [width, height] = USUAL_SIZE;
    let own = [record.defaults.width.unwrap_or(width), record.defaults.height.unwrap_or(height)];
    let [width, height] = size(node, own)?;
    Ok(TakeRequest {
        frames,
        width,
        height,
        ellipse: placed.iter().map(|(ellipse, _)| *ellipse).collect(),
        mu: placed.iter().map(|(_, mu)| *mu).collect(),
        prompt: text(node, PROMPT, "prompt")?,
        negative_prompt: negative_prompt(node, &record.defaults)?,
        seed: node.int(SEED)?.unsigned_abs(),
        ..sampling(node, record)?
    }
    .accept()?)
}

fn text(node: Node<'_>, id: &std::ffi::CStr, what: &'static str) -> Result<String, Unwanted> {
    let text = node.text(id)?;
    if text.len() > MAX_PROMPT {
        return Err(Unwanted::Long { what, found: text.len() });
    }
    Ok(text)
}

/// Empty means the model's own.
fn negative_prompt(node: Node<'_>, own: &Defaults) -> Result<Option<String>, Unwanted> {
    let text = text(node, NEGATIVE_PROMPT, "negative prompt")?;
    Ok(if text.trim().is_empty() { own.negative_prompt.clone() } else { Some(text) })
}

/// 0 means the model's own; anything else goes to the nearest 4n+1.
fn frame_count(node: Node<'_>, own: &Defaults) -> Result<u32, Unwanted> {
    let asked = u32::try_from(node.int(FRAMES)?).unwrap_or(0);
    Ok(if asked == 0 { own.frames.unwrap_or(usual::FRAMES) } else { snapped_frames(asked) })
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
) -> Result<Vec<(Ellipse, f64)>, Unwanted> {
    let latent_frames = TakeRequest::latent_frames_of(frame_count)?;
    let placed = (0..latent_frames).map(|k| {
        let node = node.at(timing.host_time(frames::latent_centre(k)));
        let [x, y] = node.pair(ELLIPSE_CENTER)?;
        let [a, b] = node.pair(ELLIPSE_AXES)?;
        let ellipse = Ellipse { x, y, a, b, angle: node.double(ELLIPSE_ANGLE)? };
        Ok((ellipse, node.double(MU)?))
    });
    placed.collect()
}

/// All that says how the model samples, in a request that is otherwise to be filled in.
fn sampling(node: Node<'_>, record: Manifest) -> Result<TakeRequest, Unwanted> {
    let Manifest { name: model, fingerprint, defaults: own, .. } = record;
    let silent = |what| Unwanted::Silent { model: model.clone(), what };
    let positive = |value: f64| (value > 0.0).then_some(value);
    let steps = u32::try_from(node.int(STEPS)?).ok().filter(|&steps| steps > 0);
    let guidance = positive(node.double(GUIDANCE)?);
    let shift = positive(node.double(SHIFT)?);
    let solver = node.choice(
        SOLVER,
        &[None, Some(Solver::UniPc), Some(Solver::DpmPlusPlus), Some(Solver::Euler)],
    )?;
    let precision = node.choice(
        PRECISION,
        &[None, Some(Precision::F32), Some(Precision::Bf16), Some(Precision::Fp8)],
    )?;
    Ok(TakeRequest {
        steps: steps.or(own.steps).ok_or_else(|| silent("how many steps it takes"))?,
        guidance: guidance.or(own.guidance).ok_or_else(|| silent("its guidance"))?,
        precision: precision.or(own.precision).ok_or_else(|| silent("its precision"))?,
        shift: shift.or(own.shift).unwrap_or(usual::SHIFT),
        solver: solver.or(own.solver).unwrap_or(Solver::UniPc),
        mu_scale: own.mu_scale.unwrap_or(1.0),
        ..unfilled(model, fingerprint)
    })
}

fn unfilled(model: String, fingerprint: Fingerprint) -> TakeRequest {
    TakeRequest {
        version: TakeRequest::VERSION,
        numerics: NUMERICS,
        prompt: String::new(),
        negative_prompt: None,
        seed: 0,
        frames: 0,
        width: 0,
        height: 0,
        take_rate: TakeRequest::TAKE_RATE,
        ellipse: Vec::new(),
        mask: None,
        mu: Vec::new(),
        mu_scale: 1.0,
        steps: 0,
        shift: 0.0,
        guidance: 0.0,
        solver: Solver::UniPc,
        dora_strength: 1.0,
        distill_strength: 1.0,
        precision: Precision::F32,
        decode_tiling: DecodeTiling::Whole,
        model,
        model_fingerprint: Some(fingerprint),
        first_image: None,
    }
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
        ("precision", a.precision == b.precision),
        ("steps", a.steps == b.steps),
        ("guidance", a.guidance == b.guidance),
        ("shift", a.shift == b.shift),
        ("solver", a.solver == b.solver),
        ("version of this plug-in", a.numerics == b.numerics),
    ];
    compared.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
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
        let take = unfilled("m".into(), Fingerprint([1; 32]));
        let wanted = TakeRequest { prompt: "cat".into(), mu: vec![0.1], ..take.clone() };
        assert_eq!(differences(&take, &wanted), ["prompt", "strength"]);
        assert!(differences(&take, &take).is_empty());
    }
}
