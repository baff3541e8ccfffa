//! Image effect suite, version 1.

#![allow(unsafe_code, reason = "one function answers with a number of its own")]

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{with_exposed_provenance_mut, without_provenance_mut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use openfx_sys::{
    OfxImageClipHandle, OfxImageEffectHandle, OfxImageEffectSuiteV1, OfxImageMemoryHandle,
    OfxParamSetHandle, OfxPropertySetHandle, OfxRectD, OfxTime,
};

use crate::action::Action;
use crate::boundary::{OptionalPlace, Place, Received, Text, behind, suite_functions, without};
use crate::clip::Clip;
use crate::doing::{self, Doing};
use crate::effect::{Effect, Role};
use crate::images::memory::{Memory, Stride};
use crate::images::rendering::Rendering;
use crate::images::source::{Source, to_pixels};
use crate::images::{Depth, Fetched};
use crate::properties::{Place as Of, PropertySet};
use crate::rules::Rule;
use crate::status::Status;
use crate::{images, lent};

suite_functions! {
    fn properties(effect: Arc<Effect> as OfxImageEffectHandle, place: Place<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        place.put(without_provenance_mut(effect.properties.handle()));
        Ok(())
    }

    fn parameter_set(effect: Arc<Effect> as OfxImageEffectHandle, place: Place<OfxParamSetHandle> as *mut OfxParamSetHandle) {
        place.put(without_provenance_mut(effect.params.handle()));
        Ok(())
    }

    fn define_clip(effect: Arc<Effect> as OfxImageEffectHandle, name: Text as *const c_char, place: OptionalPlace<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        if !matches!(effect.role, Role::InContext(_)) {
            let words = format!("clip {:?} is defined on {}", name.0, effect.title());
            doing::fault(Rule::Definition, words);
            return Err(Status::FAILED);
        }
        if effect.clip(&name).is_some() {
            doing::fault(Rule::Definition, format!("clip {:?} is defined twice", name.0));
            return Err(Status::ERR_EXISTS);
        }
        let clip = Clip::described(&effect.host, Arc::downgrade(&effect), &name);
        place.put(without_provenance_mut(clip.properties.handle()));
        effect.add_clip(clip);
        Ok(())
    }

    fn clip_handle(effect: Arc<Effect> as OfxImageEffectHandle, name: Text as *const c_char, place: Place<OfxImageClipHandle> as *mut OfxImageClipHandle, set: OptionalPlace<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        let clip = effect.clip(&name).ok_or(Status::ERR_UNKNOWN)?;
        place.put(without_provenance_mut(clip.handle()));
        set.put(without_provenance_mut(clip.properties.handle()));
        Ok(())
    }

    fn clipproperties(clip: Arc<Clip> as OfxImageClipHandle, place: Place<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        place.put(without_provenance_mut(clip.properties.handle()));
        Ok(())
    }

    fn clip_image(clip: Arc<Clip> as OfxImageClipHandle, time: f64 as OfxTime, region: Option<[f64; 4]> as *const OfxRectD, place: Place<OfxPropertySetHandle> as *mut OfxPropertySetHandle) {
        let doing = doing::here()?;
        let Some(circumstances) = Circumstances::of(&doing, &clip) else {
            let words = format!("an image of {} is fetched where nothing is rendered", clip.name);
            doing.fault(Rule::ImageInRender, words);
            return Err(Status::FAILED);
        };
        let refused = clip.properties.host().and_then(|host| host.profile.refuses_images);
        if let Some(status) = refused {
            return Err(status);
        }
        clip.fetched.fetch_add(1, Ordering::Relaxed);
        let fetched = match (&doing.rendering, clip.is_output()) {
            (Some(rendering), true) => output(&clip, time, rendering, &circumstances)?,
            (_, true) => return Err(Status::FAILED),
            (_, false) => {
                let source = clip.source().filter(|source| source.has_images).ok_or(Status::FAILED)?;
                input(&clip, &source, time, region, &circumstances)?
            }
        };
        let handle = fetched.properties.handle();
        doing.images.lock().insert(handle, fetched);
        place.put(without_provenance_mut(handle));
        Ok(())
    }

    fn release_image(image: Arc<PropertySet> as OfxPropertySetHandle) {
        let handle = image.handle();
        let fetched = doing::innermost(|doing| doing.images.lock().remove(&handle));
        let Some(fetched) = fetched else {
            let words = "something is released that is no image of this action".to_owned();
            doing::fault(Rule::ReleasedImage, words);
            return Err(Status::ERR_BAD_HANDLE);
        };
        if let Some(pristine) = &fetched.pristine {
            let now = fetched.memory.image(fetched.memory.bounds);
            if now.bytes != *pristine || fetched.memory.broken_guard().is_some() {
                doing::fault(Rule::InsideWindow, "an input image was written".to_owned());
            }
        }
        Ok(())
    }

    fn clip_region(clip: Arc<Clip> as OfxImageClipHandle, _time: f64 as OfxTime, place: Place<OfxRectD> as *mut OfxRectD) {
        let effect = clip.effect.upgrade().ok_or(Status::ERR_BAD_HANDLE)?;
        let [x1, y1, x2, y2] = match clip.source() {
            Some(source) => source.region,
            None if clip.is_output() => crate::node::geometry::project_region(&effect),
            None => return Err(Status::FAILED),
        };
        place.put(OfxRectD { x1, y1, x2, y2 });
        Ok(())
    }

    fn allocate(_effect: Optional as OfxImageEffectHandle, bytes: usize as usize, place: Place<OfxImageMemoryHandle> as *mut OfxImageMemoryHandle) {
        let address = super::memory::allocated(bytes)?;
        place.put(with_exposed_provenance_mut(address));
        Ok(())
    }

    fn free(memory: Address as OfxImageMemoryHandle) {
        super::memory::give_back(memory.0)
    }

    fn lock_memory(memory: Address as OfxImageMemoryHandle, place: Place<*mut c_void> as *mut *mut c_void) {
        place.put(with_exposed_provenance_mut(memory.0));
        Ok(())
    }

    fn unlock_memory(_memory: Address as OfxImageMemoryHandle) {
        Ok(())
    }
}

/// A handle that may be null.
struct Optional;

impl Received<OfxImageEffectHandle> for Optional {
    unsafe fn received(given: OfxImageEffectHandle) -> Result<Self, Status> {
        if !given.is_null() {
            behind::<Effect>(given.addr())?;
        }
        Ok(Self)
    }
}

/// Memory that the host gave.
struct Address(usize);

impl Received<OfxImageMemoryHandle> for Address {
    unsafe fn received(given: OfxImageMemoryHandle) -> Result<Self, Status> {
        Ok(Self(given.expose_provenance()))
    }
}

/// What images are like that are fetched now.
struct Circumstances {
    time: f64,
    scale: [f64; 2],
    depth: Depth,
    pixel_aspect: f64,
    field: &'static str,
}

impl Circumstances {
    /// Of a render, or, as OpenFX has it for inputs, of an event that the artist has caused: a change of a
    /// parameter by hand.
    fn of(doing: &Doing, clip: &Clip) -> Option<Self> {
        if let Some(rendering) = &doing.rendering {
            let Rendering { time, scale, pixel_aspect, field, .. } = **rendering;
            let depth = rendering.memory.depth;
            return Some(Self { time, scale, depth, pixel_aspect, field });
        }
        let effect = doing.effect.as_ref()?;
        let is_event = doing.action == Action::InstanceChanged && doing.by_artist;
        (is_event && !clip.is_output()).then(|| Self {
            time: doing.time.unwrap_or_default(),
            scale: [1.0; 2],
            depth: crate::node::lifecycle::view_depth(effect),
            pixel_aspect: 1.0,
            field: "OfxFieldNone",
        })
    }
}

fn output(
    clip: &Arc<Clip>,
    time: f64,
    rendering: &Arc<Rendering>,
    circumstances: &Circumstances,
) -> Result<Fetched, Status> {
    let now = doing::here()?;
    if now.action != Action::Render {
        let words = format!("the output is fetched in {}", now.action.name());
        doing::fault(Rule::ImageInRender, words);
        return Err(Status::FAILED);
    }
    // NaN is rendered at NaN.
    if time.total_cmp(&rendering.time).is_ne() {
        let words = format!("the output is fetched at {time}, rendered at {}", rendering.time);
        doing::fault(Rule::ImageInRender, words);
        return Err(Status::FAILED);
    }
    let memory = rendering.memory.clone();
    let properties = image(clip, &memory, circumstances, rendering.region)?;
    Ok(Fetched { memory, pristine: None, properties })
}

fn input(
    clip: &Arc<Clip>,
    source: &Source,
    time: f64,
    region: Option<[f64; 4]>,
    circumstances: &Circumstances,
) -> Result<Fetched, Status> {
    let Circumstances { scale, depth, .. } = *circumstances;
    if !source.has_frame(time) {
        return Err(Status::FAILED);
    }
    let whole = source.pixels(scale);
    let wanted = region.map(|region| to_pixels(region, scale, source.pixel_aspect));
    let window = wanted.map_or(whole, |wanted| images::intersection(wanted, whole));
    let picture = source.image(window, scale, time, depth);
    let memory = Arc::new(Memory::of(&picture, Stride::Padded(16)));
    let properties = image(clip, &memory, circumstances, whole)?;
    if let Some(alpha) = source.alpha {
        properties.put("OfxImageEffectPropPreMultiplication", [alpha]);
    }
    properties.put("OfxImagePropPixelAspectRatio", [source.pixel_aspect]);
    Ok(Fetched { memory, pristine: Some(picture.bytes), properties })
}

/// What the plug-in is told of an image.
fn image(
    clip: &Arc<Clip>,
    memory: &Memory,
    circumstances: &Circumstances,
    region: images::Rect,
) -> Result<Arc<PropertySet>, Status> {
    let host = clip.properties.host().ok_or(Status::FAILED)?;
    let set = PropertySet::new(&host, Of::Image);
    set.put("OfxPropType", ["OfxTypeImage"]);
    set.put("OfxImagePropData", [memory.data()]);
    set.put("OfxImagePropBounds", memory.bounds);
    set.put("OfxImagePropRegionOfDefinition", region);
    set.put("OfxImagePropRowBytes", [memory.row_bytes()]);
    set.put("OfxImageEffectPropPixelDepth", [memory.depth.name()]);
    set.put("OfxImageEffectPropComponents", ["OfxImageComponentRGBA"]);
    let premultiplication = clip.properties.text("OfxImageEffectPropPreMultiplication");
    set.put("OfxImageEffectPropPreMultiplication", [premultiplication]);
    set.put("OfxImageEffectPropRenderScale", circumstances.scale);
    set.put("OfxImagePropPixelAspectRatio", [circumstances.pixel_aspect]);
    set.put("OfxImagePropField", [circumstances.field]);
    let identifier = format!("{}@{}#{:x}", clip.name, circumstances.time, set.handle());
    set.put("OfxImagePropUniqueIdentifier", [identifier]);
    for name in &host.profile.images_lack {
        set.forget(name);
    }
    for (name, text) in &host.profile.images_say {
        set.put(name, [text.as_str()]);
    }
    Ok(set)
}

/// Whether to give up: not a status but yes or no.
unsafe extern "C" fn abort(effect: OfxImageEffectHandle) -> c_int {
    lent::spoil();
    let told = catch_unwind(AssertUnwindSafe(|| {
        let effect = behind::<Effect>(effect.addr()).ok()?;
        if effect.role != Role::Instance {
            doing::fault(Rule::LiveHandle, "abort is asked with no instance".to_owned());
        }
        doing::innermost(|doing| doing.rendering.clone()).map(|rendering| rendering.poll())
    }));
    c_int::from(told.ok().flatten().unwrap_or(false))
}

pub(super) fn suite(nulls: &[String]) -> OfxImageEffectSuiteV1 {
    let mut suite = OfxImageEffectSuiteV1 {
        getPropertySet: Some(properties),
        getParamSet: Some(parameter_set),
        clipDefine: Some(define_clip),
        clipGetHandle: Some(clip_handle),
        clipGetPropertySet: Some(clipproperties),
        clipGetImage: Some(clip_image),
        clipReleaseImage: Some(release_image),
        clipGetRegionOfDefinition: Some(clip_region),
        abort: Some(abort),
        imageMemoryAlloc: Some(allocate),
        imageMemoryFree: Some(free),
        imageMemoryLock: Some(lock_memory),
        imageMemoryUnlock: Some(unlock_memory),
    };
    without!(
        suite,
        nulls,
        [
            getPropertySet,
            getParamSet,
            clipDefine,
            clipGetHandle,
            clipGetPropertySet,
            clipGetImage,
            clipReleaseImage,
            clipGetRegionOfDefinition,
            abort,
            imageMemoryAlloc,
            imageMemoryFree,
            imageMemoryLock,
            imageMemoryUnlock,
        ]
    );
    suite
}
