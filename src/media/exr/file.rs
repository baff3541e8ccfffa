//! An EXR file: what its headers say, and channels over the whole display window.
//!
//! Blocks are decompressed one after the other and only of the parts that are asked for, straight
//! into the picture: several files are read at a time, not several blocks of one.

use std::collections::HashSet;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use exr::block::reader::ChunksReader;
use exr::meta::attribute::{AttributeValue, Chromaticities, SampleType};
use exr::meta::header::Header;
use exr::prelude::{Compression, MetaData, Text, Vec2};
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::layers::{ColorChannels, ExrChannel, ExrLayers, MaskChannels};
use crate::media::color_space::TransferCurve;
use crate::media::color_tag::ColorTag;
use crate::media::file_kind::not_what_it_is_called;
use crate::media::frame::check_size;
use crate::media::guarded::guarded;
use crate::media::remarks::about_pixel_aspect;

/// The bytes that every EXR file begins with.
const SIGNATURE: &[u8] = &[0x76, 0x2f, 0x31, 0x01];

/// An opened file.
pub(in crate::media) struct ExrFile {
    bytes: Vec<u8>,
    meta: MetaData,
    layers: ExrLayers,
}

impl ExrFile {
    /// Reads the headers of a file, after a look at the sizes that it claims.
    pub(in crate::media) fn open(file: &Path) -> Result<Self> {
        let bytes = fs::read(file)?;
        ensure!(bytes.starts_with(SIGNATURE), "{}", not_what_it_is_called(&bytes, "exr"));
        let meta = guarded(|| {
            MetaData::read_from_buffered(bytes.as_slice(), false)
                .map_err(|error| explain(error, &bytes))
        })?;
        for header in &meta.headers {
            check_header(header, bytes.len())?;
        }
        let layers = ExrLayers::of(&meta.headers);
        Ok(Self { bytes, meta, layers })
    }

    /// The channels of the picture, or of a named layer's.
    pub(in crate::media) fn color(&self, layer: Option<&str>) -> Result<ColorChannels> {
        self.layers.color(layer)
    }

    /// The channels of a mask, or of a named layer's.
    pub(in crate::media) fn mask(&self, layer: Option<&str>) -> Result<MaskChannels> {
        self.layers.mask(layer)
    }

    /// What channels and layers there are, for messages.
    pub(in crate::media) fn in_words(&self) -> String {
        self.layers.in_words()
    }

    /// Width and height of the display window of a part, in pixels.
    pub(in crate::media) fn size(&self, part: usize) -> (usize, usize) {
        let size = |header: &Header| {
            let window = header.shared_attributes.display_window.size;
            (window.width(), window.height())
        };
        self.meta.headers.get(part).map_or((0, 0), size)
    }

    /// Whether a channel is of whole numbers (UINT), in which programs write ids, and some 0 to 255.
    pub(in crate::media) fn is_whole_numbers(&self, channel: &ExrChannel) -> bool {
        let header = self.meta.headers.get(channel.part);
        let found = header.and_then(|header| header.channels.list.get(channel.index));
        found.is_some_and(|found| found.sample_type == SampleType::U32)
    }

    /// What is to be said of a part's pixels: their shape, and where they are on the display.
    pub(in crate::media) fn remarks(&self, part: usize) -> Vec<String> {
        let Some(header) = self.meta.headers.get(part) else {
            return Vec::new();
        };
        let aspect = f64::from(header.shared_attributes.pixel_aspect);
        let aspect = about_pixel_aspect(aspect, "pixelAspectRatio");
        aspect.into_iter().chain(about_windows(header)).collect()
    }

