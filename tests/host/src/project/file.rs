//! Projects on disk.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ProjectState, Settings};
use crate::node::NodeState;
use crate::node::lifecycle::{self, Refused};
use crate::params::Curve;
use crate::profile::Context;

/// Why a project cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// The file that was to be opened.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// It is no project.
    #[error("{path} is no project: {reason}")]
    Format {
        /// The file that was opened.
        path: PathBuf,
        /// What its reader says.
        reason: serde_json::Error,
    },
    /// It has nodes of another plug-in.
    #[error("the project has nodes of {found}, not of {expected}")]
    OtherPlugin {
        /// Whose nodes are in the project.
        found: String,
        /// The plug-in that opens it.
        expected: String,
    },
    /// A node cannot be made.
    #[error(transparent)]
    Refused(#[from] Refused),
}

#[derive(Serialize, Deserialize)]
struct SavedProject {
    plugin: String,
    major: u32,
    settings: Settings,
    time: f64,
    nodes: Vec<SavedNode>,
}

#[derive(Serialize, Deserialize)]
struct SavedNode {
    name: String,
    context: String,
    parameters: BTreeMap<String, Curve>,
}

pub(super) fn save(
    project: &ProjectState,
    nodes: &[Arc<NodeState>],
    path: &Path,
) -> std::io::Result<()> {
    let saves_defaults = project.loaded.host.profile.saves_defaults;
    let saves_hidden = !project.loaded.host.profile.instance_per_frame;
    let saved_node = |node: &Arc<NodeState>| {
        let params = node.primary().map(|effect| effect.params.all()).unwrap_or_default();
        let parameters = params
            .iter()
            .filter(|param| param.is_persistent())
            .filter(|param| saves_hidden || !param.properties.is_true("OfxParamPropSecret"))
            .filter(|param| saves_defaults || param.curve() != Curve::of(param.default()))
            .map(|param| (param.id.clone(), param.curve()))
            .collect();
        SavedNode { name: node.name.clone(), context: node.context.name().to_owned(), parameters }
    };
    let saved = SavedProject {
        plugin: project.loaded.details.identifier.clone(),
        major: project.loaded.details.version[0],
        settings: project.settings(),
        time: project.now(),
        nodes: nodes.iter().map(saved_node).collect(),
    };
    fs::write(path, serde_json::to_string_pretty(&saved)?)
}

pub(super) fn open(
    project: &Arc<ProjectState>,
    path: &Path,
    keep: impl Fn(Arc<NodeState>),
) -> Result<(), OpenError> {
    let text = fs::read_to_string(path)
        .map_err(|source| OpenError::File { path: path.to_owned(), reason: source })?;
    let saved: SavedProject = serde_json::from_str(&text)
        .map_err(|source| OpenError::Format { path: path.to_owned(), reason: source })?;
    let expected = &project.loaded.details.identifier;
    if saved.plugin != *expected {
        return Err(OpenError::OtherPlugin { found: saved.plugin, expected: expected.clone() });
    }
    *project.settings.lock() = saved.settings;
    *project.time.lock() = saved.time;
    for node in saved.nodes {
        let context = Context::named(&node.context)
            .ok_or_else(|| Refused::Context { context: node.context.clone() })?;
        let values: Vec<_> = node.parameters.into_iter().collect();
        keep(lifecycle::add(project, &node.name, context, &values)?);
    }
    Ok(())
}
