//! ffmpeg: where it is, how old, and whether it has the encoder that a movie needs.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use anyhow::{Result, anyhow, bail};

use super::codec::{MovieCodec, MovieFormat};

/// The oldest version that is tested.
const OLDEST: u32 = 6;

const INSTALL: &str = "install ffmpeg 6 or later (your system's package `ffmpeg`, or `pip install \
                       imageio-ffmpeg` and a link called ffmpeg to its program on PATH)";

/// The program, and what it said of itself.
#[derive(Clone, Debug)]
pub(super) struct Ffmpeg {
    /// Its first line, without the copyright.
    pub(super) version: String,
}

impl Ffmpeg {
    /// The program on PATH, if it can write a format.
    pub(super) fn for_format(format: &MovieFormat, codec: MovieCodec) -> Result<Self> {
        let said = ask(&["-version"]).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                anyhow!("{codec} is written by ffmpeg, which is not on PATH: {INSTALL}")
            }
            _ => anyhow!("ffmpeg cannot be started: {error}"),
        })?;
        let first = said.lines().next().unwrap_or_default();
        let version = first.split(" Copyright").next().unwrap_or_default().trim().to_owned();
        if major(&version).is_some_and(|major| major < OLDEST) {
            bail!("{codec} needs ffmpeg {OLDEST} or later, and this is {version}: {INSTALL}");
        }
        let about = ask(&["-h", &format!("encoder={}", format.encoder)])?;
        if !about.contains("Encoder ") {
            bail!(
                "{codec} needs ffmpeg's encoder {}, which this {version} was built without: {INSTALL}",
                format.encoder
            );
        }
        let formats = about.lines().find_map(|line| line.split_once("pixel formats:"));
        let has = |(_, names): (&str, &str)| {
            names.split_whitespace().any(|name| name == format.pixels.name())
        };
        if !formats.is_none_or(has) {
            bail!(
                "{codec} needs an encoder {} that takes {}, which keeps alpha; that of this {version} does \
                 not: install a newer one, or write another format (prores, webm)",
                format.encoder,
                format.pixels.name()
            );
        }
        Ok(Self { version })
    }

    /// A call of it that asks nothing and waits for nobody.
    pub(super) fn command(&self) -> Command {
        call()
    }
}

fn call() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner"]);
    command
}

/// What it prints.
fn ask(arguments: &[&str]) -> std::io::Result<String> {
    let output = call().args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The number of a release: `ffmpeg version n9.0.2-17-g…`, `ffmpeg version 6.1.1-3ubuntu5`. None of builds
/// of a day (`N-113007-g8d24a28d06`, `2026-01-01-git-…`), which are taken for new ones.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let number = number.strip_prefix('n').unwrap_or(number);
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    number[digits.len()..].starts_with('.').then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        for (version, expected) in [
            ("ffmpeg version n9.0.2-17-g2a571b6068-20260930", Some(9)),
            ("ffmpeg version 7.0.2-static https://johnvansickle.com/ffmpeg/", Some(7)),
            ("ffmpeg version 6.1.1-3ubuntu5", Some(6)),
            ("ffmpeg version 4.4.2-0ubuntu0.22.04.1", Some(4)),
            ("ffmpeg version N-113007-g8d24a28d06", None),
            ("ffmpeg version 2026-01-01-git-0000000000", None),
            ("", None),
        ] {
            assert_eq!(major(version), expected, "{version}");
        }
    }
}
