//! Sequences as programs number them, and as they go wrong.

use super::*;
use std::os::unix::ffi::OsStrExt;

fn found(names: &[&[u8]], pattern: &str, numbering: FrameNumbering) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    for name in names {
        fs::write(folder.path().join(OsStr::from_bytes(name)), b"")?;
    }
    let files = find(&folder.path().join(pattern), "clip", numbering)?;
    let name = |path: PathBuf| path.file_name().unwrap_or_default().display().to_string();
    Ok(files.into_iter().map(name).collect())
}

#[test]
fn pictures_of_takes_are_no_frames_and_other_files_are_told_for_what_they_are() {
    let every = FrameNumbering::EveryFrame;
    let sheets: [&[u8]; 2] = [b"variants.png", b"contact-sheet.png"];
    for sheet in sheets {
        assert_eq!(found(&[b"plate.png", sheet], "", every).unwrap(), ["plate.png"]);
        let words = found(&[sheet], "", every).unwrap_err().to_string();
        assert!(
            words.contains("a picture of takes to look at: name a folder of frames"),
            "{words}"
        );
    }
    let cases: [(&[&[u8]], &str); 4] = [
        (&[b"x.json"], "but 1 .json: name the folder of the images, or a movie"),
        (&[b"a", b"b"], "but 2 without an ending: name the folder"),
        (&[b"x.json", b"y.json", b"clip.mov"], "but 1 .mov: name the movie itself"),
        (&[b"f.1.dpx", b"f.2.dpx"], "but 2 .dpx: write images as PNG or EXR (`oiiotool IN.dpx"),
    ];
    for (names, words) in cases {
        let said = found(names, "", every).unwrap_err().to_string();
        assert!(said.contains(words), "`{words}` is not in {said}");
        assert_eq!(said.contains("oiiotool"), words.contains("oiiotool"), "{said}");
    }
}

#[test]
fn frames_before_0_come_in_the_order_of_time() {
    let names: [&[u8]; 4] = [b"m.0001.png", b"m.-0002.png", b"m.0000.png", b"m.-0001.png"];
    let order = ["m.-0002.png", "m.-0001.png", "m.0000.png", "m.0001.png"];
    for pattern in ["", "m.####.png", "m.%04d.png", "m.#.png"] {
        assert_eq!(found(&names, pattern, FrameNumbering::EveryFrame).unwrap(), order, "{pattern}");
    }
    // `%05d` of −2.
    let names: [&[u8]; 3] = [b"-0001.png", b"00000.png", b"-0002.png"];
    for pattern in ["", "%05d.png", "#####.png"] {
        let order = ["-0002.png", "-0001.png", "00000.png"];
        assert_eq!(found(&names, pattern, FrameNumbering::EveryFrame).unwrap(), order, "{pattern}");
    }
    // A dash that only divides.
    let names: [&[u8]; 2] = [b"m-0002.png", b"m-0001.png"];
    for pattern in ["", "m-####.png"] {
        let order = ["m-0001.png", "m-0002.png"];
        assert_eq!(found(&names, pattern, FrameNumbering::EveryFrame).unwrap(), order, "{pattern}");
    }
}

#[test]
fn steps_of_four_are_latent_frames_and_nothing_else() {
    let names: [&[u8]; 3] = [b"m.1001.exr", b"m.1005.exr", b"m.1009.exr"];
    assert_eq!(found(&names, "", FrameNumbering::LatentFrames).unwrap().len(), 3);
    let text = found(&names, "", FrameNumbering::EveryFrame).unwrap_err().to_string();
    assert!(text.contains("lacks number 1002") && text.contains("masks alone"), "{text}");
    let names: [&[u8]; 3] = [b"m.0.exr", b"m.4.exr", b"m.5.exr"];
    let text = found(&names, "", FrameNumbering::LatentFrames).unwrap_err().to_string();
    assert!(text.contains("lacks number 1") && text.contains("steps of four"), "{text}");
}

#[test]
fn a_folder_of_other_files_says_what_they_are() {
    let text =
        |names: &[&[u8]]| found(names, "", FrameNumbering::EveryFrame).unwrap_err().to_string();
    let words = text(&[b"a.1001.tif", b"a.1002.tif", b"notes.txt", b".hidden.jpg"]);
    assert!(
        words.contains("no .png or .exr file, but 2 .tif") && words.contains("oiiotool"),
        "{words}"
    );
    assert!(text(&[]).ends_with("no .png or .exr file"));
}

#[test]
fn numbers_that_are_written_or_placed_otherwise_are_told_how_to_write() {
    let names: [&[u8]; 2] = [b"0001_shot_v003.png", b"0002_shot_v003.png"];
    let text = found(&names, "", FrameNumbering::EveryFrame).unwrap_err().to_string();
    let words = "2 images whose names differ before their last number: give a pattern with #";
    assert!(text.contains(words), "{text}");
    let right = found(&names, "####_shot_v003.png", FrameNumbering::EveryFrame);
    assert_eq!(right.unwrap().len(), 2);
    for pattern in ["@@@@_shot_v003.png", "$F4_shot_v003.png", "*_shot_v003.png"] {
        let text = found(&names, pattern, FrameNumbering::EveryFrame).unwrap_err().to_string();
        assert!(text.contains("does not exist; a pattern has # or %04d"), "{text}");
    }
}

