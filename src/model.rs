//! `wan-alpha model`: models by name.

mod export;
mod fingerprints;
mod get;
mod gguf_header;
mod loras;
mod merge;
mod pack;
mod parts;
pub(crate) mod preview;
mod quantize;
mod report;
mod sampling_defaults;
mod tensor_stream;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{Keep, Pipeline};
use wan_alpha_core::text::Tokenizer;
use wan_alpha_core::weights::{ModelFiles, Strengths};
use wan_alpha_take::models::{
    ChosenPreset, Defaults, LatentPreview, MadeFor, Manifest, ModelError, ModelRoots, NamedModel,
    PartFile, Preset, check_name,
};
use wan_alpha_take::{Fingerprint, Precision, RequestDraft};

use crate::args::ModelCommand;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::progress::TerminalProgress;
use crate::stdout::print_lines;
use crate::threads;
pub(crate) use fingerprints::Fingerprints;
pub(crate) use loras::ChosenLoras;
use merge::Keeping;
use quantize::Quantizing;
pub(crate) use sampling_defaults::{Recorded, SamplingDefaults};
use wan_alpha_take::environment::Environment;

/// A model as the command line names it: a name, or files.
#[derive(Clone)]
pub(crate) struct Chosen {
    /// What a request calls it.
    pub(crate) name: String,
    /// The files of its parts, or folders with them.
    pub(crate) paths: Vec<PathBuf>,
    /// What its record says it does where a request is silent.
    pub(crate) defaults: Defaults,
    /// Whose settings these are, as far as its record says.
    pub(crate) preset: Option<ChosenPreset>,
    /// Files and folders that are added to those of a record.
    pub(crate) added: Vec<PathBuf>,
    /// What its record says it was made for.
    pub(crate) made_for: MadeFor,
    /// Known from its record; of files, to be found out.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The copy that its record names.
    pub(crate) merged: Merged,
    /// What its record says that latents look like.
    pub(crate) preview: Option<LatentPreview>,
}

/// As [`NamedModel::merged`] has it.
pub(crate) type Merged = Result<Option<(PathBuf, Precision)>, String>;

impl Chosen {
    /// Resolves `--model`: the name of a model means that model, whatever lies under it in the current
    /// folder; an existing path files, or a model whose record is in that folder; anything else is a name.
    pub(crate) fn of(model: &[PathBuf], roots: &ModelRoots) -> Result<Self> {
        if let [one] = model
            && let Some(known) = named(one, roots)?
        {
            return Ok(known.into());
        }
        if let [one] = model
            && let Some(known) = NamedModel::in_folder(one)?
        {
            return Ok(known.into());
        }
        let mut chosen = Self {
            name: name_of(model.first()),
            paths: Vec::new(),
            defaults: Defaults::default(),
            preset: None,
            added: Vec::new(),
            made_for: MadeFor::default(),
            fingerprint: None,
            merged: Ok(None),
            preview: None,
        };
        for (index, one) in model.iter().enumerate() {
            let Some(known) = known_among_several(one, roots)? else {
                chosen.paths.push(one.clone());
                chosen.added.push(one.clone());
                continue;
            };
            let known = Self::from(known);
            if index == 0 {
                chosen.name = known.name;
            }
            chosen.defaults = chosen.defaults.or(known.defaults);
            chosen.preset = chosen.preset.or(known.preset);
            if chosen.made_for == MadeFor::default() {
                chosen.made_for = known.made_for;
            }
            chosen.paths.extend(known.paths);
        }
        Ok(chosen)
    }
}

/// The model that one of several words of `--model` stands for, whose files others are added to: by its
/// name, or by the record in its folder. None of a file, or a folder without a record.
fn known_among_several(one: &Path, roots: &ModelRoots) -> Result<Option<NamedModel>> {
    match named(one, roots)? {
        Some(known) => Ok(Some(known)),
        None => Ok(NamedModel::in_folder(one)?),
    }
}

