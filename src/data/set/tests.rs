use super::*;
use image::{GrayImage, Luma, Rgba, RgbaImage};
use tempfile::TempDir;

const WINDOW: Window = Window { frames: 5, height: 16, width: 16 };

/// A set of the rows given, with `files` to make beside it: a moving clip of RGBA, the same apart,
/// and a still.
fn set(rows: &str) -> (TempDir, Set) {
    let folder = tempfile::tempdir().unwrap();
    for part in ["rgba", "rgb", "matte"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
    }
    for frame in 0..9_u32 {
        let value = |x: u32, y: u32| [x as u8 * 4, y as u8 * 4, frame as u8 * 20];
        let alpha = |x: u32| if x < 10 + frame { 200 } else { 0 };
        let file = |part: &str| folder.path().join(part).join(format!("f.{frame:03}.png"));
        let rgba = RgbaImage::from_fn(40, 24, |x, y| {
            let [r, g, b] = value(x, y);
            Rgba([r, g, b, alpha(x)])
        });
        rgba.save(file("rgba")).unwrap();
        image::RgbImage::from_fn(40, 24, |x, y| image::Rgb(value(x, y))).save(file("rgb")).unwrap();
        GrayImage::from_fn(40, 24, |x, _| Luma([alpha(x)])).save(file("matte")).unwrap();
        if frame == 4 {
            rgba.save(folder.path().join("still.png")).unwrap();
        }
    }
    std::fs::write(folder.path().join("table.csv"), rows).unwrap();
    let set = Set::open(folder.path()).unwrap();
    (folder, set)
}

const ROWS: &str = "colour,alpha,caption\nrgba,,a\nrgb/f.###.png,matte,b\nstill.png,,c\nrgb,,d\n";

#[test]
fn alpha_apart_and_alpha_within_are_the_same_clip() {
    let (_folder, set) = set(ROWS);
    let draw = |row| set.clip(row, &WINDOW, &mut DataRng::new(3, "clip", &[7])).unwrap();
    let clip = draw(0);
    assert_eq!(clip, draw(0));
    // Only that color is resized by itself where it is apart.
    let apart = draw(1);
    for (within, apart) in clip.rgba.as_chunks::<4>().0.iter().zip(apart.rgba.as_chunks::<4>().0) {
        assert_eq!(within[3], apart[3]);
        let near = within.iter().zip(apart).all(|(a, b)| (a - b).abs() < 0.02);
        assert!(near, "{within:?} {apart:?}");
    }
    assert_eq!((clip.frames, clip.height, clip.width, clip.rgba.len()), (5, 16, 16, 5 * 1024));
    assert!(clip.rgba.iter().all(|value| (0.0..=1.0).contains(value)));
    // The frames are five in a row: blue rises by 20 of 255.
    let blue = |frame: usize| clip.frame(frame)[2];
    for frame in 1..5 {
        assert!((blue(frame) - blue(frame - 1) - 20.0 / 255.0).abs() < 1e-4);
    }
    let other = set.clip(0, &WINDOW, &mut DataRng::new(3, "clip", &[8])).unwrap();
    assert_ne!(other, clip);
}

#[test]
fn color_apart_is_straight_unless_the_row_says_otherwise() {
    let (_folder, set) =
        set("colour,alpha,association\nrgb,matte,straight\nrgb,matte,premultiplied\nrgb,matte,\n");
    let first = |row| set.reader(row).unwrap().next().unwrap().unwrap().rgba;
    assert_eq!(first(0), first(2));
    let at = (3 * 40 + 5) * 4;
    let (straight, divided) = (first(0), first(1));
    assert!((straight[at] - 20.0 / 255.0).abs() < 1e-6);
    assert!((divided[at] - 20.0 / 200.0).abs() < 1e-6);
    // Nothing is known of what is under alpha 0.
    assert_eq!(divided[30 * 4..31 * 4], [0.0; 4]);
}

