//! A request's prompts as contexts, remembered from take to take.

use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};
use wan_alpha_take::{Fingerprint, Precision, TakeRequest};

use super::context_cache::{ContextKey, KeptContexts};
use super::negative_prompt::is_built_in;
use super::sampling::Contexts;
use super::{FrameSink, NEGATIVE_PROMPT, emit};
use crate::text::{EMBEDDING, Tokenizer, Tokens, Umt5};
use crate::weights::{BlockStorage, Weights};
use crate::{Error, Result, Watch};

/// Contexts worth keeping: a context of the released model is 4 MB at most.
const REMEMBERED: usize = 32;

/// Where contexts come from: a model's own tokenizer and text encoder.
pub(super) struct TextModel<'a> {
    pub(super) tokenizer: &'a Path,
    pub(super) weights: &'a dyn Fn(Kind) -> Weights,
    /// Tokens that the transformer attends to.
    pub(super) length: usize,
    pub(super) device: Device,
    /// Layers of the text encoder in memory at once.
    pub(super) slots: usize,
}

/// Contexts of earlier prompts.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Token ids and kinds with their contexts, `[tokens, text_dim]` each; oldest first.
    remembered: Vec<(Vec<i64>, Kind, Tensor)>,
    /// On disk, for later processes.
    kept: Option<KeptContexts>,
}

impl Memory {
    /// Keeps contexts in a folder, and finds there what earlier processes have kept.
    pub(super) fn keep_in(&mut self, folder: PathBuf) {
        self.kept = Some(KeptContexts::in_folder(folder));
    }

    fn recall(&self, ids: &[i64], kind: Kind) -> Option<Tensor> {
        let known = self.remembered.iter().find(|(known, k, _)| known == ids && *k == kind)?;
        Some(known.2.shallow_clone())
    }

    fn remember(&mut self, ids: &[i64], context: &Tensor) {
        if self.remembered.len() == REMEMBERED {
            drop(self.remembered.remove(0));
        }
        self.remembered.push((ids.to_vec(), context.kind(), context.shallow_clone()));
    }

    /// Remembers those of the prompts that are kept on disk.
    fn take_up(
        &mut self,
        prompts: &[Vec<i64>],
        kind: Kind,
        device: Device,
        model: Fingerprint,
    ) -> Result<()> {
        let Some(kept) = self.kept.clone() else { return Ok(()) };
        for ids in prompts {
            if self.recall(ids, kind).is_none()
                && let Some(context) = kept.recall(ContextKey::of(model, ids, kind, device))
            {
                self.remember(ids, &context.f_to_device(device)?);
            }
        }
        Ok(())
    }

    /// Reads a request's prompts: cleaned, tokenized, and encoded where they are new, once `make_room`
    /// has made room for the encoder.
    pub(super) fn contexts(
        &mut self,
        text: &TextModel<'_>,
        request: &TakeRequest,
        make_room: &mut dyn FnMut() -> Result<()>,
        sink: &mut dyn FrameSink,
        watch: &dyn Watch,
    ) -> Result<Contexts> {
        let kind = kind_of(request.precision);
        let weights = (text.weights)(kind);
        let tokenizer = Tokenizer::of_encoder(text.tokenizer, weights.shape(EMBEDDING)?, watch)?;
        let prompt = tokenize(&tokenizer, &request.prompt, "prompt", text.length, watch)?;
        emit(sink, "token_ids", &padded_ids(&prompt, text.length)?)?;
        let mut prompts = vec![prompt.ids];
        if request.guidance != 1.0 {
            let negative = match request.negative_prompt.as_deref() {
                Some(own) if !is_built_in(own) => {
                    tokenize(&tokenizer, own, "negative prompt", text.length, watch)?
                }
                // A model's own defaults may have brought it into the request.
                built_in => {
                    let built_in = built_in.unwrap_or(NEGATIVE_PROMPT);
                    let built_in = tokenizer.encode_at_most(built_in, text.length)?;
                    if built_in.cut_after.is_some() {
                        watch.warn(&built_in_is_cut(text.length));
                    }
                    built_in
                }
            };
            emit(sink, "negative_token_ids", &padded_ids(&negative, text.length)?)?;
            prompts.push(negative.ids);
        }
        let model = request.model_fingerprint;
        if let Some(model) = model {
            self.take_up(&prompts, kind, text.device, model)?;
        }
        let mut new: Vec<&[i64]> = prompts.iter().map(Vec::as_slice).collect();
        new.retain(|ids| self.recall(ids, kind).is_none());
        if !new.is_empty() {
            make_room()?;
            let encoder = Umt5::new(weights)?.with_slots(text.slots);
            let encoded = encoder.encode(&new, watch)?;
            for (ids, context) in new.iter().zip(&encoded) {
                self.remember(ids, context);
                if let (Some(kept), Some(model)) = (&self.kept, model) {
                    kept.keep(ContextKey::of(model, ids, kind, text.device), context);
                }
            }
        }
        let mut contexts = prompts.iter().map(|ids| self.recall(ids, kind));
        let missing = || Error::Input("the text encoder gave no context".into());
        let prompt = contexts.next().flatten().ok_or_else(missing)?;
        emit(sink, "context", &prompt)?;
        let negative = contexts.next().flatten();
        if let Some(negative) = &negative {
            emit(sink, "negative_context", negative)?;
        }
        Ok(Contexts { prompt, negative, image: None })
    }
}

/// What is said where the user has no negative prompt and the model reads only a part of the one that
/// stands in for it: nobody but us has written it.
fn built_in_is_cut(length: usize) -> String {
    format!(
        "no negative prompt is given, so the built-in one is used, which is long and Chinese: this model \
         reads the first {length} tokens of it; give a few words of your own as the negative prompt, or a \
         guidance of 1, which needs none"
    )
}

pub(super) fn kind_of(precision: Precision) -> Kind {
    if precision == Precision::F32 { Kind::Float } else { Kind::BFloat16 }
}

/// How the transformer's blocks are kept where a request asks for a precision.
pub(super) fn storage_of(precision: Precision) -> BlockStorage {
    if precision == Precision::Fp8 { BlockStorage::Fp8 } else { BlockStorage::AsStored }
}

fn tokenize(
    tokenizer: &Tokenizer,
    text: &str,
    what: &str,
    most: usize,
    watch: &dyn Watch,
) -> Result<Tokens> {
    let tokens = tokenizer.encode_at_most(text, most)?;
    if let Some(tail) = &tokens.cut_after {
        watch.warn_quoting(&format!(
            "the {what} has more than the {most} tokens that this model reads: what follows “…{tail}” does \
             not count; shorten it"
        ));
    }
    Ok(tokens)
}

/// As many as the transformer attends to.
fn padded_ids(tokens: &Tokens, length: usize) -> Result<Tensor> {
    let mut ids = tokens.ids.clone();
    ids.resize(length.max(ids.len()), 0);
    Ok(Tensor::f_from_slice(&ids)?)
}
