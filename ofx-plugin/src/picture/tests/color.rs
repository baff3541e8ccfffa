//! Values: transfer, alpha, depths, and what must not happen at edges.

use half::f16;

use super::super::source::{AlphaMode, read};
use super::*;

/// An opaque disc of a color; around it nothing, with another color in the nothing.
fn disc(size: u32, inside: [f32; 3], outside: [f32; 3]) -> Picture {
    let middle = size as f32 / 2.0;
    Picture::new([size, size], |x, y| {
        let distance = (x as f32 + 0.5 - middle).hypot(y as f32 + 0.5 - middle);
        let ([r, g, b], alpha) =
            if distance < middle * 0.7 { (inside, 1.0) } else { (outside, 0.0) };
        [r, g, b, alpha]
    })
}

#[test]
fn color_without_alpha_never_bleeds_in() {
    for factor in [2.25, 0.4, 1.0, 0.13] {
        let side = (64.0_f64 * factor).round() as i32;
        for format in [PREMULTIPLIED, STRAIGHT, LINEAR] {
            let image =
                disc(64, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]).drawn([side; 2], Fit::Whole, format);
            assert!(image.pixels().any(|pixel| pixel[3] == 1.0));
            assert!(image.pixels().any(|pixel| pixel[3] == 0.0));
            for [_, g, _, alpha] in image.pixels() {
                assert!(g <= 1e-3 * alpha, "green {g} at alpha {alpha}, enlarged by {factor}");
            }
        }
    }
}

