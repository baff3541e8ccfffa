//! The scenes of the second edition: ten kinds, sparks also as small as a hand holds, and two
//! subjects in a tenth of the clips.

use super::{Color, DrawnSet, DrawnStream, Edition, Kind, Motion, Scene, Size};
use crate::data::rng::DataRng;

/// Of all clips, those with two subjects.
const PAIRS: f64 = 0.1;
/// How far the centers of two subjects are from the middle between them, in radii of the larger.
const APART: f64 = 1.12;
/// Half the size of a burst of sparks that a hand holds, in frame heights.
const HAND: [f64; 2] = [0.1, 0.12];

/// The scene of an index.
pub(super) fn scene(set: &DrawnSet, index: u64) -> Scene {
    let purpose = match set.stream {
        DrawnStream::Training => "procedural clip, edition 2",
        DrawnStream::HeldOut => "procedural clip held out, edition 2",
    };
    let mut draw = DataRng::new(set.seed, purpose, &[index]);
    if !draw.chance(PAIRS) {
        let size = draw.pick(&Size::ALL);
        let mut scene = subject(size, &mut draw);
        scene.move_about([scene.radius; 2], &mut draw);
        return scene;
    }
    // Two that are larger than small do not fit beside each other.
    let (mut first, mut second) =
        (subject(Size::Small, &mut draw), subject(Size::Small, &mut draw));
    // One style is named for both.
    second.cartoon = second.kind.has_surface() && first.cartoon;
    first.cartoon = first.cartoon && second.kind.has_surface();
    let radius = first.radius.max(second.radius);
    first.apart = APART * radius;
    first.move_about([first.apart + radius, radius], &mut draw);
    first.companion = Some(Box::new(second));
    first
}

/// A subject that stands in the middle.
fn subject(size: Size, draw: &mut DataRng) -> Scene {
    let (kind, color) = (draw.pick(&Kind::ALL), draw.pick(&Color::ALL));
    let hand_sized = kind == Kind::Sparks && size == Size::Small && draw.chance(0.5);
    let [least, most] = if hand_sized { HAND } else { size.radii() };
    Scene {
        kind,
        color,
        size,
        motion: Motion::Still,
        cartoon: kind.has_surface() && draw.chance(0.4),
        translucent: kind.can_be_translucent() && draw.chance(0.3),
        radius: draw.between(least, most) * kind.generosity(),
        center: [0.5; 2],
        travel: 0.0,
        variety: [(); 4].map(|()| draw.unit()),
        tint: color.tint(draw),
        noise: draw.bits() as u32,
        phrasing: draw.bits(),
        edition: Edition::Second,
        hand_sized,
        companion: None,
        apart: 0.0,
    }
}

impl Scene {
    /// Draws what becomes of its place or size, for what has these half sizes.
    fn move_about(&mut self, half: [f64; 2], draw: &mut DataRng) {
        self.motion = Motion::draw(draw);
        (self.travel, self.center) = self.motion.way(half, draw);
    }
}

/// What a subject lets through, by name.
pub(super) const fn opacity(scene: &Scene) -> &'static str {
    match scene.kind {
        Kind::Ball | Kind::Ring | Kind::Star if scene.translucent => "translucent",
        Kind::Ball | Kind::Ring | Kind::Star => "opaque",
        Kind::Smoke if scene.translucent => "thin",
        Kind::Smoke => "dense",
        Kind::Bubble | Kind::Glass => "clear",
        Kind::Veil => "sheer",
        Kind::Tuft => "soft",
        Kind::Flame | Kind::Sparks => "glowing",
    }
}
