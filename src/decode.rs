//! `wan-alpha decode`: a latent to the RGBA clip that the two decoders make of it.

use anyhow::{Result, anyhow};
use serde_json::{Map, Value, json};
use wan_alpha_core::Watch;
use wan_alpha_core::encode::{ClipReader, ClipShape, Reconstruction};
use wan_alpha_core::generate::{self, Frame, FrameSink, SinkError};
use wan_alpha_core::tch;
use wan_alpha_core::weights::Decoders;
use wan_alpha_take::TakeRequest;

use crate::args::Decode;
use crate::console::Console;
use crate::context::CommandContext;
use crate::device;
use crate::exit::{Exit, OrExit};
use crate::latent_file::Latent;
use crate::model::Chosen;
use crate::output::{self, Plan, Provenance, Writer};
use crate::rgba_sequence::RgbaSequence;
use crate::stdout::print_lines;

/// Decodes the latent that `args` name.
pub(crate) fn run(args: &Decode, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let chosen = Chosen::of(&args.model, &environment.models)?;
    let decoders = Decoders::find(&chosen.paths)?;
    let latent = Latent::read(&args.latent)?;
    let original = match &args.compare[..] {
        [] => None,
        paths => Some(Original::find(paths, args, latent.shape)?),
    };
    let opened = device::open(args.device.as_ref(), environment, console)?;
    let writer = Writer::create(plan(args, &latent)?)?;

    let mut sink = DecodeSink { writer, original, failed: None };
    let decoded = generate::decode(
        &decoders,
        opened.device,
        &latent.tensor(opened.device)?,
        &mut sink,
        console,
    );
    let DecodeSink { writer, original, failed } = sink;
    if let Some(error) = failed {
        return Err(error);
    }
    decoded?;
    let written = writer.finish()?;

    let mut take = Map::new();
    take.insert("latent".to_owned(), json!({ "blake3": latent.hash }));
    let mut lines = vec![written.folder().display().to_string()];
    if let Some(Original { clip, reconstruction }) = original {
        if let Some(words) = clip.clipped() {
            console.warn(&words);
        }
        let (colour, alpha) = (reconstruction.colour_psnr(), reconstruction.alpha_psnr());
        lines.push(format!(
            "PSNR: colour {colour:.2} dB (softly over the {} corner colours), alpha {alpha:.2} dB",
            Reconstruction::backgrounds()
        ));
        let number =
            |decibels: f64| if decibels.is_finite() { json!(decibels) } else { json!("inf") };
        take.insert(
            "reconstruction".to_owned(),
            json!({ "colour_psnr": number(colour), "alpha_psnr": number(alpha) }),
        );
    }
    describe(&mut take, console, &opened.class());
    written.describe(take)?;
    progress.done();
    print_lines(&lines);
    Ok(())
}

fn plan(args: &Decode, latent: &Latent) -> Result<Plan> {
    let ClipShape { frames, width, height } = latent.shape;
    Ok(Plan {
        folder: args.out.clone(),
        formats: args.formats(),
        frames,
        width,
        height,
        provenance: Provenance {
            software: concat!("wan-alpha ", env!("CARGO_PKG_VERSION")).to_owned(),
            description: "a latent, decoded".to_owned(),
            recipe: json!({ "latent_blake3": latent.hash }).to_string(),
            frame_rate: i32::try_from(TakeRequest::TAKE_RATE)?,
        },
    })
}

/// Everything that may differ between equal results stands under `timings`.
fn describe(take: &mut Map<String, Value>, console: &Console<'_>, device: &str) {
    let versions = json!({
        "wan-alpha": env!("CARGO_PKG_VERSION"),
        "libtorch": wan_alpha_core::device::LIBTORCH_BUILD,
    });
    take.insert("versions".to_owned(), versions);
    take.insert("device".to_owned(), json!(device));
    take.insert("threads".to_owned(), json!(tch::get_num_threads()));
    take.insert("warnings".to_owned(), json!(console.warnings()));
    take.insert("timings".to_owned(), console.timings());
}

/// The clip that the latent was made of, to be measured against.
struct Original {
    clip: RgbaSequence,
    reconstruction: Reconstruction,
}

impl Original {
    fn find(paths: &[std::path::PathBuf], args: &Decode, expected: ClipShape) -> Result<Self> {
        let clip = RgbaSequence::find(paths, args.reading.alpha)?;
        let words = |shape: ClipShape| {
            format!("{} frames of {} × {}", shape.frames, shape.width, shape.height)
        };
        let found = clip.shape();
        if found != expected {
            return Err(anyhow!(
                "the clip to compare with has {}, the latent decodes to {}",
                words(found),
                words(expected)
            ))
            .or_exit(Exit::BadInput);
        }
        Ok(Self { clip, reconstruction: Reconstruction::default() })
    }
}

/// Writes frames as they come, and measures them.
struct DecodeSink {
    writer: Writer,
    original: Option<Original>,
    /// Why a frame was not taken; the model knows only that it was not.
    failed: Option<anyhow::Error>,
}

impl DecodeSink {
    fn take(&mut self, frame: Frame<'_>) -> Result<()> {
        let Frame { index, width, height, rgba } = frame;
        if let Some(Original { clip, reconstruction }) = &mut self.original {
            reconstruction.add(rgba, &clip.read_next()?);
        }
        self.writer.write(output::Frame { index, width, height, rgba })
    }
}

impl FrameSink for DecodeSink {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), SinkError> {
        self.take(frame).map_err(|error| {
            let text = format!("{error:#}");
            self.failed = Some(error);
            text.into()
        })
    }
}
