//! The writer as a whole.

use super::*;
use crate::media::movie::Verify;
use crate::media::provenance::DateTime;
use crate::media::sample::{gradient, provenance};
use std::collections::BTreeMap;
use std::fs;

fn settings(formats: &[Format]) -> FileSettings {
    FileSettings {
        formats: formats.to_vec(),
        names: FrameNames::default(),
        exr: exr::ExrSettings::default(),
        png: png::PngSettings::SIXTEEN_BITS,
        look: FrameLook::Whole,
        force: false,
        owner: String::new(),
        mark_prompt: false,
        mark_china: false,
        recipe: true,
        verify: Verify::Ends,
        signer: None,
        made: DateTime::of_seconds(0),
    }
}

fn plan(folder: &Path, formats: &[Format], frames: usize) -> Plan {
    Plan {
        folder: folder.to_owned(),
        settings: settings(formats),
        frames,
        width: 48,
        height: 32,
        provenance: provenance(),
    }
}

fn frames_into(writer: &mut Writer, frames: usize) -> Result<()> {
    (0..frames).try_for_each(|index| {
        let rgba = gradient(48, 32, index);
        writer.write(Frame { index, width: 48, height: 32, rgba: &rgba })
    })
}

fn write_take(folder: &Path, formats: &[Format], frames: usize) -> Result<Written> {
    let mut writer = Writer::create(plan(folder, formats, frames), |_| {})?;
    frames_into(&mut writer, frames)?;
    writer.finish()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with(crate::write_lock::FOLDER_LOCK))
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        })
        .collect()
}

#[test]
fn a_take_has_its_frames_sheet_and_description_and_nothing_else() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("a/b");
    let written = write_take(&folder, &[Format::Exr, Format::Png], 2).unwrap();
    let take = written.describe(Map::new()).unwrap();
    let names: Vec<_> = files(&folder).into_keys().collect();
    assert_eq!(
        names,
        [
            "contact-sheet.png",
            "rgba.0000.exr",
            "rgba.0000.png",
            "rgba.0001.exr",
            "rgba.0001.png",
            "take.json",
        ]
    );
    assert_eq!(written.frames.len(), 4);
    assert_eq!(written.folder(), folder);
    for path in written.frames.iter().chain([&written.sheet, &take]) {
        assert!(path.is_file(), "{}", path.display());
    }
    let sheet = image::open(&written.sheet).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (8 + 2 * 296, 27 + 4 * 200));
}

#[test]
fn equal_takes_are_equal_files() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &two] {
        write_take(folder.path(), &[Format::Exr, Format::Png], 3).unwrap();
    }
    assert!(files(one.path()) == files(two.path()));
}

#[test]
fn a_shorter_take_leaves_nothing_of_a_longer_one_and_only_when_it_has_a_frame() {
    let folder = tempfile::tempdir().unwrap();
    write_take(folder.path(), &[Format::Exr, Format::Png], 5).unwrap();
    let before = files(folder.path());

    let mut writer = Writer::create(plan(folder.path(), &[Format::Png], 1), |_| {}).unwrap();
    assert!(files(folder.path()) == before, "nothing may change before the first frame");
    frames_into(&mut writer, 1).unwrap();
    writer.finish().unwrap();
    let names: Vec<_> = files(folder.path()).into_keys().collect();
    assert_eq!(names, ["contact-sheet.png", "rgba.0000.png", "take.json"]);
}

#[test]
fn a_stopped_run_leaves_whole_frames_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(plan(folder.path(), &[Format::Exr], 5), |_| {}).unwrap();
    frames_into(&mut writer, 2).unwrap();
    drop(writer);
    let left = files(folder.path());
    assert_eq!(left.keys().collect::<Vec<_>>(), ["rgba.0000.exr", "rgba.0001.exr", "take.json"]);
    assert!(String::from_utf8_lossy(&left["take.json"]).contains("unfinished"));
    write_take(folder.path(), &[Format::Exr], 5).unwrap();
}

#[test]
fn a_folder_that_cannot_be_used_is_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rgba.0000.exr"), b"a rendering of someone else").unwrap();
    let error = write_take(folder.path(), &[Format::Png], 1).err().unwrap();
    assert_eq!(Exit::of(&error), Exit::BadInput);
    assert!(error.to_string().contains("rgba.0000.exr"), "{error}");
}

#[test]
fn frames_out_of_order_of_another_size_or_missing_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(plan(folder.path(), &[Format::Png], 2), |_| {}).unwrap();
    let rgba = gradient(48, 32, 0);
    let frame = Frame { index: 1, width: 48, height: 32, rgba: &rgba };
    let text = writer.write(frame).unwrap_err().to_string();
    assert!(text.contains("frame 1 came where frame 0 of 2 was due"), "{text}");
    let text = writer.write(Frame { index: 0, width: 32, height: 48, ..frame }).unwrap_err();
    assert!(text.to_string().contains("frame 0 is 32 × 48, the take 48 × 32"), "{text}");
    writer.write(Frame { index: 0, ..frame }).unwrap();
    let text = writer.finish().err().unwrap().to_string();
    assert!(text.contains("only 1 of 2"), "{text}");
}

/// A limit holds for the whole process, so the test runs itself once more below a shell's.
#[cfg(unix)]
#[test]
fn a_write_beyond_the_file_size_limit_is_explained_and_leaves_no_partial_file() {
    const CHILD: &str = "WAN_ALPHA_TEST_FILE_LIMIT";
    if let Some(folder) = std::env::var_os(CHILD) {
        survive_file_size_limit().unwrap();
        // Noise does not compress: the PNG is far beyond the shell's 4 blocks (2 KiB).
        let error = write_take(Path::new(&folder), &[Format::Png], 1).err().unwrap();
        assert_eq!(Exit::of(&error), Exit::Failed);
        let text = error.to_string();
        assert!(text.contains("rgba.0000.png") && text.contains("ulimit -f"), "{text}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let test = "a_write_beyond_the_file_size_limit_is_explained_and_leaves_no_partial_file";
    let (_, module) = module_path!().split_once("::").unwrap();
    let run = std::process::Command::new("sh")
        .args(["-c", r#"ulimit -f 4 && exec "$0" --exact "$1""#])
        .arg(std::env::current_exe().unwrap())
        .arg(format!("{module}::{test}"))
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(files(folder.path()).keys().collect::<Vec<_>>(), ["take.json"]);
}

#[test]
fn frames_that_go_without_coming_again_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let create = |formats: &[Format], frames| {
        let told = std::cell::RefCell::new(Vec::new());
        let told_of = |words: &str| told.borrow_mut().push(words.to_owned());
        drop(Writer::create(plan(folder.path(), formats, frames), told_of).unwrap());
        told.into_inner()
    };
    write_take(folder.path(), &[Format::Exr, Format::Png], 5).unwrap();
    assert!(create(&[Format::Exr, Format::Png], 5).is_empty());
    let told = create(&[Format::Png], 5).join("");
    assert!(told.contains("5 files of its frames go") && told.contains("rgba.0000.exr"), "{told}");
    let told = create(&[Format::Exr, Format::Png], 1).join("");
    assert!(told.contains("8 files") && told.contains("rgba.0001.exr"), "{told}");
}
