//! Mattes that are not what they should be, as far as their values show it: haze in what should be
//! empty, an alpha upside down, and color that has been multiplied by alpha already.

use wan_alpha_take::counted::counted;
use wan_alpha_take::frame::OwnedFrame;

use super::SetFinding;

/// What is counted over all frames of a row.
#[derive(Default)]
pub(super) struct MatteSurvey {
    frames: usize,
    pixels: u64,
    clear: u64,
    /// Pixels with an alpha of 1 or 2 of 255.
    haze: u64,
    hazy_frames: usize,
    /// Pixels on the edge of the frame, and those of them that are opaque.
    edge: u64,
    opaque_edge: u64,
    /// Of clear pixels, those that are black.
    black_clear: u64,
    thin: SoftColor,
    thick: SoftColor,
}

/// The color of pixels of about one alpha.
#[derive(Default)]
struct SoftColor {
    count: u64,
    /// The sum of the brightest channels.
    brightest: f64,
    /// Pixels whose brightest channel is not above their alpha.
    below_alpha: u64,
}

/// The most alpha that is haze: 2 of 255, and rounding.
const HAZE: f32 = 2.5 / 255.0;
/// What an eye does not tell from 0 or 1.
const BARELY: f32 = 0.02;

impl MatteSurvey {
    /// Looks at a frame, straight as it was read.
    pub(super) fn add(&mut self, picture: &OwnedFrame) {
        self.frames += 1;
        self.pixels += (picture.width * picture.height) as u64;
        let before = (self.clear, self.haze);
        for (place, &[r, g, b, alpha]) in picture.pixels().iter().enumerate() {
            let (column, row) = (place % picture.width, place / picture.width);
            let last = |at: usize, length: usize| at == 0 || at + 1 == length;
            if last(column, picture.width) || last(row, picture.height) {
                self.edge += 1;
                self.opaque_edge += u64::from(alpha > 1.0 - BARELY);
            }
            let brightest = r.max(g).max(b);
            if alpha == 0.0 {
                self.clear += 1;
                self.black_clear += u64::from(brightest < BARELY);
            } else if alpha <= HAZE {
                self.haze += 1;
            }
            let soft = match alpha {
                0.1..0.4 => &mut self.thin,
                0.6..0.9 => &mut self.thick,
                _ => continue,
            };
            soft.count += 1;
            soft.brightest += f64::from(brightest);
            soft.below_alpha += u64::from(brightest <= alpha + BARELY);
        }
        let (clear, haze) = (self.clear - before.0, self.haze - before.1);
        self.hazy_frames += usize::from(is_hazy(clear, haze, picture.width * picture.height));
    }

    /// What is to be said. `straight`: color was read as not multiplied by alpha; `said`: since the row
    /// says so itself.
    pub(super) fn findings(&self, straight: bool, said: bool) -> Vec<SetFinding> {
        let mut findings = Vec::new();
        if self.hazy_frames > 0 {
            findings.push(SetFinding::warning(
                "haze",
                format!(
                    "in {} of its {} much of what should be empty has an alpha of 1 or 2 of \
                     255 ({:.0} % of all pixels), which a model learns as haze: bring alpha below 3 \
                     of 255 to 0",
                    self.hazy_frames,
                    counted(self.frames, "frame"),
                    share(self.haze, self.pixels) * 100.0
                ),
            ));
        }
        if self.is_inverted() {
            findings.push(SetFinding::warning(
                "inverted",
                "its alpha is opaque along the edge of the frame and 0 within: it looks inverted; \
                 invert it, or make sure that the surroundings are the subject",
            ));
        }
        if straight && !said && self.is_premultiplied() {
            findings.push(SetFinding::warning(
                "premultiplied",
                "its color looks multiplied by its alpha (it darkens as alpha does, to black), but is \
                 read as straight: say premultiplied in the column `association`, or straight where \
                 it is meant so",
            ));
        }
        findings
    }

    fn is_inverted(&self) -> bool {
        share(self.opaque_edge, self.edge) > 0.9 && share(self.clear, self.pixels) > 0.02
    }

    fn is_premultiplied(&self) -> bool {
        let Self { thin, thick, .. } = self;
        let below = share(thin.below_alpha + thick.below_alpha, thin.count + thick.count);
        let enough = thin.count.min(thick.count) >= 32 && thick.mean() > f64::from(BARELY);
        let black = self.clear == 0 || share(self.black_clear, self.clear) > 0.98;
        // A third where it is multiplied, one where it is not.
        enough && black && below > 0.98 && thin.mean() < 0.6 * thick.mean()
    }
}

impl SoftColor {
    fn mean(&self) -> f64 {
        self.brightest / self.count.max(1) as f64
    }
}

/// More than a fiftieth of a frame, and a quarter of what is as good as empty.
fn is_hazy(clear: u64, haze: u64, pixels: usize) -> bool {
    share(haze, pixels as u64) > 0.02 && share(haze, clear + haze) > 0.25
}

fn share(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A soft disk of orange in the middle of a frame; `shape` makes of its alpha what is looked at.
    fn found(
        shape: impl Fn(f32) -> f32,
        color: impl Fn(f32) -> [f32; 3],
        said: bool,
    ) -> Vec<&'static str> {
        let rgba = (0..64 * 48).flat_map(|place| {
            let (x, y) = ((place % 64) as f32 - 32.0, (place / 64) as f32 - 24.0);
            let alpha = shape(((16.0 - x.hypot(y)) / 8.0).clamp(0.0, 1.0));
            let [r, g, b] = color(alpha);
            [r, g, b, alpha]
        });
        let mut survey = MatteSurvey::default();
        survey.add(&OwnedFrame::new(0, 64, 48, rgba.collect()));
        survey.findings(true, said).iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn what_is_planted_is_found_and_nothing_in_what_is_right() {
        let orange = |_| [1.0, 0.5, 0.1];
        let multiplied = |alpha: f32| [alpha, 0.5 * alpha, 0.1 * alpha];
        let black_behind = |alpha: f32| if alpha == 0.0 { [0.0; 3] } else { [1.0, 0.5, 0.1] };
        assert!(found(|alpha| alpha, orange, false).is_empty());
        assert!(found(|alpha| alpha, black_behind, false).is_empty());
        assert!(found(|alpha| alpha, |_| [0.05; 3], false).is_empty());
        assert_eq!(found(|alpha| alpha.max(2.0 / 255.0), orange, false), ["haze"]);
        assert_eq!(found(|alpha| 1.0 - alpha, orange, false), ["inverted"]);
        assert_eq!(found(|alpha| alpha, multiplied, false), ["premultiplied"]);
        assert!(found(|alpha| alpha, multiplied, true).is_empty());
    }
}
