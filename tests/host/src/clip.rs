//! Inputs and outputs of an effect.

#![forbid(unsafe_code)]

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use crate::boundary::Handled;
use crate::effect::Effect;
use crate::host::HostState;
use crate::images::source::Source;
use crate::properties::{Place, PropertySet};
use crate::registry::Handle;

pub(crate) struct Clip {
    handle: Handle,
    pub(crate) effect: Weak<Effect>,
    pub(crate) name: String,
    pub(crate) properties: Arc<PropertySet>,
    source: RwLock<Option<Source>>,
    /// How often an image of it was fetched.
    pub(crate) fetched: AtomicU32,
}

impl Handled for Clip {
    const WHAT: &'static str = "a clip";

    fn host(&self) -> Option<Arc<HostState>> {
        self.properties.host()
    }
}

impl Clip {
    pub(crate) fn described(host: &Arc<HostState>, effect: Weak<Effect>, name: &str) -> Arc<Self> {
        let properties = PropertySet::new(host, Place::ClipDescriptor);
        properties.put("OfxPropType", ["OfxTypeClip"]);
        properties.put("OfxPropName", [name]);
        properties.put("OfxPropLabel", [name]);
        Self::new(effect, name, properties)
    }

    pub(crate) fn made(&self, host: &Arc<HostState>, effect: Weak<Effect>) -> Arc<Self> {
        let properties = self.properties.made_from(host, Place::Clip);
        Self::new(effect, &self.name, properties)
    }

    fn new(effect: Weak<Effect>, name: &str, properties: Arc<PropertySet>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            handle: Handle::of(me),
            effect,
            name: name.to_owned(),
            properties,
            source: RwLock::default(),
            fetched: AtomicU32::new(0),
        })
    }

    pub(crate) fn handle(&self) -> usize {
        self.handle.number()
    }

    pub(crate) fn is_output(&self) -> bool {
        self.name == "Output"
    }

    pub(crate) fn source(&self) -> Option<Source> {
        self.source.read().clone()
    }

    pub(crate) fn connect(&self, source: Option<Source>) {
        let properties = &self.properties;
        properties.put("OfxImageClipPropConnected", [i32::from(source.is_some())]);
        if let Some(source) = &source {
            properties.put("OfxImagePropPixelAspectRatio", [source.pixel_aspect]);
            properties.put("OfxImageEffectPropFrameRange", source.frames);
            properties.put("OfxImageEffectPropUnmappedFrameRange", source.frames);
        }
        let format = source.as_ref().and_then(|source| source.format).unwrap_or_default();
        properties.put("OfxImageClipPropFormat", format);
        let colorspace = source.as_ref().map_or("", |source| source.colorspace);
        properties.put("OfxImageClipPropColourspace", [colorspace]);
        *self.source.write() = source;
    }
}
