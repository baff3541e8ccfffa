//! Lines of bounded length from any reader.

use std::io::{self, Read};

use thiserror::Error;

use super::MAX_LINE;

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// Why there is no line.
#[derive(Debug, Error)]
pub enum LineError {
    /// The line is too long. The reader goes on behind it.
    #[error(
        "a line of {limit} bytes or more; messages are shorter: something else than wan-alpha \
         may be using its socket"
    )]
    TooLong {
        /// Bytes that a line must stay below.
        limit: usize,
    },
    /// The reader failed; [`io::ErrorKind::WouldBlock`] leaves everything as it was.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads lines. Holds at most a line and a chunk, whatever is sent.
#[derive(Debug)]
pub struct LineReader<R> {
    source: R,
    limit: usize,
    /// Read and not yet handed out.
    buffer: Vec<u8>,
    /// Where in `buffer` the next line begins.
    start: usize,
    /// Up to where `buffer` is known to hold no line feed.
    searched: usize,
    /// Inside a line that was too long.
    skipping: bool,
}

impl<R: Read> LineReader<R> {
    /// Lines shorter than [`MAX_LINE`] from `source`.
    pub fn new(source: R) -> Self {
        Self::with_limit(source, MAX_LINE)
    }

    /// Lines shorter than `limit` bytes, line feeds not counted.
    pub fn with_limit(source: R, limit: usize) -> Self {
        Self { source, limit, buffer: Vec::new(), start: 0, searched: 0, skipping: false }
    }

    /// What is being read from.
    pub fn source(&self) -> &R {
        &self.source
    }

    /// The same, to be changed.
    pub fn source_mut(&mut self) -> &mut R {
        &mut self.source
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next line without its line feed; `None` at the end. What stands behind the last line
    /// feed is not a line.
    ///
    /// # Errors
    /// [`LineError::TooLong`] once per such line; errors of the reader, after which, and after
    /// [`io::ErrorKind::WouldBlock`] in particular, this may be called again.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        loop {
            if let Some(found) = self.line_in_buffer() {
                return found.map(Some);
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    fn line_in_buffer(&mut self) -> Option<Result<Vec<u8>, LineError>> {
        loop {
            let end = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n');
            let Some(end) = end.map(|offset| self.searched + offset) else {
                self.searched = self.buffer.len();
                let too_long = self.searched - self.start >= self.limit;
                if self.skipping || too_long {
                    self.start = self.searched;
                }
                let told = self.skipping;
                self.skipping |= too_long;
                let limit = self.limit;
                return (too_long && !told).then_some(Err(LineError::TooLong { limit }));
            };
            let start = std::mem::replace(&mut self.start, end + 1);
            self.searched = end + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if end - start >= self.limit {
                return Some(Err(LineError::TooLong { limit: self.limit }));
            }
            return Some(Ok(self.buffer[start..end].to_vec()));
        }
    }

    /// Reads a chunk; false at the end.
    fn fill(&mut self) -> Result<bool, LineError> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let mut chunk = [0; CHUNK];
        loop {
            match self.source.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    self.buffer.extend_from_slice(&chunk[..length]);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
