//! Rendering past every cache.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::ask::{Frame, Made, RenderAsk, Tiles};
use super::{Node, NodeState, geometry, lifecycle, view};
use crate::action::Action;
use crate::call::Call;
use crate::effect::Effect;
use crate::images::memory::Memory;
use crate::images::rendering::Rendering;
use crate::images::source::to_pixels;
use crate::images::{Image, Rect, height, intersection, width};
use crate::rules::{Rule, fail};
use crate::status::Status;
use crate::stopwatch::Stopwatch;

const FIELD: &str = "OfxFieldNone";

impl Node {
    /// Renders a frame past every cache. Any thread may; it does not matter what the main thread
    /// does meanwhile.
    #[track_caller]
    pub fn render(&self, ask: &RenderAsk) -> Frame {
        let frame = self.with_instance(0, ask.time, |effect| {
            sequence(effect, ask, [ask.time; 2], || render(&self.state, effect, ask))
        });
        self.state.host().faults.check();
        frame
    }

    /// Renders frames one after another, as for a film. `ask.time` is of no account.
    #[track_caller]
    pub fn render_sequence(&self, first: i32, last: i32, ask: &RenderAsk) -> Vec<Frame> {
        if self.state.host().profile.instance_per_frame {
            let at = |time: i32| RenderAsk { time: time.into(), ..ask.clone() };
            return (first..=last).map(|time| self.render(&at(time))).collect();
        }
        let range = [f64::from(first), f64::from(last)];
        let frames = self.with_instance(0, range[0], |effect| {
            sequence(effect, ask, range, || {
                (first..=last)
                    .map(|time| {
                        let ask = RenderAsk { time: time.into(), ..ask.clone() };
                        render(&self.state, effect, &ask)
                    })
                    .collect()
            })
        });
        self.state.host().faults.check();
        frames
    }

    /// Begins to render frames, does something else before the first, and ends.
    #[track_caller]
    pub fn around(&self, [first, last]: [i32; 2], ask: &RenderAsk, during: impl FnOnce()) {
        let range = [f64::from(first), f64::from(last)];
        self.with_instance(0, range[0], |effect| sequence(effect, ask, range, during));
        self.state.host().faults.check();
    }

    /// Renders a thumbnail, with the instance that the host keeps for those where it does.
    #[track_caller]
    pub fn thumbnail(&self, time: f64, scale: f64) -> Frame {
        let ask = RenderAsk { thumbnail: true, ..RenderAsk::at(time).scaled(scale) };
        let last = self.state.instances().len().saturating_sub(1);
        let frame = self.with_instance(last, time, |effect| {
            sequence(effect, &ask, [time; 2], || render(&self.state, effect, &ask))
        });
        self.state.host().faults.check();
        frame
    }

    /// Holds an instance while it renders, so that it is not destroyed meanwhile.
    #[track_caller]
    pub(super) fn with_instance<R>(
        &self,
        nth: usize,
        time: f64,
        work: impl FnOnce(&Arc<Effect>) -> R,
    ) -> R {
        if self.state.host().profile.instance_per_frame {
            return match lifecycle::for_frame(&self.state, time) {
                Ok(effect) => {
                    let made = work(&effect);
                    lifecycle::dispose(&effect);
                    made
                }
                Err(refused) => fail(&format!("{}: {refused}", self.state.name)),
            };
        }
        loop {
            let instances = self.state.instances();
            let Some(effect) = instances.get(nth).or(instances.first()) else {
                fail(&format!("{} has been deleted", self.state.name));
            };
            let _in_use = effect.in_use.read();
            if !effect.is_alive() {
                // Rebuilt between finding and holding it: there is a new one.
                if self.state.instances().iter().all(|other| !Arc::ptr_eq(other, effect)) {
                    continue;
                }
                fail(&format!("the instance of {} has been destroyed", self.state.name));
            }
            let loaded = &self.state.project.loaded;
            let safety =
                loaded.descriptor.properties.text("OfxImageEffectPluginRenderThreadSafety");
            return match safety.as_str() {
                "OfxImageEffectRenderFullySafe" => work(effect),
                "OfxImageEffectRenderUnsafe" => {
                    let _alone = loaded.rendering.lock();
                    work(effect)
                }
                _ => {
                    let _alone = effect.rendering.lock();
                    work(effect)
                }
            };
        }
    }
}

