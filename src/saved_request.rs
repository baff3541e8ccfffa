//! Requests that lie in files: what `render` leaves says what it was made of.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use wan_alpha_take::TakeRequest;
use wan_alpha_take::store::Take;

use crate::exit::{Exit, OrExit};
use crate::media::{recipe, sequence, variant_sheet};
use crate::output::{PROGRAM, TAKE, is_replaced, names_in};
use crate::unique_json;

/// The longest file that is read as JSON; a longest request is a hundredth of it.
const MAX_JSON: u64 = 64 << 20;

/// What a node keeps is longer than any name.
const SHORTEST_PARAMETER: usize = 64;

/// A request that was found.
#[derive(Debug)]
pub(crate) struct RecoveredRequest {
    pub(crate) request: TakeRequest,
    /// The file that it was read from; none of a text.
    pub(crate) file: Option<PathBuf>,
}

/// Reads a request: of a `take.json` or other JSON, of a frame, contact sheet or movie of ours, of a
/// take's file, of a folder with them, or of the text that a node keeps.
pub(crate) fn read(text: &str) -> Result<RecoveredRequest> {
    let path = Path::new(text);
    let work = || {
        if path.is_dir() {
            return of_folder(path);
        }
        if path.exists() {
            return Ok(RecoveredRequest { request: of_file(path)?, file: Some(path.to_owned()) });
        }
        let of_node = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        ensure!(
            text.len() >= SHORTEST_PARAMETER && text.chars().all(of_node),
            "there is no file {text}: expected take.json, a frame (EXR, PNG), a movie or the folder of a \
             render, a take's file, or the text of a node's takeRequest"
        );
        let request = TakeRequest::from_parameter(text);
        let request =
            request.context("the text is neither a file's name nor a node's takeRequest")?;
        Ok(RecoveredRequest { request, file: None })
    };
    work().or_exit(Exit::BadInput)
}

/// A take's folder: its `take.json` or, where the render was stopped, one of its frames.
fn of_folder(folder: &Path) -> Result<RecoveredRequest> {
    let about = folder.join(TAKE);
    if about.is_file() {
        let text = text_of(&about)?;
        let take = json(&about, &text)?;
        if !is_unfinished(&take) {
            return Ok(RecoveredRequest { request: of_json(&about, &take)?, file: Some(about) });
        }
    }
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let names = names_in(folder).unwrap_or_default();
    let mut frames: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    frames.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_replaced(&name, &names) && recipe::may_hold_one(path)
    });
    frames.sort();
    let first = frames.into_iter().next().with_context(|| {
        format!(
            "{} is no folder of a render: it has neither {TAKE} nor a frame of one",
            folder.display()
        )
    })?;
    Ok(RecoveredRequest { request: of_file(&first)?, file: Some(first) })
}

fn of_file(path: &Path) -> Result<TakeRequest> {
    // A pipe or a device might never end.
    let about = path.metadata().with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        about.is_file(),
        "{} is a pipe or a device: expected {TAKE}, or a frame",
        path.display()
    );
    if sequence::extension(path).as_deref() == Some("take") {
        return Ok(Take::describe(path)?.request);
    }
    if !recipe::may_hold_one(path) {
        return of_json(path, &json(path, &text_of(path)?)?);
    }
    let recipe = recipe::read(path)?.with_context(|| {
        if path.file_name().is_some_and(|name| name == variant_sheet::FILE_NAME) {
            return format!(
                "{} shows the takes of several seeds, and has the recipe of none: the same call with --pick N \
                 writes the frames of the Nth, and variants.json beside it has the keys of their takes",
                path.display()
            );
        }
        format!(
            "{} has no recipe in it: wan-alpha did not write it, or was asked to leave it out",
            path.display()
        )
    })?;
    of_json(path, &json(path, &recipe)?)
}

