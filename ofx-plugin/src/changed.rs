//! Buttons, and other changes that the artist makes.

#![forbid(unsafe_code)]

use std::ffi::CStr;

use crate::host::{Effect, Properties};
use crate::names;
use crate::params::{self, Kind, START_FRAME, START_HERE, STATUS, TABLE};
use crate::status::{Answer, Status};

/// Said by every button that would need a take, and by every render.
pub(crate) const NO_TAKES_YET: &CStr =
    c"This build of WanAlpha cannot make or show takes yet; nothing was started.";

pub(crate) fn changed(effect: Effect<'_>, arguments: Properties<'_>) -> Answer {
    // Nuke does not render again while a message stands.
    effect.clear_error();
    let is_edit = |name, value: &CStr| {
        arguments.text(name, 0).is_ok_and(|found| found.as_bytes() == value.to_bytes())
    };
    if !is_edit(names::TYPE, names::TYPE_PARAMETER)
        || !is_edit(names::CHANGE_REASON, names::USER_EDITED)
    {
        return Ok(Status::REPLY_DEFAULT);
    }
    // Hosts report parameters of their own under names that we never described.
    let name = arguments.text(names::NAME, 0)?;
    let known = TABLE.iter().find(|parameter| parameter.id.to_bytes() == name.as_bytes());
    match known {
        Some(button) if button.kind == Kind::Button => pressed(effect, arguments, button),
        _ => Ok(Status::REPLY_DEFAULT),
    }
}

fn pressed(effect: Effect<'_>, arguments: Properties<'_>, button: &params::Parameter) -> Answer {
    let instance = effect.instance()?;
    if button.id == START_HERE {
        let frame = start_frame(arguments.double(names::TIME, 0)?).ok_or(Status::FAILED)?;
        let parameter = instance.parameter(START_FRAME)?;
        effect.as_one_edit(c"Start here", || parameter.set_int(effect, frame))?;
    } else {
        instance.parameter(STATUS)?.set_text(effect, NO_TAKES_YET)?;
    }
    Ok(Status::OK)
}

/// The whole frame nearest to a time, where the parameter can hold it.
fn start_frame(time: f64) -> Option<i32> {
    let Kind::Int { range: [first, last], .. } = TABLE.get(params::position(START_FRAME)?)?.kind
    else {
        return None;
    };
    let frame = (time + 0.5).floor();
    (f64::from(first)..=f64::from(last)).contains(&frame).then_some(frame as i32)
}

#[cfg(test)]
mod tests {
    use super::start_frame;

    #[test]
    fn a_start_is_a_whole_frame_that_the_parameter_can_hold() {
        assert_eq!(start_frame(1001.0), Some(1001));
        assert_eq!(start_frame(-3.5), Some(-3));
        assert_eq!(start_frame(86_399.5), Some(86_400));
        for time in [f64::NAN, f64::INFINITY, 1e9, -1e12] {
            assert_eq!(start_frame(time), None, "{time}");
        }
    }
}
