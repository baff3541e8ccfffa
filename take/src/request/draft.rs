//! A request that leaves some of it to the model, and how the model completes it: once, for node and
//! command.

use thiserror::Error;

use super::{
    DecodePrecision, DecodeTiling, LoraSource, MaskSource, Precision, RequestError, Solver,
    TakeRequest,
};
use crate::NUMERICS;
use crate::counted::{counted, verb};
use crate::digest::{ContentHash, Fingerprint};
use crate::ellipse::Ellipse;
use crate::memory_limit::MemoryLimit;
use crate::models::Defaults;

/// With fewer steps than a model wants takes come out unfinished; so many are few for any model that
/// wants more.
const FEW_STEPS: u32 = 8;

/// Steps of a model with a step-distillation adapter, which draws with fewer still.
const DISTILLED_STEPS: u32 = 4;

/// An image that a take begins or ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSource {
    /// What tells it from every other.
    pub hash: ContentHash,
    /// What it is called; see [`ImageSource::new`].
    pub name: String,
}

impl ImageSource {
    /// An image that is called like its file; what a name may not have becomes an underscore.
    #[must_use]
    pub fn new(hash: ContentHash, file_name: &str) -> Self {
        let plain = |c: char| if c.is_control() || "/\\:".contains(c) { '_' } else { c };
        let mut name: String = file_name.trim_start_matches('.').chars().map(plain).collect();
        while name.len() > 255 {
            name.pop();
        }
        if name.is_empty() {
            name.push_str("image");
        }
        Self { hash, name }
    }
}

/// What a node's parameters or a command line ask for. `None` is left to the model, and where the
/// model says nothing, to what the released one does.
#[derive(Clone, Debug)]
pub struct RequestDraft {
    /// What the take shows; see [`TakeRequest::prompt`].
    pub prompt: String,
    /// What to avoid; an empty or blank text is the model's own too.
    pub negative_prompt: Option<String>,
    /// What the noise is drawn from; see [`TakeRequest::seed`].
    pub seed: u32,
    /// Number of take frames: 4n+1.
    pub frames: Option<u32>,
    /// Pixels: a multiple of 16.
    pub width: Option<u32>,
    /// Pixels: a multiple of 16.
    pub height: Option<u32>,
    /// One ellipse per latent frame of [`Defaults::frames_or_released`] or of `frames`.
    pub ellipse: Vec<Ellipse>,
    /// The mask that stands in for the ellipse.
    pub mask: Option<MaskSource>,
    /// One strength per latent frame.
    pub mu: Vec<f64>,
    /// Number of denoising steps.
    pub steps: Option<u32>,
    /// Shift of the noise schedule.
    pub shift: Option<f64>,
    /// Strength of classifier-free guidance; 1 is none.
    pub guidance: Option<f64>,
    /// How the denoising equation is integrated.
    pub solver: Option<Solver>,
    /// Strength of the `DoRA` that makes video transparent; see [`TakeRequest::dora_strength`].
    pub dora_strength: f64,
    /// Strength of the step-distillation adapter; see [`TakeRequest::distill_strength`].
    pub distill_strength: f64,
    /// The image that the take begins with, and what it is called here.
    pub first_image: Option<ImageSource>,
    /// The image that it ends with, and what it is called here.
    pub last_image: Option<ImageSource>,
    /// Further LoRAs, in the order they are merged.
    pub loras: Vec<LoraSource>,
    /// The number format that the model computes in.
    pub precision: Option<Precision>,
    /// The number format that latents are decoded in.
    pub decode_precision: DecodePrecision,
    /// Whether a frame is decoded in one piece; where nobody says, `memory` does, and else it is.
    pub decode_tiling: Option<DecodeTiling>,
    /// The memory that the take may use.
    pub memory: Option<MemoryLimit>,
    /// The name of the model, as installed.
    pub model: String,
    /// The model itself, where it is known by now.
    pub model_fingerprint: Option<Fingerprint>,
}

