//! A frame of the clip that is connected to Source, as an image that a take begins with.
//!
//! It is the whole frame that a take is fitted into: what the clip does not cover of it is transparent.

#![forbid(unsafe_code)]

use thiserror::Error;
use wan_alpha_take::StillImage;
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::still_image::StillImageError;

use crate::color_management::colors_of_clip;
use crate::geometry::frame_region;
use crate::host::{ImageRefusal, InputImage};
use crate::node::Node;
use crate::ofx_status::Status;
use crate::picture::{Captured, captured};
use crate::surface::Window;

/// Why there is no frame of Source.
#[derive(Debug, Error)]
pub(crate) enum SourceFrameError {
    /// Nothing is connected, or the node has no such input.
    #[error(
        "Use Source frame is on, and nothing is connected to Source; connect a clip, or give the file of \
         an Image instead"
    )]
    Unconnected,
    /// The host gives no image at that time.
    #[error(
        "the host gives no image of Source at frame {frame}, where the take begins ({reason}); let the take \
         begin on a frame that Source has, or give the file of an Image instead"
    )]
    Refused {
        /// The frame that was asked for.
        frame: f64,
        /// What the host said.
        reason: String,
    },
    /// What it gives is no image that a take can begin with.
    #[error("the frame of Source is {reason}")]
    Unfit {
        /// What is wrong with it.
        reason: StillImageError,
    },
    /// The host does not answer.
    #[error("the host does not say how its colors are meant (its status is {})", .0.raw())]
    Host(Status),
}

/// A frame of Source, and what is to be known of it.
#[derive(Debug)]
pub(crate) struct SourceFrame {
    pub(crate) image: StillImage,
    /// Sentences for the node's status.
    pub(crate) told: Vec<String>,
}

/// What the frame of Source at a time is called: as long as it is another one, the take is another.
pub(crate) fn source_frame_name(time: f64) -> String {
    format!("Source frame {time}")
}

/// The frame of Source at a time of the host, in square pixels, straight and display-referred.
pub(crate) fn source_frame(node: Node<'_>, time: f64) -> Result<SourceFrame, SourceFrameError> {
    let effect = node.effect();
    let source = node.instance().connected_source(effect).ok_or(SourceFrameError::Unconnected)?;
    let colors = colors_of_clip(node, source).map_err(SourceFrameError::Host)?;
    let image = effect
        .input_image(source, time)
        .map_err(|refusal| SourceFrameError::Refused { frame: time, reason: in_words(&refusal) })?;
    let window = window_of(node.at(time), &image);
    let Captured { rgba, cut } = captured(&image, window, image.alpha(), colors.transfer);
    let unfit = |reason| SourceFrameError::Unfit { reason };
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let still =
        StillImage::new(side(window.width()), side(window.height()), rgba).map_err(unfit)?;
    let width = f64::from(still.width()) * image.pixel_aspect();
    let still = still.resized(width.round().clamp(1.0, 16_384.0) as u32, still.height());
    let told = (cut > 0).then(|| {
        let pixels = counted(cut, "pixel");
        format!(
            "{pixels} of the frame of Source {} colors that no display shows, which are cut to those that \
             one does.",
            verb(cut, "has", "have")
        )
    });
    let unknown = colors.unknown.map(|space| {
        format!(
            "Source is in the color space {space}, which the node does not know: its frame is read as \
             Transfer says."
        )
    });
    Ok(SourceFrame { image: still, told: told.into_iter().chain(unknown).collect() })
}

/// What a host has answered, of an image to be read.
fn in_words(refusal: &ImageRefusal) -> String {
    match refusal {
        ImageRefusal::Host(status) => format!("its status is {}", status.raw()),
        other => other.to_string(),
    }
}

/// The pixels of an image that are the frame a take is fitted into; all of them, where the host knows
/// none.
fn window_of(node: Node<'_>, image: &InputImage<'_>) -> Window {
    let Some([left, bottom, right, top]) = frame_region(node) else { return image.bounds() };
    let [across, up] = image.pixels_per_unit();
    let pixel = |at: f64, per_unit: f64| (at * per_unit).round() as i32;
    Window {
        x1: pixel(left, across),
        y1: pixel(bottom, up),
        x2: pixel(right, across),
        y2: pixel(top, up),
    }
}
