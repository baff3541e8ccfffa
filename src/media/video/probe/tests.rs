//! What versions of ffmpeg say of movies, and how it is understood.

use super::*;
use crate::media::color_tag::TagMeaning;

/// What stands before what counts.
const OUTPUT: &str = "Output #0, null, to 'pipe:':\n";

#[test]
fn ffmpeg_s_words_are_understood() {
    let read = |stream: &str| {
        MovieTags::read(&format!(
            "Input #0, mov, from 'a.mov':\n  Duration: 00:00:01\n{OUTPUT}    {stream}\n    Side data:\n      x : \
             y\n"
        ))
    };
    let prores = read(
        "Stream #0:0[0x1]: Video: prores (4444) (ap4h / 0x68347061), yuva444p12le(tv, bt709, \
         progressive), 96x96, 8 fps",
    );
    assert_eq!((prores.has_alpha, prores.decoder), (Some(true), None));
    assert_eq!(prores.pixel_format, "yuva444p12le");
    let Some(TagMeaning::Known(space)) = prores.color.map(|tag| tag.meaning) else {
        panic!("a known space");
    };
    assert_eq!(space.kept_on_rec_709_display().to_srgb([0.3; 3]), [0.3; 3]);
    let odd = read(
        "Stream #0:0[0x1]: Video: prores (4444) (ap4h / 0x68347061), yuva444p12le(tv, top coded first \
         (swapped)), 64x48, 36 kb/s, SAR 2:1 DAR 8:3, 16 fps",
    );
    let [aspect, interlaced] = odd.remarks.as_slice() else { panic!("{odd:?}") };
    assert!(aspect.contains("2.000 times as wide as high (SAR 2:1)"), "{aspect}");
    assert!(interlaced.contains("interlaced (top coded first)"), "{interlaced}");
    assert!(prores.remarks.is_empty());
    let hdr =
        read("Stream #0:0: Video: hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/smpte2084), 8x8");
    assert_eq!(hdr.color.unwrap().meaning, TagMeaning::HighDynamicRange("PQ"));
    assert_eq!(hdr.has_alpha, Some(false));
    let untagged = read("Stream #0:0: Video: vp9 (Profile 0), yuv420p(tv, progressive), 8x8");
    assert!(untagged.names_no_matrix);
    assert_eq!((untagged.color, untagged.decoder), (None, None));
    let matrix_alone = read("Stream #0:0: Video: vp9, yuv420p(tv, bt470bg/unknown/unknown), 8x8");
    assert_eq!((matrix_alone.color, matrix_alone.names_no_matrix), (None, false));
    let no_matrix = read("Stream #0:0: Video: h264, nv12(tv, unknown/bt709/bt709), 8x8");
    assert!(no_matrix.names_no_matrix);
    for with_one in ["mjpeg (Baseline), yuvj420p(pc)", "webp, yuv420p", "ffv1, bgra(pc)"] {
        let tags = read(&format!("Stream #0:0: Video: {with_one}, 8x8"));
        assert!(!tags.names_no_matrix, "{with_one}");
    }
    assert_eq!(MovieTags::read("nonsense"), MovieTags::default());
}

/// The movies of `tests/data/pictures`, and what ffmpeg 7.0 and 9.0 say of them.
#[test]
fn two_versions_of_ffmpeg_are_understood_alike() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures");
    for (file, alpha, decoder, color, matrix) in [
        ("vp9.webm", true, Some("libvpx-vp9"), None, false),
        ("vp8.webm", true, Some("libvpx"), None, true),
        ("ffv1.mkv", true, None, None, true),
        ("prores.mov", true, None, Some("Rec.709 with gamma 2.4"), true),
        // Which ffmpeg never says: its alpha is a second layer.
        ("hevc.mov", false, None, None, false),
        ("rec2020.mkv", true, None, Some("Rec.2020 with gamma 2.4"), true),
        ("pq.mkv", true, None, Some("PQ"), true),
        ("opaque.mp4", false, None, None, false),
    ] {
        for version in ["7.0", "9.0"] {
            let path = folder.join(format!("{file}.ffmpeg-{version}.txt"));
            let tags = MovieTags::read(&std::fs::read_to_string(path).unwrap());
            let found = tags.color.map(|tag| match tag.meaning {
                TagMeaning::Known(space) => space.to_string(),
                TagMeaning::HighDynamicRange(curve) => curve.to_owned(),
                _ => "unknown".to_owned(),
            });
            let said = (tags.has_alpha, tags.decoder, found.as_deref());
            assert_eq!(said, (Some(alpha), decoder, color), "{file} by {version}");
            assert_eq!(tags.names_no_matrix, !matrix, "{file} by {version}");
        }
    }
}

