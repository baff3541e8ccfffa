//! Pictures in another size, and parts of them.
//!
//! Every picture of the command is resized by [`filtered`], with the filters of the crate
//! `fast_image_resize`: weights and sums in double precision, as Pillow has them.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32x4;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use wan_alpha_take::frame::OwnedFrame;

/// What color is where alpha is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HiddenColor {
    /// Somebody's choice, as of the released data: it is resized by itself.
    Chosen,
    /// Nobody's, and mostly black: resized by itself it would leave a dark fringe.
    Arbitrary,
}

/// RGBA values `[height, width, 4]` of the size `from`, as width and height, in the size `to`: as
/// Pillow's filters have it on images of mode F (`Bilinear`, `Lanczos3`, `CatmullRom` for its
/// `BICUBIC`), averaging where the picture becomes smaller. Every channel is filtered by itself.
pub(crate) fn filtered(
    rgba: &[f32],
    from: [usize; 2],
    to: [usize; 2],
    algorithm: ResizeAlg,
) -> Vec<f32> {
    let mut resized = vec![0.0_f32; to[0] * to[1] * 4];
    let [from, to] = [from, to].map(|size| size.map(|side| side as u32));
    // Pixels of a type that is known here: of any type, this crate would compile the filters of all.
    let source = TypedImageRef::<F32x4>::from_buffer(from[0], from[1], bytemuck::cast_slice(rgba));
    let target = bytemuck::cast_slice_mut(&mut resized);
    let target = TypedImage::<F32x4>::from_buffer(to[0], to[1], target);
    // Callers multiply by alpha where they want to: see `HiddenColor`.
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
    match (source, target) {
        (Ok(source), Ok(mut target)) => {
            if let Err(error) = Resizer::new().resize_typed(&source, &mut target, &options) {
                log::error!("a picture of {from:?} pixels cannot be made {to:?}: {error}");
            }
        }
        // Where there are fewer values than the size says.
        (Err(error), _) | (_, Err(error)) => log::error!("a picture of {from:?} pixels: {error}"),
    }
    resized
}

/// Multiplies color by alpha: the only form in which pixels can be filtered without those that nobody
/// sees.
pub(crate) fn premultiply(rgba: &mut [f32]) {
    for [r, g, b, alpha] in rgba.as_chunks_mut::<4>().0 {
        (*r, *g, *b) = (*r * *alpha, *g * *alpha, *b * *alpha);
    }
}

/// A straight frame in another size; where it stays as it is, the very same.
pub(crate) fn resized(
    mut frame: OwnedFrame,
    [width, height]: [usize; 2],
    filter: FilterType,
    hidden: HiddenColor,
) -> OwnedFrame {
    let (from, to) = ([frame.width, frame.height], [width, height]);
    if from == to {
        return frame;
    }
    let index = frame.index;
    let algorithm = ResizeAlg::Convolution(filter);
    let plain = filtered(&frame.rgba, from, to, algorithm);
    if hidden == HiddenColor::Chosen {
        return OwnedFrame::new(index, width, height, plain);
    }
    premultiply(&mut frame.rgba);
    let mut weighted = filtered(&frame.rgba, from, to, algorithm);
    let pixels = weighted.as_chunks_mut::<4>().0.iter_mut();
    for (pixel, plain) in pixels.zip(plain.as_chunks::<4>().0) {
        let alpha = pixel[3];
        for (channel, plain) in pixel[..3].iter_mut().zip(plain) {
            *channel = if alpha > 1e-4 { (*channel / alpha).min(1.0) } else { *plain };
        }
    }
    OwnedFrame::new(index, width, height, weighted)
}