/// A frame that is a sequence of its own.
pub(super) fn in_sequence(
    effect: &Arc<Effect>,
    ask: &RenderAsk,
    frame: impl FnOnce() -> Frame,
) -> Frame {
    sequence(effect, ask, [ask.time; 2], frame)
}

/// Between the actions that begin and end a sequence.
fn sequence<R>(
    effect: &Arc<Effect>,
    ask: &RenderAsk,
    range: [f64; 2],
    frames: impl FnOnce() -> R,
) -> R {
    let bracket = |action| {
        let mut call = Call::of(effect, action).scaled(ask.scale);
        let arguments = call.arguments();
        arguments.put("OfxImageEffectPropFrameRange", range);
        arguments.put("OfxImageEffectPropFrameStep", [1.0]);
        arguments.put("OfxPropIsInteractive", [i32::from(ask.interactive)]);
        tell_manner(&call, ask);
        call.perform();
    };
    bracket(Action::BeginSequenceRender);
    let made = frames();
    bracket(Action::EndSequenceRender);
    made
}

fn tell_manner(call: &Call, ask: &RenderAsk) {
    let Some(arguments) = call.told() else { return };
    for (name, flag) in [
        ("OfxImageEffectPropSequentialRenderStatus", false),
        ("OfxImageEffectPropInteractiveRenderStatus", ask.interactive),
        ("OfxImageEffectPropRenderQualityDraft", ask.draft),
        ("OfxImageEffectPropThumbnailRender", ask.thumbnail),
        ("OfxImageEffectPropOpenGLEnabled", false),
        ("OfxImageEffectPropCudaEnabled", false),
        ("OfxImageEffectPropMetalEnabled", false),
        ("OfxImageEffectPropOpenCLEnabled", false),
    ] {
        arguments.put(name, [i32::from(flag)]);
    }
}

/// One frame, its sequence begun.
pub(super) fn render(node: &NodeState, effect: &Arc<Effect>, ask: &RenderAsk) -> Frame {
    let plan = Plan::of(effect, ask);
    let [left, bottom, right, top] = plan.window;
    if left >= right || bottom >= top {
        return plan.nothing();
    }
    if !geometry::connected(effect).is_empty() {
        let wanted = [
            f64::from(left) * plan.pixel_aspect / ask.scale[0],
            f64::from(bottom) / ask.scale[1],
            f64::from(right) * plan.pixel_aspect / ask.scale[0],
            f64::from(top) / ask.scale[1],
        ];
        geometry::regions_of_interest(effect, ask.time, ask.scale, wanted);
    }
    let moment = node.moment();
    let key = || view::key(node, effect, ask, plan.bounds, plan.window);
    let before = key();
    let tiles = plan.tiles(ask.tiles);
    let frame = plan.run(node, effect, ask, &tiles);
    if ask.remembered
        && let Some(image) = &frame.image
        && key() == before
    {
        view::compare(node, before, moment, image);
    }
    frame
}

/// What is going to be rendered.
struct Plan {
    region: Rect,
    bounds: Rect,
    window: Rect,
    pixel_aspect: f64,
}

impl Plan {
    fn of(effect: &Arc<Effect>, ask: &RenderAsk) -> Self {
        let preferred = effect.preferences().map_or(1.0, |preferences| preferences.pixel_aspect);
        let pixel_aspect = ask.pixel_aspect.unwrap_or(preferred);
        let (_, region) = geometry::region(effect, ask.time, ask.scale);
        let frame = to_pixels(geometry::frame(effect, region), ask.scale, pixel_aspect);
        let region = to_pixels(region, ask.scale, pixel_aspect);
        let bounds = ask.bounds.unwrap_or(frame);
        let window = intersection(ask.window.unwrap_or(bounds), bounds);
        Self { region, bounds, window, pixel_aspect }
    }

