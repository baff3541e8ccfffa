//! Which files the rows of a set will have, found out before anything is encoded.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use wan_alpha_core::vae::Corner;
use wan_alpha_core::{Watch, encode};
use wan_alpha_take::counted::counted;

use super::index::Line;
use super::key::{self, Recipe};
use crate::args::CacheSet;
use crate::context::CommandContext;
use crate::data::bucket::Bucket;
use crate::data::rng::DataRng;
use crate::data::set::Set;
use crate::exit::{Exit, OrExit};

/// What is known of a clip, whatever is said of it.
#[derive(Clone)]
struct ClipPlan {
    /// The hash of its files.
    identity: String,
    frames: usize,
    bucket: Bucket,
}

/// The files of a clip, color and alpha, and how its color is to be read.
type CachedClip<'a> = (&'a str, &'a str, (Option<String>, Option<&'a str>));

/// The files of every row. What no row may be is found here, before anything is encoded; that clips
/// are enlarged is told.
pub(super) fn lines(
    set: &Set,
    args: &CacheSet,
    recipe: &Recipe,
    context: &CommandContext<'_>,
) -> Result<Vec<Line>> {
    let CommandContext { progress, console, .. } = *context;
    let count = set.rows().len();
    // Rows that show the same are read once.
    let mut known: BTreeMap<CachedClip<'_>, ClipPlan> = BTreeMap::new();
    let mut lines = Vec::with_capacity(count);
    progress.update("reading", 0, count);
    for (number, row) in set.rows().iter().enumerate() {
        if !console.go_on() {
            return Err(anyhow!("cancelled while reading")).or_exit(Exit::Cancelled);
        }
        let mut judge = || -> Result<Line> {
            if row.captions.is_empty() {
                return Err(anyhow!("it has no caption: write one, or have `data caption` do so"));
            }
            let place = (row.color.as_str(), row.alpha.as_str(), row.said_of_color());
            let clip = match known.get(&place) {
                Some(clip) => clip.clone(),
                None => {
                    let clip = clip(set, number, recipe)?;
                    known.entry(place).or_insert(clip).clone()
                }
            };
            line(set, number, &clip, (args, recipe))
        };
        lines.push(judge().with_context(|| set.name(number)).or_exit(Exit::BadInput)?);
        progress.update("reading", number + 1, count);
    }
    let enlarged = known.iter().filter(|(_, clip)| clip.bucket.enlarges());
    if let Some(words) = about_enlarged(&enlarged.collect::<Vec<_>>()) {
        console.warn(&words);
    }
    Ok(lines)
}

fn clip(set: &Set, row: usize, recipe: &Recipe) -> Result<ClipPlan> {
    let about = &set.rows()[row];
    let frames = set.frames(row)?;
    let bucket = set.bucketed(row, recipe.size)?.bucket;
    let shape = encode::ClipShape { frames, width: bucket.width, height: bucket.height };
    shape.check()?;
    Ok(ClipPlan { identity: key::of_files(about)?, frames, bucket })
}

fn line(
    set: &Set,
    number: usize,
    clip: &ClipPlan,
    (args, recipe): (&CacheSet, &Recipe),
) -> Result<Line> {
    let row = &set.rows()[number];
    let ClipPlan { identity, frames, bucket } = clip;
    let draw = &mut DataRng::new(args.seed, &format!("background {identity}"), &[]);
    let drawn = Corner::all().nth(draw.below(8)).unwrap_or(Corner::WHITE);
    // As it is when a take begins with an image.
    let background = if recipe.image.is_some() { Corner::WHITE } else { drawn };
    let track = set.own_ellipses(number)?;
    Ok(Line {
        row: number + 1,
        color: row.color.clone(),
        captions: row.captions.clone(),
        source: row.source().to_owned(),
        labels: row.labels.clone(),
        file: recipe.clip_file(identity, row, background, track.as_deref()),
        text: Some(recipe.text_file(row)),
        background: background.name().to_owned(),
        image: recipe.image.is_some(),
        frames: *frames,
        height: bucket.height,
        width: bucket.width,
    })
}

/// Pixels that nobody has filmed teach a model to be soft: it is said, and how to do without.
fn about_enlarged(clips: &[(&CachedClip<'_>, &ClipPlan)]) -> Option<String> {
    let ((color, ..), ClipPlan { bucket, .. }) = clips.first()?;
    let [width, height] = bucket.from;
    Some(format!(
        "--area enlarges {}, the first is {color}: {width} × {height} to {} × {}. Leave --area \
         out, and each keeps its own size, or give a smaller one",
        counted(clips.len(), "clip"),
        bucket.width,
        bucket.height
    ))
}

/// The sizes that clips have, with how many rows have each, for people.
pub(super) fn sizes(lines: &[Line]) -> String {
    let mut counts: BTreeMap<[usize; 2], usize> = BTreeMap::new();
    for line in lines {
        *counts.entry([line.width, line.height]).or_default() += 1;
    }
    let each = counts.iter().map(|([width, height], rows)| format!("{width} × {height}: {rows}"));
    each.collect::<Vec<_>>().join(", ")
}
