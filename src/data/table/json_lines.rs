//! Tables as JSON lines: an object on each line, and back.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::csv_text::Fields;
use crate::unique_json;

/// The rows of a text and their lines, from 1 as editors count.
pub(super) fn read(text: &str) -> Result<Vec<(usize, Fields)>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(index, line)| match unique_json::from_str::<Value>(line) {
        Ok(Value::Object(fields)) => Ok((index + 1, fields)),
        Ok(_) => Err(other_json(index + 1, text).unwrap_or_else(|| {
            anyhow!("line {} is no JSON object, as each row has to be one", index + 1)
        })),
        Err(error) => Err(other_json(index + 1, text).unwrap_or_else(|| {
            anyhow::Error::from(error).context(format!("line {} is no JSON object", index + 1))
        })),
    });
    rows.collect()
}

/// JSON that is whole, but not one object a line, and what to do; `line` is the first that cannot be read.
fn other_json(line: usize, text: &str) -> Option<anyhow::Error> {
    let (what, filter) = match serde_json::from_str(text).ok()? {
        Value::Array(_) => ("a JSON array", ".[]"),
        Value::Object(_) if text.trim().lines().count() > 1 => {
            ("one JSON object over several lines", ".")
        }
        _ => return None,
    };
    Some(anyhow!(
        "line {line}: it is {what}: expected JSON lines, an object on each line (`jq -c '{filter}' TABLE > \
         table.jsonl`)"
    ))
}

/// Rows as text, an object on each line.
pub(super) fn write(rows: impl Iterator<Item = Fields>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for fields in rows {
        serde_json::to_writer(&mut bytes, &fields)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// What a text is, where neither its name nor its first letter says CSV or JSON lines.
pub(super) fn check_text(name: &str, text: &str) -> Result<()> {
    let first = text.trim_start().chars().next().unwrap_or_default();
    match name {
        "csv" if ['{', '['].contains(&first) => {
            bail!("it is called .csv, but holds JSON: call it .jsonl, with an object on each line")
        }
        "tsv" | "tab" => bail!(
            "its columns are separated by tabs: write it as .csv with commas, and texts with commas in \
             quotation marks, or as .jsonl"
        ),
        "csv" => Ok(()),
        _ if ['{', '['].contains(&first) || text.trim().is_empty() => Ok(()),
        "jsonl" => {
            let line = text.lines().next().unwrap_or_default();
            let error = unique_json::from_str::<Value>(line).err().map(|error| error.to_string());
            let error = error.unwrap_or_else(|| "it is a value, no object".to_owned());
            let first: String = line.chars().take(40).collect();
            Err(anyhow!(error)).with_context(|| {
                format!(
                    "line 1 is no JSON object: it begins `{first}`; call a table of columns .csv"
                )
            })
        }
        _ => bail!(
            "it is neither called .csv, .jsonl nor .yaml, and holds no JSON: write the table as one of these"
        ),
    }
}
