//! What the artist sees: frames that come from the host's cache where it has them.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ask::{Frame, Made, RenderAsk, Tiles};
use super::{Node, NodeState, geometry, lifecycle, render};
use crate::effect::Effect;
use crate::images::source::to_pixels;
use crate::images::{Image, Rect};
use crate::rules::Rule;
use crate::status::Status;

/// Names a picture: all that it may depend on.
pub(crate) type Key = [u8; 32];

impl Node {
    /// Shows a frame as the host does: from its cache where it has it, else rendered and kept.
    #[track_caller]
    pub fn view(&self, time: f64) -> Frame {
        self.view_scaled(time, 1.0)
    }

    /// The same at another scale, as with a proxy.
    #[track_caller]
    pub fn view_scaled(&self, time: f64, scale: f64) -> Frame {
        let frame = self.with_instance(0, time, |effect| {
            let host = &effect.host;
            let tiled = effect.properties.is_true("OfxImageEffectPropSupportsTiles");
            let tiles = match host.profile.view_tiles {
                Some(size) if host.profile.tiles && tiled => Tiles::Separate(size),
                _ => Tiles::Whole,
            };
            // A picture that does not change with time is made once.
            let varies = effect.preferences().is_none_or(|wanted| wanted.frame_varying)
                || effect.params.all().iter().any(|param| param.curve.lock().is_animating())
                || !geometry::connected(effect).is_empty();
            let time = if varies { time } else { self.state.project.settings().timeline[0] };
            let ask = RenderAsk {
                depth: lifecycle::view_depth(effect),
                tiles,
                interactive: !host.profile.background,
                ..RenderAsk::at(time).scaled(scale)
            };
            self.state.view(effect, &ask)
        });
        self.state.host().faults.check();
        frame
    }

    /// The host lets go of the frames it has in memory. Those on disk stay.
    pub fn clear_memory_cache(&self) {
        self.state.host().cache.clear_memory();
    }
}

/// How often values and the world have changed.
pub(super) type Moment = (u64, u64);

impl NodeState {
    pub(super) fn moment(&self) -> Moment {
        (self.changes.load(Ordering::Relaxed), self.host().digests.lock().epoch)
    }

    fn view(&self, effect: &Arc<Effect>, ask: &RenderAsk) -> Frame {
        let preferred = effect.preferences().map_or(1.0, |preferences| preferences.pixel_aspect);
        let (_, region) = geometry::region(effect, ask.time, ask.scale);
        let window = to_pixels(geometry::frame(effect, region), ask.scale, preferred);
        let key = key(self, effect, ask, window, window);
        let cache = &effect.host.cache;
        if let Some((image, made)) = cache.find(&key) {
            return self.ready(image, made);
        }
        let field = "OfxFieldNone";
        if let Some((name, time)) = geometry::identity(effect, ask.time, ask.scale, window, field) {
            return self.same(effect, ask, window, name, time);
        }
        let moment = self.moment();
        let frame = render::in_sequence(effect, ask, || render::render(self, effect, ask));
        // The picture of a state that changes meanwhile belongs to nobody.
        if let Some(image) = &frame.image
            && key == self::key(self, effect, ask, window, window)
            && moment.0 == self.moment().0
        {
            cache.keep(&key, image);
        }
        frame
    }

    fn ready(&self, image: Image, made: Made) -> Frame {
        Frame {
            status: Status::OK,
            made,
            aborted: false,
            polls: 0,
            took: Duration::ZERO,
            abort_took: None,
            message: self.told.lock().persistent.clone(),
            image: Some(image),
        }
    }

    fn same(
        &self,
        effect: &Arc<Effect>,
        ask: &RenderAsk,
        window: Rect,
        name: String,
        time: f64,
    ) -> Frame {
        let source = effect.clip(&name).and_then(|clip| clip.source());
        let image = match source {
            Some(source) => source.image(window, ask.scale, time, ask.depth),
            None => Image::blank(window, ask.depth),
        };
        self.ready(image, Made::Same(name, time))
    }
}

/// The values that a picture may depend on: all that is saved and evaluated.
fn state(effect: &Effect) -> Vec<u8> {
    let params = effect.params.all();
    let values: BTreeMap<_, _> = params
        .iter()
        .filter(|param| param.is_persistent() && param.evaluates())
        .map(|param| (param.id.clone(), param.curve()))
        .collect();
    serde_json::to_vec(&values).unwrap_or_default()
}

pub(super) fn key(
    node: &NodeState,
    effect: &Effect,
    ask: &RenderAsk,
    bounds: Rect,
    window: Rect,
) -> Key {
    let details = &node.project.loaded.details;
    let settings = node.project.settings();
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(
        format!("{} {:?} {} {:?}", details.identifier, details.version, node.name, node.context)
            .as_bytes(),
    );
    part(
        format!("{:?} {:?} {:?} {bounds:?} {window:?}", ask.time, ask.scale, ask.depth).as_bytes(),
    );
    part(
        format!("{} {} {} {:?}", ask.interactive, ask.draft, ask.thumbnail, ask.pixel_aspect)
            .as_bytes(),
    );
    part(format!("{settings:?} {:?}", geometry::connected(effect)).as_bytes());
    part(&state(effect));
    *hasher.finalize().as_bytes()
}

/// One state gives one picture, until the world changes. `moment` is when its render began.
pub(super) fn compare(node: &NodeState, key: Key, moment: Moment, image: &Image) {
    let host = node.host();
    let digest = *blake3::hash(&image.bytes).as_bytes();
    let before = {
        let mut digests = host.digests.lock();
        if (node.changes.load(Ordering::Relaxed), digests.epoch) != moment {
            return;
        }
        digests.of_states.insert(key, digest)
    };
    if before.is_some_and(|before| before != digest) {
        let words = "the same state was rendered before and looked different".to_owned();
        let during = format!("OfxImageEffectActionRender of {}", node.name);
        host.faults.add(Rule::OnePicture, &during, words);
    }
}
