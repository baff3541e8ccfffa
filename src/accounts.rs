//! Users and groups by name, as the system knows them.
//!
//! Asked of `getent`, which knows those of the network too; where there is none, of the files in `/etc`.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Result, anyhow};

use crate::exit::{Exit, OrExit};

/// The number of a group that is named, or given by its number.
pub(crate) fn group_id(name: &str) -> Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    field("group", name, 2)
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| {
            anyhow!("there is no group {name} here: `getent group` lists them, `id` yours")
        })
        .or_exit(Exit::BadInput)
}

/// The name of a group; its number where it has none.
pub(crate) fn group_name(number: u32) -> String {
    field("group", &number.to_string(), 0).unwrap_or_else(|| number.to_string())
}

/// The name of a user; the number where there is none.
pub(crate) fn user_name(number: u32) -> String {
    field("passwd", &number.to_string(), 0).unwrap_or_else(|| number.to_string())
}

/// A field of an entry that is known by its name or its number.
fn field(database: &str, key: &str, place: usize) -> Option<String> {
    let asked = Command::new("getent")
        .args([database, key])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok();
    let text = match asked {
        Some(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        None => fs::read_to_string(format!("/etc/{database}")).ok()?,
    };
    let entry = |line: &str| -> Option<String> {
        let fields: Vec<&str> = line.split(':').collect();
        let is_meant = fields.first() == Some(&key) || fields.get(2) == Some(&key);
        is_meant.then(|| fields.get(place).map(|field| (*field).to_owned()))?
    };
    text.lines().find_map(entry)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found_and_what_is_none_is_said() {
        assert_eq!((group_id("root").unwrap(), group_id("1234567").unwrap()), (0, 1_234_567));
        assert_eq!((group_name(0), user_name(0)), ("root".to_owned(), "root".to_owned()));
        assert_eq!(user_name(1_234_567), "1234567");
        let error = group_id("no-such-group-here").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::BadInput);
        assert!(error.to_string().contains("there is no group no-such-group-here"), "{error}");
    }
}