    fn nothing(&self) -> Frame {
        Frame {
            status: Status::OK,
            made: Made::Rendered,
            aborted: false,
            polls: 0,
            took: Duration::ZERO,
            abort_took: None,
            message: None,
            image: Some(Image {
                bounds: self.window,
                depth: crate::Depth::Float,
                bytes: Vec::new(),
            }),
        }
    }

    /// The windows to render, in no order that a plug-in could count on.
    fn tiles(&self, tiles: Tiles) -> Vec<Rect> {
        let (Tiles::Separate([across, up]) | Tiles::Shared([across, up])) = tiles else {
            return vec![self.window];
        };
        let (across, up) = (across.max(1), up.max(1));
        let mut windows = Vec::new();
        let mut y = self.window[1];
        while y < self.window[3] {
            let top = y.saturating_add(up).min(self.window[3]);
            let mut x = self.window[0];
            while x < self.window[2] {
                let right = x.saturating_add(across).min(self.window[2]);
                windows.push([x, y, right, top]);
                x = right;
            }
            y = top;
        }
        // Far apart ones follow one another.
        let count = windows.len();
        let step = (0..count).find(|step| step * step >= count).unwrap_or(1).max(1);
        (0..step).flat_map(|first| windows.iter().skip(first).step_by(step)).copied().collect()
    }

    /// Renders the tiles, on as many threads as are asked for, and puts the frame together.
    fn run(
        &self,
        node: &NodeState,
        effect: &Arc<Effect>,
        ask: &RenderAsk,
        tiles: &[Rect],
    ) -> Frame {
        let work = TileWork::new(self, effect, ask, tiles);
        if work.in_order {
            work.render_all();
        } else {
            thread::scope(|scope| {
                for _ in 0..ask.threads.min(tiles.len()) {
                    scope.spawn(|| work.render_all());
                }
            });
        }
        let mut frame = work.result.lock().clone();
        frame.message = node.told.lock().persistent.clone();
        if frame.aborted || frame.status != Status::OK {
            return frame;
        }
        let image = work.image();
        debug_assert_eq!(
            (image.width(), image.height()),
            (width(self.window), height(self.window))
        );
        if let Some((rule, words)) = Rendering::flawed(&image) {
            fault(effect, rule, words);
        }
        frame.image = Some(image);
        frame
    }

    fn rendering(&self, ask: &RenderAsk, window: Rect, memory: &Arc<Memory>) -> Rendering {
        let mut rendering = Rendering::new(ask.time, ask.scale, window, memory.clone());
        rendering.region = self.region;
        rendering.pixel_aspect = self.pixel_aspect;
        rendering.abort = ask.abort.clone();
        rendering
    }
}

/// The tiles of a frame while threads render them.
struct TileWork<'a> {
    plan: &'a Plan,
    effect: &'a Arc<Effect>,
    ask: &'a RenderAsk,
    /// Whether one thread renders tile after tile.
    in_order: bool,
    /// The image that all tiles are parts of, where they have one in common.
    shared: Option<Arc<Memory>>,
    /// Otherwise: put together of tiles that are images of their own.
    picture: Option<Mutex<Image>>,
    waiting: Mutex<std::slice::Iter<'a, Rect>>,
    done: Mutex<Vec<Rect>>,
    /// The frame so far, without its image.
    result: Mutex<Frame>,
}

