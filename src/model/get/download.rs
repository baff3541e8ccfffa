//! Fetching one file: into `NAME.part`, on from where an earlier try ended, checked, then renamed.

#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::check::{FileState, Told, judge, unfinished};
use super::hub::{FetchFailure, Hub, Incoming, header};
use super::releases::ReleasedFile;
use crate::error_text::in_words;
use crate::exit::{Exit, OrExit};
use crate::write_lock::WriteLock;

/// Bytes that are passed on at once.
const BLOCK: usize = 1 << 18;
/// Blocks that may wait for the disk.
const WAITING: usize = 16;
/// How soon Ctrl-C is heard.
const LOOK_UP: Duration = Duration::from_millis(50);
/// Tries in a row that brought nothing.
const TRIES: u32 = 5;
/// Before the next try; twice as long after each that brought nothing.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// A file on its way.
struct Partial {
    path: PathBuf,
    /// What the server called the content when the download began.
    tag: PathBuf,
}

/// Fetches `file` to `path`. What has come stays in `path.part` where it is broken off, and is gone on
/// with the next time.
pub(super) fn fetch(
    hub: &Hub,
    file: &ReleasedFile,
    path: &Path,
    told: Told<'_>,
) -> Result<FileState> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let _lock = WriteLock::of_file(path)?;
    let part = unfinished(path);
    let partial = Partial { tag: part.with_extension("part-tag"), path: part };
    let url = file.address(&hub.address);
    let (mut failed, mut wait, mut hash) = (0, FIRST_WAIT, None);
    loop {
        let before = partial.bytes();
        match partial.go_on(hub, file, &url, &mut hash, told) {
            Ok(()) => break,
            Err(FetchFailure::Lasting(error)) => return Err(error),
            Err(FetchFailure::Passing(error)) => {
                let came = partial.bytes() > before;
                (failed, wait) = if came { (1, FIRST_WAIT) } else { (failed + 1, wait * 2) };
                if failed == TRIES {
                    let tries = format!("{url}: nothing came in {TRIES} tries; run again to go on");
                    return Err(error.context(tries));
                }
                log::info!("{url}: {}; asking again", in_words(&error));
            }
        }
        pause(wait, told, partial.bytes(), file)?;
    }
    let known = ReleasedFile { sha256: file.sha256.clone().or(hash), ..file.clone() };
    partial.finish(&known, path, told)
}

