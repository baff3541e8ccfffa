//! The table of a data set: what its rows mean, read from CSV or JSON lines.
//!
//! Columns, of which only `colour` must be there: `colour`, `alpha` (empty: the color's own),
//! `caption`, `caption_short`, further `caption_…`; `kind` (still or moving), `labels`
//! (`name=value; …`, in JSON lines an object or a list), `source` (what must not be split between
//! training and validation), `association` (straight or premultiplied), `color_space` and `layer`
//! (of the color, as `--color` and `--layer` say them elsewhere), `track` (the clip's own ellipses,
//! a JSON file), `declined` (why `data caption` got no captions). Those of the released
//! tables are understood as well: `video_fgr`, `video_pha`, `prompt`, `status` (dynamic or static),
//! `cache_path`, and `frame_height`, `frame_width`, `num_frames`, which count latent cells and of
//! which the first two bear each other's names.

mod column_names;
mod csv_text;
mod json_lines;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::media::atomic_file::write_whole;
use crate::media::color_space::ColorSpace;
use crate::media::reading::{Association, PictureReading};
use crate::media::sequence::extension;
pub(crate) use column_names::meant_column;
use csv_text::Fields;

/// One row. Paths are as the table has them: [`Row::color_path`] knows the folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    /// Of the table, from 1, as editors count.
    pub(crate) line: usize,
    /// The table's folder, which paths in the table start from.
    pub(crate) folder: PathBuf,
    pub(crate) color: String,
    /// Empty: the color's own.
    pub(crate) alpha: String,
    /// The long one first; none of them empty.
    pub(crate) captions: Vec<String>,
    /// None: as its files are.
    pub(crate) moving: Option<bool>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) source: Option<String>,
    /// None: each format's own; straight where alpha is apart.
    pub(crate) association: Option<Association>,
    /// None: as the color's files say.
    pub(crate) color_space: Option<ColorSpace>,
    /// The part or layer of EXR files that is the color.
    pub(crate) layer: Option<String>,
    /// Latent frames, rows and columns, where the table says them.
    pub(crate) latent: Option<[usize; 3]>,
    /// The file of its ellipses, one per latent frame; empty: they are fitted to its alpha.
    pub(crate) track: String,
    /// Why a caption service declined it, if one did.
    pub(crate) declined: Option<String>,
    /// Columns of other programs, kept when the table is written again.
    pub(crate) others: BTreeMap<String, String>,
}

impl Row {
    /// Where its color is.
    pub(crate) fn color_path(&self) -> PathBuf {
        self.folder.join(&self.color)
    }

    /// Where its alpha is, if apart.
    pub(crate) fn alpha_path(&self) -> Option<PathBuf> {
        (!self.alpha.is_empty()).then(|| self.folder.join(&self.alpha))
    }

    /// Where its own ellipses are, if it has some.
    pub(crate) fn track_path(&self) -> Option<PathBuf> {
        (!self.track.is_empty()).then(|| self.folder.join(&self.track))
    }

    /// How its color is to be read, where the table says so.
    pub(crate) fn reading(&self) -> PictureReading {
        let (color, layer) = (self.color_space.clone(), self.layer.clone());
        PictureReading { alpha: self.association, color, layer }
    }

    /// What tells its color from that of a row with the same files: the space and the layer that the
    /// table says.
    pub(crate) fn said_of_color(&self) -> (Option<String>, Option<&str>) {
        (self.color_space.as_ref().map(ToString::to_string), self.layer.as_deref())
    }

    /// Refuses paths that are written as on another system.
    pub(crate) fn check_paths(&self) -> Result<()> {
        for (path, text) in [
            (Some(self.color_path()), &self.color),
            (self.alpha_path(), &self.alpha),
            (self.track_path(), &self.track),
        ] {
            ensure!(
                std::path::MAIN_SEPARATOR == '\\'
                    || !text.contains('\\')
                    || path.is_none_or(|path| path.exists()),
                "its path `{text}` has backslashes: write it with slashes, `{}`",
                text.replace('\\', "/")
            );
        }
        Ok(())
    }

    /// What all rows of one source have in common: what the table says, else the color's place.
    pub(crate) fn source(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.color)
    }
}

/// Reads the rows of a table, CSV or JSON lines.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>> {
    let work = || -> Result<Vec<Row>> {
        let about = path.metadata()?;
        ensure!(about.is_file() || about.is_dir(), "it is a pipe or a device: expected a file");
        let bytes = std::fs::read(path)?;
        let text = text_of(&bytes)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        json_lines::check_text(&extension(path).unwrap_or_default(), text)?;
        let rows = if is_csv(path) { csv_text::read(text)? } else { json_lines::read(text)? };
        ensure!(!rows.is_empty(), "it has no rows");
        let rows = rows.into_iter().map(|(line, fields)| {
            row(line, folder, fields).with_context(|| format!("line {line}"))
        });
        rows.collect()
    };
    work().with_context(|| format!("cannot read the table {}", path.display()))
}