impl<'a> TileWork<'a> {
    fn new(plan: &'a Plan, effect: &'a Arc<Effect>, ask: &'a RenderAsk, tiles: &'a [Rect]) -> Self {
        let shared = match ask.tiles {
            Tiles::Separate(_) => None,
            Tiles::Whole | Tiles::Shared(_) => {
                Some(Arc::new(Memory::new(plan.bounds, ask.depth, ask.stride)))
            }
        };
        let blank = || Mutex::new(Image::blank(plan.window, ask.depth));
        Self {
            plan,
            effect,
            ask,
            in_order: ask.threads <= 1,
            picture: shared.is_none().then(blank),
            shared,
            waiting: Mutex::new(tiles.iter()),
            done: Mutex::new(Vec::new()),
            result: Mutex::new(Frame { image: None, ..plan.nothing() }),
        }
    }

    /// Renders tiles until none waits, or one fails or is given up.
    fn render_all(&self) {
        loop {
            let Some(&window) = self.waiting.lock().next() else { return };
            if !self.render_tile(window) {
                return;
            }
        }
    }

    /// Renders one tile. Whether to go on.
    fn render_tile(&self, window: Rect) -> bool {
        let Self { plan, effect, ask, shared, .. } = self;
        let new = || Arc::new(Memory::new(window, ask.depth, ask.stride));
        let memory = shared.clone().unwrap_or_else(new);
        let rendering = Arc::new(plan.rendering(ask, window, &memory));
        let (status, took) = act(effect, ask, &rendering);
        let go_on = self.note(&rendering, status, took, Instant::now());
        self.done.lock().push(window);
        // What others write at the same moment cannot be told from straying.
        if shared.is_none() || self.in_order {
            let windows = if shared.is_none() { vec![window] } else { self.done.lock().clone() };
            if let Some((rule, words)) = rendering.strayed(&windows) {
                fault(effect, rule, words);
            }
        }
        if go_on && let Some(picture) = &self.picture {
            picture.lock().paste(&memory.image(window));
        }
        go_on
    }

    /// Adds to the result how a tile was rendered. Whether to go on.
    fn note(
        &self,
        rendering: &Rendering,
        status: Status,
        took: Duration,
        returned: Instant,
    ) -> bool {
        let mut frame = self.result.lock();
        frame.took += took;
        frame.polls += rendering.polls.load(Ordering::Relaxed);
        if let Some(raised) = rendering.raised() {
            let passed = returned.saturating_duration_since(raised);
            frame.abort_took = Some(passed.saturating_sub(rendering.waited()));
        }
        if rendering.was_told() {
            frame.aborted = true;
            if status != Status::OK {
                let words = format!("it is given up and answered with {status}");
                fault(self.effect, Rule::FittingStatus, words);
            }
        }
        if status != Status::OK {
            frame.status = status;
        }
        !frame.aborted && frame.status == Status::OK
    }

    /// The whole image, once every tile is rendered.
    fn image(self) -> Image {
        let Self { plan, effect, ask, .. } = self;
        match (self.shared, self.picture) {
            (Some(memory), _) => {
                if !self.in_order {
                    let rendering = plan.rendering(ask, plan.window, &memory);
                    if let Some((rule, words)) = rendering.strayed(&[plan.window]) {
                        fault(effect, rule, words);
                    }
                }
                memory.image(plan.window)
            }
            (None, Some(picture)) => picture.into_inner(),
            (None, None) => Image::blank(plan.window, ask.depth),
        }
    }
}

fn fault(effect: &Arc<Effect>, rule: Rule, words: String) {
    let during = format!("{} of {}", Action::Render.name(), effect.title());
    effect.host.faults.add(rule, &during, words);
}

fn act(effect: &Arc<Effect>, ask: &RenderAsk, rendering: &Arc<Rendering>) -> (Status, Duration) {
    let mut call = Call::of(effect, Action::Render).at(ask.time).scaled(ask.scale);
    call.doing.rendering = Some(rendering.clone());
    let arguments = call.arguments();
    arguments.put("OfxImageEffectPropRenderWindow", rendering.window);
    arguments.put("OfxImageEffectPropFieldToRender", [FIELD]);
    tell_manner(&call, ask);
    let stopwatch = Stopwatch::start();
    let status = call.perform();
    (status, stopwatch.taken())
}
