//! `wan-alpha completions` and `wan-alpha man`: what the command line is, for shells and for `man`,
//! made from its definition.

use std::fs;
use std::io::{Write, stdout};
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Exit, OrExit};
use crate::stdout::{heard, print_lines};
use crate::write_lock::WriteLock;

/// Prints the completions of a shell.
pub(crate) fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wan-alpha", &mut script);
    print(mended(shell, &String::from_utf8(script)?).as_bytes())
}

/// For bash, clap_complete 4.6 sets `wan__alpha__subcmd__take` and asks for `wan__subcmd__alpha__subcmd__take`
/// where a command has a hyphen: no verb would have completions.
fn mended(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => script.replace("wan__subcmd__alpha", "wan__alpha"),
        _ => script.to_owned(),
    }
}

/// Prints the page of the command, or writes a page for it and for each of its verbs into a folder.
pub(crate) fn man(folder: Option<&Path>) -> Result<()> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return print(&page);
    };
    let explain = || format!("cannot write pages into {}", folder.display());
    fs::create_dir_all(folder).with_context(explain).or_exit(Exit::BadInput)?;
    let _lock = WriteLock::of_folder(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(explain)
        .or_exit(Exit::BadInput)?;
    print_lines(&[folder.display().to_string()])
}

fn print(bytes: &[u8]) -> Result<()> {
    let mut out = stdout().lock();
    heard(out.write_all(bytes).and_then(|()| out.flush()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn bash_completes_verbs_and_what_follows_them() {
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "wan-alpha", &mut script);
        let script = mended(Shell::Bash, &String::from_utf8(script).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wan-alpha");
        fs::write(&file, script).unwrap();
        let completed = |words: &[&str]| {
            let line = format!(
                "source {}; COMP_WORDS=({} ''); COMP_CWORD={}; _wan__alpha wan-alpha '' {}; echo \
                 \"${{COMPREPLY[@]}}\"",
                file.display(),
                words.join(" "),
                words.len(),
                words[words.len() - 1]
            );
            let done = Command::new("bash").args(["-c", &line]).output().unwrap();
            String::from_utf8(done.stdout).unwrap()
        };
        assert!(completed(&["wan-alpha"]).contains("render"));
        assert!(completed(&["wan-alpha", "take"]).contains("export"));
        assert!(completed(&["wan-alpha", "render"]).contains("--prompt"));
    }
}
