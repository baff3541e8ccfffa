//! A thread that ends the engine when its worker cannot: while a device is being opened that never
//! opens, or when a GPU does not answer any more.
//!
//! The worker may then sit in a call of the driver for ever, so nothing of it is waited for: clients
//! are told, and the process ends without its destructors.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wan_alpha_core::Stage;
use wan_alpha_take::TakeKey;
use wan_alpha_take::engine::message::{Problem, ProblemCode};
use wan_alpha_take::engine::server::{EngineServer, start_thread};

/// How long a GPU may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// So many times the longest that a block of this stage of this take has lasted.
    pub(super) blocks: u32,
    /// But never less than this.
    pub(super) least: Duration,
    /// In the first step of a stage, of which nothing is known: kernels are loaded then, from a slow
    /// folder perhaps.
    pub(super) first: Duration,
    /// While weights are read: a block of a large model has a gigabyte, and its disk may be slow.
    pub(super) reading: Duration,
    /// The time between two looks at the worker.
    pub(super) look: Duration,
}

impl Limits {
    pub(super) const USUAL: Self = Self {
        blocks: 20,
        least: Duration::from_secs(60),
        first: Duration::from_secs(15 * 60),
        reading: Duration::from_secs(30 * 60),
        look: Duration::from_millis(500),
    };
}

/// Clients have this long to read what was sent last.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Between two lines of the log while a device is being opened.
const STILL: Duration = Duration::from_secs(10);

/// What the worker is at.
#[derive(Debug, Default)]
enum Doing {
    /// It opens the device: that may last, but not beyond somebody's saying stop.
    Opening,
    /// It waits for orders.
    #[default]
    Nothing,
    /// It goes through the blocks of a task.
    Blocks(BlockTimes),
}

/// What the GPU is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WatchedTask {
    /// For a take, between two stages and before the first.
    Preparing(TakeKey),
    /// A stage of a take that reads weights and brings them to the GPU, or computes.
    Stage(TakeKey, Stage),
    /// To give back the memory of the model.
    Unloading,
}

impl WatchedTask {
    fn take(self) -> Option<TakeKey> {
        match self {
            Self::Preparing(key) | Self::Stage(key, _) => Some(key),
            Self::Unloading => None,
        }
    }

    /// Whether its blocks are computed alone: how long one takes says how long the next may.
    fn computes(self) -> bool {
        matches!(self, Self::Stage(_, Stage::Sample | Stage::Decode))
    }
}

impl fmt::Display for WatchedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preparing(_) => f.write_str("preparing a take"),
            Self::Stage(_, stage) => write!(f, "{stage}"),
            Self::Unloading => f.write_str("giving back the model's memory"),
        }
    }
}

#[derive(Debug)]
struct BlockTimes {
    task: WatchedTask,
    begun: Instant,
    /// The first of them has begun.
    any: bool,
    /// A whole step of them is done.
    known: bool,
    /// Of those that are done.
    longest: Option<Duration>,
    /// Since the last sign of life, by the watchdog's own looks: a process that was stopped, or a
    /// machine that slept, is not a GPU that hangs.
    silent: Duration,
    /// The worker waits for a disk meanwhile.
    elsewhere: bool,
}

impl BlockTimes {
    fn new(task: WatchedTask) -> Self {
        let (begun, silent) = (Instant::now(), Duration::ZERO);
        Self { task, begun, any: false, known: false, longest: None, silent, elsewhere: false }
    }

    fn beat(&mut self, now: Instant) {
        if std::mem::replace(&mut self.any, true) {
            let took = now.saturating_duration_since(self.begun);
            self.longest = Some(self.longest.map_or(took, |longest| longest.max(took)));
        }
        self.rest(now);
    }

    /// A sign of life that is not the end of a block.
    fn rest(&mut self, now: Instant) {
        self.begun = now;
        self.silent = Duration::ZERO;
    }

    fn limit(&self, limits: &Limits) -> Duration {
        match self.task {
            WatchedTask::Unloading => return limits.least,
            task if !task.computes() => return limits.reading,
            _ => {}
        }
        let longest = self.longest.filter(|_| self.known);
        let known = longest.map(|longest| longest.saturating_mul(limits.blocks));
        known.map_or(limits.first, |limit| limit.max(limits.least))
    }

