//! The table of a data set: what its rows mean, read from CSV, JSON lines or a list in YAML.
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
mod yaml_list;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::media::atomic_file::write_whole;
use crate::media::color_space::ColorSpace;
use crate::media::reading::{Association, PictureReading};
use crate::media::sequence::extension;
pub(crate) use column_names::meant_column;
pub(crate) use csv_text::Fields;

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
            if std::path::MAIN_SEPARATOR == '\\' || path.is_none_or(|path| path.exists()) {
                continue;
            }
            ensure!(
                !is_of_a_drive(text),
                "its path `{text}` is one of Windows, which is nowhere here: write it as it is on this \
                 machine, or from the folder of the table on (clips/a.mov)"
            );
            ensure!(
                !text.contains('\\'),
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
        let folder = path.parent().unwrap_or(Path::new(""));
        let rows = fields_of(path, &read_file(path)?)?;
        let rows = rows.into_iter().map(|(line, fields)| {
            row(line, folder, fields).with_context(|| format!("line {line}"))
        });
        rows.collect()
    };
    work().with_context(|| format!("cannot read the table {}", path.display()))
}

/// The cells of each row of a table that is no data set, by their columns, with the lines that the rows
/// are on. Numbers of JSON stay numbers; cells of CSV are text.
///
/// # Errors
/// As [`read`]; what the columns mean is not asked.
pub(crate) fn read_cells(path: &Path) -> Result<Vec<(usize, Fields)>> {
    read_file(path)
        .and_then(|bytes| fields_of(path, &bytes))
        .with_context(|| format!("cannot read the table {}", path.display()))
}

/// Whether a path begins with a drive or a server of Windows: `C:/clips/a.mov`, `\\server\clips`.
fn is_of_a_drive(text: &str) -> bool {
    let drive =
        matches!(text.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic());
    drive || text.starts_with(r"\\")
}

/// The bytes of a table.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    let about = path.metadata()?;
    ensure!(about.is_file() || about.is_dir(), "it is a pipe or a device: expected a file");
    Ok(std::fs::read(path)?)
}

/// The rows of a table by its name's end and its text.
fn fields_of(path: &Path, bytes: &[u8]) -> Result<Vec<(usize, Fields)>> {
    let text = text_of(bytes)?;
    let ending = extension(path).unwrap_or_default();
    let rows = if ["yaml", "yml"].contains(&ending.as_str()) {
        yaml_list::read(text)?
    } else {
        json_lines::check_text(&ending, text)?;
        if is_csv(path) { csv_text::read(text)? } else { json_lines::read(text)? }
    };
    ensure!(!rows.is_empty(), "it has no rows");
    Ok(rows)
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
    if let Some(place) = text.find('\0') {
        let line = text[..place].lines().count().max(1);
        bail!(
            "it has a byte 0 (line {line}), as no text has: it is damaged, or no table; save it as UTF-8"
        );
    }
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
    ensure!(
        ![&row.color, &row.alpha, &row.track].iter().any(|path| path.contains('\0')),
        "a path of it holds a byte 0, which no name has: write it again"
    );
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
    let mut labels = BTreeMap::new();
    for (name, value) in pairs.into_iter().filter(|(name, _)| !name.is_empty()) {
        if let Some(other) = labels.insert(name.clone(), value.clone())
            && other != value
        {
            bail!("labels has `{name}` twice, as `{other}` and as `{value}`: keep one of them");
        }
    }
    Ok(labels)
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
mod tests;
