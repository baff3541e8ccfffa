//! Clips drawn by arithmetic, with all that can be said of them: what a draft model learns from, and
//! what it is measured by.
//!
//! [`DrawnClip::draw`] is a pure function of (set, index, window), the same bits on every machine: no
//! operation of it is left to a platform's mathematics library. A [`Scene`] alone, its caption and its
//! ellipses, costs nothing. Streams never meet, so that what is held out is. What an [`Edition`] draws
//! and says never changes: another is another edition.
//!
//! Color is straight, and under alpha 0 it is the subject's own: resizing brings no fringe.

mod chinese_phrases;
mod english_phrases;
mod fluid;
mod frame;
mod noise;
mod phrases;
mod second_edition;
mod solid;
mod strands;
mod words;

use std::collections::BTreeMap;

use wan_alpha_take::Ellipse;
use wan_alpha_take::frames::{latent_center, latent_frame_of};

use super::clip::{RgbaClip, Window};
use super::rng::DataRng;
use frame::{DrawnFrame, Pose};
pub(crate) use words::Language;

/// A drawn clip and what there is to know of it.
#[derive(Clone, Debug)]
pub(crate) struct DrawnClip {
    pub(crate) scene: Scene,
    pub(crate) frames: RgbaClip,
}

/// Clips to train on, and others to measure with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrawnStream {
    Training,
    HeldOut,
}

/// What is drawn and how it is called, in an order that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edition {
    /// Eight kinds of subject, one at a time; captions say whether it is opaque.
    First,
    /// Ten kinds, now and then two subjects; what captions leave out is the ordinary.
    Second,
}

impl Edition {
    /// How many there are; they are numbered from 1.
    pub(crate) const COUNT: u64 = 2;

    /// The edition of a number from 1 to [`Self::COUNT`].
    pub(crate) const fn of(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::First),
            2 => Some(Self::Second),
            _ => None,
        }
    }
}

/// Clips without end: each is the one of its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DrawnSet {
    pub(crate) edition: Edition,
    pub(crate) seed: u64,
    pub(crate) stream: DrawnStream,
}

/// Names for what a clip shows. The first is what labels say.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($variant:ident $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($variant,)* }

        impl $name {
            pub(crate) const ALL: [Self; [$($text),*].len()] = [$(Self::$variant,)*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// The kind of subject that is drawn.
    Kind {
        Ball "ball", Ring "ring", Star "star", Bubble "bubble",
        Smoke "smoke", Flame "flame", Sparks "sparks", Veil "veil",
        Glass "glass", Tuft "tuft",
    }
}

named! {
    Color {
        Red "red", Orange "orange", Yellow "yellow", Green "green", Cyan "cyan", Blue "blue",
        Purple "purple", Pink "pink", White "white",
    }
}

named! {
    /// How large it is in the frame.
    Size { Small "small", Medium "medium", Large "large", }
}

named! {
    /// What becomes of its place or size.
    Motion {
        Still "still", Right "right", Left "left", Up "up", Down "down", Arc "arc",
        Circle "circle", Grow "grow", Shrink "shrink",
    }
}

impl Color {
    /// As displays have it.
    const fn rgb(self) -> [f32; 3] {
        match self {
            Self::Red => [0.87, 0.09, 0.09],
            Self::Orange => [0.96, 0.48, 0.05],
            Self::Yellow => [0.97, 0.87, 0.10],
            Self::Green => [0.12, 0.70, 0.20],
            Self::Cyan => [0.08, 0.80, 0.86],
            Self::Blue => [0.12, 0.27, 0.92],
            Self::Purple => [0.53, 0.16, 0.82],
            Self::Pink => [0.97, 0.40, 0.69],
            Self::White => [0.93, 0.93, 0.94],
        }
    }
}

impl Color {
    /// This color, a little off.
    fn tint(self, draw: &mut DataRng) -> [f32; 3] {
        let near = |channel: f32| f64::from(channel) + draw.between(-0.04, 0.04);
        self.rgb().map(near).map(|channel| channel.clamp(0.0, 1.0) as f32)
    }
}

impl Size {
    /// Half the subject's size, in frame heights.
    const fn radii(self) -> [f64; 2] {
        match self {
            Self::Small => [0.125, 0.155],
            Self::Medium => [0.185, 0.23],
            Self::Large => [0.27, 0.32],
        }
    }
}

/// What a clip shows, before it is drawn. Places are those of an [`Ellipse`]: fractions of the
/// frame, y up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scene {
    pub(crate) kind: Kind,
    pub(crate) color: Color,
    pub(crate) size: Size,
    pub(crate) motion: Motion,
    /// Drawn with flat tones and an outline, of what has a surface.
    pub(crate) cartoon: bool,
    /// See-through as a whole, or thin: of what can be either.
    pub(crate) translucent: bool,
    /// Half the subject's size where it is largest, in frame heights.
    radius: f64,
    /// Center in the middle of the way.
    center: [f64; 2],
    /// How far it moves, as a fraction of the frame.
    travel: f64,
    /// For what is left: the turn of a ring, the rate of a spin.
    variety: [f64; 4],
    tint: [f32; 3],
    noise: u32,
    phrasing: u64,
    edition: Edition,
    /// Of sparks: a burst as small as a hand holds.
    hand_sized: bool,
    /// The second of two subjects, on the right of the first.
    companion: Option<Box<Scene>>,
    /// How far each of two subjects is from the middle between them, in frame heights.
    apart: f64,
}

