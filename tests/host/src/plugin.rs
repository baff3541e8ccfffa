//! A plug-in: found in its binary, described, ready to be put into projects.

mod library;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::action::Action;
use crate::binary::LoadError;
use crate::call::Call;
use crate::effect::{Effect, Role};
use crate::host::HostState;
use crate::params::{Param, ParamKind};
use crate::profile::Context;
use crate::project::Project;
use crate::project::file::OpenError;
use crate::properties::Properties;
use crate::rules::{Rule, fail};
use crate::status::Status;
use crate::suites;

pub(crate) use library::{Entry, Library};

/// Who a plug-in says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// What it is a plug-in for.
    pub api: String,
    /// The version of that API which it wants.
    pub api_version: i32,
    /// Its name for projects.
    pub identifier: String,
    /// Its own version: major, minor.
    pub version: [u32; 2],
}

/// A plug-in in use; unloaded with the last one who holds it.
pub(crate) struct Loaded {
    pub(crate) host: Arc<HostState>,
    pub(crate) entry: Entry,
    pub(crate) details: Details,
    pub(crate) descriptor: Arc<Effect>,
    pub(crate) contexts: BTreeMap<Context, Arc<Effect>>,
    /// Held by the one who renders, where the plug-in wants one at a time.
    pub(crate) rendering: Mutex<()>,
    /// Closed after the plug-in has unloaded.
    library: Arc<Library>,
    /// Which plug-in of its library it is.
    nth: i32,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        Call::to(&self.host, self.entry, Action::Unload).perform();
        let plugin = self.entry.address();
        let memory = suites::memory::take_from(&self.host, plugin);
        let mutexes = suites::multithread::take_from(&self.host, plugin);
        for (kept, what) in [(memory, "pieces of memory"), (mutexes, "mutexes")] {
            if kept > 0 {
                let words = format!("{kept} {what} were not given back");
                self.host.faults.add(Rule::GivenBack, "OfxActionUnload", words);
            }
        }
    }
}

impl Loaded {
    /// Everything from the beginning, on any thread, as hosts do that keep nothing between frames.
    pub(crate) fn described_anew(&self, context: Context) -> Result<Arc<Effect>, LoadError> {
        let Self { host, entry, details, .. } = self;
        load(host, &self.library, *entry, self.nth)?;
        let file = self.descriptor.properties.text("OfxPluginPropFilePath");
        let of = |role| Effect::descriptor(host, *entry, role, &details.identifier, &file);
        let descriptor = of(Role::Descriptor);
        let described = Call::of(&descriptor, Action::Describe).perform();
        if described != Status::OK {
            return Err(refused(&Action::Describe, described));
        }
        let effect = of(Role::InContext(context));
        effect.properties.clone_from_set(&descriptor.properties);
        describe_in_context(host, context, &effect)?;
        Ok(effect)
    }
}

/// A plug-in in use.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) loaded: Arc<Loaded>,
}

impl Plugin {
    /// As hosts do it: once to come to know it, once to use it, on the same descriptor.
    pub(crate) fn use_from(
        host: &Arc<HostState>,
        library: &Arc<Library>,
        bundle: &Path,
        nth: i32,
    ) -> Result<Self, LoadError> {
        let path = || PathBuf::from(bundle);
        let missing = || LoadError::NoSuchPlugin { path: path(), count: library.count(), nth };
        let details = library.details(nth).ok_or_else(missing)?;
        if details.api != "OfxImageEffectPluginAPI" || details.api_version != 1 {
            return Err(LoadError::OtherApi { api: details.api, version: details.api_version });
        }
        let entry = library.entry(nth).ok_or_else(missing)?;
        let file = bundle.to_string_lossy();
        let descriptor =
            Effect::descriptor(host, entry, Role::Descriptor, &details.identifier, &file);
        let unload = || Call::to(host, entry, Action::Unload).perform();

        load(host, library, entry, nth)?;
        let described = Call::of(&descriptor, Action::Describe).perform();
        let first = descriptor.properties.all();
        unload();
        if described != Status::OK {
            return Err(refused(&Action::Describe, described));
        }

        load(host, library, entry, nth)?;
        let described = Call::of(&descriptor, Action::Describe).perform();
        if described != Status::OK {
            unload();
            return Err(refused(&Action::Describe, described));
        }
        if descriptor.properties.all() != first {
            let words = "it describes itself differently the second time".to_owned();
            host.faults.add(Rule::SameDescription, Action::Describe.name(), words);
        }
        let contexts = describe_in_contexts(host, &descriptor, &details.identifier, &file)
            .inspect_err(|_| {
                unload();
            })?;
        let loaded = Loaded {
            host: host.clone(),
            entry,
            details,
            descriptor,
            contexts,
            rendering: Mutex::default(),
            library: library.clone(),
            nth,
        };
        Ok(Self { loaded: Arc::new(loaded) })
    }

