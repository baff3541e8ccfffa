//! Batches, made while the step before is computed.

#![forbid(unsafe_code)]

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use anyhow::{Context, Result};
use wan_alpha_core::train::StepRng;

/// Batches that are made ahead, at most.
const AHEAD: usize = 2;

/// Where the batches of a run come from: pure functions of their places, so that a run that is
/// taken up again sees what an unbroken one would have seen.
pub(super) trait BatchSource: Sync {
    /// A batch before it is tensors, made on a thread of its own.
    type Raw: Send;
    /// What a task takes.
    type Batch;

    /// A batch to train on; steps count from 1, parts from 0.
    fn training(&self, step: u64, part: u64) -> Result<Self::Raw>;

    /// Batches to measure with.
    fn eval_batches(&self) -> u64;

    /// The batch to measure with of that index, from 0 on.
    fn measure(&self, index: u64) -> Result<Self::Raw>;

    /// The tensors of a batch, with what is drawn at random for it.
    fn batch(&self, raw: &Self::Raw, rng: &StepRng) -> Result<Self::Batch>;
}

/// Batches in their order from `first` on, made on another thread. It ends when it has made the
/// last one or when what is returned here is dropped.
pub(super) fn prefetch<'scope, F: BatchSource>(
    scope: &'scope Scope<'scope, '_>,
    feed: &'scope F,
    steps: std::ops::RangeInclusive<u64>,
    parts: u64,
) -> BatchQueue<F::Raw>
where
    F::Raw: 'scope,
{
    let (send, receive) = sync_channel(AHEAD);
    scope.spawn(move || {
        for step in steps {
            for part in 0..parts {
                let raw = feed.training(step, part);
                let failed = raw.is_err();
                if send.send(raw).is_err() || failed {
                    return;
                }
            }
        }
    });
    BatchQueue(receive)
}

/// Batches in their order, made on another thread by [`prefetch`].
pub(super) struct BatchQueue<Raw>(Receiver<Result<Raw>>);

impl<Raw> BatchQueue<Raw> {
    /// The next batch, waited for if it is not made yet.
    pub(super) fn next(&self) -> Result<Raw> {
        self.0.recv().context("the thread that reads training data has ended")?
    }
}
