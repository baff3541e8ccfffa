//! Masks as compositors and painters write them, and as they go wrong.

use super::*;
use exr::prelude::{
    AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer, LayerAttributes, Text, Vec2,
    WritableImage,
};
use image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};
use std::fs;
use tempfile::{TempDir, tempdir};

fn gray(path: &Path, width: u32, height: u32, value: u8) {
    GrayImage::from_pixel(width, height, Luma([value])).save(path).unwrap();
}

/// An EXR of 3 × 2 whose data window begins at `at`; channels of f32.
fn exr(
    path: &Path,
    at: (i32, i32),
    display: Option<(i32, i32, usize, usize)>,
    named: &[(&str, [f32; 6])],
) {
    let channels = named
        .iter()
        .map(|(name, values)| AnyChannel::new(*name, FlatSamples::F32(values.to_vec())))
        .collect();
    let attributes = LayerAttributes {
        layer_position: Vec2(at.0, at.1),
        layer_name: Some(Text::from("main")),
        ..LayerAttributes::default()
    };
    let layer = Layer::new((3, 2), attributes, Encoding::default(), AnyChannels::sort(channels));
    let mut image = Image::from_layer(layer);
    if let Some((x, y, width, height)) = display {
        image.attributes.display_window.position = Vec2(x, y);
        image.attributes.display_window.size = Vec2(width, height);
    }
    image.write().to_file(path).unwrap();
}

const RAMP: [f32; 6] = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0];
const HALF: [f32; 6] = [0.5; 6];
const SOLID: [f32; 6] = [1.0; 6];

fn one(path: &Path) -> Vec<f32> {
    let mut images = MaskSequence::find(path, None).unwrap().read().unwrap().0;
    assert_eq!(images.len(), 1);
    images.remove(0).values
}

fn failure(path: &Path) -> String {
    let error = MaskSequence::find(path, None).and_then(|mask| mask.read()).unwrap_err();
    format!("{error:#}")
}

fn folder(make: impl FnOnce(&Path)) -> TempDir {
    let folder = tempdir().unwrap();
    make(folder.path());
    folder
}

#[test]
fn png_of_every_kind_is_read_as_data() {
    let base = tempdir().unwrap();
    let path = base.path().join("m.png");

    GrayImage::from_raw(3, 1, vec![0, 51, 255]).unwrap().save(&path).unwrap();
    assert_eq!(one(&path), [0.0, 0.2, 1.0]);

    let sixteen: ImageBuffer<Luma<u16>, _> =
        ImageBuffer::from_raw(2, 1, vec![13107, 65535]).unwrap();
    sixteen.save(&path).unwrap();
    assert_eq!(one(&path), [0.2, 1.0]);

    RgbImage::from_raw(2, 1, vec![51, 51, 51, 255, 0, 0]).unwrap().save(&path).unwrap();
    assert_eq!(one(&path), [0.2, 0.2126]);

    RgbaImage::from_raw(2, 1, vec![9, 8, 7, 51, 6, 5, 4, 255]).unwrap().save(&path).unwrap();
    assert_eq!(one(&path), [0.2, 1.0]);

    RgbaImage::from_raw(2, 1, vec![51, 51, 51, 255, 102, 102, 102, 255])
        .unwrap()
        .save(&path)
        .unwrap();
    assert_eq!(one(&path), [0.2, 0.4]);

    let gray_alpha: ImageBuffer<LumaA<u8>, _> =
        ImageBuffer::from_raw(2, 1, vec![255, 0, 255, 51]).unwrap();
    gray_alpha.save(&path).unwrap();
    assert_eq!(one(&path), [0.0, 0.2]);

    let deep: ImageBuffer<Rgb<u16>, _> = ImageBuffer::from_raw(1, 1, vec![13107; 3]).unwrap();
    deep.save(&path).unwrap();
    assert_eq!(one(&path), [0.2]);
}