fn text_of(path: &Path) -> Result<String> {
    let unread = || format!("cannot read {}", path.display());
    let length = path.metadata().with_context(unread)?.len();
    ensure!(
        length <= MAX_JSON,
        "{} is {} MB long: expected JSON with a request, of a few kilobytes",
        path.display(),
        length / 1_000_000
    );
    let bytes = fs::read(path).with_context(unread)?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        anyhow!(
            "{} is no text (byte {place}): expected {TAKE}, or a frame of a render as .exr or .png",
            path.display()
        )
    })
}

fn json(path: &Path, text: &str) -> Result<Value> {
    // Some editors begin a UTF-8 file with a mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    ensure!(
        !text.trim().is_empty(),
        "{} is empty: expected {TAKE}, or a frame of a render as .exr or .png",
        path.display()
    );
    unique_json::from_str(text).map_err(|error| {
        let cut = if error.is_eof() { "is cut off" } else { "is not JSON" };
        anyhow!("{} {cut}: {error}", path.display())
    })
}

/// A request, or what holds one.
fn of_json(path: &Path, found: &Value) -> Result<TakeRequest> {
    let name = path.display();
    let request = match found.get("request") {
        Some(request) => request,
        None if is_unfinished(found) => bail!(
            "{name} is of a render that has not finished, and holds no request: name one of its frames"
        ),
        None if found.get("latent").is_some() || found.get("latent_blake3").is_some() => {
            bail!("{name} is of a latent that was decoded: such frames have no request")
        }
        None if found.get("version").is_some() => found,
        None => bail!("{name} holds no request of a take: expected what `render` writes"),
    };
    TakeRequest::from_json(&request.to_string()).with_context(|| format!("the request in {name}"))
}

fn is_unfinished(take: &Value) -> bool {
    take["program"] == PROGRAM && take["state"] == "unfinished"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, words: &[&str]) {
        let error = read(text).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::BadInput);
        let said = format!("{error:#}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }

    #[test]
    fn what_holds_no_request_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        refused("nofile.json", &["there is no file nofile.json", "take.json"]);
        refused(&"A".repeat(100), &["takeRequest"]);
        refused("/dev/zero", &["/dev/zero is a pipe or a device"]);
        refused(folder.path().to_str().unwrap(), &["no folder of a render"]);
        refused(&write("a.json", b"{\"request\": {\"version\""), &["a.json is cut off"]);
        refused(&write("b.json", b"nothing"), &["b.json is not JSON"]);
        for nothing in [&b""[..], b"\n", "\u{feff}".as_bytes()] {
            refused(&write("i.json", nothing), &["i.json is empty", "expected take.json"]);
        }
        // After a mark that some editors write, what follows counts.
        let marked = "\u{feff}{\"version\": 1}".as_bytes();
        refused(&write("j.json", marked), &["the request in", "j.json"]);
        refused(&write("c.json", b"{\"a\": 1}"), &["c.json holds no request"]);
        refused(&write("d.json", b"{\"version\": 1}"), &["the request in", "d.json"]);
        let twice = b"{\"request\": {\"version\": 1,\n\"seed\": 1, \"seed\": 2}}";
        refused(&write("h.json", twice), &["h.json", "the key `seed` stands twice", "line 2"]);
        refused(&write("e.bin", &[0x89, 0xff]), &["e.bin is no text"]);
        refused(&write("e.take", &[0x89, 0xff]), &["e.take", "is damaged"]);
        refused(&write("e.mov", b"no movie"), &["e.mov", "it is none of PNG, EXR"]);
        refused(&write("f.png", b"no picture"), &["f.png", "no whole PNG"]);
        let sheet = folder.path().join("variants.png");
        image::RgbImage::new(4, 4).save(&sheet).unwrap();
        let words = ["variants.png shows the takes of several seeds", "variants.json beside it"];
        refused(sheet.to_str().unwrap(), &words);
        let unfinished = b"{\"program\": \"wan-alpha\", \"state\": \"unfinished\"}";
        refused(
            &write("take.json", unfinished),
            &["take.json is of a render that has not finished"],
        );
        refused(&write("g.json", b"{\"latent\": {}}"), &["a latent that was decoded"]);
    }
}
