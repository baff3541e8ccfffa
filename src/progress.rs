//! What the person at the terminal, or the farm's log, sees while a take is made. All of it goes
//! to stderr; stdout is for results.
//!
//! On a terminal one bar with stage, step and time left; elsewhere plain lines, such as
//! `sampling 2/4, 3 s left`. Failing to print is never a failure of the work.

mod open_jd;

use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use open_jd::OpenJdLines;
pub(crate) use open_jd::OpenJdLog;
use parking_lot::Mutex;

/// A stage of up to this many steps has a line for each of them.
const FEW_STEPS: usize = 20;
/// Between the lines of a stage with more steps.
const LINE_GAP: Duration = Duration::from_secs(5);
/// How often the bar counts down by itself while a step takes its time.
const TICK: Duration = Duration::from_millis(250);

/// Stage and steps are one word, of one moment: a thread draws while another tells of the next stage.
const TEMPLATE: &str = "{stage} [{bar:30}] {time}";

/// Shows progress; may be told from any thread.
pub(crate) struct TerminalProgress {
    pace: Arc<Mutex<Pace>>,
    screen: Screen,
}

enum Screen {
    Bar(ProgressBar),
    Lines(Mutex<Box<dyn Write + Send>>),
    OpenJd(Mutex<OpenJdLines>),
    /// Nothing is printed.
    Silent,
    /// Notes are printed, progress is not.
    Quiet,
}

impl TerminalProgress {
    /// A bar where stderr is a terminal, lines where it is not, neither if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet {
            return Self::on(Screen::Quiet);
        }
        if !stderr().is_terminal() {
            return Self::on(Screen::Lines(Mutex::new(Box::new(stderr()))));
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let progress = Self::on(Screen::Bar(bar.clone()));
        bar.set_style(style(Arc::clone(&progress.pace)));
        progress
    }

    /// For a task of Open Job Description.
    pub(crate) fn openjd() -> Self {
        Self::on(Screen::OpenJd(Mutex::new(OpenJdLines::new(Box::new(stderr())))))
    }

    /// For work whose words are told another time.
    pub(crate) fn silent() -> Self {
        Self::on(Screen::Silent)
    }

    /// Tells that a part of the work begins, after `done` of `of`.
    pub(crate) fn begin_part(&self, done: usize, of: usize) {
        if let Screen::OpenJd(lines) = &self.screen {
            lines.lock().begin_part(done, of);
        }
    }

    /// Tells a farm why the work has failed, if it has a form for that.
    pub(crate) fn fail(&self, message: &str) {
        if let Screen::OpenJd(lines) = &self.screen {
            lines.lock().fail(message);
        }
    }

    fn on(screen: Screen) -> Self {
        Self { pace: Arc::default(), screen }
    }

    /// Tells that `step` of the `of` steps of a stage are done; 0 as the stage begins.
    pub(crate) fn update(&self, stage: &str, step: usize, of: usize) {
        self.update_at(Instant::now(), stage, step, of);
    }

    fn update_at(&self, now: Instant, stage: &str, step: usize, of: usize) {
        let step = step.min(of);
        if let Screen::OpenJd(lines) = &self.screen {
            return lines.lock().update(stage, step, of);
        }
        // The lock is given back before the bar draws, since drawing asks for the time left.
        let (new_stage, line) = {
            let mut pace = self.pace.lock();
            let new_stage = pace.step_to(now, stage, step, of);
            (new_stage, pace.line(now))
        };
        match (&self.screen, line) {
            (Screen::Bar(bar), _) => {
                bar.set_length(of as u64);
                if new_stage {
                    bar.reset();
                    bar.enable_steady_tick(TICK);
                }
                bar.set_position(step as u64);
            }
            (Screen::Lines(out), Some(line)) => print(&mut **out.lock(), &line),
            _ => {}
        }
    }

    /// Prints a remark, unless quiet.
    pub(crate) fn remark(&self, message: impl AsRef<str>) {
        if !matches!(self.screen, Screen::Quiet) {
            self.note(message);
        }
    }

    /// Prints a warning, above the bar if there is one; shown even when quiet.
    pub(crate) fn note(&self, message: impl AsRef<str>) {
        let message = message.as_ref();
        match &self.screen {
            Screen::Bar(bar) => bar.suspend(|| print(&mut stderr(), message)),
            Screen::Lines(out) => print(&mut **out.lock(), message),
            Screen::OpenJd(lines) => lines.lock().note(message),
            Screen::Silent => {}
            Screen::Quiet => print(&mut stderr(), message),
        }
    }

    /// Takes the bar away. To be called before a result or an error is printed; dropping does too.
    pub(crate) fn done(&self) {
        if let Screen::Bar(bar) = &self.screen {
            bar.disable_steady_tick();
            bar.finish_and_clear();
        }
    }
}

