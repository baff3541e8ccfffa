//! Batches of rows that are alike: each epoch shuffles the rows, makes batches of those of one shape
//! (the last of a shape filled up from its first) and shuffles the batches.

#![forbid(unsafe_code)]

use parking_lot::Mutex;

use crate::data::DataRng;

/// The rows of each shape, and the batches of an epoch.
pub(super) struct BatchesByShape {
    seed: u64,
    /// Rows of one shape, and how many make a batch.
    shapes: Vec<(Vec<usize>, usize)>,
    /// The epoch that was asked for last.
    known: Mutex<Option<(u64, Vec<Vec<usize>>)>>,
}

impl BatchesByShape {
    /// For rows of each shape, one at least in all, and how many of them make a batch.
    pub(super) fn new(seed: u64, shapes: Vec<(Vec<usize>, usize)>) -> Self {
        Self { seed, shapes, known: Mutex::new(None) }
    }

    /// The rows of the batch of that number, from 0 on.
    pub(super) fn get(&self, number: u64) -> Vec<usize> {
        let batches = |(rows, batch): &(Vec<usize>, usize)| rows.len().div_ceil(*batch);
        let per_epoch: usize = self.shapes.iter().map(batches).sum();
        let (epoch, place) = (number / per_epoch as u64, (number % per_epoch as u64) as usize);
        let mut known = self.known.lock();
        match &*known {
            Some((of, batches)) if *of == epoch => batches[place].clone(),
            _ => {
                let batches = self.epoch(epoch);
                let batch = batches[place].clone();
                *known = Some((epoch, batches));
                batch
            }
        }
    }

    fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut draw = DataRng::new(self.seed, "batches", &[epoch]);
        let mut batches = Vec::new();
        for (rows, batch) in &self.shapes {
            let mut rows = rows.clone();
            shuffle(&mut rows, &mut draw);
            for chunk in rows.chunks(*batch) {
                let filled = chunk.iter().chain(rows.iter().cycle()).take(*batch);
                batches.push(filled.copied().collect());
            }
        }
        shuffle(&mut batches, &mut draw);
        batches
    }
}

fn shuffle<T>(items: &mut [T], draw: &mut DataRng) {
    for last in (1..items.len()).rev() {
        items.swap(last, draw.below(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_one_shape_and_an_epoch_holds_every_entry() {
        let shapes = vec![(vec![0, 1, 2, 3, 4], 2), (vec![10, 11, 12], 2)];
        let batches = BatchesByShape::new(5, shapes);
        let mut seen = Vec::new();
        for number in 0..5 {
            let batch = batches.get(number);
            assert_eq!(batch.len(), 2);
            assert!(batch.iter().all(|row| (*row < 10) == (batch[0] < 10)), "{batch:?}");
            seen.extend(batch);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 1, 2, 3, 4, 10, 11, 12]);
        let epochs = [0, 1].map(|epoch| batches.epoch(epoch));
        assert_ne!(epochs[0], epochs[1]);
        assert_eq!(batches.get(7), epochs[1][2]);
    }

    #[test]
    fn shapes_may_have_batches_of_their_own_sizes() {
        let batches = BatchesByShape::new(5, vec![((0..8).collect(), 4), ((10..13).collect(), 1)]);
        let sizes: Vec<usize> = (0..5).map(|number| batches.get(number).len()).collect();
        assert_eq!(sizes.iter().filter(|size| **size == 4).count(), 2, "{sizes:?}");
        assert_eq!(sizes.iter().filter(|size| **size == 1).count(), 3, "{sizes:?}");
    }
}
