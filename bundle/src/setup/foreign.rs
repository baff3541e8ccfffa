//! What the user brings: a libtorch named by `LIBTORCH`, a libclang named by `LIBCLANG_PATH`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::own::assigned;
use super::parts::LIBCLANG;
use crate::tree::Tree;

/// The version that torch-sys asks for.
const TORCH_VERSION: &str = "2.13.0";

const ADVICE: &str = "Set LIBTORCH to the absolute path of a libtorch 2.13.0, or unset it to let \
                      set-up bring one";

/// The folder that `LIBTORCH` names, where it is not the one that set-up lays out.
pub(crate) fn named(tree: &Tree) -> Option<PathBuf> {
    other_than(&tree.libtorch(), "LIBTORCH")
}

/// The folder or file that `LIBCLANG_PATH` names, where it is not what set-up lays out.
pub(crate) fn libclang(tree: &Tree) -> Option<PathBuf> {
    other_than(&tree.setup().join(LIBCLANG.folder).join("lib"), "LIBCLANG_PATH")
}

/// Whether C compilers, libclang among them, are sent to other headers than those set-up lays out.
pub(crate) fn headers(tree: &Tree) -> bool {
    let ours = tree.setup().join(LIBCLANG.folder).join("include");
    let named = env::var_os("C_INCLUDE_PATH").filter(|value| !value.is_empty());
    named.is_some_and(|named| !env::split_paths(&named).any(|folder| same(&folder, &ours)))
}

fn other_than(ours: &Path, variable: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)?;
    (!same(&named, ours)).then_some(named)
}

fn same(named: &Path, ours: &Path) -> bool {
    match (named.canonicalize(), ours.canonicalize()) {
        (Ok(named), Ok(ours)) => named == ours,
        _ => named == ours,
    }
}

/// That the user's own libclang is there; whether it can be loaded is for bindgen to find out.
pub(crate) fn check_libclang(libclang: &Path) -> Result<()> {
    ensure!(
        libclang.exists(),
        "LIBCLANG_PATH points to {}, which is not there. Set it to the folder of a libclang.so, or \
         unset it to let set-up bring one",
        libclang.display()
    );
    Ok(())
}

/// The version of the user's own libtorch, where it can be built against.
pub(crate) fn check(libtorch: &Path) -> Result<String> {
    let shown = libtorch.display();
    ensure!(libtorch.is_absolute(), "LIBTORCH is the relative path {shown}. {ADVICE}");
    for file in ["lib/libtorch.so", "lib/libtorch_cpu.so", "lib/libc10.so", "include/torch/csrc"] {
        ensure!(
            libtorch.join(file).exists(),
            "LIBTORCH points to {shown}, where {file} is missing. {ADVICE}"
        );
    }
    let Some(version) = version(libtorch) else {
        anyhow::bail!("LIBTORCH points to {shown}, where no file names a version. {ADVICE}");
    };
    ensure!(
        version.split('+').next() == Some(TORCH_VERSION),
        "LIBTORCH points to {shown}, whose version is {version}; this needs {TORCH_VERSION}. {ADVICE}"
    );
    Ok(version)
}

/// From `build-version`, or from `version.py` where it is a Python package.
pub(crate) fn version(libtorch: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(libtorch.join("build-version")) {
        return text.lines().next().map(|line| line.trim().to_owned());
    }
    let text = fs::read_to_string(libtorch.join("version.py")).ok()?;
    assigned(&text, "__version__").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libtorch() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("include/torch/csrc")).unwrap();
        fs::create_dir_all(folder.path().join("lib")).unwrap();
        for name in ["libtorch.so", "libtorch_cpu.so", "libc10.so"] {
            fs::write(folder.path().join("lib").join(name), "").unwrap();
        }
        folder
    }

    #[test]
    fn a_complete_one_of_the_right_version_is_accepted() {
        let folder = libtorch();
        fs::write(folder.path().join("version.py"), "__version__ = '2.13.0'\n").unwrap();
        assert_eq!(check(folder.path()).unwrap(), "2.13.0");
        fs::write(folder.path().join("build-version"), "2.13.0+cpu\n").unwrap();
        assert_eq!(check(folder.path()).unwrap(), "2.13.0+cpu");
    }

    #[test]
    fn each_reason_to_refuse_is_its_own_sentence() {
        let refusal = |path: &Path| check(path).unwrap_err().to_string();
        assert!(refusal(Path::new("libtorch")).contains("relative path"));

        let folder = libtorch();
        assert!(refusal(folder.path()).contains("no file names a version"));
        fs::write(folder.path().join("build-version"), "2.12.1+cpu\n").unwrap();
        let told = refusal(folder.path());
        assert!(told.contains("2.12.1+cpu") && told.contains("needs 2.13.0"), "{told}");
        fs::remove_file(folder.path().join("lib/libc10.so")).unwrap();
        assert!(refusal(folder.path()).contains("lib/libc10.so is missing"));
    }

    #[test]
    fn a_libclang_that_is_not_there_is_told_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_libclang(folder.path()).is_ok());
        let error = check_libclang(&folder.path().join("absent")).unwrap_err().to_string();
        assert!(error.contains("LIBCLANG_PATH") && error.contains("unset it"), "{error}");
    }

    #[test]
    fn ours_is_recognized_through_a_link() {
        let folder = libtorch();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("lib"), &link).unwrap();
        assert!(same(&link, &folder.path().join("lib")));
        assert!(same(Path::new("absent/a"), Path::new("absent/a")));
        assert!(!same(&link, &folder.path().join("include")));
    }
}
