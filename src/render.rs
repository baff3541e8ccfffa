//! `wan-alpha render`: one take, from its prompt to files.

mod console;
mod placement;

use std::path::PathBuf;

use anyhow::{Error, Result, anyhow};
use serde_json::{Map, Value, json};
use wan_alpha_core::generate::{Frame, Keep, Pipeline, Sink, SinkError};
use wan_alpha_core::tch::{self, Tensor};
use wan_alpha_core::weights::Strengths;
use wan_alpha_core::{ErrorKind, Watch};
use wan_alpha_take::request::DecodeTiling;
use wan_alpha_take::{Solver, TakeRequest, frames};

use crate::args::{self, Render};
use crate::dump::Dump;
use crate::exit::{Exit, OrExit};
use crate::interrupt::Interrupt;
use crate::output::{self, Plan, Provenance, Writer};
use crate::progress::Progress;
use console::Console;
use placement::Placement;

const DEFAULT_FRAMES: u32 = 81;

/// With fewer steps than a model wants, and no adapter made for few, takes come out unfinished.
const FEW_STEPS: u32 = 8;

/// Makes the take that `args` describe.
pub(crate) fn run(args: &Render, progress: &Progress, interrupt: &Interrupt) -> Result<()> {
    let console = Console::new(progress, interrupt);
    if let Some(threads) = args.threads {
        tch::set_num_threads(i32::try_from(threads)?);
    }
    let prompt = args::text_or_file("--prompt", &args.prompt)?;
    let negative = args.negative.as_deref();
    let negative = negative.map(|text| args::text_or_file("--negative", text)).transpose()?;
    let count = args.frames.unwrap_or(DEFAULT_FRAMES);
    let latent_frames = frames::latent_frames(count).or_exit(Exit::BadInput)?;
    let placement = Placement::of(args, latent_frames)?;

    let device = args.device.open(&cuda_folders()).map_err(explain)?;
    let strengths = Strengths { dora: args.dora_strength, distill: args.distill_strength };
    let mut pipeline =
        Pipeline::open(&args.model, strengths, device, Keep::Nothing, &console).map_err(explain)?;
    let request = request(args, prompt, negative, &pipeline, &placement)?;
    warn_few_steps(&request, &pipeline, &console);

    let mut sink = FilesSink {
        writer: Writer::create(plan(args, &request, &placement)?)?,
        dump: args.dump.as_deref().map(Dump::create).transpose()?,
    };
    pipeline.make(&request, placement.mask(), &mut sink, &console).map_err(explain)?;

    let FilesSink { writer, dump } = sink;
    let written = writer.finish()?;
    if let Some(dump) = dump {
        dump.finish()?;
    }
    written.describe(describe(&request, &placement, &console, &format!("{device:?}"))?)?;
    progress.done();
    println!("{}", written.folder().display());
    progress.note(format!(
        "{} frames ({} files), {} and take.json are in {}",
        request.frames,
        written.frames.len(),
        written.sheet.file_name().unwrap_or_default().display(),
        written.folder().display()
    ));
    Ok(())
}

/// The request of the command line, completed by what the model does by default.
fn request(
    args: &Render,
    prompt: String,
    negative_prompt: Option<String>,
    pipeline: &Pipeline,
    placement: &Placement,
) -> Result<TakeRequest> {
    let defaults = pipeline.defaults();
    let ellipse = placement.ellipses();
    let request = TakeRequest {
        version: TakeRequest::VERSION,
        prompt,
        negative_prompt,
        seed: args.seed,
        frames: args.frames.unwrap_or(DEFAULT_FRAMES),
        width: args.width.unwrap_or(832),
        height: args.height.unwrap_or(480),
        take_rate: TakeRequest::TAKE_RATE,
        mu: vec![args.mu.unwrap_or(0.05); ellipse.len()],
        ellipse,
        mu_scale: 1.0,
        steps: args.steps.unwrap_or(defaults.steps),
        shift: args.shift.unwrap_or(5.0),
        guidance: args.guidance.unwrap_or(defaults.guidance),
        solver: args.solver.unwrap_or(Solver::UniPc),
        dora_strength: args.dora_strength,
        distill_strength: args.distill_strength,
        precision: args.dtype.unwrap_or(defaults.precision),
        decode_tiling: DecodeTiling::Whole,
        model: model_name(args),
        first_image: None,
    };
    request.accept().or_exit(Exit::BadInput)
}

