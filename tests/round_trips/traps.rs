//! What is known of the programs that files go through, and where it is seen that nothing is lost by it.

use super::{Reading, levels};

/// Something that a program does and nobody would guess.
pub(crate) struct Trap {
    pub(crate) known: &'static str,
    pub(crate) done: &'static str,
    /// Rows of the table, or a test.
    pub(crate) seen: &'static str,
    /// Whether the readings show it, and that it costs nothing.
    pub(crate) is_passed: fn(&[Reading]) -> bool,
    /// Readings that are not what was written because of it, by the reader's doing.
    pub(crate) excuses: fn(&Reading) -> bool,
}

/// A trap that excuses no reading.
const fn passed(
    known: &'static str,
    done: &'static str,
    seen: &'static str,
    is_passed: fn(&[Reading]) -> bool,
) -> Trap {
    Trap { known, done, seen, is_passed, excuses: |_| false }
}

/// Whether there are readings of files that begin so by programs that begin so, and all are as told.
fn all(measured: &[Reading], file: &str, by: &str, are: impl Fn(&Reading) -> bool) -> bool {
    let of = |one: &&Reading| {
        one.file.starts_with(file) && one.by.starts_with(by) && one.refused.is_none()
    };
    let mut found = measured.iter().filter(of).peekable();
    found.peek().is_some() && found.all(are)
}

/// Whether color is near over red and cyan, of 255.
fn color_within(one: &Reading, step: f64) -> bool {
    one.color.iter().all(|off| *off <= step)
}

/// Alpha 0 and all of it.
fn ends(one: &Reading) -> [u32; 2] {
    [one.alpha[0], one.alpha[7]]
}

