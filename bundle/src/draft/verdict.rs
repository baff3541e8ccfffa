//! What a draft model must reach, and whether it does: the takes of several judgments in one table.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::judge::{DraftJudge, EvalReports};

/// Width, height and frames of the longest takes that a model is judged by.
const LONG: [u64; 3] = [160, 96, 33];
/// Steps of the takes that show what fewer of them cost.
const FEW_STEPS: u32 = 4;

/// The judgments that a model is told by.
pub(super) struct Judgments {
    /// At the model's own size, length and steps, with English prompts; the autoencoder too.
    pub(super) own: EvalReports,
    /// The same clips, with Chinese prompts.
    pub(super) chinese: EvalReports,
    /// The same, in half of the usual steps.
    pub(super) few_steps: EvalReports,
    /// 33 frames, wider than high.
    pub(super) long: EvalReports,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum WantedRange {
    AtLeast(f64),
    AtMost(f64),
    Between(f64, f64),
}

impl WantedRange {
    fn holds(self, found: f64) -> bool {
        match self {
            Self::AtLeast(least) => found >= least,
            Self::AtMost(most) => found <= most,
            Self::Between(least, most) => (least..=most).contains(&found),
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::Between(least, most) => format!("{least} to {most}"),
        }
    }
}

/// A line of the table.
struct JudgedFigure {
    /// The same as a table for programs, JSON.
    id: &'static str,
    about: &'static str,
    wanted: WantedRange,
    /// How many digits after the point are shown.
    digits: usize,
    of: fn(&Judgments) -> Option<f64>,
}

const FIGURES: [JudgedFigure; 15] = [
    JudgedFigure {
        id: "opaque",
        about: "alpha inside an opaque subject, of which nothing is said",
        wanted: WantedRange::AtLeast(0.9),
        digits: 2,
        of: |judged| judged.own.takes("inner_alpha_opaque"),
    },
    JudgedFigure {
        id: "translucent",
        about: "alpha inside a subject that is said to be translucent",
        wanted: WantedRange::Between(0.3, 0.7),
        digits: 2,
        of: |judged| judged.own.takes("inner_alpha_translucent"),
    },
    JudgedFigure {
        id: "color_english",
        about: "named color right, English, %",
        wanted: WantedRange::AtLeast(98.0),
        digits: 1,
        of: |judged| judged.own.takes("colour_right"),
    },
    JudgedFigure {
        id: "color_chinese",
        about: "named color right, Chinese, %",
        wanted: WantedRange::AtLeast(95.0),
        digits: 1,
        of: |judged| judged.chinese.takes("colour_right"),
    },
    JudgedFigure {
        id: "kinds",
        about: "kinds told apart, %",
        wanted: WantedRange::AtLeast(88.0),
        digits: 1,
        of: |judged| judged.own.takes("kind_right"),
    },
    JudgedFigure {
        id: "off_center",
        about: "center off the asked one, share of the frame",
        wanted: WantedRange::AtMost(0.04),
        digits: 3,
        of: |judged| judged.own.takes("centre_distance"),
    },
    JudgedFigure {
        id: "follows",
        about: "follows a moving ellipse, 17 frames",
        wanted: WantedRange::AtLeast(0.93),
        digits: 3,
        of: |judged| judged.own.takes("follows"),
    },
    JudgedFigure {
        id: "follows_long",
        about: "follows a moving ellipse, 33 frames",
        wanted: WantedRange::AtLeast(0.9),
        digits: 3,
        of: |judged| judged.long.takes("follows"),
    },
    JudgedFigure {
        id: "color_psnr",
        about: "color given back, dB",
        wanted: WantedRange::AtLeast(32.0),
        digits: 1,
        of: |judged| judged.own.reconstruction("colour_psnr"),
    },
    JudgedFigure {
        id: "alpha_psnr",
        about: "alpha given back, dB",
        wanted: WantedRange::AtLeast(31.0),
        digits: 1,
        of: |judged| judged.own.reconstruction("alpha_psnr"),
    },
    JudgedFigure {
        id: "flicker",
        about: "alpha's flicker",
        wanted: WantedRange::AtMost(0.07),
        digits: 3,
        of: |judged| judged.own.takes("alpha_flicker"),
    },
    JudgedFigure {
        id: "grid",
        about: "squared steps at multiples of eight pixels against the rest",
        wanted: WantedRange::AtMost(1.1),
        digits: 2,
        of: |judged| judged.own.takes("grid"),
    },
    JudgedFigure {
        id: "holes",
        about: "holes",
        wanted: WantedRange::AtMost(0.01),
        digits: 4,
        of: |judged| judged.own.takes("holes"),
    },
    JudgedFigure {
        id: "leak",
        about: "alpha outside the twice enlarged ellipse",
        wanted: WantedRange::AtMost(0.001),
        digits: 4,
        of: |judged| judged.own.takes("leak"),
    },
    JudgedFigure {
        id: "few_steps",
        about: "four steps against eight: the figure that differs most, share",
        wanted: WantedRange::AtMost(0.1),
        digits: 3,
        of: |judged| judged.difference_of_steps(),
    },
];

/// The figures that few steps and many are compared by, as `eval takes` names them.
const OF_STEPS: [&str; 6] = [
    "inner_alpha_opaque",
    "colour_right",
    "kind_right",
    "centre_distance",
    "follows",
    "alpha_flicker",
];

impl Judgments {
    /// Makes all of them; `own` is the first, whose folders come to lie beside the others' in `folder`.
    pub(super) fn of(own: DraftJudge<'_>, folder: &Path) -> Result<Self> {
        let more = DraftJudge { autoencoder: false, ..own };
        Ok(Self {
            own: own.run(&folder.join("own"))?,
            chinese: DraftJudge { language: "zh", ..more }.run(&folder.join("chinese"))?,
            few_steps: DraftJudge { steps: Some(FEW_STEPS), ..more }
                .run(&folder.join("few-steps"))?,
            long: DraftJudge { shape: Some(LONG), ..more }.run(&folder.join("long"))?,
        })
    }

