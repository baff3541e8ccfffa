use super::*;

fn drawn(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [f32; 4]) -> StillImage {
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    StillImage::new(width, height, rows.flat_map(|(x, y)| pixel(x, y)).collect()).unwrap()
}

#[test]
fn a_size_has_the_aspect_of_the_image_and_the_released_one_stays() {
    const AREA: u32 = 832 * 480;
    for (image, size) in [
        ([832, 480], [832, 480]),
        ([480, 832], [480, 832]),
        ([1280, 720], [832, 464]),
        ([1024, 1024], [624, 624]),
        ([768, 1024], [544, 720]),
        ([1, 4000], [16, 4096]),
    ] {
        assert_eq!(take_size(image, AREA), size, "{image:?}");
    }
    assert_eq!(take_size([1280, 720], 921_600), [1280, 720]);
    assert_eq!(take_size([80, 64], 80 * 64), [80, 64]);
}

#[test]
fn what_becomes_of_the_edges_is_told_in_columns_or_rows_and_not_in_none_of_them() {
    let told = |width, height, size, alpha: f32| {
        let image = drawn(width, height, |x, _| [0.5, 0.5, 0.5, if x == 0 { alpha } else { 1.0 }]);
        let warnings = image.warnings("first", size);
        let edges = warnings.iter().find(|warning| warning.code == WarningCode::ImageEdges);
        edges.map(|warning| warning.message.clone()).unwrap_or_default()
    };
    assert!(told(64, 16, [64, 64], 0.5).ends_with("48 transparent rows are added around it"));
    assert!(told(16, 64, [64, 64], 1.0).ends_with("48 rows are cut off around its middle"));
    assert!(told(1, 1, [832, 480], 0.5).ends_with("1 transparent column is added around it"));
    let small = told(1, 1, [640, 480], 0.5);
    assert!(small.ends_with("it is too small to be brought to it, and is stretched"), "{small}");
    assert_eq!(told(64, 64, [64, 64], 0.5), "");
}

#[test]
fn a_hash_is_of_size_and_values() {
    let image = drawn(2, 1, |x, _| [x as f32, 0.5, 0.25, 1.0]);
    let mut bytes = vec![2, 0, 0, 0, 1, 0, 0, 0];
    for value in [0.0f32, 0.5, 0.25, 1.0, 1.0, 0.5, 0.25, 1.0] {
        bytes.extend(value.to_le_bytes());
    }
    assert_eq!(image.hash(), ContentHash(blake3::hash(&bytes).into()));
    let turned = StillImage::new(1, 2, image.rgba().to_vec()).unwrap();
    assert_ne!(turned.hash(), image.hash());
}

#[test]
fn what_is_no_image_is_refused_by_place() {
    let refused =
        |width, height, rgba| StillImage::new(width, height, rgba).unwrap_err().to_string();
    assert!(refused(0, 4, Vec::new()).contains("0 × 4"));
    assert!(refused(2, 1, vec![0.0; 7]).contains("7 values"));
    let mut rgba = vec![0.5; 3 * 2 * 4];
    rgba[(3 + 2) * 4 + 1] = f32::NAN;
    assert!(refused(3, 2, rgba.clone()).contains("NaN at column 2, row 1"));
    rgba[(3 + 2) * 4 + 1] = 1.5;
    assert!(refused(3, 2, rgba).contains("1.5 at column 2, row 1"));
}

#[test]
fn what_nobody_sees_leaves_no_fringe_and_no_ghost() {
    // A green disc; what is transparent is red.
    let disc = drawn(64, 64, |x, y| {
        let (x, y) = (x as f32 - 31.5, y as f32 - 31.5);
        if x * x + y * y < 400.0 { [0.0, 1.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0, 0.0] }
    });
    for (width, height) in [(48, 32), (112, 96)] {
        let other = disc.resized(width, height);
        assert_eq!((other.width(), other.height()), (width, height));
        let seen = other.pixels().iter().filter(|pixel| pixel[3] > 0.0);
        assert!(seen.clone().all(|pixel| pixel[0] == 0.0 && pixel[1] > 0.99));
        let least = seen.map(|pixel| f64::from(pixel[3])).fold(1.0, f64::min);
        assert!(least >= LEAST_ALPHA, "{least}");
        // No rings: what is seen is within a pixel of the disc, and whole inside of it.
        let scale = [64.0 / f64::from(width), 64.0 / f64::from(height)];
        for y in 0..height {
            for x in 0..width {
                let place = [(f64::from(x) + 0.5) * scale[0], (f64::from(y) + 0.5) * scale[1]];
                let off = (place[0] - 32.0).hypot(place[1] - 32.0) - 20.0;
                let far = 1.5 * scale[0].hypot(scale[1]).max(1.5);
                let alpha = other.pixels()[(y * width + x) as usize][3];
                assert!(
                    off.abs() < far || alpha == f32::from(u8::from(off < 0.0)),
                    "{x} {y} {alpha}"
                );
            }
        }
    }
    assert_eq!(disc.resized(64, 64), disc);
}

