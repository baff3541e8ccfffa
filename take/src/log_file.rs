//! A log of its own for each program: private, and never large. What goes into it names no prompt.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Bytes. A full log `a.log` becomes `a.log.1`, and the one before that goes.
const LIMIT: u64 = 4 << 20;

/// A log that begins anew when it is full. Lines of several threads and processes do not mix.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Mutex<(File, u64)>,
}

impl LogFile {
    /// Opens the log at `path`, with its folder, for this user alone; goes on at its end.
    ///
    /// # Errors
    /// What the system says where folder or file cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(folder)?;
        }
        let file = append(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file: Mutex::new((file, size)) })
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut guard = self.file.lock();
        let (file, size) = &mut *guard;
        if *size > LIMIT {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *file = append(&self.path)?;
            *size = 0;
        }
        let written = file.write(bytes)?;
        *size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_begins_anew_and_one_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/engine.log");
        let mut log = LogFile::open(&path).unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..12 {
            log.write_all(&line).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= LIMIT + (1 << 20));
        assert!(path.with_extension("log.1").is_file());
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 2);
    }
}
