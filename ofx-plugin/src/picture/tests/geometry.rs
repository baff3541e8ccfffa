//! Where a take comes to lie.

use proptest::prelude::*;

use super::*;

/// Each quarter its own color: red upper left, green upper right, blue lower left, white lower
/// right.
fn quarters([width, height]: [u32; 2]) -> Picture {
    Picture::new([width, height], |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => [1.0, 0.0, 0.0, 1.0],
        (false, true) => [0.0, 1.0, 0.0, 1.0],
        (true, false) => [0.0, 0.0, 1.0, 1.0],
        (false, false) => [1.0; 4],
    })
}

#[test]
fn a_take_is_right_side_up() {
    for fit in [Fit::Whole, Fit::Fill, Fit::Stretch, Fit::PixelForPixel] {
        for [width, height] in [[32, 18], [80, 45], [24, 14]] {
            let image = quarters([32, 18]).drawn([width, height], fit, PREMULTIPLIED);
            // A little off the middle.
            let at = |right: i32, up: i32| image.pixel(width / 2 + right, height / 2 + up);
            assert_eq!(at(-4, 3), [1.0, 0.0, 0.0, 1.0]);
            assert_eq!(at(3, 3), [0.0, 1.0, 0.0, 1.0]);
            assert_eq!(at(-4, -4), [0.0, 0.0, 1.0, 1.0]);
            assert_eq!(at(3, -4), [1.0; 4]);
        }
    }
}

#[test]
fn what_the_take_leaves_free_is_transparent() {
    let image = quarters([16, 16]).drawn([64, 36], Fit::Whole, PREMULTIPLIED);
    for y in 0..36 {
        for x in 0..64 {
            let alpha = if (14..50).contains(&x) { 1.0 } else { 0.0 };
            assert_eq!(image.pixel(x, y)[3], alpha, "{x}, {y}");
        }
    }
    let image = quarters([16, 16]).drawn([64, 36], Fit::PixelForPixel, PREMULTIPLIED);
    assert_eq!(image.pixels().filter(|pixel| pixel[3] == 1.0).count(), 256);
    assert_eq!(image.pixels().filter(|pixel| *pixel == [0.0; 4]).count(), 64 * 36 - 256);
}

#[test]
fn an_edge_between_pixels_covers_them_in_part() {
    // 10 × 10 in 15 × 16: 15 × 15, half a pixel free above and below.
    let flat = Picture::new([10, 10], |_, _| [1.0, 0.5, 0.0, 1.0]);
    let image = flat.drawn([15, 16], Fit::Whole, PREMULTIPLIED);
    for x in 0..15 {
        assert_eq!(image.pixel(x, 0), [0.5, 0.25, 0.0, 0.5]);
        assert_eq!(image.pixel(x, 15), [0.5, 0.25, 0.0, 0.5]);
        assert!((1..15).all(|y| image.pixel(x, y) == [1.0, 0.5, 0.0, 1.0]));
    }
}

#[test]
fn a_circle_stays_round_on_pixels_that_are_not_square() {
    let disc = Picture::new([64, 64], |x, y| {
        let distance = (x as f32 - 31.5).hypot(y as f32 - 31.5);
        [1.0, 1.0, 1.0, if distance < 30.0 { 1.0 } else { 0.0 }]
    });
    let mut image = Image::of_size(100, 100);
    let output_frame =
        OutputFrame { region: [0.0, 0.0, 200.0, 100.0], pixel_aspect: 2.0, scale: [1.0, 1.0] };
    let content = content(output_frame, Fit::Whole, Some(disc.source()));
    assert_eq!(draw(&mut image, &content, PREMULTIPLIED, &|| true), Drawn::Whole);
    let wide: f32 = (0..100).map(|x| image.pixel(x, 50)[3]).sum();
    let high: f32 = (0..100).map(|y| image.pixel(50, y)[3]).sum();
    assert!((wide * 2.0 - high).abs() < 1.0, "{wide} wide, {high} high");
}

#[test]
fn an_output_frame_without_bounds_or_area_shows_nothing() {
    let picture = quarters([8, 8]);
    let whole = output_frame(8, 8);
    for broken in [
        OutputFrame { region: [f64::NEG_INFINITY, 0.0, f64::INFINITY, 8.0], ..whole },
        OutputFrame { region: [0.0, 0.0, 0.0, 8.0], ..whole },
        OutputFrame { region: [f64::NAN; 4], ..whole },
        OutputFrame { region: [0.0, 0.0, 1e300, 8.0], ..whole },
        OutputFrame { pixel_aspect: 0.0, ..whole },
        OutputFrame { scale: [f64::NAN, 1.0], ..whole },
        OutputFrame { scale: [1.0, -1.0], ..whole },
    ] {
        assert_eq!(broken.pixels(), None);
        for fit in [Fit::Whole, Fit::Fill, Fit::Stretch, Fit::PixelForPixel] {
            assert_eq!(FrameFit::new(&broken, fit, [8, 8]), None);
            let mut image = Image::of_size(8, 8);
            let content = content(broken, fit, Some(picture.source()));
            assert_eq!(draw(&mut image, &content, PREMULTIPLIED, &|| true), Drawn::Whole);
            assert!(image.bytes.iter().all(|byte| *byte == 0));
        }
    }
    assert_eq!(FrameFit::new(&whole, Fit::Whole, [0, 8]), None);
}