/// Why a draft did not become a request.
#[derive(Debug, Error)]
pub enum DraftError {
    /// Neither draft nor record say something that has no value fit for every model.
    #[error(
        "the record of model `{model}` does not say {what}; run `wan-alpha model add {model}` again, \
         or set it"
    )]
    Unspecified {
        /// The name of the model.
        model: String,
        /// The field that neither of them says.
        what: &'static str,
    },
    /// The completed request is not acceptable.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl RequestDraft {
    /// A draft that leaves all to the model but its prompt.
    #[must_use]
    pub fn new(model: String, prompt: String) -> Self {
        Self {
            prompt,
            negative_prompt: None,
            seed: 1,
            frames: None,
            width: None,
            height: None,
            ellipse: Vec::new(),
            mask: None,
            mu: Vec::new(),
            steps: None,
            shift: None,
            guidance: None,
            solver: None,
            dora_strength: 1.0,
            distill_strength: 1.0,
            first_image: None,
            last_image: None,
            loras: Vec::new(),
            precision: None,
            decode_precision: DecodePrecision::F32,
            decode_tiling: None,
            memory: None,
            model,
            model_fingerprint: None,
        }
    }

    /// Whether a request that leaves all to a model can be made.
    ///
    /// # Errors
    /// As [`RequestDraft::complete`].
    pub fn check_defaults(model: &str, defaults: &Defaults) -> Result<(), DraftError> {
        let frames = TakeRequest::latent_frames_of(defaults.frames_or_released())?;
        let mut draft = Self::new(model.to_owned(), "a ball".to_owned());
        draft.ellipse = vec![Ellipse::default(); frames];
        draft.mu = vec![0.0; frames];
        draft.complete(defaults).map(|_| ())
    }

    /// The accepted request: what the draft says, else `defaults`, else what the released model does.
    ///
    /// # Errors
    /// Nobody says steps, guidance or precision; or the request is refused by
    /// [`TakeRequest::accept`].
    pub fn complete(self, defaults: &Defaults) -> Result<TakeRequest, DraftError> {
        let unspecified = |what| DraftError::Unspecified { model: self.model.clone(), what };
        let own = defaults.clone();
        let own_size = own.size_or_released();
        let (width, height) =
            (self.width.unwrap_or(own_size[0]), self.height.unwrap_or(own_size[1]));
        let by_memory =
            self.memory.map_or(DecodeTiling::Whole, |memory| memory.decode_tiling(width, height));
        let negative_prompt = self.negative_prompt.filter(|text| !text.trim().is_empty());
        let [first_image, last_image] = [&self.first_image, &self.last_image].map(Option::as_ref);
        let request = TakeRequest {
            version: TakeRequest::VERSION,
            numerics: NUMERICS,
            frames: self.frames.unwrap_or_else(|| own.frames_or_released()),
            width,
            height,
            take_rate: TakeRequest::TAKE_RATE,
            mu_scale: own.mu_scale.unwrap_or(1.0),
            steps: self
                .steps
                .or(own.steps)
                .ok_or_else(|| unspecified("how many steps it takes"))?,
            shift: self.shift.unwrap_or_else(|| own.shift_or_released(width, height)),
            guidance: self.guidance.or(own.guidance).ok_or_else(|| unspecified("its guidance"))?,
            solver: self.solver.or(own.solver).unwrap_or(Solver::UniPc),
            precision: self
                .precision
                .or(own.precision)
                .ok_or_else(|| unspecified("its precision"))?,
            negative_prompt: negative_prompt.or(own.negative_prompt),
            prompt: self.prompt,
            seed: self.seed,
            ellipse: self.ellipse,
            mask: self.mask,
            mu: self.mu,
            dora_strength: self.dora_strength,
            distill_strength: self.distill_strength,
            decode_tiling: self.decode_tiling.unwrap_or(by_memory),
            model: self.model,
            model_fingerprint: self.model_fingerprint,
            first_image: first_image.map(|image| image.hash),
            loras: self.loras,
            decode_precision: self.decode_precision,
            last_image: last_image.map(|image| image.hash),
            first_image_name: first_image.map(|image| image.name.clone()),
            last_image_name: last_image.map(|image| image.name.clone()),
        };
        Ok(request.accept().map_err(|error| error.with_own_size(own_size))?)
    }
}

