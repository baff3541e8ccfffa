//! `wan-alpha render`: one take, from its prompt to files.

mod again;
mod images;
mod opened_model;
mod placement;
mod store_copy;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use wan_alpha_core::Watch;
use wan_alpha_core::device::Opened;
use wan_alpha_core::generate::Pipeline;
use wan_alpha_core::tch;
use wan_alpha_take::counted::counted;
use wan_alpha_take::models::LatentPreview;
use wan_alpha_take::store::{Computed, Store, Take, TakeOutcome};
use wan_alpha_take::{TakeReport, TakeRequest, Warning, WarningCode};

use crate::args::Render;
use crate::console::Console;
use crate::context::CommandContext;
use crate::cpu_estimate::CpuEstimate;
use crate::device;
use crate::dump::Dump;
use crate::exit::{Exit, OrExit};
use crate::memory;
use crate::output::{
    FileSettings, Plan, Writer, WriterSink, Written, add_circumstances, is_replaced,
};
use crate::own_inputs::{refuse_input, refuse_inputs_in};
use crate::preview::{PreviewFile, PreviewWatch};
use crate::progress::TerminalProgress;
use crate::saved_request::{self, RecoveredRequest};
use crate::stdout::print_lines;
use crate::take_record::{ReportSink, WarningKeeper, in_order};
use crate::timed_watch::TimedWatch;
use crate::timing_history::{TimedRun, TimingHistory, pace_class};
use crate::{announcement, engine, model, take};
use images::NamedImages;
pub(crate) use opened_model::{AskedRequest, OpenedModel, ReadFlags};
use placement::SubjectPlacement;
pub(crate) use placement::read_mask;
use store_copy::StoreCopy;

/// Makes the take that `args` describe, unless the store has it.
pub(crate) fn run(args: &Render, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, console, .. } = *context;
    refuse_nothing_asked(args).or_exit(Exit::BadInput)?;
    let mut saved = args.from.as_deref().map(saved_request::read).transpose()?;
    if let (Some(saved), Some(seed)) = (&mut saved, args.picked_seed()?) {
        saved.request.seed = seed;
        args.seed_warning().into_iter().for_each(|words| console.caution(words));
    }
    args.picked_line()?.into_iter().for_each(|words| console.remark(&words));
    let settings = args.files.settings(environment)?;
    refuse_inputs(args, &settings, saved.as_ref())?;
    console.say_choices(args.mask.as_slice());
    let store = Store::new(environment.stores.clone());
    // Without its model, too.
    if let Some(RecoveredRequest { request, .. }) = &saved
        && let Some(take) = kept(args, &store, request, console)
    {
        NamedImages::given_again(args, request, console)?;
        return write_kept((args, &settings), &take, context);
    }
    let asked = match saved {
        Some(saved) => AskedTake::again(args, saved.request, &store, context)?,
        None => AskedTake::anew(args, context)?,
    };
    if let Some(take) = kept(args, &store, &asked.request, console) {
        return write_kept((args, &settings), &take, context);
    }
    make_and_write((args, &settings), asked, &store, context)
}

/// A render without a prompt is none; where its folder holds a take, something may have been meant by it.
pub(crate) fn refuse_nothing_asked(args: &Render) -> Result<()> {
    if args.prompt.is_some() || args.from.is_some() {
        return Ok(());
    }
    let out = args.out.display();
    let again = match args.out.to_str().map(saved_request::read) {
        Some(Ok(_)) => format!(
            "; {out} holds a take: `--from {out}` makes it again, with another folder as --out"
        ),
        _ => ", or --from with an earlier take".to_owned(),
    };
    bail!("there is no prompt: say what to show by --prompt TEXT{again}")
}

/// A take that is to be made: its whole request, and what makes it.
struct AskedTake {
    request: TakeRequest,
    placement: SubjectPlacement,
    images: NamedImages,
    /// Its weights are not read yet.
    pipeline: Pipeline,
    /// What is to be known of it before anything is computed.
    before: Vec<Warning>,
    /// What was said of its files.
    of_model: Vec<Warning>,
    /// What latents look like, where the model's record says it.
    preview: Option<LatentPreview>,
    /// None where an engine computes.
    opened: Option<Opened>,
}

