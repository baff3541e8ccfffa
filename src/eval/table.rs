//! What was measured: columns that say what they are, a row for each clip, and a summary. The
//! terminal, the JSON file and the page all show this.

use serde_json::{Map, Value, json};
use wan_alpha_take::TakeReport;
use wan_alpha_take::counted::{counted, verb};

use crate::media::thumbnail::Strip;
use crate::table_printer::lines_of_grid;

/// Which numbers of a column are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Best {
    High,
    Low,
    /// It describes, and does not judge.
    Neither,
}

/// A measure, and how its numbers are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeasureColumn {
    /// Its name for programs.
    pub(super) id: &'static str,
    /// Its heading for people, a word or two.
    pub(super) head: &'static str,
    /// What exactly it is.
    pub(super) about: &'static str,
    pub(super) best: Best,
    /// Digits after the point.
    pub(super) digits: usize,
}

/// A number of a row, or what stands in its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// Nothing to measure it by.
    Nothing,
    Number(f64),
    Text(String),
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Nothing, Self::Number)
    }
}

impl Cell {
    /// As people read it.
    pub(super) fn text(&self, digits: usize) -> String {
        match self {
            Self::Nothing => "–".to_owned(),
            Self::Number(value) => format!("{value:.digits$}"),
            Self::Text(text) => text.clone(),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            // JSON has no infinity; two equal clips are infinitely near.
            Self::Number(value) if value.is_infinite() => json!("inf"),
            Self::Number(value) => json!(value),
            Self::Text(text) => json!(text),
        }
    }
}

/// What was measured of one clip.
#[derive(Clone, Debug)]
pub(super) struct ClipRow {
    pub(super) name: String,
    /// What it shows, in words.
    pub(super) prompt: Option<String>,
    /// One for each column.
    pub(super) cells: Vec<Cell>,
    /// There is too little to be seen to score anything by: no scores, and in no mean.
    pub(super) is_empty: bool,
    /// The frames that the page shows.
    pub(super) strips: Vec<Strip>,
    /// Whatever else there is to know, for programs.
    pub(super) more: Map<String, Value>,
}

/// A line of the summary.
#[derive(Clone, Debug)]
pub(super) struct SummaryLine {
    pub(super) column: MeasureColumn,
    pub(super) value: Cell,
    /// How many clips it is of.
    pub(super) of: usize,
}

/// All that was measured.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) columns: Vec<MeasureColumn>,
    pub(super) rows: Vec<ClipRow>,
    pub(super) summary: Vec<SummaryLine>,
    /// What a reader should know before comparing.
    pub(super) notes: Vec<String>,
}

impl Table {
    /// The mean of every column that has numbers, over the clips that are not empty.
    pub(super) fn means(&self) -> Vec<SummaryLine> {
        let mean = |place: usize, column: &MeasureColumn| {
            let numbers: Vec<f64> = self
                .rows
                .iter()
                .filter(|row| !row.is_empty)
                .filter_map(|row| match row.cells.get(place) {
                    Some(Cell::Number(value)) => Some(*value),
                    _ => None,
                })
                .collect();
            (!numbers.is_empty()).then(|| SummaryLine {
                column: *column,
                value: Cell::Number(numbers.iter().sum::<f64>() / numbers.len() as f64),
                of: numbers.len(),
            })
        };
        self.columns.iter().enumerate().filter_map(|(place, column)| mean(place, column)).collect()
    }

    /// Says which clips are empty, if any is.
    pub(super) fn note_empty(&mut self) {
        let empty = self.rows.iter().filter(|row| row.is_empty);
        let names: Vec<&str> = empty.map(|row| row.name.as_str()).collect();
        if names.is_empty() {
            return;
        }
        self.notes.push(format!(
            "{} of {} {} empty (alpha covers less than {} %), without scores and in no mean: {}",
            names.len(),
            counted(self.rows.len(), "clip"),
            verb(names.len(), "is", "are"),
            TakeReport::EMPTY * 100.0,
            names.join(", ")
        ));
    }

