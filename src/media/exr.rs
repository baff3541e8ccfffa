//! OpenEXR, both ways.
//!
//! Written: half float, ZIP in blocks of 16 lines, R G B A, linear Rec.709, premultiplied, with the
//! recipe in the header. Read (`file`): channels of a layer, whatever their number format, over the
//! whole display window; which layer, and which of its channels are what, `layers` knows.

mod file;
mod layers;

use std::io::Cursor;

use anyhow::Context;
use exr::meta::attribute::{AttributeValue, Chromaticities};
use exr::prelude::{
    AnyChannel, AnyChannels, Blocks, Compression, Encoding, FlatSamples, Image, Layer,
    LayerAttributes, LineOrder, Text, Vec2, WritableImage,
};
use half::f16;
use wan_alpha_take::color::linear_premultiplied;
use wan_alpha_take::frame::Frame;

use super::error::{self, MediaError};
use super::provenance::Provenance;
pub(super) use file::ExrFile;
pub(super) use layers::ExrChannel;

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
