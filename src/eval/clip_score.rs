//! Marks that networks give, for whoever brings their weights: how well a clip shows its prompt and
//! how good it looks, frame by frame over white.

use anyhow::{Result, anyhow};
use wan_alpha_core::Watch;
use wan_alpha_core::metrics::{Aesthetic, Clip, TextFeatures, cosines};
use wan_alpha_core::tch::Tensor;
use wan_alpha_take::environment::Environment;
use wan_alpha_take::frame::OwnedFrame;

use super::table::{Best, Cell, MeasureColumn};
use crate::args::ScoringArgs as Args;
use crate::console::Console;
use crate::device;
use crate::exit::{Exit, OrExit};

/// Frames that a network looks at together.
const TOGETHER: usize = 8;

const TEXT: MeasureColumn = MeasureColumn {
    id: "text",
    head: "text",
    about: "cosine of CLIP's features of the prompt and of a frame over white; mean over frames",
    best: Best::High,
    digits: 4,
};

const AESTHETIC: MeasureColumn = MeasureColumn {
    id: "aesthetic",
    head: "aesthetic",
    about: "VBench's aesthetic quality: a tenth of LAION's predicted mark of a frame over white; mean \
            over frames",
    best: Best::High,
    digits: 4,
};

/// The networks that score pictures, as far as they were given.
pub(super) struct ScoringNetworks {
    clip: Clip,
    aesthetic: Option<Aesthetic>,
}

impl ScoringNetworks {
    /// Those that were given.
    pub(super) fn open(
        args: &Args,
        environment: &Environment,
        console: &Console<'_>,
    ) -> Result<Option<Self>> {
        let Some(folder) = &args.clip else {
            if args.computing.device.is_some() {
                return Err(anyhow!("--device says where --clip computes: name its folder, too"))
                    .or_exit(Exit::BadInput);
            }
            return Ok(None);
        };
        let device = device::open(&args.computing, environment, console)?.device;
        let clip = Clip::open(folder, device)?;
        let aesthetic = args.aesthetic.as_deref();
        let aesthetic = aesthetic.map(|path| Aesthetic::open(path, clip.width(), device));
        Ok(Some(Self { clip, aesthetic: aesthetic.transpose()? }))
    }

    /// What they give marks for.
    pub(super) fn columns(&self) -> Vec<MeasureColumn> {
        [TEXT].into_iter().chain(self.aesthetic.is_some().then_some(AESTHETIC)).collect()
    }

    /// Begins with a clip of that name and prompt.
    pub(super) fn meter(
        &self,
        name: &str,
        prompt: Option<&str>,
        watch: &dyn Watch,
    ) -> Result<ScoreMeter<'_>> {
        let text = prompt.map(|prompt| self.clip.text(prompt)).transpose();
        let text = text?;
        if text.as_ref().is_some_and(|text| text.cut) {
            watch.warn(&format!(
                "{name}: its prompt is longer than CLIP reads; the text score leaves out the end"
            ));
        }
        Ok(ScoreMeter { judges: self, text, waiting: Vec::new(), frames: 0, sums: [0.0; 2] })
    }
}

/// Sums over the frames so far.
pub(super) struct ScoreMeter<'a> {
    judges: &'a ScoringNetworks,
    text: Option<TextFeatures>,
    /// Pictures `[1, 3, h, w]` not yet looked at.
    waiting: Vec<Tensor>,
    frames: usize,
    /// The sums of text scores and of aesthetic scores over the frames so far.
    sums: [f64; 2],
}

impl ScoreMeter<'_> {
    pub(super) fn push(&mut self, frame: &OwnedFrame) -> Result<()> {
        self.waiting.push(over_white(frame)?);
        if self.waiting.len() == TOGETHER { self.look() } else { Ok(()) }
    }

    fn look(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let pictures = Tensor::f_cat(&self.waiting, 0)?;
        self.frames += self.waiting.len();
        self.waiting.clear();
        let ScoringNetworks { clip, aesthetic } = self.judges;
        let features = clip.pictures(&pictures)?;
        if let Some(text) = &self.text {
            self.sums[0] += cosines(&features, text)?.iter().sum::<f64>();
        }
        if let Some(aesthetic) = aesthetic {
            self.sums[1] += aesthetic.scores(&features)?.iter().sum::<f64>();
        }
        Ok(())
    }

    /// A cell for each of [`Judges::columns`].
    pub(super) fn finish(mut self) -> Result<Vec<Cell>> {
        self.look()?;
        let mean = |sum: f64| (self.frames > 0).then(|| sum / self.frames as f64);
        let [text, aesthetic] = self.sums.map(mean);
        let text = text.filter(|_| self.text.is_some());
        let aesthetic = self.judges.aesthetic.is_some().then_some(aesthetic);
        Ok([text].into_iter().chain(aesthetic).map(Cell::from).collect())
    }
}

/// `[1, 3, h, w]` in [0, 1]
fn over_white(frame: &OwnedFrame) -> Result<Tensor> {
    let plane = |channel: usize| {
        frame.pixels().iter().map(move |pixel| pixel[channel] * pixel[3] + 1.0 - pixel[3])
    };
    let values: Vec<f32> = (0..3).flat_map(plane).collect();
    let (height, width) = (frame.height as i64, frame.width as i64);
    Ok(Tensor::f_from_slice(&values)?.f_view([1, 3, height, width])?)
}
