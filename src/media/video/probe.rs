//! What ffmpeg says of a video before it is decoded: its decoder, its pixels and its color.
//!
//! Its words for people are read, since ffprobe is not everywhere where ffmpeg is. What is not in
//! them is not known.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::{embedded_profile, input, unstarted};
use crate::media::color_space::ColorSpace;
use crate::media::color_tag::ColorTag;
use crate::media::guarded::guarded;
use crate::media::icc;
use crate::media::reading::Association;
use crate::media::remarks::about_pixel_aspect;

/// What is known of the first video stream of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::media) struct MovieTags {
    /// The decoder to ask for, where ffmpeg's own one drops alpha.
    pub(super) decoder: Option<&'static str>,
    /// As ffmpeg calls it; empty where it is not known.
    pub(in crate::media) pixel_format: String,
    pub(in crate::media) has_alpha: Option<bool>,
    pub(in crate::media) association: Option<Association>,
    /// What it says of its primaries and its curve.
    pub(in crate::media) color: Option<ColorTag>,
    /// Whether alpha may be there that ffmpeg does not tell of: a layer of its own, as HEVC has it.
    pub(in crate::media) may_have_alpha_layer: bool,
    /// Whether it is YUV, and neither it nor the standard of its codec says by which matrix.
    pub(in crate::media) names_no_matrix: bool,
    /// What is to be said of its pixels.
    pub(in crate::media) remarks: Vec<String>,
}

impl MovieTags {
    /// Has ffmpeg look at a file. What is wrong with it is told when it is decoded.
    pub(in crate::media) fn of(path: &Path) -> Result<Self> {
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-i"])
            .arg(input(path))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .map_err(|error| unstarted(path, &error))?;
        let mut found = Self::read(&String::from_utf8_lossy(&output.stderr));
        if let Some(profile) = embedded_profile::of(path)? {
            found.color = guarded(|| Ok(icc::tag_of(&profile)))?;
        }
        Ok(found)
    }

    /// The matrix that its YUV is read by where it names none and a person says what its colors are, as
    /// ffmpeg calls it; None leaves it to ffmpeg, which takes that of BT.601.
    pub(in crate::media) fn matrix_as_said(
        &self,
        color: Option<&ColorSpace>,
    ) -> Option<&'static str> {
        color.filter(|_| self.names_no_matrix).and_then(ColorSpace::movie_matrix)
    }

    fn read(text: &str) -> Self {
        let mut lines = text.lines().skip_while(|line| !is_video(line));
        let Some((_, stream)) = lines.next().and_then(|line| line.split_once("Video: ")) else {
            return Self::default();
        };
        let fields = fields(stream);
        let codec = stream.split([' ', ',']).next().unwrap_or_default();
        let (pixel_format, details) = fields.get(1).map_or(("", ""), |field| {
            field.trim_end_matches(')').split_once('(').unwrap_or((field, ""))
        });
        let details: Vec<&str> = details.split(", ").collect();
        // Of this stream alone: what is said of the next one begins with its line.
        let mut own = lines.take_while(|line| !line.trim_start().starts_with("Stream #"));
        let has_alpha_layer = own.any(|line| {
            let (name, value) = line.split_once(':').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("alpha_mode") && value.trim() == "1"
        });
        let decoder = match codec {
            "vp8" if has_alpha_layer => Some("libvpx"),
            "vp9" if has_alpha_layer => Some("libvpx-vp9"),
            _ => None,
        };
        let known = !pixel_format.is_empty();
        let association = details.iter().find_map(|detail| match *detail {
            "premultiplied" | "premultiplied alpha" | "alpha:premultiplied" => {
                Some(Association::Premultiplied)
            }
            _ => None,
        });
        Self {
            decoder,
            pixel_format: pixel_format.to_owned(),
            has_alpha: known.then(|| decoder.is_some() || has_alpha(pixel_format)),
            association,
            color: details.iter().find_map(|detail| color(detail)),
            may_have_alpha_layer: codec == "hevc",
            names_no_matrix: is_yuv(pixel_format)
                && !OF_BT_601.contains(&codec)
                && !details.iter().any(|detail| names_matrix(detail)),
            remarks: aspect(stream).into_iter().chain(interlaced(&details)).collect(),
        }
    }
}

/// What ffmpeg says in parentheses behind the pixels of the first video stream: range, color, fields.
pub(in crate::media) fn stream_details(text: &str) -> Vec<String> {
    let stream =
        text.lines().find(|line| is_video(line)).and_then(|line| line.split_once("Video: "));
    let fields = stream.map(|(_, stream)| fields(stream)).unwrap_or_default();
    let details = fields.get(1).and_then(|field| field.trim_end_matches(')').split_once('('));
    details.map(|(_, details)| details.split(", ").map(str::to_owned).collect()).unwrap_or_default()
}

/// Pixels that are not square: `[SAR 16:15 DAR 4:3]`.
fn aspect(stream: &str) -> Option<String> {
    let (_, ratio) = stream.split_once("SAR ")?;
    let ratio = ratio.split([' ', ']', ',']).next()?;
    let (width, height) = ratio.split_once(':')?;
    let aspect = width.parse::<f64>().ok()? / height.parse::<f64>().ok()?;
    about_pixel_aspect(aspect, &format!("SAR {ratio}"))
}

/// Frames of two half pictures.
fn interlaced(details: &[&str]) -> Option<String> {
    let fields = |detail: &&&str| ["top ", "bottom "].iter().any(|field| detail.starts_with(field));
    let order = details.iter().find(fields)?.split(" (").next()?;
    Some(format!(
        "it is interlaced ({order}): each of its frames shows two moments, line by line; deinterlace it \
         first (`ffmpeg -i IN -vf bwdif OUT`)"
    ))
}

