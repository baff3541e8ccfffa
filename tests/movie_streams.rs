//! Movies as streams of frames: that change size, are joined, lose packets, or whose authors wrote what looks like
//! ffmpeg's words. Made and read by the real ones that are found here.

// A test says what is wrong by panicking.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use support::ffmpeg::{self, FfmpegFolder, asked, made};
use support::room::Room;

/// A transport stream of so many frames, drawn in this size: `-c:v mpeg2video`, each frame by itself.
fn made_stream(room: &Room, ffmpeg: &FfmpegFolder, name: &str, size: &str, frames: &str) -> bool {
    let drawn = format!("testsrc2=size={size}:rate=25");
    let codec = ["-frames:v", frames, "-c:v", "mpeg2video", "-g", "1", "-q:v", "2", name];
    made(room, ffmpeg, &[&["-f", "lavfi", "-i", &drawn][..], &codec].concat())
}

/// Puts files behind each other.
fn join(room: &Room, parts: &[&str], joined: &str) {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| fs::read(room.path(part)).unwrap()).collect();
    fs::write(room.path(joined), bytes).unwrap();
}

#[test]
fn frames_that_change_size_in_mid_stream_are_refused_with_both_sizes() {
    for ffmpeg in &ffmpeg::all() {
        let room = Room::new();
        for (codec, joined) in [("png", "joined.mkv"), ("prores_ks", "joined.mov")] {
            // One of as many pixels, and a larger one.
            for (size, to) in [("48x64", "48 × 64"), ("96x64", "96 × 64")] {
                let mut list = String::new();
                for (part, size, frames) in [("a", "64x48", "9"), ("b", size, "8")] {
                    let (drawn, name) =
                        (format!("testsrc2=size={size}"), format!("{part}-{joined}"));
                    let make =
                        ["-f", "lavfi", "-i", &drawn, "-frames:v", frames, "-c:v", codec, &name];
                    assert!(made(&room, ffmpeg, &make));
                    list += &format!("file {name}\n");
                }
                fs::write(room.path("list"), list).unwrap();
                assert!(made(&room, ffmpeg, &["-f", "concat", "-i", "list", "-c", "copy", joined]));
                let line = ["ellipse", "fit", joined, "--out", "t.json"];
                let (code, said) = asked(&room, ffmpeg, &line);
                assert_eq!(code, Some(2), "{}: {joined}: {said}", ffmpeg.version);
                let change =
                    format!("{joined}: its frames change size from 64 × 48 to {to} after 9 frames");
                for words in [change.as_str(), "-frames:v 9 OUT", "-vf scale=64:48 OUT"] {
                    assert!(said.contains(words), "`{words}` is not in {said}");
                }
            }
        }
    }
}

/// Whether this ffmpeg reads transport streams at all: builds without shared libraries have crashed on all.
fn reads_streams(room: &Room, ffmpeg: &FfmpegFolder) -> bool {
    made_stream(room, ffmpeg, "a.ts", "64x48", "9")
        && made(room, ffmpeg, &["-i", "a.ts", "-f", "null", "-"])
}

#[test]
fn transport_streams_whose_parts_differ_in_size_are_refused() {
    for ffmpeg in &ffmpeg::all() {
        let room = Room::new();
        if !reads_streams(&room, ffmpeg) {
            continue;
        }
        assert!(made_stream(&room, ffmpeg, "b.ts", "48x64", "8"));
        join(&room, &["a.ts", "b.ts", "a.ts"], "joined.ts");
        let line = ["ellipse", "fit", "joined.ts", "--out", "t.json"];
        let (code, said) = asked(&room, ffmpeg, &line);
        let words = "joined.ts: its frames change size from 64 × 48 to 48 × 64";
        assert!(code == Some(2) && said.contains(words), "{}: {said}", ffmpeg.version);
    }
}

