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
use crate::media::remarks::{about_orientation, about_pixel_aspect};

/// What is known of the first movie of a file, pictures of a cover left out.
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
    may_have_alpha_layer: bool,
    /// Whether it is YUV, and neither it nor the standard of its codec says by which matrix.
    pub(in crate::media) names_no_matrix: bool,
    /// About how many frames its container claims, by its length and its rate; None where it does not say, or
    /// where what it says is of other streams as well.
    pub(super) claimed_frames: Option<u64>,
    /// Why there is nothing to read in it, where there are streams and none is a movie.
    pub(super) lacks_movie: Option<&'static str>,
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
        let embedded = embedded_profile::of(path)?;
        if let Some(profile) = embedded.icc {
            found.color = guarded(|| Ok(icc::tag_of(&profile)))?;
        }
        found.remarks.extend(embedded.exif.as_deref().and_then(about_orientation));
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

    /// Whether its frames may turn out to have alpha: that of HEVC is not told before they are decoded.
    pub(in crate::media) fn can_have_alpha(&self) -> bool {
        self.has_alpha != Some(false) || self.may_have_alpha_layer
    }

    /// What is to be said where it seems to have no alpha; mostly nothing. Of a layer with alpha older versions
    /// of ffmpeg say nothing, and decode it as opaque (`findings/ffmpeg-hevc-alpha.sh`).
    pub(in crate::media) const fn about_alpha_layer(&self) -> &'static str {
        if self.may_have_alpha_layer {
            " (the alpha of HEVC is decoded by ffmpeg 8.0 and later alone)"
        } else {
            ""
        }
    }

    fn read(text: &str) -> Self {
        let mut lines = text.lines().skip_while(|line| !is_movie(line));
        let Some((_, stream)) = lines.next().and_then(|line| line.split_once("Video: ")) else {
            return Self { lacks_movie: without_movie(text), ..Self::default() };
        };
        let fields = fields(stream);
        let codec = stream.split([' ', ',']).next().unwrap_or_default();
        let (pixel_format, details) = fields.get(1).map_or(("", ""), |field| {
            field.trim_end_matches(')').split_once('(').unwrap_or((field, ""))
        });
        let details: Vec<&str> = details.split(", ").collect();
        // Of this stream alone: what is said of the next one begins with its line.
        let own: Vec<&str> = lines.take_while(|line| !is_stream(line)).collect();
        let has_alpha_layer = own_value(&own, "alpha_mode") == Some("1");
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
        let remarks = [other_movies(text), aspect(stream), turned(&own), interlaced(&details)];
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
            claimed_frames: claimed_frames(text, &own, &fields),
            lacks_movie: None,
            remarks: remarks.into_iter().flatten().collect(),
        }
    }
}

/// What ffmpeg says in parentheses behind the pixels of the first video stream: range, color, fields.
pub(in crate::media) fn stream_details(text: &str) -> Vec<String> {
    let stream =
        text.lines().find(|line| is_movie(line)).and_then(|line| line.split_once("Video: "));
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

/// Whether a display is to turn or to mirror the pictures, as phones say of what they record.
fn turned(own: &[&str]) -> Option<String> {
    let matrix =
        ["displaymatrix", "Display Matrix"].iter().find_map(|name| own_value(own, name))?;
    Some(format!(
        "it is to be turned or mirrored when it is shown (display matrix, {matrix}), which is not done: its \
         pixels are taken as they lie; `ffmpeg -i IN OUT` writes it as it is shown"
    ))
}

/// Movies besides the first, which are not read.
fn other_movies(text: &str) -> Option<String> {
    let movies: Vec<&str> = text.lines().filter(|line| is_movie(line)).collect();
    let [first, second, ..] = movies.as_slice() else { return None };
    let number = |line: &str| {
        let rest = line.split_once("#0:").map_or("", |(_, rest)| rest);
        rest.chars().take_while(char::is_ascii_digit).collect::<String>()
    };
    let shape = |line: &str| {
        let stream = line.split_once("Video: ").map_or("", |(_, stream)| stream);
        let fields = fields(stream);
        let codec = stream.split([' ', ',']).next().unwrap_or_default();
        let size = fields.get(2).and_then(|size| size.split(' ').next()).unwrap_or_default();
        format!("stream {}, {codec}, {size}", number(line))
    };
    Some(format!(
        "it holds {} movies: the first is read ({}), not the next ({}); `ffmpeg -i IN -map 0:{} -c copy OUT` \
         takes that one out",
        movies.len(),
        shape(first),
        shape(second),
        number(second)
    ))
}

/// Why a file has no movie; None of one that ffmpeg says nothing of.
fn without_movie(text: &str) -> Option<&'static str> {
    let has = |words: &str| text.lines().any(|line| is_stream(line) && line.contains(words));
    if has("Video: ") {
        Some("of pictures it holds no more than a cover")
    } else if has("Audio: ") {
        Some("it holds sound, and no picture")
    } else {
        has(": ").then_some("it holds no picture")
    }
}

/// By the length of the stream or, where it is the only one, of the file.
fn claimed_frames(text: &str, own: &[&str], fields: &[&str]) -> Option<u64> {
    let rate = fields.iter().find_map(|field| field.strip_suffix(" fps"))?.parse::<f64>().ok()?;
    let of_file = || {
        let is_only = text.lines().filter(|line| is_stream(line)).count() == 1;
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix("Duration: "));
        line.filter(|_| is_only)?.split(',').next()
    };
    let length = own_value(own, "duration").or_else(of_file)?;
    let seconds = length
        .split(':')
        .try_fold(0.0, |sum, part| part.trim().parse::<f64>().ok().map(|part| sum * 60.0 + part))?;
    let frames = (seconds * rate).round();
    (1.0..1e9).contains(&frames).then_some(frames as u64)
}

/// What is said of a stream under a name.
fn own_value<'a>(own: &[&'a str], wanted: &str) -> Option<&'a str> {
    own.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case(wanted).then_some(value.trim())
    })
}

fn is_stream(line: &str) -> bool {
    line.trim_start().starts_with("Stream #")
}

/// Whether a line is that of a movie, as ffmpeg's `-map 0:V` chooses.
fn is_movie(line: &str) -> bool {
    const PICTURES: [&str; 3] = ["(attached pic)", "(still image)", "(timed thumbnails)"];
    is_stream(line)
        && line.contains("Video: ")
        && !PICTURES.iter().any(|picture| line.contains(picture))
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
mod tests;
