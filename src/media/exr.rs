//! OpenEXR, both ways.
//!
//! Written: R, G, B and A in the unnamed layer, which hosts read; by default half float, ZIP, linear
//! Rec.709 and premultiplied (`settings`), with rate, time code, color, recipe and origin in the header
//! (`attributes`). Read (`file`): channels of a layer, whatever their number format, over the whole
//! display window; which layer, and which of its channels are what, `layers` knows.

mod attributes;
mod file;
mod layers;
mod settings;
mod time_code;

use std::io::Cursor;

use anyhow::{Context, Result};
use exr::prelude::{
    AnyChannel, AnyChannels, Blocks, Encoding, FlatSamples, Image, Layer, LayerAttributes,
    LineOrder, Text, WritableImage,
};
use half::f16;
use wan_alpha_take::frame::Frame;

use super::error::{self, MediaError};
use super::provenance::Provenance;
pub(super) use file::ExrFile;
pub(super) use layers::ExrChannel;
pub(crate) use settings::{ExrAlpha, ExrColor, ExrCompression, ExrSamples, ExrSettings};

/// The attribute of the recipe.
pub(crate) const RECIPE: &str = "wanAlphaRecipe";

/// What numbers that are no colors are called in the place of a color space.
const DATA: &str = "data";

/// The bytes of a frame's file. They depend on nothing but the arguments.
pub(crate) fn encode(
    frame: &Frame<'_>,
    settings: &ExrSettings,
    provenance: &Provenance,
) -> error::Result<Vec<u8>> {
    let samples = frame.pixels().iter().map(|pixel| settings.stored(*pixel));
    let mut planes = [(); 4].map(|()| Vec::with_capacity(frame.width * frame.height));
    for stored in samples {
        for (plane, value) in planes.iter_mut().zip(stored) {
            plane.push(value);
        }
    }
    let channels = ["R", "G", "B", "A"].into_iter().zip(planes).collect();
    let id = settings.color.interop_id();
    write(frame, channels, settings, (id, provenance)).map_err(MediaError::Unencodable)
}

/// The same of alpha alone: one channel, A.
pub(crate) fn encode_alpha(
    frame: &Frame<'_>,
    settings: &ExrSettings,
    provenance: &Provenance,
) -> error::Result<Vec<u8>> {
    let alpha = frame.pixels().iter().map(|[.., alpha]| alpha.clamp(0.0, 1.0)).collect();
    write(frame, vec![("A", alpha)], settings, (DATA, provenance)).map_err(MediaError::Unencodable)
}

