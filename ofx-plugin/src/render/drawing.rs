//! What there is to see, drawn into the host's image.

#![forbid(unsafe_code)]

use half::f16;
use wan_alpha_take::engine::message::PreviewPicture;
use wan_alpha_take::store::Frame;

use super::abort_poll::AbortPoll;
use crate::geometry::{FITS, frame_region, pixel_aspect};
use crate::host::{ClipHandle, Effect, ImageRefusal, InputImage, Properties};
use crate::names;
use crate::node::Node;
use crate::node_transfer::transfer_of;
use crate::ofx_status::Status;
use crate::params::{ALPHA_MODE, FIT, OVER_SOURCE, VIEW};
use crate::picture::{
    Annotation, Backdrop, Drawn, FrameContent, OutputFormat, OutputFrame, SizeMismatch, Source,
    Tone, View, draw,
};
use crate::render_error::RenderError;
use crate::session::{JobReadiness, PluginSession};
use crate::status_text::{self, capitalised};
use crate::surface::Window;
use crate::take_state::TakeState;

/// What there is to draw.
pub(super) enum RenderContent {
    /// A frame of the take that was asked for.
    Take(TakePicture),
    /// A frame of the previous take or a preview, and what the badge on it says.
    Previous(TakePicture, Tone, String),
    /// A headline and a sentence in the place of a picture, and the size of the take.
    Placeholder(AnnotationText, Option<[u32; 2]>),
    /// Transparent black in every pixel.
    Empty,
    /// The clip that a filter is on, as it was.
    Source,
}

/// A frame of a take, or what lies between two of them.
pub(super) enum TakePicture {
    Frame(Frame),
    Blend(Vec<f16>, [u32; 2]),
    /// Fewer pixels than the take has: theirs, their size, and the take's.
    Preview(Vec<f16>, [u32; 2], [u32; 2]),
}

impl TakePicture {
    /// A coarse picture of a take of this size.
    pub(super) fn preview(picture: &PreviewPicture, size: [u32; 2]) -> Self {
        let values = picture.rgba.iter().map(|value| f16::from_f32(f32::from(*value) / 255.0));
        Self::Preview(values.collect(), [picture.width, picture.height], size)
    }

    fn source(&self) -> Result<Source<'_>, SizeMismatch> {
        match self {
            Self::Preview(values, pixels, size) => {
                Ok(Source::of(values, *pixels)?.standing_for(*size))
            }
            Self::Frame(frame) => Source::try_from(frame),
            Self::Blend(values, size) => Source::of(values, *size),
        }
    }
}

/// Why a take is not shown, as placeholders and badges say it.
pub(super) struct AnnotationText {
    pub(super) tone: Tone,
    pub(super) title: &'static str,
    pub(super) sentence: String,
}

/// Why a take is not shown.
pub(super) fn annotation_text(state: &TakeState) -> AnnotationText {
    let (tone, title, sentence) = match state {
        TakeState::Take(JobReadiness::Ready(_)) | TakeState::Blank => {
            (Tone::Idle, "WanAlpha", "Type a prompt and press Generate.".to_owned())
        }
        TakeState::Take(JobReadiness::Pending(_)) => {
            (Tone::Working, "Generating", "The take shows here when it is ready.".to_owned())
        }
        TakeState::Take(JobReadiness::Absent) => {
            let sentence = "It is in no store here. Make again makes it.".to_owned();
            (Tone::Failed, "Take missing", sentence)
        }
        TakeState::Take(JobReadiness::Damaged(_)) => {
            let sentence = "Its file in the store is damaged. Make again makes it.".to_owned();
            (Tone::Failed, "Take damaged", sentence)
        }
        TakeState::Take(JobReadiness::Failed(problem)) => {
            (Tone::Failed, "Not generated", status_text::problem(problem))
        }
        TakeState::Unreadable(reason) => {
            (Tone::Failed, "Not readable", format!("{}.", capitalised(reason)))
        }
    };
    AnnotationText { tone, title, sentence }
}

