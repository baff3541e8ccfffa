//! `wan-alpha eval reconstruction`: a clip beside what was made of it, or beside what an autoencoder
//! makes of it (the paper's table 3).

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Map, json};
use wan_alpha_core::Watch;
use wan_alpha_core::device::Device;
use wan_alpha_core::encode::{ClipReader as _, ClipShape, Options, encode};
use wan_alpha_core::generate::{self, FrameSink, SinkError};
use wan_alpha_core::metrics::Lpips;
use wan_alpha_core::tch::Kind;
use wan_alpha_core::vae::Corner;
use wan_alpha_core::weights::{Decoders, EncoderFiles};
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::frame::{Frame, OwnedFrame};
use wan_alpha_take::report::PixelShare;
use wan_alpha_take::{Precision, TakeReport};

use super::ReportPlaces;
use super::clip::images_of;
use super::reconstruction_metrics::{Near, ReconstructionMetrics};
use super::table::{Best, Cell, ClipRow, MeasureColumn, Table};
use crate::args::EvalReconstruction;
use crate::console::Console;
use crate::context::CommandContext;
use crate::device;
use crate::exit::{Exit, OrExit, carried};
use crate::media::rgba::RgbaSequence;
use crate::media::sequence::{self, FrameNumbering};
use crate::media::thumbnail::{Strip, Thumbnail, is_shown};
use crate::model::Chosen;

/// Measures the clips that `args` name.
pub(super) fn run(args: &EvalReconstruction, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    console.say_choices(&args.clips);
    let mut read = args.lpips.clone();
    for clip in &args.clips {
        read.extend(sequence::find(&images_of(clip), "clip", FrameNumbering::EveryFrame)?);
    }
    let places = ReportPlaces::open(&args.report, &read)?;
    let device = device::open(&args.computing, environment, console)?.device;
    let lpips = match &args.lpips[..] {
        [trunk, heads] => Some(Lpips::open(trunk, heads, device)?),
        _ => None,
    };
    let bench = ReconstructionBench { args, device, lpips: lpips.as_ref(), console };
    let rows = if args.model.is_empty() {
        let [truth, made] = &args.clips[..] else {
            return Err(anyhow!(
                "{} {} given: expected the true one and the one made of it (TRUTH MADE), or --model to \
                 make it",
                counted(args.clips.len(), "clip"),
                verb(args.clips.len(), "is", "are")
            ))
            .or_exit(Exit::BadInput);
        };
        vec![bench.compare(truth, made)?]
    } else {
        let chosen = Chosen::of(&args.model, &environment.models)?;
        let encoder = EncoderFiles::find(&chosen.paths)?;
        let decoders = Decoders::find(&chosen.paths)?;
        let round = |truth: &std::path::PathBuf| bench.round_trip(truth, &encoder, &decoders);
        args.clips.iter().map(round).collect::<Result<_>>()?
    };
    let mut table = Table {
        title: "Reconstruction",
        columns: COLUMNS.to_vec(),
        rows,
        summary: Vec::new(),
        notes: notes(args.over, lpips.as_ref()),
    };
    if lpips.is_none() {
        table.columns.truncate(COLUMNS.len() - 2);
    }
    table.note_empty();
    if table.rows.len() > 1 {
        table.summary = table.means();
    }
    super::tell(&table, &places, progress)
}

const COLUMNS: [MeasureColumn; 6] = [
    column(
        "colour_psnr",
        "color PSNR",
        Best::High,
        2,
        "PSNR in decibels of color, softly rendered; errors pooled over the clip",
    ),
    column(
        "alpha_psnr",
        "alpha PSNR",
        Best::High,
        2,
        "PSNR in decibels of alpha; errors pooled over the clip",
    ),
    column(
        "colour_ssim",
        "color SSIM",
        Best::High,
        4,
        "SSIM of color, softly rendered: Gaussian window 11, sigma 1.5; mean over channels and frames",
    ),
    column("alpha_ssim", "alpha SSIM", Best::High, 4, "SSIM of alpha, by the same window"),
    column(
        "colour_lpips",
        "color LPIPS",
        Best::Low,
        4,
        "LPIPS 0.1 of color, softly rendered; mean over frames",
    ),
    column(
        "alpha_lpips",
        "alpha LPIPS",
        Best::Low,
        4,
        "LPIPS 0.1 of alpha as a gray picture; mean over frames",
    ),
];

const fn column(
    id: &'static str,
    head: &'static str,
    best: Best,
    digits: usize,
    about: &'static str,
) -> MeasureColumn {
    MeasureColumn { id, head, about, best, digits }
}

fn notes(over: Option<Corner>, lpips: Option<&Lpips>) -> Vec<String> {
    let over = match over {
        Some(corner) => format!("color is softly rendered over {}", corner.name()),
        None => "color is softly rendered over each of the eight corner colors, which the \
                 autoencoder is trained over, and the mean taken"
            .to_owned(),
    };
    let lpips = match lpips {
        Some(lpips) => format!("LPIPS is by {}", lpips.trunk().name()),
        None => {
            "LPIPS is left out: it needs --lpips TRUNK HEADS, torchvision's weights of AlexNet \
                 or VGG16 and the heads of the package lpips"
                .to_owned()
        }
    };
    vec![over, lpips]
}