/// The model that a word is the name of; none where it can be a path alone.
fn named(one: &Path, roots: &ModelRoots) -> Result<Option<NamedModel>> {
    let Some(name) = one.to_str().filter(|name| check_name(name).is_ok()) else { return Ok(None) };
    match roots.find(name) {
        Ok(model) => Ok(Some(model)),
        Err(ModelError::Unknown { .. }) if one.exists() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a request calls a model that has no name.
fn name_of(first: Option<&PathBuf>) -> String {
    let first = first.and_then(|path| path.canonicalize().ok());
    let name = first.as_deref().and_then(|path| path.file_stem()).unwrap_or_default();
    let name: String = name
        .to_string_lossy()
        .trim_start_matches('.')
        .chars()
        .map(|c| if c.is_alphanumeric() || "-_.+".contains(c) { c } else { '_' })
        .take(100)
        .collect();
    if name.is_empty() { "model".to_owned() } else { name }
}

impl From<NamedModel> for Chosen {
    fn from(model: NamedModel) -> Self {
        let (paths, merged) = (model.paths(), model.merged());
        let Manifest { name, defaults, preset, made_for, fingerprint, preview, .. } =
            model.manifest;
        let (fingerprint, added) = (Some(fingerprint), Vec::new());
        Self { name, paths, defaults, preset, added, made_for, fingerprint, merged, preview }
    }
}

/// Has a named model's transformer loaded from its merged copy, where there is one; where the copy
/// cannot be used, that is said, and the model is merged as ever.
pub(crate) fn use_merged(
    pipeline: &mut Pipeline,
    name: &str,
    merged: Merged,
    fingerprint: Fingerprint,
    watch: &dyn Watch,
) {
    let used = merged.and_then(|merged| match merged {
        Some((path, precision)) => {
            pipeline.use_merged(&path, fingerprint, precision).map_err(|error| error.to_string())
        }
        None => Ok(()),
    });
    if let Err(reason) = used {
        watch.warn(&format!(
            "the merged copy of `{name}` is not used: {reason}. `wan-alpha model add {name} PATH… \
             --keep-merged` makes it anew"
        ));
    }
}

/// Every model and LoRA with a name, in a line each or as JSON.
fn list(roots: &ModelRoots, json: bool) -> Result<Vec<String>> {
    if json {
        return Ok(vec![report::list_json(roots)?]);
    }
    let mut lines = report::list(roots)?;
    lines.extend(loras::list(roots));
    Ok(lines)
}

/// One model, part by part.
fn show(name: &str, roots: &ModelRoots, json: bool, watch: &dyn Watch) -> Result<Vec<String>> {
    if roots.has_lora(name) && roots.find(name).is_err() {
        return report::show_lora(&roots.find_lora(name)?, json);
    }
    let chosen = Chosen::of(&[name.into()], roots)?;
    if json { Ok(vec![report::show_json(&chosen, watch)?]) } else { report::show(&chosen, watch) }
}

/// Forgets a model; or the LoRA of that name, where there is no such model.
fn remove(name: &str, roots: &ModelRoots) -> Result<Vec<String>> {
    let record = match roots.remove(name) {
        Ok(record) => record,
        Err(ModelError::Unknown { .. }) if roots.has_lora(name) => {
            return Ok(vec![loras::remove(name, roots)?]);
        }
        Err(error) => return Err(error.into()),
    };
    let gone = format!("{name} is forgotten ({} is gone); its weights stay", record.display());
    // Earlier versions gave one name to both.
    let other = roots.has_lora(name).then(|| {
        format!("the LoRA {name} stays; `wan-alpha model remove --lora {name}` forgets it")
    });
    Ok([Some(gone), other].into_iter().flatten().collect())
}

/// Runs a verb of `wan-alpha model`.
pub(crate) fn run(command: &ModelCommand, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console: watch, .. } = *context;
    let roots = &environment.models;
    for root in &roots.roots {
        for record in std::fs::read_dir(root).into_iter().flatten().flatten() {
            tensor_stream::remove_unfinished(&record.path());
        }
    }
    let lines = match command {
        ModelCommand::Add { name, paths, lora: true, .. } => loras::add(name, paths, roots, watch)?,
        ModelCommand::Add { name, paths, preset, keep_merged, threads, .. } => {
            threads::set(*threads, environment);
            let adding = Adding { name, paths, preset: *preset };
            adding.run(keep_merged.then_some(progress), environment, watch)?
        }
        ModelCommand::Pack { name, paths, defaults, transparent, out } => {
            let pack = pack::Pack {
                name,
                paths,
                defaults: defaults.as_deref(),
                transparent: *transparent,
                out,
            };
            let record = pack.run(watch)?;
            vec![record.display().to_string()]
        }
        ModelCommand::Get(args) => get::run(args, context)?,
        ModelCommand::List { json } => list(roots, *json)?,
        ModelCommand::Show { name, json } => show(name, roots, *json, watch)?,
        ModelCommand::Verify { name } => vec![verify(name, roots, watch)?],
        ModelCommand::Remove { name, lora: true } => vec![loras::remove(name, roots)?],
        ModelCommand::Remove { name, lora: false } => remove(name, roots)?,
        ModelCommand::Merge { model, out, dtype, threads } => {
            threads::set(*threads, environment);
            merge::run(&Chosen::of(model, roots)?, out, *dtype, watch)?;
            vec![out.display().to_string()]
        }
        ModelCommand::Quantize { model, to, name, json, threads } => {
            threads::set(*threads, environment);
            let quantizing = Quantizing { to: *to, name: name.as_deref(), json: *json, roots };
            quantizing.run(&Chosen::of(model, roots)?, progress, watch)?
        }
        ModelCommand::Export { model, diffusers, comfyui } => {
            let places = (diffusers.as_deref(), comfyui.as_deref());
            export::run(&Chosen::of(model, roots)?.paths, places, watch)?
        }
        ModelCommand::Where { json: true } => vec![report::places_json(environment)?],
        ModelCommand::Where { json: false } => report::places(environment),
    };
    progress.done();
    print_lines(&lines)?;
    Ok(())
}

/// A model that is to be given a name.
struct Adding<'a> {
    name: &'a str,
    paths: &'a [PathBuf],
    /// How it is to be sampled, whatever its files say.
    preset: Option<&'static Preset>,
}

