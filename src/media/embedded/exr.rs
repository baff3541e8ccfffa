//! Texts in the headers of EXR files.

use std::path::Path;

use anyhow::{Result, anyhow};
use exr::meta::attribute::AttributeValue;
use exr::prelude::{MetaData, Text};

use super::EmbeddedTexts;
use crate::media::guarded::guarded;

pub(super) fn read(path: &Path) -> Result<EmbeddedTexts> {
    let about = guarded(|| {
        MetaData::read_from_file(path, false).map_err(|error| {
            anyhow!("it is no whole EXR file: copy or write it again (reason: {error})")
        })
    })?;
    let mut found = EmbeddedTexts::of_kind("an EXR image");
    let words = |text: &Text| String::from_utf8_lossy(text.bytes()).into_owned();
    for header in &about.headers {
        let own = &header.own_attributes;
        for (name, text) in [
            ("software", &own.software_name),
            ("owner", &own.owner),
            ("comments", &own.comments),
            ("capDate", &own.capture_date),
        ] {
            found.texts.extend(text.as_ref().map(|text| (name.to_owned(), words(text))));
        }
        let others = own.other.iter().chain(&header.shared_attributes.other);
        let mut others: Vec<(String, String)> = others
            .filter_map(|(name, value)| match value {
                AttributeValue::Text(text) => Some((words(name), words(text))),
                _ => None,
            })
            .collect();
        // The crate hands them out in an order of chance.
        others.sort();
        found.texts.extend(others);
    }
    Ok(found)
}
