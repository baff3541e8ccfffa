//! One render under way: what was asked, where it goes, and when it is to be given up.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::memory::Memory;
use super::poison::Flaw;
use super::{Image, Rect, intersection, poison};
use crate::rules::Rule;
use crate::stopwatch::Stopwatch;

/// Gives renders up, from any thread.
#[derive(Clone, Debug, Default)]
pub struct AbortSwitch(Arc<Mutex<Option<Instant>>>);

impl AbortSwitch {
    /// One that nobody has pulled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on the plug-in is told to give up.
    pub fn pull(&self) {
        self.0.lock().get_or_insert_with(Instant::now);
    }

    fn pulled(&self) -> Option<Instant> {
        *self.0.lock()
    }
}

/// When a render is given up.
#[derive(Clone, Debug, Default)]
pub enum Abort {
    /// It is never given up.
    #[default]
    Never,
    /// Once the plug-in has asked so often whether it is.
    AfterPolls(u32),
    /// When somebody says so.
    When(AbortSwitch),
}

/// One render action while it goes on.
pub(crate) struct Rendering {
    pub(crate) time: f64,
    pub(crate) scale: [f64; 2],
    pub(crate) window: Rect,
    /// The region of definition in pixels.
    pub(crate) region: Rect,
    pub(crate) pixel_aspect: f64,
    pub(crate) field: &'static str,
    pub(crate) memory: Arc<Memory>,
    pub(crate) abort: Abort,
    pub(crate) polls: AtomicU32,
    begun: Instant,
    raised: Mutex<Option<Instant>>,
    /// Since it was last told to go on.
    going_on: Mutex<Stopwatch>,
}

impl Rendering {
    pub(crate) fn new(time: f64, scale: [f64; 2], window: Rect, memory: Arc<Memory>) -> Self {
        Self {
            time,
            scale,
            window,
            region: memory.bounds,
            pixel_aspect: 1.0,
            field: "OfxFieldNone",
            memory,
            abort: Abort::Never,
            polls: AtomicU32::new(0),
            begun: Instant::now(),
            raised: Mutex::new(None),
            going_on: Mutex::new(Stopwatch::start()),
        }
    }

    /// The plug-in asks whether to give up.
    pub(crate) fn poll(&self) -> bool {
        let polled = self.polls.fetch_add(1, Ordering::Relaxed) + 1;
        let since = match &self.abort {
            Abort::Never => None,
            Abort::AfterPolls(polls) => (polled > *polls).then(Instant::now),
            Abort::When(switch) => switch.pulled(),
        };
        match since {
            Some(since) => drop(self.raised.lock().get_or_insert(since)),
            None => *self.going_on.lock() = Stopwatch::start(),
        }
        since.is_some()
    }

    /// Since when it is given up, from its beginning on; also where the plug-in has not asked.
    pub(crate) fn raised(&self) -> Option<Instant> {
        let pulled = match &self.abort {
            Abort::When(switch) => switch.pulled(),
            _ => None,
        };
        self.raised.lock().or(pulled).map(|raised| raised.max(self.begun))
    }

    /// How long the machine had no processor for this thread since the plug-in was last told to go
    /// on.
    pub(crate) fn waited(&self) -> Duration {
        self.going_on.lock().waited()
    }

    /// Whether the plug-in was told to give up.
    pub(crate) fn was_told(&self) -> bool {
        self.raised.lock().is_some()
    }

    /// What is wrong with what was written outside of the windows rendered into this memory so far.
    pub(crate) fn strayed(&self, windows: &[Rect]) -> Option<(Rule, String)> {
        let memory = &self.memory;
        if let Some(place) = memory.broken_guard() {
            return Some((Rule::InsideWindow, format!("memory {place} was written")));
        }
        let size = memory.depth.pixel_bytes();
        let [left, bottom, right, top] = memory.bounds;
        for y in bottom..top {
            // The columns of this row that belong to a window, in order.
            let mut spans: Vec<_> = windows
                .iter()
                .map(|window| intersection(*window, memory.bounds))
                .filter(|window| window[0] < window[2] && (window[1]..window[3]).contains(&y))
                .map(|window| (window[0], window[2]))
                .collect();
            if spans == [(left, right)] {
                continue;
            }
            spans.sort_unstable();
            spans.push((right, right));
            let row = memory.row(y);
            let mut from = left;
            for (begin, end) in spans {
                if from < begin {
                    let bytes = |x: i32| (x - left) as usize * size;
                    let part = &row[bytes(from)..bytes(begin)];
                    if let Some(x) = poison::first_touched(memory.depth, part, from, y) {
                        let words = format!("pixel ({x}, {y}) lies outside of {:?}", self.window);
                        return Some((Rule::InsideWindow, words));
                    }
                }
                from = from.max(end);
            }
        }
        None
    }

    /// What is wrong with the picture that was made.
    pub(crate) fn flawed(image: &Image) -> Option<(Rule, String)> {
        let (x, y, flaw) = poison::first_flaw(image)?;
        Some(match flaw {
            Flaw::Unwritten => (Rule::EveryPixel, format!("pixel ({x}, {y}) was not written")),
            Flaw::NotFinite => {
                let words = format!("pixel ({x}, {y}) is {:?}", image.pixel(x, y));
                (Rule::FinitePixels, words)
            }
        })
    }
}
