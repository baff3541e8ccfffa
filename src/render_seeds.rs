//! `wan-alpha render --seeds`: takes to choose from, and one picture of all.
//!
//! They are in the store then, so `--pick` writes the frames of one without computing anything.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use wan_alpha_take::TakeRequest;
use wan_alpha_take::store::{Store, Take};

use crate::args::{Render, SeedList};
use crate::context::CommandContext;
use crate::device;
use crate::engine;
use crate::exit::{Exit, OrExit};
use crate::making_in_place::MakingInPlace;
use crate::media::atomic_file::{explain_write, probe, write_whole};
use crate::media::png::encode_variants;
use crate::media::provenance::Provenance;
use crate::media::signature::{FileSigner, sealed};
use crate::media::variant_sheet::{self, VariantSheet};
use crate::render::{self, OpenedModel, ReadFlags};
use crate::saved_request;
use crate::stdout::print_lines;
use crate::take;
use crate::variants::make_each;
use crate::write_lock::WriteLock;

/// The picture of all.
const SHEET: &str = variant_sheet::FILE_NAME;
/// What each of them is.
const LIST: &str = "variants.json";
/// What the list says of who wrote it.
const PROGRAM: &str = "wan-alpha render --seeds";

/// Makes the takes of `args` with each of `seeds`.
pub(crate) fn run(
    args: &Render,
    SeedList { seeds, .. }: &SeedList,
    context: &CommandContext<'_>,
) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    render::refuse_nothing_asked(args).or_exit(Exit::BadInput)?;
    let saved = args.from.as_deref().map(saved_request::read).transpose()?;
    // Without a saved request the flags are read as those of one take, and said of.
    if saved.is_some() {
        args.seed_warning().into_iter().for_each(|words| console.caution(words));
    }
    let settings = args.files.settings(environment)?;
    render::refuse_inputs(args, &settings, saved.as_ref())?;
    let folder = VariantFolder::open(&args.out, settings.force).or_exit(Exit::BadInput)?;
    let kept = Store::new(environment.stores.clone());
    let passing = args.no_store.then(|| passing_store(&args.out)).transpose()?;
    let store = passing.as_ref().map_or(&kept, |(_, store)| store);

    let opened = (!args.engine).then(|| device::open_untold(&args.computing, environment));
    let opened = opened.transpose()?;
    let (model, asked) = match saved {
        Some(saved) => OpenedModel::again(args, saved.request, &kept, opened.as_ref(), context)?,
        None => {
            let flags = ReadFlags::of(args, context)?;
            let chosen = flags.chosen.clone();
            let mut model = OpenedModel::of(args, chosen, opened.as_ref(), context)?;
            let asked = model.request(args, flags, context)?;
            (model, asked)
        }
    };
    let absent = take::absent_folders(&kept);
    asked.keep_images(store, console)?;
    let files = model.files();
    let mut making = opened
        .as_ref()
        .map(|opened| MakingInPlace::new(opened, store, environment).telling_room(!args.no_store));
    let mut make = |request: &TakeRequest| match &mut making {
        Some(making) => making.make(request, asked.mask(), (Some(&files), None), console),
        None => engine::have_made(request, &asked.before, None, environment, console),
    };
    let rate = i32::try_from(asked.request.take_rate)?;
    let provenance = settings.provenance_of(&asked.request.model, String::new(), rate);
    let mut listed = Vec::new();
    make_each(&asked.request, seeds, console, &mut make, &mut |sheet, take| {
        listed.push(described(listed.len() + 1, &take));
        folder.write(sheet, (&provenance, settings.signer.as_deref()), &listed, seeds.len())?;
        let key = take.description().key;
        drop(take);
        if args.no_store {
            store.remove(&key)?;
        }
        Ok(())
    })?;
    take::say_made(&absent, console);
    progress.done();
    print_lines(&[folder.path.join(SHEET).display().to_string()])?;
    progress.remark("the same with --pick N writes the frames of the Nth");
    Ok(())
}

/// A store that is forgotten at the end of the command, beside what is written.
fn passing_store(out: &Path) -> Result<(TempDir, Store)> {
    let folder = tempfile::Builder::new().prefix(".wan-alpha-takes-").tempdir_in(out);
    let folder = folder.map_err(|error| explain_write(out, &error))?;
    let store = Store::new([folder.path().to_owned()]);
    Ok((folder, store))
}

/// What the list says of a take.
fn described(number: usize, take: &Take) -> Value {
    let about = take.description();
    let warnings: Vec<String> = about.warnings.iter().map(ToString::to_string).collect();
    json!({
        "number": number, "seed": about.request.seed, "key": about.key, "report": about.report,
        "warnings": warnings,
    })
}

/// The folder of the picture; the frames of a take may be in it too.
struct VariantFolder {
    path: PathBuf,
    /// Made by us: removed again if nothing comes into it.
    is_fresh: bool,
    /// None once it is given up.
    lock: Option<WriteLock>,
}

impl VariantFolder {
    fn open(path: &Path, force: bool) -> Result<Self> {
        let is_fresh = !path.exists();
        fs::create_dir_all(path).map_err(|error| explain_write(path, &error))?;
        let mut folder = Self { path: path.to_owned(), is_fresh, lock: None };
        probe(path)?;
        folder.lock = Some(WriteLock::of_folder(path)?);
        ensure!(
            force || folder.is_ours(),
            "{} already holds {SHEET} or {LIST}, which wan-alpha did not write: choose another --out, move \
             them away, or replace them with --force",
            path.display()
        );
        Ok(folder)
    }

    /// Whether nothing of others bears our names.
    fn is_ours(&self) -> bool {
        let list = fs::read(self.path.join(LIST)).ok();
        let about = list.map(|text| serde_json::from_slice::<Value>(&text).unwrap_or_default());
        match about {
            Some(about) => about["program"] == PROGRAM,
            None => ![SHEET, LIST].iter().any(|name| self.path.join(name).exists()),
        }
    }

    /// Writes the takes so far, of which there will be `of`. The list first: it says whose the picture is.
    fn write(
        &self,
        sheet: &VariantSheet,
        (provenance, signer): (&Provenance, Option<&FileSigner>),
        listed: &[Value],
        of: usize,
    ) -> Result<()> {
        let list = json!({ "program": PROGRAM, "of": of, "takes": listed });
        let text =
            serde_json::to_string_pretty(&list).context("the list cannot be written")? + "\n";
        write_whole(&self.path.join(LIST), text.as_bytes())?;
        let path = self.path.join(SHEET);
        sealed(encode_variants(sheet, provenance)?, &path, signer, provenance)?.write(&path)
    }
}

impl Drop for VariantFolder {
    fn drop(&mut self) {
        self.lock = None;
        if self.is_fresh {
            // Fails, as it should, if something is in it.
            let _ = fs::remove_dir(&self.path);
        }
    }
}