impl TakeRequest {
    /// What to say of a request with fewer steps than its model wants: takes come out blurred.
    /// `usual`: the model's own number; one made for four steps or fewer takes any.
    #[must_use]
    pub fn few_steps_warning(&self, usual: u32) -> Option<String> {
        let few = self.steps <= FEW_STEPS && self.steps < usual && usual > DISTILLED_STEPS;
        few.then(|| {
            format!(
                "{} {} few for this model: expect a blurred take; {usual} {} usual",
                counted(self.steps, "step"),
                verb(self.steps, "is", "are"),
                verb(usual, "is", "are")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> RequestDraft {
        RequestDraft {
            ellipse: vec![Ellipse::default(); 2],
            mu: vec![0.05; 2],
            ..RequestDraft::new("m".into(), "a cat".into())
        }
    }

    fn defaults() -> Defaults {
        Defaults {
            frames: Some(5),
            steps: Some(20),
            guidance: Some(2.0),
            precision: Some(Precision::F32),
            negative_prompt: Some("ugly".into()),
            ..Defaults::default()
        }
    }

    #[test]
    fn what_is_open_the_model_says_and_else_the_released_one() {
        let request = draft().complete(&defaults()).unwrap();
        assert_eq!((request.frames, request.steps, request.guidance), (5, 20, 2.0));
        assert_eq!((request.width, request.height, request.shift), (832, 480, 5.0));
        assert_eq!((request.solver, request.mu_scale), (Solver::UniPc, 1.0));
        let own = RequestDraft { steps: Some(3), width: Some(64), ..draft() };
        let request = own.complete(&defaults()).unwrap();
        assert_eq!((request.steps, request.width, request.height), (3, 64, 480));
    }

    #[test]
    fn a_size_that_cannot_be_is_told_with_the_models_own() {
        let own = Defaults { width: Some(96), height: Some(64), ..defaults() };
        for (width, height) in [(Some(5000), None), (None, Some(8))] {
            let error = RequestDraft { width, height, ..draft() }.complete(&own).unwrap_err();
            assert!(error.to_string().ends_with("choose the model's own, 96 x 64"), "{error}");
        }
    }

    #[test]
    fn an_empty_negative_prompt_is_the_models_own() {
        for (asked, expected) in
            [(None, "ugly"), (Some(""), "ugly"), (Some(" \n"), "ugly"), (Some("dull"), "dull")]
        {
            let draft = RequestDraft { negative_prompt: asked.map(Into::into), ..draft() };
            let request = draft.complete(&defaults()).unwrap();
            assert_eq!(request.negative_prompt.as_deref(), Some(expected), "{asked:?}");
        }
    }

    #[test]
    fn little_memory_has_frames_decoded_in_tiles_unless_somebody_says_otherwise() {
        let memory = Some(MemoryLimit::gigabytes(8));
        let of = |decode_tiling| {
            let draft = RequestDraft { memory, decode_tiling, ..draft() };
            draft.complete(&defaults()).unwrap().decode_tiling
        };
        assert_eq!(of(None), DecodeTiling::Tiled);
        assert_eq!(of(Some(DecodeTiling::Whole)), DecodeTiling::Whole);
        assert_eq!(draft().complete(&defaults()).unwrap().decode_tiling, DecodeTiling::Whole);
    }

    #[test]
    fn what_nobody_says_is_named() {
        for (silent, what) in [
            (Defaults { steps: None, ..defaults() }, "steps"),
            (Defaults { guidance: None, ..defaults() }, "guidance"),
            (Defaults { precision: None, ..defaults() }, "precision"),
        ] {
            let error = draft().complete(&silent).unwrap_err().to_string();
            assert!(error.contains("`m`") && error.contains(what), "{error}");
        }
    }

    #[test]
    fn fewer_steps_than_the_model_wants_are_warned_of() {
        let of = |steps| RequestDraft { steps: Some(steps), ..draft() }.complete(&defaults());
        assert!(of(8).unwrap().few_steps_warning(20).unwrap().contains("20 are usual"));
        assert_eq!(of(2).unwrap().few_steps_warning(4), None);
        assert!(of(4).unwrap().few_steps_warning(8).is_some());
        assert_eq!(of(9).unwrap().few_steps_warning(20), None);
        assert_eq!(of(4).unwrap().few_steps_warning(4), None);
    }
}
