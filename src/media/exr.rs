//! OpenEXR, both ways.
//!
//! Written: half float, ZIP in blocks of 16 lines, R G B A, linear Rec.709, premultiplied, with the
//! recipe in the header. Read: the channels of the first layer, whatever their number format and names,
//! over the whole display window.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use exr::meta::attribute::{AttributeValue, Chromaticities};
use exr::prelude::{
    AnyChannel, AnyChannels, Blocks, Compression, Encoding, FlatSamples, Image, Layer,
    LayerAttributes, LineOrder, MetaData, ReadChannels, ReadLayers, Text, Vec2, WritableImage,
};
use half::f16;
use wan_alpha_take::color::linear_premultiplied;
use wan_alpha_take::frame::Frame;

use super::error::{self, MediaError};
use super::frame::check_size;
use super::provenance::Provenance;

/// The one attribute of our own; at most 31 characters, or old readers refuse the file. There is
/// only one because the exr crate writes such attributes in the order of a randomly seeded hash
/// map, and equal takes must give equal files.
pub(crate) const RECIPE: &str = "wanAlphaRecipe";

const REC_709: Chromaticities = Chromaticities {
    red: Vec2(0.64, 0.33),
    green: Vec2(0.30, 0.60),
    blue: Vec2(0.15, 0.06),
    white: Vec2(0.3127, 0.3290),
};

/// The bytes of a frame's file. They depend on nothing but the arguments.
pub(crate) fn encode(frame: &Frame<'_>, provenance: &Provenance) -> error::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // In this thread: a pool of them per frame gains little beside a PNG encoder at work.
    image(frame, provenance)
        .write()
        .non_parallel()
        .to_buffered(Cursor::new(&mut bytes))
        .with_context(|| format!("frame {} cannot be made into an EXR file", frame.index))
        .map_err(MediaError::Unencodable)?;
    Ok(bytes)
}

fn image(frame: &Frame<'_>, provenance: &Provenance) -> Image<Layer<AnyChannels<FlatSamples>>> {
    let mut planes = [(); 4].map(|()| Vec::with_capacity(frame.width * frame.height));
    for pixel in frame.pixels() {
        for (plane, value) in planes.iter_mut().zip(linear_premultiplied(*pixel)) {
            plane.push(f16::from_f32(value));
        }
    }
    let channels = ["R", "G", "B", "A"]
        .into_iter()
        .zip(planes)
        .map(|(name, plane)| AnyChannel::new(name, FlatSamples::F16(plane)))
        .collect();

    let encoding = Encoding {
        compression: Compression::ZIP16,
        blocks: Blocks::ScanLines,
        line_order: LineOrder::Increasing,
    };
    let size = (frame.width, frame.height);
    let layer = Layer::new(size, header(provenance), encoding, AnyChannels::sort(channels));
    let mut image = Image::from_layer(layer);
    image.attributes.pixel_aspect = 1.0;
    image.attributes.chromaticities = Some(REC_709);
    image
}

fn header(provenance: &Provenance) -> LayerAttributes {
    let mut header = LayerAttributes {
        software_name: Some(text(&provenance.software)),
        comments: Some(text(&provenance.description)),
        frames_per_second: Some((provenance.frame_rate, 1)),
        ..LayerAttributes::default()
    };
    let recipe = AttributeValue::Text(text(&provenance.recipe));
    header.other.insert(text(RECIPE), recipe);
    header
}

/// EXR strings are bytes, and what shows them takes them for UTF-8. (The crate's own conversion
/// from `&str` panics on a Chinese prompt.)
fn text(text: &str) -> Text {
    Text::from_slice_unchecked(text.as_bytes())
}

/// The first layer of an EXR file that is read.
pub(super) struct ExrLayer {
    channels: AnyChannels<FlatSamples>,
    place: DataWindow,
}

impl ExrLayer {
    /// Reads a file, after a look at the sizes that it claims.
    pub(super) fn open(file: &Path) -> Result<Self> {
        for header in &MetaData::read_from_file(file, false)?.headers {
            for size in [header.layer_size, header.shared_attributes.display_window.size] {
                check_size(size.width(), size.height())?;
            }
        }
        let image = exr::prelude::read()
            .no_deep_data()
            .largest_resolution_level()
            .all_channels()
            .first_valid_layer()
            .all_attributes()
            .non_parallel()
            .from_file(file)?;
        let window = image.attributes.display_window;
        let layer = image.layer_data;
        let (data, display) = (layer.attributes.layer_position, window.position);
        let offset = |data, display| i64::from(data) - i64::from(display);
        let place = DataWindow {
            data: layer.size,
            display: window.size,
            offset: (offset(data.x(), display.x()), offset(data.y(), display.y())),
        };
        Ok(Self { channels: layer.channel_data, place })
    }

