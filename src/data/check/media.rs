//! What the files of a row hold, read frame by frame.

use image::RgbImage;
use serde::Serialize;
use wan_alpha_take::counted::counted;
use wan_alpha_take::fit::{Compressor, Coverage, FitSettings};
use wan_alpha_take::frame::OwnedFrame;
use wan_alpha_take::{Ellipse, frames};

use super::SetFinding;
use super::alpha_map::AlphaMap;
use super::matte::MatteSurvey;
use crate::data::bucket::{AREA, TrainingSize};
use crate::data::media::Reader;
use crate::data::set::own_ellipses;
use crate::data::table::Row;
use crate::error_text::in_words;
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
    /// Latent frames, rows and columns at its own size.
    pub(super) latent: Option<[usize; 3]>,
    /// The same at the released area, which is what the released tables say.
    #[serde(skip)]
    pub(super) released_latent: Option<[usize; 3]>,
    /// Per latent frame the ellipse that masks are made of, and the share of the subject it covers
    /// (1 where there is none to be covered): the row's own, or the fitted one; none where nothing is
    /// solid enough for that.
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
    let mut look = PixelSurvey { has_track: !row.track.is_empty(), ..PixelSurvey::default() };
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
        Ok(reader) => look.finish(row, &reader),
        Err(error) => {
            Seen { media: None, findings: vec![SetFinding::error("media", in_words(&error))] }
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
    /// Whether the row has ellipses of its own, which are held against `map`.
    has_track: bool,
    map: Option<AlphaMap>,
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
            self.map = self.has_track.then(|| AlphaMap::new(width, height));
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
        if let Some(map) = &mut self.map {
            map.add(self.frames, &alpha);
        }
        if (self.frames + 1).is_power_of_two() {
            self.thumbnails.push((self.frames, thumbnail(picture)));
        }
        self.frames += 1;
    }

    fn finish(self, row: &Row, reader: &Reader) -> Seen {
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
        if let Err(error) = TrainingSize::Area(AREA).bucket(width, height) {
            let text = format!("{}; `data cache --area` refuses it", in_words(&error));
            findings.push(SetFinding::warning("aspect", text));
        }
        let latent = |size| latent_of(size, self.frames, [width, height]);
        let [latent, released_latent] = [TrainingSize::Own, TrainingSize::Area(AREA)].map(latent);
        let about = (statistics, [width, height]);
        let ellipses = ellipses(row, self.coverage, self.map.as_ref(), about, &mut findings);
        let middle = self.frames / 2;
        let nearest = self.thumbnails.iter().min_by_key(|(frame, _)| frame.abs_diff(middle));
        let picture = nearest.map(|(_, picture)| png(picture)).unwrap_or_default();
        let hash = self.hasher.finalize().to_hex().to_string();
        let frames = self.frames;
        let media = Media {
            frames,
            width,
            height,
            hash,
            statistics,
            latent,
            released_latent,
            ellipses,
            picture,
        };
        Seen { media: Some(media), findings }
    }
}

/// Latent frames, rows and columns of a clip that is brought to a size; None where it cannot be.
fn latent_of(size: TrainingSize, frames: usize, [width, height]: [usize; 2]) -> Option<[usize; 3]> {
    let bucket = size.bucket(width, height).ok()?;
    let latent_frames = frames::latent_frames(u32::try_from(frames).ok()?).ok()?;
    Some([latent_frames, bucket.height / frames::CELL, bucket.width / frames::CELL])
}

/// The row's own ellipses, or those that are fitted to its alpha; and what there is to say of them.
fn ellipses(
    row: &Row,
    coverage: Option<Compressor>,
    map: Option<&AlphaMap>,
    (statistics, [width, height]): (AlphaShares, [usize; 2]),
    findings: &mut Vec<SetFinding>,
) -> Vec<Option<(Ellipse, f64)>> {
    let coverage = match coverage.map(Compressor::finish) {
        Some(Ok(coverage)) => coverage,
        // Another number of frames is said elsewhere.
        Some(Err(_)) => return Vec::new(),
        None => {
            let text = format!("it is {width} × {height}: expected at least 8 × 8");
            findings.push(SetFinding::error("size", text));
            return Vec::new();
        }
    };
    match own_ellipses(row, coverage.shape()[0]) {
        Ok(Some(own)) => {
            let own = with_shares(own, map);
            findings.extend(about_own_ellipses(&own));
            own
        }
        Ok(None) => {
            let fitted = fitted(&coverage);
            // Of a clip that is empty or opaque throughout that is said.
            if statistics.opaque < 1.0 && statistics.clear < 1.0 {
                findings.extend(about_ellipses(&fitted));
            }
            fitted
        }
        Err(error) => {
            findings.push(SetFinding::error("track", in_words(&error)));
            Vec::new()
        }
    }
}

/// The ellipses that are fitted to an alpha.
fn fitted(coverage: &Coverage) -> Vec<Option<(Ellipse, f64)>> {
    let [_, rows, columns] = coverage.shape();
    let artist = |fit: wan_alpha_take::fit::Fit| {
        (fit.ellipse.on_frame(columns, rows).rounded(), fit.covered)
    };
    coverage.fit(FitSettings::TRAINING.rounds).into_iter().map(|fit| fit.map(artist)).collect()
}

/// Ellipses, one for each latent frame, with how much of the alpha each covers.
fn with_shares(own: Vec<Ellipse>, map: Option<&AlphaMap>) -> Vec<Option<(Ellipse, f64)>> {
    let share = |(frame, ellipse): (usize, Ellipse)| {
        let covered = map.and_then(|map| map.share(frame, &ellipse));
        Some((ellipse, covered.unwrap_or(1.0)))
    };
    own.into_iter().enumerate().map(share).collect()
}

/// What its values show, and what was said while they were read.
fn about_reading(matte: &MatteSurvey, reader: &Reader, row: &Row) -> Vec<SetFinding> {
    let mut findings = Vec::new();
    if reader.no_alpha.is_none() {
        findings.extend(matte.findings(reader.straight, row.association.is_some()));
    }
    let remarks = reader.remarks.lines().iter().cloned();
    findings.extend(remarks.map(|words| SetFinding::warning("reading", words)));
    let losses = reader.losses.lines().into_iter();
    findings.extend(losses.map(|words| SetFinding::warning("clipped", words)));
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
        let text = format!(
            "in {} of its {} nothing is to be seen",
            alpha.empty_frames,
            counted(frames, "frame")
        );
        SetFinding::warning("empty-frames", text)
    })
}

/// A track of another clip, or one upside down, misses the subject.
fn about_own_ellipses(ellipses: &[Option<(Ellipse, f64)>]) -> Option<SetFinding> {
    let all = ellipses.len();
    // What moves fast leaves its ellipse, which is that of the middle of four frames.
    let missed = ellipses.iter().flatten().filter(|(_, covered)| *covered < 0.2).count();
    (missed > 0).then(|| {
        SetFinding::warning(
            "track",
            format!(
                "in {missed} of its {all} latent frames the ellipse of its track covers less than a \
                 fifth of the alpha: is it this clip's?"
            ),
        )
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