fn is_video(line: &str) -> bool {
    line.trim_start().starts_with("Stream #") && line.contains("Video: ")
}

/// What commas divide that stand in no parentheses.
fn fields(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let commas = text.split(|c: char| {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    commas.map(str::trim).collect()
}

fn has_alpha(pixel_format: &str) -> bool {
    const WITH_ALPHA: [&str; 10] =
        ["yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16", "ayuv", "pal8"];
    WITH_ALPHA.iter().any(|start| pixel_format.starts_with(start))
}

/// Codecs whose YUV is that of BT.601 by their standard.
const OF_BT_601: [&str; 5] = ["mjpeg", "webp", "vp8", "mpeg1video", "dvvideo"];

fn is_yuv(pixel_format: &str) -> bool {
    const YUV: [&str; 11] =
        ["yuv", "nv", "p0", "p2", "p4", "y2", "uyvy", "yuyv", "ayuv", "vuy", "xv"];
    YUV.iter().any(|start| pixel_format.starts_with(start))
}

/// Whether a detail is a matrix, or `matrix/primaries/curve` of which the first is known.
fn names_matrix(detail: &str) -> bool {
    match detail.split('/').collect::<Vec<_>>().as_slice() {
        [matrix, _, _] => !is_unknown(matrix),
        [one] => primaries_code(one).is_some() || curve_code(one).is_some(),
        _ => false,
    }
}

fn is_unknown(name: &str) -> bool {
    ["unknown", "reserved", ""].contains(&name)
}

/// `space/primaries/curve`, or one name for all three. The space, a matrix, is ffmpeg's to undo.
fn color(detail: &str) -> Option<ColorTag> {
    let names: Vec<&str> = detail.split('/').collect();
    let (primaries, curve) = match names.as_slice() {
        [_, primaries, curve] => (*primaries, *curve),
        [one] => (*one, *one),
        _ => return None,
    };
    let (primaries_code, curve_code) = (primaries_code(primaries), curve_code(curve));
    if names.len() == 1 && (primaries_code, curve_code) == (None, None) {
        return None;
    }
    let code = |code: Option<u8>, name: &str| match code {
        Some(code) => code,
        // ITU-T H.273: unspecified, or reserved.
        None => {
            if is_unknown(name) {
                2
            } else {
                0
            }
        }
    };
    let curve_code = code(curve_code, curve);
    let primaries_code = code(primaries_code, primaries);
    // Without a curve, that of movies.
    let shown = if curve_code == 2 && primaries_code != 2 { 1 } else { curve_code };
    let tag = ColorTag::of_code_points("", primaries_code, shown)?;
    let words = format!("primaries {primaries} and curve {curve}");
    Some(ColorTag { words, doubt: None, ..tag })
}

/// ffmpeg's names as numbers of ITU-T H.273.
fn primaries_code(name: &str) -> Option<u8> {
    Some(match name {
        "bt709" => 1,
        "bt470m" => 4,
        "bt470bg" => 5,
        "smpte170m" => 6,
        "smpte240m" => 7,
        "film" => 8,
        "bt2020" => 9,
        "smpte428" => 10,
        "smpte431" => 11,
        "smpte432" => 12,
        "ebu3213" | "jedec-p22" => 22,
        _ => return None,
    })
}

/// ffmpeg's names as numbers of ITU-T H.273.
fn curve_code(name: &str) -> Option<u8> {
    Some(match name {
        "bt709" => 1,
        "gamma22" | "bt470m" => 4,
        "gamma28" | "bt470bg" => 5,
        "smpte170m" => 6,
        "smpte240m" => 7,
        "linear" => 8,
        "log100" => 9,
        "log316" => 10,
        "iec61966-2-4" => 11,
        "bt1361e" => 12,
        "iec61966-2-1" => 13,
        "bt2020-10" => 14,
        "bt2020-12" => 15,
        "smpte2084" => 16,
        "smpte428" => 17,
        "arib-std-b67" => 18,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::color_tag::TagMeaning;

    #[test]
    fn ffmpeg_s_words_are_understood() {
        let read = |stream: &str| {
            MovieTags::read(&format!(
                "Input #0, mov, from 'a.mov':\n  Duration: 00:00:01\n  {stream}\n    Metadata:\n      \
                 encoder : x\n  Stream #0:1: Video: png, rgba(pc), 8x8\n    Metadata:\n      \
                 alpha_mode : 1\n"
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
        let hdr = read(
            "Stream #0:0: Video: hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/smpte2084), 8x8",
        );
        assert_eq!(hdr.color.unwrap().meaning, TagMeaning::HighDynamicRange("PQ"));
        assert_eq!(hdr.has_alpha, Some(false));
        let untagged = read("Stream #0:0: Video: vp9 (Profile 0), yuv420p(tv, progressive), 8x8");
        assert!(untagged.names_no_matrix);
        assert_eq!((untagged.color, untagged.decoder), (None, None));
        let matrix_alone =
            read("Stream #0:0: Video: vp9, yuv420p(tv, bt470bg/unknown/unknown), 8x8");
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

    #[test]
    fn vp8_and_vp9_with_alpha_ask_for_the_decoder_that_keeps_it() {
        for (codec, decoder) in [("vp9 (Profile 0)", "libvpx-vp9"), ("vp8", "libvpx")] {
            let tags = MovieTags::read(&format!(
                "  Stream #0:0: Video: {codec}, yuv420p(tv), 96x96\n    Metadata:\n      ALPHA_MODE \
                 : 1\n"
            ));
            assert_eq!((tags.decoder, tags.has_alpha), (Some(decoder), Some(true)));
        }
    }
}
