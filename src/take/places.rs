//! The folders of takes: whether takes can be put there, for whom they are, and how full.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::store::{FolderAccess, Place, Store};

use super::lines::size;
use crate::accounts::{group_name, user_name};

/// The folders in lines of text.
pub(super) fn lines(store: &Store) -> Vec<String> {
    let mut lines =
        vec!["take store (WAN_ALPHA_STORE), the first writable one is published to:".to_owned()];
    let places = store.places();
    for place in &places {
        let known = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), size);
        let folder = place.folder.display();
        if let Some(obstacle) = obstacle(place) {
            lines.push(format!("  {folder}: {obstacle}"));
            continue;
        }
        let state = match (place.exists, can_write(&place.folder)) {
            (false, _) => " (not there yet, made with the first take)",
            (true, false) => " (for reading: you may not write there)",
            (true, true) => "",
        };
        lines.push(format!(
            "  {folder}{state}: {}, {}; yours {} of {}, {} free",
            counted(place.takes, "take"),
            size(place.bytes),
            size(place.own_bytes),
            known(place.limit),
            known(place.free)
        ));
        lines.extend(sharing(place));
    }
    if !places.iter().any(|place| can_write(&place.folder)) {
        lines.push(
            "no take can be kept in any of them: set WAN_ALPHA_STORE to a folder of yours"
                .to_owned(),
        );
    }
    lines
}

/// The same for programs: sizes in bytes, users and groups by number.
pub(super) fn json(store: &Store) -> Result<String> {
    let place = |place: &Place| {
        let closed = place.closed.iter();
        let closed = closed.map(|(path, owner)| json!({ "path": path, "owner": owner }));
        json!({
            "folder": place.folder,
            "exists": place.exists,
            "writable": can_write(&place.folder),
            "obstacle": obstacle(place),
            "takes": place.takes,
            "bytes": place.bytes,
            "own_bytes": place.own_bytes,
            "limit": place.limit,
            "free": place.free,
            "owner": place.access.map(|access| access.owner),
            "group": place.access.map(|access| access.group),
            "mode": place.access.map(|access| format!("{:04o}", access.mode)),
            "closed": closed.collect::<Vec<Value>>(),
        })
    };
    let places: Vec<Value> = store.places().iter().map(place).collect();
    Ok(serde_json::to_string_pretty(&json!({ "folders": places }))?)
}

/// Why a folder that is not there cannot be made either.
fn obstacle(place: &Place) -> Option<String> {
    if place.exists || can_write(&place.folder) {
        return None;
    }
    let there = place.folder.ancestors().find(|folder| folder.exists())?;
    let why = if there.is_dir() {
        "no folder can be made in"
    } else {
        "no folder can lie below the file"
    };
    Some(format!("not there, and cannot be: {why} {}", there.display()))
}

/// Whether a file can be made there, or the folder where there is none.
pub(crate) fn can_write(folder: &Path) -> bool {
    let there = folder.ancestors().find(|folder| folder.exists());
    there.is_some_and(|there| there.is_dir() && tempfile::tempfile_in(there).is_ok())
}

/// For whom a folder is, and what keeps them out.
fn sharing(place: &Place) -> Vec<String> {
    let Some(access) = &place.access else { return Vec::new() };
    let mut lines = vec![format!("    {}", whom(access))];
    if !place.closed.is_empty() {
        lines.push(format!(
            "    {} in it {} not: `wan-alpha take where --share GROUP|everyone` by their owners opens \
             them",
            counted(place.closed.len(), "take"),
            verb(place.closed.len(), "is", "are")
        ));
    }
    lines
}

/// For whom a folder is, as its mode says.
pub(crate) fn whom(access: &FolderAccess) -> String {
    let mode = access.mode;
    if access.is_for_all() {
        format!("for everybody (mode {mode:04o})")
    } else if access.is_for_group() {
        format!("for the group {} (mode {mode:04o})", group_name(access.group))
    } else {
        format!("for {} alone (mode {mode:04o})", user_name(access.owner))
    }
}

/// The same of a folder that is there.
pub(super) fn for_whom(folder: &Path) -> String {
    FolderAccess::of(folder).map_or_else(|error| error.to_string(), |access| whom(&access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_made_does_not_look_as_if_it_could() {
        let folder = tempfile::tempdir().unwrap();
        assert!(can_write(&folder.path().join("new/newer")));
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let below = file.join("below");
        assert!(!can_write(&below));
        let store = Store::new([below.clone()]);
        let text = lines(&store).join("\n");
        assert!(text.contains("cannot be: no folder can lie below the file"), "{text}");
        assert!(text.contains("set WAN_ALPHA_STORE"), "{text}");
        let told: Value = serde_json::from_str(&json(&store).unwrap()).unwrap();
        assert_eq!(told["folders"][0]["writable"], false);
        assert!(told["folders"][0]["obstacle"].as_str().unwrap().contains("below the file"));

        let store = Store::new([folder.path().join("new")]);
        let text = lines(&store).join("\n");
        assert!(text.contains("(not there yet, made with the first take): 0 takes"), "{text}");
        assert!(!text.contains("no take can be kept"), "{text}");
        let told: Value = serde_json::from_str(&json(&store).unwrap()).unwrap();
        assert_eq!(told["folders"][0]["obstacle"], Value::Null);
    }
}