/// A part of a frame; what lies outside the frame is left out.
pub(crate) fn cropped(
    frame: &OwnedFrame,
    [left, top]: [usize; 2],
    [width, height]: [usize; 2],
) -> OwnedFrame {
    let width = width.min(frame.width.saturating_sub(left));
    let height = height.min(frame.height.saturating_sub(top));
    let mut rgba = Vec::with_capacity(width * height * 4);
    for row in frame.rgba.chunks_exact(frame.width.max(1) * 4).skip(top).take(height) {
        rgba.extend_from_slice(&row[left * 4..(left + width) * 4]);
    }
    OwnedFrame::new(frame.index, width, height, rgba)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// One of `tests/data/resize/expected.json`, which its script wrote with Pillow.
    #[derive(Deserialize)]
    struct PillowCase {
        filter: String,
        from: [usize; 2],
        to: [usize; 2],
        rgba: Vec<f32>,
        expected: Vec<f32>,
    }

    #[test]
    fn filters_are_those_of_pillow_on_images_of_floats() {
        let cases = include_str!("../../tests/data/resize/expected.json");
        let cases: Vec<PillowCase> = serde_json::from_str(cases).unwrap();
        assert_eq!(cases.len(), 15);
        for PillowCase { filter, from, to, rgba, expected } in cases {
            let algorithm = ResizeAlg::Convolution(match filter.as_str() {
                "Bilinear" => FilterType::Bilinear,
                "CatmullRom" => FilterType::CatmullRom,
                "Lanczos3" => FilterType::Lanczos3,
                other => panic!("{other}"),
            });
            let found = filtered(&rgba, from, to, algorithm);
            assert_eq!(found.len(), expected.len());
            let off = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
            let off = off.fold(0.0, f32::max);
            assert!(off < 1e-5, "{filter} from {from:?} to {to:?}: {off}");
        }
    }

    #[test]
    fn the_nearest_pixel_is_repeated_in_whole_multiples() {
        let picture = ramp(3, 2);
        let large = filtered(&picture.rgba, [3, 2], [12, 8], ResizeAlg::Nearest);
        for (place, pixel) in large.as_chunks::<4>().0.iter().enumerate() {
            let (x, y) = (place % 12 / 4, place / 12 / 4);
            assert_eq!(*pixel, picture.rgba.as_chunks::<4>().0[y * 3 + x]);
        }
    }

    fn ramp(width: usize, height: usize) -> OwnedFrame {
        let at = |place: usize| [(place % width) as f32, (place / width) as f32, 0.0, 1.0];
        let scale = 1.0 / width.max(height) as f32;
        let rgba = (0..width * height).flat_map(|place| at(place).map(|v| v.min(64.0) * scale));
        OwnedFrame::new(0, width, height, rgba.collect())
    }

    #[test]
    fn a_crop_is_a_part() {
        let picture = ramp(6, 4);
        let part = cropped(&picture, [2, 1], [3, 2]);
        assert_eq!((part.width, part.height), (3, 2));
        for y in 0..2 {
            for x in 0..3 {
                let (here, there) = ((y * 3 + x) * 4, ((y + 1) * 6 + x + 2) * 4);
                assert_eq!(part.rgba[here..here + 4], picture.rgba[there..there + 4]);
            }
        }
    }

    #[test]
    fn halving_averages_and_a_ramp_stays_a_ramp() {
        for filter in [FilterType::Bilinear, FilterType::Lanczos3] {
            let half = resized(ramp(64, 32), [32, 16], filter, HiddenColor::Chosen);
            for x in 6..26 {
                let value = half.rgba[(8 * 32 + x) * 4];
                assert!((value - (2.0 * x as f32 + 0.5) / 64.0).abs() < 1e-3, "{x} {value}");
            }
        }
    }

    #[test]
    fn what_is_under_alpha_0_leaves_no_fringe_unless_it_is_meant() {
        let disc = |place: usize| {
            let (x, y) = ((place % 32) as f32 - 15.5, (place / 32) as f32 - 15.5);
            if x * x + y * y < 100.0 { [1.0, 0.25, 0.0, 1.0] } else { [0.0; 4] }
        };
        let rgba: Vec<f32> = (0..32 * 32).flat_map(disc).collect();
        let picture = OwnedFrame::new(0, 32, 32, rgba);
        for filter in [FilterType::Bilinear, FilterType::Lanczos3] {
            let resized = |hidden| resized(picture.clone(), [48, 20], filter, hidden);
            let arbitrary = resized(HiddenColor::Arbitrary);
            let chosen = resized(HiddenColor::Chosen);
            let (mut seen, mut dark) = (0, 0);
            let both = arbitrary.pixels().iter().zip(chosen.pixels());
            for (arbitrary, chosen) in both {
                assert_eq!(arbitrary[3], chosen[3]);
                if arbitrary[3] > 0.02 {
                    seen += 1;
                    dark += usize::from(chosen[0] < 0.9);
                    // Lanczos overshoots, and is cut at 1 before it is divided.
                    assert!(
                        arbitrary[0] > 0.97 && (arbitrary[1] - 0.25).abs() < 0.05,
                        "{arbitrary:?}"
                    );
                }
            }
            assert!(seen > 250 && dark > 20, "{seen} {dark}");
        }
    }
}
