//! What a node says to the artist, in sentences.

#![forbid(unsafe_code)]

use std::path::Path;

use wan_alpha_take::engine::message::{Problem, Progress};
use wan_alpha_take::{TakeReport, TakeRequest, Warning};

use crate::session::JobProgress;

/// How far the making of a take is, in one line.
pub(crate) fn progress(pending: &JobProgress) -> String {
    match pending {
        JobProgress::Starting(0..5) => "Starting the engine.".to_owned(),
        JobProgress::Starting(seconds) => {
            format!(
                "The engine is starting, {seconds} s so far: its files may be on a slow folder."
            )
        }
        JobProgress::Silent => "Waiting for the engine, which does not answer.".to_owned(),
        JobProgress::OtherVersion(jobs) => format!(
            "Waiting for an engine of another version to finish {}.",
            with_count(*jobs, "take")
        ),
        JobProgress::Opening(device, seconds) => {
            format!("The engine opens {}, {seconds} s so far.", one_line(device))
        }
        JobProgress::Queued(0) => "Waiting for the engine to begin.".to_owned(),
        JobProgress::Queued(ahead) => {
            format!("Waiting for {} to be made first.", with_count(*ahead, "take"))
        }
        JobProgress::Running(progress) if progress.is_paused() => match progress.step {
            0 => "Paused: nothing is computed. Resume goes on.".to_owned(),
            step => format!(
                "Paused after step {step} of {}: the model's memory is free for others. Resume \
                 goes on.",
                progress.of
            ),
        },
        JobProgress::Running(Progress { stage, step, of, seconds_left }) => {
            let mut line = capitalised(stage);
            if *of > 1 {
                line += &format!(", {step} of {of}");
            }
            if let Some(seconds) = seconds_left {
                line += &format!(", {} left", duration(*seconds));
            }
            line + "."
        }
    }
}

/// Why a take is made without a GPU.
pub(crate) fn without_gpu(why: &str) -> String {
    format!("Computing without a GPU: {}.", one_line(why).trim_end_matches('.'))
}

/// The take that is shown.
pub(crate) fn ready(request: &TakeRequest) -> String {
    let TakeRequest { frames, width, height, model, seed, .. } = request;
    format!(
        "Ready: {} of {width}x{height}, model {model}, seed {seed}.",
        with_count(*frames, "frame")
    )
}

/// The image that a take begins with, where it begins with one; its size in pixels where that is known.
pub(crate) fn begins_with(request: &TakeRequest, size: Option<[u32; 2]>) -> Option<String> {
    request.first_image?;
    let name = one_line(request.first_image_name.as_deref().unwrap_or("an image"));
    let size = size.map_or_else(String::new, |[width, height]| format!(", {width}x{height}"));
    Some(format!("The take begins with {name}{size}."))
}

/// What a finished take came to, and what is to be known of it.
pub(crate) fn outcome(report: Option<&TakeReport>, warnings: &[Warning]) -> Vec<String> {
    let report = report.map(|report| format!("It {report}."));
    report.into_iter().chain(warnings.iter().map(warning)).collect()
}

/// A warning as a sentence.
pub(crate) fn warning(warning: &Warning) -> String {
    let text = one_line(&warning.to_string());
    format!("{}.", capitalised(text.trim_end_matches('.')))
}

/// A take that the parameters no longer describe.
pub(crate) fn changed_parameters(changed: &[&str]) -> String {
    let (last, others) = match changed {
        [] => return String::new(),
        [one] => return format!("Changed since this take: {one}. Generate makes a new one."),
        [others @ .., last] => (last, others),
    };
    format!("Changed since this take: {} and {last}. Generate makes a new one.", others.join(", "))
}

/// A problem of the engine as a sentence.
pub(crate) fn problem(Problem { message, remedy, .. }: &Problem) -> String {
    format!("{}; {}.", capitalised(&one_line(message)), one_line(remedy).trim_end_matches('.'))
}

/// What is wrong with a take's file. That it will be made again, which the store promises where a take is
/// asked for, is so here only once somebody asks.
pub(crate) fn damaged(damage: &str) -> String {
    let damage = damage.trim_end_matches('.').trim_end_matches(" and will be made again");
    format!("{}. Make again makes it anew.", capitalised(damage))
}

/// What the place of a log is told with.
const LOG: &str = "Log: ";

/// A sentence about a failure with the log that says more, unless it names that already.
pub(crate) fn with_log(sentence: String, log: &Path) -> String {
    let log = log.display().to_string();
    if sentence.contains(&log) { sentence } else { format!("{sentence} {LOG}{log}") }
}

