//! `wan-alpha take`: the store of takes.

mod find;
mod gallery;
mod keep_image;
mod lines;
mod places;
mod room;
mod share;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, anyhow, bail, ensure};
use wan_alpha_core::Watch;
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::retime::{Retime, ShownFrames, blend};
use wan_alpha_take::store::{Store, StoreError, Take};
use wan_alpha_take::{TakeKey, TakeRequest};

use crate::args::{ExportTake, MakeTake, TakeCommand};
use crate::console::Console;
use crate::context::CommandContext;
use crate::device;
use crate::engine;
use crate::exit::{Exit, OrExit};
use crate::making_in_place::MakingInPlace;
use crate::media::atomic_file::{probe_file, write_whole};
use crate::media::frame::of_stored;
use crate::media::png::encode_variants;
use crate::media::provenance::{DateTime, Provenance};
use crate::media::sequence::extension;
use crate::media::variant_sheet::VariantSheet;
use crate::output::{FileSettings, Plan, Writer, Written, is_replaced};
use crate::own_inputs::{refuse_input, refuse_inputs_in};
use crate::saved_request::{self, RecoveredRequest};
use crate::stdout::print_lines;
use crate::variants::make_each;
use crate::write_lock::WriteLock;
pub(crate) use find::find;
use find::look_at;
pub(crate) use lines::size;
pub(crate) use places::{can_write, whom};
pub(crate) use room::say_size;
use wan_alpha_take::environment::Environment;

/// Runs a verb of `wan-alpha take`.
pub(crate) fn run(command: &TakeCommand, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let store = Store::new(environment.stores.clone());
    let lines = match command {
        TakeCommand::List { json: true } => vec![lines::list_json(&store)?],
        TakeCommand::List { json: false } => lines::list(&store, console),
        TakeCommand::Show { key, json } => lines::show(&look_at(&store, key, console)?, *json)?,
        TakeCommand::Verify { key } => verify(&store, key.as_deref(), console)?,
        TakeCommand::Export(args) => export(args, &store, environment, console)?,
        TakeCommand::Gallery(args) => gallery::run(args, &store, console)?,
        TakeCommand::Make(args) => make(args, &store, environment, console)?,
        TakeCommand::KeepImage(args) => vec![keep_image::run(args, &store, console)?],
        TakeCommand::Remove { keys } => remove(keys, &store)?,
        TakeCommand::Trim { limit } => {
            let bytes = limit.map(|gigabytes| (gigabytes * 1e9) as u64);
            lines::trimmed(&store.trim(bytes.or(environment.store_limit)))
        }
        TakeCommand::Clear { yes } => clear(&store, *yes)?,
        TakeCommand::Where { share: None, json: true } => vec![places::json(&store)?],
        TakeCommand::Where { share: None, json: false } => places::lines(&store),
        TakeCommand::Where { share: Some(whom), .. } => share::run(&store, whom)?,
    };
    progress.done();
    print_lines(&lines)?;
    Ok(())
}

fn verify(store: &Store, key: Option<&str>, watch: &dyn Watch) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut damaged = 0;
    let takes = match key {
        Some(key) => vec![look_at(store, key, watch)?],
        None => {
            let (takes, problems) = every_take(store);
            for problem in problems {
                if let StoreError::Damaged { .. } = problem {
                    damaged += 1;
                    lines.push(format!("DAMAGED  {problem}"));
                } else {
                    watch.warn(&problem.to_string());
                }
            }
            takes
        }
    };
    for take in takes {
        let bad = take.verify(|_| {})?;
        let path = take.path().display();
        match &bad[..] {
            [] => lines.push(format!("whole    {path}")),
            [first, ..] => {
                damaged += 1;
                lines.push(format!("DAMAGED  {path}: {} {bad:?}", counted(bad.len(), "frame")));
                lines.push(format!("         {}", take.set_aside(*first)));
            }
        }
    }
    for hash in store.images().iter().filter(|_| key.is_none()) {
        let found = store.look_at_image(hash);
        damaged += found.problems.len();
        lines.extend(found.problems.iter().map(|problem| format!("DAMAGED  {problem}")));
        lines.extend(found.image.map(|_| format!("whole    image {hash}")));
    }
    if damaged == 0 {
        return Ok(lines);
    }
    print_lines(&lines)?;
    bail!(
        "{} of the store {} damaged and set aside; takes are made again when asked for",
        counted(damaged, "entry"),
        verb(damaged, "is", "are"),
    )
}

