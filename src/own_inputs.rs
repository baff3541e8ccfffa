//! Outputs that would replace what a command reads: refused before anything is read.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use crate::exit::{Exit, OrExit};

/// Refuses a file to write, given as `flag`, that is one of those to read, under whatever name.
pub(crate) fn refuse_input<'a>(
    flag: &str,
    output: &Path,
    inputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<()> {
    // What is no file is refused where it is to be written.
    let same = inputs.into_iter().find(|input| input.is_file() && is_same_file(input, output));
    match same {
        Some(input) => Err(anyhow!(
            "{flag} {} would replace {}, which is read: choose another name",
            output.display(),
            input.display()
        ))
        .or_exit(Exit::BadInput),
        None => Ok(()),
    }
}

/// Refuses a folder to write, given as `flag`, where files that are read would be replaced: those that
/// `is_replaced` says so of by their names.
pub(crate) fn refuse_inputs_in<'a>(
    flag: &str,
    folder: &Path,
    is_replaced: impl Fn(&str) -> bool,
    inputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<()> {
    let Ok(folder) = folder.canonicalize() else { return Ok(()) };
    let inside = |input: &&PathBuf| {
        let Ok(input) = input.canonicalize() else { return false };
        let name = input.file_name().unwrap_or_default().to_string_lossy();
        input.parent() == Some(&folder) && is_replaced(&name)
    };
    match inputs.into_iter().find(inside) {
        Some(input) => Err(anyhow!(
            "{flag} {} holds {}, which is read and would be replaced: choose another folder",
            folder.display(),
            input.display()
        ))
        .or_exit(Exit::BadInput),
        None => Ok(()),
    }
}

/// Whether two paths lead to one file, which is there.
fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let place = |path: &Path| path.metadata().map(|about| (about.dev(), about.ino()));
        matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
    }
    #[cfg(not(unix))]
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_input_is_known_under_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.png");
        fs::write(&input, "x").unwrap();
        let inputs = [folder.path().join("missing"), input.clone()];
        let hard = folder.path().join("hard.png");
        fs::hard_link(&input, &hard).unwrap();
        for output in [&input, &hard, &folder.path().join("./in.png")] {
            let error = refuse_input("--out", output, &inputs).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::BadInput);
            assert!(error.to_string().contains("in.png, which is read"), "{error}");
        }
        refuse_input("--out", &folder.path().join("new.png"), &inputs).unwrap();
        let ends = |name: &str| name.ends_with(".png");
        let error = refuse_inputs_in("--out", folder.path(), ends, &inputs).unwrap_err();
        assert!(error.to_string().contains("would be replaced"), "{error}");
        refuse_inputs_in("--out", folder.path(), |name| name == "b", &inputs).unwrap();
        refuse_inputs_in("--out", &folder.path().join("new"), ends, &inputs).unwrap();
    }
}