    /// Prints the table, and leaves it in `folder` as `verdict.md` and `verdict.json`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let table = self.markdown();
        println!("\n{table}");
        let json = format!("{:#}\n", self.json());
        for (name, text) in [("verdict.md", table), ("verdict.json", json)] {
            let path = folder.join(name);
            fs::write(&path, text)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }

    /// The largest difference of a figure in few steps from that in the usual ones, as a share of the
    /// larger; none where none was measured in both.
    fn difference_of_steps(&self) -> Option<f64> {
        let apart = |name: &&str| {
            let (many, few) = (self.own.takes(name)?, self.few_steps.takes(name)?);
            let larger = many.abs().max(few.abs());
            (larger > 0.0).then(|| (many - few).abs() / larger)
        };
        OF_STEPS.iter().filter_map(apart).max_by(f64::total_cmp)
    }

    /// The table for people.
    fn markdown(&self) -> String {
        let mut text = "| | wanted | found | reached |\n|---|---|---|---|\n".to_owned();
        for JudgedFigure { about, wanted, digits, of, .. } in FIGURES {
            let found = of(self);
            let shown = found.map_or("–".to_owned(), |found| format!("{found:.digits$}"));
            let reached = match found {
                None => "not measured",
                Some(found) if wanted.holds(found) => "yes",
                Some(_) => "no",
            };
            let _ = writeln!(text, "| {about} | {} | {shown} | {reached} |", wanted.text());
        }
        text
    }

    /// The table for programs: each figure, and whether it is reached.
    fn json(&self) -> Value {
        let figures = FIGURES.into_iter().map(|JudgedFigure { id, wanted, of, .. }| {
            let found = of(self);
            let reached = found.map(|found| wanted.holds(found));
            (id.to_owned(), json!({ "found": found, "wanted": wanted.text(), "reached": reached }))
        });
        Value::Object(figures.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(values: &[(&str, f64)]) -> EvalReports {
        let summary: serde_json::Map<_, _> = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!({"value": value})))
            .collect();
        EvalReports { takes: json!({ "summary": summary }), reconstruction: Value::Null }
    }

    #[test]
    fn the_table_says_what_is_reached_what_is_not_and_what_was_not_measured() {
        let judgments = Judgments {
            own: takes(&[
                ("inner_alpha_opaque", 0.55),
                ("inner_alpha_translucent", 0.5),
                ("colour_right", 98.4),
                ("centre_distance", 0.04),
            ]),
            chinese: takes(&[("colour_right", 12.0)]),
            few_steps: takes(&[("colour_right", 98.4), ("centre_distance", 0.05)]),
            long: takes(&[]),
        };
        let text = judgments.markdown();
        for line in [
            "| alpha inside an opaque subject, of which nothing is said | ≥ 0.9 | 0.55 | no |",
            "| alpha inside a subject that is said to be translucent | 0.3 to 0.7 | 0.50 | yes |",
            "| named color right, Chinese, % | ≥ 95 | 12.0 | no |",
            "| center off the asked one, share of the frame | ≤ 0.04 | 0.040 | yes |",
            "| follows a moving ellipse, 33 frames | ≥ 0.9 | – | not measured |",
            "| four steps against eight: the figure that differs most, share | ≤ 0.1 | 0.200 | no |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let json = judgments.json();
        assert_eq!(json["opaque"]["reached"], false);
        assert_eq!(json["follows_long"]["reached"], Value::Null);
    }
}