    /// Width and height of the display window, in pixels.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.place.display.width(), self.place.display.height())
    }

    /// A channel over the whole display window, if there is one of this name.
    pub(super) fn plane(&self, name: &str) -> Result<Option<Vec<f32>>> {
        self.channel(name).map(|channel| self.placed(channel)).transpose()
    }

    /// The only channel over the whole display window, whatever its name; None if there are several.
    pub(super) fn only_plane(&self) -> Result<Option<Vec<f32>>> {
        match self.channels.list.as_slice() {
            [only] => self.placed(only).map(Some),
            _ => Ok(None),
        }
    }

    /// What its channels are called, in the order of the file.
    pub(super) fn names(&self) -> Vec<String> {
        self.channels.list.iter().map(|channel| channel.name.to_string()).collect()
    }

    /// Whether it has a channel of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.channel(name).is_some()
    }

    fn channel(&self, name: &str) -> Option<&AnyChannel<FlatSamples>> {
        self.channels.list.iter().find(|channel| channel.name.eq(name))
    }

    fn placed(&self, channel: &AnyChannel<FlatSamples>) -> Result<Vec<f32>> {
        self.place.onto_display(&channel.sample_data.values_as_f32().collect::<Vec<_>>())
    }
}

/// Compositors store only the part of a picture that holds something, the data window; the frame
/// is the display window, and what is outside the data is black.
struct DataWindow {
    data: Vec2<usize>,
    display: Vec2<usize>,
    /// Of the data window within the display window.
    offset: (i64, i64),
}

impl DataWindow {
    fn onto_display(&self, plane: &[f32]) -> Result<Vec<f32>> {
        ensure!(plane.len() == self.data.area(), "its channels are subsampled: write full ones");
        let mut frame = vec![0.0; self.display.area()];
        // Where a row or column of the display lies in the data, if it does.
        let within = |at: usize, offset: i64, length: usize| {
            usize::try_from(at as i64 - offset).ok().filter(|at| *at < length)
        };
        for (y, row) in frame.chunks_exact_mut(self.display.width().max(1)).enumerate() {
            let Some(data_y) = within(y, self.offset.1, self.data.height()) else {
                continue;
            };
            for (x, value) in row.iter_mut().enumerate() {
                if let Some(data_x) = within(x, self.offset.0, self.data.width()) {
                    *value = plane[data_y * self.data.width() + data_x];
                }
            }
        }
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{gradient, provenance};
    use exr::prelude::{MetaData, read_first_flat_layer_from_file};

    fn written(width: usize, height: usize) -> (Vec<f32>, Vec<u8>) {
        let rgba = gradient(width, height, 3);
        let bytes = encode(&Frame { index: 0, width, height, rgba: &rgba }, &provenance()).unwrap();
        (rgba, bytes)
    }

    #[test]
    fn reads_back_as_linear_premultiplied_halves() {
        let (rgba, bytes) = written(37, 21);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frame.exr");
        std::fs::write(&path, bytes).unwrap();

        let image = read_first_flat_layer_from_file(&path).unwrap();
        let list = &image.layer_data.channel_data.list;
        let names: Vec<_> = list.iter().map(|channel| channel.name.to_string()).collect();
        assert_eq!(names, ["A", "B", "G", "R"]);
        for (channel, component) in list.iter().zip([3, 2, 1, 0]) {
            let FlatSamples::F16(values) = &channel.sample_data else { panic!("not half floats") };
            for (value, pixel) in values.iter().zip(rgba.as_chunks::<4>().0) {
                // The formula again, in double precision and without the code under test.
                let linear = |v: f64| {
                    if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
                };
                let alpha = f64::from(pixel[3]);
                let exact = match component {
                    3 => alpha,
                    c => linear(f64::from(pixel[c])) * alpha,
                };
                // Half a step of a half float, and a little for float32 on the way.
                let error = (f64::from(value.to_f32()) - exact).abs();
                assert!(error <= exact * (0.5 / 1024.0 + 1e-6) + 3e-8, "{value} for {exact}");
            }
        }
    }

    #[test]
    fn header_says_how_to_read_the_picture_and_how_it_was_made() {
        let (_, bytes) = written(16, 40);
        let meta = MetaData::read_from_buffered(bytes.as_slice(), true).unwrap();
        let header = &meta.headers[0];
        assert_eq!(header.compression, Compression::ZIP16);
        assert_eq!(header.chunk_count, 3, "40 lines in blocks of 16");
        assert_eq!(header.shared_attributes.pixel_aspect, 1.0);
        assert_eq!(header.shared_attributes.chromaticities, Some(REC_709));
        let own = &header.own_attributes;
        assert_eq!(own.frames_per_second, Some((16, 1)));
        assert_eq!(own.software_name.as_ref().unwrap().bytes(), b"wan-alpha 0.1.0");
        assert_eq!(own.comments.as_ref().unwrap().bytes(), "玻璃球 – a glass ball".as_bytes());
        let recipe = own.other[&text(RECIPE)].to_text().unwrap().bytes();
        assert_eq!(recipe, provenance().recipe.as_bytes());
    }

    #[test]
    fn equal_frames_give_equal_bytes() {
        let (_, first) = written(64, 64);
        for _ in 0..5 {
            assert_eq!(written(64, 64).1, first);
        }
    }
}