/// The text of a table, without the mark that spreadsheets begin UTF-8 with, which would else be part of
/// the first name.
fn text_of(bytes: &[u8]) -> Result<&str> {
    let other = [
        (&b"PK\x03\x04"[..], "a workbook or another archive (.xlsx, .ods, .zip)"),
        (b"PAR1", "a Parquet file"),
        (b"\xff\xfe", "UTF-16 text"),
        (b"\xfe\xff", "UTF-16 text"),
    ];
    if let Some((_, what)) = other.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        bail!("it is {what}: write it as CSV in UTF-8, or as JSON lines");
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        anyhow!("it is not UTF-8 text (byte {}): save it as UTF-8", error.valid_up_to())
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn is_csv(path: &Path) -> bool {
    extension(path).as_deref() == Some("csv")
}

fn row(line: usize, folder: &Path, fields: Fields) -> Result<Row> {
    let mut row = Row { line, folder: folder.to_owned(), ..Row::default() };
    let mut grid: [Option<usize>; 3] = [None; 3];
    // Long before short: `caption`, then the others by their names, whatever the order of columns.
    let mut captions: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for (name, value) in fields {
        let text = || -> Result<String> {
            match &value {
                Value::String(text) => Ok(text.clone()),
                Value::Null => Ok(String::new()),
                Value::Number(number) => Ok(number.to_string()),
                other => bail!("{name} is {other}: expected text"),
            }
        };
        match name.as_str() {
            "colour" | "color" | "video_fgr" => row.color = text()?,
            "alpha" | "video_pha" => row.alpha = text()?,
            "kind" | "status" => row.moving = moving(&name, &text()?)?,
            "source" => row.source = Some(text()?).filter(|source| !source.is_empty()),
            "association" => row.association = association(&text()?)?,
            "color_space" => row.color_space = color_space(&text()?)?,
            "layer" => row.layer = Some(text()?).filter(|layer| !layer.is_empty()),
            "labels" => row.labels = labels(&value)?,
            "track" => row.track = text()?,
            "declined" => row.declined = Some(text()?).filter(|reason| !reason.is_empty()),
            "frame_height" => grid[2] = count(&name, &text()?)?,
            "frame_width" => grid[1] = count(&name, &text()?)?,
            "num_frames" => grid[0] = count(&name, &text()?)?,
            "prompt" => drop(captions.insert((false, String::new()), vec![text()?])),
            _ if name.starts_with("caption") => {
                let these = match &value {
                    Value::Array(list) => strings(&name, list)?,
                    _ => vec![text()?],
                };
                captions.insert((name != "caption" && name != "captions", name), these);
            }
            _ => {
                let value = if value.is_string() { text()? } else { value.to_string() };
                if !value.is_empty() {
                    row.others.insert(name, value);
                }
            }
        }
    }
    if row.color.is_empty() {
        return Err(without_color(&row));
    }
    row.captions = captions.into_values().flatten().filter(|text| !text.is_empty()).collect();
    if let [Some(frames), Some(height), Some(width)] = grid {
        row.latent = Some([frames, height, width]);
    }
    Ok(row)
}

/// Where a row's color is that has none.
fn without_color(row: &Row) -> anyhow::Error {
    let meant = |name: &String| {
        let meant = meant_column(name)?;
        ["colour", "color", "video_fgr"].contains(&meant.as_str()).then_some((name.clone(), meant))
    };
    match row.others.keys().find_map(meant) {
        Some((name, meant)) => {
            anyhow!("it has no color: the column `{name}` of line 1 has to be called `{meant}`")
        }
        None => anyhow!("it has no color: fill the column `colour` (or `video_fgr`)"),
    }
}

fn moving(name: &str, text: &str) -> Result<Option<bool>> {
    match text {
        "" => Ok(None),
        "moving" | "dynamic" | "video" => Ok(Some(true)),
        "still" | "static" | "image" => Ok(Some(false)),
        _ => bail!("{name} is `{text}`: expected still or moving (or static or dynamic)"),
    }
}

fn association(text: &str) -> Result<Option<Association>> {
    match text {
        "" => Ok(None),
        "straight" => Ok(Some(Association::Straight)),
        "premultiplied" => Ok(Some(Association::Premultiplied)),
        _ => bail!("association is `{text}`: expected straight or premultiplied"),
    }
}

fn color_space(text: &str) -> Result<Option<ColorSpace>> {
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(text.parse().context("color_space")?))
}

