//! Subjects of thin strands, which cover a pixel only in part: what stands for hair and feathers.

use super::Scene;
use super::frame::{DrawnFrame, Pose, WHITE, mix3, scaled, smooth, wave};

const STRANDS: u32 = 34;
/// Straight pieces that a strand is drawn by.
const PIECES: u32 = 9;

/// A tuft: strands that rise from a short root, fan out, thin towards their tips and sway.
pub(super) fn tuft(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    let (radius, pixel) = (pose.radius, frame.pixel());
    for index in 0..STRANDS {
        let strand = Strand::new(scene, index, pose);
        let width = (0.05 * radius).max(0.9 * pixel);
        let color = if strand.shade < 0.5 {
            scaled(scene.tint, 0.72 + 0.5 * strand.shade)
        } else {
            mix3(scene.tint, WHITE, 0.5 * (strand.shade - 0.5))
        };
        for piece in 0..PIECES {
            let ends = [piece, piece + 1].map(|end| strand.at(end as f32 / PIECES as f32));
            let along = (piece as f32 + 0.5) / PIECES as f32;
            let dense = strand.alpha * (1.0 - smooth(0.55, 1.05, along));
            hair(pose, frame, ends, width * (1.0 - 0.45 * along), dense, color);
        }
    }
}

/// One strand: a curve from its root to its tip.
struct Strand {
    root: [f32; 2],
    tip: [f32; 2],
    /// How far the middle is bent sideways.
    bend: f32,
    alpha: f32,
    /// 0 dark, 1 light.
    shade: f32,
}

impl Strand {
    fn new(scene: &Scene, index: u32, pose: &Pose) -> Self {
        let random = |salt: u32| {
            let mut bits =
                scene.noise ^ index.wrapping_mul(0x9E37_79B1) ^ salt.wrapping_mul(0x85EB_CA77);
            bits = (bits ^ (bits >> 16)).wrapping_mul(0x7FEB_352D);
            bits = (bits ^ (bits >> 15)).wrapping_mul(0x846C_A68B);
            ((bits ^ (bits >> 16)) >> 8) as f32 * (1.0 / (1_u32 << 24) as f32)
        };
        // −1 on the left, 1 on the right; evenly, each a little off.
        let side = 2.0 * (index as f32 + random(1)) / STRANDS as f32 - 1.0;
        let sway = 0.1 * wave(0.8 * pose.time + 0.3 * side + scene.variety[0] as f32);
        let long = 0.72 + 0.28 * random(2);
        let height = long * (1.0 - 0.3 * side * side);
        Self {
            root: [0.34 * side, 0.88 - 0.08 * random(3)],
            tip: [0.78 * side + sway, 0.88 - 1.8 * height],
            bend: 0.22 * (random(4) - 0.5) - 0.5 * sway,
            alpha: 0.5 + 0.38 * random(5),
            shade: random(6),
        }
        .times(pose.radius)
    }

    fn times(self, by: f32) -> Self {
        let scaled = |place: [f32; 2]| place.map(|side| side * by);
        Self { root: scaled(self.root), tip: scaled(self.tip), bend: self.bend * by, ..self }
    }

    /// The place at a share of its length, from the subject's center.
    fn at(&self, along: f32) -> [f32; 2] {
        let straight = |axis: usize| self.root[axis] + (self.tip[axis] - self.root[axis]) * along;
        [straight(0) + self.bend * 4.0 * along * (1.0 - along), straight(1)]
    }
}

/// A soft line; where several lie over each other the densest counts, so that pieces do not show.
fn hair(
    pose: &Pose,
    frame: &mut DrawnFrame,
    [from, to]: [[f32; 2]; 2],
    width: f32,
    dense: f32,
    [r, g, b]: [f32; 3],
) {
    frame.each_near_line(pose, [from, to], width, |near, _, pixel| {
        let alpha = dense * near;
        if alpha >= 1.0 / 256.0 && alpha > pixel[3] {
            *pixel = [r, g, b, alpha];
        }
    });
}
