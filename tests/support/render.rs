//! One call of `wan-alpha render` and what became of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use wan_alpha_core::weights::TensorFile;

use super::reference::Case;

/// No call of these tests takes a tenth of this; one that does hangs.
const LIMIT: Duration = Duration::from_secs(600);

/// A call to be made: the smallest take there is, until told otherwise.
pub(crate) struct Render {
    room: TempDir,
    flags: BTreeMap<&'static str, Vec<OsString>>,
    largest_file: Option<u64>,
    variables: Vec<(&'static str, OsString)>,
}

impl Render {
    /// A take of the model in one folder.
    pub(crate) fn of(folder: impl AsRef<Path>) -> Self {
        Self::of_files([folder.as_ref()])
    }

    /// A take of the model in several files.
    pub(crate) fn of_files<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Self {
        let room = tempfile::tempdir().unwrap();
        // The command's TMPDIR, to see that it leaves nothing there.
        fs::create_dir(room.path().join("tmp")).unwrap();
        let model = files.into_iter().map(|file| file.as_ref().as_os_str().to_owned()).collect();
        let out = vec![room.path().join("out").into_os_string()];
        let flags = BTreeMap::from([("--model", model), ("--out", out)]);
        let smallest = Self { room, flags, largest_file: None, variables: Vec::new() };
        [
            ("--prompt", "a soap bubble"),
            ("--width", "16"),
            ("--height", "16"),
            ("--frames", "1"),
            ("--steps", "1"),
            ("--threads", "1"),
            ("--device", "cpu"),
        ]
        .into_iter()
        .fold(smallest, |render, (flag, value)| render.with(flag, value))
    }

    /// Sets a flag, or sets it otherwise.
    pub(crate) fn with(mut self, flag: &'static str, value: impl Into<OsString>) -> Self {
        self.flags.insert(flag, vec![value.into()]);
        self
    }

    /// Sets a flag that takes several values.
    pub(crate) fn with_all(mut self, flag: &'static str, values: &[&str]) -> Self {
        self.flags.insert(flag, values.iter().map(OsString::from).collect());
        self
    }

    /// Leaves a flag to its default.
    pub(crate) fn without(mut self, flag: &'static str) -> Self {
        self.flags.remove(flag);
        self
    }

    /// Sets a flag that takes no value.
    pub(crate) fn switch(mut self, flag: &'static str) -> Self {
        self.flags.insert(flag, Vec::new());
        self
    }

    pub(crate) fn size(self, width: u32, height: u32, frames: u32) -> Self {
        self.with("--width", width.to_string())
            .with("--height", height.to_string())
            .with("--frames", frames.to_string())
    }

    /// Asks for the intermediate tensors; see [`Done::dump`].
    pub(crate) fn dumped(self) -> Self {
        let dump = self.path("dump.safetensors");
        self.with("--dump", dump)
    }

    /// Sets a variable of the command's environment.
    pub(crate) fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// A disk that is full as soon as a file passes `bytes`.
    pub(crate) fn largest_file(mut self, bytes: u64) -> Self {
        self.largest_file = Some(bytes);
        self
    }

    /// A place in this call's room.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    /// A file in this call's room.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Puts a finished take, and a note of somebody's, where this one will go.
    pub(crate) fn over_a_previous_take(self) -> Self {
        for (name, content) in previous_take() {
            self.file(&format!("out/{name}"), content);
        }
        self
    }