/// As ffmpeg 7.0 and 9.0 write it.
#[test]
fn a_movie_that_is_to_be_turned_is_told() {
    for line in [
        "        displaymatrix: rotation of 90.00 degrees",
        "      Display Matrix: rotation of 90.00 degrees",
    ] {
        let tags = MovieTags::read(&format!(
            "{OUTPUT}    Stream #0:0: Video: h264 (High) (avc1 / 0x31637661), yuv420p(progressive, \
             bt709), 64x48, 16 fps (default)\n    Side data:\n{line}\n"
        ));
        let [told] = tags.remarks.as_slice() else { panic!("{tags:?}") };
        assert!(told.contains("(display matrix, rotation of 90.00 degrees)"), "{told}");
    }
}

#[test]
fn a_second_movie_is_told_and_a_cover_is_none() {
    let movie = |number: usize, more: &str| {
        format!(
            "    Stream #0:{number}: Video: ffv1, bgra(pc, gbr/bt709/bt709), 64x48, 16 fps{more}\n"
        )
    };
    let two = MovieTags::read(&(OUTPUT.to_owned() + &movie(0, "") + &movie(1, "")));
    let [told] = two.remarks.as_slice() else { panic!("{two:?}") };
    for words in ["it holds 2 movies", "is read (ffv1, 64x48)", "-map 0:V:1 -c copy"] {
        assert!(told.contains(words), "{told}");
    }
    let cover = "  Stream #0:0: Video: mjpeg, yuvj420p(pc), 600x600 (attached pic)\n";
    let with_cover = MovieTags::read(&(cover.to_owned() + &movie(1, "") + OUTPUT + &movie(0, "")));
    assert_eq!(with_cover.pixel_format, "bgra");
    assert_eq!((with_cover.lacks_movie, with_cover.remarks), (None, Vec::new()));
    let sound = "  Stream #0:1: Audio: aac (LC), 44100 Hz, mono\n";
    for (text, words) in [(cover, "cover"), (sound, "sound, and no picture")] {
        assert!(MovieTags::read(text).lacks_movie.unwrap().contains(words), "{text}");
    }
}

#[test]
fn frames_are_claimed_by_length_and_rate_of_the_movie_alone() {
    const STREAM: &str =
        "  Stream #0:0: Video: ffv1, bgra, 64x48, SAR 1:1 DAR 4:3, 16 fps, 16 tbr, 1k tbn\n";
    let claimed = |more: &str| {
        MovieTags::read(&format!(
            "  Duration: 00:00:01.06, start: 0.000000, bitrate: 24 kb/s\n{STREAM}    Metadata:\n{more}Stream mapping:\n  \
             Stream #0:0 -> #0:0 (copy)\n{OUTPUT}  {STREAM}"
        ))
        .claimed_frames
    };
    assert_eq!(claimed(""), Some(17));
    assert_eq!(claimed("  Stream #0:1: Audio: aac\n"), None);
    let own = "      DURATION        : 00:01:02.500000000\n  Stream #0:1: Audio: aac\n";
    assert_eq!(claimed(own), Some(1000));
}

#[test]
fn vp8_and_vp9_with_alpha_ask_for_the_decoder_that_keeps_it() {
    for (codec, decoder) in [("vp9 (Profile 0)", "libvpx-vp9"), ("vp8", "libvpx")] {
        let stream = format!("  Stream #0:0: Video: {codec}, yuv420p(tv), 96x96\n");
        let tags = format!("{stream}    Metadata:\n      ALPHA_MODE : 1\n{OUTPUT}  {stream}");
        let tags = MovieTags::read(&tags);
        assert_eq!((tags.decoder, tags.has_alpha), (Some(decoder), Some(true)));
    }
}

/// What names of files, tags, languages and programs may hold: any line.
#[test]
fn what_the_author_of_a_file_wrote_is_no_word_of_ffmpeg_s() {
    let forged = "Input #0, matroska,webm, from 'a\n  Stream #0:0: Video: h264, nv12(tv), 9x9, 9 fps\n:\n  \
                  Stream #0:0(attached pic): Video: ffv1, bgra(pc, gbr/bt2020/smpte2084), 64x48, 16 fps\n    \
                  Metadata:\nOutput #0, null, to 'pipe:':\n  Stream #0:7: Video: png, rgba\n    alpha_mode : 1\n  \
                  Stream #0:8: Video: png, rgba\n Display Matrix: rotation of 90.00 degrees\n";
    let real = "    Stream #0:0: Video: ffv1, bgra(pc, gbr/bt709/bt709), 64x48, q=2-31, 16 fps (default)\n";
    let tags = MovieTags::read(&format!("{forged}{OUTPUT}{real}"));
    assert_eq!(tags, MovieTags::read(&format!("{OUTPUT}{real}")));
    assert_eq!((tags.pixel_format.as_str(), tags.decoder, tags.lacks_movie), ("bgra", None, None));
}
