//! What the files of a row hold, read frame by frame.

use image::RgbImage;
use serde::Serialize;
use wan_alpha_take::fit::{Compressor, FitSettings};
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::{Ellipse, frames};

use super::SetFinding;
use super::matte::MatteSurvey;
use crate::data::bucket::{AREA, Bucket};
use crate::data::media::Reader;
use crate::data::table::Row;
use crate::media::png::encode_plain;

/// A row's files as they are.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Media {
    pub(super) frames: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    /// BLAKE3 of all frames in 16 bits, and of their size.
    pub(super) hash: String,
    pub(super) statistics: AlphaShares,
    /// Latent frames, rows and columns at the released area.
    pub(super) latent: Option<[usize; 3]>,
    /// Per latent frame the ellipse that masks are made of, and the share of the subject it covers;
    /// none where nothing is solid enough.
    pub(super) ellipses: Vec<Option<(Ellipse, f64)>>,
    /// The middle frame over a checkerboard, as PNG.
    #[serde(skip)]
    pub(super) picture: Vec<u8>,
}

/// Shares are of all pixels of all frames.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct AlphaShares {
    pub(super) mean: f64,
    pub(super) clear: f64,
    pub(super) opaque: f64,
    /// The share that is neither clear nor opaque.
    pub(super) soft: f64,
    /// Frames in which nothing is to be seen.
    pub(super) empty_frames: usize,
}

/// What was read, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) media: Option<Media>,
    pub(super) findings: Vec<SetFinding>,
}

/// Less alpha than this is nothing to be seen.
const VISIBLE: f32 = 1.0 / 255.0;

/// Reads a row's files, as long as `go_on` says so.
pub(super) fn look(row: &Row, go_on: &dyn Fn() -> bool) -> Seen {
    let mut look = PixelSurvey::default();
    let read = Reader::open(row).and_then(|mut reader| {
        while let Some(picture) = reader.next()? {
            look.add(&picture);
            if !go_on() {
                break;
            }
        }
        Ok(reader)
    });
    match read {
        Ok(reader) => look.finish(&reader, row),
        Err(error) => {
            Seen { media: None, findings: vec![SetFinding::error("media", format!("{error:#}"))] }
        }
    }
}

#[derive(Default)]
struct PixelSurvey {
    hasher: blake3::Hasher,
    size: Option<(usize, usize)>,
    frames: usize,
    /// The sum of alpha over all pixels.
    sum: f64,
    clear: u64,
    opaque: u64,
    empty_frames: usize,
    coverage: Option<Compressor>,
    matte: MatteSurvey,
    /// Thumbnails of the frames 0, 1, 3, 7, …: of them the middle one is near the clip's.
    thumbnails: Vec<(usize, RgbImage)>,
}

impl PixelSurvey {
    fn add(&mut self, picture: &OwnedFrame) {
        let (width, height) = (picture.width, picture.height);
        if self.size.is_none() {
            self.size = Some((width, height));
            self.hasher.update(&[width as u64, height as u64].map(u64::to_le_bytes).concat());
            self.coverage = Compressor::new(width, height, FitSettings::TRAINING.threshold).ok();
        }
        let mut bytes = Vec::with_capacity(picture.rgba.len() * 2);
        for value in &picture.rgba {
            bytes.extend(((value * 65535.0 + 0.5) as u16).to_le_bytes());
        }
        self.hasher.update(&bytes);
        self.matte.add(picture);
        let alpha = picture.alpha();
        self.sum += alpha.iter().map(|value| f64::from(*value)).sum::<f64>();
        self.clear += alpha.iter().filter(|value| **value == 0.0).count() as u64;
        self.opaque += alpha.iter().filter(|value| **value == 1.0).count() as u64;
        self.empty_frames += usize::from(alpha.iter().all(|value| *value < VISIBLE));
        if let Some(coverage) = &mut self.coverage
            && coverage.push(&alpha).is_err()
        {
            self.coverage = None;
        }
        if (self.frames + 1).is_power_of_two() {
            self.thumbnails.push((self.frames, thumbnail(picture)));
        }
        self.frames += 1;
    }

