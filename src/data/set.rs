//! A data set: rows of a table, and the clips that they stand for.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use fast_image_resize::FilterType;
use wan_alpha_take::counted::counted;
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::frames::latent_frames;
use wan_alpha_take::{Ellipse, Track};

use super::bucket::{Bucket, TrainingSize};
use super::clip::{RgbaClip, Window};
use super::media::Reader;
use super::rng::DataRng;
use super::table::{self, Row};
use super::window;
use crate::exit::{Exit, OrExit};
use crate::media::resize::{cropped, resized};

/// Of a hundred sources, these are kept from training.
const HELD_OUT: f64 = 0.05;

/// An opened data set. Its files are not looked at before a row is.
pub(crate) struct Set {
    /// The path of its table.
    pub(crate) table: PathBuf,
    rows: Vec<Row>,
    /// How many frames each row has, as far as that is known: to count a video's it must be decoded.
    lengths: Vec<OnceLock<usize>>,
    /// The rows of which it was told what there is to say of their files: each is read again and again.
    told: Vec<OnceLock<()>>,
}

/// Rows, by their indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) training: Vec<usize>,
    pub(crate) held_out: Vec<usize>,
}

impl Set {
    /// Opens a table, or the one table of a folder.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let open = || -> Result<Self> {
            let table = find_table(path)?;
            let rows = table::read(&table)?;
            let lengths = rows.iter().map(|_| OnceLock::new()).collect();
            let told = rows.iter().map(|_| OnceLock::new()).collect();
            Ok(Self { table, rows, lengths, told })
        };
        open().or_exit(Exit::BadInput)
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A row by its index, in words for messages.
    pub(crate) fn name(&self, row: usize) -> String {
        let (line, color) =
            self.rows.get(row).map_or((0, ""), |row| (row.line, row.color.as_str()));
        format!("row {} (line {line} of {}, {color})", row + 1, self.table.display())
    }

    /// Five of a hundred sources, by the seed, are kept from training with all of their rows; at
    /// least one is where there are two.
    pub(crate) fn split(&self, seed: u64) -> Split {
        let sources: Vec<&str> = self.rows.iter().map(Row::source).collect();
        split(&sources, seed)
    }

    /// A window of a row for the autoencoder, as released: both sides scaled to cover a drawn size,
    /// then cropped; in time a part of a moving clip, there and back where it is too short; of a
    /// still, the window slides over it.
    pub(crate) fn clip(&self, row: usize, window: &Window, draw: &mut DataRng) -> Result<RgbaClip> {
        let mut work = || -> Result<RgbaClip> {
            let about = self.row(row)?;
            let mut reader = Reader::open(about)?;
            let clip = if about.moving.unwrap_or(!reader.is_image()) {
                self.moving(row, &mut reader, window, draw)
            } else {
                still(&mut reader, window, draw)
            }?;
            self.tell(row, &reader);
            Ok(clip)
        };
        work().with_context(|| self.name(row)).or_exit(Exit::BadInput)
    }

    /// Says once of a row how its files were read, where they leave it open.
    fn tell(&self, row: usize, reader: &Reader) {
        if self.told.get(row).is_some_and(|told| told.set(()).is_ok()) {
            for words in reader.warnings() {
                log::warn!("{}: {words}", self.name(row));
            }
        }
    }

    fn moving(
        &self,
        row: usize,
        reader: &mut Reader,
        window: &Window,
        draw: &mut DataRng,
    ) -> Result<RgbaClip> {
        let length = self.length(row, reader)?;
        let frames = window::frames(length, window.frames, draw);
        let ends = frames.iter().min().zip(frames.iter().max());
        let (first, last) = ends.map(|(a, b)| (*a, *b)).context("it has no frames")?;
        reader.skip(first)?;
        let hidden = reader.hidden_color();
        let mut place = None;
        let mut cut = Vec::new();
        for index in first..=last {
            let Some(picture) = reader.next()? else {
                bail!("it ended before frame {index}");
            };
            let (size, [left, top]) = *place.get_or_insert_with(|| {
                let size = window::cover(picture.width, picture.height, window, draw);
                (size, window::corner(size, window, draw))
            });
            let picture = resized(picture, size, FilterType::Bilinear, hidden);
            cut.push(cropped(&picture, [left, top], [window.width, window.height]));
        }
        let mut clip = RgbaClip::with_capacity(*window);
        for index in frames {
            clip.push(&cut[index - first].rgba);
        }
        Ok(clip)
    }

    /// How many frames a row has.
    fn length(&self, row: usize, reader: &Reader) -> Result<usize> {
        if let Some(known) = reader.frames().or_else(|| self.lengths.get(row)?.get().copied()) {
            return Ok(known);
        }
        let mut whole = Reader::open(self.row(row)?)?;
        let mut length = 0;
        while whole.next()?.is_some() {
            length += 1;
        }
        if let Some(place) = self.lengths.get(row) {
            place.get_or_init(|| length);
        }
        Ok(length)
    }

    /// How many frames a row has; a video's are counted once.
    pub(crate) fn frames(&self, row: usize) -> Result<usize> {
        let work = || self.length(row, &Reader::open(self.row(row)?)?);
        work().with_context(|| self.name(row)).or_exit(Exit::BadInput)
    }

    /// A row's frames as they are.
    pub(crate) fn reader(&self, row: usize) -> Result<Reader> {
        Reader::open(self.row(row)?).with_context(|| self.name(row)).or_exit(Exit::BadInput)
    }

    /// A row's frames at the size the transformer is trained at: cropped about the middle, resized
    /// with Lanczos. One at a time, since a clip of the released size is half a gigabyte.
    pub(crate) fn bucketed(&self, row: usize, size: TrainingSize) -> Result<Bucketed> {
        let work = || Bucketed::open(self.row(row)?, size);
        work().with_context(|| self.name(row)).or_exit(Exit::BadInput)
    }

    /// A row's own ellipses, one for each latent frame, if it has some.
    pub(crate) fn own_ellipses(&self, row: usize) -> Result<Option<Vec<Ellipse>>> {
        let work = || {
            let about = self.row(row)?;
            if about.track.is_empty() {
                return Ok(None);
            }
            own_ellipses(about, latent_frames(u32::try_from(self.frames(row)?)?)?)
        };
        work().or_exit(Exit::BadInput)
    }

    fn row(&self, row: usize) -> Result<&Row> {
        self.rows.get(row).with_context(|| {
            format!("there is no row {}: the set has {}", row + 1, counted(self.rows.len(), "row"))
        })
    }
}

