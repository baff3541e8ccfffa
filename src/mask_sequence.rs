//! A mask drawn elsewhere: PNG or EXR images, one per latent frame, read as numbers in \[0, 1\].
//!
//! Values are data: no transfer function is undone. The mask is alpha, unless every image is
//! opaque throughout; then it is luma (which for grey images is the grey). The choice is made for
//! the sequence, not per image, since a mask may well cover one whole frame.

pub(crate) mod files;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use exr::prelude::{AnyChannels, FlatSamples, MetaData, ReadChannels, ReadLayers, Vec2};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use crate::output::SIZE_LIMIT;
use files::{extension, is_image};

/// One image of a mask, row by row from the top.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MaskImage {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) values: Vec<f32>,
}

/// The files of a mask, in order; found first and read later, so that a sequence of the wrong
/// length is refused before gigabytes of it are read.
#[derive(Debug, PartialEq)]
pub(crate) struct MaskSequence {
    files: Vec<PathBuf>,
}

impl MaskSequence {
    /// Whether a path names images at all; the other form of mask is a tensor file.
    pub(crate) fn names_images(path: &Path) -> bool {
        path.is_dir() || is_image(path)
    }

    /// Finds the files behind a folder, a pattern (`mask.####.exr`, `mask.%04d.png`) or one file.
    pub(crate) fn find(path: &Path) -> Result<Self> {
        let files = files::find(path, "mask")?;
        Ok(Self { files })
    }

    /// The files behind several paths, one after the other as they are given; `what` they are is
    /// for messages.
    pub(crate) fn find_all(paths: &[PathBuf], what: &str) -> Result<Self> {
        let mut all = Vec::new();
        for path in paths {
            all.append(&mut files::find(path, what)?);
        }
        Ok(Self { files: all })
    }

    /// How many images there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Reads all images; they must be of one size.
    pub(crate) fn read(&self) -> Result<Vec<MaskImage>> {
        let mut images = Vec::with_capacity(self.files.len());
        self.for_each(|image| {
            images.push(image);
            Ok(())
        })?;
        Ok(images)
    }

    /// Reads the images one after the other, so that a long clip needs no more memory than a frame.
    pub(crate) fn for_each(&self, mut take: impl FnMut(MaskImage) -> Result<()>) -> Result<()> {
        let by_alpha = self.has_alpha()?;
        let mut first = None;
        for file in &self.files {
            let image = read(file)?;
            let size = *first.get_or_insert(image.size);
            ensure!(
                image.size == size,
                "the mask {} is {} × {}, but {} is {} × {}: all must be of one size",
                file.display(),
                image.size.0,
                image.size.1,
                self.files[0].display(),
                size.0,
                size.1,
            );
            let mask = image.choose(by_alpha);
            check(file, &mask)?;
            take(mask)?;
        }
        Ok(())
    }