#[test]
fn garbage_without_alpha_changes_nothing() {
    let clean = disc(40, [0.2, 0.5, 0.9], [0.0; 3]);
    for garbage in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e4, -1.0] {
        let dirty = disc(40, [0.2, 0.5, 0.9], [garbage; 3]);
        for side in [16, 40, 90] {
            for format in [PREMULTIPLIED, STRAIGHT, LINEAR] {
                let [dirty, clean] =
                    [&dirty, &clean].map(|picture| picture.drawn([side; 2], Fit::Whole, format));
                assert_eq!(dirty.bytes, clean.bytes, "{garbage}, side {side}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_counts_as_nothing() {
    let broken = Picture::new([32, 32], |x, y| {
        let [mut r, g, b, mut alpha] = noise(x, y);
        match (x + 5 * y) % 7 {
            0 => r = f32::NAN,
            1 => r = f32::INFINITY,
            2 => alpha = f32::NAN,
            3 => alpha = f32::NEG_INFINITY,
            _ => {}
        }
        [r, g, b, alpha]
    });
    for side in [13, 32, 75] {
        for transfer in [Transfer::AsGenerated, Transfer::LinearRec709, Transfer::AcesCg] {
            for straight in [false, true] {
                let image =
                    broken.drawn([side; 2], Fit::Whole, OutputFormat { transfer, straight });
                assert!(image.pixels().flatten().all(f32::is_finite));
                assert!(image.pixels().any(|pixel| pixel[3] > 0.0));
            }
        }
    }
}

#[test]
fn a_constant_stays_constant_to_the_last_row() {
    let color = [0.3, 0.7, 0.110_046_39];
    let flat = Picture::new([52, 30], |_, _| [color[0], color[1], color[2], 1.0]);
    let expected = flat.pixel(0, 0);
    for [width, height] in [[117, 67], [21, 12], [52, 30], [1001, 577], [5, 3]] {
        for format in [PREMULTIPLIED, STRAIGHT] {
            let image = flat.drawn([width, height], Fit::Stretch, format);
            assert!(image.pixels().all(|pixel| pixel == expected), "{width} × {height}");
        }
    }
}

#[test]
fn reducing_keeps_the_energy() {
    let picture = disc(100, [0.8, 0.4, 0.1], [0.0; 3]);
    let sum = |image: &Image| {
        image.pixels().fold([0.0_f64; 4], |sum, pixel| {
            std::array::from_fn(|channel| sum[channel] + f64::from(pixel[channel]))
        })
    };
    let whole = sum(&picture.drawn([100, 100], Fit::Whole, PREMULTIPLIED));
    for side in [90, 67, 50, 40, 13] {
        let reduced = sum(&picture.drawn([side; 2], Fit::Whole, PREMULTIPLIED));
        let area = (100.0 / f64::from(side)).powi(2);
        for (reduced, whole) in reduced.into_iter().zip(whole) {
            assert!((reduced * area / whole - 1.0).abs() < 0.01, "side {side}: {reduced} {whole}");
        }
    }
}

#[test]
fn nothing_rings_and_nothing_aliases() {
    // A step stays between its two values; a fine pattern becomes its mean.
    let step = Picture::new([40, 40], |x, _| [if x < 20 { 0.25 } else { 0.75 }, 0.0, 0.0, 1.0]);
    for side in [15, 93] {
        let image = step.drawn([side; 2], Fit::Whole, PREMULTIPLIED);
        assert!(image.pixels().all(|pixel| (0.25..=0.75).contains(&pixel[0])));
    }
    let stripes = Picture::new([200, 200], |x, _| [(x % 2) as f32, 0.0, 0.0, 1.0]);
    let image = stripes.drawn([47, 47], Fit::Whole, PREMULTIPLIED);
    for (at, pixel) in image.pixels().enumerate().filter(|(at, _)| (1..46).contains(&(at % 47))) {
        assert!((pixel[0] - 0.5).abs() < 0.04, "{} at {at}", pixel[0]);
    }
}

#[test]
fn one_to_one_is_what_the_take_holds() {
    let picture = Picture::new([33, 21], noise);
    let straight = picture.drawn([33, 21], Fit::PixelForPixel, STRAIGHT);
    let premultiplied = picture.drawn([33, 21], Fit::PixelForPixel, PREMULTIPLIED);
    for y in 0..21 {
        for x in 0..33 {
            let [r, g, b, alpha] = picture.pixel(x, 20 - y);
            let (x, y) = (x as i32, y as i32);
            assert_eq!(straight.pixel(x, y), [r, g, b, alpha]);
            assert_eq!(premultiplied.pixel(x, y), [r * alpha, g * alpha, b * alpha, alpha]);
        }
    }
}

#[test]
fn over_red_and_over_cyan_it_is_what_one_composites_by_hand() {
    let picture = Picture::new([16, 9], noise);
    let over = |rgba: [f32; 4], background: [f32; 3]| {
        [0, 1, 2].map(|channel| rgba[channel] + background[channel] * (1.0 - rgba[3]))
    };
    let multiplied = |[r, g, b, alpha]: [f32; 4]| [r * alpha, g * alpha, b * alpha, alpha];
    for background in [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]] {
        let image = picture.drawn([16, 9], Fit::Whole, PREMULTIPLIED);
        for (at, pixel) in image.pixels().enumerate() {
            let (x, y) = (at as u32 % 16, 8 - at as u32 / 16);
            let by_hand = over(multiplied(picture.pixel(x, y)), background);
            for (ours, by_hand) in over(pixel, background).into_iter().zip(by_hand) {
                assert!((ours - by_hand).abs() < 1e-6);
            }
        }
        // The same in any size: straight and premultiplied are one picture.
        for size in [[37, 20], [7, 4]] {
            let [premultiplied, straight] =
                [PREMULTIPLIED, STRAIGHT].map(|format| picture.drawn(size, Fit::Whole, format));
            for (premultiplied, straight) in premultiplied.pixels().zip(straight.pixels()) {
                let by_hand = over(multiplied(straight), background);
                for (ours, by_hand) in over(premultiplied, background).into_iter().zip(by_hand) {
                    assert!((ours - by_hand).abs() < 1e-6);
                }
            }
        }
    }
}

/// Every half-float as a gray, opaque.
fn every_half() -> impl Iterator<Item = (f16, [f16; 4])> {
    (0..=u16::MAX).map(f16::from_bits).map(|value| (value, [value, value, value, f16::ONE]))
}

fn read_one(pixel: [f16; 4], transfer: Transfer) -> [f32; 4] {
    let mut to = [[0.0; 4]];
    read(&[pixel], transfer, AlphaMode::Straight, &mut to);
    to[0]
}

#[test]
fn every_half_float_is_read_as_it_is() {
    for (value, pixel) in every_half() {
        let expected = if value.is_finite() { value.to_f32() } else { 0.0 };
        assert_eq!(read_one(pixel, Transfer::AsGenerated)[0].to_bits(), expected.to_bits());
    }
}

#[test]
fn linear_is_the_curve_of_the_standard() {
    for (value, pixel) in every_half().filter(|(value, _)| value.is_finite()) {
        let display = value.to_f64();
        let [at, sign] = [display.abs(), display.signum()];
        let curve = if at <= 0.04045 { at / 12.92 } else { ((at + 0.055) / 1.055).powf(2.4) };
        let found = f64::from(read_one(pixel, Transfer::LinearRec709)[0]);
        let error = (found - sign * curve).abs() / curve.max(1.0);
        assert!(error < 1e-6, "{display} became {found}");
        // And back.
        let linear = found.abs();
        let back = if linear <= 0.040_45 / 12.92 {
            linear * 12.92
        } else {
            1.055 * linear.powf(1.0 / 2.4) - 0.055
        };
        assert!(
            (sign * back - display).abs() <= 1e-6 * at.max(1.0),
            "{display} came back as {back}"
        );
    }
}

/// Chromaticities of Rec.709 and AP1, and their whites.
const REC709: [[f64; 2]; 4] = [[0.64, 0.33], [0.30, 0.60], [0.15, 0.06], [0.3127, 0.3290]];
const AP1: [[f64; 2]; 4] = [[0.713, 0.293], [0.165, 0.830], [0.128, 0.044], [0.32168, 0.33767]];
const BRADFORD: Matrix =
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];

type Matrix = [[f64; 3]; 3];

fn times(a: Matrix, b: Matrix) -> Matrix {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| (0..3).map(|at| a[row][at] * b[at][column]).sum())
    })
}

