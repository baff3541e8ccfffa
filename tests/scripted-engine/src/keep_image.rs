//! `take keep-image --json [--matte FILE] [--opaque] -- FILE`: answers as the command does, of files that
//! say in words what picture they are: `96x48 disc`, `96x48 rgb` (without alpha), `96x48 matte`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use wan_alpha_take::store::Store;
use wan_alpha_take::{ImageSource, StillImage};

pub(crate) fn run(mut given: impl Iterator<Item = OsString>) -> Result<()> {
    let mut words: Vec<OsString> = given.by_ref().take_while(|word| word != "--").collect();
    let file = PathBuf::from(given.next().context("no file")?);
    ensure!(words.len() >= 2, "expected keep-image --json");
    let options = words.split_off(2);
    ensure!(words == ["keep-image", "--json"] && given.next().is_none(), "found {words:?}");
    let matte = match &options[..] {
        [flag, matte] if flag == "--matte" => Some(PathBuf::from(matte)),
        _ => None,
    };
    let (size, kind) = described(&file)?;
    let is_opaque = match &*kind {
        "rgb" if matte.is_none() && options != ["--opaque"] => bail!(
            "the image {}: it has no alpha; give its alpha as a second picture with --matte FILE, or take \
             it as opaque with --opaque",
            file.display()
        ),
        "rgb" => matte.is_none(),
        _ => false,
    };
    if let Some(matte) = &matte {
        ensure!(described(matte)? == (size, "matte".to_owned()), "another size");
    }
    let image = disc(size, is_opaque)?;
    let stores = std::env::var_os("WAN_ALPHA_STORE").context("no store")?;
    let hash = Store::new(std::env::split_paths(&stores)).keep_image(&image)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = ImageSource::new(hash, &name).name;
    println!("{}", json!({ "hash": hash, "name": name, "width": size[0], "height": size[1] }));
    Ok(())
}

fn described(file: &Path) -> Result<([u32; 2], String)> {
    let text = fs::read_to_string(file)?;
    let (size, kind) = text.trim().split_once(' ').context("no picture")?;
    let (width, height) = size.split_once('x').context("no size")?;
    Ok(([width.parse()?, height.parse()?], kind.to_owned()))
}

/// A disc in the middle.
fn disc([width, height]: [u32; 2], is_opaque: bool) -> Result<StillImage> {
    let radius = f64::from(width.min(height)) / 4.0;
    let from_middle = |at: u32, side: u32| f64::from(at) + 0.5 - f64::from(side) / 2.0;
    let alpha = |x: u32, y: u32| {
        let (x, y) = (from_middle(x, width), from_middle(y, height));
        if is_opaque || x * x + y * y < radius * radius { 1.0_f32 } else { 0.0 }
    };
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rgba = rows.flat_map(|(x, y)| [0.8, 0.2, 0.1, alpha(x, y)]).collect();
    Ok(StillImage::new(width, height, rgba)?)
}
