//! A small host in this process, and the plug-in loaded into it through the C boundary.
//!
//! The host is strict where hosts are: a property has one type and grows by one index at a time, a
//! name it refuses is unknown, a string it lends is overwritten at the next call, and what is
//! defined twice is refused. Whatever the plug-in does wrong is noted as a fault.

mod properties;
mod suites;

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::ptr;
use std::rc::Rc;

use libloading::{Library, Symbol};
use openfx_sys::{OfxHost, OfxPlugin, OfxStatus};

pub(crate) use properties::{Set, Value};

pub(crate) const OK: OfxStatus = 0;
pub(crate) const FAILED: OfxStatus = 1;
pub(crate) const MISSING_HOST_FEATURE: OfxStatus = 4;
pub(crate) const UNSUPPORTED: OfxStatus = 5;
pub(crate) const BAD_HANDLE: OfxStatus = 9;
pub(crate) const REPLY_DEFAULT: OfxStatus = 14;

pub(crate) const GENERATOR: &str = "OfxImageEffectContextGenerator";
pub(crate) const GENERAL: &str = "OfxImageEffectContextGeneral";
pub(crate) const FILTER: &str = "OfxImageEffectContextFilter";

/// What sets one host apart from another. The first field is what the plug-in's handle points to.
#[repr(C)]
pub(crate) struct Host {
    properties: Set,
    /// Suites that it does not have, by name.
    missing: Vec<&'static str>,
    c: OfxHost,
}

impl Host {
    pub(crate) fn new(name: &str, contexts: &[&str]) -> Box<Self> {
        let properties = Set::default();
        properties.put("OfxPropName", [Value::text(name)]);
        properties.put(
            "OfxImageEffectPropSupportedContexts",
            contexts.iter().map(|context| Value::text(context)),
        );
        let depths = ["OfxBitDepthByte", "OfxBitDepthShort", "OfxBitDepthFloat", "OfxBitDepthHalf"];
        properties.put("OfxImageEffectPropSupportedPixelDepths", depths.map(Value::text));
        let c = OfxHost { host: ptr::null_mut(), fetchSuite: Some(suites::fetch) };
        let mut host = Box::new(Self { properties, missing: Vec::new(), c });
        host.c.host = host.properties.handle();
        host
    }

    /// One that has everything.
    pub(crate) fn complete() -> Box<Self> {
        Self::new("org.wanalpha.test", &[FILTER, GENERATOR, GENERAL])
    }

    pub(crate) fn without(mut self: Box<Self>, suite: &'static str) -> Box<Self> {
        self.missing.push(suite);
        self
    }
}

/// An effect: a descriptor, a context descriptor or an instance. What its handles point to does not
/// move.
#[derive(Default)]
pub(crate) struct Effect {
    pub(crate) properties: Set,
    pub(crate) clips: RefCell<Vec<Rc<Clip>>>,
    pub(crate) parameters: RefCell<Vec<Rc<Parameter>>>,
    /// Begun and not ended.
    pub(crate) open_edits: Cell<i32>,
    pub(crate) edits: RefCell<Vec<String>>,
    /// The persistent message.
    pub(crate) message: RefCell<Option<String>>,
}

pub(crate) struct Clip {
    pub(crate) name: String,
    pub(crate) properties: Set,
    pub(crate) region: Cell<[f64; 4]>,
}

pub(crate) struct Parameter {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) properties: Set,
    /// Of a whole number or a choice.
    pub(crate) int: Cell<i32>,
    pub(crate) text: RefCell<String>,
}

impl Effect {
    /// What has these names refused is unknown to the host, on the effect and all that is in it.
    pub(crate) fn refusing(names: &[&str]) -> Box<Self> {
        let effect = Box::<Self>::default();
        effect.properties.refuse(names);
        effect
    }

    /// An instance as described, in a project of 1920 × 1080 at the origin.
    pub(crate) fn instance(&self, context: &str) -> Box<Self> {
        let instance = Box::<Self>::default();
        let put = |name: &str, values: [f64; 2]| {
            instance.properties.put(name, values.map(Value::Double));
        };
        put("OfxImageEffectPropProjectSize", [1920.0, 1080.0]);
        put("OfxImageEffectPropProjectOffset", [0.0, 0.0]);
        instance.properties.put("OfxImageEffectPropContext", [Value::text(context)]);
        instance.properties.put("OfxPropInstanceData", [Value::Pointer(ptr::null_mut())]);
        for clip in self.clips.borrow().iter() {
            let properties = Set::default();
            properties.put("OfxImageClipPropConnected", [Value::Int(0)]);
            let region = Cell::new([0.0; 4]);
            instance.clips.borrow_mut().push(Rc::new(Clip {
                name: clip.name.clone(),
                properties,
                region,
            }));
        }
        for described in self.parameters.borrow().iter() {
            let default = described.properties.get("OfxParamPropDefault");
            let int = match default.first() {
                Some(Value::Int(value)) => *value,
                _ => 0,
            };
            instance.parameters.borrow_mut().push(Rc::new(Parameter {
                id: described.id.clone(),
                kind: described.kind.clone(),
                properties: Set::default(),
                int: Cell::new(int),
                text: RefCell::default(),
            }));
        }
        instance
    }

    pub(crate) fn with_parameter<R>(&self, id: &CStr, look: impl FnOnce(&Parameter) -> R) -> R {
        let parameters = self.parameters.borrow();
        let id = id.to_str().unwrap();
        look(parameters.iter().find(|parameter| parameter.id == id).unwrap())
    }

    pub(crate) fn with_clip<R>(&self, name: &str, look: impl FnOnce(&Clip) -> R) -> R {
        let clips = self.clips.borrow();
        look(clips.iter().find(|clip| clip.name == name).unwrap())
    }