    /// Who it says it is.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.loaded.details
    }

    /// What it says about itself before any context.
    #[must_use]
    pub fn properties(&self) -> Properties {
        Properties(self.loaded.descriptor.properties.clone())
    }

    /// The contexts that both it and the host have, the one that the host prefers first.
    #[must_use]
    pub fn contexts(&self) -> Vec<Context> {
        let preferred = self.loaded.host.profile.contexts.iter();
        preferred.filter(|context| self.loaded.contexts.contains_key(context)).copied().collect()
    }

    /// What it says about itself in a context.
    #[must_use]
    pub fn described(&self, context: Context) -> Option<Described> {
        self.loaded.contexts.get(&context).map(|effect| Described { effect: effect.clone() })
    }

    /// A new project, as the profile has it.
    #[must_use]
    pub fn project(&self) -> Project {
        Project::new(&self.loaded)
    }

    /// A project that was saved.
    ///
    /// # Errors
    /// Where the file cannot be read, is no project of this plug-in, or an instance is refused.
    #[track_caller]
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Project, OpenError> {
        let project = Project::open(&self.loaded, path.as_ref())?;
        self.loaded.host.faults.check();
        Ok(project)
    }

    /// Describes it once more, in every context, as hosts that rescan do.
    #[track_caller]
    pub fn describe_again(&self) {
        let loaded = &self.loaded;
        loaded.host.on_main_thread();
        let before = loaded.descriptor.properties.all();
        if Call::of(&loaded.descriptor, Action::Describe).perform() != Status::OK {
            fail("the plug-in describes itself no more");
        }
        let file = loaded.descriptor.properties.text("OfxPluginPropFilePath");
        let name = &loaded.details.identifier;
        let again = describe_in_contexts(&loaded.host, &loaded.descriptor, name, &file);
        let same = match again {
            Ok(again) => again.iter().all(|(context, effect)| {
                loaded.contexts.get(context).is_some_and(|first| is_same(first, effect))
            }),
            Err(_) => false,
        };
        if !same || loaded.descriptor.properties.all() != before {
            let words = "it describes itself differently the next time".to_owned();
            loaded.host.faults.add(Rule::SameDescription, Action::Describe.name(), words);
        }
        loaded.host.faults.check();
    }

    /// Gives the plug-in its host anew, as some hosts do for each frame, while others render.
    pub fn set_host_again(&self) {
        self.loaded.library.set_host(&self.loaded.host, self.loaded.nth);
    }

    /// An action as it is, without handle, arguments or judgment.
    #[must_use]
    pub fn raw_action(&self, name: Option<&str>) -> Status {
        self.loaded.entry.raw(&self.loaded.host, name)
    }
}

fn refused(action: &Action, status: Status) -> LoadError {
    LoadError::Refused { action: action.name().to_owned(), status }
}

fn load(host: &Arc<HostState>, library: &Library, entry: Entry, nth: i32) -> Result<(), LoadError> {
    library.set_host(host, nth);
    let status = Call::to(host, entry, Action::Load).perform();
    match status {
        Status::OK => Ok(()),
        Status::REPLY_DEFAULT if !host.profile.instance_per_frame => Ok(()),
        status => Err(refused(&Action::Load, status)),
    }
}