    /// So long after the last look. True once the silence is too long.
    fn look(&mut self, passed: Duration, limits: &Limits) -> bool {
        if self.elsewhere {
            return false;
        }
        self.silent += passed.min(2 * limits.look);
        self.silent >= self.limit(limits)
    }

    fn problem(&self) -> Problem {
        let usual = match self.longest {
            Some(longest) => {
                format!(" (a block took {:.1} s at most before)", longest.as_secs_f64())
            }
            None if self.task == WatchedTask::Unloading => String::new(),
            None => " (it has not done a single block)".to_owned(),
        };
        Problem::new(
            ProblemCode::GpuFault,
            format!(
                "the GPU has not answered for {} s while {}{usual}, and the engine was ended",
                self.silent.as_secs(),
                self.task
            ),
            "generate again; if it comes back, look at `nvidia-smi` and the system's log (\"Xid\"), \
             and restart the machine",
        )
    }
}

/// Tells the watchdog what the worker is at.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgressSignal(Arc<Mutex<WatchState>>);

#[derive(Debug, Default)]
struct WatchState {
    /// Whether silence means anything: a processor that is slow is slow.
    armed: bool,
    doing: Doing,
}

impl ProgressSignal {
    fn is_opening(&self) -> bool {
        matches!(self.0.lock().doing, Doing::Opening)
    }

    /// The device is open. Its silence counts where it can hang.
    pub(super) fn opened(&self, can_hang: bool) {
        *self.0.lock() = WatchState { armed: can_hang, doing: Doing::Nothing };
    }

    /// A take is begun.
    pub(super) fn begin(&self, key: TakeKey) {
        self.at(WatchedTask::Preparing(key));
    }

    /// The memory of the model is about to be given back.
    pub(super) fn unload(&self) {
        self.at(WatchedTask::Unloading);
    }

    fn at(&self, task: WatchedTask) {
        self.0.lock().doing = Doing::Blocks(BlockTimes::new(task));
    }

    /// A step of a stage is done. After the last of all the take is published, which is its disk's
    /// affair.
    pub(super) fn progress(&self, key: TakeKey, stage: Stage, step: usize, of: usize) {
        let state = &mut *self.0.lock();
        let task =
            if step < of { WatchedTask::Stage(key, stage) } else { WatchedTask::Preparing(key) };
        match &mut state.doing {
            doing if step >= of && stage == Stage::Decode => *doing = Doing::Nothing,
            Doing::Blocks(blocks) if blocks.task == task => {
                blocks.known |= step > 0;
                blocks.rest(Instant::now());
            }
            doing => *doing = Doing::Blocks(BlockTimes::new(task)),
        }
    }

    /// A block is done, and the next one begins.
    pub(super) fn beat(&self) {
        if let Doing::Blocks(blocks) = &mut self.0.lock().doing {
            blocks.beat(Instant::now());
        }
    }

    /// The worker waits for a disk, or does so no more.
    pub(super) fn waits_for_others(&self, waits: bool) {
        if let Doing::Blocks(blocks) = &mut self.0.lock().doing {
            blocks.elsewhere = waits;
            blocks.rest(Instant::now());
        }
    }

    /// The take is done, or not made.
    pub(super) fn done(&self) {
        self.0.lock().doing = Doing::Nothing;
    }

    /// Why the engine is to be ended, and which take it was making; so long after the last look.
    fn look(&self, passed: Duration, limits: &Limits, service: &EngineServer) -> Option<StuckWork> {
        let state = &mut *self.0.lock();
        match &mut state.doing {
            Doing::Opening => service.is_to_end().then_some(StuckWork::WhileOpening),
            Doing::Blocks(blocks) => (state.armed && blocks.look(passed, limits))
                .then(|| StuckWork::Silent(blocks.task.take(), blocks.problem())),
            Doing::Nothing => None,
        }
    }
}

enum StuckWork {
    WhileOpening,
    /// With the take that is being made.
    Silent(Option<TakeKey>, Problem),
}

