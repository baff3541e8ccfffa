//! What lies under alpha 0 is never seen, at no size.

use wan_alpha_take::store::Take;
use wan_alpha_test_host::{Depth, Image, Profile, Project, RenderAsk, Settings};

use crate::drawn::{draw, linear, show, time_of, wanted};
use crate::workshop::{FRAMES, SIZE, alone};

/// Sides of a take that is looked at 2.25 times as large, and reduced to 0.4.
const SIDE: u32 = 80;

/// What stands under alpha 0, frame by frame.
const GARBAGE: [[f32; 3]; 9] = [
    [f32::NAN; 3],
    [f32::INFINITY; 3],
    [f32::NEG_INFINITY; 3],
    [1e4; 3],
    [-7.0; 3],
    [f32::NAN, 1e4, f32::NEG_INFINITY],
    [0.0, f32::INFINITY, 65504.0],
    [-0.0, -65504.0, 6e-8],
    [1.0, -1.0, f32::NAN],
];

/// An uneven edge of alpha, holes, and something under them.
fn ragged(u: f32, v: f32, under: [f32; 3]) -> [f32; 4] {
    let alpha = ((u * 9.0).sin() + (v * 7.0 + u).cos() - 0.2).clamp(0.0, 1.0);
    let [r, g, b] = if alpha > 0.0 { [0.2 + 0.7 * u, v, 0.4] } else { under };
    [r, g, b, alpha]
}

fn resized(project: &Project, size: [f64; 2]) {
    project.set_settings(Settings { size, ..project.settings() });
}

