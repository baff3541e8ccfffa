//! The model of a take, opened with its weights unread, and the whole requests that it completes from flags.

use anyhow::{Result, anyhow};
use wan_alpha_core::device::{Device, Opened};
use wan_alpha_core::generate::{Keep, Pipeline};
use wan_alpha_core::weights::{FurtherLora, Strengths};
use wan_alpha_take::models::Defaults;
use wan_alpha_take::store::Store;
use wan_alpha_take::{Fingerprint, Mask, RequestDraft, TakeRequest, Warning, WarningCode};

use super::again;
use super::images::NamedImages;
use super::placement::SubjectPlacement;
use crate::args::{self, Render};
use crate::console::Console;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::maker::{NamedFiles, check_numerics, contexts_folder};
use crate::memory;
use crate::model::{Chosen, ChosenLoras, Recorded, SamplingDefaults, fingerprint_of, use_merged};
use crate::take_record::WarningKeeper;

/// What a command line asks for, its files read; the model's are only found.
pub(crate) struct ReadFlags {
    pub(crate) chosen: Chosen,
    prompt: String,
    negative: Option<String>,
    placement: SubjectPlacement,
    images: NamedImages,
    /// Width and height, where flags or an image say them.
    size: [Option<u32>; 2],
}

impl ReadFlags {
    /// Reads what `args` name, and finds their model.
    ///
    /// # Errors
    /// A file cannot be read, or is not what its flag takes; no such model.
    pub(crate) fn of(args: &Render, context: &CommandContext<'_>) -> Result<Self> {
        let CommandContext { environment, console, .. } = *context;
        let prompt = args.prompt.as_deref().unwrap_or_default();
        let prompt = args::text_or_file("--prompt", prompt, console)?;
        let negative = args.negative.as_deref();
        let negative =
            negative.map(|text| args::text_or_file("--negative", text, console)).transpose()?;
        args.seed_warning().into_iter().for_each(|words| console.caution(words));
        let chosen = Chosen::of(&args.model, &environment.models)?;
        let count = args.frames.unwrap_or_else(|| chosen.defaults.frames_or_released());
        let latent_frames = TakeRequest::latent_frames_of(count).or_exit(Exit::BadInput)?;
        let images = NamedImages::read(args, console)?;
        let size = images.size(args, &chosen.defaults);
        let drawn = size[0].zip(size[1]).map(|(width, height)| images.ellipse([width, height]));
        let drawn = drawn.transpose()?.flatten();
        let placement = SubjectPlacement::of(args, latent_frames, drawn, console)?;
        Ok(Self { chosen, prompt, negative, placement, images, size })
    }
}

/// A take that is asked for, in whole.
pub(crate) struct AskedRequest {
    pub(crate) request: TakeRequest,
    pub(super) placement: SubjectPlacement,
    pub(super) images: NamedImages,
    /// What is to be known of it before anything is computed.
    pub(crate) before: Vec<Warning>,
}

impl AskedRequest {
    /// The mask that it is placed by, which its request does not hold.
    pub(crate) fn mask(&self) -> Option<&Mask> {
        self.placement.guide().mask()
    }

    /// Keeps its images in the store, where whatever makes the take reads them.
    ///
    /// # Errors
    /// The store cannot be written to.
    pub(crate) fn keep_images(&self, store: &Store, console: &Console<'_>) -> Result<()> {
        self.images.keep(store, true, console)
    }
}

/// A model with adapters of some strengths; its weights are not read yet.
pub(crate) struct OpenedModel {
    pub(crate) chosen: Chosen,
    pub(crate) pipeline: Pipeline,
    /// Found out with the first request: reading it takes a while the first time.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// What was said of its files.
    pub(crate) of_model: Vec<Warning>,
    /// What is merged beside the model's own adapters, once a request has rounded their strengths.
    pub(crate) merged_loras: Option<Vec<FurtherLora>>,
    /// Those of the command line, by name and file.
    loras: ChosenLoras,
}

