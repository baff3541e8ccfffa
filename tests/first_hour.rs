//! The first hour of the documents, typed in a fresh home; see the script, which says how.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

#[test]
fn what_the_documents_tell_to_type_works_in_a_fresh_home() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/first_hour.sh");
    let output =
        Command::new("sh").arg(script).arg(env!("CARGO_BIN_EXE_wan-alpha")).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("lines typed in"), "{said}");
    println!("{said}");
}
