//! `wan-alpha data cache`: what the transformer is trained on, computed once.
//!
//! A file per row, `<key>.safetensors`, and `index.jsonl`, which says which file is which row's. The
//! key is a hash of everything that the file depends on: the row's files and captions, the encoders,
//! the drawn background, size and number format. A second run therefore finds all there; a stopped
//! one goes on. Tensors:
//!
//! - `latent` `[16, t, h, w]`, normalized, of the clip over a background drawn once per row;
//! - `mask` `[t, h, w]`, float32: the Gaussian of the fitted ellipse, zero where there is none;
//! - `context.0`, `context.1`, … `[tokens, dim]`, real tokens only: one for each caption.

mod entry;
mod index;
mod key;

use anyhow::{Context, Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::{Kind, Tensor};
use wan_alpha_core::text::{Tokenizer, Umt5};
use wan_alpha_core::vae::{Corner, RgbaEncoder};
use wan_alpha_core::weights::{EncoderFiles, ModelFiles, Strengths, Weights};
use wan_alpha_core::{Stage, encode};
use wan_alpha_take::Precision;

use super::rng::DataRng;
use super::set::Set;
use crate::args::CacheSet;
use crate::console::Console;
use crate::context::CommandContext;
use crate::device;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::explain_write;
use crate::model::Chosen;
use crate::stdout::print_lines;
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
    let chosen = Chosen::of(&args.model, &environment.models)?;
    let model = ModelFiles::find(&chosen.paths, Strengths::default(), console)?;
    let encoder = EncoderFiles::find(&chosen.paths)?;
    let device = device::open(args.device.as_ref(), environment, console)?.device;
    let kind = if args.dtype == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
    let area = args.area[0] * args.area[1];
    let recipe = Recipe {
        encoder: encoder.fingerprint(console)?,
        text: model.text_fingerprint(console)?,
        area,
        bf16: kind == Kind::BFloat16,
    };
    let lines = plan(&set, args, &recipe, context)?;
    let missing: Vec<usize> =
        (0..lines.len()).filter(|row| !args.out.join(&lines[*row].file).exists()).collect();
    let work = CacheWork { set: &set, args, model: &model, encoder: &encoder, device, kind, area };
    work.run(&lines, &missing, context)?;
    let index = index::write(&args.out, &lines)?;
    progress.done();
    print_lines(&[index.display().to_string()]);
    progress.remark(format!("{} rows, {} of them new", lines.len(), missing.len()));
    Ok(())
}

/// The file of every row. What no row may be is found here, before anything is encoded.
fn plan(
    set: &Set,
    args: &CacheSet,
    recipe: &Recipe,
    context: &CommandContext<'_>,
) -> Result<Vec<index::Line>> {
    let CommandContext { progress, console, .. } = *context;
    let rows = set.rows();
    let mut lines = Vec::with_capacity(rows.len());
    progress.update("reading", 0, rows.len());
    for (number, row) in rows.iter().enumerate() {
        if !console.go_on() {
            return Err(anyhow!("cancelled while reading")).or_exit(Exit::Cancelled);
        }
        let judge = || -> Result<index::Line> {
            if row.captions.is_empty() {
                return Err(anyhow!("it has no caption: write one, or have `data caption` do so"));
            }
            let frames = set.frames(number)?;
            let bucket = set.bucketed(number, args.area[0] * args.area[1])?.bucket;
            let shape = encode::ClipShape { frames, width: bucket.width, height: bucket.height };
            shape.check()?;
            let identity = key::of_files(row)?;
            let draw = &mut DataRng::new(args.seed, &format!("background {identity}"), &[]);
            let background = Corner::all().nth(draw.below(8)).unwrap_or(Corner::WHITE);
            Ok(index::Line {
                row: number + 1,
                color: row.color.clone(),
                captions: row.captions.clone(),
                source: row.source().to_owned(),
                labels: row.labels.clone(),
                file: recipe.file(&identity, row, background),
                background: background.name().to_owned(),
                frames,
                height: bucket.height,
                width: bucket.width,
            })
        };
        lines.push(judge().with_context(|| set.name(number)).or_exit(Exit::BadInput)?);
        progress.update("reading", number + 1, rows.len());
    }
    Ok(lines)
}

