//! Where the take lies on the canvas, as its parameters put it there.

#![forbid(unsafe_code)]

use super::view::TakeRegion;
use crate::geometry;
use crate::host::Effect;
use crate::node::Node;
use crate::params::{FIT, TAKE_REQUEST};
use crate::record::{Accepted, Record};
use crate::status::Status;
use crate::wanted;

/// How a take is put into a frame of another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Whole,
    Covering,
    Stretched,
    PixelForPixel,
}

/// The take's region and the width of its frame in heights of it; none where the host does not know
/// its frame yet.
pub(super) fn place(effect: Effect<'_>, time: f64) -> Result<Option<(TakeRegion, f64)>, Status> {
    let node = Node::of(effect, time)?;
    let take = size(node)?;
    let fits = [Fit::Whole, Fit::Covering, Fit::Stretched, Fit::PixelForPixel];
    let fit = node.choice(FIT, &fits)?;
    let frame = geometry::frame_region(node);
    Ok(frame.map(|frame| (placed(fit, take, frame), take[0] / take[1])))
}

/// In the middle of a frame of left, bottom, right, top.
fn placed(fit: Fit, take: [f64; 2], [left, bottom, right, top]: [f64; 4]) -> TakeRegion {
    let frame = [right - left, top - bottom];
    let ratio = [frame[0] / take[0], frame[1] / take[1]];
    let [width, height] = match fit {
        Fit::Whole => take.map(|side| side * ratio[0].min(ratio[1])),
        Fit::Covering => take.map(|side| side * ratio[0].max(ratio[1])),
        Fit::Stretched => frame,
        Fit::PixelForPixel => take,
    };
    TakeRegion {
        left: left + (frame[0] - width) / 2.0,
        bottom: bottom + (frame[1] - height) / 2.0,
        width,
        height,
    }
}

/// Width and height of the take in pixels. What the model's own is, is known once something was
/// asked for; before that nothing outside the node is looked at.
fn size(node: Node<'_>) -> Result<[f64; 2], Status> {
    let own = if node.text(TAKE_REQUEST)?.is_empty() {
        wanted::USUAL_SIZE
    } else {
        let record = Record::of(node)?;
        record
            .take
            .accepted()
            .map_or(wanted::USUAL_SIZE, |Accepted { request, .. }| [request.width, request.height])
    };
    Ok(wanted::size(node, own)?.map(f64::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [f64; 4] = [100.0, 50.0, 2020.0, 1130.0];

    fn sides(fit: Fit, take: [f64; 2]) -> [f64; 4] {
        let TakeRegion { left, bottom, width, height } = placed(fit, take, FRAME);
        [left, bottom, width, height]
    }

    #[test]
    fn takes_lie_in_the_middle_of_the_frame() {
        // Twice as wide as high, in a frame of 1920 × 1080.
        let wide = [800.0, 400.0];
        assert_eq!(sides(Fit::Whole, wide), [100.0, 110.0, 1920.0, 960.0]);
        assert_eq!(sides(Fit::Covering, wide), [-20.0, 50.0, 2160.0, 1080.0]);
        assert_eq!(sides(Fit::Stretched, wide), [100.0, 50.0, 1920.0, 1080.0]);
        assert_eq!(sides(Fit::PixelForPixel, wide), [660.0, 390.0, 800.0, 400.0]);
        assert_eq!(sides(Fit::Whole, [400.0, 800.0]), [790.0, 50.0, 540.0, 1080.0]);
    }
}