    /// What a part says of its color: the Color Interop Forum's name, the flag of ACES containers, or
    /// chromaticities, in this order. None where it says nothing. The first may be left from before a
    /// conversion (`findings/oiio-color-interop-id.sh`), so that what disagrees with it is told.
    pub(in crate::media) fn color_tag(&self, part: usize) -> Option<ColorTag> {
        let header = self.meta.headers.get(part)?;
        let attribute = |name: &str| {
            let name = Text::from_slice_unchecked(name.as_bytes());
            let own = header.own_attributes.other.get(&name);
            own.or_else(|| header.shared_attributes.other.get(&name))
        };
        let interop = match attribute("colorInteropID") {
            Some(AttributeValue::Text(id)) => ColorTag::of_interop_id(&id.to_string()),
            _ => None,
        };
        let aces = match attribute("acesImageContainerFlag") {
            Some(AttributeValue::I32(flag)) if *flag != 0 => {
                let space = "aces2065-1".parse().ok();
                Some(ColorTag::known("acesImageContainerFlag", space))
            }
            _ => None,
        };
        let own = header.shared_attributes.chromaticities.map(of_chromaticities);
        ColorTag::first_known([interop, aces, own].into_iter().flatten().collect())
    }

    /// Channels side by side for each pixel of the display window, row by row from the top. Outside of
    /// the data all of them are 0; one that is not there is 1 everywhere.
    pub(in crate::media) fn pixels(&self, wanted: &[Option<&ExrChannel>]) -> Result<Vec<f32>> {
        let Some(first) = wanted.iter().flatten().next() else {
            bail!("it has no channel to read");
        };
        let (width, height) = self.size(first.part);
        let mut parts: Vec<usize> = wanted.iter().flatten().map(|channel| channel.part).collect();
        parts.sort_unstable();
        parts.dedup();
        let blank: Vec<f32> =
            wanted.iter().map(|channel| if channel.is_some() { 0.0 } else { 1.0 }).collect();
        let mut canvas = DisplayWindow { width, height, stride: wanted.len(), values: Vec::new() };
        canvas.values = blank.repeat(width * height);
        for part in parts {
            ensure!(
                self.size(part) == (width, height),
                "its parts are of different sizes: choose one with --layer"
            );
        }
        guarded(|| self.each_block(wanted, &mut canvas))?;
        Ok(canvas.values)
    }

    fn each_block(&self, wanted: &[Option<&ExrChannel>], canvas: &mut DisplayWindow) -> Result<()> {
        let is_wanted = |part: usize| wanted.iter().flatten().any(|channel| channel.part == part);
        let explain = |error| explain(error, &self.bytes);
        let reader =
            exr::block::read(Cursor::new(self.bytes.as_slice()), false).map_err(explain)?;
        let mut blocks = reader
            .filter_chunks(false, |_, _, block| block.level == Vec2(0, 0) && is_wanted(block.layer))
            .map_err(explain)?
            .sequential_decompressor(false);
        let mut seen = HashSet::new();
        let mut pixels = 0;
        let (mut halves, mut floats) = (Vec::new(), Vec::new());
        while let Some(block) = blocks.decompress_next_block() {
            let block = block.map_err(explain)?;
            let index = block.index;
            let Some(header) = self.meta.headers.get(index.layer) else {
                continue;
            };
            let place = index.pixel_position;
            if seen.insert((index.layer, place.x(), place.y())) {
                pixels += index.pixel_size.area();
            }
            let offset = offset(header);
            for line in block.lines(&header.channels) {
                let at = line.location;
                let channels = wanted.iter().enumerate().filter(|(_, channel)| {
                    channel.is_some_and(|it| it.part == at.layer && it.index == at.channel)
                });
                for (slot, _) in channels {
                    let kind = header.channels.list.get(at.channel).map(|one| one.sample_type);
                    let kind = kind.unwrap_or(SampleType::F32);
                    to_floats(line.value, kind, &mut halves, &mut floats);
                    let from =
                        (at.position.x() as i64 + offset.0, at.position.y() as i64 + offset.1);
                    canvas.put(slot, from, &floats);
                }
            }
        }
        let headers = self.meta.headers.iter().enumerate().filter(|(part, _)| is_wanted(*part));
        let expected: usize = headers.map(|(_, header)| header.layer_size.area()).sum();
        ensure!(pixels == expected, "a part of its picture is missing: it is damaged or cut off");
        Ok(())
    }
}

/// The display window of a picture being read.
struct DisplayWindow {
    width: usize,
    height: usize,
    /// Channels of a pixel.
    stride: usize,
    values: Vec<f32>,
}

