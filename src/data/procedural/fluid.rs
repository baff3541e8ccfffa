//! Subjects without a surface: smoke, flame, sparks, veil.

use super::Scene;
use super::frame::{DrawnFrame, Pose, WHITE, inside, mix, mix3, scaled, smooth, wave};
use super::noise;

/// A plume that rises through itself: wider above than below, torn at its edges.
pub(super) fn smoke(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    let radius = pose.radius;
    let (seed, thick) = (scene.noise, if scene.translucent { 0.5 } else { 0.95 });
    let reach = [radius * 1.06, radius * 1.1];
    frame.paint(pose, reach, |x, y| {
        let v = y / radius;
        // −1 above, 1 below.
        let wide = 0.74 - 0.2 * v;
        let u = x / (radius * wide) + 0.16 * wave(0.45 * v + 0.5 * pose.time);
        let square = u * u + v * v;
        if square > 1.35 {
            return [0.0; 4];
        }
        let (nx, ny) = (1.7 * x / radius, 1.7 * v + 1.7 * pose.time);
        let cloud = noise::clouds(nx, ny, 0.9 * pose.time, seed);
        let density = 1.2 - square + 1.7 * (cloud - 0.5);
        let alpha = thick * smooth(0.02, 0.85, density);
        if alpha < 1.0 / 256.0 {
            return [0.0; 4];
        }
        // What lies towards the light casts its shadow.
        let before = noise::soft(nx - 0.3, ny - 0.36, 0.9 * pose.time, seed);
        let light = (0.55 + 1.6 * (cloud - before) - 0.18 * v).clamp(0.0, 1.0);
        let [r, g, b] = mix3(scaled(scene.tint, 0.62), mix3(scene.tint, WHITE, 0.3), light);
        [r, g, b, alpha]
    });
}

/// A tongue that licks upwards: a pale core, the color, and a dark rim.
pub(super) fn flame(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    let radius = pose.radius;
    let (seed, time) = (scene.noise, pose.time);
    let sway = scene.variety[0] as f32;
    frame.paint(pose, [radius * 0.85, radius * 1.16], |x, y| {
        // The most of a flame is below its middle, and that is where the flame is said to be.
        let y = y + 0.14 * radius;
        // 0 at the bottom, 1 at the tip.
        let v = (1.0 - y / radius) * 0.5;
        if !(0.0..=1.0).contains(&v) {
            return [0.0; 4];
        }
        let (nx, ny) = (2.3 * x / radius, 1.5 * y / radius + 3.2 * time);
        let lick = noise::clouds(nx, ny, 1.1 * time, seed);
        let bend = 0.22 * v * wave(0.5 * v - 1.1 * time + sway) + 0.55 * v * (lick - 0.5);
        let u = x / radius + bend;
        let belly = if v < 0.28 {
            let t = 1.0 - v / 0.28;
            (1.0 - t * t).max(0.0).sqrt()
        } else {
            let t = (1.0 - v) / 0.72;
            t * (1.6 - 0.6 * t)
        };
        let edge = 1.0 - u.abs() / (0.6 * belly + 1e-3) + 0.9 * v * (lick - 0.5);
        let alpha = 0.97 * smooth(0.0, 0.42, edge) * smooth(0.0, 0.05, v);
        if alpha < 1.0 / 256.0 {
            return [0.0; 4];
        }
        let heat = edge * (1.15 - 0.75 * v);
        let body = mix3(scaled(scene.tint, 0.78), scaled(scene.tint, 1.12), smooth(0.0, 0.5, edge));
        let core = smooth(0.42, 0.95, heat);
        let [r, g, b] = mix3(body, mix3(scene.tint, WHITE, 0.82), core);
        [r, g, b, alpha]
    });
}

