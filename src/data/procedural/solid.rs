//! Subjects with a surface: ball, ring, star, the bubble's film, and glass.

use super::Scene;
use super::frame::{DrawnFrame, Pose, WHITE, inside, mix3, scaled, smooth, turned, wave};
use super::noise;

/// Where light comes from: left, above, in front.
const LIGHT: [f32; 3] = [-0.45, -0.6, 0.661];
/// Half-way between it and the eye.
const GLANCE: [f32; 3] = [-0.247, -0.329, 0.911];

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// A lit surface in the scene's style: shaded with a highlight, or in two tones.
fn lit(scene: &Scene, normal: [f32; 3]) -> [f32; 3] {
    let light = dot(normal, LIGHT);
    let glance = dot(normal, GLANCE).max(0.0);
    if scene.cartoon {
        let tone = scaled(scene.tint, if light > 0.25 { 1.0 } else { 0.68 });
        return if glance > 0.965 { mix3(tone, WHITE, 0.85) } else { tone };
    }
    let shaded = scaled(scene.tint, 0.42 + 0.68 * (0.75 * light + 0.25).max(0.0));
    let sharp = glance * glance * glance * glance;
    let sharp = sharp * sharp * sharp * sharp;
    mix3(shaded, WHITE, 0.8 * sharp * sharp)
}

/// Alpha of a surface seen at this angle (1: straight on).
fn body(scene: &Scene, facing: f32) -> f32 {
    if scene.translucent { 0.42 + 0.25 * (1.0 - facing) } else { 1.0 }
}

/// Cartoons have an outline: this share of the radius, towards the edge.
fn outlined(scene: &Scene, color: [f32; 3], depth: f32) -> [f32; 3] {
    if scene.cartoon && depth < 0.09 { scaled(scene.tint, 0.4) } else { color }
}

pub(super) fn ball(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    let (radius, pixel) = (pose.radius, frame.pixel());
    frame.paint(pose, [radius; 2], |x, y| {
        let distance = (x * x + y * y).sqrt();
        let cover = inside(radius - distance, pixel);
        if cover == 0.0 {
            return [0.0; 4];
        }
        let (u, v) = (x / radius, y / radius);
        let depth = (1.0 - u * u - v * v).max(0.0).sqrt();
        let color = outlined(scene, lit(scene, [u, v, depth]), 1.0 - distance / radius);
        with_alpha(color, cover * body(scene, depth))
    });
}

pub(super) fn ring(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    let (radius, pixel) = (pose.radius, frame.pixel());
    let tilt = scene.ring_tilt() as f32;
    let turn = scene.ring_turn();
    let [cos, sin] = turned([1.0, 0.0], turn);
    let thick = radius * (0.15 + 0.1 * scene.variety[2] as f32);
    let middle = radius - thick;
    frame.paint(pose, [radius; 2], |x, y| {
        // Into the ring's own plane: the inverse of its turn, then its tilt undone.
        let (along, across) = (x * cos + y * sin, (y * cos - x * sin) / tilt);
        let from = (along * along + across * across).sqrt().max(1e-6);
        let off = from - middle;
        // How much longer a step on the picture is in that plane.
        let stretch = ((along * along + across * across / (tilt * tilt)) / (from * from)).sqrt();
        let cover = inside((thick - off.abs()) / stretch, pixel);
        if cover == 0.0 {
            return [0.0; 4];
        }
        let side = (off / thick).clamp(-1.0, 1.0);
        let depth = (1.0 - side * side).sqrt();
        let (u, v) = (along / from * side, across / from * side * tilt);
        let normal = [u * cos - v * sin, v * cos + u * sin, depth];
        let color = outlined(scene, lit(scene, normal), (1.0 - side.abs()) * 0.5);
        with_alpha(color, cover * body(scene, depth))
    });
}

pub(super) fn star(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    let (radius, pixel) = (pose.radius, frame.pixel());
    let spin = (scene.variety[1] - 0.5) * 160.0 * f64::from(pose.time);
    let turn = scene.variety[0] * 72.0 + spin;
    let [cos, sin] = turned([1.0, 0.0], turn);
    // Directions of the five points, upwards first.
    let points = [0.0, 72.0, 144.0, 216.0, 288.0].map(|degrees| turned([0.0, -1.0], degrees));
    frame.paint(pose, [radius; 2], |x, y| {
        let (u, v) = (x * cos + y * sin, y * cos - x * sin);
        let distance = star_distance(u, v, radius, 0.46);
        let cover = inside(distance, pixel);
        if cover == 0.0 {
            return [0.0; 4];
        }
        let color = if scene.cartoon {
            outlined(scene, scene.tint, distance / radius)
        } else {
            // Every point is a roof of two facets, which meet along its middle.
            let along = |point: &[f32; 2]| point[0] * u + point[1] * v;
            let nearest = points
                .iter()
                .max_by(|a, b| along(a).total_cmp(&along(b)))
                .copied()
                .unwrap_or_default();
            let side = if nearest[0] * v - nearest[1] * u > 0.0 { 1.0 } else { -1.0 };
            let (fx, fy) = (-nearest[1] * side, nearest[0] * side);
            let facet = [0.62 * (fx * cos - fy * sin), 0.62 * (fy * cos + fx * sin), 0.78];
            let light = dot(facet, LIGHT);
            let bevel = smooth(0.0, 0.12, distance / radius);
            mix3(
                scaled(scene.tint, 0.5 + 0.68 * light.max(0.0)),
                WHITE,
                0.12 * bevel * light.max(0.0),
            )
        };
        with_alpha(color, cover * body(scene, 0.8))
    });
}