#[test]
fn names_need_not_be_utf_8() {
    let names: [&[u8]; 2] = [b"gr\xfcn.0002.png", b"gr\xfcn.0001.png"];
    assert_eq!(found(&names, "", FrameNumbering::EveryFrame).unwrap().len(), 2);
}

#[test]
fn of_the_same_frames_in_both_formats_exr_is_read_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| fs::write(folder.path().join(name), "x").unwrap();
    for name in ["rgba.0000", "rgba.0001"] {
        [".exr", ".png"].iter().for_each(|kind| write(&format!("{name}{kind}")));
    }
    write("contact-sheet.png");
    let names = |found: Vec<PathBuf>| -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        found.iter().map(name).collect()
    };
    let found = find(folder.path(), "clip", FrameNumbering::EveryFrame).unwrap();
    assert_eq!(names(found), ["rgba.0000.exr", "rgba.0001.exr"]);
    let said = choices(&[folder.path().to_owned(), folder.path().join("rgba.0000.png")]);
    assert!(said.len() == 1 && said[0].contains("rgba.#.exr is read"), "{said:?}");
    // Which is meant where they are not the same frames, nobody knows.
    write("rgba.0002.png");
    let text = find(folder.path(), "clip", FrameNumbering::EveryFrame).unwrap_err().to_string();
    assert!(text.contains("rgba.#.exr, 2 files; rgba.#.png, 3 files"), "{text}");
    assert!(choices(&[folder.path().to_owned()]).is_empty());
    write("rgba.0002.exr");
    write("plate.0001.exr");
    assert!(find(folder.path(), "clip", FrameNumbering::EveryFrame).is_err());
}

/// A link to nothing, a pipe, a folder: left out, they would make a shorter clip, or wait for ever.
#[test]
fn what_is_named_as_a_frame_and_is_no_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["m.1.png", "m.2.png"] {
        fs::write(path(name), b"").unwrap();
    }
    for words in ["a link to gone.png, which", "is a folder", "is a pipe"] {
        let made = path("m.3.png");
        match words {
            "is a folder" => fs::create_dir(&made).unwrap(),
            "is a pipe" => {
                let status = std::process::Command::new("mkfifo").arg(&made).status();
                assert!(status.unwrap().success());
            }
            _ => std::os::unix::fs::symlink("gone.png", &made).unwrap(),
        }
        for pattern in ["", "m.#.png", "m.%d.png", "m.3.png"] {
            if pattern == "m.3.png" && words == "is a folder" {
                continue;
            }
            let found = find(&path(pattern), "clip", FrameNumbering::EveryFrame);
            let text = found.unwrap_err().to_string();
            assert!(text.contains("m.3.png") && text.contains(words), "`{pattern}`: {text}");
        }
        fs::remove_dir(path("m.3.png")).or_else(|_| fs::remove_file(path("m.3.png"))).unwrap();
    }
}

#[test]
fn frames_of_a_number_that_is_too_large_or_too_short_are_not_left_out() {
    let large = format!("m.{}.png", 1_u128 << 63);
    let names: [&[u8]; 3] = [b"m.1.png", b"m.2.png", large.as_bytes()];
    for pattern in ["", "m.#.png", "m.%d.png"] {
        let text = found(&names, pattern, FrameNumbering::EveryFrame).unwrap_err().to_string();
        assert!(text.contains(&large) && text.contains("number it anew"), "{pattern}: {text}");
    }
    assert_eq!(found(&names[2..], "", FrameNumbering::EveryFrame).unwrap(), [large]);
    let names: [&[u8]; 3] = [b"m.0001.png", b"m.0002.png", b"m.3.png"];
    for pattern in ["m.####.png", "m.%04d.png"] {
        let text = found(&names, pattern, FrameNumbering::EveryFrame).unwrap_err().to_string();
        assert!(text.contains("m.3.png") && text.contains("the 4 digits"), "{pattern}: {text}");
    }
    assert_eq!(found(&names, "m.%d.png", FrameNumbering::EveryFrame).unwrap().len(), 3);
}

#[test]
fn files_beside_a_pattern_that_look_like_its_frames_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["m.0001.png", "m.0002.png", "m.0002_old.png", "m.0003 (1).png", "m.x.png"] {
        fs::write(folder.path().join(name), b"").unwrap();
    }
    let [said] = choices(&[folder.path().join("m.%04d.png")]).try_into().unwrap();
    assert!(said.contains("m.0002_old.png and 1 more do not match it"), "{said}");
    assert!(choices(&[folder.path().join("m.x.png")]).is_empty());
}