impl Drop for TerminalProgress {
    fn drop(&mut self) {
        self.done();
    }
}

/// A closed stderr is no reason to stop.
fn print(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn style(pace: Arc<Mutex<Pace>>) -> ProgressStyle {
    let paces = Arc::clone(&pace);
    // As `print`: nothing can be done about a failure to write.
    let stage = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = out.write_str(&paces.lock().stage());
    };
    let time = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let left = pace.lock().left(Instant::now());
        let _ = write!(out, "{}", in_words(state.elapsed()));
        let _ = left.map(|left| write!(out, ", {} left", in_words(left)));
    };
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .with_key("stage", stage)
        .with_key("time", time)
}

/// The speed of the stage that is going on.
#[derive(Default)]
struct Pace {
    now: Option<ProgressPoint>,
    /// When the last line was printed.
    printed: Option<Instant>,
}

struct ProgressPoint {
    stage: String,
    step: usize,
    of: usize,
    /// When this step was told.
    at: Instant,
    /// The first step we were told of this stage, and when.
    first: (usize, Instant),
    printed: bool,
}

impl Pace {
    /// Whether a stage begins with this step. (The same one may come again, for the next part.)
    fn step_to(&mut self, now: Instant, stage: &str, step: usize, of: usize) -> bool {
        if let Some(point) = &mut self.now
            && (point.stage.as_str(), point.of) == (stage, of)
            && point.step <= step
        {
            if point.step != step {
                (point.step, point.at, point.printed) = (step, now, false);
            }
            return false;
        }
        let stage = stage.to_owned();
        self.now =
            Some(ProgressPoint { stage, step, of, at: now, first: (step, now), printed: false });
        self.printed = None;
        true
    }

    /// The stage and how far it is.
    fn stage(&self) -> String {
        self.now.as_ref().map_or_else(String::new, |point| {
            format!("{:<12} {}/{}", point.stage, point.step, point.of)
        })
    }

    /// From the mean of the stage's steps so far; unknown before the second.
    fn left(&self, now: Instant) -> Option<Duration> {
        let point = self.now.as_ref()?;
        let steps = point.step.checked_sub(point.first.0).filter(|steps| *steps > 0)?;
        let per_step = (point.at - point.first.1).as_secs_f64() / steps as f64;
        let left = per_step * (point.of - point.step) as f64;
        let since = now.saturating_duration_since(point.at).as_secs_f64();
        (point.step < point.of).then(|| Duration::from_secs_f64((left - since).max(0.0)))
    }

    /// The line for where we are, unless it has been printed or another was, just now.
    fn line(&mut self, now: Instant) -> Option<String> {
        let left = self.left(now);
        let point = self.now.as_mut().filter(|point| !point.printed)?;
        let waited = |last| now.saturating_duration_since(last) >= LINE_GAP;
        let due =
            point.of <= FEW_STEPS || point.step == point.of || self.printed.is_none_or(waited);
        if !due {
            return None;
        }
        point.printed = true;
        self.printed = Some(now);
        let left = left.map(|left| format!(", {} left", in_words(left))).unwrap_or_default();
        Some(format!("{} {}/{}{left}", point.stage, point.step, point.of))
    }
}

