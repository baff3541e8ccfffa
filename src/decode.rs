//! `wan-alpha decode`: a latent to the RGBA clip that the two decoders make of it.

use anyhow::{Result, anyhow};
use serde_json::{Map, json};
use wan_alpha_core::Watch;
use wan_alpha_core::encode::{ClipReader, ClipShape, Reconstruction};
use wan_alpha_core::generate;
use wan_alpha_core::weights::Decoders;
use wan_alpha_take::TakeRequest;
use wan_alpha_take::counted::counted;
use wan_alpha_take::frame::Frame;

use crate::args::Decode;
use crate::context::CommandContext;
use crate::device;
use crate::exit::{Exit, OrExit};
use crate::latent_file::Latent;
use crate::media::provenance::Provenance;
use crate::media::rgba::RgbaSequence;
use crate::model::Chosen;
use crate::output::{FileSettings, Plan, Writer, WriterSink, add_circumstances, is_replaced};
use crate::own_inputs::refuse_inputs_in;
use crate::stdout::print_lines;

/// Decodes the latent that `args` name.
pub(crate) fn run(args: &Decode, context: &CommandContext<'_>) -> Result<()> {
    let CommandContext { environment, progress, console, .. } = *context;
    let chosen = Chosen::of(&args.model, &environment.models)?;
    let decoders = Decoders::find(&chosen.paths)?;
    let latent = Latent::read(&args.latent)?;
    let mut original = match &args.compare[..] {
        [] => None,
        paths => Some(Original::find(paths, args, latent.shape)?),
    };
    let compared = original.iter().flat_map(|original| original.clip.files());
    let over = args.files.inputs();
    let read = compared.chain([&args.latent]).chain(&chosen.paths).chain(&over);
    let settings = args.files.settings(environment)?;
    let replaced = |name: &str| is_replaced(name, &settings.names);
    refuse_inputs_in("--out", &args.out, replaced, read)?;
    console.say_choices(&args.compare);
    let opened = device::open(&args.computing, environment, console)?;
    let writer = Writer::create(plan(args, settings, &latent, &chosen.name)?, |words| {
        console.remark(words);
    })?;

    let compare = |frame: &Frame<'_>| original.as_mut().map_or(Ok(()), |it| it.compare(frame));
    let mut sink = WriterSink::new(writer, None, compare);
    let tensor = latent.tensor(opened.device)?;
    generate::decode(&decoders, opened.device, &tensor, &mut sink, console)?;
    let written = sink.finish()?;
    written.remarks.iter().for_each(|words| console.remark(words));

    let mut take = Map::new();
    take.insert("latent".to_owned(), json!({ "blake3": latent.hash }));
    let mut lines = vec![written.folder().display().to_string()];
    if let Some(Original { clip, reconstruction }) = original {
        for words in clip.warnings() {
            console.warn(&words);
        }
        let (color, alpha) = (reconstruction.color_psnr(), reconstruction.alpha_psnr());
        lines.push(format!(
            "PSNR: color {color:.2} dB (softly over the {} corner colors), alpha {alpha:.2} dB",
            Reconstruction::backgrounds()
        ));
        let number =
            |decibels: f64| if decibels.is_finite() { json!(decibels) } else { json!("inf") };
        take.insert(
            "reconstruction".to_owned(),
            json!({ "colour_psnr": number(color), "alpha_psnr": number(alpha) }),
        );
    }
    add_circumstances(&mut take, console, &opened.class());
    written.describe(take)?;
    progress.done();
    print_lines(&lines)?;
    Ok(())
}

fn plan(args: &Decode, settings: FileSettings, latent: &Latent, model: &str) -> Result<Plan> {
    let ClipShape { frames, width, height } = latent.shape;
    let rate = i32::try_from(TakeRequest::TAKE_RATE)?;
    let provenance = Provenance {
        description: "a latent, decoded".to_owned(),
        recipe: json!({ "latent_blake3": latent.hash }).to_string(),
        ..settings.provenance_of(model, String::new(), rate)
    };
    Ok(Plan { folder: args.out.clone(), settings, frames, width, height, provenance })
}

/// The clip that the latent was made of, to be measured against.
struct Original {
    clip: RgbaSequence,
    reconstruction: Reconstruction,
}

impl Original {
    fn find(paths: &[std::path::PathBuf], args: &Decode, expected: ClipShape) -> Result<Self> {
        let clip = RgbaSequence::find(paths, &args.reading.reading())?;
        let words = |shape: ClipShape| {
            format!("{} of {} × {}", counted(shape.frames, "frame"), shape.width, shape.height)
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

    /// Measures a decoded frame by the next one of the clip.
    fn compare(&mut self, frame: &Frame<'_>) -> Result<()> {
        self.reconstruction.add(frame.rgba, &self.clip.read_next()?);
        Ok(())
    }
}
