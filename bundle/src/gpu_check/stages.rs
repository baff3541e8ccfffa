//! When the stages of a take began and ended, from the lines that `render` prints, such as
//! `sampling 2/4, 3 s left`.

use std::time::Instant;

use super::process::Said;

/// A stage of a take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RenderStage {
    Loading,
    Prompt,
    Sampling,
    Decoding,
}

impl RenderStage {
    pub(super) const ALL: [Self; 4] = [Self::Loading, Self::Prompt, Self::Sampling, Self::Decoding];

    /// Its lines begin with these words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Loading => "loading the model",
            Self::Prompt => "reading the prompt",
            Self::Sampling => "sampling",
            Self::Decoding => "decoding",
        }
    }
}

/// A line of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProgressLine {
    pub(super) stage: RenderStage,
    pub(super) step: u32,
}

/// What a line says of progress, if anything.
pub(super) fn progress(line: &str) -> Option<ProgressLine> {
    let stage = RenderStage::ALL.into_iter().find(|stage| line.starts_with(stage.words()))?;
    let rest = line.strip_prefix(stage.words())?.trim_start();
    let step = rest.split('/').next()?.parse().ok()?;
    rest.contains('/').then_some(ProgressLine { stage, step })
}

/// A stretch of time in one stage; a stage may come more than once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StageSpan {
    pub(super) stage: RenderStage,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
}

/// The stages of a run that ended at `ended`.
pub(super) fn spans(lines: &[Said], ended: Instant) -> Vec<StageSpan> {
    let mut spans: Vec<StageSpan> = Vec::new();
    for (said, found) in lines.iter().filter_map(|said| Some((said, progress(&said.text)?))) {
        match spans.last_mut() {
            Some(last) if last.stage == found.stage => last.ended = said.at,
            last => {
                if let Some(last) = last {
                    last.ended = said.at;
                }
                spans.push(StageSpan { stage: found.stage, begun: said.at, ended: said.at });
            }
        }
    }
    if let Some(last) = spans.last_mut() {
        last.ended = ended;
    }
    spans
}

/// Seconds in a stage.
pub(super) fn seconds(spans: &[StageSpan], stage: RenderStage) -> f64 {
    let of_stage = spans.iter().filter(|span| span.stage == stage);
    of_stage.map(|span| (span.ended - span.begun).as_secs_f64()).sum()
}

/// Seconds between one step of a stage and the next.
pub(super) fn steps(lines: &[Said], stage: RenderStage) -> Vec<f64> {
    let told = lines.iter().filter_map(|said| Some((said.at, progress(&said.text)?)));
    let told: Vec<_> = told.filter(|(_, found)| found.stage == stage).collect();
    let pairs = told.windows(2).filter(|pair| pair[1].1.step == pair[0].1.step + 1);
    pairs.map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn said(start: Instant, lines: &[(f64, &str)]) -> Vec<Said> {
        let one = |&(seconds, text): &(f64, &str)| Said {
            at: start + Duration::from_secs_f64(seconds),
            text: text.to_owned(),
            to_stdout: false,
        };
        lines.iter().map(one).collect()
    }

    #[test]
    fn a_line_of_progress_is_known() {
        let of = |line| progress(line).map(|found| (found.stage, found.step));
        assert_eq!(of("sampling 2/4, 3 s left"), Some((RenderStage::Sampling, 2)));
        assert_eq!(of("loading the model 0/40"), Some((RenderStage::Loading, 0)));
        for line in ["sampling", "warning: sampling 1/2", "decoding soon", "loading 1/2", ""] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn stages_last_from_their_first_line_to_the_next_ones() {
        let start = Instant::now();
        let lines = said(
            start,
            &[
                (1.0, "reading the prompt 0/1"),
                (2.0, "loading the model 0/40"),
                (7.0, "loading the model 40/40"),
                (8.0, "sampling 0/4"),
                (9.5, "sampling 1/4"),
                (10.0, "warning: something"),
                (10.5, "sampling 2/4, 2 s left"),
                (11.0, "loading the model 0/2"),
                (12.0, "decoding 0/2"),
            ],
        );
        let spans = spans(&lines, start + Duration::from_secs(20));
        for (stage, expected) in [
            (RenderStage::Prompt, 1.0),
            (RenderStage::Loading, 7.0),
            (RenderStage::Sampling, 3.0),
            (RenderStage::Decoding, 8.0),
        ] {
            assert!((seconds(&spans, stage) - expected).abs() < 1e-9, "{stage:?}");
        }
        let steps: Vec<_> =
            steps(&lines, RenderStage::Sampling).iter().map(|s| (s * 10.0).round()).collect();
        assert_eq!(steps, [15.0, 10.0]);
        assert!(super::spans(&[], start).is_empty());
    }
}
