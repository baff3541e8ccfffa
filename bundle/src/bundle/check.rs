//! What a finished bundle must be, read from its files: nothing in it is run.

mod table;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::elf::{Elf, RunPath, Version};
use super::layout::{BundleLayout, IDENTIFIER, NAME};
use crate::setup::OF_THE_SYSTEM;

/// All that a host may find in the plug-in.
const ENTRY_POINTS: [&str; 3] = ["OfxGetNumberOfPlugins", "OfxGetPlugin", "OfxSetHost"];

/// All that the plug-in may ask for. No C++ library: hosts bring their own.
const PLUGIN_MAY_ASK_FOR: [&str; 7] = [
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
];

/// The systems of the VFX reference platforms CY2023 to CY2025: highest versions that they have.
const FLOORS: [(&str, &str); 2] = [("GLIBC", "2.28"), ("GLIBCXX", "3.4.25")];

/// Opened only where a file is signed or inspected, and in words where that does not go: what it asks of a
/// system is asked by nothing else (`findings/c2pa-wheel-glibc.sh`).
const OPENED_WHEN_ASKED_FOR: [&str; 1] = ["libc2pa_c.so"];

const ICON_AT_LEAST: u32 = 128;

/// What was found in a bundle, file by file and as a whole.
pub(crate) struct BundleReport {
    /// Every ELF file, by its place below `Contents`.
    files: Vec<(PathBuf, u64, Elf)>,
    /// Sentences; a bundle with any is not to be used.
    pub(crate) faults: Vec<String>,
    /// Why it does not run on every system that it is meant for.
    pub(crate) above_floor: Vec<String>,
}

/// Looks at a bundle of a Linux layout.
pub(crate) fn check(bundle: &Path, layout: &BundleLayout, version: &str) -> Result<BundleReport> {
    let contents = bundle.join("Contents");
    let files = elf_files(&contents)?;
    let mut faults = Vec::new();
    faults.extend(plugin(&files, layout));
    faults.extend(engine(&files, layout, &contents));
    faults.extend(libraries(&files, layout, &contents));
    faults.extend(icon(&contents).err().map(|error| format!("{error:#}")));
    faults.extend(plist(&contents, version));
    let mut above_floor = above_floor(&files);
    let engine = at(&files, &layout.engine()).ok();
    above_floor.extend(
        engine
            .and_then(|elf| further_places(elf, layout))
            .map(|places| format!("{} looks for libraries in {places} too", layout.command)),
    );
    Ok(BundleReport { files, faults, above_floor })
}

/// Links are followed for single libraries, not for a folder that is the user's own.
fn elf_files(contents: &Path) -> Result<Vec<(PathBuf, u64, Elf)>> {
    let mut found = Vec::new();
    let mut folders = vec![contents.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let about = fs::symlink_metadata(&path)?;
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file()
                && let Some(elf) = Elf::read(&path)?
            {
                let place = path.strip_prefix(contents).unwrap_or(&path).to_owned();
                found.push((place, about.len(), elf));
            }
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

fn at<'a>(files: &'a [(PathBuf, u64, Elf)], place: &Path) -> Result<&'a Elf, String> {
    let found = files.iter().find(|(other, _, _)| other == place);
    found
        .map(|(_, _, elf)| elf)
        .ok_or_else(|| format!("Contents/{} is missing or no ELF file", place.display()))
}

fn plugin(files: &[(PathBuf, u64, Elf)], layout: &BundleLayout) -> Vec<String> {
    let elf = match at(files, &layout.plugin()) {
        Ok(elf) => elf,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    if elf.exported != ENTRY_POINTS {
        faults.push(format!(
            "{NAME} exports {}; expected exactly {}",
            listed(&elf.exported),
            ENTRY_POINTS.join(", ")
        ));
    }
    let strangers = elf.needed.iter().filter(|name| !PLUGIN_MAY_ASK_FOR.contains(&name.as_str()));
    faults.extend(strangers.map(|name| {
        format!("{NAME} asks for {name}, which hosts lack or bring in a version of their own")
    }));
    if !elf.stays {
        faults.push(format!(
            "{NAME} is not marked NODELETE: threads of the host would run its code after unloading"
        ));
    }
    faults
}

/// Where an engine looks for libraries after those that lie beside it: in folders of the machine that made it.
fn further_places<'a>(elf: &'a Elf, layout: &BundleLayout) -> Option<&'a str> {
    let Some(RunPath::First(path)) = &elf.run_path else { return None };
    path.strip_prefix(layout.run_path?)?.strip_prefix(':')
}