impl AskedTake {
    /// What a command line asks for, completed by what the model does where it is silent.
    fn anew(args: &Render, context: &CommandContext<'_>) -> Result<Self> {
        let flags = ReadFlags::of(args, context)?;
        let opened = open_device(args, context)?;
        let mut model = OpenedModel::of(args, flags.chosen.clone(), opened.as_ref(), context)?;
        let asked = model.request(args, flags, context)?;
        Ok(Self::of(model, asked, opened))
    }

    /// What an earlier take was made of.
    fn again(
        args: &Render,
        request: TakeRequest,
        store: &Store,
        context: &CommandContext<'_>,
    ) -> Result<Self> {
        let opened = open_device(args, context)?;
        let (model, asked) = OpenedModel::again(args, request, store, opened.as_ref(), context)?;
        Ok(Self::of(model, asked, opened))
    }

    fn of(model: OpenedModel, asked: AskedRequest, opened: Option<Opened>) -> Self {
        let AskedRequest { request, placement, images, before } = asked;
        let OpenedModel { chosen, pipeline, of_model, .. } = model;
        let preview = chosen.preview;
        Self { request, placement, images, pipeline, before, of_model, preview, opened }
    }

    /// The file of `--preview`.
    fn preview_file(&self, path: &Path, settings: &FileSettings) -> Result<PreviewFile> {
        let key = self.request.key().map(|key| key.to_string()).unwrap_or_default();
        let rate = i32::try_from(self.request.take_rate)?;
        PreviewFile::new(path, settings.provenance_of(&self.request.model, key, rate))
    }

    /// What latents look like; what no record says is found out, as `model add` does.
    fn latent_preview(&self, opened: &Opened, console: &Console<'_>) -> Result<LatentPreview> {
        if let Some(map) = &self.preview {
            return Ok(map.clone());
        }
        console.remark(
            "what latents look like is found out, since no record of the model says it: `wan-alpha model \
             add` keeps it",
        );
        let files = self.pipeline.files();
        Ok(model::preview::fit((&files.decoders, files.encoder.as_ref()), opened.device, console)?)
    }

    /// Makes the take here and now; every frame is measured, and written, into the store too, as soon as
    /// it is decoded. `class` is what it is computed on.
    fn make(
        &mut self,
        (args, settings): (&Render, &FileSettings),
        class: &str,
        store: &Store,
        watch: &dyn Watch,
        context: &CommandContext<'_>,
    ) -> Result<(Written, TakeReport)> {
        let CommandContext { environment, console, .. } = *context;
        let Self { request, placement, images, pipeline, before, of_model, .. } = self;
        if let Some(dump) = &args.dump {
            refuse_input("--dump", dump, &pipeline.files().paths())?;
        }
        let plan = Plan::of(request, &args.out, settings)?;
        let writer = Writer::create(plan, |words| console.remark(words))?;
        let dump = args.dump.as_deref().map(Dump::create).transpose()?;
        let kept_in = (!args.no_store).then_some(store);
        let mut copy = StoreCopy::begin(kept_in, request, class, console);
        let mut sink = WriterSink::new(writer, dump, |frame| {
            copy.frame(frame);
            Ok(())
        });
        let mut measured = ReportSink::new(request, &mut sink)?;
        let watch = WarningKeeper::new(watch, WarningCode::Computation);
        let inputs = images.images.inputs(placement.guide().mask());
        pipeline.make(request, inputs, &mut measured, &watch)?;
        let report = measured.finish()?;
        let written = sink.finish()?;
        written.remarks.iter().for_each(|words| console.remark(words));
        let result = request.result_warnings(&report, before);
        result.iter().for_each(|warning| console.tell(warning));
        let outcome = computed_by(pipeline, request).map(|computed| TakeOutcome {
            computed,
            report: Some(report),
            warnings: in_order([result, before.clone(), watch.into_kept(), of_model.clone()]),
        });
        copy.publish(outcome, environment.store_limit);
        Ok((written, report))
    }
}

