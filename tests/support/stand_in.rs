//! Stand-ins for CUDA on a machine without a card: one for CUDA's half of libtorch, one for CUDA's
//! runtime. Their sources, `tests/stand-ins`, say what they can be told.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use wan_alpha_core::device::LIBTORCH_BUILD;

use super::studio::Studio;

/// A program with CUDA's half of libtorch beside it, as in a bundle.
pub(crate) struct StandIn {
    studio: Studio,
    pub(crate) program: PathBuf,
    /// Where CUDA's half lies.
    pub(crate) lib: PathBuf,
}

impl StandIn {
    /// With CUDA's half installed, of this build.
    pub(crate) fn new() -> Self {
        let stand_in = Self::without_cuda();
        fs::create_dir(&stand_in.lib).unwrap();
        fs::copy(built().join("libtorch_cuda.so"), stand_in.lib.join("libtorch_cuda.so")).unwrap();
        stand_in.say_build(LIBTORCH_BUILD);
        stand_in
    }

    /// The program in a folder where CUDA's half of libtorch is missing.
    pub(crate) fn without_cuda() -> Self {
        let studio = Studio::empty();
        let program = studio.path("wan-alpha");
        let own = Path::new(env!("CARGO_BIN_EXE_wan-alpha"));
        // A link is another name of the file, and its folder counts as the program's.
        fs::hard_link(own, &program).or_else(|_| fs::copy(own, &program).map(|_| ())).unwrap();
        let lib = studio.path("lib");
        Self { studio, program, lib }
    }

    /// Says of which build CUDA's half is.
    pub(crate) fn say_build(&self, build: &str) {
        fs::write(self.lib.join("build-version"), format!("{build}\n")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.studio.path(name)
    }

    /// The program, where CUDA's runtime is played.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().envs(self.studio.environment("run"));
        command.env("LD_PRELOAD", built().join("libcudart.so"));
        command
    }
}

/// The folder of the built stand-ins.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stand-ins");
        fs::create_dir_all(&folder).unwrap();
        let include = libtorch().join("include");
        let flags = ["-std=c++20", "-O0", "-I"].map(String::from);
        let flags = flags.into_iter().chain([include.to_str().unwrap().to_owned()]);
        compile(&folder, "libtorch_cuda.cpp", "libtorch_cuda.so", &flags.collect::<Vec<_>>());
        compile(&folder, "libcudart.cpp", "libcudart.so", &["-O0".to_owned()]);
        folder
    })
}

/// Where set-up has put libtorch, as Cargo told the build.
fn libtorch() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".setup/libtorch")
}

/// Compiles one source to a library, unless it is there and newer. Tests of several programs may do
/// so at once: it appears whole.
pub(crate) fn compile(folder: &Path, source: &str, library: &str, flags: &[String]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-ins").join(source);
    let library = folder.join(library);
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    if changed(&library).is_some_and(|built| Some(built) > changed(&source)) {
        return;
    }
    let unfinished = tempfile::Builder::new().prefix("stand-in").tempfile_in(folder).unwrap();
    let name = library.file_name().unwrap().to_str().unwrap();
    let compiler = if source.extension().is_some_and(|end| end == "c") { "cc" } else { "c++" };
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-w"]).arg(format!("-Wl,-soname,{name}"));
    command.arg(&source).arg("-o").arg(unfinished.path()).args(flags).arg("-ldl");
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    unfinished.persist(&library).unwrap();
}
