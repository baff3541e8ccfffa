//! `wan-alpha doctor`: whether everything that a take needs is there and works, and what to do about
//! what is not.
//!
//! Nothing is changed. An engine is started in a folder of its own, asked, and ended.

mod bundles;
mod engine;
mod machine;
mod signatures;
mod stores;
mod variables;

use std::fmt;

use anyhow::{Result, anyhow};
use serde::Serialize;
use wan_alpha_core::device::LIBTORCH_BUILD;
use wan_alpha_take::counted::counted;
use wan_alpha_take::engine::message::PROTOCOL;
use wan_alpha_take::models::{AUTO, ModelRoots, NamedLora};
use wan_alpha_take::{NUMERICS, TakeRequest};

use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::stdout::print_lines;

/// Whether something works, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DoctorVerdict {
    Ok,
    /// It works, or may; worth a look.
    Attention,
    /// It does not work.
    Fault,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DoctorFinding {
    verdict: DoctorVerdict,
    /// What it is about.
    about: &'static str,
    /// What was found, as a sentence.
    says: String,
    /// What to do; nothing where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl DoctorFinding {
    fn ok(about: &'static str, says: impl Into<String>) -> Self {
        Self { verdict: DoctorVerdict::Ok, about, says: says.into(), remedy: None }
    }

    fn attention(about: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (says, remedy) = (says.into(), Some(remedy.into()));
        Self { verdict: DoctorVerdict::Attention, about, says, remedy }
    }

    fn fault(about: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (says, remedy) = (says.into(), Some(remedy.into()));
        Self { verdict: DoctorVerdict::Fault, about, says, remedy }
    }
}

impl fmt::Display for DoctorFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            DoctorVerdict::Ok => "ok",
            DoctorVerdict::Attention => "attention",
            DoctorVerdict::Fault => "FAULT",
        };
        write!(f, "{verdict:<10} {:<12} {}", self.about, self.says)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n{:<23} do: {remedy}", ""),
            None => Ok(()),
        }
    }
}

/// Looks at everything. A fault is an error.
pub(crate) fn run(json: bool, context: &CommandContext<'_>) -> Result<()> {
    let environment = context.environment;
    let mut findings = vec![versions()];
    findings.extend(variables::look(std::env::vars_os()));
    findings.extend(machine::look(environment));
    findings.extend(models(&environment.models));
    findings.extend(loras(&environment.models));
    findings.extend(stores::look(environment));
    findings.push(engine::look(environment));
    findings.push(signatures::look(&environment.c2pa));
    findings.extend(bundles::look(std::env::current_exe().ok().as_deref()));
    if json {
        print_lines(&[serde_json::to_string_pretty(&findings)?])?;
    } else {
        print_lines(&findings.iter().map(DoctorFinding::to_string).collect::<Vec<_>>())?;
    }
    match findings.iter().filter(|finding| finding.verdict == DoctorVerdict::Fault).count() {
        0 => Ok(()),
        faults => Err(anyhow!("{}; what to do stands beside each", counted(faults, "fault")))
            .or_exit(Exit::Failed),
    }
}

fn versions() -> DoctorFinding {
    let version = env!("CARGO_PKG_VERSION");
    DoctorFinding::ok(
        "versions",
        format!(
            "wan-alpha {version}, libtorch {LIBTORCH_BUILD}, numerics {NUMERICS}, requests of version \
             {}, protocol {PROTOCOL}, {} {}",
            TakeRequest::VERSION,
            std::env::consts::OS,
            std::env::consts::ARCH
        ),
    )
}

fn models(roots: &ModelRoots) -> Vec<DoctorFinding> {
    const ABOUT: &str = "models";
    let add = "wan-alpha model add NAME PATH…";
    let list = match roots.list() {
        Ok(list) => list,
        Err(error) => {
            return vec![DoctorFinding::fault(ABOUT, error.to_string(), "see to the folder")];
        }
    };
    let mut findings: Vec<_> = list
        .iter()
        .map(|model| match model.changed() {
            Some(change) => DoctorFinding::fault(
                ABOUT,
                format!("{}: {change}", model.manifest.name),
                format!("wan-alpha model add {} with its files again", model.manifest.name),
            ),
            None => DoctorFinding::ok(ABOUT, model.manifest.name.clone()),
        })
        .collect();
    findings.push(
        match roots.auto_among(&list).map_or_else(|| roots.find(AUTO), |one| Ok(one.clone())) {
            Ok(model) => DoctorFinding::ok(ABOUT, format!("auto is {}", model.manifest.name)),
            Err(error) => match &roots.preferred {
                Some(name) => DoctorFinding::fault(
                    ABOUT,
                    format!("WAN_ALPHA_MODEL is {name}, and no take can be made by it: {error}"),
                    "name a model in WAN_ALPHA_MODEL that is there, or unset it",
                ),
                None => DoctorFinding::attention(ABOUT, format!("auto is nothing: {error}"), add),
            },
        },
    );
    findings
}

fn loras(roots: &ModelRoots) -> Vec<DoctorFinding> {
    const ABOUT: &str = "LoRAs";
    let finding = |lora: NamedLora| {
        let name = &lora.record.name;
        match lora.changed() {
            Some(change) => DoctorFinding::fault(
                ABOUT,
                format!("{name}: {change}"),
                format!(
                    "wan-alpha model add --lora {name} with its file again, or wan-alpha model remove \
                     --lora {name}"
                ),
            ),
            None => DoctorFinding::ok(ABOUT, name.clone()),
        }
    };
    roots.loras().into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_what_to_do() {
        let text = DoctorFinding::fault("store", "it is full", "make room").to_string();
        assert!(text.starts_with("FAULT      store        it is full\n"), "{text}");
        assert!(text.ends_with("do: make room"), "{text}");
        let json = serde_json::to_value(DoctorFinding::ok("a", "b")).unwrap();
        assert_eq!(json, serde_json::json!({ "verdict": "ok", "about": "a", "says": "b" }));
    }
}