fn count(name: &str, text: &str) -> Result<Option<usize>> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse().with_context(|| format!("{name} is `{text}`: expected a number"))?;
    Ok(Some(number))
}

fn strings(name: &str, list: &[Value]) -> Result<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    list.iter().map(|value| text(value).with_context(|| format!("{name} holds {value}"))).collect()
}

/// `name=value; …`, a list of the same, or an object. A label without a value is one as well.
fn labels(value: &Value) -> Result<BTreeMap<String, String>> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    };
    let pairs: Vec<(String, String)> = match value {
        Value::Null => vec![],
        Value::String(text) => text.split(';').map(pair).collect(),
        Value::Array(list) => strings("labels", list)?.iter().map(|text| pair(text)).collect(),
        Value::Object(object) => {
            let value = |value: &Value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            object.iter().map(|(name, v)| (name.clone(), value(v))).collect()
        }
        other => bail!("labels are {other}: expected text, a list or an object"),
    };
    Ok(pairs.into_iter().filter(|(name, _)| !name.is_empty()).collect())
}

/// Writes rows as a table, CSV or JSON lines by the name's end, whole or not at all.
pub(crate) fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let bytes = if is_csv(path) {
        csv_text::write(&rows.iter().map(fields).collect::<Vec<_>>())?
    } else {
        json_lines::write(rows.iter().map(fields))?
    };
    Ok(write_whole(path, &bytes)?)
}