alone! {
    fn garbage_without_alpha_changes_no_pixel(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain().sized(90.0, 52.0));
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        assert_eq!(like.frames, FRAMES);
        let clean = draw(workshop, &like, 7, SIZE, &|_, u, v| ragged(u, v, [0.0; 3]));
        let dirty =
            draw(workshop, &like, 8, SIZE, &|frame, u, v| ragged(u, v, GARBAGE[frame as usize]));
        assert!(dirty.frame(3).unwrap().iter().any(|value| value.to_f32() == 1e4));
        for (transfer, alpha_mode) in [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)] {
            node.set("transfer", transfer);
            node.set("alphaMode", alpha_mode);
            for fit in 0..4 {
                node.set("fit", fit);
                let pictures = |take: &Take| {
                    show(&node, take);
                    let mut pictures = Vec::new();
                    for frame in 0..FRAMES {
                        for scale in [1.0, 0.5, 1.0 / 3.0] {
                            for depth in Depth::ALL {
                                let ask = RenderAsk::at(time_of(&node, frame));
                                let ask = ask.scaled(scale).in_depth(depth);
                                pictures.push(node.render(&ask).image().clone());
                            }
                        }
                    }
                    pictures
                };
                let (clean, dirty) = (pictures(&clean), pictures(&dirty));
                assert!(clean.iter().any(|image| image.pixels().any(|pixel| pixel[3] > 0.9)));
                for (at, (clean, dirty)) in clean.iter().zip(&dirty).enumerate() {
                    let frame = at / 12;
                    assert!(
                        clean == dirty,
                        "{:?} shows: transfer {transfer}, fit {fit}, {:?}",
                        GARBAGE[frame],
                        dirty.depth()
                    );
                }
            }
        }
    }

    fn a_red_disc_in_green_nothing_has_no_green_edge(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        let take = draw(workshop, &like, 7, [SIDE; 2], &|_, u, v| {
            if (u - 0.5).hypot(v - 0.5) < 0.35 { [1.0, 0.0, 0.0, 1.0] } else { [0.0, 1.0, 0.0, 0.0] }
        });
        show(&node, &take);
        node.set("fit", 0);
        // In ACEScg a red of Rec.709 holds green of its own.
        for transfer in [1, 2] {
            node.set("transfer", transfer);
            for alpha_mode in [0, 1] {
                node.set("alphaMode", alpha_mode);
                for side in [180.0, 32.0, 80.0] {
                    resized(&project, [side; 2]);
                    let frame = node.render(&RenderAsk::at(time_of(&node, 0)));
                    let image = frame.image();
                    assert!(image.pixels().any(|pixel| pixel[3] == 1.0 && pixel[0] == 1.0));
                    assert!(image.pixels().any(|pixel| pixel[3] == 0.0));
                    let edge = image.pixels().filter(|pixel| (0.1..0.9).contains(&pixel[3]));
                    assert!(side == 80.0 || edge.count() > 20);
                    for [_, g, _, alpha] in image.pixels() {
                        assert!(g <= 1e-3 * alpha, "green {g} at alpha {alpha}, {side} pixels");
                    }
                }
            }
        }
    }

    fn over_red_and_over_cyan_it_is_what_one_composites_by_hand(workshop) {
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        let like = wanted(workshop, &node);
        let take = draw(workshop, &like, 7, [SIDE; 2], &|frame, u, v| match frame {
            0 if (u - 0.5).hypot(v - 0.5) < 0.35 => [1.0, 0.0, 0.0, 1.0],
            0 => [0.0, 1.0, 0.0, 0.0],
            _ => ragged(u, v, [0.3, 1.0, 0.2]),
        });
        show(&node, &take);
        node.set("fit", 0);
        for transfer in [1, 2, 3] {
            node.set("transfer", transfer);
            for (side, frame) in [(180, 0), (180, 1), (32, 0), (32, 1), (80, 1)] {
                resized(&project, [f64::from(side); 2]);
                for alpha_mode in [0, 1] {
                    node.set("alphaMode", alpha_mode);
                    let rendered = node.render(&RenderAsk::at(time_of(&node, frame)));
                    for background in [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]] {
                        let ours = over(rendered.image(), alpha_mode == 1, background);
                        let by_hand = by_hand(&take, frame, side as usize, transfer, background);
                        for (at, (ours, by_hand)) in ours.iter().zip(&by_hand).enumerate() {
                            for (ours, by_hand) in ours.iter().zip(by_hand) {
                                assert!(
                                    (ours - by_hand).abs() < 2e-4,
                                    "{ours} instead of {by_hand} at {at} of {side}², {transfer}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// As the compositor's Merge does it.
fn over(image: &Image, straight: bool, background: [f64; 3]) -> Vec<[f64; 3]> {
    let composited = |pixel: [f32; 4]| {
        let [.., alpha] = pixel.map(f64::from);
        [0, 1, 2].map(|at| {
            let color = f64::from(pixel[at]) * if straight { alpha } else { 1.0 };
            color + background[at] * (1.0 - alpha)
        })
    };
    image.pixels().map(composited).collect()
}

/// Composited at the take's own size from its straight values, opaque from then on, and scaled with
/// a triangle that is as wide as the reduction asks for. Rows from below.
fn by_hand(
    take: &Take,
    frame: u32,
    side: usize,
    transfer: i32,
    background: [f64; 3],
) -> Vec<[f64; 3]> {
    let pixels = take.frame(frame).unwrap();
    let own = SIDE as usize;
    let full: Vec<[f64; 3]> = pixels
        .chunks_exact(4)
        .map(|pixel| {
            let [r, g, b, alpha] = [0, 1, 2, 3].map(|at| pixel[at].to_f32());
            let color = in_transfer([r, g, b], transfer);
            let alpha = f64::from(alpha);
            [0, 1, 2].map(|at| color[at] * alpha + background[at] * (1.0 - alpha))
        })
        .collect();
    let weights: Vec<Vec<(usize, f64)>> = (0..side)
        .map(|at| {
            let ratio = own as f64 / side as f64;
            let (center, radius) = ((at as f64 + 0.5) * ratio - 0.5, ratio.max(1.0));
            let weight = |tap: usize| (1.0 - (tap as f64 - center).abs() / radius).max(0.0);
            let sum: f64 = (0..own).map(weight).sum();
            (0..own).map(|tap| (tap, weight(tap) / sum)).filter(|(_, w)| *w > 0.0).collect()
        })
        .collect();
    let mut made = Vec::with_capacity(side * side);
    for y in 0..side {
        for columns in &weights {
            let mut sum = [0.0; 3];
            // Row 0 of a take is on top.
            for (row, across) in &weights[side - 1 - y] {
                for (column, along) in columns {
                    for (sum, value) in sum.iter_mut().zip(full[row * own + column]) {
                        *sum += value * across * along;
                    }
                }
            }
            made.push(sum);
        }
    }
    made
}

fn in_transfer(rgb: [f32; 3], transfer: i32) -> [f64; 3] {
    match transfer {
        1 => rgb.map(f64::from),
        2 => rgb.map(|value| linear(value).into()),
        _ => {
            let [r, g, b] = rgb.map(|value| f64::from(linear(value)));
            // Rec.709 to AP1 as the Academy's transform has it.
            [
                0.613_097 * r + 0.339_523 * g + 0.047_380 * b,
                0.070_194 * r + 0.916_354 * g + 0.013_452 * b,
                0.020_616 * r + 0.109_570 * g + 0.869_815 * b,
            ]
        }
    }
}