/// What computes; none where an engine does, which has its own device: only headers are read here then.
fn open_device(args: &Render, context: &CommandContext<'_>) -> Result<Option<Opened>> {
    let CommandContext { environment, .. } = *context;
    if args.engine {
        return Ok(None);
    }
    // What it is computed with is told in the take's own line.
    device::open_untold(&args.computing, environment).map(Some)
}

/// Files that are read are not written over.
pub(crate) fn refuse_inputs(
    args: &Render,
    settings: &FileSettings,
    saved: Option<&RecoveredRequest>,
) -> Result<()> {
    let texts = [&args.prompt, &args.negative].into_iter().flatten();
    let texts = texts.filter_map(|text| text.strip_prefix('@').map(PathBuf::from));
    let mut read: Vec<PathBuf> = texts.chain(args.ellipse_track.clone()).collect();
    read.extend(saved.and_then(|saved| saved.file.clone()));
    read.extend(placement::mask_files(args)?);
    read.extend(images::image_files(args));
    read.extend(args.files.inputs());
    let replaced = |name: &str| is_replaced(name, &settings.names);
    refuse_inputs_in("--out", &args.out, replaced, &read)?;
    for (flag, output) in [("--dump", &args.dump), ("--preview", &args.preview)] {
        if let Some(output) = output {
            refuse_input(flag, output, read.iter().chain(&args.model))?;
        }
    }
    Ok(())
}

/// Makes the take here and now, or has the engine make it, and writes its files.
fn make_and_write(
    (args, settings): (&Render, &FileSettings),
    mut asked: AskedTake,
    store: &Store,
    context: &CommandContext<'_>,
) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let absent = take::absent_folders(store);
    if !args.no_store {
        asked.images.keep(store, asked.opened.is_none(), console)?;
    }
    let preview = args.preview.as_deref();
    let preview = preview.map(|path| asked.preview_file(path, settings)).transpose()?;
    let preview = preview.as_ref();
    let (written, device, computed, report) = match &asked.opened {
        None => {
            let AskedTake { request, before, .. } = &asked;
            Plan::of(request, &args.out, settings)?.refuse_unwritable()?;
            let take = engine::have_made(request, before, preview, environment, console)?;
            let written = take::write_files(&take, &args.out, settings, None, console)?;
            let about = take.description();
            (written, format!("engine, {}", about.device), None, about.report)
        }
        Some(opened) => {
            let class = opened.class();
            let mut history = TimingHistory::read(&environment.state);
            let run = announce(&asked.request, &asked.pipeline, opened, &history, context)?;
            if !args.no_store {
                take::say_size(&asked.request, store, console);
            }
            asked.before.iter().for_each(|warning| console.tell(warning));
            let map = preview.map(|_| asked.latent_preview(opened, console)).transpose()?;
            let watch = TimedWatch::new(console, run);
            let watched = PreviewWatch { watch: &watch, shown: preview.zip(map.as_ref()) };
            let (written, report) =
                asked.make((args, settings), &class, store, &watched, context)?;
            history.learn(watch.finish());
            (written, class, computed_by(&asked.pipeline, &asked.request), Some(report))
        }
    };
    let request = asked.request;
    take::say_made(&absent, console);
    let mut take = Map::new();
    take.insert("request".to_owned(), serde_json::to_value(&request)?);
    add_circumstances(&mut take, console, &device);
    take.extend(computed.map(|computed| ("computed".to_owned(), json!(computed))));
    take.extend(report.map(|report| ("report".to_owned(), json!(report))));
    written.describe(take)?;
    tell(&written, &request, report.as_ref(), progress)
}