fn write(
    frame: &Frame<'_>,
    planes: Vec<(&'static str, Vec<f32>)>,
    settings: &ExrSettings,
    (color, provenance): (&str, &Provenance),
) -> Result<Vec<u8>> {
    let made = || {
        let mut bytes = Vec::new();
        // In this thread: a pool of them per frame gains little beside a PNG encoder at work.
        image(frame, planes, settings, provenance)
            .write()
            .non_parallel()
            .to_buffered(Cursor::new(&mut bytes))?;
        let mut texts = vec![("colorInteropID", color)];
        let marks = provenance.exr_texts();
        texts.extend(marks.iter().map(|(name, value)| (*name, value.as_str())));
        if !provenance.recipe.is_empty() {
            texts.push((RECIPE, &provenance.recipe));
        }
        attributes::with_texts(&bytes, &texts)
    };
    made().with_context(|| format!("frame {} cannot be made into an EXR file", frame.index))
}

fn image(
    frame: &Frame<'_>,
    planes: Vec<(&'static str, Vec<f32>)>,
    settings: &ExrSettings,
    provenance: &Provenance,
) -> Image<Layer<AnyChannels<FlatSamples>>> {
    let samples = |plane: Vec<f32>| match settings.samples {
        ExrSamples::Half => FlatSamples::F16(plane.into_iter().map(f16::from_f32).collect()),
        ExrSamples::Float => FlatSamples::F32(plane),
    };
    let is_color = planes.len() > 1;
    let channels =
        planes.into_iter().map(|(name, plane)| AnyChannel::new(name, samples(plane))).collect();
    let encoding = Encoding {
        compression: settings.compression.of_exr(),
        blocks: Blocks::ScanLines,
        line_order: LineOrder::Increasing,
    };
    let size = (frame.width, frame.height);
    let layer = Layer::new(size, header(provenance), encoding, AnyChannels::sort(channels));
    let mut image = Image::from_layer(layer);
    image.attributes.pixel_aspect = 1.0;
    image.attributes.chromaticities = is_color.then(|| settings.color.chromaticities());
    let number = provenance.first_frame + frame.index as u64;
    image.attributes.time_code = time_code::of_frame(number, provenance.frame_rate);
    image
}

fn header(provenance: &Provenance) -> LayerAttributes {
    let some = |words: &str| (!words.is_empty()).then(|| text(words));
    LayerAttributes {
        software_name: some(&provenance.software),
        comments: some(&provenance.description),
        owner: some(&provenance.owner),
        capture_date: some(&provenance.made.exr_words()),
        utc_offset: Some(0.0),
        frames_per_second: Some((provenance.frame_rate, 1)),
        ..LayerAttributes::default()
    }
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
    use exr::meta::attribute::AttributeValue;
    use exr::prelude::{Compression, MetaData, read_first_flat_layer_from_file};
    use std::path::PathBuf;

    fn written(width: usize, height: usize) -> (Vec<f32>, Vec<u8>) {
        let rgba = gradient(width, height, 3);
        let frame = Frame { index: 0, width, height, rgba: &rgba };
        let bytes = encode(&frame, &ExrSettings::default(), &provenance()).unwrap();
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
        let expected = ExrColor::Linear.chromaticities();
        assert_eq!(header.shared_attributes.chromaticities, Some(expected));
        let own = &header.own_attributes;
        assert_eq!(own.frames_per_second, Some((16, 1)));
        assert_eq!(own.software_name.as_ref().unwrap().bytes(), b"wan-alpha 0.1.0");
        assert_eq!(own.comments.as_ref().unwrap().bytes(), "玻璃球 – a glass ball".as_bytes());
        assert_eq!(own.capture_date.as_ref().unwrap().bytes(), b"1970:01:01 00:00:00");
        assert_eq!((own.utc_offset, own.owner.as_ref()), (Some(0.0), None));
        let said = |name: &str| match own.other.get(&text(name)) {
            Some(AttributeValue::Text(words)) => String::from_utf8(words.bytes().to_vec()).unwrap(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(said(RECIPE), provenance().recipe);
        assert_eq!(said("colorInteropID"), "lin_rec709_scene");
        assert!(said("Iptc4xmpExt:DigitalSourceType").ends_with("/trainedAlgorithmicMedia"));
        assert_eq!(said("Iptc4xmpExt:AISystemUsed"), "wan-alpha");
        assert_eq!(said("Iptc4xmpExt:AISystemVersionUsed"), "0.1.0");
        assert_eq!((said("wanAlphaModel"), said("wanAlphaTake").len()), ("draft".to_owned(), 32));
        assert_eq!(header.shared_attributes.time_code.map(|code| code.frame), Some(0));
    }

    /// Written in every way, read by this program's own reader, which obeys what the file says.
    #[test]
    fn every_way_of_writing_is_read_back_as_the_same_picture() {
        let rgba = gradient(40, 24, 5);
        let frame = Frame { index: 20, width: 40, height: 24, rgba: &rgba };
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, bytes: Vec<u8>| -> (PathBuf, super::super::rgba::RgbaImage) {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let image = super::super::rgba::RgbaImage::read(&path, &Default::default()).unwrap();
            (path, image)
        };
        let default = ExrSettings::default();
        for (name, settings, tolerance) in [
            ("float", ExrSettings { samples: ExrSamples::Float, ..default }, 2e-5),
            ("zips", ExrSettings { compression: ExrCompression::Zips, ..default }, 3e-3),
            (
                "acescg",
                ExrSettings { color: ExrColor::Acescg, samples: ExrSamples::Float, ..default },
                1e-4,
            ),
            ("straight", ExrSettings { alpha: ExrAlpha::Straight, ..default }, 1e-3),
            ("srgb", ExrSettings { color: ExrColor::AsGenerated, ..default }, 3e-3),
            ("dwaa", ExrSettings { compression: ExrCompression::Dwaa, ..default }, 0.2),
        ] {
            let bytes = encode(&frame, &settings, &provenance()).unwrap();
            let (path, image) = read(&format!("{name}.exr"), bytes);
            let meta = MetaData::read_from_file(&path, true).unwrap();
            assert_eq!(
                meta.headers[0].shared_attributes.time_code.map(|code| (code.seconds, code.frame)),
                Some((1, 4))
            );
            let said = (settings.alpha == ExrAlpha::Straight)
                .then_some(super::super::reading::Association::Straight);
            let found = image.display(said, &mut Default::default()).unwrap();
            for (found, made) in found.as_chunks::<4>().0.iter().zip(frame.pixels()) {
                assert!(
                    (found[3] - made[3]).abs() < 1e-3,
                    "{name}: alpha {} for {}",
                    found[3],
                    made[3]
                );
                // What little alpha leaves of a color in a half float says little.
                if made[3] > 0.1 {
                    let near = found.iter().zip(made).all(|(a, b)| (a - b).abs() < tolerance);
                    assert!(near, "{name}: {found:?} for {made:?}");
                }
            }
        }
        let bytes = encode_alpha(&frame, &default, &provenance()).unwrap();
        let (path, _) = (folder.path().join("alpha.exr"), ());
        std::fs::write(&path, bytes).unwrap();
        let meta = MetaData::read_from_file(&path, true).unwrap();
        let header = &meta.headers[0];
        assert_eq!(header.channels.list.len(), 1);
        assert_eq!(header.shared_attributes.chromaticities, None);
        let said = header.own_attributes.other.get(&text("colorInteropID"));
        assert_eq!(said.unwrap().to_text().unwrap().bytes(), b"data");
    }

    /// OpenColorIO 2.6.0, without optimization.
    #[test]
    fn acescg_is_what_opencolorio_makes_of_srgb() {
        let settings = ExrSettings {
            color: ExrColor::Acescg,
            samples: ExrSamples::Float,
            ..Default::default()
        };
        for (color, expected) in [
            ([1.0, 0.0, 0.0], [0.613_10, 0.070_19, 0.020_62]),
            ([0.5, 0.0, 0.0], [0.131_23, 0.015_02, 0.004_41]),
            ([0.5, 0.5, 0.5], [0.214_04; 3]),
        ] {
            let [r, g, b] = color;
            let stored = settings.stored([r, g, b, 1.0]);
            let near = stored.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 2e-5);
            assert!(near, "{stored:?} for {expected:?}");
        }
    }

    #[test]
    fn equal_frames_give_equal_bytes() {
        let (_, first) = written(64, 64);
        for _ in 0..5 {
            assert_eq!(written(64, 64).1, first);
        }
    }
}