    /// The table as lines of text, for the terminal.
    pub(super) fn to_lines(&self) -> Vec<String> {
        let mut grid = vec![vec![String::new()]];
        grid[0].extend(self.columns.iter().map(|column| column.head.to_owned()));
        for row in &self.rows {
            let cells = self.columns.iter().zip(&row.cells);
            let texts = cells.map(|(column, cell)| cell.text(column.digits));
            grid.push([row.name.clone()].into_iter().chain(texts).collect());
        }
        let mut lines = lines_of_grid(&grid);
        if !self.summary.is_empty() {
            let about = |sum: &SummaryLine| {
                let clips = if sum.of == 1 { "clip" } else { "clips" };
                let value = sum.value.text(sum.column.digits);
                vec![sum.column.head.to_owned(), value, format!("({} {clips})", sum.of)]
            };
            lines.push(String::new());
            lines.extend(lines_of_grid(&self.summary.iter().map(about).collect::<Vec<_>>()));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines
    }

    /// The table as JSON, for programs.
    pub(super) fn to_json(&self) -> Value {
        let column = |column: &MeasureColumn| {
            json!({
                "id": column.id,
                "about": column.about,
                "best": match column.best {
                    Best::High => json!("high"),
                    Best::Low => json!("low"),
                    Best::Neither => Value::Null,
                },
            })
        };
        let row = |row: &ClipRow| {
            let mut fields = Map::new();
            fields.insert("name".to_owned(), json!(row.name));
            fields.insert("prompt".to_owned(), json!(row.prompt));
            fields.insert("empty".to_owned(), json!(row.is_empty));
            for (column, cell) in self.columns.iter().zip(&row.cells) {
                fields.insert(column.id.to_owned(), cell.to_json());
            }
            fields.extend(row.more.clone());
            Value::Object(fields)
        };
        let mut summary = Map::new();
        for sum in &self.summary {
            let value = json!({ "value": sum.value.to_json(), "clips": sum.of });
            summary.insert(sum.column.id.to_owned(), value);
        }
        json!({
            "program": concat!("wan-alpha ", env!("CARGO_PKG_VERSION")),
            "columns": self.columns.iter().map(column).collect::<Vec<_>>(),
            "clips": self.rows.iter().map(row).collect::<Vec<_>>(),
            "summary": summary,
            "notes": self.notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let column = |id, best, digits| MeasureColumn { id, head: id, about: "x", best, digits };
        let row = |name: &str, cells: [Cell; 2]| ClipRow {
            name: name.to_owned(),
            prompt: None,
            cells: cells.to_vec(),
            is_empty: false,
            strips: Vec::new(),
            more: Map::new(),
        };
        Table {
            title: "t",
            columns: vec![column("psnr", Best::High, 2), column("hue", Best::Neither, 0)],
            rows: vec![
                row("a", [Cell::Number(30.0), Cell::Text("red".to_owned())]),
                row("longer", [Cell::Number(31.0), Cell::Nothing]),
                row("c", [Cell::Nothing, Cell::Nothing]),
            ],
            summary: Vec::new(),
            notes: vec!["n".to_owned()],
        }
    }

    #[test]
    fn columns_stand_below_their_heads_and_means_are_of_what_there_is() {
        let mut table = table();
        table.rows.push(ClipRow { is_empty: true, ..table.rows[0].clone() });
        table.summary = table.means();
        assert_eq!(table.summary[0].of, 2);
        table.note_empty();
        let note = table.notes.pop().unwrap();
        assert!(note.starts_with("1 of 4 clips is empty") && note.ends_with(": a"), "{note}");
        table.rows.pop();
        assert_eq!(
            table.to_lines(),
            [
                "         psnr  hue",
                "a       30.00  red",
                "longer  31.00    –",
                "c           –    –",
                "",
                "psnr  30.50  (2 clips)",
                "note: n",
            ]
        );
    }

    #[test]
    fn json_has_null_for_nothing_and_a_word_for_infinity() {
        let mut table = table();
        table.rows[0].cells[0] = Cell::Number(f64::INFINITY);
        let json = table.to_json();
        assert_eq!(json["clips"][0]["psnr"], "inf");
        assert_eq!(json["clips"][1]["hue"], Value::Null);
        assert_eq!(json["columns"][0]["best"], "high");
    }
}