struct ReconstructionBench<'a> {
    args: &'a EvalReconstruction,
    device: Device,
    lpips: Option<&'a Lpips>,
    console: &'a Console<'a>,
}

impl ReconstructionBench<'_> {
    fn open(&self, path: &Path) -> Result<RgbaSequence> {
        Ok(RgbaSequence::find(&[images_of(path)], &self.args.reading.reading())?)
    }

    /// Two clips that are there.
    fn compare(&self, truth: &Path, made: &Path) -> Result<ClipRow> {
        let mut made_clip = self.open(made)?;
        let mut pair = self.pair(truth)?;
        let (found, expected) = (made_clip.shape(), pair.shape);
        let words = |shape: ClipShape| {
            format!("{} of {} × {}", counted(shape.frames, "frame"), shape.width, shape.height)
        };
        if found != expected {
            return Err(anyhow!(
                "{} has {}, {} has {}: they must be alike",
                made.display(),
                words(found),
                truth.display(),
                words(expected)
            ))
            .or_exit(Exit::BadInput);
        }
        for _ in 0..expected.frames {
            if !self.console.go_on() {
                return Err(anyhow!("cancelled while comparing")).or_exit(Exit::Cancelled);
            }
            pair.add(made_clip.read_next()?)?;
        }
        for words in made_clip.warnings() {
            self.console.warn(&words);
        }
        Ok(pair.row(truth, self.console))
    }

    /// A clip and what the model makes of it.
    fn round_trip(
        &self,
        truth: &Path,
        encoder: &EncoderFiles,
        decoders: &Decoders,
    ) -> Result<ClipRow> {
        let mut clip = self.open(truth)?;
        let kind = if self.args.dtype == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
        let options = Options { background: self.args.background, kind, device: self.device };
        let latent = encode(encoder, options, &mut clip, self.console)?;
        let mut sink = PairSink(self.pair(truth)?);
        generate::decode(decoders, self.device, &latent, &mut sink, self.console)?;
        Ok(sink.0.row(truth, self.console))
    }

    fn pair(&self, truth: &Path) -> Result<Pair<'_>> {
        let clip = self.open(truth)?;
        let strip = |label| Strip { label, thumbs: Vec::new() };
        Ok(Pair {
            shape: clip.shape(),
            truth: clip,
            nearness: ReconstructionMetrics::new(self.args.over, self.lpips),
            covered: PixelShare::default(),
            strips: [strip("truth"), strip("made")],
            next: 0,
        })
    }
}

/// A true clip, read beside what was made of it.
struct Pair<'a> {
    truth: RgbaSequence,
    shape: ClipShape,
    nearness: ReconstructionMetrics<'a>,
    /// The alpha of the true clip.
    covered: PixelShare,
    strips: [Strip; 2],
    next: usize,
}

impl Pair<'_> {
    fn add(&mut self, made: Vec<f32>) -> Result<()> {
        let ClipShape { frames, width, height } = self.shape;
        let frame = |rgba| OwnedFrame::new(self.next, width, height, rgba);
        let (truth, made) = (frame(self.truth.read_next()?), frame(made));
        ensure!(truth.rgba.len() == made.rgba.len(), "frame {} is of another size", self.next);
        self.nearness.add(&made, &truth)?;
        let alpha = truth.pixels().iter().map(|pixel| f64::from(pixel[3]));
        self.covered.add(alpha.sum(), (width * height) as f64);
        if is_shown(self.next, frames) {
            for (strip, frame) in self.strips.iter_mut().zip([&truth, &made]) {
                strip.thumbs.push(Thumbnail::of(frame)?);
            }
        }
        self.next += 1;
        Ok(())
    }

    fn row(self, path: &Path, watch: &dyn Watch) -> ClipRow {
        for words in self.truth.warnings() {
            watch.warn(&words);
        }
        let Near { color_psnr, alpha_psnr, color_ssim, alpha_ssim, color_lpips, alpha_lpips } =
            self.nearness.finish();
        let ClipShape { frames, width, height } = self.shape;
        let mut more = Map::new();
        more.insert(
            "shape".to_owned(),
            json!({ "frames": frames, "width": width, "height": height }),
        );
        let numbers =
            [Some(color_psnr), Some(alpha_psnr), color_ssim, alpha_ssim, color_lpips, alpha_lpips];
        // Of nothing, nothing is the perfect picture: that is no merit.
        let empty = self.covered.value().is_none_or(|share| share < TakeReport::EMPTY);
        let numbers = numbers.map(|number| number.filter(|_| !empty));
        ClipRow {
            name: path.display().to_string(),
            prompt: None,
            cells: numbers.map(Cell::from).to_vec(),
            is_empty: empty,
            strips: self.strips.into(),
            more,
        }
    }
}

/// Measures frames as the decoders make them.
struct PairSink<'a>(Pair<'a>);

impl FrameSink for PairSink<'_> {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError> {
        self.0.add(frame.rgba.to_vec()).map_err(carried)
    }
}