impl Partial {
    fn bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |about| about.len())
    }

    /// Brings what is missing, in one request.
    fn go_on(
        &self,
        hub: &Hub,
        file: &ReleasedFile,
        url: &str,
        hash: &mut Option<String>,
        told: Told<'_>,
    ) -> Result<(), FetchFailure> {
        let lasting = |error: anyhow::Error| FetchFailure::Lasting(error);
        let mut have = self.bytes();
        if have > 0 && file.bytes == Some(have) {
            return Ok(());
        }
        let tag = std::fs::read_to_string(&self.tag).ok();
        let Incoming { response, sha256 } = hub.ask(url, have, tag.as_deref())?;
        *hash = sha256.or(hash.take());
        let status = response.status().as_u16();
        let range = header(&response, "content-range").map(content_range);
        if status == 416 && range.is_some_and(|(_, all)| all == Some(have)) {
            return Ok(());
        }
        if status == 416 || (status == 206 && range.is_none_or(|(from, _)| from != Some(have))) {
            self.forget().map_err(lasting)?;
            return Err(FetchFailure::Passing(anyhow!(
                "what has come so far does not fit its answer"
            )));
        }
        if status == 200 {
            have = 0;
        }
        let length = header(&response, "content-length").and_then(|text| text.parse::<u64>().ok());
        let all = length.map(|length| have + length);
        if let (Some(expected), Some(all)) = (file.bytes, all)
            && expected != all
        {
            let wrong = anyhow!("{url} has {all} bytes, expected {expected}: it is another file");
            return Err(lasting(Exit::BadInput.mark(wrong)));
        }
        if let Some(tag) = header(&response, "etag").filter(|tag| tag.starts_with('"')) {
            std::fs::write(&self.tag, tag).map_err(|error| lasting(self.unwritable(&error)))?;
        }
        let blocks = blocks_of(response);
        self.write(&blocks, have, all.or(file.size()), told)?;
        match all {
            Some(all) if self.bytes() < all => Err(FetchFailure::Passing(anyhow!(
                "it ended after {} of {all} bytes",
                self.bytes()
            ))),
            _ => Ok(()),
        }
    }

    /// Writes blocks as they come, behind the first `have` bytes.
    fn write(
        &self,
        blocks: &Receiver<std::io::Result<Vec<u8>>>,
        have: u64,
        all: Option<u64>,
        told: Told<'_>,
    ) -> Result<(), FetchFailure> {
        let unwritable = |error: std::io::Error| FetchFailure::Lasting(self.unwritable(&error));
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            file.set_len(have)?;
            Ok(file)
        };
        let mut file = open().map_err(unwritable)?;
        let mut done = have;
        loop {
            if !told(done, all.unwrap_or(0)) {
                file.sync_all().map_err(unwritable)?;
                return Err(FetchFailure::Lasting(cancelled(&self.path, done)));
            }
            match blocks.recv_timeout(LOOK_UP) {
                Ok(Ok(block)) => {
                    file.write_all(&block).map_err(unwritable)?;
                    done += block.len() as u64;
                }
                Ok(Err(error)) => return Err(FetchFailure::Passing(error.into())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        file.sync_all().map_err(unwritable)
    }

    /// Gives a file that has come as a whole its name, if it is what it should be.
    fn finish(&self, file: &ReleasedFile, path: &Path, told: Told<'_>) -> Result<FileState> {
        // Broken off here it is all there still, and is read again the next time.
        let state = judge(&self.path, file, told)?;
        if state.is_whole() {
            std::fs::rename(&self.path, path).map_err(|error| unwritable(path, &error))?;
            // Of no more use; one that stays does no harm.
            let _ = std::fs::remove_file(&self.tag);
            return Ok(state);
        }
        self.forget()?;
        Err(anyhow!(
            "{} came as a whole and is not what it should be: {state}. It was thrown away; try again, or \
             another hub by WAN_ALPHA_HUB",
            file.path
        ))
        .or_exit(Exit::BadInput)
    }

    /// What has come so far is of no use.
    fn forget(&self) -> Result<()> {
        for path in [&self.path, &self.tag] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn unwritable(&self, error: &std::io::Error) -> anyhow::Error {
        unwritable(&self.path, error)
    }
}

/// Where a piece begins, and how long the whole is: `bytes 5-9/10`, `bytes */10`.
fn content_range(text: &str) -> (Option<u64>, Option<u64>) {
    let text = text.trim_start_matches("bytes").trim();
    let (piece, all) = text.split_once('/').unwrap_or((text, ""));
    (piece.split('-').next().and_then(|from| from.parse().ok()), all.parse().ok())
}

/// Reads an answer in a thread of its own, so that a server that hangs keeps nobody from Ctrl-C.
fn blocks_of(response: ureq::http::Response<ureq::Body>) -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, blocks) = sync_channel(WAITING);
    thread::spawn(move || {
        let mut body = response.into_body().into_reader();
        loop {
            let mut block = vec![0; BLOCK];
            let read = match body.read(&mut block) {
                Ok(0) => return,
                Ok(count) => {
                    block.truncate(count);
                    Ok(block)
                }
                Err(error) => Err(error),
            };
            let over = read.is_err();
            if sender.send(read).is_err() || over {
                return;
            }
        }
    });
    blocks
}

fn unwritable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    anyhow!(
        "cannot write {}: {error}; see to the folder, make room there, or name another one by --to",
        path.display()
    )
}

fn cancelled(part: &Path, bytes: u64) -> anyhow::Error {
    let text = format!(
        "cancelled while fetching: {bytes} bytes stay in {}; run again to go on",
        part.display()
    );
    Exit::Cancelled.mark(anyhow!(text))
}

/// Waits, unless it is to end.
fn pause(time: Duration, told: Told<'_>, bytes: u64, file: &ReleasedFile) -> Result<()> {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if !told(bytes, file.size().unwrap_or(0)) {
            return Err(cancelled(Path::new(&file.path), bytes));
        }
        thread::sleep(left.min(LOOK_UP));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn the_place_of_a_piece_is_read() {
        assert_eq!(content_range("bytes 5-9/10"), (Some(5), Some(10)));
        assert_eq!(content_range("bytes */10"), (None, Some(10)));
        assert_eq!(content_range("bytes 5-9/*"), (Some(5), None));
        assert_eq!(content_range("nonsense"), (None, None));
    }
}
