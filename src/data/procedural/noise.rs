//! Smooth noise in space and time, by integers alone.

/// Value noise in [0, 1), one cell a unit.
fn value(x: f32, y: f32, z: f32, seed: u32) -> f32 {
    let (fx, fy, fz) = (x.floor(), y.floor(), z.floor());
    let (ix, iy, iz) = (fx as i32 as u32, fy as i32 as u32, fz as i32 as u32);
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty, tz) = (ease(x - fx), ease(y - fy), ease(z - fz));
    let (x0, x1) = (ix.wrapping_mul(0x9E37_79B1), ix.wrapping_add(1).wrapping_mul(0x9E37_79B1));
    let (y0, y1) = (iy.wrapping_mul(0x85EB_CA77), iy.wrapping_add(1).wrapping_mul(0x85EB_CA77));
    let (z0, z1) = (iz.wrapping_mul(0xC2B2_AE3D), iz.wrapping_add(1).wrapping_mul(0xC2B2_AE3D));
    let plane = |z: u32| {
        let row = |y: u32| {
            let low = corner(x0 ^ y ^ z ^ seed);
            low + (corner(x1 ^ y ^ z ^ seed) - low) * tx
        };
        let low = row(y0);
        low + (row(y1) - low) * ty
    };
    let low = plane(z0);
    low + (plane(z1) - low) * tz
}

fn corner(mut bits: u32) -> f32 {
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
    bits = (bits ^ (bits >> 12)).wrapping_mul(0x297A_2D39);
    ((bits ^ (bits >> 15)) >> 8) as f32 * (1.0 / (1_u32 << 24) as f32)
}

/// Three octaves in [0, 1), ½ on average.
pub(super) fn clouds(x: f32, y: f32, z: f32, seed: u32) -> f32 {
    let one = value(x, y, z, seed);
    let two = value(2.03 * x + 7.1, 2.03 * y - 3.3, 1.7 * z + 1.9, seed.rotate_left(7));
    let three = value(4.11 * x - 1.7, 4.11 * y + 9.2, 2.9 * z + 5.3, seed.rotate_left(13));
    (4.0 * one + 2.0 * two + three) * (1.0 / 7.0)
}

/// Two octaves, where detail would not show.
pub(super) fn soft(x: f32, y: f32, z: f32, seed: u32) -> f32 {
    let one = value(x, y, z, seed);
    let two = value(2.03 * x + 7.1, 2.03 * y - 3.3, 1.7 * z + 1.9, seed.rotate_left(7));
    (2.0 * one + two) * (1.0 / 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_smooth_and_fills_its_range() {
        let (mut sum, mut least, mut most) = (0.0, 1.0_f32, 0.0_f32);
        for step in -5000..5000 {
            let at = |step: f32| value(step * 0.037, step * -0.021, step * 0.013, 5);
            let here = at(step as f32);
            assert!((here - at(step as f32 + 0.1)).abs() < 0.02, "{step}");
            (sum, least, most) = (sum + here, least.min(here), most.max(here));
        }
        assert!((sum / 10_000.0 - 0.5).abs() < 0.03, "{sum}");
        assert!(least < 0.05 && most > 0.95, "{least} {most}");
    }
}