/// Every take that can be opened, to be looked at, and why others cannot; damaged ones have been set aside.
fn every_take(store: &Store) -> (Vec<Take>, Vec<StoreError>) {
    let listing = store.list();
    let mut problems = Vec::new();
    let mut keys: Vec<TakeKey> = listing.takes.iter().map(|take| take.description.key).collect();
    for problem in listing.problems {
        let named = match &problem {
            StoreError::Damaged { path, .. } => path.file_stem().and_then(OsStr::to_str),
            _ => None,
        };
        match named.and_then(|name| name.parse().ok()) {
            // Looked at once more, which sets it aside.
            Some(key) => keys.push(key),
            None => problems.push(problem),
        }
    }
    let mut takes = Vec::new();
    for key in keys {
        let found = store.look_at(&key);
        takes.extend(found.take);
        problems.extend(found.problems);
    }
    (takes, problems)
}

/// A take of the store as files, as `wan-alpha render` writes them.
fn export(
    args: &ExportTake,
    store: &Store,
    environment: &Environment,
    console: &Console<'_>,
) -> Result<Vec<String>> {
    let settings = args.files.settings(environment)?;
    let replaced = |name: &str| is_replaced(name, &settings.names);
    refuse_inputs_in("--out", &args.out, replaced, &args.files.inputs())?;
    let take = find(store, &args.key, console)?;
    let retime = args.retime();
    let written = write_files(&take, &args.out, &settings, retime, console)?;
    let about = take.description();
    let mut record = serde_json::Map::new();
    record.insert("request".to_owned(), serde_json::to_value(&about.request)?);
    record.insert("key".to_owned(), serde_json::to_value(about.key)?);
    if let Some(report) = &about.report {
        record.insert("report".to_owned(), serde_json::to_value(report)?);
    }
    if !about.warnings.is_empty() {
        let texts: Vec<String> = about.warnings.iter().map(ToString::to_string).collect();
        record.insert("warnings".to_owned(), serde_json::to_value(texts)?);
    }
    if let Some(retime) = &args.rate {
        record.insert("rate".to_owned(), (*retime).into());
        record.insert("retime".to_owned(), args.retime.name().into());
    }
    written.describe(record)?;
    Ok(vec![written.folder().display().to_string()])
}

/// Writes every frame of a take, and its contact sheet; where `retime` says so, those of a timeline of
/// another rate.
pub(crate) fn write_files(
    take: &Take,
    folder: &Path,
    settings: &FileSettings,
    retime: Option<Retime>,
    console: &Console<'_>,
) -> Result<Written> {
    let request = &take.description().request;
    let (own, rate) = (take.frames(), request.take_rate);
    let mut plan = Plan::of(request, folder, settings)?;
    if let Some(retime) = retime {
        plan.frames = retime.frames(own, rate) as usize;
        plan.provenance.frame_rate = i32::try_from(retime.rate)?;
    }
    let frames = u32::try_from(plan.frames)?;
    let mut writer = Writer::create(plan, |words| console.remark(words))?;
    for index in 0..frames {
        if !console.go_on() {
            return Err(anyhow!("cancelled while exporting")).or_exit(Exit::Cancelled);
        }
        let shown = retime.map_or(ShownFrames::One(index), |retime| retime.shown(index, own, rate));
        writer.write(shown_frame(take, index as usize, shown)?.borrowed())?;
    }
    let written = writer.finish()?;
    written.remarks.iter().for_each(|words| console.remark(words));
    Ok(written)
}

/// What shows of a take, as the frame of that number.
fn shown_frame(take: &Take, index: usize, shown: ShownFrames) -> Result<OwnedFrame> {
    Ok(match shown {
        ShownFrames::One(frame) => of_stored(index, &take.frame(frame)?),
        ShownFrames::Between(first, second, part) => {
            let [first, second] = [take.frame(first)?, take.frame(second)?];
            let rgba = blend(&first, &second, part).iter().map(|value| value.to_f32()).collect();
            OwnedFrame::new(index, first.width as usize, first.height as usize, rgba)
        }
    })
}

