//! The file of an image that a take begins with: read and kept by the program that makes takes, so that
//! node and command have the same of one file, whatever its colors are.

#![forbid(unsafe_code)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use thiserror::Error;
use wan_alpha_take::{ContentHash, ImageSource};

/// A network folder may take its time; nobody waits longer than this for a picture.
const PATIENCE: Duration = Duration::from_secs(30);

/// The file of an image, and where its alpha comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ImageFile {
    pub(crate) path: PathBuf,
    /// A picture of the same size that is its alpha.
    pub(crate) matte: Option<PathBuf>,
    /// Whether an image without alpha is opaque; else it is refused.
    pub(crate) opaque: bool,
}

/// What a change of files shows by: length and time of the last change of each.
pub(crate) type FileStamps = Vec<(u64, Option<SystemTime>)>;

/// An image that lies in the store now.
#[derive(Clone, Debug)]
pub(crate) struct KeptImage {
    pub(crate) source: ImageSource,
    /// Width and height in pixels.
    pub(crate) size: [u32; 2],
    /// What is to be known of how it was read, in sentences.
    pub(crate) told: Vec<String>,
}

/// Why the file of an image is not kept.
#[derive(Debug, Error)]
pub(crate) enum ImageFileError {
    /// A path that depends on where the host stands.
    #[error("{what} is `{}`: expected the whole path of a file, from the root on", path.display())]
    NotAbsolute {
        /// Label of the parameter that names it.
        what: &'static str,
        /// The path as it was typed.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("{what}: there is no file {}; choose another", path.display())]
    Missing {
        /// Label of the parameter that names it.
        what: &'static str,
        /// The path as it was typed.
        path: PathBuf,
    },
    /// The program that reads it cannot be run.
    #[error(
        "{} cannot be run to read the image ({reason}); install the bundle again, or set WAN_ALPHA_ENGINE",
        program.display()
    )]
    Program {
        /// Where the program was looked for.
        program: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// It has taken too long.
    #[error("the image was not read within {} s; copy it to a faster folder", PATIENCE.as_secs())]
    Slow,
    /// The program has refused it, and why.
    #[error("{0}")]
    Refused(String),
}

/// The program that reads images, and with what.
#[derive(Debug)]
pub(crate) struct ImageReader<'a> {
    pub(crate) program: &'a Path,
    /// All variables of its environment.
    pub(crate) environment: &'a [(std::ffi::OsString, std::ffi::OsString)],
    /// The folders of the store.
    pub(crate) stores: &'a [PathBuf],
}

impl ImageFile {
    /// What its files are like now.
    ///
    /// # Errors
    /// One is not there, or its path is not whole.
    pub(crate) fn stamps(&self) -> Result<FileStamps, ImageFileError> {
        let files = [("Image", Some(&self.path)), ("Matte", self.matte.as_ref())];
        let stamp = |(what, path): (&'static str, &PathBuf)| {
            if !path.is_absolute() {
                return Err(ImageFileError::NotAbsolute { what, path: path.clone() });
            }
            let about = path.metadata().ok().filter(std::fs::Metadata::is_file);
            let about =
                about.ok_or_else(|| ImageFileError::Missing { what, path: path.clone() })?;
            Ok((about.len(), about.modified().ok()))
        };
        files.into_iter().filter_map(|(what, path)| Some((what, path?))).map(stamp).collect()
    }

    /// What a request calls it.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        ImageSource::new(ContentHash([0; 32]), &name).name
    }
}

