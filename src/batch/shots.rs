//! Shots: the rows of a table, each the command line of a render.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Arg, ArgAction, CommandFactory, Parser};
use serde_json::Value;

use crate::args::{Cli, Command, Render};
use crate::data::table::{Fields, read_cells};
use crate::exit::{Exit, OrExit};

/// The most letters of a shot's name: steps of Open Job Description have no longer ones.
const NAME_LIMIT: usize = 64;

/// Flags that are no columns, and why.
const NO_COLUMNS: [(&str, &str); 8] = [
    ("device", "all shots are computed on one: give --device to `batch`"),
    ("threads", "all shots are computed with as many: give --threads to `batch`"),
    ("engine", "a batch keeps the model itself"),
    ("no-store", "a batch goes on by what the store has"),
    ("dump", "render that shot alone"),
    ("preview", "render that shot alone"),
    ("seeds", "each seed is a row of its own"),
    ("pick", "its seed goes into the column `seed`"),
];

/// A row: what a render of it would be told.
#[derive(Debug)]
pub(crate) struct BatchShot {
    /// Unique in its table, and fit for a file's name.
    pub(crate) name: String,
    /// Of the table, from 1, as editors count.
    pub(crate) line: usize,
    /// Greater ones are made first.
    pub(crate) priority: i64,
    /// The flags of the row, as they would be typed.
    pub(crate) words: Vec<String>,
    /// What they mean.
    pub(crate) render: Box<Render>,
}

/// Reads the shots of a table, in its order; those without a folder of their own go into `out`.
///
/// # Errors
/// All that is wrong with rows, each with its line.
pub(crate) fn read(table: &Path, out: Option<&Path>) -> Result<Vec<BatchShot>> {
    let rows = read_cells(table).or_exit(Exit::BadInput)?;
    let columns = RenderColumns::of_render();
    let mut shots = Vec::new();
    let mut problems = Vec::new();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (line, fields) in rows {
        let shot = columns.shot(line, fields, out).and_then(|shot| {
            let name = lines.insert(shot.name.clone(), line);
            let folder = folders.insert(shot.render.out.clone(), line);
            for (what, before) in [("name", name), ("folder", folder)] {
                if let Some(before) = before {
                    bail!("`{}` has the {what} of the shot in line {before}", shot.name);
                }
            }
            Ok(shot)
        });
        match shot {
            Ok(shot) => shots.push(shot),
            Err(error) => problems.push(format!("line {line}: {error:#}")),
        }
    }
    refuse(table, &problems)?;
    Ok(shots)
}

/// Refuses a table of which something was said.
pub(crate) fn refuse(table: &Path, problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let list = problems.join("\n  ");
    Err(anyhow!("nothing of {} is made before all of it can be:\n  {list}", table.display()))
        .or_exit(Exit::BadInput)
}

/// The flags of `render` by their names.
struct RenderColumns(BTreeMap<String, Arg>);

impl RenderColumns {
    fn of_render() -> Self {
        let command = Cli::command();
        let render = command.find_subcommand("render");
        let flags = render.into_iter().flat_map(clap::Command::get_arguments);
        Self(flags.filter_map(|flag| Some((flag.get_long()?.to_owned(), flag.clone()))).collect())
    }

    fn shot(&self, line: usize, fields: Fields, out: Option<&Path>) -> Result<BatchShot> {
        let mut words = Vec::new();
        let (mut name, mut priority, mut has_out) = (None, 0, false);
        for (column, value) in fields {
            let flag = column.trim().trim_start_matches("--").replace('_', "-");
            let cells = cells(&value).with_context(|| format!("column {column}"))?;
            if cells.is_empty() {
                continue;
            }
            match flag.as_str() {
                "name" => name = Some(checked_name(one(&column, &cells)?)?),
                "priority" => {
                    let text = one(&column, &cells)?;
                    priority = text
                        .parse()
                        .map_err(|_| anyhow!("priority `{text}`: expected a whole number"))?;
                }
                _ => {
                    has_out |= flag == "out";
                    words.extend(self.words(&column, &flag, cells)?);
                }
            }
        }
        let name = name.unwrap_or_else(|| format!("line{line}"));
        let mut render = parse(&words)?;
        match (has_out, out) {
            (true, _) => {}
            (false, Some(out)) => render.out = out.join(&name),
            (false, None) => bail!("it has no folder: fill the column `out`, or give --out"),
        }
        Ok(BatchShot { name, line, priority, words, render })
    }

