//! What is examined: a plug-in of a file, with the values that its parameters are given.

use std::path::{Path, PathBuf};

use wan_alpha_test_host::{
    ARCHITECTURE, Context, Host, Node, ParamKind, Plugin, Profile, Project, Properties, Source,
};

use crate::report::Report;

/// Width and height of the projects that checks make: small, and nothing divides it.
pub(crate) const SIZE: [f64; 2] = [214.0, 123.0];

/// A plug-in of a file.
pub(crate) struct Subject {
    /// The bundle or binary.
    pub(crate) file: PathBuf,
    /// Which of its plug-ins.
    pub(crate) nth: i32,
    /// Parameters and the values that they are given.
    pub(crate) presets: Vec<(String, String)>,
    /// A folder for what a check needs.
    pub(crate) scratch: PathBuf,
    /// Where random checks begin.
    pub(crate) seed: u64,
}

/// A project with one node. Dropped in this order.
pub(crate) struct Scene {
    pub(crate) node: Node,
    pub(crate) project: Project,
    pub(crate) plugin: Plugin,
    pub(crate) host: Host,
}

impl Subject {
    /// The binary itself, where the file is a bundle.
    pub(crate) fn binary(&self) -> PathBuf {
        if !self.file.is_dir() {
            return self.file.clone();
        }
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.split_once('.').map_or(&*name, |(stem, _)| stem);
        self.file.join("Contents").join(ARCHITECTURE).join(format!("{stem}.ofx"))
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// A host that writes down what is broken.
    pub(crate) fn host(profile: Profile) -> Host {
        Host::new(profile.sized(SIZE[0], SIZE[1])).collecting()
    }

    /// The plug-in in that host; where there is none, that is said and the check is over. What it did
    /// while it was loaded is told by `load.accepted`, and not by every other check again.
    pub(crate) fn plugin(&self, host: &Host, report: &mut Report) -> Option<Plugin> {
        let loaded = host.open(&self.file).and_then(|binary| binary.plugin(self.nth));
        host.take_faults();
        loaded.map_err(|error| report.skip(format!("it does not load: {error}"))).ok()
    }

    /// Does something with the plug-in in a host, and writes down which rules it broke until it was
    /// unloaded.
    pub(crate) fn loaded(
        &self,
        report: &mut Report,
        profile: Profile,
        work: impl FnOnce(&Plugin, &Host, &mut Report),
    ) {
        let host = Self::host(profile);
        if let Some(plugin) = self.plugin(&host, report) {
            work(&plugin, &host, report);
        }
        report.rules(&host);
    }

    /// The same with a node, in the context that the host prefers.
    pub(crate) fn node(
        &self,
        report: &mut Report,
        profile: Profile,
        work: impl FnOnce(&Scene, &mut Report),
    ) {
        self.node_in(report, profile, None, work);
    }

    /// The same in a certain context.
    pub(crate) fn node_in(
        &self,
        report: &mut Report,
        profile: Profile,
        context: Option<Context>,
        work: impl FnOnce(&Scene, &mut Report),
    ) {
        let host = Self::host(profile);
        if let Some(plugin) = self.plugin(&host, report) {
            let project = plugin.project();
            let context = context.or(plugin.contexts().first().copied());
            match project.add(context.unwrap_or(Context::General)) {
                Ok(node) => {
                    let scene = Scene { node, project, plugin, host };
                    if self.preset(&scene.node, report) {
                        scene.connect();
                        work(&scene, report);
                    }
                    let Scene { node, project, plugin, host } = scene;
                    drop((node, project));
                    drop(plugin);
                    report.rules(&host);
                    return;
                }
                Err(refused) => report.fault(format!("no instance can be made: {refused}")),
            }
        }
        report.rules(&host);
    }

    /// Gives parameters the values that were asked for. Whether it could.
    pub(crate) fn preset(&self, node: &Node, report: &mut Report) -> bool {
        for (id, text) in &self.presets {
            let params = node.params();
            let Some((_, kind)) = params.iter().find(|(known, _)| known == id) else {
                report.broken(format!("--set: there is no parameter {id:?}"));
                return false;
            };
            match value(*kind, &node.param_properties(id), text) {
                Some(value) => node.set(id, value),
                None => {
                    report
                        .broken(format!("--set: {id} is a {} and cannot be {text:?}", kind.name()));
                    return false;
                }
            }
        }
        true
    }
}

impl Scene {
    /// Connects a picture to every input.
    pub(crate) fn connect(&self) {
        for clip in self.inputs() {
            self.node.connect(&clip, Source::over([0.0, 0.0, SIZE[0], SIZE[1]]));
        }
    }

    /// Names of its inputs.
    pub(crate) fn inputs(&self) -> Vec<String> {
        let described = self.plugin.described(self.node.context());
        let clips = described.map(|described| described.clips()).unwrap_or_default();
        clips.into_iter().filter(|clip| clip != "Output").collect()
    }

    /// Ids of its parameters of a kind.
    pub(crate) fn params(&self, kind: ParamKind) -> Vec<String> {
        let params = self.node.params();
        params.into_iter().filter(|(_, found)| *found == kind).map(|(id, _)| id).collect()
    }

    /// The first frame of the project, and some more.
    pub(crate) fn times(&self) -> [f64; 3] {
        let [first, last] = self.project.settings().timeline;
        [first, ((first + last) / 2.0).floor(), last]
    }
}

/// A value as it is given on the command line.
fn value(
    kind: ParamKind,
    properties: &Properties,
    text: &str,
) -> Option<wan_alpha_test_host::Value> {
    use wan_alpha_test_host::Value;
    let numbers = || text.split(',').map(|part| part.trim().parse().ok()).collect::<Option<_>>();
    match kind {
        ParamKind::String | ParamKind::Custom => Some(text.into()),
        ParamKind::Choice => {
            let options = properties.texts("OfxParamPropChoiceOption");
            let named = options.iter().position(|option| option == text);
            let at = named.or_else(|| text.parse().ok()).filter(|at| *at < options.len())?;
            i32::try_from(at).ok().map(Value::from)
        }
        ParamKind::Boolean => Some(matches!(text, "1" | "true" | "yes").into()),
        ParamKind::Integer | ParamKind::Integer2D | ParamKind::Integer3D => {
            let numbers: Option<Vec<i32>> =
                text.split(',').map(|part| part.trim().parse().ok()).collect();
            numbers.filter(|numbers| numbers.len() == kind.count()).map(Value::Ints)
        }
        _ => numbers()
            .filter(|numbers: &Vec<f64>| numbers.len() == kind.count() && kind.count() > 0)
            .map(Value::Doubles),
    }
}

/// A preset as it is written: `id=value`.
pub(crate) fn preset(text: &str) -> anyhow::Result<(String, String)> {
    let parts = text.split_once('=');
    let (id, value) =
        parts.ok_or_else(|| anyhow::anyhow!("--set takes ID=VALUE and not {text:?}"))?;
    Ok((id.to_owned(), value.to_owned()))
}

/// Whether a name is one that hosts can use in scripts.
pub(crate) fn is_script_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Whether a folder is a bundle by its name.
pub(crate) fn is_bundle(path: &Path) -> bool {
    path.to_string_lossy().trim_end_matches('/').ends_with(".ofx.bundle")
}