/// Centers are within this of the frame's edges, and the whole subject is inside as far as it can.
const MARGIN: f64 = 0.2;

impl Scene {
    /// The scene of an index of a set.
    pub(crate) fn draw(set: &DrawnSet, index: u64) -> Self {
        match set.edition {
            Edition::First => Self::of_first_edition(set, index),
            Edition::Second => second_edition::scene(set, index),
        }
    }

    fn of_first_edition(set: &DrawnSet, index: u64) -> Self {
        let purpose = match set.stream {
            DrawnStream::Training => "procedural clip",
            DrawnStream::HeldOut => "procedural clip held out",
        };
        let mut draw = DataRng::new(set.seed, purpose, &[index]);
        let kind = draw.pick(&Kind::FIRST);
        let color = draw.pick(&Color::ALL);
        let size = draw.pick(&Size::ALL);
        let motion = Motion::draw(&mut draw);
        let [least, most] = size.radii();
        let radius = draw.between(least, most) * kind.generosity();
        let (travel, center) = motion.way([radius; 2], &mut draw);
        let tint = color.tint(&mut draw);
        Self {
            kind,
            color,
            size,
            motion,
            cartoon: kind.has_surface() && draw.chance(0.4),
            translucent: kind.can_be_translucent() && draw.chance(0.4),
            radius,
            center,
            travel,
            variety: [(); 4].map(|()| draw.unit()),
            tint,
            noise: draw.bits() as u32,
            phrasing: draw.bits(),
            edition: Edition::First,
            hand_sized: false,
            companion: None,
            apart: 0.0,
        }
    }

    /// In the released manner: background, style, shot, then the subject.
    pub(crate) fn caption(&self, language: Language) -> String {
        words::caption(self, language)
    }

    /// A few words of the subject alone.
    pub(crate) fn short_caption(&self, language: Language) -> String {
        words::short_caption(self, language)
    }

