//! `wan-alpha data procedural`: drawn clips as a data set on disk.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use image::RgbaImage;
use rayon::prelude::*;
use wan_alpha_core::Watch;
use wan_alpha_take::counted::counted;

use super::clip::{RgbaClip, Window};
use super::procedural::{DrawnClip, DrawnSet, DrawnStream, Edition, Language};
use super::table::{self, Row};
use crate::args::{CaptionLanguages, Procedural};
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::media::atomic_file::{explain_write, sweep, unfinished_folder};
use crate::media::png::encode_plain;
use crate::stdout::print_lines;
use crate::threads;
use crate::write_lock::WriteLock;

const TABLE: &str = "table.csv";
/// How the folder of a clip begins.
const CLIP: &str = "clip-";
/// The ellipses of a clip, in its folder.
const TRACK: &str = "track.json";

pub(super) fn run(args: &Procedural, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    threads::set(args.threads, environment);
    prepare(&args.out).or_exit(Exit::BadInput)?;
    let _lock = WriteLock::of_folder(&args.out)?;
    sweep(&args.out);
    let count = args.count as usize;
    let window = Window { frames: args.frames as usize, height: args.size[1], width: args.size[0] };
    let stream = if args.held_out { DrawnStream::HeldOut } else { DrawnStream::Training };
    let edition =
        Edition::of(args.edition).context("there is no such edition").or_exit(Exit::BadInput)?;
    let set = DrawnSet { edition, seed: args.seed, stream };
    let done = AtomicUsize::new(0);
    progress.update("drawing", 0, count);
    let rows = (0..count).into_par_iter().map(|index| {
        if !console.go_on() {
            return Err(anyhow!("cancelled while drawing")).or_exit(Exit::Cancelled);
        }
        let clip = DrawnClip::draw(&set, index as u64, &window);
        let name = format!("{CLIP}{index:06}");
        write(&clip, &window, &args.out, &name)?;
        progress.update("drawing", done.fetch_add(1, Ordering::Relaxed) + 1, count);
        Ok(rows(&clip, &name, args.language))
    });
    let rows: Vec<Vec<Row>> = rows.collect::<Result<_>>()?;
    let table = args.out.join(TABLE);
    // Last: a folder without a table is not a set.
    table::write(&table, &rows.concat())?;
    progress.done();
    print_lines(&[table.display().to_string()])?;
    progress.remark(format!(
        "{} of {}, {} × {}",
        counted(count, "clip"),
        counted(window.frames, "frame"),
        window.width,
        window.height
    ));
    Ok(())
}

/// Makes the folder. Clips of a run that was stopped are replaced, anything else is left alone.
fn prepare(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).map_err(|error| explain_write(out, &error))?;
    for entry in std::fs::read_dir(out)? {
        let name = entry?.file_name();
        let ours = name.to_string_lossy();
        ensure!(
            ours.starts_with(CLIP) || ours.starts_with('.'),
            "{} already holds {}: choose another --out, or remove it",
            out.display(),
            ours
        );
    }
    Ok(())
}

/// A clip's frames and its ellipses, all at once.
fn write(clip: &DrawnClip, window: &Window, out: &Path, name: &str) -> Result<()> {
    let target = out.join(name);
    let attempt = || -> Result<(), std::io::Error> {
        let folder = unfinished_folder(out)?;
        for index in 0..clip.frames.frames {
            let path = folder.path().join(format!("rgba.{index:04}.png"));
            std::fs::write(path, png(&clip.frames, index)?)?;
        }
        let track = clip.scene.ellipses(window);
        std::fs::write(folder.path().join(TRACK), serde_json::to_vec(&track)?)?;
        if target.exists() {
            std::fs::remove_dir_all(&target)?;
        }
        std::fs::rename(folder.path(), &target)?;
        // It has gone under this name.
        let _ = folder.keep();
        Ok(())
    };
    Ok(attempt().map_err(|error| explain_write(&target, &error))?)
}

fn png(clip: &RgbaClip, index: usize) -> Result<Vec<u8>, std::io::Error> {
    let bytes = clip.frame(index).iter().map(|value| (value * 255.0 + 0.5) as u8).collect();
    let image = RgbaImage::from_raw(clip.width as u32, clip.height as u32, bytes);
    let bytes =
        image.context("a frame of another size").and_then(|image| Ok(encode_plain(&image)?));
    bytes.map_err(std::io::Error::other)
}

/// A row for every language.
fn rows(clip: &DrawnClip, name: &str, languages: CaptionLanguages) -> Vec<Row> {
    let languages: &[Language] = match languages {
        CaptionLanguages::En => &[Language::English],
        CaptionLanguages::Zh => &[Language::Chinese],
        CaptionLanguages::Both => &[Language::English, Language::Chinese],
    };
    let row = |language: &Language| Row {
        color: name.to_owned(),
        captions: vec![clip.scene.caption(*language), clip.scene.short_caption(*language)],
        moving: Some(clip.frames.frames > 1),
        labels: clip.scene.labels(),
        track: format!("{name}/{TRACK}"),
        ..Row::default()
    };
    languages.iter().map(row).collect()
}
