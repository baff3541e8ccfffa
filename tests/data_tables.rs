//! `wan-alpha data`: tables and pictures as other systems and programs write them.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use image::{GrayImage, Luma, Rgba, RgbaImage};
use support::room::Room;

/// Tables and mattes as other systems and programs write them.
#[test]
fn what_comes_from_elsewhere_is_named_by_row_with_its_remedy() {
    let room = Room::of("data");
    let disc = |x: u32, y: u32| {
        let (dx, dy) = (f64::from(x) - 24.0, f64::from(y) - 16.0);
        ((1.6 - (dx * dx + dy * dy).sqrt() / 10.0).clamp(0.0, 1.0) * 255.0) as u8
    };
    fs::create_dir(room.path("clips")).unwrap();
    let save = |name: &str, color: &dyn Fn(u8) -> u8, alpha: &dyn Fn(u8) -> u8| {
        let rgba = RgbaImage::from_fn(48, 32, |x, y| {
            let a = disc(x, y);
            Rgba([color(a), color(a) / 2, 9.min(color(a)), alpha(a)])
        });
        rgba.save(room.path("clips").join(name)).unwrap();
    };
    save("good.png", &|_| 250, &|a| a);
    save("haze.png", &|_| 250, &|a| a.max(2));
    save("inverted.png", &|_| 250, &|a| 255 - a);
    save("color.png", &|a| a, &|_| 255);
    GrayImage::from_fn(48, 32, |x, y| Luma([disc(x, y)]))
        .save(room.path("clips/matte.png"))
        .unwrap();
    let said = "A ball before a transparent background";
    let rows = ["good.png,", "haze.png,", "inverted.png,", "color.png,clips/matte.png"];
    let rows: String = rows.iter().map(|row| format!("clips/{row},{said},\n")).collect();
    let table = format!(
        "colour,alpha,caption,Kind\n{rows}clips\\good.png,,{said},\n\
         clips/color.png,clips/matte.png,{said},\n"
    );
    fs::write(room.path("table.csv"), table.replace(",\n", ",x\n")).unwrap();
    let said = room.fails(&["check", "table.csv"], 2);
    for (severity, row, words) in [
        ("warning", 2, "alpha of 1 or 2 of 255"),
        ("warning", 3, "it looks inverted; invert it"),
        ("warning", 4, "say premultiplied in the column `association`"),
        ("error", 5, "has backslashes: write it with slashes, `clips/good.png`"),
    ] {
        let start = format!("{severity}: row {row} (line {} of ", row + 1);
        let found = said.lines().any(|line| line.starts_with(&start) && line.contains(words));
        assert!(found, "`{start}` … `{words}` is not in:\n{said}");
    }
    assert!(said.contains("line 1: the column `Kind` is not read: rename it `kind`"), "{said}");
    assert!(!said.contains("row 1 ("), "{said}");
    for (table, words) in [
        ("colour;caption\na.png;x\n", "separated by semicolons: write it with commas"),
        ("colour\tcaption\na.png\tx\n", "separated by tabs"),
        ("Colour,caption\na.png,x\n", "line 2: it has no color: the column `Colour` of line 1"),
    ] {
        fs::write(room.path("table.csv"), table).unwrap();
        let said = room.fails(&["check", "table.csv"], 2);
        assert!(said.contains(words), "{said}");
    }
}
