//! Size and length of the take that a node's parameters ask for.

#![forbid(unsafe_code)]

use wan_alpha_take::frames;
use wan_alpha_take::models::Defaults;
use wan_alpha_take::still_image::take_size;

use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{FRAMES, HEIGHT, RESOLUTION, WIDTH};

/// The sizes that can be chosen by name, in the order of the parameter, between "model" and
/// "custom".
const SIZES: [[u32; 2]; 6] =
    [[832, 480], [480, 832], [1280, 720], [720, 1280], [624, 640], [640, 624]];

/// 0 means the model's own; anything else goes to the nearest 4n+1.
pub(crate) fn frame_count(node: Node<'_>, own: &Defaults) -> Result<u32, Status> {
    let asked = u32::try_from(node.int(FRAMES)?).unwrap_or(0);
    Ok(if asked == 0 { own.frames_or_released() } else { snapped_frames(asked) })
}

fn snapped_frames(asked: u32) -> u32 {
    (asked + 1) / frames::STRIDE * frames::STRIDE + 1
}

/// Width and height; `own` is the model's, which is brought to the aspect of an `image` of a size that the
/// take begins with.
pub(crate) fn size(
    node: Node<'_>,
    own: [u32; 2],
    image: Option<[u32; 2]>,
) -> Result<[u32; 2], Status> {
    let chosen = usize::try_from(node.int(RESOLUTION)?).unwrap_or(0);
    if chosen == 0 {
        let of = |image| take_size(image, own[0].saturating_mul(own[1]));
        return Ok(image.map_or(own, of));
    }
    if let Some(&size) = SIZES.get(chosen - 1) {
        return Ok(size);
    }
    Ok([snapped_pixels(node.int(WIDTH)?), snapped_pixels(node.int(HEIGHT)?)])
}

/// The nearest multiple of 16, at least that.
fn snapped_pixels(asked: i32) -> u32 {
    (asked.max(0).unsigned_abs().saturating_add(8) / 16 * 16).max(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_to_the_nearest_that_can_be_made() {
        let snapped = [1, 2, 3, 4, 5, 80, 81, 83, 257].map(snapped_frames);
        assert_eq!(snapped, [1, 1, 5, 5, 5, 81, 81, 85, 257]);
    }

    #[test]
    fn sizes_go_to_the_nearest_that_can_be_made() {
        let snapped = [64, 71, 72, 1080, 2048, -3].map(snapped_pixels);
        assert_eq!(snapped, [64, 64, 80, 1088, 2048, 16]);
    }

    #[test]
    fn sizes_are_those_of_the_parameter() {
        use crate::params::{Kind, TABLE, position};
        let table = position(RESOLUTION).map(|at| TABLE[at].kind);
        let Some(Kind::Choice { options }) = table else { panic!("{table:?}") };
        let names: Vec<_> =
            options[1..options.len() - 1].iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, SIZES.map(|[width, height]| format!("{width}x{height}")));
    }
}
