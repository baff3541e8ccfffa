//! What is written in place of a take and over one.

use super::*;
use crate::picture::source::Pixel;

const WORDS: [&str; 3] = [
    "Not generated yet",
    "Type a prompt, draw the ellipse and press Generate.",
    "832 \u{d7} 480, 81 frames",
];

fn placeholder(lines: &'static [&'static str]) -> Annotation<'static> {
    Annotation::Placeholder { tone: Tone::Idle, lines, size: Some([832, 480]) }
}

fn annotated(
    output_frame: OutputFrame,
    annotation: Annotation<'_>,
    take: Option<Source<'_>>,
    format: OutputFormat,
) -> Image {
    let [_, _, x2, y2] = output_frame.pixels().unwrap().map(|at| at.ceil() as i32);
    let mut image = Image::of_size(x2, y2);
    let content =
        FrameContent { annotation: Some(annotation), ..content(output_frame, Fit::Whole, take) };
    assert_eq!(draw(&mut image, &content, format, &|| true), Drawn::Whole);
    image
}

/// Left, bottom, right, top of the pixels that differ.
fn difference(a: &Image, b: &Image) -> Option<[i32; 4]> {
    let Window { x2, y2, .. } = a.window;
    let places = (0..y2).flat_map(|y| (0..x2).map(move |x| (x, y)));
    places.filter(|&(x, y)| a.pixel(x, y) != b.pixel(x, y)).fold(None, |found, (x, y)| {
        let [x1, y1, x2, y2] = found.unwrap_or([x, y, x, y]);
        Some([x1.min(x), y1.min(y), x2.max(x), y2.max(y)])
    })
}

#[test]
fn words_can_be_read_in_every_size() {
    for (width, height) in
        [(64, 64), (128, 128), (640, 360), (480, 832), (1920, 1080), (4096, 2160)]
    {
        for scale in [1.0, 0.5] {
            let output_frame = OutputFrame { scale: [scale; 2], ..output_frame(width, height) };
            let words = annotated(output_frame, placeholder(&WORDS), None, STRAIGHT);
            let bare = annotated(output_frame, placeholder(&[]), None, STRAIGHT);
            let text = words.pixels().filter(|pixel| pixel[0] > 0.6 && pixel[3] == 1.0).count();
            // A thumbnail of 32 × 32 has no room for a word.
            let least = match f64::from(width.min(height)) * scale {
                side if side < 64.0 => 0,
                side if side < 128.0 => 20,
                _ => 100,
            };
            assert!(text >= least, "{width} × {height} at {scale}: {text} pixels of text");
            assert!(difference(&words, &bare).is_some());
            // Much of the picture stays transparent wherever the words leave room.
            let clear = words.pixels().filter(|pixel| pixel[3] == 0.0).count();
            assert!(width < 640 || clear * 2 > words.pixels().count());
        }
    }
}

