//! Small ELF files made for tests with the machine's C compiler.

use std::path::Path;
use std::process::Command;

/// What a file is to be like.
#[derive(Default)]
pub(super) struct Planted<'a> {
    pub(super) exports: &'a [&'a str],
    /// Libraries asked for, by name; none needs to exist.
    pub(super) needs: &'a [&'a str],
    pub(super) arguments: &'a [&'a str],
}

/// Makes a shared library.
pub(super) fn compile(file: &Path, planted: &Planted<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let cc = |arguments: &[String]| {
        let made = Command::new("cc")
            .args(["-shared", "-nostdlib", "-fPIC", "-Wl,--no-as-needed"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let source = folder.path().join("source.c");
    std::fs::write(&source, "").unwrap();
    let source_name = source.display().to_string();
    let mut arguments = Vec::new();
    for name in planted.needs {
        let library = folder.path().join(name).display().to_string();
        cc(&["-o".into(), library.clone(), format!("-Wl,-soname,{name}"), source_name.clone()]);
        arguments.push(library);
    }
    let text: String =
        planted.exports.iter().map(|name| format!("int {name}(void) {{ return 0; }}\n")).collect();
    std::fs::write(&source, text).unwrap();
    let mut all = vec!["-o".to_owned(), file.display().to_string(), source_name];
    all.extend(planted.arguments.iter().map(|&argument| argument.to_owned()));
    all.extend(arguments);
    cc(&all);
}