/// A name for a model given by paths: that of the first folder or file.
fn model_name(args: &Render) -> String {
    let path = args.model.first().and_then(|path| path.canonicalize().ok());
    let name = path.as_deref().and_then(|path| path.file_stem());
    let name = name.map(|name| name.to_string_lossy().replace(['\\', ':'], "_"));
    name.map(|name| name.trim_start_matches('.').to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "model".to_owned())
}

fn warn_few_steps(request: &TakeRequest, pipeline: &Pipeline, console: &Console<'_>) {
    let usual = pipeline.defaults().steps;
    if !pipeline.files().is_distilled() && request.steps <= FEW_STEPS && request.steps < usual {
        console.warn(&format!(
            "{} steps without a step-distillation LoRA: expect a blurred take; {usual} are usual",
            request.steps
        ));
    }
}

fn plan(args: &Render, request: &TakeRequest, placement: &Placement) -> Result<Plan> {
    let mut recipe = json!({ "request": request });
    if let (Some(recipe), Some(mask)) = (recipe.as_object_mut(), placement.describe_mask()) {
        recipe.insert("mask".to_owned(), mask);
    }
    Ok(Plan {
        folder: args.out.clone(),
        formats: args.formats(),
        frames: request.frames as usize,
        width: request.width as usize,
        height: request.height as usize,
        provenance: Provenance {
            software: concat!("wan-alpha ", env!("CARGO_PKG_VERSION")).to_owned(),
            description: request.prompt.clone(),
            recipe: serde_json::to_string(&recipe)?,
            frame_rate: i32::try_from(request.take_rate)?,
        },
    })
}

/// `take.json`. Everything that may differ between equal takes stands under `timings`.
fn describe(
    request: &TakeRequest,
    placement: &Placement,
    console: &Console<'_>,
    device: &str,
) -> Result<Map<String, Value>> {
    let mut take = Map::new();
    take.insert("request".to_owned(), serde_json::to_value(request)?);
    if let Some(mask) = placement.describe_mask() {
        take.insert("mask".to_owned(), mask);
    }
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

/// Where CUDA's half of libtorch may lie: beside the program, in a `lib` beside its folder, and
/// where set-up puts it in a checkout.
fn cuda_folders() -> Vec<PathBuf> {
    let Ok(program) = std::env::current_exe() else { return Vec::new() };
    let mut folders = Vec::new();
    if let Some(folder) = program.parent() {
        folders.extend([folder.to_owned(), folder.join("../lib")]);
    }
    folders.extend(program.ancestors().map(|folder| folder.join(".setup/libtorch-cuda/lib")));
    folders.retain(|folder| folder.is_dir());
    folders
}

fn explain(error: wan_alpha_core::Error) -> Error {
    let exit = match error.kind() {
        ErrorKind::BadInput => Exit::BadInput,
        ErrorKind::OutOfMemory => Exit::OutOfMemory,
        ErrorKind::ModelIncomplete => Exit::ModelIncomplete,
        ErrorKind::Cancelled => Exit::Cancelled,
        ErrorKind::Failed => Exit::Failed,
    };
    // A file that could not be written says its own reason.
    let error = match error {
        wan_alpha_core::Error::Sink(inner) => anyhow!(inner),
        other => Error::new(other),
    };
    exit.mark(error)
}

/// Writes frames as they come, and tensors where a dump was asked for.
struct FilesSink {
    writer: Writer,
    dump: Option<Dump>,
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