/// Two units at most: nobody reads the seconds of an hour.
pub(crate) fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a log would hold, shared with the test.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Watched {
        progress: TerminalProgress,
        log: Log,
        start: Instant,
    }

    impl Watched {
        fn new() -> Self {
            let log = Log::default();
            let screen = Screen::Lines(Mutex::new(Box::new(log.clone())));
            Self { progress: TerminalProgress::on(screen), log, start: Instant::now() }
        }

        fn at(&self, seconds: f64, stage: &str, step: usize, of: usize) {
            let now = self.start + Duration::from_secs_f64(seconds);
            self.progress.update_at(now, stage, step, of);
        }

        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.log.0.lock().clone())
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect()
        }
    }

    #[test]
    fn every_step_of_a_short_stage_has_its_line_with_the_time_left() {
        let watched = Watched::new();
        watched.at(0.0, "text", 0, 1);
        watched.at(2.0, "text", 1, 1);
        for step in 0..=4 {
            watched.at(2.0 + 1.5 * step as f64, "sampling", step, 4);
        }
        assert_eq!(
            watched.lines(),
            [
                "text 0/1",
                "text 1/1",
                "sampling 0/4",
                "sampling 1/4, 5 s left",
                "sampling 2/4, 3 s left",
                "sampling 3/4, 2 s left",
                "sampling 4/4",
            ]
        );
    }

    #[test]
    fn a_step_told_twice_is_printed_once() {
        let watched = Watched::new();
        for (seconds, step) in [(0.0, 0), (0.1, 0), (1.0, 1), (1.1, 1)] {
            watched.at(seconds, "sampling", step, 2);
        }
        assert_eq!(watched.lines(), ["sampling 0/2", "sampling 1/2, 1 s left"]);
    }

    #[test]
    fn hundreds_of_steps_give_a_line_every_few_seconds_and_the_last_one() {
        let watched = Watched::new();
        for step in 0..=300 {
            watched.at(step as f64 * 0.06, "decoding", step, 300);
        }
        assert_eq!(
            watched.lines(),
            [
                "decoding 0/300",
                "decoding 84/300, 13 s left",
                "decoding 168/300, 8 s left",
                "decoding 252/300, 3 s left",
                "decoding 300/300",
            ]
        );
    }

    #[test]
    fn a_stage_that_comes_again_begins_anew() {
        let watched = Watched::new();
        for (seconds, step) in [(0.0, 0), (1.0, 2), (1.5, 0), (11.5, 1), (21.5, 2)] {
            watched.at(seconds, "sampling", step, 2);
        }
        assert_eq!(
            watched.lines()[2..],
            ["sampling 0/2", "sampling 1/2, 10 s left", "sampling 2/2"]
        );
    }

    #[test]
    fn time_left_counts_down_within_a_step_and_stops_at_nothing() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.left(start), None);
        pace.step_to(start, "sampling", 0, 3);
        assert_eq!(pace.left(at(9)), None);
        pace.step_to(at(10), "sampling", 1, 3);
        assert_eq!(pace.left(at(10)), Some(Duration::from_secs(20)));
        assert_eq!(pace.left(at(14)), Some(Duration::from_secs(16)));
        assert_eq!(pace.left(at(99)), Some(Duration::ZERO));
    }

    #[test]
    fn odd_counts_do_no_harm() {
        let watched = Watched::new();
        watched.at(0.0, "loading", 0, 0);
        watched.at(1.0, "loading", 5, 3);
        assert_eq!(watched.lines(), ["loading 0/0", "loading 3/3"]);
    }

    #[test]
    fn notes_stand_between_the_lines() {
        let watched = Watched::new();
        watched.at(0.0, "text", 0, 1);
        watched.progress.note("the prompt was cut after 512 tokens");
        watched.progress.done();
        assert_eq!(watched.lines(), ["text 0/1", "the prompt was cut after 512 tokens"]);
    }

    #[test]
    fn durations_are_in_words() {
        for (seconds, words) in [
            (0.4, "0 s"),
            (59.4, "59 s"),
            (59.6, "1 min 0 s"),
            (125.0, "2 min 5 s"),
            (4320.0, "1 h 12 min"),
        ] {
            assert_eq!(in_words(Duration::from_secs_f64(seconds)), words);
        }
    }

    #[test]
    fn the_bar_s_template_is_valid_and_the_type_crosses_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<TerminalProgress>();
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
        // Drawing asks for the time left while a step is being told: must not lock itself out.
        let hidden = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let progress = TerminalProgress::on(Screen::Bar(hidden.clone()));
        hidden.set_style(style(Arc::clone(&progress.pace)));
        for step in 0..=3 {
            progress.update("sampling", step, 3);
        }
        assert_eq!((hidden.position(), hidden.length()), (3, Some(3)));
    }

    /// A terminal that keeps what is written to it.
    #[derive(Clone, Debug, Default)]
    struct KeptTerminal(Arc<Mutex<String>>);

    impl indicatif::TermLike for KeptTerminal {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().push_str(&format!("{text}\n"));
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_never_shows_a_stage_with_the_steps_of_another() {
        let terminal = KeptTerminal::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let progress = TerminalProgress::on(Screen::Bar(bar.clone()));
        bar.set_style(style(Arc::clone(&progress.pace)));
        let stages = [("reading", 2), ("sampling", 50), ("decoding", 7)];
        for (stage, of) in stages.into_iter().cycle().take(30) {
            for step in 0..=of {
                progress.update(stage, step, of);
                bar.force_draw();
            }
        }
        let drawn = terminal.0.lock().clone();
        let mut seen = 0;
        for line in drawn.lines().filter(|line| line.contains('[')) {
            let (stage, of) =
                stages.into_iter().find(|(stage, _)| line.starts_with(stage)).unwrap();
            assert!(line.contains(&format!("/{of} [")), "{stage}: {line}");
            seen += 1;
        }
        assert!(seen > 100, "{seen}: {drawn}");
    }
}