impl DisplayWindow {
    /// Puts a line of a channel where it is on the display, as far as it is. Compositors store only
    /// the part of a picture that holds something, and may store more than is displayed.
    fn put(&mut self, slot: usize, (left, top): (i64, i64), line: &[f32]) {
        let Some(row) = usize::try_from(top).ok().filter(|row| *row < self.height) else {
            return;
        };
        let skipped = usize::try_from(-left).unwrap_or(0).min(line.len());
        let start = usize::try_from(left).unwrap_or(0);
        if start >= self.width {
            return;
        }
        let first = (row * self.width + start) * self.stride;
        let end = (row + 1) * self.width * self.stride;
        let pixels = self.values[first..end].chunks_exact_mut(self.stride);
        for (pixel, value) in pixels.zip(&line[skipped..]) {
            pixel[slot] = *value;
        }
    }
}

/// A data window beside the display window: nothing of what is stored is seen.
fn about_windows(header: &Header) -> Option<String> {
    let window = header.shared_attributes.display_window;
    let (left, top) = offset(header);
    let seen =
        |start: i64, stored: usize, shown: usize| start < shown as i64 && start + stored as i64 > 0;
    let [stored, shown] = [header.layer_size, window.size];
    let both =
        seen(left, stored.width(), shown.width()) && seen(top, stored.height(), shown.height());
    (!both).then(|| {
        format!(
            "all that it holds lies outside of its display window ({} × {} at {left}, {top} of {} × {}): \
             the picture is empty",
            stored.width(),
            stored.height(),
            shown.width(),
            shown.height()
        )
    })
}

/// Where the data window begins within the display window.
fn offset(header: &Header) -> (i64, i64) {
    let (data, window) =
        (header.own_attributes.layer_position, header.shared_attributes.display_window.position);
    let distance = |data: i32, window: i32| i64::from(data) - i64::from(window);
    (distance(data.x(), window.x()), distance(data.y(), window.y()))
}

/// `halves` is memory to work in.
fn to_floats(bytes: &[u8], kind: SampleType, halves: &mut Vec<f16>, floats: &mut Vec<f32>) {
    floats.clear();
    match kind {
        SampleType::F16 => {
            halves.clear();
            let pairs = bytes.as_chunks::<2>().0.iter();
            halves.extend(pairs.map(|bytes| f16::from_ne_bytes(*bytes)));
            floats.resize(halves.len(), 0.0);
            halves.convert_to_f32_slice(floats);
        }
        SampleType::F32 => {
            floats.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)));
        }
        SampleType::U32 => {
            let whole = |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes) as f32;
            floats.extend(bytes.as_chunks::<4>().0.iter().map(whole));
        }
    }
}

fn of_chromaticities(found: Chromaticities) -> ColorTag {
    let points = [found.red, found.green, found.blue, found.white];
    let points = points.map(|point| [f64::from(point.x()), f64::from(point.y())]);
    let words = points.iter().map(|[x, y]| format!("{x:.4} {y:.4}")).collect::<Vec<_>>().join(", ");
    ColorTag::of_chromaticities(&format!("chromaticities {words}"), points, TransferCurve::Linear)
}

/// The most pixels of a display window of which hardly anything is stored: an 8K picture has less.
const LARGEST_EMPTY: usize = 40_000_000;
/// So many bytes may come of one, by what its compression can do.
const MOST_PER_BYTE: usize = 1032;
/// DWA keeps a block of 64 values of one kind in one code word.
const MOST_PER_BYTE_DWA: usize = 64 * MOST_PER_BYTE;