impl OpenedModel {
    /// Opens the model that was chosen by `args`, with their adapters; where an engine makes the take there
    /// is no device.
    ///
    /// # Errors
    /// As [`Pipeline::open`]; a LoRA is not to be found.
    pub(crate) fn of(
        args: &Render,
        chosen: Chosen,
        device: Option<&Opened>,
        context: &CommandContext<'_>,
    ) -> Result<Self> {
        let strengths =
            Strengths { dora: Some(args.dora_strength), distill: args.distill_strength };
        let loras = ChosenLoras::of(&args.lora, context.environment, context.console)?;
        let (pipeline, of_model) = open_pipeline(&chosen, strengths, device, context)?;
        let (fingerprint, merged_loras) = (None, None);
        Ok(Self { chosen, pipeline, fingerprint, of_model, merged_loras, loras })
    }

    /// The files that takes of it are made with, once it has completed a request.
    pub(crate) fn files(&self) -> NamedFiles {
        let Self { chosen, merged_loras, .. } = self;
        NamedFiles {
            name: chosen.name.clone(),
            paths: chosen.paths.clone(),
            merged: chosen.merged.clone(),
            defaults: chosen.defaults.clone(),
            made_for: chosen.made_for.clone(),
            loras: merged_loras.clone().unwrap_or_default(),
        }
    }

    /// Opens the model of an earlier take, and finds what its request refers to and does not hold.
    ///
    /// # Errors
    /// The model is not here, or is another one; a mask or an image is missing, or another.
    pub(crate) fn again(
        args: &Render,
        request: TakeRequest,
        store: &Store,
        device: Option<&Opened>,
        context: &CommandContext<'_>,
    ) -> Result<(Self, AskedRequest)> {
        let CommandContext { environment, console, .. } = *context;
        check_numerics(&request).map_err(|problem| anyhow!("{problem}")).or_exit(Exit::BadInput)?;
        let placement = SubjectPlacement::again(args, &request, console)?;
        let images = NamedImages::again(args, &request, store, console)?;
        let chosen = again::model_of(args, &request, &environment.models)?;
        let strengths =
            Strengths { dora: Some(request.dora_strength), distill: request.distill_strength };
        let merged = again::loras_of(&request, &environment.models)?;
        let (mut pipeline, mut of_model) = open_pipeline(&chosen, strengths, device, context)?;
        of_model.extend(add_loras(&mut pipeline, &merged, console)?);
        let found = fingerprint_of(&chosen, pipeline.files(), environment, console)?;
        again::check_model(&request, &chosen, found)?;
        let defaults = SamplingDefaults::of(&Recorded::of(&chosen), &pipeline, None).defaults;
        pipeline.check_images(&request, images.images.inputs(None))?;
        let before = warnings_before(&request, &defaults, &chosen, (&placement, &images));
        let (fingerprint, merged_loras) = (Some(found), Some(merged));
        let loras = ChosenLoras::default();
        let model = Self { chosen, pipeline, fingerprint, of_model, merged_loras, loras };
        Ok((model, AskedRequest { request, placement, images, before }))
    }

    /// What flags with this model, these strengths and these LoRAs ask for, completed by what the model does
    /// where they are silent.
    ///
    /// # Errors
    /// A value is out of range, or the model takes no such image.
    pub(crate) fn request(
        &mut self,
        args: &Render,
        flags: ReadFlags,
        context: &CommandContext<'_>,
    ) -> Result<AskedRequest> {
        let CommandContext { environment, console, .. } = *context;
        let ReadFlags { chosen: _, prompt, negative, placement, images, size } = flags;
        let Self { chosen, pipeline, .. } = self;
        let sampling = SamplingDefaults::of(&Recorded::of(chosen), pipeline, args.preset);
        let defaults = sampling.defaults;
        let mut draft = draft(args, chosen.name.clone(), prompt, negative, &placement);
        draft.seed = args.picked_seed()?.unwrap_or(draft.seed);
        [draft.width, draft.height] = size;
        [draft.first_image, draft.last_image] = images.sources();
        draft.loras.clone_from(&self.loras.sources);
        let mut request = draft.complete(&defaults).or_exit(Exit::BadInput)?;
        if let Some(shift) = args.shift.filter(|_| !request.solver.has_shift()) {
            console.caution(format!(
                "--shift {shift} changes nothing: the solver {} has times of its own; leave it out, or \
                 choose another --solver",
                request.solver
            ));
        }
        if let Some(preset) = &sampling.preset {
            console.remark(&preset.line(&request));
        }
        pipeline.check_images(&request, images.images.inputs(None))?;
        if self.merged_loras.is_none() {
            let loras = self.loras.files(&request);
            self.of_model.extend(add_loras(pipeline, &loras, console)?);
            self.merged_loras = Some(loras);
        }
        // Read only for a request that stands.
        let fingerprint = match self.fingerprint {
            Some(known) => known,
            None => fingerprint_of(chosen, pipeline.files(), environment, console)?,
        };
        self.fingerprint = Some(fingerprint);
        request.model_fingerprint = Some(fingerprint);
        images.tell(&request, console);
        let before = warnings_before(&request, &defaults, chosen, (&placement, &images));
        Ok(AskedRequest { request, placement, images, before })
    }
}

