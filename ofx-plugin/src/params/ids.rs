//! The names of the parameters in projects and scripts. They never change.

use std::ffi::CStr;

/// What to generate, in words.
pub const PROMPT: &CStr = c"prompt";
/// What to avoid, in words.
pub const NEGATIVE_PROMPT: &CStr = c"negativePrompt";
/// Seed of the noise.
pub const SEED: &CStr = c"seed";
/// Where the subject is.
pub const ELLIPSE_CENTER: &CStr = c"ellipseCenter";
/// How large the subject is.
pub const ELLIPSE_AXES: &CStr = c"ellipseAxes";
/// How far the ellipse is turned.
pub const ELLIPSE_ANGLE: &CStr = c"ellipseAngle";
/// How strongly the ellipse keeps its outside empty.
pub const MU: &CStr = c"mu";
/// Makes a take of the parameters.
pub const GENERATE: &CStr = c"generate";
/// Makes a take and waits for it.
pub const GENERATE_AND_WAIT: &CStr = c"generateAndWait";
/// Stops the take that is being made.
pub const CANCEL: &CStr = c"cancel";
/// Brings the previous take back.
pub const REVERT: &CStr = c"revert";
/// Looks again for the take.
pub const REFRESH: &CStr = c"refresh";
/// Frees the model's memory.
pub const RELEASE_GPU: &CStr = c"releaseGpu";
/// How many frames to generate.
pub const FRAMES: &CStr = c"frames";
/// How fast the take plays.
pub const SPEED: &CStr = c"speed";
/// What shows before and after the take.
pub const OUTSIDE: &CStr = c"outside";
/// The size of the take, by name.
pub const RESOLUTION: &CStr = c"resolution";
/// Width of a take of custom resolution.
pub const WIDTH: &CStr = c"width";
/// Height of a take of custom resolution.
pub const HEIGHT: &CStr = c"height";
/// What a render does while the take is not there.
pub const MISSING: &CStr = c"missing";
/// How the take is placed in the frame.
pub const FIT: &CStr = c"fit";
/// The color space of the output.
pub const TRANSFER: &CStr = c"transfer";
/// The name of the model.
pub const MODEL: &CStr = c"model";
/// Number format that the model computes in.
pub const PRECISION: &CStr = c"precision";
/// How many denoising steps to make.
pub const STEPS: &CStr = c"steps";
/// How closely the take keeps to the words.
pub const GUIDANCE: &CStr = c"guidance";
/// Shift of the noise schedule.
pub const SHIFT: &CStr = c"shift";
/// How the denoising equation is solved.
pub const SOLVER: &CStr = c"solver";
/// The request of the take that was asked for.
pub const TAKE_REQUEST: &CStr = c"takeRequest";
/// The key of the take that was asked for.
pub const TAKE_KEY: &CStr = c"takeKey";
/// The request of the previous take.
pub const HELD_REQUEST: &CStr = c"heldRequest";
/// The key of the previous take.
pub const HELD_KEY: &CStr = c"heldKey";
/// Changes with what is there to see.
pub const REVISION: &CStr = c"revision";
/// Words about the take that is shown or on its way.
pub const STATUS: &CStr = c"status";
/// The host's frame on which the take begins.
pub const START_FRAME: &CStr = c"startFrame";
/// Sets [`START_FRAME`] to the current frame.
pub const START_HERE: &CStr = c"startHere";
/// Whether color is multiplied by alpha.
pub const ALPHA_MODE: &CStr = c"alphaMode";
/// Makes the take that the node has anew.
pub const MAKE_AGAIN: &CStr = c"makeAgain";
/// The requests of all takes of the node.
pub const TAKE_HISTORY: &CStr = c"takeHistory";
/// Whether the artist has said where the take begins.
pub const START_TYPED: &CStr = c"startTyped";
/// What the chosen model was made with.
pub const MODEL_LIMITS: &CStr = c"modelLimits";
/// How the viewer shows the take.
pub const VIEW: &CStr = c"view";
/// What shows between two frames of the take.
pub const RATE_CONVERSION: &CStr = c"rateConversion";
/// The prompt of a node without one.
pub const PROMPT_TEMPLATE: &CStr = c"promptTemplate";
/// Makes a take of the next seed.
pub const VARY: &CStr = c"vary";
/// Which of the takes of the node is shown.
pub const HISTORY: &CStr = c"history";
/// Has takes made in a host without buttons.
pub const MAKE_TAKE: &CStr = c"makeTake";
/// Whether the take lies over the Source or replaces it.
pub const OVER_SOURCE: &CStr = c"overSource";
/// Frames per second of a timeline that does not say.
pub const TIMELINE_RATE: &CStr = c"timelineRate";
/// Further LoRAs, a line each.
pub const LORAS: &CStr = c"loras";
/// Whether the take begins with a frame of Source.
pub const USE_SOURCE_FRAME: &CStr = c"useSourceFrame";
/// The file of the image that the take begins with.
pub const IMAGE: &CStr = c"image";
/// The file of that image's alpha.
pub const MATTE: &CStr = c"matte";
/// Whether an image without alpha is opaque.
pub const OPAQUE_IMAGE: &CStr = c"opaqueImage";
/// Gives the GPU's memory back between two steps of a take.
pub const PAUSE: &CStr = c"pause";
/// Goes on with a take that was paused.
pub const RESUME: &CStr = c"resume";
/// Whether a take that is being made is shown before it is there.
pub const PREVIEW: &CStr = c"preview";
/// How much memory of the device takes may use.
pub const MEMORY: &CStr = c"memory";