fn check_header(header: &Header, file_size: usize) -> Result<()> {
    let window = header.shared_attributes.display_window.size;
    for size in [header.layer_size, window] {
        check_size(size.width(), size.height())?;
    }
    if let Some(name) = unread_compression(header.compression) {
        bail!("{}", refused_compression(name));
    }
    let channels = header.channels.list.iter().filter(|channel| channel.sampling != Vec2(1, 1));
    let names: Vec<_> = channels.map(|channel| channel.name.to_string()).collect();
    ensure!(names.is_empty(), "{}", refused_sampling(&names));
    let most = match header.compression {
        Compression::DWAA(_) | Compression::DWAB(_) => MOST_PER_BYTE_DWA,
        _ => MOST_PER_BYTE,
    };
    let stored = header.layer_size.area().saturating_mul(header.channels.bytes_per_pixel);
    ensure!(
        stored / most <= file_size,
        "it claims {} × {} pixels, more than its {file_size} bytes can hold: it is damaged",
        header.layer_size.width(),
        header.layer_size.height()
    );
    ensure!(
        window.area() <= LARGEST_EMPTY || window.area() / 4 <= header.layer_size.area(),
        "it claims to be {} × {}, but holds {} × {} of it: crop it",
        window.width(),
        window.height(),
        header.layer_size.width(),
        header.layer_size.height()
    );
    Ok(())
}

fn unread_compression(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::HTJ2K256 => Some("HTJ2K256"),
        Compression::HTJ2K32 => Some("HTJ2K32"),
        _ => None,
    }
}

fn refused_compression(name: &str) -> String {
    format!(
        "its compression is {name}, which is newer than what is read here (none, RLE, ZIPS, ZIP, \
         PIZ, PXR24, B44, B44A, DWAA, DWAB): write it with ZIP or PIZ"
    )
}

/// The reader's words, or better ones for what people meet.
fn explain(error: exr::error::Error, bytes: &[u8]) -> anyhow::Error {
    let text = error.to_string();
    if text.contains("compression method") || text.contains("compression attribute") {
        let name = match compression_byte(bytes) {
            Some(12) => "LJ2K".to_owned(),
            Some(13) => "ZSTD".to_owned(),
            Some(other) => format!("of number {other}"),
            None => {
                return anyhow!(
                    "its compression cannot be read: write it with ZIP or PIZ (reason: {text})"
                );
            }
        };
        return anyhow!(refused_compression(&name));
    }
    if text.contains("sampling") {
        return anyhow!(refused_sampling(&subsampled(bytes)));
    }
    if text.contains("missing bytes") {
        return anyhow!(
            "it is cut off: its {} bytes are not all of it; copy or render it again",
            bytes.len()
        );
    }
    anyhow!(
        "it is damaged, or no whole EXR file: copy or render it again (reason: {})",
        text.lines().next().unwrap_or_default()
    )
}

fn refused_sampling(names: &[String]) -> String {
    format!(
        "its channels {} are subsampled, as luminance and chroma are: write R, G, B and A in full, for \
         example with OpenEXR's `exr2aces IN.exr OUT.exr`",
        names.join(", ")
    )
}

/// The names of channels that do not have a value for each pixel.
fn subsampled(bytes: &[u8]) -> Vec<String> {
    const ATTRIBUTE: &[u8] = b"channels\0chlist\0";
    /// Kind, flags, and steps across and down, each a number of four bytes.
    const ENTRY: usize = 16;
    let place = bytes.windows(ATTRIBUTE.len()).position(|at| at == ATTRIBUTE);
    let mut rest =
        place.and_then(|place| bytes.get(place + ATTRIBUTE.len() + 4..)).unwrap_or_default();
    let mut names = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0).filter(|end| *end > 0) {
        let Some(entry) = rest.get(end + 1..end + 1 + ENTRY) else {
            break;
        };
        if entry[8..] != [1, 0, 0, 0, 1, 0, 0, 0] {
            names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        }
        rest = &rest[end + 1 + ENTRY..];
    }
    names
}

/// The number of the first compression that the headers name.
fn compression_byte(bytes: &[u8]) -> Option<u8> {
    // Name, kind, and a size of 1, as the format has every attribute.
    const ATTRIBUTE: &[u8] = b"compression\0compression\0\x01\0\0\0";
    let mut numbers = bytes.windows(ATTRIBUTE.len() + 1).filter(|at| at.starts_with(ATTRIBUTE));
    let newest = |at: &[u8]| at.last().copied().filter(|number| *number > 11);
    numbers.find_map(newest)
}