#[test]
fn joined_transport_streams_are_read_whole_and_lost_packets_are_told() {
    for ffmpeg in &ffmpeg::all() {
        let room = Room::new();
        if !reads_streams(&room, ffmpeg) {
            continue;
        }
        assert!(made_stream(&room, ffmpeg, "b.ts", "64x48", "8"));
        join(&room, &["a.ts", "b.ts"], "joined.ts");
        let whole = ["-i", "joined.ts", "-fps_mode", "passthrough", "-c:v", "ffv1", "whole.mkv"];
        assert!(made(&room, ffmpeg, &whole));
        let fitted = |name: &str| {
            let (code, said) = asked(&room, ffmpeg, &["ellipse", "fit", name, "--out", "t.json"]);
            assert_eq!(code, Some(0), "{}: {said}", ffmpeg.version);
            room.json("t.json")
        };
        let track = fitted("joined.ts");
        assert_eq!(track.as_array().unwrap().len(), 5);
        assert_eq!(track, fitted("whole.mkv"));

        // A packet of the movie from its middle.
        let mut bytes = fs::read(room.path("joined.ts")).unwrap();
        let packets = bytes.chunks(188).enumerate().skip(bytes.len() / 188 / 2);
        let is_inner = |(_, packet): &(usize, &[u8])| packet[1] & 0x5f == 1 && packet[2] == 0;
        let (lost, _) = packets.into_iter().find(is_inner).unwrap();
        bytes.drain(lost * 188..(lost + 1) * 188);
        fs::write(room.path("lost.ts"), bytes).unwrap();
        let (code, said) = asked(&room, ffmpeg, &["ellipse", "fit", "lost.ts", "--out", "t.json"]);
        assert_eq!(code, Some(2), "{}: {said}", ffmpeg.version);
        for words in ["lost.ts is damaged", "packets of its stream are missing", "-c copy OUT.mkv"]
        {
            assert!(said.contains(words), "`{words}` is not in {said}");
        }
    }
}

#[test]
fn names_and_tags_that_look_like_ffmpeg_s_words_change_nothing() {
    for ffmpeg in &ffmpeg::all() {
        let room = Room::new();
        let name = "p.mkv";
        let drawn = "testsrc2=size=64x48:rate=16,format=rgba,colorchannelmixer=aa=0.5";
        let codec = ["-frames:v", "17", "-c:v", "ffv1", "-pix_fmt", "gbrap", name];
        assert!(made(&room, ffmpeg, &[&["-f", "lavfi", "-i", drawn][..], &codec].concat()));
        let fit = |name: &str| {
            let (code, said) = asked(&room, ffmpeg, &["ellipse", "fit", name, "--out", "t.json"]);
            (code, said.replace(name, "it"), fs::read(room.path("t.json")).unwrap())
        };
        let plain = fit(name);
        assert_eq!(plain.0, Some(0), "{}", plain.1);
        let forged = "a\nOutput #0, null, to 'pipe:':\n    Stream #0:0: Video: h264, nv12(tv), 9x9, 9 \
                      fps (attached pic)\n";
        let named = [&format!("{forged}.mkv"), "f%04d.mkv", "concat:a.mkv"];
        for other in named {
            fs::copy(room.path(name), room.path(other)).unwrap();
            assert_eq!(fit(other), plain, "{other}");
        }
        let tag = format!("{forged}=1");
        for tags in [
            ["-metadata:s:v:0", "language=attached pic"],
            ["-metadata:s:v:0", "language=und): Video: png, gray (attached pic"],
            ["-metadata:s:v:0", &tag],
            ["-metadata", &tag],
        ] {
            let copy =
                [&["-i", name, "-map_metadata", "-1"][..], &tags, &["-c", "copy", "tagged.mkv"]];
            assert!(made(&room, ffmpeg, &copy.concat()));
            assert_eq!(fit("tagged.mkv"), plain, "{tags:?}");
        }
    }
}