    /// What is known of it, by name. Of two subjects neither kind nor color is one of the clip.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let opacity = match self.kind {
            _ if self.edition == Edition::Second => second_edition::opacity(self),
            // The caption's sheer veil, and its glassy rim.
            Kind::Bubble | Kind::Veil => "translucent",
            Kind::Flame | Kind::Sparks => "glowing",
            _ if self.translucent => "translucent",
            _ => "opaque",
        };
        let style = match self.kind {
            _ if self.cartoon => "3D cartoon",
            Kind::Smoke | Kind::Flame | Kind::Sparks => "special effects",
            _ => "realistic",
        };
        let all = [
            ("kind", self.kind.name()),
            ("colour", self.color.name()),
            ("size", self.size.name()),
            ("motion", self.motion.name()),
            ("opacity", opacity),
            ("style", style),
        ];
        let of_one = ["kind", "colour", "opacity"];
        let holds = |name: &str| self.companion.is_none() || !of_one.contains(&name);
        let mut labels: BTreeMap<String, String> = all
            .into_iter()
            .filter(|(name, _)| holds(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if self.companion.is_some() {
            labels.insert("subjects".to_owned(), "2".to_owned());
        }
        labels
    }

    /// Where the subject is, per latent frame: its outline, not a fit.
    pub(crate) fn ellipses(&self, window: &Window) -> Vec<Ellipse> {
        let last = u32::try_from(window.frames.saturating_sub(1)).unwrap_or(u32::MAX);
        (0..=latent_frame_of(last)).map(|k| self.ellipse(latent_center(k), window.frames)).collect()
    }

    /// Where the subject is at a frame, which may lie between two.
    pub(crate) fn ellipse(&self, frame: f64, frames: usize) -> Ellipse {
        let ([x, y], scale) = self.place(frame, frames);
        let [mut wide, mut high] = self.kind.shape(self).map(|share| self.radius * share);
        let mut angle = if self.kind == Kind::Ring { self.ring_turn() } else { 0.0 };
        if let Some(second) = &self.companion {
            // Around both, as an artist would draw one ellipse.
            wide = self.apart + self.radius.max(second.radius);
            high = self.radius.max(second.radius);
            angle = 0.0;
        }
        let (a, b) = (2.0 * scale * wide, 2.0 * scale * high);
        Ellipse { x, y, a, b, angle }.rounded()
    }

    /// Center and scale at a frame.
    fn place(&self, frame: f64, frames: usize) -> ([f64; 2], f64) {
        let way = if frames > 1 { frame / (frames - 1) as f64 } else { 0.5 };
        let along = (way - 0.5) * self.travel;
        let [x, y] = self.center;
        let still = ([x, y], 1.0);
        match self.motion {
            Motion::Still => still,
            Motion::Right => ([x + along, y], 1.0),
            Motion::Left => ([x - along, y], 1.0),
            Motion::Up => ([x, y + along], 1.0),
            Motion::Down => ([x, y - along], 1.0),
            // A parabola, as high as half of it is wide; the center is half-way up.
            Motion::Arc => {
                let height = 0.5 * self.travel * (4.0 * way * (1.0 - way) - 0.5);
                ([x + along, y + height], 1.0)
            }
            Motion::Circle => {
                let turn = std::f64::consts::TAU * (way + self.variety[3]);
                let radius = 0.25 * self.travel;
                ([x + radius * libm::cos(turn), y + radius * libm::sin(turn)], 1.0)
            }
            Motion::Grow => (still.0, 0.45 + 0.55 * way),
            Motion::Shrink => (still.0, 1.0 - 0.55 * way),
        }
    }

    /// How far a ring is turned away, as the ratio of its axes.
    fn ring_tilt(&self) -> f64 {
        if self.variety[0] < 0.4 { 1.0 } else { 0.4 + 0.55 * self.variety[0] }
    }

    /// How far a tilted ring is turned, in degrees counter-clockwise.
    fn ring_turn(&self) -> f64 {
        (self.variety[1] * 120.0 - 60.0).round()
    }
}

impl Kind {
    /// Those of the first edition.
    const FIRST: [Self; 8] = [
        Self::Ball,
        Self::Ring,
        Self::Star,
        Self::Bubble,
        Self::Smoke,
        Self::Flame,
        Self::Sparks,
        Self::Veil,
    ];

    const fn has_surface(self) -> bool {
        matches!(self, Self::Ball | Self::Ring | Self::Star)
    }

    const fn can_be_translucent(self) -> bool {
        self.has_surface() || matches!(self, Self::Smoke)
    }

    /// What is thin or torn needs more room to look as large.
    const fn generosity(self) -> f64 {
        match self {
            Self::Smoke | Self::Sparks | Self::Flame => 1.15,
            _ => 1.0,
        }
    }