/// Makes the take of a request ahead of whoever will want it.
fn make(
    args: &MakeTake,
    store: &Store,
    environment: &Environment,
    console: &Console<'_>,
) -> Result<Vec<String>> {
    let RecoveredRequest { request, file } = saved_request::read(&args.request)?;
    if let Some(sheet) = &args.sheet {
        refuse_input("--sheet", sheet, &file)?;
        refuse_sheet(sheet).or_exit(Exit::BadInput)?;
        probe_file(sheet).or_exit(Exit::BadInput)?;
    }
    let _lock = args.sheet.as_deref().map(WriteLock::of_file).transpose()?;
    let absent = absent_folders(store);
    let opened = (!args.engine).then(|| device::open_untold(&args.computing, environment));
    let opened = opened.transpose()?;
    let mut making = opened.as_ref().map(|opened| MakingInPlace::new(opened, store, environment));
    let mut make = |request: &TakeRequest| {
        let kept = request.key().ok().and_then(|key| store.find(&key).take);
        if let Some(take) = &kept {
            say_kept(take, console);
        }
        match (&mut making, kept) {
            (Some(making), _) => making.make(request, None, (None, None), console),
            // An engine is not asked, which may pause, or would have to be started.
            (None, Some(take)) => {
                take.description().warnings.iter().for_each(|warning| console.tell(warning));
                Ok(take)
            }
            (None, None) => engine::have_made(request, &[], None, environment, console),
        }
    };
    let mut takes = Vec::new();
    match &args.seeds {
        Some(list) => {
            list.warning().into_iter().for_each(|words| console.caution(words));
            let sheet =
                args.sheet.as_deref().map(|path| SheetFile::new(path, &request, environment));
            make_each(&request, &list.seeds, console, &mut make, &mut |picture, take| {
                takes.push(take.path().display().to_string());
                sheet.as_ref().map_or(Ok(()), |sheet| sheet.write(picture))
            })?;
        }
        None => {
            let take = make(&request)?;
            if let Some(report) = &take.description().report {
                console.remark(&format!("the take {report}"));
            }
            takes.push(take.path().display().to_string());
        }
    }
    say_made(&absent, console);
    Ok(takes)
}

/// A sheet is a new PNG: whatever is there already, a take or a frame of one, stays.
fn refuse_sheet(sheet: &Path) -> Result<()> {
    ensure!(
        extension(sheet).as_deref() == Some("png"),
        "--sheet {}: the picture of all takes is a PNG: choose a name that ends in .png",
        sheet.display()
    );
    ensure!(
        sheet.symlink_metadata().is_err(),
        "--sheet {} exists already and stays as it is: choose another name, or remove it",
        sheet.display()
    );
    Ok(())
}

/// The file of a picture of several takes.
struct SheetFile<'a> {
    path: &'a Path,
    provenance: Provenance,
}

impl<'a> SheetFile<'a> {
    fn new(path: &'a Path, request: &TakeRequest, environment: &Environment) -> Self {
        let made = environment.source_date.map(DateTime::of_seconds);
        let made = made.unwrap_or_else(|| DateTime::of(SystemTime::now()));
        Self { path, provenance: Provenance::of_model(&request.model, made) }
    }

    fn write(&self, picture: &VariantSheet) -> Result<()> {
        write_whole(self.path, &encode_variants(picture, &self.provenance)?)?;
        Ok(())
    }
}

/// Says that a take is not computed, since it is in the store.
fn say_kept(take: &Take, console: &Console<'_>) {
    console.remark(&format!(
        "the take is in the store already and is not computed again: {}",
        take.path().display()
    ));
}

/// Removes takes that are named; none of them where one is not there.
fn remove(names: &[String], store: &Store) -> Result<Vec<String>> {
    let keys = names.iter().map(|name| find::key_of(store, name)).collect::<Result<Vec<_>>>()?;
    let mut lines = Vec::new();
    let mut stay = Vec::new();
    for key in keys {
        let bytes = lines::bytes_of(store, &key);
        match store.remove(&key) {
            Ok(paths) => lines.extend(
                paths.iter().map(|path| format!("removed {}, {}", path.display(), size(bytes))),
            ),
            Err(error) => stay.push(error.to_string()),
        }
    }
    if stay.is_empty() {
        return Ok(lines);
    }
    print_lines(&lines)?;
    Err(anyhow!(stay.join("; "))).or_exit(Exit::BadInput)
}

/// The folders of a store that are not there yet.
pub(crate) fn absent_folders(store: &Store) -> Vec<PathBuf> {
    store.folders().iter().filter(|folder| !folder.exists()).cloned().collect()
}

/// Says of those that have been made since for whom they are.
pub(crate) fn say_made(absent: &[PathBuf], console: &Console<'_>) {
    for folder in absent.iter().filter(|folder| folder.exists()) {
        let whom = places::for_whom(folder);
        console.remark(&format!(
            "{} has been made for takes, {whom}; `wan-alpha take where --share GROUP|everyone` opens it to \
             others",
            folder.display()
        ));
    }
}

fn clear(store: &Store, yes: bool) -> Result<Vec<String>> {
    if !yes {
        return Err(anyhow!(
            "this removes every take of yours in {}; say --yes to do it",
            lines::folders(store)
        ))
        .or_exit(Exit::BadInput);
    }
    Ok(lines::trimmed(&store.trim(Some(0))))
}
