//! Blocks that are computed with where they lie in a file that the system keeps in its cache: on the CPU
//! nothing is copied, and no slot is needed. While one is used, the next is brought into memory.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use tch::Tensor;

use super::BlockSource;
use crate::weights::BlockFiles;
use crate::{Error, Result};

/// Where blocks lie that are computed with there.
pub(super) trait MappedSlabs: Send + Sync + fmt::Debug {
    /// A block's memory, uint8 `[bytes]` on the CPU, for as long as this is kept; nothing where it has to be
    /// read into memory of its own.
    ///
    /// # Errors
    /// libtorch makes no tensor of it.
    fn memory(&self, block: usize) -> Result<Option<Tensor>>;

    /// Has the system bring a block into memory, and waits for it.
    fn bring_in(&self, block: usize);

    /// Whether what was computed with a block's memory was computed with what the file has.
    ///
    /// # Errors
    /// It was not: the file has changed, or could not be read.
    fn unchanged(&self, block: usize) -> Result<()>;

    /// Looks at the numbers of a block that nobody has looked at.
    ///
    /// # Errors
    /// Some are not finite: with their file and name.
    fn check(&self, block: usize, memory: &Tensor) -> Result<()> {
        let _ = (block, memory);
        Ok(())
    }
}

/// Files whose numbers are looked at when they are first used, if anybody is to.
#[derive(Debug)]
pub(super) struct UncheckedFiles {
    pub(super) files: Arc<BlockFiles>,
    pub(super) checks: bool,
}

impl MappedSlabs for UncheckedFiles {
    fn memory(&self, block: usize) -> Result<Option<Tensor>> {
        self.files.mapped(block)
    }

    fn bring_in(&self, block: usize) {
        self.files.bring_in(block);
    }

    fn unchanged(&self, block: usize) -> Result<()> {
        self.files.unchanged(block)
    }

    fn check(&self, block: usize, memory: &Tensor) -> Result<()> {
        if self.checks { self.files.check(block, memory) } else { Ok(()) }
    }
}

/// The memory of each of the blocks `coming`, where all of them are mapped.
pub(super) fn memory_of_all(
    slabs: &dyn MappedSlabs,
    coming: &[usize],
) -> Result<Option<Vec<Tensor>>> {
    let mut all = Vec::with_capacity(coming.len());
    for &block in coming {
        match slabs.memory(block)? {
            Some(memory) => all.push(memory),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// Blocks of which some stay in memory of their own, and the others are used where they are mapped.
pub(super) struct MappedBlocks<B> {
    blocks: Vec<B>,
    /// Of those that come: where they lie; none of those that stay.
    memory: Vec<Option<Tensor>>,
    slabs: Arc<dyn MappedSlabs>,
    /// Of each block, whether its numbers have been looked at.
    seen: RefCell<Vec<bool>>,
    ahead: ReadAhead,
}

impl<B> MappedBlocks<B> {
    /// `blocks`: each with its memory where it is mapped, built over that.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn new(
        blocks: Vec<(B, Option<Tensor>)>,
        slabs: Arc<dyn MappedSlabs>,
    ) -> Result<Self> {
        let (blocks, memory): (Vec<B>, Vec<Option<Tensor>>) = blocks.into_iter().unzip();
        let ahead = ReadAhead::new(slabs.clone())?;
        let seen = RefCell::new(vec![false; blocks.len()]);
        let mapped = Self { blocks, memory, slabs, seen, ahead };
        mapped.bring_in_after(None);
        Ok(mapped)
    }

    /// Has the first block brought in that comes after another one, or after the last.
    fn bring_in_after(&self, index: Option<usize>) {
        let after = index.map_or(0, |index| index + 1);
        let comes = |index: &usize| self.memory[*index].is_some();
        let mut following = (after..self.blocks.len()).chain(0..after);
        if let Some(next) = following.find(comes) {
            self.ahead.bring_in(next);
        }
    }
}

impl<B> fmt::Debug for MappedBlocks<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedBlocks")
            .field("blocks", &self.blocks.len())
            .field("mapped", &self.memory.iter().flatten().count())
            .finish_non_exhaustive()
    }
}

impl<B: Send> BlockSource<B> for MappedBlocks<B> {
    fn len(&self) -> usize {
        self.blocks.len()
    }

    fn with(&self, index: usize, use_block: &mut dyn FnMut(&B) -> Result<()>) -> Result<()> {
        let Some(memory) = &self.memory[index] else { return use_block(&self.blocks[index]) };
        self.bring_in_after(Some(index));
        let seen = self.seen.borrow()[index];
        let used = if seen { Ok(()) } else { self.slabs.check(index, memory) };
        let used = used.and_then(|()| use_block(&self.blocks[index]));
        // Numbers that are not the file's may look like anything.
        self.slabs.unchanged(index)?;
        self.seen.borrow_mut()[index] = true;
        used
    }
}

/// A thread that brings blocks into memory.
struct ReadAhead {
    wanted: Option<Sender<usize>>,
    thread: Option<JoinHandle<()>>,
}

impl ReadAhead {
    fn new(slabs: Arc<dyn MappedSlabs>) -> Result<Self> {
        let (wanted, asked) = channel();
        let thread = thread::Builder::new()
            .name("blocks".into())
            .spawn(move || bring_in_all(&*slabs, &asked))
            .map_err(|error| {
                Error::Input(format!(
                    "the system gives no thread to read the model's blocks with: {error}; end other \
                     programs"
                ))
            })?;
        Ok(Self { wanted: Some(wanted), thread: Some(thread) })
    }

    /// Whoever computes does not wait for it, and has what is not there yet brought in itself.
    fn bring_in(&self, block: usize) {
        if let Some(Err(error)) = self.wanted.as_ref().map(|wanted| wanted.send(block)) {
            log::debug!("blocks are not read ahead: {error}");
        }
    }
}

fn bring_in_all(slabs: &dyn MappedSlabs, asked: &Receiver<usize>) {
    while let Ok(block) = asked.recv() {
        // Of what was asked for meanwhile only the last is still of use.
        slabs.bring_in(asked.try_iter().last().unwrap_or(block));
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.wanted = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that brings the model's blocks in has panicked");
        }
    }
}