fn applied(a: Matrix, v: [f64; 3]) -> [f64; 3] {
    a.map(|row| (0..3).map(|at| row[at] * v[at]).sum())
}

fn diagonal(v: [f64; 3]) -> Matrix {
    std::array::from_fn(|row| std::array::from_fn(|at| if row == at { v[at] } else { 0.0 }))
}

fn inverse(m: Matrix) -> Matrix {
    let minor = |row: usize, column: usize| {
        let [a, b] = [(row + 1) % 3, (row + 2) % 3];
        let [c, d] = [(column + 1) % 3, (column + 2) % 3];
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f64 = (0..3).map(|column| m[0][column] * minor(0, column)).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| minor(column, row) / determinant))
}

fn xyz([x, y]: [f64; 2]) -> [f64; 3] {
    [x / y, 1.0, (1.0 - x - y) / y]
}

fn to_xyz([red, green, blue, white]: [[f64; 2]; 4]) -> Matrix {
    let columns = [red, green, blue].map(xyz);
    let primaries: Matrix = std::array::from_fn(|row| columns.map(|column| column[row]));
    times(primaries, diagonal(applied(inverse(primaries), xyz(white))))
}

#[test]
fn acescg_follows_from_the_primaries() {
    let [from, to] = [REC709, AP1].map(|space| applied(BRADFORD, xyz(space[3])));
    let scaled = diagonal(std::array::from_fn(|at| to[at] / from[at]));
    let adapted = times(inverse(BRADFORD), times(scaled, BRADFORD));
    let matrix = times(inverse(to_xyz(AP1)), times(adapted, to_xyz(REC709)));
    for (channel, primary) in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].iter().enumerate()
    {
        let [r, g, b] = primary.map(f16::from_f32);
        let found = read_one([r, g, b, f16::ONE], Transfer::AcesCg);
        for row in 0..3 {
            let expected = matrix[row][channel];
            assert!((f64::from(found[row]) - expected).abs() < 1e-6, "{} {expected}", found[row]);
        }
    }
    let white = read_one([f16::ONE; 4], Transfer::AcesCg);
    assert!(white.iter().all(|value| (value - 1.0).abs() < 1e-6), "{white:?}");
}

#[test]
fn every_depth_holds_the_same_picture() {
    let picture = Picture::new([24, 14], |x, y| {
        let [r, g, b, alpha] = noise(x, y);
        [r * 1.5 - 0.25, g, b, if alpha < 0.2 { 0.0 } else { alpha }]
    });
    for side in [24, 50] {
        let of = |depth| {
            let window = Window { x1: 0, y1: 0, x2: side, y2: side };
            let mut image = Image::new(window, window, depth);
            let content = content(output_frame(side, side), Fit::Whole, Some(picture.source()));
            assert_eq!(draw(&mut image, &content, PREMULTIPLIED, &|| true), Drawn::Whole);
            image
        };
        let float = of(Depth::Float);
        assert!(float.pixels().flatten().any(|value| value > 1.0));
        assert!(float.pixels().flatten().any(|value| value < 0.0));
        let steps = [(Depth::Byte, 255.0), (Depth::Short, 65535.0)];
        for (depth, white) in steps {
            for (found, exact) in of(depth).pixels().flatten().zip(float.pixels().flatten()) {
                let error = (found - exact.clamp(0.0, 1.0)).abs() * white;
                assert!(error <= 0.51, "{depth:?}: {exact} became {found}");
            }
        }
        for (found, exact) in of(Depth::Half).pixels().flatten().zip(float.pixels().flatten()) {
            assert_eq!(found, f16::from_f32(exact).to_f32());
        }
    }
}

#[test]
fn a_half_float_image_never_holds_infinity() {
    let bright = Picture::new([4, 4], |_, _| [60000.0, -60000.0, 1.0, 1.0]);
    let window = Window { x1: 0, y1: 0, x2: 4, y2: 4 };
    let mut image = Image::new(window, window, Depth::Half);
    let content = content(output_frame(4, 4), Fit::Whole, Some(bright.source()));
    assert_eq!(draw(&mut image, &content, LINEAR, &|| true), Drawn::Whole);
    assert!(image.pixels().all(|pixel| pixel == [65504.0, -65504.0, 1.0, 1.0]));
}
