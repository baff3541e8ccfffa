//! `wan-alpha model get`: the released files, what of them is in a folder, and fetching the rest.
//!
//! Nothing is fetched unasked. What is known of a file beforehand (its size, its hash) it must be; what is
//! not known the hub says while it is fetched.

#![forbid(unsafe_code)]

mod check;
mod download;
mod hub;
mod releases;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use wan_alpha_take::counted::{counted, verb};

use super::parts::size;
use crate::args::GetModel;
use crate::context::CommandContext;
use crate::exit::{Exit, OrExit};
use crate::stdout::print_lines;
use check::{FileState, FoundFile, look, shards_of};
use hub::{Hub, token_of};
use releases::{ModelUse, ReleasedFile, Releases};

/// For the progress of files, which are large.
const MEGABYTE: u64 = 1_000_000;

/// A released file, and how it lies in the folder.
struct WantedFile {
    file: ReleasedFile,
    found: FoundFile,
}

/// Lists the files of one use or of all; with a folder, says what of them is there, and with `--yes`
/// fetches what is not.
pub(super) fn run(args: &GetModel, context: &CommandContext<'_>) -> Result<Vec<String>> {
    let list = Releases::read(args.list.as_deref()).or_exit(Exit::BadInput)?;
    let mirror = context.environment.hub.as_deref();
    let token = args.token_variable.as_deref().map(token_of).transpose()?;
    let hub = Hub::new(mirror, token.as_deref()).or_exit(Exit::BadInput)?;
    let Some(name) = &args.what else {
        return everything(&list, &hub);
    };
    let one = list.named(name).or_exit(Exit::BadInput)?;
    let files = list.files_of(one)?;
    let Some(folder) = &args.to else {
        let mut lines = vec![heading(one, &files)];
        lines.extend(files.iter().flat_map(|file| described(file, &hub)));
        lines.push(format!(
            "nothing was fetched: `wan-alpha model get {name} --to FOLDER` says what is there already, \
             with --yes it fetches the rest"
        ));
        return Ok(lines);
    };
    let folder = std::path::absolute(folder)?;
    let mut wanted = look_for(&files, &folder, context)?;
    if args.yes {
        wanted = fetch_all(&hub, &files, wanted, &folder, context)?;
    }
    report(one, &wanted, &folder, &hub, context)
}

/// Every use and every file.
fn everything(list: &Releases, hub: &Hub) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for one in &list.uses {
        lines.push(heading(one, &list.files_of(one)?));
    }
    for file in &list.files {
        lines.extend(described(file, hub));
        let of = |one: &&ModelUse| one.files.contains(&file.key);
        let uses: Vec<_> = list.uses.iter().filter(of).map(|one| one.name.as_str()).collect();
        lines.push(row("for", &uses.join(", ")));
    }
    let files = counted(list.files.len(), "file");
    lines.push(format!("all of it: {files}, {}", total(list.files.iter())));
    lines.push(
        "nothing was fetched: `wan-alpha model get USE --to FOLDER` says what is there already, with \
         --yes it fetches the rest"
            .to_owned(),
    );
    Ok(lines)
}

/// A use, and how large its files are together.
fn heading(one: &ModelUse, files: &[&ReleasedFile]) -> String {
    let ModelUse { name, what, .. } = one;
    format!("{name}: {what}; {}, {}", counted(files.len(), "file"), total(files.iter().copied()))
}

/// How large files are together.
fn total<'a>(files: impl Iterator<Item = &'a ReleasedFile>) -> String {
    let sizes: Vec<Option<u64>> = files.map(ReleasedFile::size).collect();
    let known = size(sizes.iter().flatten().sum());
    match sizes.iter().filter(|size| size.is_none()).count() {
        0 => known,
        unknown => format!("{known}, and {unknown} of unknown size"),
    }
}

/// A file in lines: address, size, license, hash.
fn described(file: &ReleasedFile, hub: &Hub) -> Vec<String> {
    let about = if file.is_exact() { "" } else { "about " };
    let known = file.size().map_or("unknown".to_owned(), |bytes| format!("{about}{}", size(bytes)));
    vec![
        format!("  {}", file.what),
        row("address", &file.address(&hub.address)),
        row("size", &known),
        row("license", &file.license),
        row(
            "SHA-256",
            file.sha256.as_deref().unwrap_or("unknown; the hub says it when it is fetched"),
        ),
    ]
}

fn row(name: &str, text: &str) -> String {
    format!("    {name:<9}{text}")
}

/// How each file lies in the folder; of an index that is there, its shards as well.
fn look_for(
    files: &[&ReleasedFile],
    folder: &Path,
    context: &CommandContext<'_>,
) -> Result<Vec<WantedFile>> {
    let mut wanted = Vec::new();
    let look = |file: &ReleasedFile| {
        let stage = format!("reading {}", name_of(file));
        let found = look(folder, file, &|done, all| tell(context, &stage, done, all))?;
        Ok::<_, anyhow::Error>(WantedFile { file: file.clone(), found })
    };
    for file in files {
        let index = look(file)?;
        let shards = match file.shards_about_bytes {
            Some(_) if index.found.state.is_whole() => shards_of(&index.found.path, file)?,
            _ => Vec::new(),
        };
        wanted.push(index);
        for shard in &shards {
            wanted.push(look(shard)?);
        }
    }
    Ok(wanted)
}

