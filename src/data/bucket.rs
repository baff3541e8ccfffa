//! The sizes that the transformer is trained at: of one area, the one nearest in aspect to a clip.

use anyhow::{Result, ensure};

/// Pixels of the released training: 640 × 624.
pub(crate) const AREA: usize = 640 * 624;

/// Wider or narrower than 16 : 9 is not trained on.
const WIDEST: f64 = 16.0 / 9.0;

/// Sides are multiples of this: cells of 8 pixels, two by two.
const UNIT: usize = 16;

/// What becomes of a clip: the part in the middle that is kept, and its new size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Left, top, width and height of the part.
    pub(crate) crop: [usize; 4],
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Bucket {
    /// The pair of divisors of `area` nearest in aspect, each rounded to a multiple of 16.
    pub(crate) fn of(area: usize, width: usize, height: usize) -> Result<Self> {
        ensure!(width > 0 && height > 0, "it is {width} × {height}: expected pixels");
        let aspect = width as f64 / height as f64;
        ensure!(
            within(aspect),
            "it is {width} × {height}, an aspect of {aspect:.3}: expected 9:16 to 16:9 (0.5625 to \
             1.7778); crop it"
        );
        let pairs = (1..=area).filter(|side| area.is_multiple_of(*side));
        let pairs = pairs.map(|side| [side, area / side]);
        let of = |[width, height]: [usize; 2]| width as f64 / height as f64;
        let distance = |pair: &[usize; 2]| (of(*pair) - aspect).abs();
        let pair = pairs
            .filter(|pair| within(of(*pair)))
            .min_by(|a, b| distance(a).total_cmp(&distance(b)));
        ensure!(pair.is_some(), "an area of {area} has no two sides between 9:16 and 16:9");
        let [wide, high] = pair.unwrap_or([1, 1]).map(|side| {
            let rounded = (side as f64 / UNIT as f64).round() as usize * UNIT;
            rounded.max(UNIT)
        });
        let wanted = wide as f64 / high as f64;
        let kept = if aspect > wanted {
            [((height as f64 * wanted).round() as usize).clamp(1, width), height]
        } else {
            [width, ((width as f64 / wanted).round() as usize).clamp(1, height)]
        };
        let crop = [(width - kept[0]) / 2, (height - kept[1]) / 2, kept[0], kept[1]];
        Ok(Self { crop, width: wide, height: high })
    }
}

fn within(aspect: f64) -> bool {
    (1.0 / WIDEST - 1e-9..=WIDEST + 1e-9).contains(&aspect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_released_ones() {
        for (width, height, expected) in [
            (1280, 720, [832, 480]),
            (1920, 1080, [832, 480]),
            (720, 1280, [480, 832]),
            (1000, 1000, [624, 640]),
            // 780 × 512 and 520 × 768 are no multiples of 16.
            (1530, 1000, [784, 512]),
            (1000, 1480, [528, 768]),
            (832, 480, [832, 480]),
        ] {
            let bucket = Bucket::of(AREA, width, height).unwrap();
            assert_eq!([bucket.width, bucket.height], expected, "{width} × {height}");
            let [left, top, w, h] = bucket.crop;
            assert!(left + w <= width && top + h <= height && (w == width || h == height));
            let kept = w as f64 / h as f64 * expected[1] as f64 / expected[0] as f64;
            assert!((kept - 1.0).abs() < 0.003, "{width} × {height}: {bucket:?}");
        }
        let own = Bucket::of(96 * 96, 96, 96).unwrap();
        assert_eq!(own, Bucket { crop: [0, 0, 96, 96], width: 96, height: 96 });
    }

    #[test]
    fn what_is_too_wide_is_refused() {
        let text = Bucket::of(AREA, 1000, 500).unwrap_err().to_string();
        assert!(text.contains("1000 × 500") && text.contains("16:9"), "{text}");
        assert!(Bucket::of(AREA, 0, 5).is_err());
        let text = Bucket::of(7, 10, 10).unwrap_err().to_string();
        assert!(text.contains("an area of 7"), "{text}");
    }
}
