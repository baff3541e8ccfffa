//! The headers that belong to a C compiler rather than to the system: `stddef.h`, `limits.h` and
//! their kin.
//!
//! The libclang of the wheel comes without its own. gcc's and clang's are written in terms that
//! both understand, so those of the machine's compiler complete it. Only these few are taken: the
//! rest, such as `immintrin.h`, fit one version of one compiler.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::machine::Compiler;

/// How the names begin; clang puts parts of them in files that begin with two underscores.
const BEGINNINGS: &[&str] = &["std", "float", "iso646", "limits", "syslimits"];

/// What the headers of OpenFX include, and what those include.
const LEAST: &[&str] = &["limits.h", "stdbool.h", "stddef.h"];

/// Older gcc keeps `limits.h` in the second.
const FOLDERS: &[&str] = &["include", "include-fixed"];

/// Where these headers of a compiler lie, by name.
pub(crate) fn of(compiler: &Compiler) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for folder in FOLDERS {
        let answer = compiler
            .command()
            .arg(format!("-print-file-name={folder}"))
            .output()
            .context("the C compiler could not be started")?;
        // A compiler that has no such folder answers with its bare name.
        let answer = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
        if answer.is_absolute() {
            folders.push(answer);
        }
    }
    within(&folders)
}

/// The first of each name counts, as for a compiler.
fn within(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            let known = found.iter().any(|other| other.file_name() == path.file_name());
            if is_wanted(&path) && !known {
                found.push(path);
            }
        }
    }
    found.sort();
    for name in LEAST {
        ensure!(
            found.iter().any(|path| path.file_name().is_some_and(|found| found == *name)),
            "the C compiler has no {name} of its own in {folders:?}. Install gcc or clang whole, \
             for example `apt install gcc`, or name another compiler in CC, and run again"
        );
    }
    Ok(found)
}

fn is_wanted(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bare = name.trim_start_matches('_');
    name.ends_with(".h") && BEGINNINGS.iter().any(|word| bare.starts_with(word)) && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), name).unwrap();
        }
        folder
    }

    fn names(paths: &[PathBuf]) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        paths.iter().map(name).collect()
    }

    #[test]
    fn only_what_every_compiler_brings_is_taken() {
        let first =
            folder(&["stddef.h", "__stddef_size_t.h", "stdbool.h", "immintrin.h", "std.txt"]);
        let second = folder(&["limits.h", "stddef.h", "README"]);
        let folders = [first.path().to_path_buf(), second.path().to_path_buf()];
        let found = within(&folders).unwrap();
        let mut found_names = names(&found);
        found_names.sort();
        assert_eq!(found_names, ["__stddef_size_t.h", "limits.h", "stdbool.h", "stddef.h"]);
        assert!(found.contains(&first.path().join("stddef.h")));
    }

    #[test]
    fn a_compiler_without_its_headers_is_told_with_a_remedy() {
        let incomplete = folder(&["stddef.h", "stdbool.h"]);
        let folders = [incomplete.path().to_path_buf(), PathBuf::from("/absent")];
        let error = within(&folders).unwrap_err().to_string();
        assert!(error.contains("no limits.h") && error.contains("CC"), "{error}");
    }

    #[test]
    fn the_compiler_of_this_machine_has_them() {
        let found = of(&Compiler::c().unwrap()).unwrap();
        assert!(found.len() >= LEAST.len());
    }
}