    pub(crate) fn clip_names(&self) -> Vec<String> {
        self.clips.borrow().iter().map(|clip| clip.name.clone()).collect()
    }
}

/// The built plug-in. Each is a copy of the file, so that each has statics of its own.
pub(crate) struct Plugin {
    library: Library,
    plugin: *mut OfxPlugin,
    _folder: tempfile::TempDir,
}

impl Plugin {
    /// The file that cargo built beside this test.
    pub(crate) fn file() -> PathBuf {
        let test = std::env::current_exe().unwrap();
        let file = test.parent().unwrap().join("libwan_alpha_ofx.so");
        assert!(file.is_file(), "{} is not there: cargo builds it with the tests", file.display());
        file
    }

    pub(crate) fn load() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("WanAlpha.ofx");
        std::fs::copy(Self::file(), &copy).unwrap();
        // SAFETY: the file is the plug-in built with this test; loading it runs nothing.
        let library = unsafe { Library::new(&copy) }.unwrap();
        let mut loaded = Self { library, plugin: ptr::null_mut(), _folder: folder };
        loaded.plugin = loaded.get(0);
        assert!(!loaded.plugin.is_null());
        loaded
    }

    pub(crate) fn count(&self) -> i32 {
        // SAFETY: the function has this signature by OpenFX.
        unsafe {
            let count: Symbol<'_, unsafe extern "C" fn() -> i32> =
                self.library.get("OfxGetNumberOfPlugins").unwrap();
            count()
        }
    }

    pub(crate) fn get(&self, nth: i32) -> *mut OfxPlugin {
        // SAFETY: the function has this signature by OpenFX.
        unsafe {
            let get: Symbol<'_, unsafe extern "C" fn(i32) -> *mut OfxPlugin> =
                self.library.get("OfxGetPlugin").unwrap();
            get(nth)
        }
    }

    pub(crate) fn introduce(&self, host: Option<&Host>) -> OfxStatus {
        let host = host.map_or(ptr::null(), |host| &raw const host.c);
        // SAFETY: the function has this signature by OpenFX.
        unsafe {
            let introduce: Symbol<'_, unsafe extern "C" fn(*const OfxHost) -> OfxStatus> =
                self.library.get("OfxSetHost").unwrap();
            introduce(host)
        }
    }

    pub(crate) fn set_host(&self, host: &Host) {
        // SAFETY: the struct is valid while the library is loaded, and the host outlives the calls.
        unsafe { ((*self.plugin).setHost.unwrap())((&raw const host.c).cast_mut()) };
    }

    pub(crate) fn details(&self) -> (String, i32, String, u32) {
        // SAFETY: the struct and its strings are valid while the library is loaded.
        unsafe {
            let text = |text| CStr::from_ptr(text).to_str().unwrap().to_owned();
            let plugin = &*self.plugin;
            (
                text(plugin.pluginApi),
                plugin.apiVersion,
                text(plugin.pluginIdentifier),
                plugin.pluginVersionMajor,
            )
        }
    }

    /// One action, with the action's name in memory that is gone afterwards.
    pub(crate) fn action(
        &self,
        name: &str,
        effect: Option<&Effect>,
        arguments: Option<&Set>,
        reply: Option<&Set>,
    ) -> OfxStatus {
        let name = CString::new(name).unwrap();
        let handle = effect.map_or(ptr::null(), |effect| ptr::from_ref(effect).cast::<c_void>());
        let set = |set: Option<&Set>| set.map_or(ptr::null_mut(), Set::handle);
        // SAFETY: every handle is null or points to what this host's own suites take it for.
        let status = unsafe {
            ((*self.plugin).mainEntry.unwrap())(name.as_ptr(), handle, set(arguments), set(reply))
        };
        let faults = properties::take_faults();
        assert!(faults.is_empty(), "{name:?}: {faults:#?}");
        if let Some(effect) = effect {
            assert_eq!(effect.open_edits.get(), 0, "{name:?} left an edit open");
        }
        status
    }

    pub(crate) fn null_action(&self) -> OfxStatus {
        let null = ptr::null_mut();
        // SAFETY: null handles are what is tried here.
        unsafe { ((*self.plugin).mainEntry.unwrap())(ptr::null(), null, null.cast(), null.cast()) }
    }

    /// As a host does it when it comes to know a plug-in.
    pub(crate) fn describe(&self, effect: &Effect) -> OfxStatus {
        self.action("OfxActionDescribe", Some(effect), None, None)
    }

    pub(crate) fn describe_in(&self, context: &str, effect: &Effect) -> OfxStatus {
        let arguments = Set::default();
        arguments.put("OfxImageEffectPropContext", [Value::text(context)]);
        let name = "OfxImageEffectActionDescribeInContext";
        self.action(name, Some(effect), Some(&arguments), None)
    }

    /// Loaded into this host.
    pub(crate) fn loaded_into(host: &Host) -> Self {
        let plugin = Self::load();
        plugin.set_host(host);
        assert_eq!(plugin.action("OfxActionLoad", None, None, None), OK);
        plugin
    }

    /// Loaded, described in a context, and one instance made.
    pub(crate) fn with_instance(host: &Host, context: &str) -> (Self, Box<Effect>) {
        let plugin = Self::loaded_into(host);
        let described = Box::<Effect>::default();
        assert_eq!(plugin.describe(&described), OK);
        assert_eq!(plugin.describe_in(context, &described), OK);
        let instance = described.instance(context);
        assert_eq!(plugin.action("OfxActionCreateInstance", Some(&instance), None, None), OK);
        (plugin, instance)
    }
}