struct CacheWork<'a> {
    set: &'a Set,
    args: &'a CacheSet,
    model: &'a ModelFiles,
    encoder: &'a EncoderFiles,
    device: Device,
    kind: Kind,
    area: usize,
}

impl CacheWork<'_> {
    fn run(
        &self,
        lines: &[index::Line],
        missing: &[usize],
        context: &CommandContext<'_>,
    ) -> Result<()> {
        let CommandContext { progress, console, .. } = *context;
        if missing.is_empty() {
            return Ok(());
        }
        let quiet = Quiet(console);
        let tokenizer = Tokenizer::open(&self.model.tokenizer)?;
        let encoder = RgbaEncoder::load(self.encoder, self.kind, self.device, console);
        let encoder = encoder.map_err(|error| error.during(Stage::Load))?;
        let mut done = 0;
        progress.update("caching", done, missing.len());
        for together in missing.chunks(TOGETHER) {
            let contexts = self.contexts(lines, together, &tokenizer, &quiet)?;
            for (row, contexts) in together.iter().zip(contexts) {
                let work = || self.row(*row, &lines[*row], &contexts, &encoder, &quiet);
                work().with_context(|| self.set.name(*row))?;
                done += 1;
                progress.update("caching", done, missing.len());
            }
        }
        Ok(())
    }

    /// The contexts of some rows, a list for each.
    fn contexts(
        &self,
        lines: &[index::Line],
        rows: &[usize],
        tokenizer: &Tokenizer,
        watch: &Quiet<'_>,
    ) -> Result<Vec<Vec<Tensor>>> {
        let _guard = wan_alpha_core::tch::no_grad_guard();
        let mut ids = Vec::new();
        for row in rows {
            for caption in &lines[*row].captions {
                let tokens = tokenizer.encode(caption)?;
                if let Some(tail) = tokens.cut_after {
                    watch.0.warn(&format!(
                        "{}: its caption is cut after “…{tail}”, and what follows is not seen",
                        self.set.name(*row)
                    ));
                }
                ids.push(tokens.ids);
            }
        }
        let ids: Vec<&[i64]> = ids.iter().map(Vec::as_slice).collect();
        let weights = Weights::new(self.model.text.clone(), vec![], self.kind, self.device);
        let contexts = Umt5::new(weights).and_then(|text| text.encode(&ids, watch));
        let mut contexts = contexts.map_err(|error| error.during(Stage::Text))?.into_iter();
        Ok(rows
            .iter()
            .map(|row| contexts.by_ref().take(lines[*row].captions.len()).collect())
            .collect())
    }

    fn row(
        &self,
        row: usize,
        line: &index::Line,
        contexts: &[Tensor],
        encoder: &RgbaEncoder,
        watch: &Quiet<'_>,
    ) -> Result<()> {
        let background: Corner = line.background.parse()?;
        let mut frames = FramesToEncode::new(self.set.bucketed(row, self.area)?, line.frames)?;
        let latent = encode::encode_with(encoder, background, &mut frames, watch);
        if let Some(error) = frames.failure() {
            return Err(error).or_exit(Exit::BadInput);
        }
        for words in frames.warnings() {
            watch.warn(&format!("{}: {words}", self.set.name(row)));
        }
        let latent = latent?.f_to_kind(self.kind)?;
        let entry = Entry {
            latent,
            mask: frames.mask()?,
            contexts: contexts.iter().map(Tensor::shallow_clone).collect(),
        };
        entry.write(&self.args.out.join(&line.file))
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
