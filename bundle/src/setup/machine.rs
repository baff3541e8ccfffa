//! What set-up needs of the machine. Each lack has its own sentence that says what to do.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::pins::ByteCount;

/// From here on pip understands the platform tags of the pinned wheels.
const PIP_AT_LEAST: u32 = 21;

/// A Python that can run pip. Any Python 3 will do: it fetches, it does not install.
pub(crate) struct PipPython {
    program: OsString,
}

impl PipPython {
    pub(crate) fn find() -> Result<Self> {
        let program = OsString::from("python3");
        ensure!(
            output(&program, &["--version"]).is_some(),
            "python3 was not found. Set-up fetches libtorch with pip; install Python 3 with pip, \
             for example `apt install python3 python3-pip python3-venv`, and run again"
        );
        let Some(version) = output(&program, &["-m", "pip", "--version"]) else {
            bail!(
                "python3 is there but its pip is not (`python3 -m pip --version` failed). Install \
                 it, for example `apt install python3-pip` or `python3 -m ensurepip --user`, and \
                 run again"
            );
        };
        if let Some(major) = pip_major(&version).filter(|major| *major < PIP_AT_LEAST) {
            bail!(
                "pip {major} is too old for the wheels of libtorch; {PIP_AT_LEAST} or newer is \
                 needed: `python3 -m pip install --user --upgrade pip`, and run again"
            );
        }
        Ok(Self { program })
    }

    pub(crate) fn program(&self) -> &OsStr {
        &self.program
    }

    pub(crate) fn pip(&self) -> Command {
        let mut pip = Command::new(&self.program);
        pip.args(["-m", "pip"]);
        pip
    }
}

/// `pip 23.2.1 from …` → 23.
fn pip_major(version: &str) -> Option<u32> {
    version.strip_prefix("pip ")?.split('.').next()?.parse().ok()
}

/// A compiler and the arguments that its variable gives before ours, as in `CC="ccache gcc"`.
#[derive(Debug)]
pub(crate) struct Compiler {
    words: Vec<OsString>,
}

impl Compiler {
    /// For the stub library.
    pub(crate) fn c() -> Result<Self> {
        Self::find("CC", &["cc", "gcc", "g++"], "the stub library `libtorch.so`", "C")
    }

    /// Not used by set-up itself, but by the very next build.
    pub(crate) fn cpp() -> Result<Self> {
        Self::find("CXX", &["c++", "g++"], "torch-sys, the binding to libtorch,", "C++")
    }

    fn find(variable: &str, names: &[&str], need: &str, language: &str) -> Result<Self> {
        let set = env::var_os(variable).filter(|value| !value.is_empty());
        let candidates = match &set {
            Some(value) => vec![words(value)],
            None => names.iter().map(|name| vec![OsString::from(name)]).collect(),
        };
        let found = candidates.into_iter().map(|words| Self { words }).find(Self::answers);
        found.with_context(|| match &set {
            Some(value) => format!(
                "{variable} is set to `{}`, which does not run. Set it to a {language} compiler, \
                 or unset it, and run again",
                value.to_string_lossy()
            ),
            None => format!(
                "no {language} compiler was found (looked for {}). {need} is compiled with it; \
                 install one, for example `apt install g++`, or name yours in {variable}, and run \
                 again",
                names.join(", ")
            ),
        })
    }

    fn answers(&self) -> bool {
        quiet(self.command().arg("--version"))
    }

    pub(crate) fn command(&self) -> Command {
        let mut words = self.words.iter();
        let mut command = Command::new(words.next().cloned().unwrap_or_default());
        command.args(words);
        command
    }
}

fn words(value: &OsStr) -> Vec<OsString> {
    value.to_string_lossy().split_whitespace().map(OsString::from).collect()
}

/// The wheels are built for one platform.
pub(crate) fn check_platform() -> Result<()> {
    let libc = if cfg!(target_env = "gnu") { "gnu" } else { "another libc" };
    platform(env::consts::OS, env::consts::ARCH, libc)
}

fn platform(os: &str, architecture: &str, libc: &str) -> Result<()> {
    ensure!(
        (os, architecture, libc) == ("linux", "x86_64", "gnu"),
        "set-up lays out libtorch and libclang for Linux on x86_64 with glibc; this is {os} on \
         {architecture} with {libc}. Bring a libtorch 2.13.0 and a libclang of your own and set \
         LIBTORCH and LIBCLANG_PATH to their folders"
    );
    Ok(())
}

/// Refuses before anything is fetched, rather than half-way.
pub(crate) fn check_disk(folder: &Path, needed: ByteCount) -> Result<()> {
    let disk = rustix::fs::statvfs(folder)
        .with_context(|| format!("free space of {} cannot be read", folder.display()))?;
    enough(folder, needed, ByteCount(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn enough(folder: &Path, needed: ByteCount, free: ByteCount) -> Result<()> {
    ensure!(
        needed <= free,
        "{} has {free} free and this needs {needed}. Make room there, or let `.setup` be a link \
         to a folder on a larger disk, and run again",
        folder.display()
    );
    Ok(())
}

/// Without a driver the CUDA libraries are laid out all the same: they may go to another machine.
pub(crate) fn has_nvidia_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}

fn output(program: &OsStr, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn quiet(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_version_is_read() {
        assert_eq!(pip_major("pip 23.2.1 from somewhere (python 3.11)"), Some(23));
        assert_eq!(pip_major("pip 9.0.1 from somewhere"), Some(9));
        assert_eq!(pip_major("something else"), None);
    }

    #[test]
    fn only_the_platform_of_the_wheels_passes() {
        assert!(platform("linux", "x86_64", "gnu").is_ok());
        for (os, architecture, libc) in
            [("macos", "aarch64", "gnu"), ("linux", "aarch64", "gnu"), ("linux", "x86_64", "musl")]
        {
            let error = platform(os, architecture, libc).unwrap_err().to_string();
            assert!(error.contains(os) && error.contains(architecture) && error.contains(libc));
            assert!(error.contains("LIBTORCH") && error.contains("LIBCLANG_PATH"), "{error}");
        }
    }

    #[test]
    fn too_little_disk_is_told_with_both_numbers() {
        let folder = Path::new("somewhere");
        assert!(enough(folder, ByteCount(5), ByteCount(5)).is_ok());
        let error = enough(folder, ByteCount(1_200_000_000), ByteCount(300_000_000))
            .unwrap_err()
            .to_string();
        assert!(error.contains("300 MB free") && error.contains("needs 1.2 GB"), "{error}");
    }

    #[test]
    fn a_compiler_that_is_not_there_is_told_with_what_was_looked_for() {
        let names = ["no-such-compiler-1", "no-such-compiler-2"];
        let error =
            Compiler::find("WAN_ALPHA_NOT_SET", &names, "X", "C++").unwrap_err().to_string();
        assert!(error.contains("no-such-compiler-1, no-such-compiler-2"), "{error}");
        assert!(error.contains("WAN_ALPHA_NOT_SET"), "{error}");
    }

    #[test]
    fn a_compiler_variable_may_hold_arguments() {
        let compiler = Compiler { words: words(OsStr::new("ccache  gcc")) };
        assert_eq!(compiler.command().get_program(), "ccache");
        assert_eq!(compiler.command().get_args().collect::<Vec<_>>(), ["gcc"]);
    }
}
