//! Tensors that wait: in a file without a name where there is a folder for it, else in memory.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};

use crate::direct_read::read_exact_at;
use crate::{Error, Result};

/// Chunks of a film, float32, each stored and fetched whole, as often as is wanted.
#[derive(Debug)]
pub(super) struct ChunkSpool {
    place: Option<(PathBuf, File)>,
    chunks: Vec<Chunk>,
    /// Where the next one is written.
    end: u64,
}

#[derive(Debug)]
enum Chunk {
    Memory(Tensor),
    File { start: u64, shape: Vec<i64> },
}

impl ChunkSpool {
    /// An empty one.
    ///
    /// # Errors
    /// No file can be made in `folder`.
    pub(super) fn new(folder: Option<&Path>) -> Result<Self> {
        let place = folder.map(|folder| {
            std::fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
            let file = tempfile::tempfile_in(folder).map_err(Error::io("write to", folder))?;
            Ok::<_, Error>((folder.to_owned(), file))
        });
        Ok(Self { place: place.transpose()?, chunks: Vec::new(), end: 0 })
    }

    /// How many chunks there are.
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Adds a chunk behind the others.
    pub(super) fn push(&mut self, chunk: &Tensor) -> Result<()> {
        let chunk = on_host(chunk)?;
        let Some((folder, file)) = &mut self.place else {
            self.chunks.push(Chunk::Memory(chunk));
            return Ok(());
        };
        let numbers = numbers_of(&chunk)?;
        file.write_all(bytemuck::cast_slice(&numbers)).map_err(Error::io("write to", folder))?;
        self.chunks.push(Chunk::File { start: self.end, shape: chunk.size() });
        self.end += numbers.len() as u64 * 4;
        Ok(())
    }

    /// A chunk, on the CPU.
    pub(super) fn get(&self, index: usize) -> Result<Tensor> {
        match (&self.chunks[index], &self.place) {
            (Chunk::File { start, shape }, Some((folder, file))) => {
                let mut numbers = vec![0f32; shape.iter().product::<i64>() as usize];
                read_exact_at(file, bytemuck::cast_slice_mut(&mut numbers), *start)
                    .map_err(Error::io("read from", folder))?;
                Ok(Tensor::f_from_slice(&numbers)?.f_view(&shape[..])?)
            }
            (Chunk::Memory(chunk), _) => Ok(chunk.shallow_clone()),
            (Chunk::File { .. }, None) => Err(Error::Input("a chunk without its file".into())),
        }
    }

    /// Adds `part` to a chunk, whose rows begin at `row` and columns at `column`.
    pub(super) fn add(
        &mut self,
        index: usize,
        [row, column]: [i64; 2],
        part: &Tensor,
    ) -> Result<()> {
        let part = on_host(part)?;
        let chunk = self.get(index)?;
        let (rows, columns) = (part.size()[1], part.size()[2]);
        let _ = chunk.f_narrow(1, row, rows)?.f_narrow(2, column, columns)?.f_add_(&part)?;
        if let (Chunk::File { start, .. }, Some((folder, file))) =
            (&self.chunks[index], &mut self.place)
        {
            use std::io::{Seek, SeekFrom};
            let numbers = numbers_of(&chunk)?;
            let written = file.seek(SeekFrom::Start(*start)).and_then(|_| {
                file.write_all(bytemuck::cast_slice(&numbers))?;
                file.seek(SeekFrom::Start(self.end))
            });
            written.map_err(Error::io("write to", folder))?;
        }
        Ok(())
    }
}

fn on_host(chunk: &Tensor) -> Result<Tensor> {
    Ok(chunk.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?)
}

fn numbers_of(chunk: &Tensor) -> Result<Vec<f32>> {
    let mut numbers = vec![0f32; chunk.numel()];
    chunk.f_copy_data(&mut numbers, chunk.numel())?;
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_as_they_were_put_and_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let chunk = |value: f64| Tensor::full([2, 3, 4, 3], value, (Kind::Float, Device::Cpu));
        for place in [None, Some(folder.path())] {
            let mut spool = ChunkSpool::new(place).unwrap();
            for value in [1.0, 2.0] {
                spool.push(&chunk(value)).unwrap();
            }
            let part = Tensor::full([2, 1, 2, 3], 5.0, (Kind::Float, Device::Cpu));
            spool.add(0, [2, 1], &part).unwrap();
            spool.push(&chunk(3.0)).unwrap();
            assert_eq!(spool.len(), 3);
            for (index, value) in [(1, 2.0), (2, 3.0)] {
                assert_eq!(spool.get(index).unwrap(), chunk(value));
            }
            let expected = chunk(1.0);
            let _ = expected.narrow(1, 2, 1).narrow(2, 1, 2).fill_(6.0);
            assert_eq!(spool.get(0).unwrap(), expected);
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}