impl Adding<'_> {
    /// `keep_merged`: a merged copy is wanted, and where its size is told.
    fn run(
        &self,
        keep_merged: Option<&TerminalProgress>,
        environment: &Environment,
        watch: &dyn Watch,
    ) -> Result<Vec<String>> {
        let Self { name, paths, preset } = *self;
        environment.models.check_model_name(name)?;
        let pipeline =
            Pipeline::open(paths, Strengths::default(), Device::cpu(), Keep::Nothing, watch)?;
        let files = pipeline.files();
        if let Some(encoder) = &files.encoder {
            encoder.check()?;
        }
        Tokenizer::of_model(files, watch)?;
        let fingerprint = files.fingerprint(watch)?;
        let parts = files.paths().iter().map(|path| PartFile::of(path)).collect::<Result<_, _>>();
        // All that a node leaves to the model, since a node cannot look at the weights.
        let recorded = Recorded::among(paths)?;
        let sampling = SamplingDefaults::of(&recorded, &pipeline, preset);
        check_defaults(name, &sampling.defaults)?;
        let precision = sampling.defaults.precision.unwrap_or(Precision::F32);
        let parameters = files.dit.parameters();
        let mut record = Manifest::new(name, fingerprint, parts?, sampling.defaults, parameters);
        record.made_for = recorded.made_for;
        record.preset = sampling.preset;
        record.images = Some(pipeline.images_needed());
        record.preview =
            preview::fitted((&files.decoders, files.encoder.as_ref()), Device::cpu(), watch)?;
        let keeping = Keeping { files, source: fingerprint, precision };
        if let Some(progress) = keep_merged {
            announce(&keeping, name, &environment.models, progress)?;
        }
        let path = environment.models.add(&record)?;
        let mut lines = parts::lines(files);
        if keep_merged.is_some() {
            let folder = path.parent().unwrap_or(Path::new("."));
            record.merged = Some(keeping.write(folder, watch)?);
            record.write(folder)?;
            lines.extend(report::merged(&Chosen::of(&[name.into()], &environment.models)?));
        }
        lines.extend(report::preset(record.preset.as_ref()));
        lines.extend(report::preview(record.preview.as_ref()));
        lines.extend([
            report::abilities(files),
            format!("{name} is recorded in {}", path.display()),
            format!("fingerprint {fingerprint}"),
            format!("use it: wan-alpha render --model {name} --prompt …"),
        ]);
        Ok(lines)
    }
}

/// Whether a request that leaves all to the model can be made.
fn check_defaults(name: &str, defaults: &Defaults) -> Result<()> {
    RequestDraft::check_defaults(name, defaults)
        .with_context(|| format!("what the record of {name} says it does cannot be done"))
        .or_exit(Exit::BadInput)
}

/// Tells how large the copy will be; refuses where there is nothing to merge, or no room.
fn announce(
    keeping: &Keeping<'_>,
    name: &str,
    roots: &ModelRoots,
    progress: &TerminalProgress,
) -> Result<()> {
    let nothing = || anyhow!("{name} has no adapters to merge; add it without --keep-merged");
    if keeping.files.adapters.is_empty() {
        return Err(nothing()).or_exit(Exit::BadInput);
    }
    let bytes = keeping.bytes()?;
    let size = parts::size(bytes);
    let place = roots.roots.first().map(|root| root.join(name)).unwrap_or_default();
    progress.remark(format!("the merged copy needs {size} in {}", place.display()));
    let room = roots.room();
    ensure!(
        room.is_none_or(|room| room > bytes),
        "the merged copy needs {size}, and {} are free in {}: make room, or add {name} without \
         --keep-merged",
        parts::size(room.unwrap_or(0)),
        place.display()
    );
    Ok(())
}

fn verify(name: &str, roots: &ModelRoots, watch: &dyn Watch) -> Result<String> {
    let model = match roots.find(name) {
        Ok(model) => model,
        Err(error) => {
            let lora = roots.find_lora(name).map_err(|_| error)?;
            return loras::verify(&lora, watch);
        }
    };
    let files = ModelFiles::find(&model.paths(), Strengths::default(), watch)?;
    let found = files.fingerprint(watch)?;
    if found == model.manifest.fingerprint {
        return Ok(format!("{} is what it was when it was added: {found}", model.manifest.name));
    }
    Err(anyhow!(
        "{} has changed: recorded as {}, now {found}. Fetch its files again, or add it anew",
        model.manifest.name,
        model.manifest.fingerprint
    ))
    .or_exit(Exit::ModelIncomplete)
}

/// The fingerprint of a model: from its record, or its files'.
pub(crate) fn fingerprint_of(
    chosen: &Chosen,
    files: &ModelFiles,
    environment: &Environment,
    watch: &dyn Watch,
) -> Result<Fingerprint> {
    match chosen.fingerprint {
        Some(known) => Ok(known),
        None => {
            let cache = Fingerprints::in_folder(environment.cache.as_deref());
            Ok(cache.of(files, watch)?)
        }
    }
}