#[test]
fn rows_come_from_the_top() {
    let base = tempdir().unwrap();
    let path = base.path().join("m.png");
    GrayImage::from_raw(2, 2, vec![0, 51, 102, 255]).unwrap().save(&path).unwrap();
    let image = MaskSequence::find(&path, None).unwrap().read().unwrap().0.remove(0);
    assert_eq!(image, MaskImage { width: 2, height: 2, values: vec![0.0, 0.2, 0.4, 1.0] });
}

#[test]
fn exr_gives_alpha_else_luma_else_red_else_its_only_channel() {
    let base = tempdir().unwrap();
    let path = base.path().join("m.exr");
    let check = |named: &[(&str, [f32; 6])]| {
        exr(&path, (0, 0), None, named);
        assert_eq!(one(&path), RAMP, "{named:?}");
    };
    check(&[("A", RAMP), ("R", HALF), ("G", HALF), ("B", HALF)]);
    check(&[("A", SOLID), ("R", RAMP), ("G", RAMP), ("B", RAMP)]);
    check(&[("Y", RAMP), ("R", HALF)]);
    check(&[("R", RAMP), ("Z", HALF)]);
    check(&[("matte.left", RAMP)]);
    exr(&path, (0, 0), None, &[("A", SOLID)]);
    assert_eq!(one(&path), SOLID);
    exr(&path, (0, 0), None, &[("U", HALF), ("V", HALF)]);
    assert!(failure(&path).contains("only U, V"), "{}", failure(&path));
}

#[test]
fn exr_data_is_placed_in_its_frame() {
    let base = tempdir().unwrap();
    let path = base.path().join("m.exr");
    // The data begins left of and one row below the frame's corner, and ends inside it.
    exr(&path, (9, 21), Some((10, 20, 4, 4)), &[("A", RAMP)]);
    let image = MaskSequence::find(&path, None).unwrap().read().unwrap().0.remove(0);
    assert_eq!((image.width, image.height), (4, 4));
    #[rustfmt::skip]
    assert_eq!(image.values, [
        0.0, 0.0, 0.0, 0.0,
        0.1, 0.25, 0.0, 0.0,
        0.75, 1.0, 0.0, 0.0,
        0.0, 0.0, 0.0, 0.0,
    ]);
}

#[test]
fn alpha_or_luma_is_decided_for_the_sequence() {
    let base = folder(|folder| {
        // Black, so that luma would read 0; opaque everywhere in frame 2 alone.
        for (name, alpha) in [("m.1.png", 51), ("m.2.png", 255)] {
            RgbaImage::from_pixel(2, 1, Rgba([0, 0, 0, alpha])).save(folder.join(name)).unwrap();
        }
    });
    let images = MaskSequence::find(base.path(), None).unwrap().read().unwrap().0;
    assert_eq!((images[0].values[0], images[1].values[0]), (0.2, 1.0));
}

#[test]
fn nan_and_values_out_of_range_are_named_by_file_and_place() {
    let base = tempdir().unwrap();
    let path = base.path().join("bad.exr");
    for (bad, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-0.25, "-0.25"), (1.5, "1.5")]
    {
        let mut values = RAMP;
        values[4] = bad;
        exr(&path, (0, 0), None, &[("R", values)]);
        let text = failure(&path);
        assert!(text.contains("bad.exr") && text.contains(&format!("holds {shown} at")), "{text}");
        assert!(text.contains("column 1, row 1"), "{text}");
    }
    // What rounding adds is none of anybody's doing.
    exr(&path, (0, 0), None, &[("A", [-0.001, 0.0, 0.5, 1.0, 1.0015, 1.0])]);
    assert_eq!(one(&path), [0.0, 0.0, 0.5, 1.0, 1.0, 1.0]);
    // Color beyond 1 beside a sound alpha is ordinary.
    exr(&path, (0, 0), None, &[("A", RAMP), ("R", [7.0; 6])]);
    assert_eq!(one(&path), RAMP);
}