/// Inside positive: to the edge of a five-pointed star that stands on two points.
fn star_distance(x: f32, y: f32, radius: f32, inner: f32) -> f32 {
    const K: [f32; 2] = [0.809_017, -0.587_785_24];
    let (mut x, mut y) = (x.abs(), -y);
    let mut fold = |kx: f32, ky: f32| {
        let beyond = 2.0 * (kx * x + ky * y).max(0.0);
        (x, y) = (x - beyond * kx, y - beyond * ky);
    };
    fold(K[0], K[1]);
    fold(-K[0], K[1]);
    let (x, y) = (x.abs(), y - radius);
    let edge = [inner * -K[1], inner * K[0] - 1.0];
    let length = edge[0] * edge[0] + edge[1] * edge[1];
    let along = ((x * edge[0] + y * edge[1]) / length).clamp(0.0, radius);
    let (dx, dy) = (x - edge[0] * along, y - edge[1] * along);
    let distance = (dx * dx + dy * dy).sqrt();
    if y * edge[0] - x * edge[1] > 0.0 { -distance } else { distance }
}

/// A film: hardly there where it is looked through, glassy at its rim, with a window's reflection.
pub(super) fn bubble(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    let (radius, pixel) = (pose.radius, frame.pixel());
    let phase = scene.variety[0] as f32;
    let wobble = 0.035 * wave(pose.time * 1.3 + phase);
    let (wide, high) = (radius * (1.0 + wobble), radius * (1.0 - wobble));
    let seed = scene.noise;
    frame.paint(pose, [wide, high], |x, y| {
        let (u, v) = (x / wide, y / high);
        let square = u * u + v * v;
        let from = square.sqrt();
        let cover = inside((1.0 - from) * radius, pixel);
        if cover == 0.0 {
            return [0.0; 4];
        }
        let rim = 1.0 - (1.0 - square).max(0.0).sqrt();
        let film = noise::soft(1.6 * u + 3.0, 1.6 * v + 0.8 * pose.time, pose.time, seed);
        let alpha = 0.1 + 0.1 * film + 0.72 * rim * rim;
        let tint = mix3(scene.tint, WHITE, 0.18 + 0.4 * (film - 0.35).max(0.0));
        // Above on the left a window, below on the right what is left of it.
        let (wx, wy) = (u + 0.42, v + 0.48);
        let (along, across) = (wx * 0.75 - wy * 0.66, wx * 0.66 + wy * 0.75);
        let window = 1.0 - (along * along / 0.05 + across * across / 0.011);
        let window = smooth(0.0, 0.6, window);
        let facing = (0.6 * u + 0.8 * v).max(0.0);
        let arc =
            smooth(0.66, 0.82, from) * (1.0 - smooth(0.84, 0.95, from)) * smooth(0.55, 0.9, facing);
        let shine = (0.9 * window).max(0.55 * arc);
        with_alpha(mix3(tint, WHITE, shine), cover * (alpha + shine * (0.92 - alpha)))
    });
}

/// A lump of glass: clear in its middle, where one looks straight through; towards its rim light is
/// bent until nothing behind is seen, darker in a band, and what came in on the side of the light
/// gathers on the other.
pub(super) fn glass(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    let (radius, pixel) = (pose.radius, frame.pixel());
    // Where the light turns by and by.
    let sway = 0.25 * wave(0.35 * pose.time + scene.variety[0] as f32);
    frame.paint(pose, [radius; 2], |x, y| {
        let (u, v) = (x / radius, y / radius);
        let from = (u * u + v * v).sqrt();
        let cover = inside((1.0 - from) * radius, pixel);
        if cover == 0.0 {
            return [0.0; 4];
        }
        let between = |low: f32, high: f32, edge: f32| {
            smooth(low, low + edge, from) * (1.0 - smooth(high - edge, high, from))
        };
        let rim = smooth(0.5, 0.92, from);
        let band = between(0.7, 0.96, 0.13);
        // 1 on the side away from the light, −1 towards it.
        let away = ((0.6 - sway) * u + (0.8 + 0.75 * sway) * v) / from.max(1e-3);
        let gathered = between(0.4, 0.86, 0.2) * smooth(0.35, 0.95, away);
        let (hx, hy) = (u + 0.36, v + 0.46);
        let glint = smooth(0.0, 0.7, 1.0 - (hx * hx + hy * hy) / 0.018);
        let shine = (0.75 * gathered).max(glint);
        let alpha = 0.1 + 0.76 * rim;
        let tint = scaled(scene.tint, 1.0 - 0.4 * band);
        with_alpha(mix3(tint, WHITE, 0.85 * shine), cover * (alpha + shine * (0.95 - alpha)))
    });
}

fn with_alpha([r, g, b]: [f32; 3], alpha: f32) -> [f32; 4] {
    [r, g, b, alpha]
}