fn describe_in_contexts(
    host: &Arc<HostState>,
    descriptor: &Arc<Effect>,
    name: &str,
    file: &str,
) -> Result<BTreeMap<Context, Arc<Effect>>, LoadError> {
    let offered = descriptor.properties.texts("OfxImageEffectPropSupportedContexts");
    let mut contexts = BTreeMap::new();
    for &context in &host.profile.contexts {
        if !offered.iter().any(|name| name == context.name()) {
            continue;
        }
        let role = Role::InContext(context);
        let effect = Effect::descriptor(host, descriptor.entry, role, name, file);
        effect.properties.clone_from_set(&descriptor.properties);
        describe_in_context(host, context, &effect)?;
        judge(host, context, &effect);
        contexts.insert(context, effect);
    }
    if contexts.is_empty() {
        return Err(LoadError::NoContext { offered });
    }
    Ok(contexts)
}

fn describe_in_context(
    host: &Arc<HostState>,
    context: Context,
    effect: &Arc<Effect>,
) -> Result<(), LoadError> {
    let mut call = Call::of(effect, Action::DescribeInContext);
    match host.properties().filter(|_| host.profile.instance_per_frame) {
        Some(own) => call = call.with_arguments(own),
        None => call.arguments().put("OfxImageEffectPropContext", [context.name()]),
    }
    let status = call.perform();
    if status == Status::OK { Ok(()) } else { Err(refused(&Action::DescribeInContext, status)) }
}

/// What can be seen of a description at once.
fn judge(host: &Arc<HostState>, context: Context, effect: &Effect) {
    let during = format!("the description for {context:?}");
    let params = effect.params.all();
    for words in params.iter().flat_map(|param| param.mistakes()) {
        host.faults.add(Rule::DefaultInRange, &during, words);
    }
    let is_group =
        |id: &str| params.iter().any(|param| param.kind == ParamKind::Group && param.id == id);
    for param in &params {
        let parent = param.properties.text("OfxParamPropParent");
        if !parent.is_empty() && !is_group(&parent) {
            let words = format!("the parent of {}, {parent:?}, is no group", param.id);
            host.faults.add(Rule::Definition, &during, words);
        }
        for child in param.properties.texts("OfxParamPropPageChild") {
            let is_known = params.iter().any(|param| param.id == child);
            if !is_known && !child.starts_with("OfxParamPageSkip") {
                let words = format!("the child of {}, {child:?}, is no parameter", param.id);
                host.faults.add(Rule::Definition, &during, words);
            }
        }
    }
    if effect.clip("Output").is_none() {
        host.faults.add(Rule::Definition, &during, "there is no clip Output".to_owned());
    }
}

fn is_same(a: &Effect, b: &Effect) -> bool {
    let params = |effect: &Effect| {
        let list = effect.params.all();
        list.iter()
            .map(|param| (param.id.clone(), param.kind, param.properties.all()))
            .collect::<Vec<_>>()
    };
    let clips = |effect: &Effect| {
        let list = effect.clips();
        list.iter().map(|clip| (clip.name.clone(), clip.properties.all())).collect::<Vec<_>>()
    };
    params(a) == params(b) && clips(a) == clips(b)
}

/// What a plug-in says about itself in one context.
pub struct Described {
    effect: Arc<Effect>,
}

impl Described {
    /// The properties of the effect's descriptor.
    #[must_use]
    pub fn properties(&self) -> Properties {
        Properties(self.effect.properties.clone())
    }

    /// Names of the clips, in order.
    #[must_use]
    pub fn clips(&self) -> Vec<String> {
        self.effect.clips().iter().map(|clip| clip.name.clone()).collect()
    }

    /// The properties of a clip's descriptor.
    #[must_use]
    pub fn clip(&self, name: &str) -> Option<Properties> {
        self.effect.clip(name).map(|clip| Properties(clip.properties.clone()))
    }

    /// Ids and types of the parameters, in order.
    #[must_use]
    pub fn params(&self) -> Vec<(String, ParamKind)> {
        self.effect.params.all().iter().map(|param| (param.id.clone(), param.kind)).collect()
    }

    /// Type and properties of a parameter.
    #[must_use]
    pub fn param(&self, id: &str) -> Option<(ParamKind, Properties)> {
        let look = |param: Arc<Param>| (param.kind, Properties(param.properties.clone()));
        self.effect.params.find(id).map(look)
    }
}
