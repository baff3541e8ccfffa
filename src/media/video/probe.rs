//! What ffmpeg says of a video before it is decoded: its decoder, its pixels and its color.
//!
//! Its words for people are read, since ffprobe is not everywhere where ffmpeg is. What is not in
//! them is not known. Of a file they are full of what its author wrote: names of tags, languages and programs,
//! line breaks included. So what counts is what ffmpeg says of an output to nowhere that the movie is copied to,
//! without any such text.

mod color_names;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::complaint::unstarted;
use super::embedded_profile;
use super::private_name::PrivateName;
use crate::media::color_space::ColorSpace;
use crate::media::color_tag::ColorTag;
use crate::media::embedded::matroska_alpha_mode;
use crate::media::guarded::guarded;
use crate::media::icc;
use crate::media::reading::Association;
use crate::media::remarks::{about_orientation, about_pixel_aspect};
use color_names::{color, names_matrix};

/// What is known of the first movie of a file, pictures of a cover left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::media) struct MovieTags {
    /// As ffmpeg calls it; empty where it is not known.
    codec: String,
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
        let mut found = Self::read(&ask(path)?);
        if found.keeps_alpha_apart() && matroska_alpha_mode(path) {
            found.take_alpha_layer();
        }
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

    /// Whether its codec keeps alpha as a second picture, of which its container tells.
    fn keeps_alpha_apart(&self) -> bool {
        ["vp8", "vp9"].contains(&self.codec.as_str())
    }

    /// Chooses the decoder that keeps such a picture.
    fn take_alpha_layer(&mut self) {
        self.decoder = Some(if self.codec == "vp8" { "libvpx" } else { "libvpx-vp9" });
        self.has_alpha = Some(true);
    }

    fn read(text: &str) -> Self {
        let output = of_output(text);
        let mut lines = output.lines().skip_while(|line| !is_movie(line));
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
        let known = !pixel_format.is_empty();
        let association = details.iter().find_map(|detail| match *detail {
            "premultiplied" | "premultiplied alpha" | "alpha:premultiplied" => {
                Some(Association::Premultiplied)
            }
            _ => None,
        });
        let remarks = [other_movies(output), aspect(stream), turned(&own), interlaced(&details)];
        let mut found = Self {
            codec: codec.to_owned(),
            decoder: None,
            pixel_format: pixel_format.to_owned(),
            has_alpha: known.then(|| has_alpha(pixel_format)),
            association,
            color: details.iter().find_map(|detail| color(detail)),
            may_have_alpha_layer: codec == "hevc",
            names_no_matrix: is_yuv(pixel_format)
                && !OF_BT_601.contains(&codec)
                && !details.iter().any(|detail| names_matrix(detail)),
            claimed_frames: claimed_frames(text, &fields),
            lacks_movie: None,
            remarks: remarks.into_iter().flatten().collect(),
        };
        // The container's own word, or that of a tag, which may claim more than there is, and never less.
        let input: Vec<&str> = text.lines().collect();
        if found.keeps_alpha_apart() && own_value(&input, "alpha_mode") == Some("1") {
            found.take_alpha_layer();
        }
        found
    }
}

/// What ffmpeg says of a file, and of an output that its movies are copied to without any text.
fn ask(path: &Path) -> Result<String> {
    let name = PrivateName::of(path)?;
    let mut said = String::new();
    // Of all movies; of the first alone where another one is of no kind that can be copied.
    for movies in ["0:V?", "0:V:0"] {
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-nostats", "-i"])
            .arg(name.address())
            .args(["-map", movies, "-map_metadata", "-1", "-map_chapters", "-1", "-c", "copy"])
            .args(["-t", "0", "-f", "null", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .map_err(|error| unstarted(path, &error))?;
        said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !of_output(&said).is_empty() {
            break;
        }
    }
    Ok(said)
}

/// What is said of the output, the last part: of what comes before, the author of the file may have written
/// any line.
fn of_output(text: &str) -> &str {
    const BEGINNING: &str = "Output #0, null, to ";
    let behind_a_line = text.rfind(&format!("\n{BEGINNING}")).map(|place| place + 1);
    let place = behind_a_line.or_else(|| text.starts_with(BEGINNING).then_some(0));
    place.map_or("", |place| &text[place..])
}

/// What ffmpeg says in parentheses behind the pixels of a file's movie: range, color, fields.
pub(in crate::media) fn stream_details(path: &Path) -> Result<Vec<String>> {
    let text = ask(path)?;
    let stream = of_output(&text).lines().find(|line| is_movie(line));
    let stream = stream.and_then(|line| line.split_once("Video: "));
    let fields = stream.map(|(_, stream)| fields(stream)).unwrap_or_default();
    let details = fields.get(1).and_then(|field| field.trim_end_matches(')').split_once('('));
    let details = details.map(|(_, details)| details.split(", ").map(str::to_owned).collect());
    Ok(details.unwrap_or_default())
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
fn other_movies(output: &str) -> Option<String> {
    let movies: Vec<&str> = output.lines().filter(|line| is_movie(line)).collect();
    let [first, second, ..] = movies.as_slice() else { return None };
    let shape = |line: &str| {
        let stream = line.split_once("Video: ").map_or("", |(_, stream)| stream);
        let fields = fields(stream);
        let codec = stream.split([' ', ',']).next().unwrap_or_default();
        let size = fields.get(2).and_then(|size| size.split(' ').next()).unwrap_or_default();
        format!("{codec}, {size}")
    };
    Some(format!(
        "it holds {} movies: the first is read ({}), not the next ({}); `ffmpeg -i IN -map 0:V:1 -c copy OUT` \
         takes that one out",
        movies.len(),
        shape(first),
        shape(second)
    ))
}

/// Why a file has no movie; None of one that has, or that ffmpeg says nothing of.
fn without_movie(text: &str) -> Option<&'static str> {
    let has = |words: &str| text.lines().any(|line| is_stream(line) && line.contains(words));
    if text.lines().any(is_movie) {
        None
    } else if has("Video: ") {
        Some("of pictures it holds no more than a cover")
    } else if has("Audio: ") {
        Some("it holds sound, and no picture")
    } else {
        has(": ").then_some("it holds no picture")
    }
}

/// By the length of the stream or, where it is the only one, of the file: what the file says of itself, for
/// messages.
fn claimed_frames(text: &str, fields: &[&str]) -> Option<u64> {
    let rate = fields.iter().find_map(|field| field.strip_suffix(" fps"))?.parse::<f64>().ok()?;
    let input = &text[..text.len() - of_output(text).len()];
    let of_file = || {
        let is_only = input.lines().filter(|line| is_stream(line)).count() == 1;
        let line = input.lines().find_map(|line| line.trim_start().strip_prefix("Duration: "));
        line.filter(|_| is_only)?.split(',').next()
    };
    let behind_movie = input.lines().skip_while(|line| !is_movie(line)).skip(1);
    let own: Vec<&str> = behind_movie.take_while(|line| !is_stream(line)).collect();
    let length = own_value(&own, "duration").or_else(of_file)?;
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

/// Whether a line tells of a stream, not of where one is copied to.
fn is_stream(line: &str) -> bool {
    line.trim_start().starts_with("Stream #") && !line.contains(" -> #")
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

#[cfg(test)]
mod tests;