#[test]
fn a_still_becomes_a_clip_that_slides() {
    let (_folder, set) = set(ROWS);
    let mut slid = 0;
    for at in 0..20 {
        let clip = set.clip(2, &WINDOW, &mut DataRng::new(1, "clip", &[at])).unwrap();
        assert_eq!(clip.frames, 5);
        slid += usize::from(clip.frame(0) != clip.frame(4));
    }
    assert!(slid > 12, "{slid}");
}

#[test]
fn a_clip_too_short_goes_there_and_back() {
    let (_folder, set) = set(ROWS);
    let window = Window { frames: 21, ..WINDOW };
    let clip = set.clip(0, &window, &mut DataRng::new(1, "clip", &[])).unwrap();
    assert_eq!(clip.frame(8), clip.frame(9));
    assert_eq!(clip.frame(0), clip.frame(17));
    assert_eq!(clip.frame(3), clip.frame(14));
    assert_ne!(clip.frame(0), clip.frame(8));
}

#[test]
fn for_the_transformer_all_frames_come_at_one_size() {
    let (_folder, set) = set("colour\nrgba\n");
    let mut clip = set.bucketed(0, TrainingSize::Area(32 * 32)).unwrap();
    assert_eq!((clip.bucket.width, clip.bucket.height), (32, 32));
    let mut count = 0;
    while let Some(picture) = clip.next().unwrap() {
        assert_eq!((picture.width, picture.height), (32, 32));
        count += 1;
    }
    assert_eq!(count, 9);
}

#[test]
fn all_rows_of_a_source_are_on_one_side_of_the_split() {
    let mut text = "colour,source\n".to_owned();
    for row in 0..400 {
        text += &format!("clip-{row}.mov,{}\n", if row < 40 { "one" } else { "" });
    }
    let (_folder, set) = set(&text);
    let split = set.split(1);
    assert_eq!(split, set.split(1));
    assert_ne!(split, set.split(2));
    // 361 sources, 5 % of which are 18.
    let sources = |rows: &[usize]| {
        let mut sources: Vec<_> = rows.iter().map(|row| set.rows()[*row].source()).collect();
        sources.dedup();
        sources.len()
    };
    assert_eq!(sources(&split.held_out), 18);
    assert_eq!(sources(&split.training), 343);
    let one = split.held_out.iter().filter(|row| **row < 40).count();
    assert!(one == 0 || one == 40, "{one}");
    assert_eq!(split.training.len() + split.held_out.len(), 400);
}

#[test]
fn what_is_wrong_is_named_by_row_and_file() {
    let (folder, set) = set("colour,alpha\nrgb,matte\ngone.mov,\nrgba,still.png\nrgb,short\n");
    let failure = |row| {
        let error = set.clip(row, &WINDOW, &mut DataRng::new(1, "clip", &[])).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::BadInput);
        format!("{error:#}")
    };
    std::fs::write(folder.path().join("rgb/f.004.png"), b"\x89PNG broken").unwrap();
    let text = failure(0);
    assert!(text.contains("row 1 (line 2 of ") && text.contains("f.004.png"), "{text}");
    let text = failure(1);
    assert!(text.contains("row 2") && text.contains("gone.mov does not exist"), "{text}");
    let text = failure(2);
    assert!(text.contains("9 frames, but alpha still.png has 1"), "{text}");
    assert!(failure(3).contains("short does not exist"));
    assert!(failure(4).contains("there is no row 5: the set has 4 rows"));
}

#[test]
fn a_folder_has_one_table_or_one_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let failure = || format!("{:#}", Set::open(folder.path()).err().unwrap());
    assert!(failure().contains("has no table"));
    std::fs::write(folder.path().join("a.csv"), "colour\nx\n").unwrap();
    assert_eq!(Set::open(folder.path()).unwrap().rows().len(), 1);
    std::fs::write(folder.path().join("b.jsonl"), "{\"colour\":\"y\"}\n").unwrap();
    assert!(failure().contains("has 2 tables"));
    std::fs::write(folder.path().join("table.jsonl"), "{\"colour\":\"z\"}\n").unwrap();
    assert_eq!(Set::open(folder.path()).unwrap().rows()[0].color, "z");
    assert!(format!("{:#}", Set::open(&folder.path().join("no")).err().unwrap()).contains("exist"));
}