/// The luminance of a premultiplied pixel over a background, as WCAG counts it.
fn luminance_over(pixel: Pixel, background: [f32; 3], format: OutputFormat) -> f32 {
    let of_background = format.transfer.of_display(background);
    let linear = |value: f32| match format.transfer {
        Transfer::AsGenerated => wan_alpha_take::color::to_linear(value.clamp(0.0, 1.0)),
        _ => value,
    };
    let [red, green, blue] =
        [0, 1, 2].map(|at| linear(pixel[at] + of_background[at] * (1.0 - pixel[3])));
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[test]
fn words_stand_out_over_white_black_and_cyan() {
    let badge = Annotation::Badge { tone: Tone::Failed, text: "Not generated: no room" };
    for format in [PREMULTIPLIED, LINEAR] {
        for annotation in [placeholder(&WORDS), badge] {
            let image = annotated(output_frame(1920, 1080), annotation, None, format);
            let mut counts = std::collections::BTreeMap::<_, usize>::new();
            for pixel in image.pixels().filter(|pixel| pixel[3] > 0.5) {
                *counts.entry(pixel.map(f32::to_bits)).or_default() += 1;
            }
            // The box is what most pixels are; what covers it whole is gray text, or the bar.
            let commonest = counts.iter().max_by_key(|(_, count)| **count).unwrap().0;
            let of_box = commonest.map(f32::from_bits);
            let is_text = |[r, g, b, a]: &Pixel| *a == 1.0 && (r - b).abs() + (r - g).abs() < 0.15;
            for background in [[1.0; 3], [0.0; 3], [0.0, 1.0, 1.0]] {
                let luminance = |pixel| luminance_over(pixel, background, format) + 0.05;
                let text = image.pixels().filter(is_text).map(luminance).fold(1e9, f32::min);
                let ratio = text / luminance(of_box);
                assert!((4.5..100.0).contains(&ratio), "{ratio} over {background:?}");
            }
        }
    }
}

#[test]
fn a_placeholder_lies_in_the_middle_whatever_the_scale() {
    for scale in [1.0, 0.5, 0.25] {
        let output_frame = OutputFrame { scale: [scale; 2], ..output_frame(1920, 1080) };
        let empty = Annotation::Placeholder { tone: Tone::Idle, lines: &WORDS, size: None };
        let image = annotated(output_frame, empty, None, PREMULTIPLIED);
        let mut nothing = Image::of_size(image.window.x2, image.window.y2);
        let clear = content(output_frame, Fit::Whole, None);
        assert_eq!(draw(&mut nothing, &clear, PREMULTIPLIED, &|| true), Drawn::Whole);
        assert!(nothing.bytes.iter().all(|byte| *byte == 0));
        let [x1, y1, x2, y2] = difference(&image, &nothing).unwrap();
        assert!((x1 + x2 + 1 - image.window.x2).abs() <= 1, "{x1} to {x2}");
        assert!((y1 + y2 + 1 - image.window.y2).abs() <= 1, "{y1} to {y2}");
    }
}

#[test]
fn nothing_is_drawn_off_the_output_frame() {
    let bounds = Window { x1: -40, y1: -40, x2: 60, y2: 60 };
    for annotation in [placeholder(&WORDS), Annotation::Badge { tone: Tone::Idle, text: WORDS[1] }]
    {
        let mut image = Image::new(bounds, bounds, Depth::Float);
        let content = FrameContent {
            backdrop: None,
            output_frame: output_frame(20, 12),
            fit: Fit::Fill,
            take: None,
            view: View::Rgba,
            annotation: Some(annotation),
        };
        assert_eq!(draw(&mut image, &content, PREMULTIPLIED, &|| true), Drawn::Whole);
        let on_frame = |x: i32, y: i32| (0..20).contains(&x) && (0..12).contains(&y);
        for y in -40..60 {
            for x in -40..60 {
                assert!(on_frame(x, y) || image.pixel(x, y) == [0.0; 4], "{x}, {y}");
            }
        }
        assert!(image.pixels().any(|pixel| pixel[3] > 0.5));
    }
}

#[test]
fn the_outline_is_the_edge_of_the_take() {
    let image = annotated(output_frame(1920, 1080), placeholder(&[]), None, STRAIGHT);
    for (x, lies_on_it) in [(23, false), (24, true), (1895, true), (1896, false)] {
        assert_eq!(image.pixel(x, 200)[3] > 0.0, lies_on_it, "column {x}");
    }
}

#[test]
fn a_take_stays_as_it_is_beside_its_badge() {
    let picture = Picture::new([160, 90], noise);
    for format in [PREMULTIPLIED, STRAIGHT, LINEAR] {
        for size in [[320, 180], [160, 90]] {
            let plain = picture.drawn(size, Fit::Whole, format);
            let badge = Annotation::Badge { tone: Tone::Working, text: "Previous take" };
            let image =
                annotated(output_frame(size[0], size[1]), badge, Some(picture.source()), format);
            let [x1, y1, x2, y2] = difference(&image, &plain).unwrap();
            assert!(x1 < 12 && y1 < 12 && x2 < size[0] && y2 < size[1] / 2, "{x1} {y1} {x2} {y2}");
        }
    }
}

#[test]
fn straight_and_premultiplied_annotations_are_one_picture() {
    let picture = Picture::new([160, 90], noise);
    let badge = Annotation::Badge { tone: Tone::Failed, text: "Previous take: the new one failed" };
    let output_frame = output_frame(320, 180);
    let [premultiplied, straight] = [PREMULTIPLIED, STRAIGHT]
        .map(|format| annotated(output_frame, badge, Some(picture.source()), format));
    for (premultiplied, [r, g, b, alpha]) in premultiplied.pixels().zip(straight.pixels()) {
        let by_hand = [r * alpha, g * alpha, b * alpha, alpha];
        for (ours, by_hand) in premultiplied.into_iter().zip(by_hand) {
            assert!((ours - by_hand).abs() < 1e-5);
        }
    }
}

#[test]
fn what_does_not_fit_is_cut_and_no_words_break_anything() {
    const ENDLESS: &[&str] =
        &["A headline that is longer than any headline should ever be, and then some"; 40];
    const STRANGE: &[&str] = &["", "\u{1F525}\u{0}\u{7}\n\n", "Gr\u{fc}\u{df}e \u{2014} \u{4f60}"];
    for (width, height) in [(1, 1), (3, 200), (200, 3), (17, 17), (64, 64), (333, 77)] {
        for lines in [ENDLESS, STRANGE, &[]] {
            let output_frame = output_frame(width, height);
            let image = annotated(output_frame, placeholder(lines), None, PREMULTIPLIED);
            assert!(image.pixels().flatten().all(|value| (0.0..=1.0).contains(&value)));
            annotated(
                output_frame,
                Annotation::Badge { tone: Tone::Idle, text: lines.first().unwrap_or(&"") },
                None,
                STRAIGHT,
            );
        }
    }
}
