//! `gl.c`, built and loaded as a host would have OpenGL loaded.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![allow(dead_code, reason = "not every test looks at everything")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::path::PathBuf;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};

/// The file, and the folder that it lives in.
pub(crate) struct Built {
    file: PathBuf,
    _folder: tempfile::TempDir,
}

/// Something drawn: mode, width of lines, color, points.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) mode: u32,
    pub(crate) width: f32,
    pub(crate) color: [f32; 4],
    pub(crate) points: Vec<[f64; 2]>,
}

/// The library, loaded into this process.
pub(crate) struct FakeGl {
    library: Library,
    /// The library keeps the pointer.
    versions: Vec<CString>,
}

impl Built {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libGL.so.1");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake-gl/gl.c");
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let compiler = cc::Build::new()
            .target(&target)
            .host(&target)
            .opt_level(0)
            .cargo_metadata(false)
            .get_compiler();
        let output = compiler
            .to_command()
            .args(["-std=gnu11", "-shared", "-fPIC", "-Wl,-soname,libGL.so.1", "-o"])
            .arg(&file)
            .arg(source)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{} cannot build {source}: {told}",
            compiler.path().display()
        );
        Self { file, _folder: folder }
    }

    /// Whether its functions can be found by everybody in the process, or only by name.
    pub(crate) fn load(&self, by_everybody: bool) -> FakeGl {
        let scope = if by_everybody { RTLD_GLOBAL } else { RTLD_LOCAL };
        // SAFETY: loading it runs nothing.
        let library = unsafe { Library::open(Some(&self.file), RTLD_NOW | scope) }.unwrap();
        FakeGl { library, versions: Vec::new() }
    }
}

impl FakeGl {
    fn function<F: Copy>(&self, name: &str) -> F {
        // SAFETY: each caller below gives the type that the function has in gl.c.
        *unsafe { self.library.get::<F>(name) }.unwrap()
    }

    /// A new context; None stands for no context.
    pub(crate) fn reset(&mut self, version: Option<&str>, profile: c_int, flags: c_int) {
        type Reset = unsafe extern "C" fn(*const c_char, c_int, c_int);
        let version = version.map(|version| CString::new(version).unwrap());
        let pointer = version.as_ref().map_or(std::ptr::null(), |version| version.as_ptr());
        // SAFETY: the string is kept as long as the library is.
        unsafe { self.function::<Reset>("fake_gl_reset")(pointer, profile, flags) };
        self.versions.extend(version);
    }

    pub(crate) fn fill_stacks(&self, attributes: bool, matrices: bool) {
        type Fill = unsafe extern "C" fn(c_int, c_int);
        // SAFETY: the function takes any numbers.
        unsafe {
            self.function::<Fill>("fake_gl_fill_stacks")(attributes.into(), matrices.into());
        }
    }

    pub(crate) fn set_error(&self, error: c_uint, lasting: bool) {
        type Set = unsafe extern "C" fn(c_uint, c_int);
        // SAFETY: the function takes any numbers.
        unsafe { self.function::<Set>("fake_gl_set_error")(error, lasting.into()) };
    }

    /// The error that the host would find.
    pub(crate) fn error(&self) -> c_uint {
        // SAFETY: the function takes nothing.
        unsafe { self.function::<unsafe extern "C" fn() -> c_uint>("glGetError")() }
    }

    /// All that may be set, and how deep the stacks are.
    pub(crate) fn state(&self) -> String {
        self.text("fake_gl_state")
    }

    fn text(&self, name: &str) -> String {
        type Text = unsafe extern "C" fn() -> *const c_char;
        // SAFETY: the function gives a C string that stays until the next call.
        unsafe { CStr::from_ptr(self.function::<Text>(name)()) }.to_str().unwrap().to_owned()
    }

    /// What was drawn. Panics where OpenGL would have refused something.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let journal = self.text("fake_gl_journal");
        let faults: Vec<&str> = journal.lines().filter(|line| line.starts_with("fault")).collect();
        assert!(faults.is_empty(), "{faults:#?}");
        let mut figures: Vec<Figure> = Vec::new();
        for line in journal.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match *words {
                ["figure", mode, "width", width, "color", r, g, b, a] => figures.push(Figure {
                    mode: mode.parse().unwrap(),
                    width: width.parse().unwrap(),
                    color: [r, g, b, a].map(|part| part.parse().unwrap()),
                    points: Vec::new(),
                }),
                [x, y] => {
                    let point = [x, y].map(|number| number.parse().unwrap());
                    figures.last_mut().unwrap().points.push(point);
                }
                _ => panic!("{line}"),
            }
        }
        figures
    }
}
