//! The model of a take that is made again.

use anyhow::{Result, anyhow};
use wan_alpha_core::weights::FurtherLora;
use wan_alpha_take::engine::message::{Problem, ProblemCode};
use wan_alpha_take::models::ModelRoots;
use wan_alpha_take::{Fingerprint, TakeRequest};

use crate::args::Render;
use crate::exit::{Exit, OrExit};
use crate::model::{Chosen, ChosenLoras};

/// The model that is named besides, else the one of the request's fingerprint, whatever it is called here.
pub(super) fn model_of(args: &Render, request: &TakeRequest, roots: &ModelRoots) -> Result<Chosen> {
    if !args.names_no_model() {
        return Chosen::of(&args.model, roots);
    }
    if let Some(fingerprint) = request.model_fingerprint
        && let Some(model) = roots.with_fingerprint(fingerprint)?
    {
        return Ok(model.into());
    }
    let what = format!(
        "the take was made by the model `{}`, fingerprint {}, and no model here has it",
        request.model,
        request.model_fingerprint.map_or("unknown".to_owned(), |found| found.to_string())
    );
    let remedy = "name its files with --model, or add it with `wan-alpha model add NAME PATH…`";
    Err(Problem::new(ProblemCode::NoModel, what, remedy).into())
}

/// The LoRAs of the request, by their fingerprints, whatever they are called here.
pub(super) fn loras_of(request: &TakeRequest, roots: &ModelRoots) -> Result<Vec<FurtherLora>> {
    let remedy = "add it with `wan-alpha model add --lora NAME FILE`";
    ChosenLoras::files_of(&request.loras, roots)
        .map_err(|what| Problem::new(ProblemCode::NoModel, what, remedy).into())
}

/// Another model would make another take.
pub(super) fn check_model(
    request: &TakeRequest,
    chosen: &Chosen,
    found: Fingerprint,
) -> Result<()> {
    match request.model_fingerprint {
        Some(expected) if expected != found => Err(anyhow!(
            "the take was made by the model `{}`, fingerprint {expected}; {} has {found}, and would make \
             another take: name the files of the first with --model",
            request.model,
            chosen.name
        ))
        .or_exit(Exit::BadInput),
        _ => Ok(()),
    }
}