#[test]
fn sequences_are_found_by_folder_hashes_and_printf_in_number_order() {
    let base = folder(|folder| {
        for number in [9, 10, 8] {
            gray(&folder.join(format!("mask_v2.{number:04}.png")), 2, 2, number);
        }
        gray(&folder.join(".mask.0001.png"), 1, 1, 0);
        gray(&folder.join("contact-sheet.png"), 1, 1, 0);
        fs::write(folder.join("take.json"), b"{}").unwrap();
    });
    let by_folder = MaskSequence::find(base.path(), None).unwrap();
    assert_eq!(by_folder.len(), Some(3));
    for pattern in ["mask_v2.####.png", "mask_v2.%04d.png", "mask_v2.#.png", "mask_v2.%d.png"] {
        assert_eq!(
            MaskSequence::find(&base.path().join(pattern), None).unwrap(),
            by_folder,
            "{pattern}"
        );
    }
    let values: Vec<_> =
        by_folder.read().unwrap().0.iter().map(|image| (image.values[0] * 255.0).round()).collect();
    assert_eq!(values, [8.0, 9.0, 10.0]);
}

#[test]
fn images_are_told_from_tensor_files_by_name() {
    let base = tempdir().unwrap();
    for path in ["m.png", "m.EXR", "m.####.exr", "m.%03d.png", "m.apng", "m.TIF"] {
        assert!(MaskSequence::names_images(Path::new(path)), "{path}");
    }
    assert!(MaskSequence::names_images(base.path()));
    // What is there says by its first bytes what it is, unless it is called a tensor.
    for (name, bytes, images) in [
        ("movie", &b"YUV4MPEG2 W4"[..], true),
        ("movie.ts", b"G\x40\0\x10", true),
        ("tensor", b"PK\x03\x04", false),
        ("old.tensor", b"\x80\x02", false),
    ] {
        let path = base.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(MaskSequence::names_images(&path), images, "{name}");
    }
    for path in ["gauss_mask", "mask.pth", "100%done.bin"] {
        assert!(!MaskSequence::names_images(Path::new(path)), "{path}");
    }
}

#[test]
fn images_of_different_sizes_are_refused_with_both_sizes() {
    let base = folder(|folder| {
        gray(&folder.join("a1.png"), 4, 2, 0);
        gray(&folder.join("a2.png"), 2, 4, 0);
    });
    let text = failure(base.path());
    assert!(text.contains("a2.png is 2 × 4, but") && text.contains("a1.png is 4 × 2"), "{text}");
}

#[test]
fn what_cannot_be_found_or_told_apart_is_said_in_words() {
    let empty = tempdir().unwrap();
    assert!(failure(empty.path()).contains("has no .png or .exr file"));
    assert!(failure(&empty.path().join("no.png")).contains("no.png does not exist"));
    assert!(failure(&empty.path().join("m.####.png")).contains("no file matches"));
    assert!(failure(&empty.path().join("gone/m.####.png")).contains("cannot read the mask folder"));

    let gap = folder(|folder| {
        for name in ["a1.png", "a2.png", "a4.png"] {
            gray(&folder.join(name), 1, 1, 0);
        }
    });
    let text = failure(gap.path());
    assert!(text.contains("lacks number 3") && text.contains("a4.png"), "{text}");

    let several = folder(|folder| {
        for name in ["a1.png", "b1.png"] {
            gray(&folder.join(name), 1, 1, 0);
        }
    });
    assert!(failure(several.path()).contains("several sequences (a#.png, 1 file; b#.png, 1 file)"));

    let twice = folder(|folder| {
        for name in ["a1.png", "a01.png"] {
            gray(&folder.join(name), 1, 1, 0);
        }
    });
    assert!(failure(twice.path()).contains("the same number"));
}

#[test]
fn damaged_and_absurd_files_are_errors_that_name_the_file() {
    let base = tempdir().unwrap();
    let (png, exr_path) = (base.path().join("m.png"), base.path().join("m.exr"));
    gray(&png, 64, 64, 77);
    exr(&exr_path, (0, 0), None, &[("A", RAMP)]);
    for path in [&png, &exr_path] {
        let whole = fs::read(path).unwrap();
        for length in [0, 8, whole.len() / 2, whole.len() - 9] {
            fs::write(path, &whole[..length]).unwrap();
            let text = failure(path);
            assert!(text.contains(path.file_name().unwrap().to_str().unwrap()), "{text}");
        }
    }
    gray(&png, 16385, 1, 0);
    assert!(failure(&png).contains("16385 × 1"), "{}", failure(&png));
    exr(&exr_path, (0, 0), Some((0, 0, 20000, 2)), &[("A", RAMP)]);
    assert!(failure(&exr_path).contains("20000 × 2"), "{}", failure(&exr_path));
}

