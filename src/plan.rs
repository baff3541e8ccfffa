//! `wan-alpha plan`: what a take would take of memory and time here, before anything is made.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use wan_alpha_core::generate::{Keep, Pipeline};
use wan_alpha_core::weights::Strengths;
use wan_alpha_core::{Error, Watch};
use wan_alpha_take::counted::counted;
use wan_alpha_take::models::Defaults;
use wan_alpha_take::{ContentHash, Ellipse, ImageSource, RequestDraft, TakeRequest};

use crate::announcement;
use crate::args::PlanTake;
use crate::context::CommandContext;
use crate::device;
use crate::exit::{Exit, OrExit};
use crate::memory;
use crate::model::{Chosen, ChosenLoras, Recorded, SamplingDefaults};
use crate::stdout::print_lines;
use crate::timing_history::TimingHistory;

/// Prints where everything would lie, with the most that each stage holds, and how long the take would
/// last; or why it cannot be made, with what fits.
pub(crate) fn run(args: &PlanTake, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, console, .. } = *context;
    let chosen = Chosen::of(&args.model, &environment.models)?;
    let opened = device::open_untold(&args.computing, environment)?;
    let watch: &dyn Watch = console;
    let (keep, strengths) = (Keep::Nothing, Strengths::default());
    let mut pipeline = Pipeline::open(&chosen.paths, strengths, opened.device, keep, watch)?;
    pipeline.limit_memory(memory::limits(environment));
    let loras = ChosenLoras::of(&args.lora, environment, console)?;
    let sampling = SamplingDefaults::of(&Recorded::of(&chosen), &pipeline, args.preset);
    let images = pipeline.images_needed();
    let request = request(args, &chosen, &sampling.defaults, (&loras, images))?;
    pipeline.add_loras(&loras.files(&request), watch)?;
    let planned = pipeline.plan(&request);
    if let (Err(error), true) = (&planned, args.json) {
        print_json(&refused(error), &pipeline, &request)?;
    }
    let plan = planned?.ok_or_else(|| {
        anyhow!("the system does not tell its memory, and nothing can be planned by it")
    })?;
    let history = TimingHistory::read(&environment.state);
    let expected = announcement::expected(&history, &pipeline, &request, &opened);
    if args.json {
        let told = json!({ "fits": true, "plan": plan, "seconds": expected.seconds() });
        return print_json(&told, &pipeline, &request);
    }
    let TakeRequest { width, height, frames, model, solver, guidance, .. } = &request;
    let settings = match &sampling.preset {
        Some(preset) => preset.line(&request),
        None => format!("{solver}, {}, guidance {guidance}", counted(request.steps, "step")),
    };
    let mut said = vec![
        format!(
            "{width}×{height} with {} by `{model}` on {opened}: it fits",
            counted(*frames, "frame")
        ),
        format!("sampling: {settings}"),
        format!("memory: {plan}"),
        format!("time: {expected}"),
    ];
    said.extend(announcement::of_image(&pipeline.arithmetic(&request), request.steps));
    print_lines(&said)
}

/// What is told to programs of a take that cannot be made; the command ends with the same error.
fn refused(error: &Error) -> Value {
    let (reason, remedy) = match error {
        Error::DoesNotFit { what, remedy, .. } => (what.clone(), Some(remedy)),
        other => (other.to_string(), None),
    };
    json!({ "fits": false, "reason": reason, "remedy": remedy })
}

/// Prints what is told of a take, with its sizes, the model's and what memory there is.
fn print_json(told: &Value, pipeline: &Pipeline, request: &TakeRequest) -> Result<()> {
    let TakeRequest { model, width, height, frames, steps, guidance, precision, .. } = request;
    let take = json!({
        "model": model, "width": width, "height": height, "frames": frames, "steps": steps,
        "guidance": guidance, "precision": precision, "decode_precision": request.decode_precision,
        "decode_tiling": request.decode_tiling,
    });
    let mut all = json!({
        "take": take, "budget": pipeline.budget()?, "model": pipeline.sizes(*precision)?,
    });
    if let (Value::Object(all), Value::Object(told)) = (&mut all, told) {
        all.extend(told.clone());
    }
    print_lines(&[serde_json::to_string_pretty(&all)?])
}

/// The take that `render` would make of so many images, but for what no plan depends on: which they are,
/// for one.
fn request(
    args: &PlanTake,
    chosen: &Chosen,
    defaults: &Defaults,
    (loras, images): (&ChosenLoras, u8),
) -> Result<TakeRequest> {
    let frames = args.frames.unwrap_or_else(|| chosen.defaults.frames_or_released());
    let latent_frames = TakeRequest::latent_frames_of(frames).or_exit(Exit::BadInput)?;
    let side = |axis: usize| args.size.map(|size| size[axis] as u32);
    let image =
        |number| (images >= number).then(|| ImageSource::new(ContentHash([0; 32]), "image"));
    let draft = RequestDraft {
        first_image: image(1),
        last_image: image(2),
        frames: Some(frames),
        width: args.width.or(side(0)),
        height: args.height.or(side(1)),
        ellipse: vec![Ellipse::default(); latent_frames],
        mu: vec![0.05; latent_frames],
        steps: args.steps,
        guidance: args.guidance,
        loras: loras.sources.clone(),
        precision: args.dtype,
        decode_precision: args.decode_precision,
        decode_tiling: args.decode_tiling,
        memory: args.memory,
        ..RequestDraft::new(chosen.name.clone(), "a plan".into())
    };
    draft.complete(defaults).or_exit(Exit::BadInput)
}
