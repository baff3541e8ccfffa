//! `wan-alpha eval takes`: finished takes, or clips of any other system, measured alike.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Map, json};
use wan_alpha_core::Watch;
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::environment::Environment;
use wan_alpha_take::store::Store;

use super::ReportPlaces;
use super::clip::{EvalClip, folders};
use super::clip_score::{ScoreMeter, ScoringNetworks};
use super::expected::{Expected, Which};
use super::judged::JudgedTake;
use super::measure::{Meter, latent_frames_in};
use super::summary;
use super::table::{Cell, ClipRow, MeasureColumn, Table};
use super::take_columns::{COLUMNS, COVERAGE};
use crate::args::EvalTakes;
use crate::console::Console;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::thumbnail::{Strip, Thumbnail, is_shown};

/// Measures the takes that `args` name.
pub(super) fn run(args: &EvalTakes, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let asked = args.asked.as_deref();
    let asked = asked.map(|path| Expected::read(path, console)).transpose()?;
    let judges = ScoringNetworks::open(&args.judges, environment, console)?;
    let clips = gather(args, asked.as_deref(), environment, console)?;
    let read = clips.iter().flat_map(|(clip, _)| clip.files()).chain(&args.asked);
    let places = ReportPlaces::open(&args.report, read)?;
    let many = clips.len();
    let (mut rows, mut judged) = (Vec::new(), Vec::new());
    for (index, (clip, asked)) in clips.into_iter().enumerate() {
        progress.update("takes", index, many);
        let (row, one) = judge(clip, asked, judges.as_ref(), console)?;
        rows.push(row);
        judged.push(one);
    }
    let mut columns: Vec<MeasureColumn> = COLUMNS.iter().map(|(column, _)| *column).collect();
    columns.extend(judges.iter().flat_map(ScoringNetworks::columns));
    let mut notes = NOTES.map(str::to_owned).to_vec();
    notes.push(if judges.is_some() { JUDGED } else { NOT_JUDGED }.to_owned());
    let mut table = Table { title: "Takes", columns, rows, summary: Vec::new(), notes };
    table.note_empty();
    table.summary = table.means();
    summary::add(&mut table, &judged);
    super::tell(&table, &places, progress)
}

/// What a reader must know who compares with the literature.
const NOTES: [&str; 2] = [
    "temporal flickering is VBench's formula, over white as the paper renders; VBench takes it of \
     clips that should stand still",
    "smoothness is VBench's formula of motion smoothness with block matching in place of its \
     interpolation network: it orders clips, and is no VBench score",
];

const JUDGED: &str = "the paper asks a language model that sees for text alignment and naturalness; \
                      text is CLIP's instead, and naturalness is not measured";

const NOT_JUDGED: &str = "text alignment and aesthetic quality need networks that judge: give --clip \
                          and --aesthetic; naturalness is not measured";

/// Every take that was named, and what the table says of it.
fn gather(
    args: &EvalTakes,
    asked: Option<&[Expected]>,
    environment: &Environment,
    console: &Console<'_>,
) -> Result<Vec<(EvalClip, Option<Expected>)>> {
    let store = Store::new(environment.stores.clone());
    let open = |which: &Which| match which {
        Which::Key(key) => EvalClip::of_store(&store, key, console),
        Which::Folder(folder) => EvalClip::of_folder(folder, &args.reading.reading()),
    };
    let mut named = Vec::new();
    for given in &args.takes {
        let text = &*given.to_string_lossy();
        if Path::new(given).is_dir() {
            let folders = folders(Path::new(given))?;
            console.say_choices(&folders);
            named.extend(folders.into_iter().map(Which::Folder));
        } else if looks_like_a_key(text) {
            named.push(Which::Key(text.to_owned()));
        } else {
            return Err(anyhow!(
                "{text} is neither a folder nor the beginning of a take's key (4 to 64 of 0-9, a-f)"
            ))
            .or_exit(Exit::BadInput);
        }
    }
    if args.takes.is_empty() && asked.is_none() {
        return Err(anyhow!("no takes are named: give keys or folders, or a table with --asked"))
            .or_exit(Exit::BadInput);
    }
    let asked = asked.unwrap_or_default();
    if args.takes.is_empty() {
        named.extend(asked.iter().map(|row| row.which.clone()));
    }
    let mut clips = Vec::new();
    for which in &named {
        let clip = open(which)?;
        let row = asked.iter().find(|row| row.is_about(&clip.place)).cloned();
        if row.is_none() && !asked.is_empty() {
            console.warn(&format!("{}: --asked has no line about it", clip.name));
        }
        clips.push((clip, row));
    }
    Ok(clips)
}