/// A row's own ellipses, one for each latent frame, if it has some.
pub(crate) fn own_ellipses(row: &Row, latent_frames: usize) -> Result<Option<Vec<Ellipse>>> {
    let Some(path) = row.track_path() else { return Ok(None) };
    let read = || -> Result<Vec<Ellipse>> {
        Ok(Track::from_json(&std::fs::read_to_string(&path)?, latent_frames)?)
    };
    read().map(Some).with_context(|| format!("cannot use its track {}", path.display()))
}

/// See [`Set::split`]: of things with these sources.
pub(crate) fn split(each: &[&str], seed: u64) -> Split {
    let mut sources = each.to_vec();
    sources.sort_unstable();
    sources.dedup();
    // By a number of its own, so that a source that comes or goes moves hardly any other.
    let rank = |source: &&str| DataRng::new(seed, &format!("split {source}"), &[]).bits();
    sources.sort_by_cached_key(rank);
    let count = (sources.len() as f64 * HELD_OUT).round() as usize;
    let held = if sources.len() < 2 { 0 } else { count.max(1) };
    let held = &sources[..held];
    let (held_out, training) = (0..each.len()).partition(|&index| held.contains(&each[index]));
    Split { training, held_out }
}

fn still(reader: &mut Reader, window: &Window, draw: &mut DataRng) -> Result<RgbaClip> {
    let picture = reader.next()?.context("it has no picture")?;
    let size = window::cover(picture.width, picture.height, window, draw);
    let picture = resized(picture, size, FilterType::Bilinear, reader.hidden_color());
    let mut clip = RgbaClip::with_capacity(*window);
    for place in window::sliding(size, window, draw) {
        clip.push(&cropped(&picture, place, [window.width, window.height]).rgba);
    }
    Ok(clip)
}

/// The frames of a row for the transformer, one at a time.
pub(crate) struct Bucketed {
    pub(crate) bucket: Bucket,
    reader: Reader,
    /// Read to know the size, and not asked for yet.
    first: Option<OwnedFrame>,
}

impl Bucketed {
    fn open(row: &Row, size: TrainingSize) -> Result<Self> {
        let mut reader = Reader::open(row)?;
        let first = reader.next()?.context("it has no picture")?;
        let bucket = size.bucket(first.width, first.height)?;
        Ok(Self { bucket, reader, first: Some(first) })
    }

    /// What is to be said of the frames that were read.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.reader.warnings()
    }

    /// The next frame; None after the last.
    pub(crate) fn next(&mut self) -> Result<Option<OwnedFrame>> {
        let picture = match self.first.take() {
            Some(first) => Some(first),
            None => self.reader.next()?,
        };
        let Bucket { crop: [left, top, width, height], .. } = self.bucket;
        let fit = |picture: OwnedFrame| {
            let part = cropped(&picture, [left, top], [width, height]);
            let Bucket { width, height, .. } = self.bucket;
            let hidden = self.reader.hidden_color();
            resized(part, [width, height], FilterType::Lanczos3, hidden)
        };
        Ok(picture.map(fit))
    }
}

/// A file is the table itself; in a folder there is one, or one called `table`.
fn find_table(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        ensure!(path.exists(), "the data set {} does not exist", path.display());
        return Ok(path.to_owned());
    }
    let mut tables = Vec::new();
    // What people and programs call tables that are not read.
    let mut other = None;
    let unreadable = || format!("cannot read the folder {}", path.display());
    for entry in std::fs::read_dir(path).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?.path();
        let kind = entry.extension().map(|kind| kind.to_ascii_lowercase());
        let one_of =
            |kinds: &[&str]| kind.as_ref().is_some_and(|own| kinds.iter().any(|kind| own == kind));
        if one_of(&["csv", "jsonl"]) && entry.is_file() {
            tables.push(entry);
        } else if one_of(&["tsv", "json", "ndjson", "xlsx", "ods", "parquet"]) {
            other = entry.file_name().map(|name| name.to_string_lossy().into_owned());
        }
    }
    tables.sort();
    let named = tables.iter().filter(|table| table.file_stem().is_some_and(|stem| stem == "table"));
    match (named.collect::<Vec<_>>().as_slice(), tables.as_slice()) {
        ([one], _) => Ok((*one).clone()),
        (_, [one]) => Ok(one.clone()),
        (_, []) => bail!(
            "the folder {} has no table (.csv or .jsonl){}",
            path.display(),
            other.map_or_else(String::new, |name| format!(
                ", but {name}: write it as one of the two"
            ))
        ),
        (_, several) => bail!(
            "the folder {} has {} tables: name one of them, or call it table.csv",
            path.display(),
            several.len()
        ),
    }
}

#[cfg(test)]
mod tests;
