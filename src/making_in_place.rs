//! Takes made in this process, one after the other: announced, timed, and put into the store.

use anyhow::{Result, anyhow};
use wan_alpha_core::device::Opened;
use wan_alpha_core::generate::Pipeline;
use wan_alpha_core::tch;
use wan_alpha_take::environment::Environment;
use wan_alpha_take::store::{Store, Take};
use wan_alpha_take::{CapSource, Mask, MemoryLimit, TakeKey, TakeRequest};

use crate::announcement;
use crate::console::Console;
use crate::cpu_estimate::CpuEstimate;
use crate::device;
use crate::exit::Exit;
use crate::maker::{ClaimHeartbeat, MakeContext, MakeError, Maker, NamedFiles};
use crate::memory;
use crate::take::say_size;
use crate::timed_watch::TimedWatch;
use crate::timing_history::{TimingHistory, pace_class};

/// Makes takes here; the model of the last one stays in memory, and how long takes last is learned.
pub(crate) struct MakingInPlace<'a> {
    opened: &'a Opened,
    store: &'a Store,
    environment: &'a Environment,
    maker: Maker,
    history: TimingHistory,
    is_announced: bool,
    tells_room: bool,
}

impl<'a> MakingInPlace<'a> {
    /// On this device, into this store.
    pub(crate) fn new(opened: &'a Opened, store: &'a Store, environment: &'a Environment) -> Self {
        let maker = Maker::new(opened, environment);
        let history = TimingHistory::read(&environment.state);
        let (is_announced, tells_room) = (false, true);
        Self { opened, store, environment, maker, history, is_announced, tells_room }
    }

    /// Whether it is said how much room the first take needs in the store.
    pub(crate) fn telling_room(self, tells_room: bool) -> Self {
        Self { tells_room, ..self }
    }

    /// The take of a request, from the store or made; one that another process makes is waited for. Its model
    /// is found by its fingerprint, unless its files are named; it has so much memory where that is limited.
    ///
    /// # Errors
    /// It cannot be made, or nobody waits any more.
    pub(crate) fn make(
        &mut self,
        request: &TakeRequest,
        mask: Option<&Mask>,
        (named, memory): (Option<&NamedFiles>, Option<MemoryLimit>),
        console: &Console<'_>,
    ) -> Result<Take> {
        let made = self.announced((request, named, memory), console, |maker, place, watch| {
            maker.make(request, mask, place, watch).map(Some)
        });
        made?.ok_or_else(|| anyhow!("the take is made by another process"))
    }

    /// The same of a model whose files are named, in so much memory where it is limited; none where another
    /// process is making the take.
    ///
    /// # Errors
    /// As [`MakingInPlace::make`].
    pub(crate) fn make_unless_claimed(
        &mut self,
        request: &TakeRequest,
        mask: Option<&Mask>,
        (named, memory): (&NamedFiles, Option<MemoryLimit>),
        console: &Console<'_>,
    ) -> Result<Option<Take>> {
        self.announced((request, Some(named), memory), console, |maker, place, watch| {
            maker.make_unless_claimed(request, mask, place, watch)
        })
    }

    /// As [`Maker::hold`].
    pub(crate) fn hold(&self, key: &TakeKey) -> Result<Option<ClaimHeartbeat>> {
        self.maker.hold(self.store, key).map_err(told)
    }

    fn announced(
        &mut self,
        (request, named, limit): (&TakeRequest, Option<&NamedFiles>, Option<MemoryLimit>),
        console: &Console<'_>,
        make: impl FnOnce(
            &mut Maker,
            &MakeContext<'_>,
            &TimedWatch<'_>,
        ) -> Result<Option<Take>, MakeError>,
    ) -> Result<Option<Take>> {
        let Self { opened, store, environment, maker, history, is_announced, tells_room } = self;
        let class = pace_class(maker.device_class(), tch::get_num_threads());
        let run = history.begin(request, &class);
        let learned = run.learned();
        let history_so_far = &*history;
        let is_first = !std::mem::replace(is_announced, true);
        // Whoever typed it may go on, knowing how long.
        let may_begin = |pipeline: &Pipeline| {
            let slow = CpuEstimate::of(pipeline, request, opened.device, learned)?;
            let expected = slow.as_ref().map_or_else(
                || announcement::expected(history_so_far, pipeline, request, opened),
                CpuEstimate::expected,
            );
            let line = announcement::line(request, opened, environment, expected);
            console.remark(&(line + &memory::told(pipeline, request)));
            let of_image = announcement::of_image(&pipeline.arithmetic(request), request.steps);
            of_image.iter().for_each(|words| console.remark(words));
            if is_first && *tells_room {
                say_size(request, store, console);
            }
            if is_first {
                device::warn_of_unused(opened, environment, console);
            }
            if let Some(slow) = slow {
                console.caution(slow);
            }
            Ok(())
        };
        let mut limits = memory::limits(environment);
        if let Some(limit) = limit {
            limits.cap = Some(limit.bytes());
            limits.cap_by = CapSource::Flag;
        }
        let place = MakeContext {
            store,
            models: &environment.models,
            limit: environment.store_limit,
            memory: limits,
            named,
            may_begin: &may_begin,
        };
        let watch = TimedWatch::new(console, run);
        let made = make(maker, &place, &watch).map_err(told)?;
        if made.is_some() {
            history.learn(watch.finish());
        }
        Ok(made)
    }
}

/// Why a take was not made, with its exit code.
fn told(error: MakeError) -> anyhow::Error {
    match error {
        MakeError::Stopped => Exit::Cancelled.mark(anyhow!("cancelled")),
        MakeError::Failed(problem) => problem.into(),
    }
}