fn looks_like_a_key(text: &str) -> bool {
    (4..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// As many ellipses as latent frames.
fn check_length(name: &str, ellipses: usize, frames: usize) -> Result<()> {
    let latent_frames = latent_frames_in(frames);
    ensure!(
        ellipses == latent_frames,
        "{name}: {} {} asked for, but {} {} {}, of one ellipse each",
        counted(ellipses, "ellipse"),
        verb(ellipses, "was", "were"),
        counted(frames, "frame"),
        verb(frames, "is", "are"),
        counted(latent_frames, "latent frame")
    );
    Ok(())
}

/// Looks at one clip once, frame by frame.
fn judge(
    mut clip: EvalClip,
    asked: Option<Expected>,
    judges: Option<&ScoringNetworks>,
    watch: &dyn Watch,
) -> Result<(ClipRow, JudgedTake)> {
    let shape @ [frames, width, height] = clip.shape();
    let latent_frames = latent_frames_in(frames);
    let track = match &asked {
        Some(asked) => asked.track(latent_frames)?,
        None => None,
    };
    let track = track.or_else(|| clip.track.take());
    if let Some(track) = &track {
        check_length(&clip.name, track.len(), frames).or_exit(Exit::BadInput)?;
    }
    let prompt = asked.as_ref().and_then(|asked| asked.prompt.clone()).or(clip.prompt.take());
    let mut meter = Meter::new(shape, track.clone())?;
    let marks = judges.map(|judges| judges.meter(&clip.name, prompt.as_deref(), watch));
    let mut marks = marks.transpose()?;
    let mut thumbs = Vec::new();
    clip.for_each(watch, |frame| {
        if is_shown(frame.index, frames) {
            thumbs.push(Thumbnail::of(&frame)?);
        }
        if let Some(marks) = &mut marks {
            marks.push(&frame)?;
        }
        meter.push(&frame)
    })?;
    let measured = meter.finish()?;
    let mut cells: Vec<Cell> = COLUMNS.iter().map(|(_, of)| of(&measured)).collect();
    cells.extend(marks.map(ScoreMeter::finish).transpose()?.unwrap_or_default());
    if measured.is_empty() {
        take_scores(&mut cells);
    }

    let mut more = Map::new();
    more.insert("shape".to_owned(), json!({ "frames": frames, "width": width, "height": height }));
    more.insert("asked_ellipses".to_owned(), json!(track));
    more.insert("found_ellipses".to_owned(), json!(measured.placement.found));
    more.insert("hue".to_owned(), json!(measured.hue.angle));
    if let Some(asked) = &asked {
        let color = asked.color.map(|color| color.name());
        more.insert("asked".to_owned(), json!({ "kind": asked.kind, "colour": color }));
    }
    let row = ClipRow {
        name: clip.name,
        prompt,
        cells,
        is_empty: measured.is_empty(),
        strips: vec![Strip { label: "take", thumbs }],
        more,
    };
    Ok((row, JudgedTake { measured, asked }))
}

/// Nothing flickers, leaks or has holes where nothing is, which is no merit: of an empty clip only its
/// coverage is told.
fn take_scores(cells: &mut [Cell]) {
    for (at, cell) in cells.iter_mut().enumerate() {
        if COLUMNS.get(at).is_none_or(|(column, _)| column.id != COVERAGE) {
            *cell = Cell::Nothing;
        }
    }
}
