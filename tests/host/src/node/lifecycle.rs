//! How instances come and go.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use super::{NodeState, colors, geometry};
use crate::action::Action;
use crate::call::Call;
use crate::effect::Effect;
use crate::images::Depth;
use crate::images::source::Source;
use crate::overlay;
use crate::params::Curve;
use crate::params::change::{self, Reason};
use crate::params::undo::Steps;
use crate::profile::{Context, Restore};
use crate::project::ProjectState;
use crate::rules::Rule;
use crate::status::Status;

/// Why there is no instance.
#[derive(Debug, Error)]
pub enum Refused {
    /// Plug-in and host do not have the context in common.
    #[error("the plug-in is not for the context {context} in this host")]
    Context {
        /// The context that was wanted.
        context: String,
    },
    /// It cannot be described another time.
    #[error("the plug-in cannot be described anew: {reason}")]
    Anew {
        /// What kept it from that.
        reason: String,
    },
    /// The plug-in says so.
    #[error("the plug-in answers OfxActionCreateInstance with {status}")]
    Plugin {
        /// The status that it answers with.
        status: Status,
    },
}

/// A node with these values in place of its defaults.
pub(crate) fn add(
    project: &Arc<ProjectState>,
    name: &str,
    context: Context,
    values: &[(String, Curve)],
) -> Result<Arc<NodeState>, Refused> {
    project.loaded.host.on_main_thread();
    if !project.loaded.contexts.contains_key(&context) {
        return Err(Refused::Context { context: format!("{context:?}") });
    }
    let node = Arc::new(NodeState {
        name: name.to_owned(),
        context,
        project: project.clone(),
        instances: RwLock::default(),
        steps: Mutex::new(Steps::default()),
        panel_open: AtomicBool::new(false),
        told: Mutex::default(),
        changes: AtomicU64::new(0),
        built_at: AtomicU64::new(0),
    });
    let primary = create(&node, values, &[])?;
    let profile = &project.loaded.host.profile;
    let mut instances = vec![primary];
    if profile.rebuilds_instances {
        // One that plays, and one for the film strip.
        let values = node_values(&instances[0]);
        match create(&node, &values, &[]) {
            Ok(second) => instances.push(second),
            Err(refused) => {
                dispose(&instances[0]);
                return Err(refused);
            }
        }
    }
    *node.instances.write() = instances.clone();
    if profile.tries_half_scale {
        geometry::region(&instances[0], project.now(), [0.5; 2]);
    }
    for name in &profile.unknown_parameters {
        let time = project.now();
        change::tell(&instances[0], "OfxTypeParameter", &[name], Reason::UserEdited, time);
    }
    Ok(node)
}

fn create(
    node: &Arc<NodeState>,
    values: &[(String, Curve)],
    sources: &[(String, Source)],
) -> Result<Arc<Effect>, Refused> {
    let Some(described) = node.project.loaded.contexts.get(&node.context) else {
        return Err(Refused::Context { context: format!("{:?}", node.context) });
    };
    made_of(described, node, values, sources, !node.host().profile.instance_per_frame)
}

/// An instance for one frame and with the values of that frame, with everything before it.
pub(crate) fn for_frame(node: &Arc<NodeState>, time: f64) -> Result<Arc<Effect>, Refused> {
    let primary = node.effect();
    let described = node.project.loaded.described_anew(node.context);
    let described = described.map_err(|error| Refused::Anew { reason: error.to_string() })?;
    let values: Vec<_> = node_values(&primary)
        .into_iter()
        .filter_map(|(id, curve)| {
            let kind = primary.params.find(&id)?.kind;
            Some((id, Curve::of(curve.at(time, kind))))
        })
        .collect();
    made_of(&described, node, &values, &geometry::connected(&primary), true)
}

