//! `wan-alpha render`: one take, from its prompt to files.

mod placement;

use anyhow::Result;
use serde_json::{Map, Value, json};
use wan_alpha_core::Watch;
use wan_alpha_core::device::{Device, Opened};
use wan_alpha_core::generate::{Frame, Keep, Pipeline, Sink, SinkError};
use wan_alpha_core::tch::{self, Tensor};
use wan_alpha_core::weights::Strengths;
use wan_alpha_take::{DecodeTiling, NUMERICS, Solver, TakeRequest};

use crate::args::{self, Render};
use crate::console::Console;
use crate::device;
use crate::dump::Dump;
use crate::exit::{Exit, OrExit};
use crate::maker::contexts_folder;
use crate::model::{Chosen, explain, fingerprint_of, use_merged};
use crate::output::{self, Plan, Writer, Written};
use crate::progress::Progress;
use crate::results::print_lines;
use crate::slow::Slow;
use crate::{engine, take};
use placement::Placement;
pub(crate) use placement::read_mask;
use wan_alpha_take::environment::Environment;

const DEFAULT_FRAMES: u32 = 81;

/// With fewer steps than a model wants, and no adapter made for few, takes come out unfinished.
const FEW_STEPS: u32 = 8;

/// Makes the take that `args` describe.
pub(crate) fn run(
    args: &Render,
    environment: &Environment,
    progress: &Progress,
    console: &Console<'_>,
) -> Result<()> {
    if let Some(threads) = args.threads {
        tch::set_num_threads(i32::try_from(threads)?);
    }
    let prompt = args::text_or_file("--prompt", &args.prompt)?;
    let negative = args.negative.as_deref();
    let negative = negative.map(|text| args::text_or_file("--negative", text)).transpose()?;
    let chosen = Chosen::of(&args.model, &environment.models)?;
    let count = args.frames.or(chosen.defaults.frames).unwrap_or(DEFAULT_FRAMES);
    let latent_frames = TakeRequest::latent_frames_of(count).or_exit(Exit::BadInput)?;
    let placement = Placement::of(args, latent_frames)?;

    let opened = if args.engine {
        // Only headers are read here; the engine has its own device.
        None
    } else {
        Some(device::open(args.device.as_ref(), environment, console)?)
    };
    let device = opened.as_ref().map_or_else(Device::cpu, |opened| opened.device);
    let class = opened.as_ref().map_or_else(String::new, Opened::class);
    let strengths = Strengths { dora: args.dora_strength, distill: args.distill_strength };
    let mut pipeline = Pipeline::open(&chosen.paths, strengths, device, Keep::Nothing, console)
        .map_err(explain)?;
    if let Some(folder) = contexts_folder(environment, &class) {
        pipeline.keep_contexts(folder);
    }
    if let Some(fingerprint) = chosen.fingerprint {
        use_merged(&mut pipeline, &chosen.name, chosen.merged.clone(), fingerprint, console);
    }
    let ask = Ask { args, chosen: &chosen, pipeline: &pipeline, placement: &placement };
    let mut request = ask.complete(prompt, negative)?;
    // Read only for a request that stands: it takes a while the first time.
    request.model_fingerprint =
        Some(fingerprint_of(&chosen, pipeline.files(), environment, console)?);
    let usual = chosen.defaults.steps.unwrap_or(pipeline.defaults().steps);
    warn_few_steps(&request, usual, &pipeline, console);

    let mut computed = None;
    let (written, device) = if args.engine {
        let take = engine::have_made(&request, environment, console)?;
        let written = take::write_files(&take, &args.out, args.formats(), console)?;
        (written, format!("engine, {}", take.description().device))
    } else {
        let learned = engine::learned(&request, &class, environment);
        if let Some(slow) = Slow::of(&pipeline, &request, device, learned).map_err(explain)? {
            console.caution(slow);
        }
        let written = make(args, &request, &mut pipeline, &placement, console)?;
        computed = pipeline.attention_kernel().map(|kernel| {
            json!({
                "attention": kernel.to_string(),
                "tf32": pipeline.decodes_in_tf32(request.precision),
            })
        });
        (written, class)
    };
    let mut take = describe(&request, console, &device)?;
    take.extend(computed.map(|computed| ("computed".to_owned(), computed)));
    written.describe(take)?;
    progress.done();
    print_lines(&[written.folder().display().to_string()]);
    progress.remark(format!(
        "{} frames ({} files), {} and take.json are in {}",
        request.frames,
        written.frames.len(),
        written.sheet.file_name().unwrap_or_default().display(),
        written.folder().display()
    ));
    Ok(())
}