#[test]
fn a_frame_must_have_as_many_values_as_its_size_says() {
    let values = [half::f16::ZERO; 24];
    assert!(Source::new(&values, [3, 2]).is_some());
    assert!(Source::new(&values, [3, 3]).is_none());
    assert!(Source::new(&values[1..], [3, 2]).is_none());
    assert!(Source::new(&values, [u32::MAX, u32::MAX]).is_none());
}

fn any_output_frame() -> impl Strategy<Value = OutputFrame> {
    let region = (-900.0..900.0_f64, -900.0..900.0_f64, 20.0..2000.0_f64, 20.0..2000.0_f64);
    let scales = prop::sample::select(vec![1.0, 0.5, 0.25, 1.0 / 3.0, 0.77, 2.0]);
    (region, 0.4..2.5_f64, scales).prop_map(|((x, y, width, height), pixel_aspect, scale)| {
        OutputFrame { region: [x, y, x + width, y + height], pixel_aspect, scale: [scale, scale] }
    })
}

/// Middle and size of what is seen, in canonical coordinates.
fn seen(output_frame: &OutputFrame, placement: &FrameFit) -> ([f64; 2], [f64; 2]) {
    let [x1, y1, x2, y2] = placement.visible();
    let units = [output_frame.scale[0] / output_frame.pixel_aspect, output_frame.scale[1]];
    let middle = [(x1 + x2) / 2.0 / units[0], (y1 + y2) / 2.0 / units[1]];
    (middle, [(x2 - x1) / units[0], (y2 - y1) / units[1]])
}

proptest! {
    #[test]
    fn fits_are_what_they_are_called(output_frame in any_output_frame(), width in 1..600_u32, height in 1..600_u32) {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-4;
        let [x1, y1, x2, y2] = output_frame.region;
        let (middle, room) = ([(x1 + x2) / 2.0, (y1 + y2) / 2.0], [x2 - x1, y2 - y1]);
        let placed = |fit| seen(&output_frame, &FrameFit::new(&output_frame, fit, [width, height]).unwrap());

        let (at, size) = placed(Fit::Whole);
        prop_assert!(near(at[0], middle[0]) && near(at[1], middle[1]));
        let stretched = size[0] / size[1] * f64::from(height) / f64::from(width);
        prop_assert!((stretched - 1.0).abs() < 1e-4);
        prop_assert!(size[0] <= room[0] + 1e-4 && size[1] <= room[1] + 1e-4);
        prop_assert!(near(size[0], room[0]) || near(size[1], room[1]));
        for fit in [Fit::Fill, Fit::Stretch] {
            let (at, size) = placed(fit);
            prop_assert!(near(at[0], middle[0]) && near(at[1], middle[1]));
            prop_assert!(near(size[0], room[0]) && near(size[1], room[1]));
        }
    }

    #[test]
    fn one_to_one_lies_on_whole_pixels_at_full_resolution(
        output_frame in any_output_frame(), width in 1..600_u32, height in 1..600_u32,
    ) {
        let full = OutputFrame { scale: [1.0, 1.0], ..output_frame };
        let placement = FrameFit::new(&full, Fit::PixelForPixel, [width, height]).unwrap();
        for axis in [placement.columns, placement.rows] {
            prop_assert_eq!(axis.ratio(), 1.0);
            for at in axis.covered().take(3) {
                let position = axis.position(at);
                prop_assert_eq!(position - position.floor(), 0.5);
            }
        }
        // And at another scale in the same place.
        let [x, y, ..] = placement.visible();
        let scaled = FrameFit::new(&output_frame, Fit::PixelForPixel, [width, height]).unwrap().visible();
        prop_assert!((scaled[0] - x * output_frame.scale[0]).abs() < 1e-5);
        prop_assert!((scaled[1] - y * output_frame.scale[1]).abs() < 1e-5);
    }

    #[test]
    fn weights_are_positive_and_make_one(
        output_frame in any_output_frame(), width in 1..600_u32, height in 1..600_u32,
    ) {
        let placement = FrameFit::new(&output_frame, Fit::Stretch, [width, height]).unwrap();
        let mut weights = Vec::new();
        for axis in [placement.columns, placement.rows] {
            for at in axis.covered() {
                let taps = axis.taps(at, &mut weights);
                prop_assert!(weights.iter().all(|weight| *weight > 0.0));
                prop_assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                prop_assert!(weights.len() <= axis.most_taps());
                prop_assert!(taps.first + weights.len() <= axis.size);
                let near = taps.near - taps.first;
                prop_assert!(weights.iter().all(|weight| *weight <= weights[near] + 1e-5));
                prop_assert!(taps.coverage > 0.0 && taps.coverage <= 1.0);
            }
        }
    }
}
