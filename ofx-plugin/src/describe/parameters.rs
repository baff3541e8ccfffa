//! Describes the table of parameters to a host.

use std::ffi::CStr;

use crate::contexts::Context;
use crate::host::{Effect, Properties};
use crate::names;
use crate::ofx_status::Status;
use crate::params::{Group, Hosts, Kind, Lines, Parameter, Shown, TABLE, Unit};

const PAGE: &CStr = c"controls";

/// Groups first, their members after them, then one page for hosts with pages.
pub(super) fn define(effect: Effect<'_>, context: Context) -> Result<(), Status> {
    let is_filter = context == Context::Filter;
    let defined =
        || TABLE.iter().filter(|parameter| is_filter || parameter.hosts != Hosts::Filters);
    for &group in Group::ALL {
        let properties = effect.define_parameter(names::PARAM_GROUP, group.id())?;
        properties.set(names::LABEL, group.label())?;
        properties.set_optional(names::SCRIPT_NAME, group.id());
        properties.set_optional(names::GROUP_OPEN, group.is_open());
    }
    for &group in Group::ALL {
        for parameter in defined().filter(|parameter| parameter.group == group) {
            let properties = effect.define_parameter(kind(parameter), parameter.id)?;
            describe(parameter, properties)?;
            if is_filter && parameter.hosts == Hosts::NotFilters {
                properties.set_optional(names::SECRET, true);
            }
        }
    }
    if let Ok(page) = effect.define_parameter(names::PARAM_PAGE, PAGE) {
        page.set_optional(names::LABEL, c"Controls");
        let shown = defined().filter(|parameter| parameter.shown != Shown::Hidden);
        let _ = page.set_all(names::PAGE_CHILD, shown.map(|parameter| parameter.id));
    }
    Ok(())
}

fn kind(parameter: &Parameter) -> &'static CStr {
    match parameter.kind {
        Kind::Text { .. } => names::PARAM_STRING,
        Kind::Int { .. } => names::PARAM_INTEGER,
        Kind::Double { .. } => names::PARAM_DOUBLE,
        Kind::Double2D { .. } => names::PARAM_DOUBLE_2D,
        Kind::Choice { .. } => names::PARAM_CHOICE,
        Kind::Button => names::PARAM_BUTTON,
        Kind::Toggle => names::PARAM_BOOLEAN,
    }
}

/// What a host needs for the parameter to mean the same everywhere is set; the rest is wished for.
fn describe(parameter: &Parameter, properties: Properties<'_>) -> Result<(), Status> {
    properties.set(names::LABEL, parameter.label)?;
    properties.set_optional(names::SHORT_LABEL, parameter.label);
    properties.set_optional(names::LONG_LABEL, parameter.label);
    properties.set_optional(names::SCRIPT_NAME, parameter.id);
    properties.set_optional(names::HINT, parameter.hint);
    properties.set_optional(names::PARENT, parameter.group.id());
    // Nuke never shows again what is described as secret, nor enables what is described as
    // disabled. The first is wanted; the second is left to the instance, because `status` is
    // written to.
    properties.set_optional(names::SECRET, parameter.shown == Shown::Hidden);
    value(parameter.kind, properties)?;
    if parameter.kind != Kind::Button {
        properties.set(names::ANIMATES, parameter.animates)?;
        properties.set(names::PERSISTENT, parameter.persistent)?;
        properties.set(names::EVALUATE_ON_CHANGE, parameter.evaluates)?;
        properties.set_optional(names::CAN_UNDO, parameter.undoable);
        // A take is one whole: a key on one frame changes all of it.
        if parameter.evaluates {
            properties.set_optional(names::CACHE_INVALIDATION, names::INVALIDATE_ALL);
        }
    }
    Ok(())
}

/// Hosts clamp a number that has only one of the two ranges to -1…1 or to 0, so both are set.
fn value(kind: Kind, properties: Properties<'_>) -> Result<(), Status> {
    match kind {
        Kind::Text { default, lines } => {
            let mode = match lines {
                Lines::Single => names::SINGLE_LINE,
                Lines::Multiple => names::MULTI_LINE,
                Lines::FilePath => names::FILE_PATH,
            };
            properties.set(names::STRING_MODE, mode)?;
            properties.set(names::DEFAULT, default)
        }
        Kind::Int { default, range, display } => {
            properties.set(names::DEFAULT, default)?;
            properties.set(names::MIN, range[0])?;
            properties.set(names::MAX, range[1])?;
            properties.set(names::DISPLAY_MIN, display[0])?;
            properties.set(names::DISPLAY_MAX, display[1])
        }
        Kind::Double { default, range, display, increment, unit } => {
            let unit = match unit {
                Unit::Plain => names::DOUBLE_PLAIN,
                Unit::Angle => names::DOUBLE_ANGLE,
            };
            double(properties, unit, increment);
            properties.set(names::DEFAULT, default)?;
            properties.set(names::MIN, range[0])?;
            properties.set(names::MAX, range[1])?;
            properties.set(names::DISPLAY_MIN, display[0])?;
            properties.set(names::DISPLAY_MAX, display[1])
        }
        Kind::Double2D { default, range, display, increment } => {
            double(properties, names::DOUBLE_PLAIN, increment);
            properties.set_all(names::DEFAULT, default)?;
            properties.set_all(names::MIN, [range[0]; 2])?;
            properties.set_all(names::MAX, [range[1]; 2])?;
            properties.set_all(names::DISPLAY_MIN, [display[0]; 2])?;
            properties.set_all(names::DISPLAY_MAX, [display[1]; 2])
        }
        Kind::Choice { options } => {
            properties.set_all(names::CHOICE_OPTION, options.iter().copied())?;
            properties.set(names::DEFAULT, 0)
        }
        Kind::Toggle => properties.set(names::DEFAULT, false),
        Kind::Button => Ok(()),
    }
}

/// Without its coordinate system Nuke takes a default for a fraction of the frame.
fn double(properties: Properties<'_>, unit: &'static CStr, increment: f64) {
    properties.set_optional(names::DOUBLE_TYPE, unit);
    properties.set_optional(names::DEFAULT_COORDINATES, names::CANONICAL);
    properties.set_optional(names::INCREMENT, increment);
    properties.set_optional(names::DIGITS, digits(increment));
}

/// Decimals that one step changes, and one more.
fn digits(increment: f64) -> i32 {
    (1..6).find(|&digits| increment * 10_f64.powi(digits) > 0.999).unwrap_or(6) + 1
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_follow_the_increment() {
        for (increment, digits) in [(0.1, 2), (0.01, 3), (0.001, 4), (1.0, 2)] {
            assert_eq!(super::digits(increment), digits, "{increment}");
        }
    }
}