/// What is to be known of a request before it is computed; said once it is announced.
fn warnings_before(
    request: &TakeRequest,
    defaults: &Defaults,
    chosen: &Chosen,
    (placement, images): (&SubjectPlacement, &NamedImages),
) -> Vec<Warning> {
    let mut before = request.warnings(defaults, &chosen.made_for);
    before.extend(placement.warnings(request));
    before.extend(images.images.warnings(request));
    before
}

/// The model, its weights not read yet, and what was said of its files; where an engine makes the take
/// there is no device.
fn open_pipeline(
    chosen: &Chosen,
    strengths: Strengths,
    opened: Option<&Opened>,
    context: &CommandContext<'_>,
) -> Result<(Pipeline, Vec<Warning>)> {
    let CommandContext { environment, console, .. } = *context;
    let keeper = WarningKeeper::new(console, WarningCode::ModelFiles);
    let device = opened.map_or_else(Device::cpu, |opened| opened.device);
    let class = opened.map_or_else(String::new, Opened::class);
    let mut pipeline = Pipeline::open(&chosen.paths, strengths, device, Keep::Nothing, &keeper)?;
    if opened.is_some() {
        pipeline.limit_memory(memory::limits(environment));
    }
    if let Some(folder) = contexts_folder(environment, &class) {
        pipeline.keep_contexts(folder);
    }
    if let Some(fingerprint) = chosen.fingerprint {
        use_merged(&mut pipeline, &chosen.name, chosen.merged.clone(), fingerprint, &keeper);
    }
    Ok((pipeline, keeper.into_kept()))
}

/// Has these merged too, and says what of them is to be known.
fn add_loras(
    pipeline: &mut Pipeline,
    loras: &[FurtherLora],
    console: &Console<'_>,
) -> Result<Vec<Warning>> {
    let keeper = WarningKeeper::new(console, WarningCode::ModelFiles);
    pipeline.add_loras(loras, &keeper)?;
    Ok(keeper.into_kept())
}

/// What a command line asks for.
fn draft(
    args: &Render,
    model: String,
    prompt: String,
    negative_prompt: Option<String>,
    placement: &SubjectPlacement,
) -> RequestDraft {
    let ellipse = placement.guide().ellipses();
    RequestDraft {
        prompt,
        negative_prompt,
        seed: args.noise_seed(),
        frames: args.frames,
        width: args.width,
        height: args.height,
        mu: vec![args.mu.unwrap_or(0.05); ellipse.len()],
        ellipse,
        mask: placement.guide().mask_source(),
        steps: args.steps,
        shift: args.shift,
        guidance: args.guidance,
        solver: args.solver,
        dora_strength: args.dora_strength,
        distill_strength: args.distill_strength,
        loras: Vec::new(),
        first_image: None,
        last_image: None,
        precision: args.dtype,
        decode_precision: args.decode_precision,
        decode_tiling: args.decode_tiling,
        memory: args.memory,
        model,
        model_fingerprint: None,
    }
}