    /// Whether any image is not opaque throughout; mostly the first one is not.
    fn has_alpha(&self) -> Result<bool> {
        for file in &self.files {
            if read(file)?.alpha.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What may turn out to be the mask.
struct Planes {
    size: (usize, usize),
    /// None where all is opaque.
    alpha: Option<Vec<f32>>,
    /// None where there is nothing but alpha.
    luma: Option<Vec<f32>>,
}

impl Planes {
    fn new(size: (usize, usize), alpha: Option<Vec<f32>>, luma: Option<Vec<f32>>) -> Self {
        let opaque = |plane: &Vec<f32>| plane.iter().all(|&value| value == 1.0);
        Self { size, alpha: alpha.filter(|plane| !opaque(plane)), luma }
    }

    fn choose(self, by_alpha: bool) -> MaskImage {
        let (width, height) = self.size;
        let plane = if by_alpha { self.alpha } else { self.luma };
        MaskImage { width, height, values: plane.unwrap_or_else(|| vec![1.0; width * height]) }
    }
}

/// Reads one image, and by what: alpha or luma as asked or, where nothing is asked, alpha unless
/// this image is opaque throughout.
pub(crate) fn read_image(file: &Path, by_alpha: Option<bool>) -> Result<(MaskImage, bool)> {
    let image = read(file)?;
    let by_alpha = by_alpha.unwrap_or(image.alpha.is_some());
    let mask = image.choose(by_alpha);
    check(file, &mask)?;
    Ok((mask, by_alpha))
}

fn check(file: &Path, mask: &MaskImage) -> Result<()> {
    match mask.values.iter().position(|value| !(0.0..=1.0).contains(value)) {
        None => Ok(()),
        Some(place) => bail!(
            "the mask {} holds {} at column {}, row {}: a mask is 0 to 1 everywhere (clamp it)",
            file.display(),
            mask.values[place],
            place % mask.width,
            place / mask.width,
        ),
    }
}

fn read(file: &Path) -> Result<Planes> {
    let planes = match extension(file).as_deref() {
        Some("png") => read_png(file),
        Some("exr") => read_exr(file),
        _ => Err(anyhow!("it is neither .png nor .exr")),
    };
    planes.with_context(|| format!("cannot read the mask {}", file.display()))
}

pub(crate) fn check_size(width: usize, height: usize) -> Result<()> {
    ensure!(
        width <= SIZE_LIMIT && height <= SIZE_LIMIT,
        "it is {width} × {height}; more than {SIZE_LIMIT} on a side is not read"
    );
    Ok(())
}

fn read_png(file: &Path) -> Result<Planes> {
    let mut reader = ImageReader::open(file)?;
    reader.set_format(ImageFormat::Png);
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let size = (width as usize, height as usize);
    check_size(size.0, size.1)?;
    // 8 bits become 16 exactly, so nothing is lost on the way.
    let pixels = DynamicImage::from_decoder(decoder)?.into_rgba16();
    let value = |sample: u16| f32::from(sample) / 65535.0;
    let alpha = pixels.pixels().map(|pixel| value(pixel[3])).collect();
    let luma = pixels.pixels().map(|pixel| luma([0, 1, 2].map(|channel| value(pixel[channel]))));
    let luma = luma.collect();
    Ok(Planes::new(size, Some(alpha), Some(luma)))
}

/// Rec.709 weights; a grey stays exactly what it is.
fn luma([r, g, b]: [f32; 3]) -> f32 {
    if r == g && g == b { r } else { 0.2126 * r + 0.7152 * g + 0.0722 * b }
}

fn read_exr(file: &Path) -> Result<Planes> {
    let layer = ExrLayer::open(file)?;
    let [alpha, luma] = exr_planes(&layer.channels)?;
    let placed =
        |plane: Option<Vec<f32>>| plane.map(|plane| layer.place.onto_display(&plane)).transpose();
    Ok(Planes::new(layer.size(), placed(alpha)?, placed(luma)?))
}

/// The first layer of an EXR file.
pub(crate) struct ExrLayer {
    channels: AnyChannels<FlatSamples>,
    place: DataWindow,
}

impl ExrLayer {
    pub(crate) fn open(file: &Path) -> Result<Self> {
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

    /// Of the display window.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.place.display.width(), self.place.display.height())
    }

    /// A channel over the whole display window, if there is one of this name.
    pub(crate) fn plane(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let channel = self.channels.list.iter().find(|channel| channel.name.eq(name));
        let plane = channel.map(|channel| channel.sample_data.values_as_f32().collect::<Vec<_>>());
        plane.map(|plane| self.place.onto_display(&plane)).transpose()
    }

    /// What its channels are called.
    pub(crate) fn names(&self) -> Vec<String> {
        self.channels.list.iter().map(|channel| channel.name.to_string()).collect()
    }
}

/// Alpha and luma of an EXR layer, as far as it has them.
fn exr_planes(channels: &AnyChannels<FlatSamples>) -> Result<[Option<Vec<f32>>; 2]> {
    let list = &channels.list;
    let plane = |name: &str| {
        let channel = list.iter().find(|channel| channel.name.eq(name))?;
        Some(channel.sample_data.values_as_f32().collect::<Vec<f32>>())
    };
    let alpha = plane("A");
    let luma = plane("Y").or_else(|| {
        let red = plane("R")?;
        let (Some(green), Some(blue)) = (plane("G"), plane("B")) else {
            return Some(red);
        };
        Some(red.iter().zip(green).zip(blue).map(|((r, g), b)| luma([*r, g, b])).collect())
    });
    if alpha.is_some() || luma.is_some() {
        return Ok([alpha, luma]);
    }
    // A matte alone, whatever it is called.
    if let [only] = list.as_slice() {
        return Ok([None, Some(only.sample_data.values_as_f32().collect())]);
    }
    let names: Vec<_> = list.iter().map(|channel| channel.name.to_string()).collect();
    bail!("it has none of the channels A, Y and R, only {}", names.join(", "))
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
mod tests;