fn fields(row: &Row) -> Fields {
    let mut fields: Fields =
        row.others.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            fields.insert(name.to_owned(), value.into());
        }
    };
    set("colour", &row.color);
    set("alpha", &row.alpha);
    for (index, caption) in row.captions.iter().enumerate() {
        match index {
            0 => set("caption", caption),
            1 => set("caption_short", caption),
            // Sorted behind the short one, as they were.
            _ => set(&format!("caption_then_{:02}", index + 1), caption),
        }
    }
    set("kind", row.moving.map_or("", |moving| if moving { "moving" } else { "still" }));
    set("source", row.source.as_deref().unwrap_or_default());
    set("track", &row.track);
    set("declined", row.declined.as_deref().unwrap_or_default());
    set(
        "association",
        match row.association {
            Some(Association::Straight) => "straight",
            Some(Association::Premultiplied) => "premultiplied",
            None => "",
        },
    );
    set("color_space", &row.color_space.as_ref().map(ToString::to_string).unwrap_or_default());
    set("layer", row.layer.as_deref().unwrap_or_default());
    if let Some([frames, height, width]) = row.latent {
        // As released, names exchanged.
        set("num_frames", &frames.to_string());
        set("frame_width", &height.to_string());
        set("frame_height", &width.to_string());
    }
    if !row.labels.is_empty() {
        let labels = row.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        fields.insert("labels".to_owned(), Value::Object(labels.collect()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Vec<Row>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut rows = read(&path)?;
        rows.iter_mut().for_each(|row| row.folder = PathBuf::new());
        Ok(rows)
    }

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let csv = "\u{feff}colour,alpha,caption_short,caption,kind,labels,source,association,take\n\
            a.mov,b.mov,a ball,\"A red ball, still\",moving,kind=ball; slow,s,straight,7\n\
            still.png,,,,,,,,\n";
        let json = r#"{"colour":"a.mov","alpha":"b.mov","captions":["A red ball, still"],
            "caption_short":"a ball","kind":"dynamic","labels":{"kind":"ball","slow":""},
            "source":"s","association":"straight","take":7}"#
            .replace('\n', "")
            + "\n\n{\"colour\":\"still.png\"}\n";
        let [csv, json] = [read_text("t.csv", csv).unwrap(), read_text("t.jsonl", &json).unwrap()];
        assert_eq!(csv[0].captions, ["A red ball, still", "a ball"]);
        assert_eq!((csv[0].moving, csv[0].line, json[0].line), (Some(true), 2, 1));
        assert_eq!(csv[0].labels["kind"], "ball");
        assert_eq!(csv[0].others["take"], "7");
        assert_eq!(csv[1].association, None);
        for (a, mut b) in csv.into_iter().zip(json) {
            b.line = a.line;
            assert_eq!(a, b);
        }
    }

    #[test]
    fn released_columns_are_read_exchanged_names_and_all() {
        let text = "video_fgr,video_pha,prompt,cache_path,frame_height,frame_width,num_frames,status\n\
            f.mp4,p.mp4,视频背景是透明的,c/1,104,60,21,dynamic\n";
        let row = &read_text("t.csv", text).unwrap()[0];
        assert_eq!((row.color.as_str(), row.alpha.as_str()), ("f.mp4", "p.mp4"));
        assert_eq!(row.captions, ["视频背景是透明的"]);
        assert_eq!(row.latent, Some([21, 60, 104]));
        assert_eq!((row.moving, row.others["cache_path"].as_str()), (Some(true), "c/1"));
    }

    #[test]
    fn lines_are_counted_as_editors_do_however_they_end() {
        // A cell of two lines, and an empty line.
        let text = "colour,caption\na,\"one\ntwo\"\nb,x\n\nc,y\n";
        for end in ["\n", "\r\n", "\r"] {
            let rows = read_text("t.csv", &text.replace('\n', end)).unwrap();
            let lines: Vec<_> = rows.iter().map(|row| row.line).collect();
            assert_eq!(lines, [2, 4, 6], "{end:?}");
        }
        let json = "{\"colour\":\"a\"}\r\n\r\n{\"colour\":\"b\"}\r\n";
        let rows = read_text("t.jsonl", json).unwrap();
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let row = Row {
            color: "a, b.png".into(),
            captions: ["long \"one\"", "short", "third", "fourth"].map(str::to_owned).into(),
            moving: Some(false),
            labels: [("kind".into(), "ball".into()), ("slow".into(), String::new())].into(),
            latent: Some([1, 60, 104]),
            association: Some(Association::Premultiplied),
            color_space: Some("acescg".parse().unwrap()),
            layer: Some("beauty".into()),
            track: "a/track.json".into(),
            declined: Some("it answers 422: \"no\"".into()),
            others: [("take".into(), "3".into())].into(),
            ..Row::default()
        };
        let folder = tempfile::tempdir().unwrap();
        for name in ["t.csv", "t.jsonl"] {
            let path = folder.path().join(name);
            write(&path, std::slice::from_ref(&row)).unwrap();
            let mut back = read(&path).unwrap().remove(0);
            (back.line, back.folder) = (0, PathBuf::new());
            assert_eq!(back, row, "{name}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (name, text, words) in [
            ("t.csv", "colour,kind\na.png,fast\n", "line 2: kind is `fast`"),
            ("t.csv", "alpha\na.png\n", "line 2: it has no color"),
            ("t.csv", "colour,colour\na,b\n", "names a column twice"),
            (
                "t.csv",
                "colour,caption\na,b\nc,\"d\ne,f\n",
                "line 3: a quotation mark is not closed",
            ),
            ("t.csv", "colour,alpha\na\n", "line 2 has 1 cell: expected 2"),
            ("t.csv", "colour,alpha\r\na,b\r\n\r\nc\r\n", "line 4 has 1 cell"),
            ("t.csv", "colour,kind\r\na,\r\nb,fast\r\n", "line 3: kind is `fast`"),
            ("t.csv", "colour\n", "it has no rows"),
            ("t.csv", "colour,association\na,both\n", "association is `both`"),
            ("t.jsonl", "{\"colour\":\"a\"}\nnonsense\n", "line 2 is no JSON object"),
            ("t.jsonl", "{\"colour\":[1]}\n", "line 1: colour is [1]"),
            (
                "t.jsonl",
                "{\"colour\":\"a\"}\n{\"colour\":\"b\",\"kind\":\"still\",\"colour\":\"c\"}\n",
                "line 2 is no JSON object: the key `colour` stands twice",
            ),
            (
                "t.jsonl",
                "{\"colour\":\"a\",\"labels\":{\"kind\":\"x\",\"kind\":\"y\"}}\n",
                "the key `kind` stands twice",
            ),
            (
                "t.tsv",
                "colour\tcaption\na.png\tb\n",
                "its columns are separated by tabs: write it as",
            ),
            (
                "t.json",
                "[{\"colour\":\"a\"},\n {\"colour\":\"b\"}]",
                "it is a JSON array: expected JSON",
            ),
            ("t.json", "{\n\"colour\":\"a\"\n}\n", "one JSON object over several lines: expected"),
            ("t.csv", "{\"colour\":\"a\"}\n", "it is called .csv, but holds JSON: call it .jsonl"),
            (
                "t.jsonl",
                "colour,caption\na,b\n",
                "begins `colour,caption`; call a table of columns",
            ),
            ("t.txt", "colour,caption\na,b\n", "neither called .csv nor .jsonl"),
            ("t.csv", "PK\u{3}\u{4}", "a workbook or another archive"),
            ("t.csv", "colour,num_frames\na,many\n", "num_frames is `many`"),
        ] {
            let text = format!("{:#}", read_text(name, text).unwrap_err());
            assert!(text.contains(words), "`{words}` is not in {text}");
        }
    }
}
