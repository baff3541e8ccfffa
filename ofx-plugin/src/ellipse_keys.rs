//! Keys of the ellipse that do not do what an artist would think, told in frames of the timeline.

#![forbid(unsafe_code)]

use wan_alpha_take::{TakeRequest, WarningCode, key_warnings};

use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{ELLIPSE_ANGLE, ELLIPSE_AXES, ELLIPSE_CENTER, MODEL};
use crate::session::PluginSession;
use crate::take_size;
use crate::timing::Timing;

/// What is to be known of the keys as they are; nothing where the model is not to be had.
pub(crate) fn told(node: Node<'_>, session: &PluginSession) -> Result<Vec<String>, Status> {
    let Ok(model) = session.model(node.text(MODEL)?.trim()) else { return Ok(Vec::new()) };
    let frames = take_size::frame_count(node, &model.defaults)?;
    let timing = Timing::of(node, TakeRequest::TAKE_RATE)?;
    let mut times = Vec::new();
    for id in [ELLIPSE_CENTER, ELLIPSE_AXES, ELLIPSE_ANGLE] {
        let parameter = node.instance().parameter(id)?;
        if parameter.is_animated(node.effect()) {
            times.extend(parameter.key_times(node.effect())?);
        }
    }
    Ok(sentences(times, &timing, frames))
}

/// By the rule for all of the product; `times` are the host's.
fn sentences(mut times: Vec<f64>, timing: &Timing, frames: u32) -> Vec<String> {
    times.retain(|time| time.is_finite());
    times.sort_by(f64::total_cmp);
    times.dedup();
    let keys: Vec<f64> = times.iter().map(|time| timing.take_frame(*time)).collect();
    let end = timing.host_time(f64::from(frames.saturating_sub(1))).floor();
    let sentence = |code: &WarningCode| match code {
        WarningCode::KeysBeyondEnd => Some(format!(
            "Keys of the ellipse lie after frame {end}, where the take ends: they are never reached."
        )),
        WarningCode::KeysOnOneFrame => Some(format!(
            "All keys of the ellipse fall on frames that the model sees as one: it hardly moves. Spread \
             them from frame {} to {end}.",
            timing.start
        )),
        _ => None,
    };
    key_warnings(&keys, frames).iter().filter_map(|warning| sentence(&warning.code)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Outside;

    #[test]
    fn keys_are_told_in_frames_of_the_timeline() {
        // 16 frames a second on a timeline of 24: take frame 16 is frame 1001 + 24.
        let timing =
            Timing { start: 1001.0, pace: 16.0 / 24.0, outside: Outside::Hold, blends: false };
        let said = |times: &[f64]| sentences(times.to_vec(), &timing, 17);
        assert_eq!(said(&[]), [""; 0]);
        assert_eq!(said(&[1001.0]), [""; 0]);
        assert_eq!(said(&[1001.0, 1025.0]), [""; 0]);
        let [beyond] = &said(&[1001.0, 1040.0])[..] else { panic!() };
        assert!(beyond.contains("after frame 1025"), "{beyond}");
        let [one] = &said(&[1009.0, 1010.0, 1010.0])[..] else { panic!() };
        assert!(one.contains("from frame 1001 to 1025"), "{one}");
    }
}