/// Sentences one after the other, each of them once, and the place of a log too.
pub(crate) fn joined(parts: &[String]) -> String {
    let mut text = String::new();
    let mut said: Vec<&str> = Vec::new();
    for part in parts {
        if text.contains(part.as_str()) {
            continue;
        }
        for sentence in part.split_inclusive(". ").map(str::trim).filter(|part| !part.is_empty()) {
            let names_log_again = sentence.strip_prefix(LOG).is_some_and(|log| text.contains(log));
            if said.contains(&sentence) || names_log_again {
                continue;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text += sentence;
            said.push(sentence);
        }
    }
    text
}

/// One line of a text: what a project file or an engine says may be of any length and hold
/// anything.
pub(crate) fn one_line(text: &str) -> String {
    const MOST: usize = 400;
    let mut letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut line: String = letters.by_ref().take(MOST).collect();
    if letters.next().is_some() {
        line.push('\u{2026}');
    }
    line
}

/// A text with a capital letter at its beginning, as sentences have it.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

/// A number and a word, in the plural where there is not one.
fn with_count(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Seconds as hours where there are any, else as minutes and seconds.
fn duration(seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.clamp(0.0, 1e9).ceil() as u64 } else { 0 };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours} h {minutes:02} min") } else { format!("{minutes}:{rest:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wan_alpha_take::engine::message::ProblemCode;

    #[test]
    fn progress_names_stage_step_and_time() {
        let running = |of, seconds_left| {
            let stage = "sampling".to_owned();
            progress(&JobProgress::Running(Progress { stage, step: 2, of, seconds_left }))
        };
        assert_eq!(running(4, Some(70.2)), "Sampling, 2 of 4, 1:11 left.");
        assert_eq!(running(1, None), "Sampling.");
        assert_eq!(running(50, Some(7_260.0)), "Sampling, 2 of 50, 2 h 01 min left.");
        assert_eq!(running(50, Some(f64::NAN)), "Sampling, 2 of 50, 0:00 left.");
        assert_eq!(progress(&JobProgress::Starting(4)), "Starting the engine.");
        let slow = progress(&JobProgress::Starting(25));
        assert!(slow.starts_with("The engine is starting, 25 s so far"), "{slow}");
        let opening = progress(&JobProgress::Opening("CUDA".to_owned(), 12));
        assert_eq!(opening, "The engine opens CUDA, 12 s so far.");
        let without = without_gpu("no NVIDIA driver was found; install one");
        assert_eq!(without, "Computing without a GPU: no NVIDIA driver was found; install one.");
        assert_eq!(progress(&JobProgress::Queued(1)), "Waiting for 1 take to be made first.");
    }

    #[test]
    fn what_changed_is_a_list_in_words() {
        assert!(changed_parameters(&["seed"]).starts_with("Changed since this take: seed. "));
        let three = changed_parameters(&["prompt", "seed", "size"]);
        assert!(three.starts_with("Changed since this take: prompt, seed and size. "), "{three}");
    }

    #[test]
    fn what_others_say_is_one_line() {
        assert_eq!(one_line("no model\n`a`\0"), "no model `a` ");
        let long = one_line(&"\u{e9}".repeat(3000));
        assert_eq!((long.chars().count(), long.ends_with('\u{2026}')), (401, true));
    }

    #[test]
    fn nothing_is_said_twice() {
        let log = Path::new("/state/engine.log");
        let died = with_log("It ended; read /state/engine.log.".to_owned(), log);
        assert_eq!(died, "It ended; read /state/engine.log.");
        let full = with_log("No room; free some.".to_owned(), log);
        assert_eq!(full, "No room; free some. Log: /state/engine.log");
        let parts = [died.clone(), String::new(), died.clone(), "Ready.".to_owned()];
        assert_eq!(joined(&parts), format!("{died} Ready."));
        // Parts that differ and have a sentence or a place in common.
        let parts =
            ["No room; free some. Log: /s.log", "No room; free some. Ready.", "Gone. Log: /s.log"];
        let all = "No room; free some. Log: /s.log Ready. Gone.";
        assert_eq!(joined(&parts.map(str::to_owned)), all);
    }

    #[test]
    fn a_problem_is_a_sentence() {
        let text = problem(&Problem::new(ProblemCode::Failed, "no model `a`", "add it"));
        assert_eq!(text, "No model `a`; add it.");
    }
}