/// Fetches what is not there, indexes first, since only they know what else there is.
fn fetch_all(
    hub: &Hub,
    files: &[&ReleasedFile],
    wanted: Vec<WantedFile>,
    folder: &Path,
    context: &CommandContext<'_>,
) -> Result<Vec<WantedFile>> {
    in_nobodys_way(&wanted)?;
    enough_room(&wanted, folder)?;
    let is_index = |one: &&WantedFile| one.file.shards_about_bytes.is_some();
    let missing = |one: &&WantedFile| !one.found.state.is_whole();
    for index in wanted.iter().filter(is_index).filter(missing) {
        fetch(hub, index, context)?;
    }
    let wanted = look_for(files, folder, context)?;
    in_nobodys_way(&wanted)?;
    for one in wanted.iter().filter(missing) {
        fetch(hub, one, context)?;
    }
    look_for(files, folder, context)
}

/// What is another file than the released one stays, and is not written over.
fn in_nobodys_way(wanted: &[WantedFile]) -> Result<()> {
    let stranger = wanted.iter().find(|one| matches!(one.found.state, FileState::Other(_)));
    let Some(WantedFile { found, .. }) = stranger else { return Ok(()) };
    Err(anyhow!(
        "{} is {}. Move it away, or name another folder by --to; nothing was fetched",
        found.path.display(),
        found.state
    ))
    .or_exit(Exit::BadInput)
}

/// Asks the disk first: what is to come, less what is there of it.
fn enough_room(wanted: &[WantedFile], folder: &Path) -> Result<()> {
    let on_disk = |one: &WantedFile| match &one.found.state {
        FileState::Unfinished(bytes) => *bytes,
        state if state.is_whole() => one.found.path.metadata().map_or(0, |about| about.len()),
        _ => 0,
    };
    let needed = |one: &WantedFile| match &one.found.state {
        // Of an index that is there, what its shards still lack: their own sizes are not known.
        FileState::Whole { .. } => {
            let of_it = |shard: &&WantedFile| shard.file.key == one.file.key;
            let there = wanted.iter().filter(of_it).map(on_disk).sum();
            one.file.shards_about_bytes.unwrap_or(0).saturating_sub(there)
        }
        FileState::Unfinished(bytes) => one.file.size().unwrap_or(0).saturating_sub(*bytes),
        _ => one.file.size().unwrap_or(0),
    };
    let needed: u64 = wanted.iter().map(needed).sum();
    let there = folder.ancestors().find(|folder| folder.is_dir());
    let free = there.and_then(|there| wan_alpha_take::disk_space::available(there).ok());
    ensure!(
        free.is_none_or(|free| free > needed),
        "{} are to come, and {} are free in {}: make room, or name another folder by --to; nothing was \
         fetched",
        size(needed),
        size(free.unwrap_or(0)),
        folder.display()
    );
    Ok(())
}

fn fetch(hub: &Hub, one: &WantedFile, context: &CommandContext<'_>) -> Result<()> {
    let WantedFile { file, found } = one;
    let stage = format!("fetching {}", name_of(file));
    let shown = Cell::new(None);
    let state = download::fetch(hub, file, &found.path, &|done, all| {
        // A step of the bar is a megabyte; what is told between two of them shows nothing.
        if shown.replace(Some(done / MEGABYTE)) != Some(done / MEGABYTE) {
            return tell(context, &stage, done, all);
        }
        !context.interrupt.asked()
    })?;
    context.progress.remark(format!("{}: {state}", found.path.display()));
    Ok(())
}

fn name_of(file: &ReleasedFile) -> &str {
    file.path.rsplit('/').next().unwrap_or(&file.path)
}

/// Shows how far a file is, in megabytes; whether to go on.
fn tell(context: &CommandContext<'_>, stage: &str, done: u64, all: u64) -> bool {
    let megabytes = |bytes: u64| (bytes / MEGABYTE) as usize;
    if all >= MEGABYTE {
        context.progress.update(stage, megabytes(done), megabytes(all));
    }
    !context.interrupt.asked()
}

/// What is there, and what to do next. Files that are not there whole are an error, for scripts.
fn report(
    one: &ModelUse,
    wanted: &[WantedFile],
    folder: &Path,
    hub: &Hub,
    context: &CommandContext<'_>,
) -> Result<Vec<String>> {
    let mut lines = vec![format!("{}: {}", one.name, one.what)];
    for WantedFile { file, found } in wanted {
        lines.push(format!("  {}", found.path.display()));
        lines.push(row("is", &found.state.to_string()));
        if !found.state.is_whole() {
            lines.push(row("address", &file.address(&hub.address)));
        }
    }
    let missing = wanted.iter().filter(|one| !one.found.state.is_whole()).count();
    if missing == 0 {
        lines.extend(next(one, wanted, folder));
        return Ok(lines);
    }
    context.progress.done();
    print_lines(&lines)?;
    let (name, to) = (&one.name, folder.display());
    let absent = wanted.iter().filter(|one| !one.found.state.is_whole()).map(|one| &one.file);
    Err(anyhow!(
        "{missing} of {} {} not whole in {to}; `wan-alpha model get {name} --to {to} --yes` fetches {}: {}",
        counted(wanted.len(), "file"),
        verb(missing, "is", "are"),
        verb(missing, "it", "them"),
        total(absent)
    ))
    .or_exit(Exit::ModelIncomplete)
}

/// The line that gives the model its name. Where files were put by hand, it is their folder.
fn next(one: &ModelUse, wanted: &[WantedFile], folder: &Path) -> Option<String> {
    if one.add.is_empty() {
        return None;
    }
    let fetched = wanted.iter().all(|one| one.found.path == folder.join(one.file.place()));
    let paths: Vec<PathBuf> = match fetched {
        true => one.add.iter().map(|path| folder.join(path)).collect(),
        false => vec![folder.to_owned()],
    };
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    Some(format!("next: wan-alpha model add {} {}", one.name, paths.join(" ")))
}