/// Says what the take is computed with and how long it may last, which its run is to teach.
fn announce(
    request: &TakeRequest,
    pipeline: &Pipeline,
    opened: &Opened,
    history: &TimingHistory,
    context: &CommandContext<'_>,
) -> Result<TimedRun> {
    let CommandContext { environment, console, .. } = *context;
    let class = pace_class(&opened.class(), tch::get_num_threads());
    let run = history.begin(request, &class);
    let slow = CpuEstimate::of(pipeline, request, opened.device, run.learned())?;
    let expected = slow.as_ref().map_or_else(
        || announcement::expected(history, pipeline, request, opened),
        CpuEstimate::expected,
    );
    let line = announcement::line(request, opened, environment, expected);
    console.remark(&(line + &memory::told(pipeline, request)));
    if let Some(words) = announcement::of_image(&pipeline.arithmetic(request), request.steps) {
        console.remark(&words);
    }
    device::warn_of_unused(opened, environment, console);
    if let Some(slow) = slow {
        console.caution(slow);
    }
    Ok(run)
}

/// The take, where the store has it and nobody wants it computed.
fn kept(args: &Render, store: &Store, request: &TakeRequest, watch: &dyn Watch) -> Option<Take> {
    if args.no_store || args.dump.is_some() {
        return None;
    }
    let found = store.find(&request.key().ok()?);
    for problem in &found.problems {
        watch.warn(&problem.to_string());
    }
    found.take
}

/// Writes a take of the store, as `take export` does.
fn write_kept(
    (args, settings): (&Render, &FileSettings),
    kept: &Take,
    context: &CommandContext<'_>,
) -> Result<()> {
    let CommandContext { progress, console, .. } = *context;
    console.remark(&format!(
        "the take is in the store already: it is written from {} and not computed again (--no-store \
         computes it)",
        kept.path().display()
    ));
    if let Some(preview) = &args.preview {
        console
            .remark(&format!("there is nothing to preview: {} is not written", preview.display()));
    }
    let about = kept.description();
    about.warnings.iter().for_each(|warning| console.tell(warning));
    let from_store = Map::from_iter([("from_store".to_owned(), json!(true))]);
    let written = write_stored((args, settings), kept, from_store, console)?;
    tell(&written, &about.request, about.report.as_ref(), progress)
}

/// Writes the files that `args` ask for of a take of the store, with `more` in its `take.json`.
///
/// # Errors
/// The take is damaged, or its files cannot be written.
pub(crate) fn write_stored(
    (args, settings): (&Render, &FileSettings),
    stored: &Take,
    more: Map<String, Value>,
    console: &Console<'_>,
) -> Result<Written> {
    let about = stored.description();
    let written = take::write_files(stored, &args.out, settings, None, console)?;
    let mut take = Map::new();
    take.insert("request".to_owned(), serde_json::to_value(&about.request)?);
    add_circumstances(&mut take, console, &about.device);
    take.extend(about.computed.as_ref().map(|computed| ("computed".to_owned(), json!(computed))));
    take.extend(about.report.map(|report| ("report".to_owned(), json!(report))));
    take.extend(more);
    written.describe(take)?;
    Ok(written)
}

/// Says where the take is: its folder to programs, and to people what is in it and what it came to.
fn tell(
    written: &Written,
    request: &TakeRequest,
    report: Option<&TakeReport>,
    progress: &TerminalProgress,
) -> Result<()> {
    progress.done();
    print_lines(&[written.folder().display().to_string()])?;
    progress.remark(format!(
        "{} ({}), {} and take.json are in {}",
        counted(request.frames, "frame"),
        counted(written.frames.len(), "file"),
        written.sheet.file_name().unwrap_or_default().display(),
        written.folder().display()
    ));
    if let Some(report) = report {
        progress.remark(format!("the take {report}"));
    }
    Ok(())
}

/// How a take was computed; nothing before the transformer has run.
fn computed_by(pipeline: &Pipeline, request: &TakeRequest) -> Option<Computed> {
    pipeline.attention_kernel().map(|kernel| Computed {
        attention: Some(kernel.to_string()),
        tf32: pipeline.decodes_in_tf32(request.precision),
        decoded_on: None,
    })
}
