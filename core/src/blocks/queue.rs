//! What the one who computes and the one who reads know of the slots: who fills which, and what is in it.

#![forbid(unsafe_code)]

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{Error, Result};

/// Slots for blocks that come one after the other, over and over.
#[derive(Debug)]
pub(super) struct SlotQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
    /// The blocks that come, in the order they are used.
    order: Vec<usize>,
}

#[derive(Debug)]
struct QueueState {
    slots: Vec<Contents>,
    /// The place in the order that is read next; nothing is read before a block has been asked for, nor
    /// after an error until one is asked for again.
    next: Option<usize>,
    /// Counts how often reading began anew: what was begun before is of no use.
    turn: u64,
    failed: Option<(usize, Error)>,
    stopped: bool,
    /// The reader has ended, and will fill nothing any more.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    Empty,
    Filling { block: usize, turn: u64 },
    Ready(usize),
    InUse,
}

/// A slot that the reader has been given to fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToFill {
    pub(super) slot: usize,
    pub(super) block: usize,
    turn: u64,
}

impl SlotQueue {
    /// For the blocks of `order`, the first of which is read as soon as there is a reader.
    pub(super) fn new(slots: usize, order: Vec<usize>) -> Self {
        let state = QueueState {
            slots: vec![Contents::Empty; slots],
            next: (!order.is_empty()).then_some(0),
            turn: 0,
            failed: None,
            stopped: false,
            ended: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), order }
    }

    /// The slot that holds `block`, once it does; it is left alone until it is [released](Self::release).
    ///
    /// # Errors
    /// The block could not be read. Whoever asks again has it tried again.
    pub(super) fn take(&self, block: usize) -> Result<usize> {
        let mut state = self.state.lock();
        loop {
            let ready = state.slots.iter().position(|slot| *slot == Contents::Ready(block));
            if let Some(slot) = ready {
                state.slots[slot] = Contents::InUse;
                return Ok(slot);
            }
            if state.ended {
                return Err(Error::Input(
                    "the thread that reads the model's blocks has ended; begin again".into(),
                ));
            }
            match state.failed.take() {
                Some((failed, error)) if failed == block => return Err(error),
                other => state.failed = other,
            }
            if !state.is_coming(block, &self.order) {
                self.begin_at(&mut state, block)?;
            }
            self.changed.wait(&mut state);
        }
    }

    fn begin_at(&self, state: &mut MutexGuard<'_, QueueState>, block: usize) -> Result<()> {
        let place = self.order.iter().position(|&known| known == block);
        let place = place
            .ok_or_else(|| Error::Input(format!("block {block} is not one of those that come")))?;
        for slot in &mut state.slots {
            if matches!(slot, Contents::Ready(_)) {
                *slot = Contents::Empty;
            }
        }
        state.turn += 1;
        state.failed = None;
        state.next = Some(place);
        self.changed.notify_all();
        Ok(())
    }

    /// Gives a slot that was taken to the reader.
    pub(super) fn release(&self, slot: usize) {
        self.state.lock().slots[slot] = Contents::Empty;
        self.changed.notify_all();
    }

    /// The next slot to fill, once there is one; none when the reader should end.
    pub(super) fn to_fill(&self) -> Option<ToFill> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let empty = state.slots.iter().position(|slot| *slot == Contents::Empty);
            if let (Some(slot), Some(place)) = (empty, state.next) {
                let (block, turn) = (self.order[place], state.turn);
                state.slots[slot] = Contents::Filling { block, turn };
                state.next = Some((place + 1) % self.order.len());
                return Some(ToFill { slot, block, turn });
            }
            self.changed.wait(&mut state);
        }
    }

    /// What the reader says when a slot is filled, or could not be.
    pub(super) fn filled(&self, given: ToFill, outcome: Result<()>) {
        let ToFill { slot, block, turn } = given;
        let mut state = self.state.lock();
        state.slots[slot] = match outcome {
            Ok(()) if turn == state.turn => Contents::Ready(block),
            Err(error) if turn == state.turn => {
                state.failed = Some((block, error));
                state.next = None;
                Contents::Empty
            }
            _ => Contents::Empty,
        };
        self.changed.notify_all();
    }

    /// Has the reader end.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// What the reader says last.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }
}

impl QueueState {
    /// Whether the reader will come to `block` without being told.
    fn is_coming(&self, block: usize, order: &[usize]) -> bool {
        let turn = self.turn;
        if self.slots.contains(&Contents::Filling { block, turn }) {
            return true;
        }
        let is_next = self.next.is_some_and(|place| order[place] == block);
        let has_room = |slot: &Contents| matches!(slot, Contents::Empty | Contents::Filling { .. });
        is_next && self.slots.iter().any(has_room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(queue: &SlotQueue) -> usize {
        let given = queue.to_fill().unwrap();
        queue.filled(given, Ok(()));
        given.block
    }

    #[test]
    fn blocks_come_in_order_and_again_from_the_first() {
        let queue = SlotQueue::new(2, vec![1, 3, 5]);
        for block in [1, 3, 5, 1, 3] {
            assert_eq!(fill(&queue), block);
            let slot = queue.take(block).unwrap();
            queue.release(slot);
        }
    }

    #[test]
    fn who_asks_out_of_order_gets_the_block_and_those_after_it() {
        let queue = SlotQueue::new(2, vec![0, 1, 2, 3]);
        // Both slots hold what nobody wants.
        assert_eq!([fill(&queue), fill(&queue)], [0, 1]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some(given) = queue.to_fill() {
                    queue.filled(given, Ok(()));
                }
            });
            for wanted in [2, 3, 0, 3, 1, 1, 2, 0, 1, 2, 3] {
                let slot = queue.take(wanted).unwrap();
                queue.release(slot);
            }
            queue.stop();
        });
    }

    #[test]
    fn an_error_is_told_with_its_block_and_the_next_who_asks_has_it_read_again() {
        let queue = SlotQueue::new(2, vec![0, 1]);
        assert_eq!(fill(&queue), 0);
        let given = queue.to_fill().unwrap();
        queue.filled(given, Err(Error::Input("torn".into())));
        // What came before it is whole.
        let slot = queue.take(0).unwrap();
        queue.release(slot);
        assert_eq!(queue.take(1).unwrap_err().to_string(), "torn");
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| queue.take(1).unwrap());
            assert_eq!(fill(&queue), 1);
            asked.join().unwrap();
        });
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_ended() {
        let queue = SlotQueue::new(1, vec![0]);
        queue.stop();
        assert!(queue.to_fill().is_none());
        queue.end();
        assert!(queue.take(0).unwrap_err().to_string().contains("ended"));
    }
}