pub(crate) const TRAPS: &[Trap] = &[
    passed(
        "ffmpeg's encoder of ProRes has 10 bits, its decoder 12",
        "color and alpha are given in 10 bits and checked step for step",
        "`prores-by-9.mov`",
        |measured| all(measured, "prores", "ffmpeg", |one| one.says.starts_with("yuva444p12le")),
    ),
    passed(
        "ffmpeg's way from 12 bits of alpha to 16 makes 65520 of opaque",
        "the file is right: 4095 of 4095; what reads it through ffmpeg's scaler sees 65520, which is 255 of 255",
        "`prores-by-9.mov`, the last column",
        |measured| all(measured, "prores", "ffmpeg", |one| ends(one) == [0, 65520]),
    ),
    passed(
        "its way to 10 or 12 bits of RGB makes a step or two of alpha 0",
        "alpha is given as the encoder takes it",
        "`prores-by-9.mov`, the first column",
        |measured| all(measured, "prores", "ffmpeg", |one| one.alpha[0] == 0),
    ),
    passed(
        "ffmpeg sets no color tags of RGB that becomes Y'CbCr, or not all of them",
        "a filter sets all three, and they are read back (`findings/ffmpeg-color-options.sh`)",
        "`prores-by-7.mov`, `prores-by-9.mov`: says bt709",
        |measured| all(measured, "prores", "ffmpeg", |one| one.says.contains("bt709")),
    ),
    passed(
        "it converts by BT.601 unless told, and 7.0 whatever it is told",
        "the conversion is this program's",
        "`prores-by-7.mov`: color over red and cyan",
        |measured| all(measured, "prores", "ffmpeg", |one| color_within(one, 2.0)),
    ),
    passed(
        "`-color_range pc` makes full-range pixels in a file that is read as limited",
        "it is never given: Y'CbCr is limited, and says so",
        "`prores-by-9.mov`: says tv",
        |measured| all(measured, "prores", "ffmpeg 9", |one| one.says.contains("(tv")),
    ),
    Trap {
        known: "ffmpeg's own decoder of VP9 drops alpha",
        done: "nothing can be: `-c:v libvpx-vp9` before `-i` reads it, and browsers do",
        seen: "`webm-by-9.webm` by ffmpeg, and by libvpx-vp9",
        is_passed: |measured| {
            let by_its_own = |one: &Reading| !one.by.contains("libvpx") || one.alpha[0] == 0;
            all(measured, "webm", "ffmpeg", by_its_own)
                && all(measured, "webm", "Chromium", |one| ends(one) == [0, 255])
        },
        excuses: |one| {
            one.file.starts_with("webm")
                && one.by.starts_with("ffmpeg")
                && !one.by.contains("libvpx")
        },
    },
    passed(
        "VP9 in MP4, AVIF, and MOV or Matroska without a codec (H.264) drop alpha without a word",
        "none of these is written",
        "no such file",
        |measured| {
            !measured.iter().any(|one| one.file.ends_with(".mp4") || one.file.ends_with(".avif"))
        },
    ),
    passed(
        "ffmpeg 9.0 refuses RGBA for WebM where no pixel format is named",
        "it is named",
        "`webm-by-9.webm`",
        |measured| all(measured, "webm-by-9", "Chromium", |_| true),
    ),
    passed(
        "ffmpeg's way from 8 bits to Y'CbCr with alpha adds 1 to alpha from 128 on, so that 254 is opaque",
        "alpha never goes that way",
        "`webm-by-9.webm` by libvpx-vp9",
        |measured| {
            let is_kept = |one: &Reading| {
                let near =
                    |(found, level): (&u32, f64)| (f64::from(*found) - level / 257.0).abs() <= 1.0;
                !one.by.contains("libvpx") || one.alpha.iter().zip(levels()).all(near)
            };
            all(measured, "webm", "ffmpeg", is_kept)
        },
    ),
    passed(
        "FFV1, PNG in MOV and APNG lose nothing; ffvhuff, Cineform, UT, MagicYUV and QuickTime Animation do",
        "the others are not offered",
        "`ffv1-by-9.mkv`, `png-mov-by-9.mov`, `moving.apng`",
        |measured| {
            all(measured, "ffv1", "ffmpeg", |one| color_within(one, 0.5))
                && all(measured, "png-mov", "ffmpeg", |one| color_within(one, 0.5))
        },
    ),
    passed(
        "raw video in MOV is written with exit 0 and cannot be read",
        "it is not offered",
        "no such file",
        |measured| !measured.iter().any(|one| one.file.starts_with("raw")),
    ),
    passed(
        "ffmpeg 7.0's libx265 has no alpha, and drops it without a word",
        "refused before anything is written",
        "no `hevc-by-7.mov`",
        |measured| !measured.iter().any(|one| one.file.starts_with("hevc-by-7")),
    ),
    Trap {
        known: "ffmpeg 7.0 reads HEVC without its alpha",
        done: "nothing can be: 9.0 reads it",
        seen: "`hevc-by-9.mov` by both",
        is_passed: |measured| all(measured, "hevc", "ffmpeg 9", |one| ends(one) == [0, 255]),
        excuses: |one| one.file.starts_with("hevc") && one.by.starts_with("ffmpeg 7"),
    },
    passed(
        "the encoder `libwebp` draws frames over each other; `libwebp_anim` may leave the flag of alpha off, and \
         Pillow sees RGB then",
        "`libwebp_anim` is used, and the flag is set",
        "`webp-by-9.webp` by Pillow: says RGBA",
        |measured| all(measured, "webp", "Pillow", |one| one.says == "RGBA" && one.frames == 5),
    ),
    passed(
        "lossless WebP changes color under alpha 0",
        "it is black there before it is written, and compared where there is alpha",
        "`webp-by-9.webp`: color over red and cyan",
        |measured| all(measured, "webp", "Pillow", |one| color_within(one, 1.0)),
    ),
    passed(
        "ffmpeg 7.0 writes animated WebP and cannot read it",
        "its parts are counted; Pillow, Chromium and 9.0 read it",
        "`webp-by-7.webp` by ffmpeg 7.0",
        |measured| {
            let of_7 =
                |one: &&Reading| one.file.starts_with("webp") && one.by.starts_with("ffmpeg 7");
            measured.iter().filter(of_7).all(|one| one.refused.is_some())
        },
    ),
    passed(
        "ffmpeg's encoder of EXR multiplies by alpha in 9.0 and not in 8.0; its PNG from EXR divides by alpha",
        "EXR and PNG are written and read by this program itself",
        "`linear.exr`, `16-bits.png`: color over red and cyan",
        |measured| all(measured, "linear.exr", "OpenEXR", |one| color_within(one, 0.5)),
    ),
    passed(
        "ffmpeg's decoder of EXR applies no transfer, and cuts half floats to 0 to 1 in 8.0 and 9.0",
        "takes lie within 0 and 1; the table sends light through sRGB's curve",
        "`linear.exr` by ffmpeg",
        |measured| all(measured, "linear.exr", "ffmpeg", |one| color_within(one, 2.5)),
    ),
    passed(
        "OpenEXR's Python module cannot join R, G, B and A of different number formats",
        "all four have one",
        "`linear.exr`, `float.exr` by OpenEXR",
        |measured| {
            all(measured, "linear.exr", "OpenEXR", |_| true)
                && all(measured, "float.exr", "OpenEXR", |_| true)
        },
    ),
    passed(
        "nothing before OpenEXR 3.4 reads HTJ2K",
        "it is not offered: ZIP, ZIPS or DWAA",
        "the EXR files by OpenEXR",
        |measured| {
            let is_old = |one: &Reading| ["ZIP", "DWAA"].iter().any(|name| one.says.contains(name));
            all(measured, "", "OpenEXR", is_old)
        },
    ),
    passed(
        "OpenImageIO takes an EXR without `colorInteropID` for ACEScg, whatever its chromaticities",
        "it is written, and read as such",
        "`linear.exr`, `acescg.exr` by OpenImageIO",
        |measured| {
            all(measured, "linear.exr", "OpenImageIO", |one| one.says == "lin_rec709_scene")
                && all(measured, "acescg.exr", "OpenImageIO", |one| one.says == "lin_ap1_scene")
        },
    ),
    passed(
        "a name that OpenImageIO does not know, or `unknown`, makes its conversions fail",
        "only names of its own are written",
        "the EXR files by OpenImageIO",
        |measured| {
            let names = ["lin_rec709_scene", "lin_ap1_scene", "srgb_rec709_scene"];
            all(measured, "", "OpenImageIO", |one| names.contains(&one.says.as_str()))
        },
    ),
    passed(
        "OpenImageIO keeps `colorInteropID` when it converts (`findings/oiio-color-interop-id.sh`)",
        "where a file's tag and its chromaticities differ, reading it says so",
        "the test `media::kinds`",
        |_| true,
    ),
    passed(
        "PNG without a tag, with `sRGB` and with `cICP` are one color space to OpenImageIO; `gAMA` alone is another",
        "`sRGB` or `cICP` is written",
        "`16-bits.png`, `cicp.png` by OpenImageIO",
        |measured| {
            all(measured, "16-bits.png", "OpenImageIO", |one| one.says == "srgb_rec709_scene")
                && all(measured, "cicp.png", "OpenImageIO", |one| one.says == "srgb_rec709_scene")
        },
    ),
    passed(
        "OpenImageIO's reader of PNG multiplies by alpha, and its conversions do not divide",
        "the table divides first; `oiiotool --colorconvert:unpremult=1` does",
        "`16-bits.png` by OpenImageIO",
        |measured| all(measured, "16-bits.png", "OpenImageIO", |one| color_within(one, 0.5)),
    ),
    passed(
        "OpenImageIO drops the rate of frames from what it converts to PNG; a rate that is no ratio loses its name",
        "EXR has a ratio; the recipe in a PNG says its frame",
        "the EXR files: rate",
        |measured| {
            all(measured, "linear.exr", "OpenImageIO", |one| one.rate.as_deref() == Some("16/1"))
                && all(measured, "linear.exr", "OpenEXR", |one| one.rate.as_deref() == Some("16"))
        },
    ),
    passed(
        "an EXR in float that is marked as an ACES container cannot be written again",
        "no file is marked so",
        "`acescg.exr` by OpenImageIO",
        |measured| all(measured, "acescg.exr", "OpenImageIO", |one| one.says == "lin_ap1_scene"),
    ),
    passed(
        "OpenEXR and OpenImageIO keep alpha over 1, negative and infinite values and what is no number",
        "none of these is written",
        "every EXR file: alpha",
        |measured| {
            all(measured, "", "OpenEXR", |one| one.alpha.iter().all(|alpha| *alpha <= 65535))
        },
    ),
    passed(
        "no EXR file can say that its color is not multiplied by alpha",
        "it is, unless told otherwise; readers must be told of `straight.exr`, and the table is",
        "`straight.exr`",
        |measured| all(measured, "straight.exr", "Open", |one| color_within(one, 0.5)),
    ),
];