/// Watches until it is dropped.
pub(super) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Begins to watch a worker, which is about to open its device.
    pub(super) fn begin(
        service: Arc<EngineServer>,
        pulse: ProgressSignal,
        limits: Limits,
    ) -> io::Result<Self> {
        pulse.0.lock().doing = Doing::Opening;
        let (stop, stopped) = channel();
        let watch = move || {
            let begun = Instant::now();
            let (mut last, mut told) = (begun, begun);
            while stopped.recv_timeout(limits.look) == Err(RecvTimeoutError::Timeout) {
                let now = Instant::now();
                let ended = pulse.look(now - last, &limits, &service);
                last = now;
                if now - told >= STILL && pulse.is_opening() {
                    told = now;
                    log::info!("still opening the device, {} s now", (now - begun).as_secs());
                }
                match ended {
                    Some(StuckWork::WhileOpening) => {
                        log::info!("told to end while the device was being opened");
                        end(&service, 0);
                    }
                    Some(StuckWork::Silent(key, problem)) => {
                        match key {
                            Some(key) => log::error!("take {key}: {problem}"),
                            None => log::error!("{problem}"),
                        }
                        service.fail(key, &problem);
                        end(&service, 1);
                    }
                    None => {}
                }
            }
        };
        let thread = start_thread("watchdog", watch)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was its own, and has been printed.
            let _ = thread.join();
        }
    }
}

/// Ends the process around a worker that never comes back, or around a GPU that has failed.
pub(super) fn end(service: &EngineServer, code: i32) -> ! {
    service.shut_down(LAST_WORDS);
    log::logger().flush();
    // Not in order: destructors would wait for what does not answer.
    signal_hook::low_level::exit(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { look: Duration::from_secs(1), ..Limits::USUAL };
    const SECOND: Duration = Duration::from_secs(1);

    const KEY: TakeKey = TakeKey([1; 32]);

    fn blocks() -> BlockTimes {
        BlockTimes::new(WatchedTask::Stage(KEY, Stage::Sample))
    }

    /// Seconds of silence until it is too long.
    fn patience(blocks: &mut BlockTimes) -> u64 {
        (1..).find(|_| blocks.look(SECOND, &LIMITS)).unwrap()
    }

    #[test]
    fn silence_is_measured_by_the_longest_block_so_far() {
        assert_eq!(patience(&mut blocks()), 900);
        for (seconds, patient) in [(0, 60), (1, 60), (4, 80), (30, 600)] {
            let mut blocks = blocks();
            let begun = blocks.begun;
            blocks.beat(begun);
            blocks.beat(begun + seconds * SECOND);
            blocks.beat(begun + seconds * SECOND + SECOND / 10);
            assert_eq!(blocks.limit(&LIMITS), LIMITS.first);
            blocks.known = true;
            assert_eq!(patience(&mut blocks), patient, "{seconds}");
            let said = blocks.problem();
            assert_eq!(said.code, ProblemCode::GpuFault);
            assert!(said.message.contains(&format!("for {patient} s while sampling")), "{said}");
        }
    }

    #[test]
    fn what_is_no_silence_of_the_gpu_does_not_count() {
        let mut stopped = blocks();
        // A process that was stopped for a day, or a machine that slept.
        assert!(!stopped.look(86_400 * SECOND, &LIMITS));
        let mut writing = blocks();
        writing.elsewhere = true;
        assert!((0..10_000).all(|_| !writing.look(SECOND, &LIMITS)));
    }

    #[test]
    fn a_gpu_is_watched_as_long_as_it_has_something_to_do() {
        let pulse = ProgressSignal::default();
        let limit = || match &pulse.0.lock().doing {
            Doing::Blocks(blocks) => Some(blocks.limit(&LIMITS)),
            _ => None,
        };
        let (reading, first) = (Some(LIMITS.reading), Some(LIMITS.first));
        pulse.begin(KEY);
        assert_eq!(limit(), reading);
        for (stage, step, expected) in [
            (Stage::Text, 0, reading),
            (Stage::Text, 4, reading),
            (Stage::Load, 3, reading),
            (Stage::Sample, 0, first),
            (Stage::Sample, 3, first),
            (Stage::Sample, 4, reading),
            (Stage::Decode, 0, first),
            // What follows is its disk's affair.
            (Stage::Decode, 4, None),
        ] {
            pulse.progress(KEY, stage, step, 4);
            assert_eq!(limit(), expected, "{stage} {step}");
        }
        pulse.progress(KEY, Stage::Decode, 0, 4);
        pulse.done();
        assert_eq!(limit(), None);
        pulse.unload();
        assert_eq!(limit(), Some(LIMITS.least));
        let said = BlockTimes::new(WatchedTask::Unloading).problem().message;
        assert!(said.contains("while giving back the model's memory, and"), "{said}");
    }
}