/// A burst of glowing streaks that fly out, fall and fade, about a small glow.
pub(super) fn sparks(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    // A small burst of as many would be one blot.
    let count: u32 = if scene.hand_sized { 18 } else { 22 };
    let (radius, pixel) = (pose.radius, frame.pixel());
    let glow = scene.tint;
    let hot = mix3(glow, WHITE, 0.85);
    frame.paint(pose, [radius * 0.34; 2], |x, y| {
        let from = (x * x + y * y).sqrt() / (radius * 0.34);
        let near = (1.0 - from).max(0.0);
        let [r, g, b] = mix3(glow, hot, near * near);
        [r, g, b, 0.8 * near * near]
    });
    for index in 0..count {
        let random = |salt: u32| {
            let mut bits =
                scene.noise ^ index.wrapping_mul(0x9E37_79B1) ^ salt.wrapping_mul(0x85EB_CA77);
            bits = (bits ^ (bits >> 16)).wrapping_mul(0x7FEB_352D);
            bits = (bits ^ (bits >> 15)).wrapping_mul(0x846C_A68B);
            ((bits ^ (bits >> 16)) >> 8) as f32 * (1.0 / (1_u32 << 24) as f32)
        };
        // Evenly around, so that the burst is round, each a little off.
        let turn = std::f64::consts::TAU * f64::from((index as f32 + random(1)) / count as f32);
        let (sin, cos) = (libm::sin(turn) as f32, libm::cos(turn) as f32);
        let speed = 0.6 + 0.4 * random(2);
        let age = {
            let age = random(3) + pose.time * (0.9 + 0.5 * random(4));
            age - age.floor()
        };
        let at = |age: f32| {
            // Slowed by the air, drawn down a little.
            let way = radius * 0.94 * speed * (0.12 + 0.88 * age * (2.0 - age));
            [way * cos, way * sin + 0.08 * radius * age * age]
        };
        let (head, tail) = (at(age), at((age - 0.2).max(0.0)));
        let bright = (1.0 - age * age * age) * smooth(0.0, 0.06, age);
        let width = (radius * (0.08 - 0.03 * age)).max(1.0 * pixel);
        streak(pose, frame, [tail, head], width, bright, [glow, hot]);
    }
}

/// Lays a soft line over what is there.
fn streak(
    pose: &Pose,
    frame: &mut DrawnFrame,
    [tail, head]: [[f32; 2]; 2],
    width: f32,
    bright: f32,
    [glow, hot]: [[f32; 3]; 2],
) {
    frame.each_near_line(pose, [tail, head], width, |near, along, pixel| {
        let alpha = (bright * near * (0.25 + 0.75 * along)).min(1.0);
        if alpha < 1.0 / 256.0 {
            return;
        }
        let color = mix3(glow, hot, near * near * along);
        let below = pixel[3] * (1.0 - alpha);
        let all = alpha + below;
        for (channel, new) in pixel.iter_mut().zip(color) {
            *channel = ((new * alpha + *channel * below) / all).clamp(0.0, 1.0);
        }
        pixel[3] = all.min(1.0);
    });
}

/// A sheer cloth in the wind, held at its upper corners: folds are where it is thicker.
pub(super) fn veil(scene: &Scene, pose: &Pose, frame: &mut DrawnFrame) {
    let (radius, pixel) = (pose.radius, frame.pixel());
    let [phase, folds] = [scene.variety[0] as f32, 0.55 + 0.3 * scene.variety[1] as f32];
    let time = pose.time;
    let half = radius * 0.88;
    frame.paint(pose, [radius * 1.05; 2], |x, y| {
        let (u, v) = (x / half, y / half);
        // Gathered above, wide and loose below.
        let loose = 0.5 + 0.5 * v.clamp(-1.0, 1.0);
        let u = (u + 0.14 * loose * wave(0.35 * v - 0.9 * time + phase)) / (0.78 + 0.2 * loose);
        let v = v
            + 0.07 * wave(0.5 * u + 0.25) * (1.0 - loose)
            + 0.1 * loose * wave(0.6 * u - 0.8 * time + 2.0 * phase);
        let edges = [u, v].map(|at| inside((1.0 - at.abs()) * half, pixel));
        let cover = edges[0] * edges[1];
        if cover == 0.0 {
            return [0.0; 4];
        }
        // Folds fan out from the upper edge and travel.
        let across = folds * u * (1.0 - 0.25 * loose) + 0.16 * wave(0.3 * v + 0.5 * time) + phase;
        let broad = 0.5 + 0.5 * wave(across - 0.25 * time);
        let fine = 0.5 + 0.5 * wave(2.4 * across + 0.2 * v + 0.3 * time);
        let fold = 0.75 * broad + 0.25 * fine;
        let hem = smooth(0.8, 1.0, u.abs().max(v.abs()));
        let alpha = cover * mix(0.24 + 0.46 * fold * fold, 0.62, 0.5 * hem);
        let light = 0.5 + 0.5 * wave(across + 0.2 - 0.25 * time);
        let [r, g, b] =
            mix3(scaled(scene.tint, 0.74 + 0.34 * light), WHITE, 0.35 * light * light * light);
        [r, g, b, alpha]
    });
}
