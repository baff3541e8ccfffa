//! Frames whose size changes in the middle of a movie.
//!
//! ffmpeg scales what comes after such a change to the size of what came before, and says so nowhere that
//! can be relied on. So its own filter is asked to print the size that it is set up for, which it is anew
//! whenever a frame has another one: `print` of its expressions, at the level of errors.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// What the two sides of a frame are, as one number.
const SIDES: u32 = 1 << 16;

/// A filter that converts pixels as ffmpeg would do without it, and prints a frame's size whenever it is
/// another than before.
pub(super) const TELL_CHANGES: &str = "scale=w='iw+0*print(iw*65536+ih,16)':h=ih";

/// A filter that prints the size of every frame.
pub(super) const TELL_EVERY_FRAME: &str = "crop=w=iw:h=ih:x=0:y='0*print(iw*65536+ih,16)'";

/// Width and height of a frame, in pixels.
pub(super) type FrameSize = [u32; 2];

/// The size that a line of ffmpeg's tells, if it is one of these filters': a number, and before it, in newer
/// versions, whose it is.
pub(super) fn of_line(line: &str) -> Option<FrameSize> {
    let number = match line.trim().rsplit_once("] ") {
        Some((about, number)) => Some(number).filter(|_| about.starts_with('[')),
        None => Some(line.trim()),
    };
    let number: u32 = number?.strip_suffix(".000000")?.parse().ok()?;
    let size = [number / SIDES, number % SIDES];
    size.iter().all(|side| *side > 0).then_some(size)
}

/// What has been read of a log that is still being written.
#[derive(Debug, Default)]
pub(super) struct ToldSizes {
    /// Bytes, all of them of whole lines.
    seen: u64,
    first: Option<FrameSize>,
}

impl ToldSizes {
    /// The first size and another one, where what is new in the log tells of that.
    pub(super) fn change(&mut self, mut log: &File) -> Option<[FrameSize; 2]> {
        let length = log.metadata().ok()?.len();
        if length <= self.seen {
            return None;
        }
        let mut bytes = Vec::new();
        log.seek(SeekFrom::Start(self.seen)).ok()?;
        log.take(length - self.seen).read_to_end(&mut bytes).ok()?;
        // The last line may still be written.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        self.seen += whole as u64;
        let text = String::from_utf8_lossy(&bytes[..whole]).into_owned();
        for size in text.lines().filter_map(of_line) {
            let first = *self.first.get_or_insert(size);
            if first != size {
                return Some([first, size]);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn sizes_are_read_of_whole_lines_of_these_filters_alone() {
        assert_eq!(of_line("[Eval @ 0x7ffd] 4194352.000000"), Some([64, 48]));
        assert_eq!(of_line("[vf#0:0 @ 0x1] [Eval @ 0x7ffd] 4194352.000000"), Some([64, 48]));
        assert_eq!(of_line("4194352.000000"), Some([64, 48]));
        for other in
            ["4194352", "-1.000000", "[Eval @ 0x7ffd] 0.000000", "[h264 @ 0x1] 4194352 frames"]
        {
            assert_eq!(of_line(other), None, "{other}");
        }

        let mut log = tempfile::tempfile().unwrap();
        let mut sizes = ToldSizes::default();
        let mut told = |text: &str| {
            log.seek(SeekFrom::End(0)).unwrap();
            log.write_all(text.as_bytes()).unwrap();
            sizes.change(&log)
        };
        assert_eq!(told("[Eval @ 0x1] 4194352.000000\n[Eval @ 0x1] 4194352.000000\n"), None);
        assert_eq!(told("[png @ 0x1] a warning\n[Eval @ 0x1] 62914"), None);
        assert_eq!(told("96.000000\n"), Some([[64, 48], [96, 40]]));
    }
}
