//! `wan-alpha take`: the store of takes.

mod lines;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use wan_alpha_core::Watch;
use wan_alpha_core::generate::Pipeline;
use wan_alpha_core::tch;
use wan_alpha_take::store::{Store, StoreError, Take};
use wan_alpha_take::{TakeKey, TakeRequest};

use crate::announcement;
use crate::args::{ExportTake, MakeTake, TakeCommand};
use crate::console::Console;
use crate::context::CommandContext;
use crate::cpu_estimate::CpuEstimate;
use crate::device;
use crate::engine;
use crate::exit::{Exit, OrExit};
use crate::maker::{MakeContext, MakeError, Maker};
use crate::media::frame::of_stored;
use crate::output::{Format, Plan, Writer, Written};
use crate::stdout::print_lines;
use crate::timed_watch::TimedWatch;
use crate::timing_history::{TimingHistory, pace_class};
use wan_alpha_take::environment::Environment;

/// Runs a verb of `wan-alpha take`.
pub(crate) fn run(command: &TakeCommand, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let store = Store::new(environment.stores.clone());
    let lines = match command {
        TakeCommand::List => lines::list(&store, console),
        TakeCommand::Show { key } => lines::show(&find(&store, key, console)?)?,
        TakeCommand::Verify { key } => verify(&store, key.as_deref(), console)?,
        TakeCommand::Export(args) => export(args, &store, console)?,
        TakeCommand::Make(args) => make(args, &store, environment, console)?,
        TakeCommand::Trim { limit } => {
            let bytes = limit.map(|gigabytes| (gigabytes * 1e9) as u64);
            lines::trimmed(&store.trim(bytes.or(environment.store_limit)))
        }
        TakeCommand::Clear { yes } => clear(&store, *yes)?,
        TakeCommand::Where => lines::places(&store),
    };
    progress.done();
    print_lines(&lines);
    Ok(())
}

/// A take by its key, or by the beginning of it.
pub(crate) fn find(store: &Store, text: &str, watch: &dyn Watch) -> Result<Take> {
    let key = match text.parse::<TakeKey>() {
        Ok(key) => key,
        Err(_) => by_beginning(store, text)?,
    };
    let found = store.find(&key);
    for problem in &found.problems {
        watch.warn(&problem.to_string());
    }
    found
        .take
        .ok_or_else(|| anyhow!("no take {text} in {}", lines::folders(store)))
        .or_exit(Exit::BadInput)
}

fn by_beginning(store: &Store, text: &str) -> Result<TakeKey> {
    let listing = store.list();
    let fits = |key: &TakeKey| text.len() >= 4 && key.to_string().starts_with(text);
    let mut keys: Vec<_> =
        listing.takes.iter().map(|take| take.description.key).filter(fits).collect();
    keys.dedup();
    match keys[..] {
        [key] => Ok(key),
        [] => Err(anyhow!("no take begins with `{text}` in {}", lines::folders(store))),
        _ => Err(anyhow!("{} takes begin with `{text}`; give more of the key", keys.len())),
    }
    .or_exit(Exit::BadInput)
}

fn verify(store: &Store, key: Option<&str>, watch: &dyn Watch) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut damaged = 0;
    let takes = match key {
        Some(key) => vec![find(store, key, watch)?],
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
                lines.push(format!("DAMAGED  {path}: {} frames {bad:?}", bad.len()));
                lines.push(format!("         {}", take.set_aside(*first)));
            }
        }
    }
    if damaged == 0 {
        return Ok(lines);
    }
    print_lines(&lines);
    bail!("{damaged} takes are damaged and were set aside; they are made again when asked for")
}

/// Every take that can be opened, and why others cannot; damaged ones have been set aside.
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
        let found = store.find(&key);
        takes.extend(found.take);
        problems.extend(found.problems);
    }
    (takes, problems)
}

/// A take of the store as files, as `wan-alpha render` writes them.
fn export(args: &ExportTake, store: &Store, watch: &dyn Watch) -> Result<Vec<String>> {
    let take = find(store, &args.key, watch)?;
    let written = write_files(&take, &args.out, args.formats(), watch)?;
    let about = take.description();
    let mut record = serde_json::Map::new();
    record.insert("request".to_owned(), serde_json::to_value(&about.request)?);
    record.insert("key".to_owned(), serde_json::to_value(about.key)?);
    written.describe(record)?;
    Ok(vec![written.folder().display().to_string()])
}

/// Writes every frame of a take, and its contact sheet.
pub(crate) fn write_files(
    take: &Take,
    folder: &Path,
    formats: Vec<Format>,
    watch: &dyn Watch,
) -> Result<Written> {
    let mut writer = Writer::create(Plan::of(&take.description().request, folder, formats)?)?;
    for index in 0..take.frames() {
        if !watch.go_on() {
            return Err(anyhow!("cancelled while exporting")).or_exit(Exit::Cancelled);
        }
        writer.write(of_stored(index as usize, &take.frame(index)?).borrowed())?;
    }
    writer.finish()
}

/// Makes the take of a request ahead of whoever will want it.
fn make(
    args: &MakeTake,
    store: &Store,
    environment: &Environment,
    console: &Console<'_>,
) -> Result<Vec<String>> {
    let request = read_request(&args.request).or_exit(Exit::BadInput)?;
    if args.engine {
        let take = engine::have_made(&request, environment, console)?;
        return Ok(vec![take.path().display().to_string()]);
    }
    let opened = device::open_untold(&args.computing, environment)?;
    let device = opened.device;
    let mut maker = Maker::new(&opened, environment);
    let mut history = TimingHistory::read(&environment.state);
    let class = pace_class(maker.device_class(), tch::get_num_threads());
    let run = history.begin(&request, &class);
    let learned = run.learned();
    let history_so_far = &history;
    // Whoever typed it may go on, knowing how long.
    let may_begin = |pipeline: &Pipeline| {
        let slow = CpuEstimate::of(pipeline, &request, device, learned)?;
        let expected = slow.as_ref().map_or_else(
            || announcement::expected(history_so_far, pipeline, &request, &opened),
            CpuEstimate::expected,
        );
        console.remark(&announcement::line(&request, &opened, environment, expected));
        device::warn_of_unused(&opened, environment, console);
        if let Some(slow) = slow {
            console.caution(slow);
        }
        Ok(())
    };
    let place = MakeContext {
        store,
        models: &environment.models,
        limit: environment.store_limit,
        may_begin: &may_begin,
    };
    let watch = TimedWatch::new(console, run);
    match maker.make(&request, None, &place, &watch) {
        Ok(take) => {
            history.learn(watch.finish());
            Ok(vec![take.path().display().to_string()])
        }
        Err(MakeError::Stopped) => Err(anyhow!("cancelled")).or_exit(Exit::Cancelled),
        Err(MakeError::Failed(problem)) => {
            let exit = Exit::of_problem(&problem);
            Err(anyhow!("{problem}")).or_exit(exit)
        }
    }
}

/// A request: a file with its JSON (`take.json` of a render will do), or the text that a node keeps.
fn read_request(text: &str) -> Result<TakeRequest> {
    let path = Path::new(text);
    if !path.is_file() {
        return Ok(TakeRequest::from_parameter(text)?);
    }
    let json = fs::read_to_string(path).with_context(|| format!("cannot read {text}"))?;
    let value: serde_json::Value =
        serde_json::from_str(&json).with_context(|| format!("{text} is not JSON"))?;
    let request = value.get("request").unwrap_or(&value);
    TakeRequest::from_json(&request.to_string()).with_context(|| text.to_owned())
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