    /// Width and height of its outline, in radii.
    fn shape(self, scene: &Scene) -> [f64; 2] {
        match self {
            Self::Ball | Self::Star | Self::Bubble | Self::Glass => [1.0, 1.0],
            // Most of them have faded before they get to the edge.
            Self::Sparks => [0.82, 0.82],
            Self::Ring => [1.0, scene.ring_tilt()],
            Self::Smoke => [0.92, 1.0],
            Self::Flame => [0.62, 1.0],
            Self::Veil => [0.95, 0.95],
            Self::Tuft => [0.8, 0.95],
        }
    }
}

impl Motion {
    /// A third stands still: there the ellipse is learned best.
    fn draw(draw: &mut DataRng) -> Self {
        if draw.chance(0.33) { Self::Still } else { draw.pick(&Self::ALL) }
    }

    /// How far a subject of these half sizes moves, and where the middle of its way is.
    fn way(self, half: [f64; 2], draw: &mut DataRng) -> (f64, [f64; 2]) {
        let room = half[0].max(half[1]).max(MARGIN);
        let travel = draw.between(0.25, 0.45).min(2.0 * (0.5 - room));
        let reach = self.reach(travel);
        let mut at = |axis: usize| {
            let margin = (half[axis].max(MARGIN) + reach[axis]).min(0.5);
            draw.between(margin, 1.0 - margin)
        };
        (travel, [at(0), at(1)])
    }

    /// How far it takes the center from the middle of its way, to either side.
    fn reach(self, travel: f64) -> [f64; 2] {
        match self {
            Self::Still | Self::Grow | Self::Shrink => [0.0, 0.0],
            Self::Right | Self::Left => [0.5 * travel, 0.0],
            Self::Up | Self::Down => [0.0, 0.5 * travel],
            Self::Arc => [0.5 * travel, 0.25 * travel],
            Self::Circle => [0.25 * travel, 0.25 * travel],
        }
    }
}

impl DrawnClip {
    /// The clip of an index of a set.
    pub(crate) fn draw(set: &DrawnSet, index: u64, window: &Window) -> Self {
        let scene = Scene::draw(set, index);
        let frames = scene.render(window);
        Self { scene, frames }
    }
}

impl Scene {
    /// Draws all frames of the clip.
    pub(crate) fn render(&self, window: &Window) -> RgbaClip {
        let mut clip = RgbaClip::with_capacity(*window);
        for index in 0..window.frames {
            let ([x, y], scale) = self.place(index as f64, window.frames);
            let pose = Pose {
                x: (x * window.width as f64 / window.height as f64) as f32,
                y: (1.0 - y) as f32,
                radius: (self.radius * scale) as f32,
                // Seconds, at 16 frames in each.
                time: index as f32 / 16.0,
            };
            let mut frame = DrawnFrame::new(window, self.tint);
            if let Some(second) = &self.companion {
                let apart = (self.apart * scale) as f32;
                self.paint(&Pose { x: pose.x - apart, ..pose }, &mut frame);
                let mut beside = DrawnFrame::new(window, second.tint);
                let radius = (second.radius * scale) as f32;
                second.paint(&Pose { x: pose.x + apart, radius, ..pose }, &mut beside);
                frame.lay_over(&beside, pose.x);
            } else {
                self.paint(&pose, &mut frame);
            }
            clip.push(frame.finished());
        }
        clip
    }

    fn paint(&self, pose: &Pose, frame: &mut DrawnFrame) {
        match self.kind {
            Kind::Ball => solid::ball(self, pose, frame),
            Kind::Ring => solid::ring(self, pose, frame),
            Kind::Star => solid::star(self, pose, frame),
            Kind::Bubble => solid::bubble(self, pose, frame),
            Kind::Smoke => fluid::smoke(self, pose, frame),
            Kind::Flame => fluid::flame(self, pose, frame),
            Kind::Sparks => fluid::sparks(self, pose, frame),
            Kind::Veil => fluid::veil(self, pose, frame),
            Kind::Glass => solid::glass(self, pose, frame),
            Kind::Tuft => strands::tuft(self, pose, frame),
        }
    }
}

#[cfg(test)]
mod second_edition_tests;
#[cfg(test)]
mod tests;