#[test]
fn an_image_of_another_aspect_is_padded_where_it_has_alpha_and_else_cropped() {
    let opaque = drawn(100, 50, |x, _| [x as f32 / 100.0, 0.0, 0.0, 1.0]);
    let cut_out = drawn(100, 50, |x, _| [1.0, 0.0, 0.0, f32::from(u8::from(x > 1))]);
    let (fitted, change) = opaque.fitted(64, 64);
    assert_eq!(change, EdgeChange::Cropped([50, 0]));
    assert!(fitted.is_opaque());
    // Around the middle.
    let row = &fitted.pixels()[..64];
    assert!((row[0][0] - 0.25).abs() < 0.02 && (row[63][0] - 0.74).abs() < 0.02, "{row:?}");
    let (fitted, change) = cut_out.fitted(64, 64);
    assert_eq!(change, EdgeChange::Padded([0, 50]));
    let column: Vec<f32> = (0..64).map(|y| fitted.pixels()[y * 64 + 32][3]).collect();
    assert!(column[..12].iter().chain(&column[52..]).all(|alpha| *alpha < 0.05), "{column:?}");
    assert!(column[20..44].iter().all(|alpha| *alpha > 0.99));
    let (fitted, change) = opaque.fitted(48, 96);
    assert_eq!((change, fitted.width(), fitted.height()), (EdgeChange::Cropped([75, 0]), 48, 96));
    let (_, change) = cut_out.fitted(192, 64);
    assert_eq!(change, EdgeChange::Padded([50, 0]));
    // Rounding of a take's sides is none of this.
    for image in [[1280, 720], [1023, 777], [480, 832]] {
        let [width, height] = take_size(image, 832 * 480);
        let image = StillImage { width: image[0], height: image[1], rgba: vec![1.0; 4] };
        assert_eq!(image.edge_change(width, height), EdgeChange::Kept);
    }
}

#[test]
fn an_image_lies_in_its_take_where_its_edges_say() {
    let near = |found: [f64; 4], expected: [f64; 4]| {
        found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9)
    };
    assert!(near(EdgeChange::Kept.place([100, 50]), [0.0, 0.0, 1.0, 1.0]));
    // 25 rows above and below, of 100 in all.
    assert!(near(EdgeChange::Padded([0, 50]).place([100, 50]), [0.0, 0.25, 1.0, 0.75]));
    // 25 columns of 50 that are seen lie beyond on each side.
    assert!(near(EdgeChange::Cropped([50, 0]).place([100, 50]), [-0.5, 0.0, 1.5, 1.0]));
    // One row more below than above the middle.
    let [_, bottom, _, top] = EdgeChange::Padded([0, 3]).place([4, 7]);
    assert!((bottom - 0.2).abs() < 1e-9 && (top - 0.9).abs() < 1e-9, "{bottom} {top}");
}

#[test]
fn the_ellipse_is_where_something_is() {
    let disc = drawn(128, 64, |x, y| {
        let (x, y) = (x as f32 - 31.5, y as f32 - 31.5);
        [0.0, 1.0, 0.0, if x * x + y * y < 500.0 { 1.0 } else { 0.0 }]
    });
    let ellipse = disc.ellipse(FitSettings::RELEASED).unwrap().unwrap();
    assert!((ellipse.x - 0.25).abs() < 0.02 && (ellipse.y - 0.5).abs() < 0.02, "{ellipse:?}");
    let empty = drawn(128, 64, |_, _| [1.0, 1.0, 1.0, 0.0]);
    assert!(empty.is_empty() && empty.ellipse(FitSettings::RELEASED).unwrap().is_none());
}
