//! What can be said of an adapter without the network that it changes.

use tch::Kind;

use super::{Adapter, Change};
use crate::{Error, Result};

impl Adapter {
    /// Ranks of its pairs, the least and the greatest; none where it has no pairs.
    pub(in crate::weights) fn ranks(&self) -> Option<[i64; 2]> {
        let ranks = self.changes.values().filter_map(|change| change.down.as_ref());
        let ranks = ranks.filter_map(|down| self.shape(down).first().copied());
        ranks.fold(None, |found: Option<[i64; 2]>, rank| {
            let [least, most] = found.unwrap_or([rank; 2]);
            Some([least.min(rank), most.max(rank)])
        })
    }

    /// That it can be merged into a network that has its layers: pairs are whole and of one rank, and
    /// every number is finite. Reads all of it.
    ///
    /// # Errors
    /// It cannot be, or cannot be read.
    pub(in crate::weights) fn check_alone(&self) -> Result<()> {
        self.check_kinds()?;
        for (name, change) in &self.changes {
            self.check_doubles(name, change)?;
            match (&change.down, &change.up) {
                (Some(down), Some(up)) => self.check_pair(down, up)?,
                (Some(half), None) | (None, Some(half)) => return Err(self.half_of_pair(half)),
                (None, None) if change.difference.is_none() && change.up_bias.is_none() => {
                    return Err(self.without_pair(change));
                }
                (None, None) => {}
            }
        }
        for (_, raw) in self.parts() {
            if !crate::weights::is_finite(&self.file.read_as(raw, Kind::Float)?)? {
                let problem = format!(
                    "`{raw}` has a number that is NaN or infinite: the file is damaged, or its \
                     training went wrong; fetch it again, or another one"
                );
                return Err(Error::file(self.path(), problem));
            }
        }
        Ok(())
    }

    /// A is `[rank, …]`, B `[out, rank, …]`.
    fn check_pair(&self, down: &str, up: &str) -> Result<()> {
        let rank = self.shape(down).first().copied().unwrap_or(0);
        let refuse = |raw: &str, expected: String| Error::Tensor {
            path: self.path().to_owned(),
            name: raw.to_owned(),
            expected,
            found: format!("{:?}", self.shape(raw)),
        };
        if rank < 1 || self.shape(down).len() < 2 {
            return Err(refuse(down, "[rank, in], of a rank of 1 or more".to_owned()));
        }
        if self.shape(up).get(1) != Some(&rank) {
            return Err(refuse(up, format!("[out, {rank}], as `{down}` is of rank {rank}")));
        }
        Ok(())
    }

    fn shape(&self, raw: &str) -> &[i64] {
        self.file.entry(raw).map_or(&[], |entry| &entry.shape)
    }

    /// That a tensor is half of a pair.
    pub(super) fn half_of_pair(&self, half: &str) -> Error {
        let problem = format!(
            "`{half}` is half of a pair; its other half is missing: the file is not whole, fetch it again"
        );
        Error::file(self.path(), problem)
    }

    /// That a change has only what belongs to a pair.
    pub(super) fn without_pair(&self, change: &Change) -> Error {
        let lone = change.magnitude.as_ref().or(change.alpha.as_ref());
        let lone = lone.map_or("", String::as_str);
        let problem = format!(
            "`{lone}` belongs to a pair that is missing: the file is not whole, fetch it again"
        );
        Error::file(self.path(), problem)
    }
}
