//! The sizes that the transformer is trained at: a clip's own, or of one area the one nearest in aspect.

use anyhow::{Result, ensure};
use wan_alpha_take::Ellipse;

/// Pixels of the released training: 640 × 624.
pub(crate) const AREA: usize = 640 * 624;

/// Wider or narrower than 16 : 9 is not trained on.
const WIDEST: f64 = 16.0 / 9.0;

/// Sides are multiples of this: cells of 8 pixels, two by two.
const UNIT: usize = 16;

/// To which size the clips of a set are brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrainingSize {
    /// Each to its own, but for the rows and columns beyond multiples of 16.
    Own,
    /// Each to a size of so many pixels, near its own aspect.
    Area(usize),
}

impl TrainingSize {
    /// What becomes of a clip of `width` × `height`.
    pub(crate) fn bucket(self, width: usize, height: usize) -> Result<Bucket> {
        match self {
            Self::Own => Bucket::own(width, height),
            Self::Area(area) => Bucket::of(area, width, height),
        }
    }
}

/// What becomes of a clip: the part in the middle that is kept, and its new size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Width and height of the clip as it is.
    pub(crate) from: [usize; 2],
    /// Left, top, width and height of the part.
    pub(crate) crop: [usize; 4],
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Bucket {
    /// The clip's own size, what is beyond multiples of 16 cut off evenly.
    fn own(width: usize, height: usize) -> Result<Self> {
        let [wide, high] = [width, height].map(|side| side / UNIT * UNIT);
        ensure!(
            wide > 0 && high > 0,
            "it is {width} × {height}: expected at least {UNIT} × {UNIT}; enlarge it, or give --area"
        );
        let crop = [(width - wide) / 2, (height - high) / 2, wide, high];
        Ok(Self { from: [width, height], crop, width: wide, height: high })
    }

    /// Whether it has more pixels than there were.
    pub(crate) fn enlarges(&self) -> bool {
        let [_, _, width, height] = self.crop;
        self.width > width || self.height > height
    }

    /// Where an ellipse of the clip is in the part of it that is kept.
    pub(crate) fn ellipse(&self, ellipse: &Ellipse) -> Ellipse {
        let [_, all] = self.from.map(|side| side as f64);
        let wide = self.from[0] as f64;
        let [left, top, width, height] = self.crop.map(|side| side as f64);
        Ellipse {
            x: (ellipse.x * wide - left) / width,
            y: 1.0 - ((1.0 - ellipse.y) * all - top) / height,
            a: ellipse.a * all / height,
            b: ellipse.b * all / height,
            angle: ellipse.angle,
        }
    }

    /// The pair of divisors of `area` nearest in aspect, each rounded to a multiple of 16.
    fn of(area: usize, width: usize, height: usize) -> Result<Self> {
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
        Ok(Self { from: [width, height], crop, width: wide, height: high })
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
        let whole = Bucket { from: [96, 96], crop: [0, 0, 96, 96], width: 96, height: 96 };
        assert_eq!(Bucket::of(96 * 96, 96, 96).unwrap(), whole);
        assert_eq!(TrainingSize::Own.bucket(96, 96).unwrap(), whole);
    }

    #[test]
    fn a_clip_keeps_its_own_size_and_is_enlarged_only_for_an_area() {
        let own = TrainingSize::Own.bucket(1930, 50).unwrap();
        assert_eq!((own.width, own.height, own.crop), (1920, 48, [5, 1, 1920, 48]));
        assert!(!own.enlarges());
        assert!(TrainingSize::Area(AREA).bucket(96, 96).unwrap().enlarges());
        assert!(!TrainingSize::Area(AREA).bucket(1280, 720).unwrap().enlarges());
        let text = TrainingSize::Own.bucket(20, 15).unwrap_err().to_string();
        assert!(text.contains("20 × 15: expected at least 16 × 16"), "{text}");
    }

    #[test]
    fn an_ellipse_stays_on_what_it_is_about() {
        // A square of the middle of a wide clip, halved.
        let bucket = TrainingSize::Area(48 * 48).bucket(128, 96).unwrap();
        let bucket = Bucket { crop: [16, 0, 96, 96], width: 48, height: 48, ..bucket };
        let about = Ellipse { x: 0.25, y: 0.75, a: 0.5, b: 0.25, angle: 30.0 };
        // A quarter of 128 is column 32, of which 16 are cut off.
        let expected = Ellipse { x: 16.0 / 96.0, ..about };
        assert_eq!(bucket.ellipse(&about), expected);
        let bucket = Bucket { crop: [0, 24, 128, 48], ..bucket };
        let expected = Ellipse { x: 0.25, y: 1.0, a: 1.0, b: 0.5, angle: 30.0 };
        assert_eq!(bucket.ellipse(&about), expected);
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