    fn finish(self, reader: &Reader, row: &Row) -> Seen {
        let mut findings = Vec::new();
        let Some((width, height)) = self.size else {
            findings.push(SetFinding::error("media", "it has no frames"));
            return Seen { media: None, findings };
        };
        let pixels = (self.frames * width * height) as f64;
        let share = |count: u64| count as f64 / pixels;
        let statistics = AlphaShares {
            mean: self.sum / pixels,
            clear: share(self.clear),
            opaque: share(self.opaque),
            soft: 1.0 - share(self.clear) - share(self.opaque),
            empty_frames: self.empty_frames,
        };
        findings.extend(about_alpha(&statistics, self.frames, reader));
        findings.extend(about_reading(&self.matte, reader, row));
        let bucket = match Bucket::of(AREA, width, height) {
            Ok(bucket) => Some(bucket),
            Err(error) => {
                let text = format!("{error:#}; `data cache` refuses it");
                findings.push(SetFinding::warning("aspect", text));
                None
            }
        };
        let latent_frames =
            u32::try_from(self.frames).ok().and_then(|n| frames::latent_frames(n).ok());
        let latent = latent_frames.zip(bucket);
        let latent =
            latent.map(|(frames, to)| [frames, to.height / frames::CELL, to.width / frames::CELL]);
        let mut ellipses = Vec::new();
        match self.coverage.map(Compressor::finish) {
            Some(Ok(coverage)) => {
                let [_, rows, columns] = coverage.shape();
                let fits = coverage.fit(FitSettings::TRAINING.rounds);
                let artist = |fit: wan_alpha_take::fit::Fit| {
                    (fit.ellipse.on_frame(columns, rows).rounded(), fit.covered)
                };
                ellipses = fits.into_iter().map(|fit| fit.map(artist)).collect();
                if statistics.opaque < 1.0 && statistics.clear < 1.0 {
                    findings.extend(about_ellipses(&ellipses));
                }
            }
            // Another number of frames is said elsewhere.
            Some(Err(_)) => {}
            None => findings.push(SetFinding::error(
                "size",
                format!("it is {width} × {height}: expected at least 8 × 8"),
            )),
        }
        let middle = self.frames / 2;
        let nearest = self.thumbnails.iter().min_by_key(|(frame, _)| frame.abs_diff(middle));
        let picture = nearest.map(|(_, picture)| png(picture)).unwrap_or_default();
        let hash = self.hasher.finalize().to_hex().to_string();
        let frames = self.frames;
        let media = Media { frames, width, height, hash, statistics, latent, ellipses, picture };
        Seen { media: Some(media), findings }
    }
}

/// What its values show, and what was said while they were read.
fn about_reading(matte: &MatteSurvey, reader: &Reader, row: &Row) -> Vec<SetFinding> {
    let mut findings = Vec::new();
    if reader.no_alpha.is_none() {
        findings.extend(matte.findings(reader.straight, row.association.is_some()));
    }
    let remarks = reader.remarks.lines().iter().cloned();
    findings.extend(remarks.map(|words| SetFinding::warning("reading", words)));
    let clipped = reader.clipped.in_words();
    findings.extend(clipped.map(|words| SetFinding::warning("clipped", words)));
    findings
}

fn about_alpha(alpha: &AlphaShares, frames: usize, reader: &Reader) -> Option<SetFinding> {
    if let Some(text) = &reader.no_alpha {
        return Some(SetFinding::error(
            "no-alpha",
            format!("{text}, or name it in the column `alpha`"),
        ));
    }
    if alpha.opaque == 1.0 {
        return Some(SetFinding::error(
            "no-alpha",
            "it is opaque throughout: there is nothing to learn of transparency; check that this is \
             its alpha",
        ));
    }
    if alpha.empty_frames == frames {
        let text = "its alpha is 0 throughout: there is nothing to be seen";
        return Some(SetFinding::error("empty", text));
    }
    (alpha.empty_frames > 0).then(|| {
        let text =
            format!("in {} of its {frames} frames nothing is to be seen", alpha.empty_frames);
        SetFinding::warning("empty-frames", text)
    })
}

fn about_ellipses(ellipses: &[Option<(Ellipse, f64)>]) -> Vec<SetFinding> {
    let mut findings = Vec::new();
    let FitSettings { threshold, rounds } = FitSettings::TRAINING;
    let all = ellipses.len();
    let empty = ellipses.iter().filter(|ellipse| ellipse.is_none()).count();
    if empty > 0 {
        findings.push(SetFinding::warning(
            "ellipse",
            format!(
                "{empty} of its {all} latent frames have no ellipse, since hardly any alpha is above \
                 {threshold}: they are trained as if nothing were there"
            ),
        ));
    }
    let open = ellipses.iter().flatten().filter(|(_, covered)| *covered < 0.98).count();
    if open > 0 {
        findings.push(SetFinding::warning(
            "coverage",
            format!(
                "in {open} of its {all} latent frames no ellipse of {rounds} sizes covers 98 % of \
                 the subject: it is scattered"
            ),
        ));
    }
    findings
}

/// Height of thumbnails, in pixels.
const THUMBNAIL: usize = 72;

fn thumbnail(picture: &OwnedFrame) -> RgbImage {
    let height = THUMBNAIL.min(picture.height.max(1));
    let width = (picture.width * height / picture.height.max(1)).clamp(1, 4 * THUMBNAIL);
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let (column, row) =
            (x as usize * picture.width / width, y as usize * picture.height / height);
        let at = (row * picture.width + column) * 4;
        let pixel = picture.rgba.get(at..at + 4).unwrap_or(&[0.0; 4]);
        let check = if (x / 8 + y / 8) % 2 == 0 { 0.44 } else { 0.56 };
        let over = |channel: usize| pixel[channel] * pixel[3] + check * (1.0 - pixel[3]);
        image::Rgb([0, 1, 2].map(|channel| (over(channel) * 255.0 + 0.5) as u8))
    })
}

fn png(image: &RgbImage) -> Vec<u8> {
    // Into memory; a report without a picture is still one.
    encode_plain(image).unwrap_or_default()
}
