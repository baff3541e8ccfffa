//! `wan-alpha render`: one take, from its prompt to files.

mod placement;

use anyhow::Result;
use serde_json::{Map, Value, json};
use wan_alpha_core::Watch;
use wan_alpha_core::device::{Device, Opened};
use wan_alpha_core::generate::{Keep, Pipeline};
use wan_alpha_core::tch;
use wan_alpha_core::weights::Strengths;
use wan_alpha_take::{RequestDraft, TakeRequest};

use crate::args::{self, Render};
use crate::console::Console;
use crate::context::CommandContext;
use crate::cpu_estimate::CpuEstimate;
use crate::device;
use crate::dump::Dump;
use crate::exit::{Exit, OrExit};
use crate::maker::contexts_folder;
use crate::model::{Chosen, fingerprint_of, use_merged};
use crate::output::{Plan, Writer, WriterSink, Written, add_circumstances};
use crate::progress::TerminalProgress;
use crate::stdout::print_lines;
use crate::{engine, take};
use placement::SubjectPlacement;
pub(crate) use placement::read_mask;

/// Makes the take that `args` describe.
pub(crate) fn run(args: &Render, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    if let Some(threads) = args.threads {
        tch::set_num_threads(i32::try_from(threads)?);
    }
    let prompt = args::text_or_file("--prompt", &args.prompt)?;
    let negative = args.negative.as_deref();
    let negative = negative.map(|text| args::text_or_file("--negative", text)).transpose()?;
    let chosen = Chosen::of(&args.model, &environment.models)?;
    let count = args.frames.unwrap_or_else(|| chosen.defaults.frames_or_released());
    let latent_frames = TakeRequest::latent_frames_of(count).or_exit(Exit::BadInput)?;
    let placement = SubjectPlacement::of(args, latent_frames, console)?;

    let opened = if args.engine {
        // Only headers are read here; the engine has its own device.
        None
    } else {
        Some(device::open(args.device.as_ref(), environment, console)?)
    };
    let mut pipeline = open_pipeline(args, &chosen, opened.as_ref(), context)?;
    let defaults = chosen.defaults.clone().or(pipeline.defaults());
    let draft = draft(args, chosen.name.clone(), prompt, negative, &placement);
    let mut request = draft.complete(&defaults).or_exit(Exit::BadInput)?;
    // Read only for a request that stands: it takes a while the first time.
    request.model_fingerprint =
        Some(fingerprint_of(&chosen, pipeline.files(), environment, console)?);
    if let Some(warning) = defaults.steps.and_then(|usual| request.few_steps_warning(usual)) {
        console.warn(&warning);
    }

    let (written, device, computed) = match &opened {
        None => {
            let take = engine::have_made(&request, environment, console)?;
            let written = take::write_files(&take, &args.out, args.formats(), console)?;
            (written, format!("engine, {}", take.description().device), None)
        }
        Some(opened) => {
            let learned = engine::learned(&request, &opened.class(), environment);
            if let Some(slow) = CpuEstimate::of(&pipeline, &request, opened.device, learned)? {
                console.caution(slow);
            }
            let written = make(args, &request, &mut pipeline, &placement, console)?;
            (written, opened.class(), computed_by(&pipeline, &request))
        }
    };
    let mut take = Map::new();
    take.insert("request".to_owned(), serde_json::to_value(&request)?);
    add_circumstances(&mut take, console, &device);
    take.extend(computed.map(|computed| ("computed".to_owned(), computed)));
    written.describe(take)?;
    tell(&written, &request, progress);
    Ok(())
}

/// Says where the take is: its folder to programs, and what is in it to people.
fn tell(written: &Written, request: &TakeRequest, progress: &TerminalProgress) {
    progress.done();
    print_lines(&[written.folder().display().to_string()]);
    progress.remark(format!(
        "{} frames ({} files), {} and take.json are in {}",
        request.frames,
        written.frames.len(),
        written.sheet.file_name().unwrap_or_default().display(),
        written.folder().display()
    ));
}

/// The model, its weights not read yet; where an engine makes the take there is no device.
fn open_pipeline(
    args: &Render,
    chosen: &Chosen,
    opened: Option<&Opened>,
    context: &CommandContext<'_>,
) -> Result<Pipeline> {
    let CommandContext { environment, console, .. } = *context;
    let device = opened.map_or_else(Device::cpu, |opened| opened.device);
    let class = opened.map_or_else(String::new, Opened::class);
    let strengths = Strengths { dora: args.dora_strength, distill: args.distill_strength };
    let mut pipeline = Pipeline::open(&chosen.paths, strengths, device, Keep::Nothing, console)?;
    if let Some(folder) = contexts_folder(environment, &class) {
        pipeline.keep_contexts(folder);
    }
    if let Some(fingerprint) = chosen.fingerprint {
        use_merged(&mut pipeline, &chosen.name, chosen.merged.clone(), fingerprint, console);
    }
    Ok(pipeline)
}

/// How a take was computed, as `take.json` says it; nothing before the transformer has run.
fn computed_by(pipeline: &Pipeline, request: &TakeRequest) -> Option<Value> {
    pipeline.attention_kernel().map(|kernel| {
        json!({
            "attention": kernel.to_string(),
            "tf32": pipeline.decodes_in_tf32(request.precision),
        })
    })
}

/// Makes the take here and now; every frame is written as soon as it is decoded.
fn make(
    args: &Render,
    request: &TakeRequest,
    pipeline: &mut Pipeline,
    placement: &SubjectPlacement,
    console: &Console<'_>,
) -> Result<Written> {
    let writer = Writer::create(Plan::of(request, &args.out, args.formats())?)?;
    let dump = args.dump.as_deref().map(Dump::create).transpose()?;
    let mut sink = WriterSink::new(writer, dump, |_| Ok(()));
    pipeline.make(request, placement.mask(), &mut sink, console)?;
    sink.finish()
}

/// What a command line asks for.
fn draft(
    args: &Render,
    model: String,
    prompt: String,
    negative_prompt: Option<String>,
    placement: &SubjectPlacement,
) -> RequestDraft {
    let ellipse = placement.ellipses();
    RequestDraft {
        prompt,
        negative_prompt,
        seed: args.seed,
        frames: args.frames,
        width: args.width,
        height: args.height,
        mu: vec![args.mu.unwrap_or(0.05); ellipse.len()],
        ellipse,
        mask: placement.describe_mask(),
        steps: args.steps,
        shift: args.shift,
        guidance: args.guidance,
        solver: args.solver,
        dora_strength: args.dora_strength,
        distill_strength: args.distill_strength,
        precision: args.dtype,
        model,
        model_fingerprint: None,
    }
}