    /// The call, ready to be made.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        command.arg("render").env("TMPDIR", self.path("tmp"));
        // Files say when they were written; so all of a test say the same.
        command.env("SOURCE_DATE_EPOCH", "0");
        // Nothing of the user's own changes what is tested, and nothing of theirs is changed.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("WAN_ALPHA_") {
                command.env_remove(variable);
            }
        }
        for variable in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(variable, self.path("home"));
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        for (flag, values) in &self.flags {
            command.arg(flag).args(values);
        }
        #[cfg(unix)]
        if let Some(bytes) = self.largest_file {
            limit_files(&mut command, bytes);
        }
        command
    }

    /// Makes the call and waits for its end.
    #[track_caller]
    pub(crate) fn run(self) -> Done {
        let command = self.command();
        let output = assert_cmd::Command::from_std(command).timeout(LIMIT).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        self.ended(output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// What became of the call. Holds for every one: no panic, no signal, nothing left over.
    #[track_caller]
    pub(crate) fn ended(self, code: Option<i32>, stdout: String, stderr: String) -> Done {
        let code = code.unwrap_or_else(|| panic!("ended by a signal\n{stderr}"));
        assert!(!stderr.contains("panicked"), "{stderr}");
        let done = Done { room: self.room, code, stdout, stderr };
        for folder in [done.room.path().to_owned(), done.path("tmp"), done.out()] {
            let left: Vec<_> =
                names(&folder).into_iter().filter(|name| name.starts_with('.')).collect();
            assert!(left.is_empty(), "left in {}: {left:?}", folder.display());
        }
        assert!(names(&done.path("tmp")).is_empty(), "left in TMPDIR");
        done
    }
}

/// A call that has ended.
pub(crate) struct Done {
    room: TempDir,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// It must have succeeded; stdout then names the folder and nothing else.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        assert_eq!(self.stdout, format!("{}\n", self.out().display()));
        self
    }

    /// It must have failed with this exit code and all of these words: in its last line, or
    /// anywhere in what is said of a command line that cannot be read.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert_eq!(self.stdout, "");
        let unread = self.stderr.starts_with("error: ");
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(unread || last.starts_with("wan-alpha: "), "{}", self.stderr);
        let said = if unread { self.stderr.as_str() } else { last };
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {}", self.stderr);
        }
        self
    }

    /// What [`Render::over_a_previous_take`] put there must be there, byte for byte, and nothing
    /// else.
    #[track_caller]
    pub(crate) fn kept_the_previous_take(self) -> Self {
        let found = files(&self.out());
        let names: Vec<_> = found.keys().collect();
        assert_eq!(names, previous_take().keys().collect::<Vec<_>>(), "{}", self.stderr);
        assert!(found == *previous_take(), "a file of the previous take has changed");
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// The tensors of `--dump`.
    pub(crate) fn dump(&self) -> TensorFile {
        TensorFile::open(&self.path("dump.safetensors")).unwrap()
    }

    /// What `take.json` says of the take.
    pub(crate) fn take(&self) -> Value {
        serde_json::from_slice(&fs::read(self.out().join("take.json")).unwrap()).unwrap()
    }

    /// The warnings of `take.json`, each of which must have been shown as well. That the subject goes its
    /// own way is left out: the reference models have random weights, and no ellipse moves what they draw.
    #[track_caller]
    pub(crate) fn warnings(&self) -> Vec<String> {
        let warnings: Vec<String> =
            serde_json::from_value(self.take()["warnings"].clone()).unwrap();
        for warning in &warnings {
            assert!(self.stderr.contains(&format!("warning: {warning}\n")), "{}", self.stderr);
        }
        assert_eq!(self.stderr.matches("warning: ").count(), warnings.len(), "{}", self.stderr);
        warnings.into_iter().filter(|warning| !warning.contains(GOES_ITS_OWN_WAY)).collect()
    }
}

/// How a take of random weights is warned of where its ellipse moves.
const GOES_ITS_OWN_WAY: &str = "the subject does not follow the ellipse as it moves";

/// Every file of a folder by name; none where there is no folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| {
        let content = fs::read(folder.join(&name)).unwrap();
        (name, content)
    };
    names(folder).into_iter().map(read).collect()
}

/// The names in a folder, sorted; none where there is no folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A take the command itself has made, once for all tests of a file.
fn previous_take() -> &'static BTreeMap<String, Vec<u8>> {
    static TAKE: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    TAKE.get_or_init(|| {
        let done = Render::of(Case::named("t2v-euler").model()).run().succeeded();
        let mut take = files(&done.out());
        assert_eq!(take.len(), 4, "{:?}", take.keys());
        take.insert("notes.txt".to_owned(), b"the compositor's own".to_vec());
        take
    })
}

/// What stands in for a full disk, which a test cannot have without being root.
#[cfg(unix)]
#[allow(unsafe_code)]
fn limit_files(command: &mut Command, bytes: u64) {
    use std::os::unix::process::CommandExt;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: between fork and exec the closure makes one system call on a value of its own and
    // reads errno; both are async-signal-safe.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}
