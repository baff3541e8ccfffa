//! The movies of the table of `docs/pictures.md`. To read them takes ffmpeg, or what stands in for it: each
//! line names its test elsewhere.

use std::path::Path;

/// What it is, its tag, what is done, what is said, the test, and the file that the test is in.
type MovieKind =
    (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const MOVIES: &str = "tests/movie_reading.rs";
const PROBE: &str = "src/media/video/probe.rs";

const KINDS: &[MovieKind] = &[
    (
        "movie, VP8 and VP9 with alpha",
        "alpha_mode 1",
        "read by libvpx, which keeps alpha",
        "",
        "movies_with_alpha_keep_it_as_images_and_as_masks",
        MOVIES,
    ),
    (
        "movie, ProRes 4444, FFV1, HEVC with alpha",
        "none, or Rec.709",
        "alpha is kept; values are what a display of Rec.709 shows",
        "",
        "movies_with_alpha_keep_it_as_images_and_as_masks",
        MOVIES,
    ),
    (
        "movie",
        "primaries of Rec.2020 or P3",
        "converted",
        "",
        "a_movie_s_color_is_converted_or_refused_and_a_person_has_the_last_word",
        MOVIES,
    ),
    (
        "movie",
        "PQ or HLG",
        "refused",
        "“… of high dynamic range …”",
        "a_movie_s_color_is_converted_or_refused_and_a_person_has_the_last_word",
        MOVIES,
    ),
    (
        "movie of YUV",
        "no matrix",
        "read by that of BT.601",
        "a warning: “… it does not say by which matrix its YUV was made of RGB …”",
        "a_movie_that_names_no_matrix_is_told_and_a_person_says_which",
        MOVIES,
    ),
    (
        "movie",
        "pixels not square",
        "pixels are taken for square",
        "a warning: “… its pixels are 2.000 times as wide as high (SAR 2:1) …”",
        "ffmpeg_s_words_are_understood",
        PROBE,
    ),
    (
        "movie, interlaced",
        "the order of fields",
        "read as it lies",
        "a warning: “… it is interlaced (top coded first) …”",
        "ffmpeg_s_words_are_understood",
        PROBE,
    ),
];

/// Their lines of the table.
pub(super) fn lines() -> String {
    let line =
        |(what, tag, done, said, ..): &MovieKind| format!("| {what} | {tag} | {done} | {said} |\n");
    KINDS.iter().map(line).collect()
}

#[test]
fn every_movie_of_the_table_has_its_test() {
    for (what, .., test, file) in KINDS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("fn {test}()")), "{what}: {test} is not in {file}");
    }
}
