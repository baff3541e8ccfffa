//! What ffmpeg is given of a movie, and how it is asked to decode it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::complaint::unstarted;
use super::frame_sizes::{TELL_CHANGES, TELL_EVERY_FRAME, of_line};
use super::private_name::PrivateName;
use super::probe::MovieTags;
use super::transport_stream::{self, Continuity, PacketLayout};
use super::whole;
use crate::media::color_space::ColorSpace;
use crate::media::file_kind::{head, not_for_ffmpeg};

/// A movie's file as ffmpeg is given it.
#[derive(Debug)]
pub(super) struct MovieInput {
    path: PathBuf,
    name: PrivateName,
    /// Its packets, where ffmpeg is sent them numbered anew: parts that were joined, each whole.
    joined: Option<PacketLayout>,
    has_gap: bool,
}

impl MovieInput {
    /// Looks at a file; refuses what ffmpeg would read as something else, or in less than it holds.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let unread = || format!("cannot read {}", path.display());
        let head = head(path).with_context(unread)?;
        if let Some(words) = not_for_ffmpeg(path, &head) {
            bail!("{words}");
        }
        if let Some(words) = whole::missing(path).with_context(unread)? {
            bail!("{}: {words}", path.display());
        }
        let (mut joined, mut has_gap) = (None, false);
        if let Some(layout) = PacketLayout::of(&head) {
            match transport_stream::continuity(path, layout).with_context(unread)? {
                Continuity::Whole => {}
                Continuity::Joined => joined = Some(layout),
                Continuity::Gap => has_gap = true,
                Continuity::Moved(words) => bail!("{}: {words}", path.display()),
            }
        }
        Ok(Self { path: path.to_owned(), name: PrivateName::of(path)?, joined, has_gap })
    }

    /// Has ffmpeg decode the movie into PAM pictures of a pixel format. `color` is what a person says that its
    /// colors are, `said` where it writes what it finds.
    pub(super) fn decode(
        &self,
        format: &str,
        about: &MovieTags,
        color: Option<&ColorSpace>,
        said: File,
    ) -> Result<Child> {
        let matrix = about.matrix_as_said(color);
        let matrix = matrix.map(|name| format!("setparams=colorspace={name}"));
        let filters: Vec<String> = matrix.into_iter().chain([TELL_CHANGES.to_owned()]).collect();
        let mut command = self.reading(about);
        // The first that is damaged ends it.
        command.args(["-vf", &filters.join(",")]).args(["-f", "image2pipe", "-c:v", "pam"]);
        command.args(["-pix_fmt", format, "-"]).stdout(Stdio::piped()).stderr(said);
        self.start(command)
    }

    /// How many frames come before the first of another size, found by decoding once more.
    pub(super) fn frames_before_change(&self, about: &MovieTags) -> Option<usize> {
        let mut command = self.reading(about);
        command.args(["-vf", TELL_EVERY_FRAME, "-f", "null", "-"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = self.start(command).ok()?;
        let said = BufReader::new(child.stderr.take()?);
        let mut sizes = said.lines().map_while(Result::ok).filter_map(|line| of_line(&line));
        let first = sizes.next();
        let place = sizes.position(|size| Some(size) != first);
        drop(sizes);
        let _ = child.kill();
        let _ = child.wait();
        place.map(|place| place + 1)
    }

    /// The part of a call that chooses the movie: all of its frames, nothing turned or mirrored.
    fn reading(&self, about: &MovieTags) -> Command {
        let mut command = Command::new("ffmpeg");
        // Each message as often as it comes.
        command.args(["-nostdin", "-v", "repeat+error", "-xerror", "-noautorotate"]);
        command.args(["-err_detect", "crccheck"]);
        command.args(about.decoder.iter().flat_map(|decoder| ["-c:v", decoder]));
        if self.joined.is_some() {
            command.args(["-f", "mpegts", "-i", "pipe:0"]);
        } else {
            command.arg("-i").arg(self.name.address());
        }
        command.args(["-map", "0:V:0", "-fps_mode", "passthrough"]);
        command
    }

    fn start(&self, mut command: Command) -> Result<Child> {
        command.stdin(if self.joined.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().map_err(|error| unstarted(&self.path, &error))?;
        if let (Some(layout), Some(pipe)) = (self.joined, child.stdin.take()) {
            let file = File::open(&self.path)?;
            // It ends with the file, or when ffmpeg takes no more.
            std::thread::spawn(move || transport_stream::send(file, layout, pipe));
        }
        Ok(child)
    }

    /// What ffmpeg says, without the name that it was given.
    pub(super) fn without_name(&self, text: &str) -> String {
        self.name.hidden_in(text)
    }

    /// What else can be done with a stream that has a gap.
    pub(super) fn about_gap(&self) -> Option<&'static str> {
        self.has_gap.then_some(
            "; packets of its stream are missing, or parts of it were joined within a frame: `ffmpeg -i IN -map \
             0:V:0 -c copy OUT.mkv` keeps what is there, and frames that are not whole are told of then",
        )
    }
}