fn engine(files: &[(PathBuf, u64, Elf)], layout: &BundleLayout, contents: &Path) -> Vec<String> {
    let elf = match at(files, &layout.engine()) {
        Ok(elf) => elf,
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    let expected = layout.run_path.map(|path| RunPath::First(path.to_owned()));
    if elf.run_path != expected && further_places(elf, layout).is_none() {
        faults.push(format!(
            "{} has the run path {:?}; expected {expected:?}, which neither the place of the \
             bundle nor LD_LIBRARY_PATH changes",
            layout.command, elf.run_path
        ));
    }
    let libraries = contents.join(layout.libraries);
    let lacking = elf
        .needed
        .iter()
        .filter(|name| !OF_THE_SYSTEM.contains(&name.as_str()) && !libraries.join(name).is_file());
    faults.extend(lacking.map(|name| {
        format!("{} asks for {name}, which is not in Contents/{}", layout.command, layout.libraries)
    }));
    faults
}

/// Every library in the bundle finds what it asks for beside itself.
fn libraries(files: &[(PathBuf, u64, Elf)], layout: &BundleLayout, contents: &Path) -> Vec<String> {
    let folder = Path::new(layout.libraries);
    let inside = files.iter().filter(|(place, _, _)| place.parent() == Some(folder));
    let asked = inside.flat_map(|(place, _, elf)| elf.needed.iter().map(move |name| (place, name)));
    let lacking = asked.filter(|(_, name)| {
        !OF_THE_SYSTEM.contains(&name.as_str()) && !contents.join(folder).join(name).is_file()
    });
    lacking
        .map(|(place, name)| format!("{} asks for {name}, which is not there", place.display()))
        .collect()
}

/// PNG and SVG under the identifier's name, as hosts look for them.
fn icon(contents: &Path) -> Result<()> {
    let resources = contents.join("Resources");
    let path = resources.join(format!("{IDENTIFIER}.png"));
    let shown = path.display();
    let file = File::open(&path).with_context(|| format!("the icon {shown} cannot be opened"))?;
    let reader = png::Decoder::new(BufReader::new(file))
        .read_info()
        .with_context(|| format!("the icon {shown} is no PNG"))?;
    let info = reader.info();
    let kind = (info.color_type, info.bit_depth);
    ensure!(
        kind == (png::ColorType::Rgba, png::BitDepth::Eight),
        "the icon {shown} is {kind:?}; hosts want RGBA of 8 bits each"
    );
    ensure!(
        info.width == info.height && info.width >= ICON_AT_LEAST,
        "the icon {shown} is {} × {}; it must be a square of at least {ICON_AT_LEAST}",
        info.width,
        info.height
    );
    let path = resources.join(format!("{IDENTIFIER}.svg"));
    let text = fs::read_to_string(&path)
        .with_context(|| format!("the icon {} cannot be read", path.display()))?;
    ensure!(text.contains("<svg"), "the icon {} is no SVG", path.display());
    Ok(())
}

fn plist(contents: &Path, version: &str) -> Vec<String> {
    let path = contents.join("Info.plist");
    let read = plist::Value::from_file(&path);
    let Some(keys) = read.as_ref().ok().and_then(plist::Value::as_dictionary) else {
        let why = read.err().map_or("holds no dictionary".to_owned(), |error| error.to_string());
        return vec![format!("{} cannot be used: {why}", path.display())];
    };
    let expected = [
        ("CFBundleExecutable", NAME),
        ("CFBundlePackageType", "BNDL"),
        ("CFBundleInfoDictionaryVersion", "6.0"),
        ("CFBundleIdentifier", IDENTIFIER),
        ("CFBundleVersion", version),
        ("CFBundleShortVersionString", version),
        ("CFBundleDevelopmentRegion", "en"),
    ];
    let found = |key: &str| keys.get(key).and_then(plist::Value::as_string);
    expected
        .iter()
        .filter(|(key, value)| found(key) != Some(value))
        .map(|(key, value)| {
            format!("Info.plist: {key} is {:?}, expected {value:?}", found(key).unwrap_or("absent"))
        })
        .collect()
}

/// The C++ library does not count where the bundle brings one: its own needs are in the list too.
fn above_floor(files: &[(PathBuf, u64, Elf)]) -> Vec<String> {
    let brings = |name: &str| files.iter().any(|(place, _, _)| place.ends_with(name));
    let mut reasons = BTreeSet::new();
    let when_asked = |place: &Path| OPENED_WHEN_ASKED_FOR.iter().any(|name| place.ends_with(name));
    for (place, _, elf) in files.iter().filter(|(place, ..)| !when_asked(place)) {
        for (family, floor) in FLOORS {
            if family == "GLIBCXX" && brings("libstdc++.so.6") {
                continue;
            }
            if let (Some(asked), Some(floor)) = (elf.highest(family), Version::parse(floor))
                && asked > floor
            {
                reasons.insert(format!(
                    "{} asks for {family}_{asked}; systems with less than that do not start it \
                     (the oldest that count have {family}_{floor})",
                    place.display()
                ));
            }
        }
    }
    reasons.into_iter().collect()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