    /// A cell as flags.
    fn words(&self, column: &str, flag: &str, cells: Vec<String>) -> Result<Vec<String>> {
        if let Some((_, why)) = NO_COLUMNS.iter().find(|(name, _)| *name == flag) {
            bail!("`{column}` is no column of a batch: {why}");
        }
        let arg = self.0.get(flag).with_context(|| self.unknown(column))?;
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            let text = one(column, &cells)?.to_lowercase();
            return match text.as_str() {
                "true" | "yes" | "1" => Ok(vec![format!("--{flag}")]),
                "false" | "no" | "0" => Ok(Vec::new()),
                _ => bail!("{column} is `{text}`: expected true or false"),
            };
        }
        let takes_several = matches!(arg.get_action(), ArgAction::Append);
        if let (Some(delimiter), true) = (arg.get_value_delimiter(), takes_several) {
            return Ok(vec![format!("--{flag}={}", cells.join(&delimiter.to_string()))]);
        }
        if !takes_several {
            return Ok(vec![format!("--{flag}={}", one(column, &cells)?)]);
        }
        // A cell of CSV is one text.
        let several = cells.iter().flat_map(|cell| cell.split(';').map(str::trim));
        Ok(several.filter(|cell| !cell.is_empty()).map(|cell| format!("--{flag}={cell}")).collect())
    }

    fn unknown(&self, column: &str) -> String {
        let letters = |text: &str| -> BTreeSet<char> { text.chars().collect() };
        let own = letters(column);
        let near = |name: &&String| {
            let shared = letters(name).intersection(&own).count();
            (shared * 2 + 2 >= own.len() + letters(name).len()).then_some(shared)
        };
        let nearest =
            self.0.keys().max_by_key(|name| near(name)).filter(|name| near(name).is_some());
        let meant = nearest.map(|name| format!("; `{name}` is one")).unwrap_or_default();
        format!(
            "`{column}` is neither a flag of `render` nor `name` or `priority`{meant} (`wan-alpha render \
             --help` has all)"
        )
    }
}

/// What a cell says, as texts; none where it is empty.
fn cells(value: &Value) -> Result<Vec<String>> {
    Ok(match value {
        Value::Null => Vec::new(),
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Bool(truth) => vec![truth.to_string()],
        Value::Array(list) => {
            let lists: Result<Vec<_>> = list.iter().map(cells).collect();
            lists?.concat()
        }
        Value::Object(_) => {
            bail!("it is an object: expected text, a number, true, false or a list")
        }
    })
}

fn one<'a>(column: &str, cells: &'a [String]) -> Result<&'a str> {
    match cells {
        [one] => Ok(one),
        _ => bail!("{column} takes one value, and has {}", cells.len()),
    }
}

fn checked_name(name: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(
        name.len() <= NAME_LIMIT && name.chars().all(plain) && !name.starts_with(['.', '-']),
        "the name `{name}` has to be one to {NAME_LIMIT} letters, digits, - _ and ., without - or . at its \
         beginning: it names folders and steps of farms"
    );
    Ok(name.to_owned())
}

