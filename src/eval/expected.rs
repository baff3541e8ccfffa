//! The table of what was asked for: JSON lines, one for each take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use wan_alpha_core::Watch;
use wan_alpha_take::{Ellipse, Interpolation, Track};

use super::clip::ClipPlace;
use super::measure::NamedHue;
use crate::exit::{Exit, OrExit};
use crate::text_file;
use crate::unique_json;

/// What was asked for in one take.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// The line it stands in, from 1.
    pub(super) line: usize,
    pub(super) which: Which,
    pub(super) prompt: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) color: Option<NamedHue>,
    /// What it lets through, by the name in the labels: `opaque`, `translucent`.
    pub(super) opacity: Option<String>,
    track: Option<Placed>,
}

/// The take that a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Its key, or the beginning of it.
    Key(String),
    Folder(PathBuf),
}

/// A line as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    take: Option<String>,
    folder: Option<PathBuf>,
    prompt: Option<String>,
    kind: Option<String>,
    #[serde(rename = "colour")]
    color: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    ellipse: Option<Placed>,
}

/// An ellipse for each latent frame, or as `render --ellipse` takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Placed {
    Track(Vec<Ellipse>),
    Keys(String),
}

impl Expected {
    /// Reads what is expected of takes, a line of JSON for each.
    pub(super) fn read(path: &Path, watch: &dyn Watch) -> Result<Vec<Self>> {
        let read = || -> Result<Vec<Self>> {
            let text = text_file::read_text(path, watch)??;
            let folder = path.parent().unwrap_or(Path::new(""));
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let rows: Vec<Self> = lines
                .map(|(index, line)| {
                    Self::of_line(index + 1, line, folder)
                        .with_context(|| format!("line {}", index + 1))
                })
                .collect::<Result<_>>()?;
            ensure!(!rows.is_empty(), "it is empty");
            Ok(rows)
        };
        read()
            .with_context(|| format!("cannot read the table of what was asked, {}", path.display()))
            .or_exit(Exit::BadInput)
    }

    fn of_line(number: usize, line: &str, folder: &Path) -> Result<Self> {
        let Line { take, folder: place, prompt, kind, color, labels, ellipse } =
            unique_json::from_str(line)?;
        let which = match (take, place) {
            (Some(key), None) => Which::Key(key),
            (None, Some(place)) => Which::Folder(folder.join(place)),
            _ => return Err(anyhow!("expected either a take (its key) or a folder")),
        };
        // Labels go first: the `kind` of a data set's table is whether a clip moves.
        let label = |own: Option<String>, name: &str| labels.get(name).cloned().or(own);
        let color = label(color, "colour").map(|name| name.parse()).transpose()?;
        let kind = label(kind, "kind");
        let opacity = label(None, "opacity");
        Ok(Self { line: number, which, prompt, kind, color, opacity, track: ellipse })
    }

    /// Whether it is about the clip at `place`.
    pub(super) fn is_about(&self, place: &ClipPlace) -> bool {
        match (&self.which, place) {
            (Which::Key(beginning), ClipPlace::Key(key)) => key.starts_with(beginning),
            (Which::Folder(asked), ClipPlace::Folder(folder)) => {
                asked.canonicalize().is_ok_and(|asked| asked == *folder)
            }
            _ => false,
        }
    }

    /// The asked ellipse of each latent frame.
    pub(super) fn track(&self, latent_frames: usize) -> Result<Option<Vec<Ellipse>>> {
        let track = || -> Result<Option<Vec<Ellipse>>> {
            Ok(match &self.track {
                None => None,
                Some(Placed::Track(track)) => Some(track.clone()),
                Some(Placed::Keys(text)) => {
                    let track = Track::parse(text, Interpolation::Linear)?;
                    Some(track.at_latent_frames(latent_frames))
                }
            })
        };
        track()
            .with_context(|| format!("the ellipse in line {} of --asked", self.line))
            .or_exit(Exit::BadInput)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Expected> {
        Expected::of_line(3, text, Path::new("table"))
    }

    #[test]
    fn labels_stand_beside_or_among_the_labels_and_folders_are_the_table_s() {
        let row = line(
            r#"{"folder":"a/b","prompt":"p","labels":{"kind":"ring","colour":"cyan","size":"small"},
                "ellipse":"0: 0.2,0.5,0.6,0.4,0; 8: 0.8,0.5,0.6,0.4,0"}"#,
        )
        .unwrap();
        assert_eq!(row.which, Which::Folder("table/a/b".into()));
        assert_eq!((row.kind.as_deref(), row.color.unwrap().name()), (Some("ring"), "cyan"));
        let track = row.track(3).unwrap().unwrap();
        // Latent frames stand for take frames 0, 1 to 4 and 5 to 8.
        let x: Vec<f64> = track.iter().map(|ellipse| ellipse.x).collect();
        assert!((x[0] - 0.2).abs() < 1e-9 && (x[2] - (0.2 + 0.6 * 6.5 / 8.0)).abs() < 1e-9);
        let row = line(r#"{"take":"3f09","kind":"ball"}"#).unwrap();
        assert!(row.is_about(&ClipPlace::Key("3f0912".into())));
        assert!(!row.is_about(&ClipPlace::Key("4f0912".into())));
        assert!(row.track(3).unwrap().is_none());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            (r#"{"prompt":"p"}"#, "either a take"),
            (r#"{"take":"a","folder":"b"}"#, "either a take"),
            (r#"{"take":"a","colour":"mauve"}"#, "no color `mauve`"),
            (r#"{"take":"a","color":"red"}"#, "unknown field `color`"),
            ("nonsense", "expected"),
        ] {
            let error = format!("{:#}", line(text).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
        let row = line(r#"{"take":"a","ellipse":"0.5,0.5"}"#).unwrap();
        assert!(format!("{:#}", row.track(1).unwrap_err()).contains("line 3 of --asked"));
    }
}