/// Draws into the host's image, all of the window that is to be rendered.
pub(super) fn draw_content(
    node: Node<'_>,
    arguments: Properties<'_>,
    content: &RenderContent,
    abort: &AbortPoll<'_>,
) -> Result<(), RenderError> {
    let effect = node.effect();
    let side = |index| arguments.int_at(names::RENDER_WINDOW, index);
    let window = Window { x1: side(0)?, y1: side(1)?, x2: side(2)?, y2: side(3)? };
    let scale = [0, 1].map(|index| arguments.double(names::RENDER_SCALE, index).unwrap_or(1.0));
    let clip = effect.clip(names::CLIP_OUTPUT)?;
    let pixel_aspect = pixel_aspect(effect);
    let mut image = match effect.output_image(clip, node.time()) {
        Ok(image) => image,
        Err(_) if effect.is_aborted() => return Err(RenderError::Aborted),
        Err(refusal) => return Err(refusal.into()),
    };
    let region = frame_region(node).unwrap_or_else(|| {
        let Window { x1, y1, x2, y2 } = image.bounds();
        let [across, up] = [scale[0] / pixel_aspect, scale[1]];
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(f64::from);
        [x1 / across, y1 / up, x2 / across, y2 / up]
    });
    let source = match content {
        RenderContent::Take(picture) | RenderContent::Previous(picture, ..) => {
            Some(picture.source())
        }
        RenderContent::Placeholder(..) | RenderContent::Empty | RenderContent::Source => None,
    };
    let under = backdrop(node, content, abort)?;
    let take = source.transpose().map_err(|mismatch| {
        RenderError::Failed(format!("The take cannot be shown: {mismatch}."))
    })?;
    let lines;
    let annotation = match content {
        RenderContent::Previous(_, tone, text) => Some(Annotation::Badge { tone: *tone, text }),
        RenderContent::Placeholder(AnnotationText { tone, title, sentence }, size) => {
            lines = [*title, sentence];
            Some(Annotation::Placeholder { tone: *tone, lines: &lines, size: *size })
        }
        RenderContent::Take(_) | RenderContent::Empty | RenderContent::Source => None,
    };
    let content = FrameContent {
        output_frame: OutputFrame { region, pixel_aspect, scale },
        fit: node.choice(FIT, &FITS)?,
        take,
        view: view(node)?,
        backdrop: under.as_ref().map(|image| Backdrop { image, straight: image.is_straight() }),
        annotation,
    };
    let format = output_format(node)?;
    // Aborted or whole, the answer is the same: the host knows which.
    let (Drawn::Whole | Drawn::Aborted) =
        draw(&mut image.within(window), &content, format, &|| !abort.is_aborted());
    Ok(())
}

/// The clip that a filter is on, where it is part of the picture.
fn backdrop<'a>(
    node: Node<'a>,
    content: &RenderContent,
    abort: &AbortPoll<'_>,
) -> Result<Option<InputImage<'a>>, RenderError> {
    let (instance, effect) = (node.instance(), node.effect());
    let is_wanted = instance.is_filter()
        && (matches!(content, RenderContent::Source)
            || node.choice(OVER_SOURCE, &[true, false])?);
    let Some(source) = instance.connected_source(effect).filter(|_| is_wanted) else {
        return Ok(None);
    };
    match effect.input_image(source, node.time()) {
        Ok(image) => Ok(Some(image)),
        Err(_) if effect.is_aborted() || abort.is_aborted() => Err(RenderError::Aborted),
        // Of a clip that covers nothing there is no image: under the take is nothing.
        Err(ImageRefusal::Host(Status::FAILED)) if covers_nothing(effect, source, node.time()) => {
            Ok(None)
        }
        Err(refusal) => {
            Err(RenderError::Failed(format!("The clip under the take cannot be had: {refusal}.")))
        }
    }
}

/// Whether a host says of a clip that its region is empty.
fn covers_nothing(effect: Effect<'_>, clip: ClipHandle, time: f64) -> bool {
    let region = effect.clip_region(clip, time);
    region.is_ok_and(|[left, bottom, right, top]| left >= right || bottom >= top)
}

/// How the artist looks at the take. What a batch render writes is the take as it is.
fn view(node: Node<'_>) -> Result<View, Status> {
    if PluginSession::is_batch(node.effect().host()) {
        return Ok(View::Rgba);
    }
    node.choice(VIEW, &[View::Rgba, View::AlphaAsGray, View::OverChecker])
}

/// How colors and alpha are written, as the parameters and the host want it.
fn output_format(node: Node<'_>) -> Result<OutputFormat, Status> {
    let transfer = transfer_of(node)?;
    // Who makes filters alone multiplies nothing.
    let straight = node.instance().is_filter() || node.choice(ALPHA_MODE, &[false, true])?;
    Ok(OutputFormat { transfer, straight })
}
