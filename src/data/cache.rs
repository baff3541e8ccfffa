//! `wan-alpha data cache`: what the transformer is trained on, computed once.
//!
//! A file per clip and one per row's captions, and `index.jsonl`, which says which files are which
//! row's. Their names are hashes of everything that they depend on: a clip's files, its ellipses, the
//! encoder, the drawn background, size and number format; the captions and the text encoder. A second
//! run therefore finds all there; a stopped one goes on; a clip with many captions is encoded once.
//! Tensors:
//!
//! - `latent` `[16, t, h, w]`, normalized, of the clip over a background drawn once per clip;
//! - `image.feature` `[1, tokens, width]` and `image.channels` `[20, t, h, w]`, float32, where the model
//!   makes video from an image: what its transformer is given of the first frame. The background is white
//!   then, as it is in use;
//! - `mask` `[t, h, w]`, float32: the Gaussian of the row's own ellipse or, where it has none, of the
//!   fitted one; zero where nothing is solid enough for that;
//! - `context.0`, `context.1`, … `[tokens, dim]`, real tokens only: one for each caption.

mod entry;
mod index;
mod key;
mod plan;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::image_condition::FirstFrameConditions;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::text::{Tokenizer, Umt5};
use wan_alpha_core::vae::{Corner, RgbaEncoder};
use wan_alpha_core::weights::{EncoderFiles, ModelFiles, Strengths, Weights};
use wan_alpha_core::{Stage, encode};
use wan_alpha_take::Precision;
use wan_alpha_take::counted::counted;

use super::bucket::TrainingSize;
use super::set::Set;
use crate::args::CacheSet;
use crate::console::Console;
use crate::context::CommandContext;
use crate::device;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::{explain_write, sweep};
use crate::model::Chosen;
use crate::own_inputs::refuse_inputs_in;
use crate::progress::TerminalProgress;
use crate::stdout::print_lines;
use crate::write_lock::WriteLock;
pub(crate) use entry::Entry;
use entry::FramesToEncode;
pub(crate) use index::CacheIndex;
use key::Recipe;

/// Rows whose captions are encoded in one pass over the text encoder.
const TOGETHER: usize = 32;

pub(super) fn run(args: &CacheSet, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let set = Set::open(&args.set)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|error| explain_write(&args.out, &error))
        .or_exit(Exit::BadInput)?;
    refuse_inputs_in("--out", &args.out, |name| name == index::NAME, [&set.table])?;
    let _lock = WriteLock::of_folder(&args.out)?;
    sweep(&args.out);
    let chosen = Chosen::of(&args.model, &environment.models)?;
    let model = ModelFiles::find(&chosen.paths, Strengths::default(), console)?;
    let encoder = EncoderFiles::find(&chosen.paths)?;
    let device = device::open(&args.computing, environment, console)?.device;
    let kind = if args.dtype == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
    let size = args.area.map_or(TrainingSize::Own, |[wide, high]| TrainingSize::Area(wide * high));
    let text_length = DitConfig::infer(&model.dit, model.config.as_deref())?.text_tokens();
    let recipe = Recipe {
        encoder: encoder.fingerprint(console)?,
        image: model.image_fingerprint(console)?,
        text: model.text_fingerprint(console)?,
        text_length,
        size,
        bf16: kind == Kind::BFloat16,
    };
    let lines = plan::lines(&set, args, &recipe, context)?;
    let work = CacheWork {
        set: &set,
        args,
        model: &model,
        encoder: &encoder,
        device,
        kind,
        size,
        text_length,
        lines: &lines,
        progress,
        watch: Quiet(console),
    };
    let [clips, texts] = work.run()?;
    let index = index::write(&args.out, &lines)?;
    progress.done();
    print_lines(&[index.display().to_string()])?;
    let all: BTreeSet<_> = lines.iter().map(|line| &line.file).collect();
    progress.remark(format!(
        "{} of {} ({}): {} and the captions of {} are new",
        counted(lines.len(), "row"),
        counted(all.len(), "clip"),
        plan::sizes(&lines),
        counted(clips, "clip"),
        counted(texts, "row")
    ));
    Ok(())
}

struct CacheWork<'a> {
    set: &'a Set,
    args: &'a CacheSet,
    model: &'a ModelFiles,
    encoder: &'a EncoderFiles,
    device: Device,
    kind: Kind,
    size: TrainingSize,
    /// Tokens of a caption that the model's transformer attends to.
    text_length: usize,
    lines: &'a [index::Line],
    progress: &'a TerminalProgress,
    watch: Quiet<'a>,
}

