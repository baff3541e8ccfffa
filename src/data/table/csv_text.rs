//! Tables as CSV: rows as fields with the lines that they are on, and back.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Map, Value};
use wan_alpha_take::counted::counted;

use super::column_names::NAMES;

/// The cells of a row by their columns.
pub(crate) type Fields = Map<String, Value>;

/// The rows of a text and their lines, from 1 as editors count.
pub(super) fn read(text: &str) -> Result<Vec<(usize, Fields)>> {
    check_quotes(text)?;
    let mut builder = csv::ReaderBuilder::new();
    // Flexible: of a row with too few cells the line is told here, where it is known.
    let mut reader = builder.trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let names = reader.headers()?.clone();
    check_separator(&names)?;
    let unique: BTreeSet<_> = names.iter().collect();
    ensure!(unique.len() == names.len(), "its first line names a column twice");
    let mut lines = LineCounter::new(text);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = lines.of_record(record.position().map_or(0, csv::Position::byte) as usize);
        ensure!(
            record.len() == names.len(),
            "line {line} has {}: expected {}, one for each column of the first line; put \
             quotes around cells with commas",
            counted(record.len(), "cell"),
            names.len()
        );
        let fields = names.iter().zip(&record);
        let fields = fields.map(|(name, value)| (name.to_owned(), value.into())).collect();
        rows.push((line, fields));
    }
    Ok(rows)
}

/// A quotation mark that is never closed would make one cell of all that follows it.
fn check_quotes(text: &str) -> Result<()> {
    /// A line of its own after the text, unless a cell is still open there.
    const END: &str = "\u{1}end";
    let ended = format!("{text}\n{END}");
    let mut builder = csv::ReaderBuilder::new();
    let mut reader = builder.has_headers(false).flexible(true).from_reader(ended.as_bytes());
    let mut lines = LineCounter::new(text);
    let mut last = (1, false);
    for record in reader.records() {
        let record = record?;
        let start = record.position().map_or(0, csv::Position::byte) as usize;
        last = (lines.of_record(start.min(text.len())), &record == vec![END].as_slice());
    }
    let (line, closed) = last;
    ensure!(
        closed,
        "line {line}: a quotation mark is not closed, so that all that follows would be one cell: close \
         it, and write marks within a cell twice"
    );
    Ok(())
}

/// Counts a text's lines as editors do: one ends with LF, CR LF or CR.
struct LineCounter<'a> {
    text: &'a [u8],
    /// How far lines have been counted.
    at: usize,
    /// The line of that place, from 1.
    line: usize,
}

impl<'a> LineCounter<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line of a record that the reader says begins at a byte; records must be asked for in
    /// order. The reader begins one where the one before it ended: before the LF of a CR LF, and
    /// before empty lines.
    fn of_record(&mut self, byte: usize) -> usize {
        let rest = self.text.get(byte..).unwrap_or_default();
        let start = byte + rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        while self.at < start.min(self.text.len()) {
            let rest = &self.text[self.at..];
            self.line += usize::from(matches!(rest[0], b'\r' | b'\n'));
            self.at += if rest.starts_with(b"\r\n") { 2 } else { 1 };
        }
        self.line
    }
}

/// Spreadsheets write other separators where a comma stands in decimal numbers.
fn check_separator(names: &csv::StringRecord) -> Result<()> {
    let separators = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];
    for (separator, words) in separators {
        let known = |name: &str| NAMES.contains(&name.trim().to_lowercase().as_str());
        ensure!(
            names.len() > 1 || !names.iter().any(|name| name.split(separator).skip(1).any(known)),
            "line 1: its columns are separated by {words}: write it with commas, and texts with commas \
             in quotation marks"
        );
    }
    Ok(())
}

const COLUMNS: [&str; 12] = [
    "colour",
    "alpha",
    "caption",
    "caption_short",
    "kind",
    "labels",
    "source",
    "association",
    "color_space",
    "layer",
    "track",
    "declined",
];

/// Rows as text, with our own columns first, in their own order.
pub(super) fn write(rows: &[Fields]) -> Result<Vec<u8>> {
    let names: BTreeSet<&String> = rows.iter().flat_map(Fields::keys).collect();
    let mut names: Vec<&String> = names.into_iter().collect();
    let order = |name: &&String| {
        let place = COLUMNS.iter().position(|column| *column == name.as_str());
        place.unwrap_or(COLUMNS.len())
    };
    names.sort_by_key(order);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&names)?;
    for row in rows {
        let cell = |name: &&String| match row.get(name.as_str()) {
            Some(Value::Object(labels)) => {
                let pairs = labels.iter().map(|(name, value)| match value.as_str() {
                    Some("") | None => name.clone(),
                    Some(value) => format!("{name}={value}"),
                });
                pairs.collect::<Vec<_>>().join("; ")
            }
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        writer.write_record(names.iter().map(cell))?;
    }
    Ok(writer.into_inner()?)
}