/// Makes the take here and now; every frame is written as soon as it is decoded.
fn make(
    args: &Render,
    request: &TakeRequest,
    pipeline: &mut Pipeline,
    placement: &Placement,
    console: &Console<'_>,
) -> Result<Written> {
    let writer = Writer::create(Plan::of(request, &args.out, args.formats())?)?;
    let dump = args.dump.as_deref().map(Dump::create).transpose()?;
    let mut sink = FilesSink { dump, writer };
    pipeline.make(request, placement.mask(), &mut sink, console).map_err(explain)?;

    let FilesSink { dump, writer } = sink;
    let written = writer.finish()?;
    if let Some(dump) = dump {
        dump.finish()?;
    }
    Ok(written)
}

/// What the command line, the model's record and the model say a take should be.
struct Ask<'a> {
    args: &'a Render,
    chosen: &'a Chosen,
    pipeline: &'a Pipeline,
    placement: &'a Placement,
}

impl Ask<'_> {
    /// The request: what the command line says, else the model's record, else the model.
    fn complete(&self, prompt: String, negative_prompt: Option<String>) -> Result<TakeRequest> {
        let Self { args, chosen, pipeline, placement } = self;
        let own = &chosen.defaults;
        let defaults = pipeline.defaults();
        let ellipse = placement.ellipses();
        let request = TakeRequest {
            version: TakeRequest::VERSION,
            numerics: NUMERICS,
            prompt,
            negative_prompt: negative_prompt.or_else(|| own.negative_prompt.clone()),
            seed: args.seed,
            frames: args.frames.or(own.frames).unwrap_or(DEFAULT_FRAMES),
            width: args.width.or(own.width).unwrap_or(832),
            height: args.height.or(own.height).unwrap_or(480),
            take_rate: TakeRequest::TAKE_RATE,
            mu: vec![args.mu.unwrap_or(0.05); ellipse.len()],
            ellipse,
            mu_scale: own.mu_scale.unwrap_or(1.0),
            steps: args.steps.or(own.steps).unwrap_or(defaults.steps),
            shift: args.shift.or(own.shift).unwrap_or(5.0),
            guidance: args.guidance.or(own.guidance).unwrap_or(defaults.guidance),
            solver: args.solver.or(own.solver).unwrap_or(Solver::UniPc),
            dora_strength: args.dora_strength,
            distill_strength: args.distill_strength,
            precision: args.dtype.or(own.precision).unwrap_or(defaults.precision),
            decode_tiling: DecodeTiling::Whole,
            model: chosen.name.clone(),
            model_fingerprint: None,
            mask: placement.describe_mask(),
            first_image: None,
        };
        request.accept().or_exit(Exit::BadInput)
    }
}

fn warn_few_steps(request: &TakeRequest, usual: u32, pipeline: &Pipeline, console: &Console<'_>) {
    if !pipeline.files().is_distilled() && request.steps <= FEW_STEPS && request.steps < usual {
        console.warn(&format!(
            "{} steps without a step-distillation LoRA: expect a blurred take; {usual} are usual",
            request.steps
        ));
    }
}

/// `take.json`. Everything that may differ between equal takes stands under `timings`.
fn describe(
    request: &TakeRequest,
    console: &Console<'_>,
    device: &str,
) -> Result<Map<String, Value>> {
    let mut take = Map::new();
    take.insert("request".to_owned(), serde_json::to_value(request)?);
    take.insert(
        "versions".to_owned(),
        json!({
            "wan-alpha": env!("CARGO_PKG_VERSION"),
            "libtorch": wan_alpha_core::device::LIBTORCH_BUILD,
        }),
    );
    take.insert("device".to_owned(), json!(device));
    take.insert("threads".to_owned(), json!(tch::get_num_threads()));
    take.insert("warnings".to_owned(), json!(console.warnings()));
    take.insert("timings".to_owned(), console.timings());
    Ok(take)
}

/// Writes frames as they come, and tensors where a dump was asked for.
struct FilesSink {
    /// Goes first when a take is given up: its folder may be the writer's, which goes if empty.
    dump: Option<Dump>,
    writer: Writer,
}

impl Sink for FilesSink {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError> {
        let Frame { index, width, height, rgba } = frame;
        Ok(self.writer.write(output::Frame { index, width, height, rgba })?)
    }

    fn wants_tensors(&self) -> bool {
        self.dump.is_some()
    }

    fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<(), SinkError> {
        match &mut self.dump {
            Some(dump) => Ok(dump.add(name, tensor)?),
            None => Ok(()),
        }
    }
}
