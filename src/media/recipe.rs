//! The recipe in a picture or movie of ours: what its file says of the request that it was made of.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use exr::meta::attribute::AttributeValue;
use exr::prelude::{MetaData, Text};

use super::embedded::EmbeddedTexts;
use super::error::{self, MediaError};
use super::guarded::guarded;
use super::movie::RECIPE_TAG;
use super::provenance::xmp;
use super::sequence::{extension, is_image};
use super::{exr as exr_files, png as png_files};

/// The endings of other files that may hold a recipe.
const WITH_RECIPE: [&str; 6] = ["mov", "mp4", "webm", "mkv", "webp", "apng"];

/// Whether a file of this name may hold a recipe.
pub(crate) fn may_hold_one(file: &Path) -> bool {
    let ending = extension(file);
    let is_other = ending.is_some_and(|ending| WITH_RECIPE.contains(&ending.as_str()));
    is_other || is_image(file)
}

/// The recipe of an image or a movie, as it was written; none where it has none. The pixels are not read.
pub(crate) fn read(file: &Path) -> error::Result<Option<String>> {
    let work = || match extension(file).as_deref() {
        Some("exr") => guarded(|| of_exr(file)),
        Some("png") => guarded(|| of_png(file)),
        Some(ending) if WITH_RECIPE.contains(&ending) => of_texts(file),
        _ => bail!("it is none of .png, .exr, .{}", WITH_RECIPE.join(", .")),
    };
    work()
        .with_context(|| format!("cannot read the recipe of {}", file.display()))
        .map_err(MediaError::Unreadable)
}

fn of_texts(file: &Path) -> Result<Option<String>> {
    let found = EmbeddedTexts::of(file)?;
    Ok(found.text(&[xmp::RECIPE, RECIPE_TAG, png_files::RECIPE]).map(str::to_owned))
}

fn of_exr(file: &Path) -> Result<Option<String>> {
    let about = MetaData::read_from_file(file, false).map_err(|error| {
        anyhow!("it is no whole EXR file: copy or write it again (reason: {error})")
    })?;
    let name = Text::new_or_none(exr_files::RECIPE).context("the name of the attribute is none")?;
    let mut headers = about.headers.iter();
    let found = headers.find_map(|header| match header.own_attributes.other.get(&name) {
        Some(AttributeValue::Text(text)) => Some(text.bytes().to_vec()),
        _ => None,
    });
    found.map(String::from_utf8).transpose().context("its recipe is not UTF-8 text")
}

fn of_png(file: &Path) -> Result<Option<String>> {
    let open = BufReader::new(File::open(file)?);
    let reader = png::Decoder::new(open).read_info().map_err(|error| {
        anyhow!("it is no whole PNG file: copy or write it again (reason: {error})")
    })?;
    let mut texts = reader.info().utf8_text.iter();
    let found = texts.find(|chunk| chunk.keyword == png_files::RECIPE);
    let text = found.map(|chunk| chunk.get_text()).transpose();
    text.map_err(|error| {
        anyhow!("its recipe is damaged: take the file as it was written (reason: {error})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{gradient, provenance};
    use std::fs;
    use wan_alpha_take::frame::Frame;

    #[test]
    fn a_frame_gives_its_recipe_back_and_what_is_cut_off_or_foreign_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let rgba = gradient(48, 32, 0);
        let frame = Frame { index: 0, width: 48, height: 32, rgba: &rgba };
        let about = provenance();
        let made = [
            (
                "a.exr",
                exr_files::encode(&frame, &exr_files::ExrSettings::default(), &about).unwrap(),
            ),
            (
                "a.png",
                png_files::encode(&frame, png_files::PngSettings::SIXTEEN_BITS, &about).unwrap(),
            ),
        ];
        for (name, bytes) in made {
            let path = folder.path().join(name);
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path).unwrap(), Some(about.recipe.clone()));
            fs::write(&path, &bytes[..60]).unwrap();
            let text = format!("{:#}", anyhow::Error::from(read(&path).unwrap_err()));
            assert!(text.contains(name) && text.contains("no whole"), "{text}");
        }
        let foreign = folder.path().join("b.png");
        image::RgbImage::new(4, 4).save(&foreign).unwrap();
        assert_eq!(read(&foreign).unwrap(), None);
    }
}
