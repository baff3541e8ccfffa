//! The models of a batch: each opened once, whatever number of shots it is for.

use std::path::PathBuf;

use anyhow::Result;
use wan_alpha_core::device::Opened;
use wan_alpha_core::generate::Pipeline;
use wan_alpha_take::TakeRequest;
use wan_alpha_take::store::Store;

use super::shots::BatchShot;
use crate::context::CommandContext;
use crate::maker::NamedFiles;
use crate::output::FileSettings;
use crate::render::{self, AskedRequest, OpenedModel, ReadFlags};
use crate::saved_request;

/// Models with the adapters and strengths that shots ask for; none of their weights is read.
pub(crate) struct Models<'a> {
    device: &'a Opened,
    store: &'a Store,
    known: Vec<(ModelWords, OpenedModel)>,
}

/// What of a shot says which model it is made by.
type ModelWords = (Vec<PathBuf>, Vec<String>, u64, u64, Option<TakeRequest>);

/// What the row of a shot asks for.
pub(crate) struct AskedShot {
    pub(crate) asked: AskedRequest,
    /// The number of its model.
    pub(crate) model: usize,
    /// How its files are written.
    pub(crate) settings: FileSettings,
}

impl<'a> Models<'a> {
    /// None so far; for this device, and with the images that a store has.
    pub(crate) fn new(device: &'a Opened, store: &'a Store) -> Self {
        Self { device, store, known: Vec::new() }
    }

    /// What a shot asks for, in whole.
    ///
    /// # Errors
    /// As a render of it alone would have, before anything is computed.
    pub(crate) fn ask(
        &mut self,
        shot: &BatchShot,
        context: &CommandContext<'_>,
    ) -> Result<AskedShot> {
        let args = &*shot.render;
        let saved = args.from.as_deref().map(saved_request::read).transpose()?;
        let settings = args.files.settings(context.environment)?;
        render::refuse_inputs(args, &settings, saved.as_ref())?;
        let strengths = (args.dora_strength.to_bits(), args.distill_strength.to_bits());
        let earlier = saved.map(|saved| saved.request);
        let words = (args.model.clone(), args.lora.clone(), strengths.0, strengths.1, earlier);
        let known = self.known.iter().position(|(known, _)| *known == words);
        if let Some(request) = words.4.clone() {
            let device = Some(self.device);
            let (model, asked) = OpenedModel::again(args, request, self.store, device, context)?;
            let model = known.unwrap_or_else(|| self.add(words, model));
            return Ok(AskedShot { asked, model, settings });
        }
        let flags = ReadFlags::of(args, context)?;
        let model = match known {
            Some(number) => number,
            None => {
                let chosen = flags.chosen.clone();
                let model = OpenedModel::of(args, chosen, Some(self.device), context)?;
                self.add(words, model)
            }
        };
        let asked = self.known[model].1.request(args, flags, context)?;
        Ok(AskedShot { asked, model, settings })
    }

    fn add(&mut self, words: ModelWords, model: OpenedModel) -> usize {
        self.known.push((words, model));
        self.known.len() - 1
    }

    /// A model, to ask what it needs.
    pub(crate) fn pipeline(&self, number: usize) -> &Pipeline {
        &self.known[number].1.pipeline
    }

    /// The files that takes of a model are made with.
    pub(super) fn files(&self, number: usize) -> NamedFiles {
        self.known[number].1.files()
    }
}
