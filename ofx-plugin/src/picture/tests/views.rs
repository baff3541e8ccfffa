//! The take as it is looked at.

use super::*;

fn viewed(view: View, format: OutputFormat) -> Image {
    // A left half without alpha, a right one of half of it; beyond the take there is nothing.
    let picture =
        Picture::new(
            [32, 32],
            |x, _| if x < 16 { [0.9, 0.1, 0.2, 0.0] } else { [0.8, 0.4, 0.2, 0.5] },
        );
    let mut image = Image::of_size(64, 48);
    let fitted = content(output_frame(64, 48), Fit::PixelForPixel, Some(picture.source()));
    let fitted = FrameContent { view, ..fitted };
    assert_eq!(draw(&mut image, &fitted, format, &|| true), Drawn::Whole);
    image
}

#[test]
fn alpha_is_an_opaque_gray() {
    for format in [PREMULTIPLIED, STRAIGHT, LINEAR] {
        let image = viewed(View::AlphaAsGray, format);
        assert_eq!(image.pixel(20, 20), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(image.pixel(40, 20), [0.5, 0.5, 0.5, 1.0]);
        assert_eq!(image.pixel(2, 2), [0.0, 0.0, 0.0, 1.0]);
    }
}

#[test]
fn over_the_checkerboard_it_is_what_over_makes_of_it() {
    for format in [PREMULTIPLIED, STRAIGHT, LINEAR] {
        let plain = viewed(View::Rgba, PREMULTIPLIED);
        let plain_here = viewed(View::Rgba, OutputFormat { straight: false, ..format });
        let image = viewed(View::OverChecker, format);
        let [one, two] = [image.pixel(2, 2), image.pixel(4, 2)];
        assert!(one != two && one[0] == one[1] && two[0] == two[2], "{one:?} {two:?}");
        assert_eq!(image.pixel(4, 4), one, "squares are two pixels here");
        assert!(plain.pixel(40, 20)[3] == 0.5 && image.pixels().all(|pixel| pixel[3] == 1.0));
        for (x, under) in [(40, image.pixel(0, 20)), (42, image.pixel(2, 20))] {
            let over = plain_here.pixel(x, 20);
            for channel in 0..3 {
                let expected = over[channel] + under[channel] * 0.5;
                assert!((image.pixel(x, 20)[channel] - expected).abs() < 1e-3, "{x}");
            }
        }
    }
}