/// An instance of what was described, which the plug-in is told of or only the host keeps.
fn made_of(
    described: &Arc<Effect>,
    node: &Arc<NodeState>,
    values: &[(String, Curve)],
    sources: &[(String, Source)],
    is_told: bool,
) -> Result<Arc<Effect>, Refused> {
    let effect = described.instance(node);
    let host = &effect.host;
    effect.properties.put("OfxImageEffectPropContext", [node.context.name()]);
    geometry::describe_project(&effect, &node.project.settings());
    colors::negotiate(&effect);
    let depth = view_depth(&effect);
    for clip in effect.clips() {
        let source = sources.iter().find(|(name, _)| *name == clip.name);
        if !clip.is_output() {
            clip.connect(source.map(|(_, source)| source.clone()));
        }
        let put = |name, value: &str| clip.properties.put(name, [value]);
        put("OfxImageEffectPropPixelDepth", depth.name());
        put("OfxImageClipPropUnmappedPixelDepth", depth.name());
        put("OfxImageEffectPropComponents", "OfxImageComponentRGBA");
        put("OfxImageClipPropUnmappedComponents", "OfxImageComponentRGBA");
    }
    let restore = || {
        let known = |(id, curve): &(String, Curve)| Some((effect.params.find(id)?, curve.clone()));
        for (param, curve) in values.iter().filter_map(known) {
            param.replace(curve.map(|value| param.clamped(value, host.profile.clamp)));
        }
    };
    if host.profile.restore == Restore::BeforeCreate {
        restore();
    }
    if !is_told {
        restore();
        return Ok(effect);
    }
    let status = Call::of(&effect, Action::CreateInstance).perform();
    if status != Status::OK {
        return Err(Refused::Plugin { status });
    }
    if host.profile.restore == Restore::AfterCreate && !values.is_empty() {
        restore();
        let names: Vec<_> = values.iter().map(|(id, _)| id.as_str()).collect();
        let time = node.project.now();
        change::tell(&effect, "OfxTypeParameter", &names, Reason::PluginEdited, time);
    }
    geometry::clip_preferences(&effect);
    Ok(effect)
}

fn node_values(effect: &Effect) -> Vec<(String, Curve)> {
    let params = effect.params.all();
    params
        .iter()
        .filter(|param| param.kind.count() > 0)
        .map(|param| (param.id.clone(), param.curve()))
        .collect()
}

/// New instances with the same values, and then the old ones go.
pub(crate) fn rebuild(node: &Arc<NodeState>) {
    let old = node.instances();
    let Some(first) = old.first() else { return };
    let (values, sources) = (node_values(first), geometry::connected(first));
    let made: Vec<_> = old.iter().map(|_| create(node, &values, &sources)).collect();
    let made: Vec<_> = made.into_iter().flatten().collect();
    if made.len() != old.len() {
        // The plug-in refuses: that is written down, and the host keeps what it has.
        made.iter().for_each(dispose);
        return;
    }
    // Before the plug-in is asked for more, so that what it writes on one is known to all.
    node.instances.write().clone_from(&made);
    if node.is_panel_open() {
        begin_edit(&made[0]);
        end_edit(first);
    }
    old.iter().for_each(dispose);
}

pub(crate) fn destroy(node: &Arc<NodeState>) {
    let instances = std::mem::take(&mut *node.instances.write());
    if let Some(first) = instances.first()
        && node.panel_open.swap(false, Ordering::Relaxed)
    {
        end_edit(first);
    }
    instances.iter().for_each(dispose);
}

/// Waits for renders to end and destroys.
pub(super) fn dispose(effect: &Arc<Effect>) {
    if !effect.is_alive() {
        return;
    }
    let _alone = effect.in_use.write();
    overlay::close(effect);
    Call::of(effect, Action::DestroyInstance).perform();
    if let Some(node) = effect.node.upgrade()
        && node.told.lock().progressing.take().is_some()
    {
        let words = "progress is shown and never ended".to_owned();
        effect.host.faults.add(Rule::OrderedProgress, "OfxActionDestroyInstance", words);
    }
    effect.lives.store(false, Ordering::Release);
}

pub(crate) fn begin_edit(effect: &Arc<Effect>) {
    if !effect.is_alive() {
        return;
    }
    Call::of(effect, Action::BeginInstanceEdit).perform();
}

pub(crate) fn end_edit(effect: &Arc<Effect>) {
    if !effect.is_alive() {
        return;
    }
    Call::of(effect, Action::EndInstanceEdit).perform();
}

pub(crate) fn sync(effect: &Arc<Effect>) {
    if !effect.is_alive() {
        return;
    }
    Call::of(effect, Action::SyncPrivateData).perform();
    effect.params.properties.put("OfxPropParamSetNeedsSyncing", [0]);
}

pub(crate) fn purge(effect: &Arc<Effect>) {
    if !effect.is_alive() {
        return;
    }
    Call::of(effect, Action::PurgeCaches).perform();
}

/// The depth that the host shows pictures in.
pub(crate) fn view_depth(effect: &Effect) -> Depth {
    let supported = effect.properties.texts("OfxImageEffectPropSupportedPixelDepths");
    let depths = &effect.host.profile.depths;
    let both = depths.iter().find(|depth| supported.iter().any(|name| name == depth.name()));
    both.copied().unwrap_or(Depth::Float)
}