impl ImageReader<'_> {
    /// Has an image read and put into the store.
    ///
    /// # Errors
    /// The program cannot be run, refuses the image, or takes too long.
    pub(crate) fn keep(&self, image: &ImageFile) -> Result<KeptImage, ImageFileError> {
        let failed = |reason| ImageFileError::Program { program: self.program.to_owned(), reason };
        let mut child = self.command(image).spawn().map_err(failed)?;
        let begun = Instant::now();
        let status = loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => break status,
                None if begun.elapsed() > PATIENCE => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(ImageFileError::Slow);
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let (answer, said) = told(&mut child);
        let kept = status.success().then(|| kept_of(&answer, &said)).flatten();
        kept.ok_or_else(|| ImageFileError::Refused(refusal(&said)))
    }

    fn command(&self, image: &ImageFile) -> Command {
        let mut command = Command::new(self.program);
        command.args(["take", "keep-image", "--json"]);
        if let Some(matte) = &image.matte {
            command.arg("--matte").arg(matte);
        }
        command.args(image.opaque.then_some("--opaque")).arg("--").arg(&image.path);
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.env_clear().envs(environment);
        if let Ok(stores) = std::env::join_paths(self.stores) {
            command.env("WAN_ALPHA_STORE", stores);
        }
        // Where the host stands is its own affair, and may be a disk that is to be ejected.
        if let Some(folder) = self.program.parent().filter(|folder| folder.is_absolute()) {
            command.current_dir(folder);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// What a process that has ended has printed, and what it has said.
fn told(child: &mut Child) -> (String, String) {
    let (mut answer, mut said) = (String::new(), String::new());
    if let Some(out) = &mut child.stdout {
        let _ = out.read_to_string(&mut answer);
    }
    if let Some(err) = &mut child.stderr {
        let _ = err.read_to_string(&mut said);
    }
    (answer, said)
}

/// The answer of the program.
fn kept_of(answer: &str, said: &str) -> Option<KeptImage> {
    let answer: Value = serde_json::from_str(answer.trim()).ok()?;
    let hash = answer["hash"].as_str()?.parse().ok()?;
    let side = |name: &str| u32::try_from(answer[name].as_u64()?).ok();
    let warnings = said.lines().filter_map(|line| line.strip_prefix("warning: "));
    Some(KeptImage {
        source: ImageSource::new(hash, answer["name"].as_str()?),
        size: [side("width")?, side("height")?],
        told: warnings.map(|line| format!("{}.", line.trim_end_matches('.'))).collect(),
    })
}

/// Why the program has refused an image, as it says at the end.
fn refusal(said: &str) -> String {
    let reason = said.rsplit_once("wan-alpha: ").map_or(said, |(_, reason)| reason);
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let flags = [("--matte FILE", "Matte"), ("--opaque", "Opaque image")];
    let reason = flags.iter().fold(reason, |text, (flag, label)| text.replace(flag, label));
    if reason.is_empty() { "the image could not be read".to_owned() } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_hash_name_and_size_and_warnings_are_told() {
        let hash = "ab".repeat(32);
        let answer = format!(r#"{{"hash":"{hash}","name":"a.png","width":4,"height":2}}"#);
        let kept = kept_of(&answer, "remark\nwarning: a.png: wide colors are cut\n").unwrap();
        assert_eq!((kept.size, &*kept.source.name), ([4, 2], "a.png"));
        assert_eq!(kept.source.hash.to_string(), hash);
        assert_eq!(kept.told, ["a.png: wide colors are cut."]);
        for broken in ["", "{}", r#"{"hash":"ab"}"#] {
            assert!(kept_of(broken, "").is_none());
        }
    }

    #[test]
    fn a_refusal_is_said_in_the_words_of_the_panel() {
        let said = "warning: x\nwan-alpha: the image a.png: it has no alpha; give its alpha as a second \
                    picture with --matte FILE, or take it as opaque with --opaque\n";
        let text = refusal(said);
        assert!(text.ends_with("with Matte, or take it as opaque with Opaque image"), "{text}");
        assert_eq!(refusal(" \n"), "the image could not be read");
    }

    #[test]
    fn a_path_is_whole_and_there_before_anything_is_run() {
        let file = |path: &str| ImageFile { path: path.into(), matte: None, opaque: false };
        let says = |path| file(path).stamps().unwrap_err().to_string();
        assert!(says("fox.png").contains("whole path"));
        assert!(says("--opaque").contains("whole path"));
        assert!(says("/nowhere/fox.png").contains("no file /nowhere/fox.png"));
        assert!(says("/").contains("no file"));
    }
}
