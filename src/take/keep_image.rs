//! `wan-alpha take keep-image`: an image into the store, without a take.

#![forbid(unsafe_code)]

use anyhow::Result;
use serde_json::json;
use wan_alpha_take::ImageSource;
use wan_alpha_take::store::Store;

use crate::args::KeepImage;
use crate::console::Console;
use crate::exit::{Exit, OrExit};
use crate::matted_image::MattedImage;

/// Reads and keeps the image that `args` name. The line to print: its hash, or JSON with `hash`, `name`,
/// `width` and `height` (pixels).
pub(super) fn run(args: &KeepImage, store: &Store, console: &Console<'_>) -> Result<String> {
    let KeepImage { image: file, matte, layer, opaque, json } = args;
    let flags = ["the image", "--matte"];
    let (matte, layer) = (matte.as_deref(), layer.as_deref());
    let image = MattedImage { file, matte, layer, opaque: *opaque, flags };
    let image = image.read(console).or_exit(Exit::BadInput)?;
    let hash = store.keep_image(&image)?;
    let name = ImageSource::new(hash, &file.file_name().unwrap_or_default().to_string_lossy()).name;
    let (width, height) = (image.width(), image.height());
    Ok(match json {
        true => json!({ "hash": hash, "name": name, "width": width, "height": height }).to_string(),
        false => hash.to_string(),
    })
}
