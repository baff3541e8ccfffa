//! The movies of the table of `docs/pictures.md`. To read them takes ffmpeg, or what stands in for it: each
//! line names its test elsewhere.

use std::path::Path;

/// What it is, its tag, what is done, what is said, the test, and the file that the test is in.
type MovieKind =
    (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const MOVIES: &str = "tests/movie_reading.rs";
const STREAMS: &str = "tests/movie_streams.rs";
const EMBEDDED: &str = "src/media/video/embedded_profile.rs";
const WHOLE: &str = "src/media/video/whole.rs";
const PROBE: &str = "src/media/video/probe/tests.rs";

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
    (
        "movie, to be turned or mirrored",
        "a display matrix",
        "read as it lies",
        "a warning: “… it is to be turned or mirrored when it is shown (display matrix, rotation of 90.00 \
         degrees), which is not done …”",
        "a_movie_that_is_to_be_turned_is_read_as_it_lies_and_told",
        MOVIES,
    ),
    (
        "JPEG and WebP, to be turned or mirrored",
        "EXIF with an orientation",
        "read as they lie",
        "a warning: “… (EXIF orientation 6), which is not done …”",
        "exif_of_jpeg_and_webp_is_found_with_its_orientation",
        EMBEDDED,
    ),
    (
        "several movies in one file",
        "",
        "the first is read",
        "a warning: “… it holds 2 movies: the first is read (ffv1, 64x48), not the next …”",
        "of_several_movies_the_first_is_read_and_told_and_a_cover_is_none",
        MOVIES,
    ),
    (
        "movie with a cover",
        "attached pic",
        "the movie is read, never the cover",
        "",
        "a_second_movie_is_told_and_a_cover_is_none",
        PROBE,
    ),
    (
        "sound, with or without a cover",
        "",
        "refused",
        "“… it holds sound, and no picture …”",
        "of_several_movies_the_first_is_read_and_told_and_a_cover_is_none",
        MOVIES,
    ),
    (
        "movie, cut off or not finished",
        "",
        "refused",
        "“… it is cut off: its mdat ends at byte …”, “… it has no index (moov) …”",
        "a_movie_that_is_cut_off_or_damaged_is_refused_whatever_holds_it",
        MOVIES,
    ),
    (
        "movie, frames damaged",
        "",
        "refused",
        "“… is damaged: 8 frames could be decoded, of about 17 that it claims …”",
        "a_movie_with_damaged_frames_is_refused_with_how_many_are_whole",
        MOVIES,
    ),
    (
        "movies behind each other in one file (MOV, MP4, Matroska, FLV, WMV, APNG)",
        "",
        "refused",
        "“… it is several movies behind each other (the next begins at byte …”",
        "movies_behind_each_other_are_told_and_parts_of_one_are_not",
        WHOLE,
    ),
    (
        "transport streams behind each other",
        "",
        "all is read",
        "",
        "joined_transport_streams_are_read_whole_and_lost_packets_are_told",
        STREAMS,
    ),
    (
        "transport stream, packets lost, or joined within a frame",
        "",
        "refused",
        "“… packets of its stream are missing, or parts of it were joined within a frame …”",
        "joined_transport_streams_are_read_whole_and_lost_packets_are_told",
        STREAMS,
    ),
    (
        "movie, frames of several sizes",
        "",
        "refused",
        "“… its frames change size from 64 × 48 to 96 × 64 after 9 frames …”",
        "frames_that_change_size_in_mid_stream_are_refused_with_both_sizes",
        STREAMS,
    ),
    (
        "movie as a mask, alpha 1 everywhere or none",
        "",
        "its brightness is the mask",
        "a warning: “… its alpha is 1 everywhere, in every frame: its brightness is taken for it …”",
        "a_movie_s_brightness_is_a_mask_only_where_its_alpha_says_nothing_and_that_is_told",
        MOVIES,
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