/// What flags mean; where the take goes is seen to by the caller.
fn parse(words: &[String]) -> Result<Box<Render>> {
    let mut line = vec!["wan-alpha".to_owned(), "render".to_owned()];
    line.extend(words.iter().cloned());
    if !words.iter().any(|word| word.starts_with("--out=")) {
        line.push("--out=.".to_owned());
    }
    match Cli::try_parse_from(line) {
        Ok(Cli { command: Command::Render(render), .. }) => {
            ensure!(
                render.prompt.is_some() || render.from.is_some(),
                "it has no prompt: fill the column `prompt`, or `from` with an earlier take"
            );
            Ok(render)
        }
        Ok(_) => bail!("it is no render"),
        Err(said) => {
            let said = said.to_string();
            let said = said.strip_prefix("error: ").unwrap_or(&said);
            let said = said.split("\n\nUsage").next().unwrap_or(said);
            let said = said.split("\n\nFor more").next().unwrap_or(said);
            bail!("{}", said.split_whitespace().collect::<Vec<_>>().join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Vec<BatchShot>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, Some(Path::new("shots")))
    }

    #[test]
    fn rows_of_every_kind_of_table_are_command_lines_of_render() {
        let csv = "name,prompt,seed,lora,priority,opaque,image,guidance\n\
            a,\"A ball, red\",7,x; y:0.5,3,yes,i.png,\n\
            ,-dashes,,,,no,,1.50\n";
        let jsonl = r#"{"name":"a","prompt":"A ball, red","seed":7,"lora":["x","y:0.5"],"priority":3,"opaque":true,"image":"i.png"}
{"prompt":"-dashes","opaque":false,"guidance":"1.50","lora":null}"#;
        let yaml = "- {}\n";
        assert!(read_text("t.yaml", yaml).is_err());
        let yaml = "- name: a\n  prompt: A ball, red\n  seed: 7\n  lora: [x, y:0.5]\n  priority: 3\n  \
            opaque: true\n  image: i.png\n- prompt: \"-dashes\"\n  guidance: 1.50\n";
        for (name, text) in [("t.csv", csv), ("t.jsonl", jsonl), ("t.yaml", yaml)] {
            let shots = read_text(name, text).unwrap();
            let [a, b] = &shots[..] else { panic!("{name}: {}", shots.len()) };
            assert_eq!((a.name.as_str(), a.priority, a.render.seed), ("a", 3, 7), "{name}");
            assert_eq!(a.render.prompt.as_deref(), Some("A ball, red"), "{name}");
            assert_eq!(a.render.lora, ["x", "y:0.5"], "{name}");
            assert!(a.render.opaque && !b.render.opaque, "{name}");
            assert_eq!(a.render.out, Path::new("shots/a"), "{name}");
            assert_eq!((b.priority, b.render.guidance), (0, Some(1.5)), "{name}");
            assert_eq!(b.render.prompt.as_deref(), Some("-dashes"), "{name}");
            assert_eq!(b.name, format!("line{}", b.line), "{name}");
        }
    }

    #[test]
    fn all_rows_that_cannot_be_read_are_told_at_once_with_their_lines() {
        let text = "name,prompt,seed,width,priority,opaque\n\
            a,x,1,64,,\n\
            a,x,2,,,\n\
            ../b,x,,,,\n\
            c,,,,,\n\
            d,x,many,,,\n\
            e,x,,,high,\n\
            f,x,,,,perhaps\n";
        let error = read_text("t.csv", text).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::BadInput);
        let said = format!("{error:#}");
        for words in [
            "nothing of ",
            "line 3: `a` has the name of the shot in line 2",
            "line 4: the name `../b`",
            "line 5: it has no prompt",
            "line 6: invalid value 'many' for '--seed <N>'",
            "line 7: priority `high`: expected a whole number",
            "line 8: opaque is `perhaps`: expected true or false",
        ] {
            assert!(said.contains(words), "`{words}` is not in: {said}");
        }
        assert!(!said.contains("line 2:") && !said.contains("Usage"), "{said}");
        for (column, words) in [
            (
                "promt",
                "`promt` is neither a flag of `render` nor `name` or `priority`; `prompt` is one",
            ),
            ("device", "give --device to `batch`"),
            ("no_store", "a batch goes on by what the store has"),
        ] {
            let said = read_text("t.csv", &format!("prompt,{column}\nx,1\n")).unwrap_err();
            assert!(format!("{said:#}").contains(words), "{said:#}");
        }
    }
}