#[test]
fn an_image_without_alpha_among_others_with_one_is_opaque_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    image::RgbaImage::from_pixel(8, 8, image::Rgba([9, 9, 9, 100])).save(path("m.1.png")).unwrap();
    image::RgbImage::from_pixel(8, 8, image::Rgb([9, 9, 9])).save(path("m.2.png")).unwrap();
    let (images, remarks) = MaskSequence::find(folder.path(), None).unwrap().read().unwrap();
    assert_eq!([images[0].values[0], images[1].values[0]], [100.0 / 255.0, 1.0]);
    let [told] = remarks.as_slice() else { panic!("{remarks:?}") };
    assert!(told.contains("m.2.png: it has no alpha channel"), "{told}");
}

#[test]
fn an_alpha_that_is_1_everywhere_is_told_where_brightness_stands_in_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let said = |name: &str| MaskSequence::find(&path(name), None).unwrap().read().unwrap().1;
    let opaque = RgbaImage::from_raw(2, 1, vec![51, 51, 51, 255, 102, 102, 102, 255]).unwrap();
    opaque.save(path("opaque.png")).unwrap();
    exr(&path("opaque.exr"), (0, 0), None, &[("A", SOLID), ("R", RAMP), ("G", RAMP), ("B", RAMP)]);
    for name in ["opaque.png", "opaque.exr"] {
        let [told] = said(name).try_into().unwrap();
        let words = [name, "its alpha is 1 everywhere", "its brightness is taken"];
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
    // Gray without alpha is a mask as it is, and alpha alone has nothing that stands in for it.
    gray(&path("gray.png"), 2, 1, 9);
    exr(&path("alone.exr"), (0, 0), None, &[("A", SOLID)]);
    for name in ["gray.png", "alone.exr"] {
        assert!(said(name).is_empty(), "{name}");
    }
}

#[test]
fn of_several_masks_of_an_exr_none_is_taken_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.exr");
    let colors = [("R", HALF), ("G", HALF), ("B", HALF)];
    let beside = [&colors[..], &[("matte.fg", RAMP), ("matte.bg", HALF)]].concat();
    for channels in [
        &[("fg.A", RAMP), ("bg.A", HALF)][..],
        &[("fg.Y", RAMP), ("bg.Y", HALF)],
        &[("fg.R", RAMP), ("bg.Y", HALF)],
        &beside,
    ] {
        exr(&path, (0, 0), None, channels);
        let text = failure(&path);
        assert!(text.contains("it has several masks (") && text.contains("--layer"), "{text}");
    }
    // That of the picture is the likeliest, and the others are told.
    exr(&path, (0, 0), None, &[("A", RAMP), ("fg.A", HALF)]);
    let (images, told) = MaskSequence::find(&path, None).unwrap().read().unwrap();
    assert_eq!(images[0].values, RAMP);
    assert!(told[0].contains("several masks: main is read, not fg.A; --layer chooses"), "{told:?}");
    let named = MaskSequence::find(&path, Some("fg")).unwrap().read().unwrap();
    assert_eq!((named.0[0].values.as_slice(), named.1), (&HALF[..], Vec::new()));
}

#[test]
fn what_is_to_be_done_about_numbers_above_1_depends_on_how_large_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.exr");
    for (most, remedy) in [
        (1.5, "(clamp it)"),
        (200.0, "(divide it by what its white is (255), or clamp it)"),
        (40_000.0, "(divide it by what its white is (65535), or clamp it)"),
    ] {
        let mut values = RAMP;
        values[4] = most;
        exr(&path, (0, 0), None, &[("R", values)]);
        assert!(failure(&path).contains(remedy), "{}", failure(&path));
    }
}