impl CacheWork<'_> {
    /// Computes what is missing. Returns how many clips and how many rows' captions that were.
    fn run(&self) -> Result<[usize; 2]> {
        let texts = self.missing(|line| line.text.as_deref());
        let clips = self.missing(|line| Some(line.file.as_str()));
        self.texts(&texts)?;
        self.clips(&clips)?;
        Ok([clips.len(), texts.len()])
    }

    /// The first row of each file that is not there yet.
    fn missing<'b>(&'b self, file: impl Fn(&'b index::Line) -> Option<&'b str>) -> Vec<usize> {
        let mut known = BTreeSet::new();
        let rows = self.lines.iter().enumerate();
        let rows = rows.filter(|(_, line)| {
            file(line).is_some_and(|file| known.insert(file) && !self.args.out.join(file).exists())
        });
        rows.map(|(row, _)| row).collect()
    }

    /// Encodes the captions of rows.
    fn texts(&self, rows: &[usize]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let tokenizer = Tokenizer::of_model(self.model, &self.watch)?;
        let mut done = 0;
        self.progress.update("reading captions", done, rows.len());
        for together in rows.chunks(TOGETHER) {
            let contexts = self.contexts(together, &tokenizer)?;
            for (row, contexts) in together.iter().zip(contexts) {
                let file = self.lines[*row].text.as_deref().unwrap_or_default();
                let written = entry::write_contexts(&self.args.out.join(file), &contexts);
                written.with_context(|| self.set.name(*row))?;
                done += 1;
                self.progress.update("reading captions", done, rows.len());
            }
        }
        Ok(())
    }

    /// The contexts of some rows, a list for each.
    fn contexts(&self, rows: &[usize], tokenizer: &Tokenizer) -> Result<Vec<Vec<Tensor>>> {
        let _guard = wan_alpha_core::tch::no_grad_guard();
        let mut ids = Vec::new();
        for row in rows {
            for caption in &self.lines[*row].captions {
                let tokens = tokenizer.encode_at_most(caption, self.text_length)?;
                if let Some(tail) = tokens.cut_after {
                    self.watch.warn(&format!(
                        "{}: its caption is cut after “…{tail}”, and what follows is not seen",
                        self.set.name(*row)
                    ));
                }
                ids.push(tokens.ids);
            }
        }
        let ids: Vec<&[i64]> = ids.iter().map(Vec::as_slice).collect();
        let weights = Weights::new(self.model.text.clone(), vec![], self.kind, self.device);
        let contexts = Umt5::new(weights).and_then(|text| text.encode(&ids, &self.watch));
        let mut contexts = contexts.map_err(|error| error.during(Stage::Text))?.into_iter();
        Ok(rows
            .iter()
            .map(|row| contexts.by_ref().take(self.lines[*row].captions.len()).collect())
            .collect())
    }

    /// Encodes the clips of rows.
    fn clips(&self, rows: &[usize]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let encoder = RgbaEncoder::load(self.encoder, self.kind, self.device, self.watch.0);
        let encoder = encoder.map_err(|error| error.during(Stage::Load))?;
        let image_encoder = self.model.image_encoder.as_ref();
        let conditions = image_encoder
            .map(|set| FirstFrameConditions::load(set, self.encoder, self.device, self.watch.0));
        let conditions = conditions.transpose().map_err(|error| error.during(Stage::Load))?;
        self.progress.update("caching", 0, rows.len());
        for (done, row) in rows.iter().enumerate() {
            let cached = self.clip(*row, &encoder, conditions.as_ref());
            cached.with_context(|| self.set.name(*row))?;
            self.progress.update("caching", done + 1, rows.len());
        }
        Ok(())
    }

    fn clip(
        &self,
        row: usize,
        encoder: &RgbaEncoder,
        conditions: Option<&FirstFrameConditions>,
    ) -> Result<()> {
        let line = &self.lines[row];
        let background: Corner = line.background.parse()?;
        let own = self.set.own_ellipses(row)?;
        let clip = self.set.bucketed(row, self.size)?;
        let mut frames = FramesToEncode::new(clip, line.frames, own)?;
        let latent = encode::encode_with(encoder, background, &mut frames, &self.watch);
        if let Some(error) = frames.failure() {
            return Err(error).or_exit(Exit::BadInput);
        }
        for words in frames.warnings() {
            self.watch.warn(&format!("{}: {words}", self.set.name(row)));
        }
        let latent = latent?.f_to_kind(self.kind)?;
        let image = match conditions {
            Some(conditions) => {
                Some(conditions.of(&frames.first_frame()?, line.frames, &self.watch)?)
            }
            None => None,
        };
        let path = self.args.out.join(&line.file);
        entry::write_clip(&path, &latent, &frames.mask()?, image.as_ref())
    }
}

/// A [`Watch`] that leaves the bar to the rows.
struct Quiet<'a>(&'a Console<'a>);

impl Watch for Quiet<'_> {
    fn progress(&self, _stage: Stage, _step: usize, _of: usize) {}

    fn go_on(&self) -> bool {
        self.0.go_on()
    }

    fn warn(&self, message: &str) {
        self.0.warn(message);
    }
}
