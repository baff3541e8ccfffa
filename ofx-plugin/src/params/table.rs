//! The table itself. Order within a group is the order of the panel.

use std::ffi::CStr;

use wan_alpha_take::ellipse::{AXIS, CENTER};

use super::Group::{Ellipse, Generate, Model, Output, Subject, Time};
use super::ids::*;
use super::{Group, Hosts, Kind, Lines, Parameter, Shown, Unit};

/// Every parameter of the node.
pub const TABLE: &[Parameter] = &[
    Parameter {
        label: c"Prompt",
        hint: c"What to generate, in words: the subject, its material and motion, the shot. Say that the background is transparent. Up to 4096 bytes.",
        ..fixed(Subject, PROMPT, text(c"", Lines::Multiple))
    },
    Parameter {
        label: c"Negative prompt",
        hint: c"What to avoid. Empty: the model's own. Of no effect where guidance is 1. Up to 4096 bytes.",
        ..fixed(Subject, NEGATIVE_PROMPT, text(c"", Lines::Multiple))
    },
    Parameter {
        label: c"Seed",
        hint: c"Another seed gives another take of the same words; the same seed gives the same take.",
        ..fixed(
            Subject,
            SEED,
            Kind::Int { default: 1, range: [0, i32::MAX], display: [0, 9999] },
        )
    },
    Parameter {
        label: c"Center",
        hint: c"Where the subject is, as fractions of the take's frame: 0, 0 is the lower left corner, 0.5, 0.5 the middle.",
        ..animated(
            Ellipse,
            ELLIPSE_CENTER,
            Kind::Double2D {
                default: [0.5, 0.5],
                range: [*CENTER.start(), *CENTER.end()],
                display: [0.0, 1.0],
                increment: 0.001,
            },
        )
    },
    Parameter {
        label: c"Axes",
        hint: c"How large the subject is: full width and full height of the ellipse, in heights of the take's frame.",
        ..animated(
            Ellipse,
            ELLIPSE_AXES,
            Kind::Double2D {
                default: [0.6, 1.0],
                range: [*AXIS.start(), *AXIS.end()],
                display: [0.0, 2.0],
                increment: 0.001,
            },
        )
    },
    Parameter {
        label: c"Angle",
        hint: c"How far the ellipse is turned, in degrees counter-clockwise.",
        ..animated(
            Ellipse,
            ELLIPSE_ANGLE,
            Kind::Double {
                default: 0.0,
                range: [-36000.0, 36000.0],
                display: [-180.0, 180.0],
                increment: 0.1,
                unit: Unit::Angle,
            },
        )
    },
    Parameter {
        label: c"Strength",
        hint: c"How strongly the ellipse keeps its outside empty (mu): 0.05 is normal, 0 is without ellipse.",
        ..animated(Ellipse, MU, number(0.05, [-1.0, 1.0], [0.0, 0.3], 0.001))
    },
    Parameter {
        label: c"Generate",
        hint: c"Make a take from the parameters as they are now, and go on working meanwhile.",
        ..button(Generate, GENERATE)
    },
    Parameter {
        label: c"Generate and wait",
        hint: c"Make a take and wait until it is there.",
        ..button(Generate, GENERATE_AND_WAIT)
    },
    Parameter {
        label: c"Cancel",
        hint: c"Stop the take that is being made; the one before stays.",
        ..button(Generate, CANCEL)
    },
    Parameter {
        label: c"Revert",
        hint: c"Bring back the take before the last Generate.",
        ..button(Generate, REVERT)
    },
    Parameter {
        label: c"Refresh",
        hint: c"Look again whether the take is ready, and show it.",
        ..button(Generate, REFRESH)
    },
    Parameter {
        label: c"Status",
        hint: c"The take that is shown, the one on its way, and what went wrong.",
        persistent: false,
        evaluates: false,
        undoable: false,
        shown: Shown::ReadOnly,
        ..fixed(Generate, STATUS, text(c"", Lines::Single))
    },
    Parameter {
        label: c"Start here",
        hint: c"Let the take begin on the current frame.",
        ..button(Time, START_HERE)
    },
    Parameter {
        label: c"Start frame",
        hint: c"The frame on which the take begins.",
        ..fixed(
            Time,
            START_FRAME,
            Kind::Int { default: 0, range: [-10_000_000, 10_000_000], display: [0, 2000] },
        )
    },
    Parameter {
        label: c"Frames",
        hint: c"Frames to generate, 16 to a second, rounded to 1 more than a multiple of 4. 0: the model's own number.",
        ..fixed(Time, FRAMES, Kind::Int { default: 0, range: [0, 257], display: [0, 81] })
    },
    Parameter {
        label: c"Speed",
        hint: c"How fast the take plays: 2 is twice as fast, 0.5 is half as fast.",
        ..fixed(Time, SPEED, number(1.0, [0.01, 100.0], [0.25, 4.0], 0.01))
    },
    Parameter {
        label: c"Outside",
        hint: c"What shows before the take begins and after it ends: its first and last frame (hold), the take again (loop), to and fro (bounce), or nothing (empty).",
        ..fixed(
            Time,
            OUTSIDE,
            Kind::Choice { options: &[c"hold", c"loop", c"bounce", c"empty"] },
        )
    },
    Parameter {
        label: c"Resolution",
        hint: c"Size of the take. Model: the model's own. Custom: the width and height below.",
        ..fixed(
            Output,
            RESOLUTION,
            Kind::Choice {
                options: &[
                    c"model",
                    c"832x480",
                    c"480x832",
                    c"1280x720",
                    c"720x1280",
                    c"624x640",
                    c"640x624",
                    c"custom",
                ],
            },
        )
    },
    Parameter {
        label: c"Width",
        hint: c"Width of a take of custom resolution, in pixels, rounded to a multiple of 16.",
        ..fixed(
            Output,
            WIDTH,
            Kind::Int { default: 832, range: [64, 2048], display: [64, 1280] },
        )
    },
    Parameter {
        label: c"Height",
        hint: c"Height of a take of custom resolution, in pixels, rounded to a multiple of 16.",
        ..fixed(
            Output,
            HEIGHT,
            Kind::Int { default: 480, range: [64, 2048], display: [64, 1280] },
        )
    },
    Parameter {
        label: c"Missing take",
        hint: c"What a render does while the take is not there. Auto: a placeholder in an interactive session, waiting in a batch render.",
        ..fixed(
            Output,
            MISSING,
            Kind::Choice { options: &[c"auto", c"wait", c"error", c"empty"] },
        )
    },
    Parameter {
        label: c"Fit",
        hint: c"How the take is placed in the frame: whole (fit), covering it (fill), distorted to it (stretch), or pixel for pixel (1:1).",
        ..fixed(
            Output,
            FIT,
            Kind::Choice { options: &[c"fit", c"fill", c"stretch", c"1:1"] },
        )
    },
    Parameter {
        label: c"Transfer",
        hint: c"Color of the output. Auto goes by the host. As generated is display-referred, like sRGB.",
        ..fixed(
            Output,
            TRANSFER,
            Kind::Choice { options: &[c"auto", c"as generated", c"linear Rec.709", c"ACEScg"] },
        )
    },
    Parameter {
        label: c"Alpha",
        hint: c"Whether color is multiplied by alpha, as most hosts expect, or straight.",
        hosts: Hosts::NotFilters,
        ..fixed(Output, ALPHA_MODE, Kind::Choice { options: &[c"premultiplied", c"straight"] })
    },
    Parameter {
        label: c"Model",
        hint: c"Name of an installed model. Auto: the one that is found by itself.",
        ..fixed(Model, MODEL, text(c"auto", Lines::Single))
    },
    Parameter {
        label: c"Precision",
        hint: c"Number format that the model computes in; fp8: bf16, weights kept in 8 bits. Auto: the model's own.",
        ..fixed(
            Model,
            PRECISION,
            Kind::Choice { options: &[c"auto", c"f32", c"bf16", c"fp8"] },
        )
    },
    Parameter {
        label: c"Steps",
        hint: c"Denoising steps; more take longer. 0: the model's own number.",
        ..fixed(Model, STEPS, Kind::Int { default: 0, range: [0, 100], display: [0, 100] })
    },
    Parameter {
        label: c"Guidance",
        hint: c"How closely the take keeps to the words. 0: the model's own.",
        ..fixed(Model, GUIDANCE, number(0.0, [0.0, 30.0], [0.0, 30.0], 0.1))
    },
    Parameter {
        label: c"Shift",
        hint: c"How much of the work goes into the coarse form and motion. 0: the model's own.",
        ..fixed(Model, SHIFT, number(0.0, [0.0, 10.0], [0.0, 10.0], 0.1))
    },
    Parameter {
        label: c"Solver",
        hint: c"How the denoising equation is solved; lcm and rcm add fresh noise at each step, rcm takes 1 to 4. Model: the model's own.",
        ..fixed(
            Model,
            SOLVER,
            Kind::Choice {
                options: &[c"model", c"unipc", c"dpm++", c"euler", c"lcm", c"rcm"],
            },
        )
    },
    Parameter {
        label: c"Release GPU",
        hint: c"Let the model go from the GPU's memory once no take is being made.",
        ..button(Model, RELEASE_GPU)
    },
    Parameter {
        label: c"Take request",
        hint: c"What the last Generate asked for.",
        ..hidden(TAKE_REQUEST)
    },
    Parameter { label: c"Take key", hint: c"Name of that take in the store.", ..hidden(TAKE_KEY) },
    Parameter {
        label: c"Held request",
        hint: c"What the take before the last Generate was asked for.",
        ..hidden(HELD_REQUEST)
    },
    Parameter { label: c"Held key", hint: c"Name of that take in the store.", ..hidden(HELD_KEY) },
    Parameter {
        label: c"Revision",
        hint: c"Changes when there is a new picture, so that the host forgets the old one.",
        undoable: false,
        shown: Shown::Hidden,
        ..fixed(
            Generate,
            REVISION,
            Kind::Int { default: 0, range: [0, i32::MAX], display: [0, i32::MAX] },
        )
    },
    Parameter {
        label: c"Make again",
        hint: c"Make the take that this node has, as it was asked for, where it is missing here. The parameters do not count.",
        ..button(Generate, MAKE_AGAIN)
    },
    Parameter {
        label: c"Take history",
        hint: c"What the takes of this node were asked for.",
        ..hidden(TAKE_HISTORY)
    },
    Parameter {
        label: c"Start typed",
        hint: c"Whether the start frame is the artist's own: it stays then, wherever the timeline is.",
        undoable: false,
        shown: Shown::Hidden,
        ..fixed(Time, START_TYPED, Kind::Int { default: 0, range: [0, 1], display: [0, 1] })
    },
    Parameter {
        label: c"Own size",
        hint: c"Size and length of the model's own takes, and whether what is chosen lies beyond them. Beyond, models draw badly or nothing.",
        persistent: false,
        evaluates: false,
        undoable: false,
        shown: Shown::ReadOnly,
        ..fixed(Output, MODEL_LIMITS, text(c"", Lines::Single))
    },
    Parameter {
        label: c"View",
        hint: c"How the take is shown: as it is, its alpha as gray, or over a checkerboard. Batch renders always have it as it is.",
        ..fixed(
            Output,
            VIEW,
            Kind::Choice { options: &[c"RGBA", c"alpha as gray", c"over checker"] },
        )
    },
    Parameter {
        label: c"Rate conversion",
        hint: c"What shows between frames of the take, which has 16 a second: the nearest one, a blend of two, or one frame of the take on each frame of the timeline, whatever its rate.",
        ..fixed(
            Time,
            RATE_CONVERSION,
            Kind::Choice { options: &[c"nearest", c"blend", c"frame for frame"] },
        )
    },
    Parameter {
        label: c"Prompt template",
        hint: c"A prompt to begin with, in the order that works best: background, style, shot, subject. Generate puts it into an empty prompt.",
        ..fixed(
            Subject,
            PROMPT_TEMPLATE,
            Kind::Choice { options: &[c"none", c"flame", c"smoke", c"bubble", c"sparks"] },
        )
    },
    Parameter {
        label: c"Vary",
        hint: c"Make a take of the next seed; everything else stays as it is.",
        ..button(Generate, VARY)
    },
    Parameter {
        label: c"History",
        hint: c"Shows one of the last sixteen takes of this node again, without generating anything. Generate goes back to the latest.",
        ..fixed(
            Generate,
            HISTORY,
            Kind::Choice {
                options: &[
                    c"latest", c"1 before", c"2 before", c"3 before", c"4 before", c"5 before",
                    c"6 before", c"7 before", c"8 before", c"9 before", c"10 before",
                    c"11 before", c"12 before", c"13 before", c"14 before", c"15 before",
                ],
            },
        )
    },
    Parameter {
        label: c"Make take",
        hint: c"In hosts without buttons, such as Kdenlive and Shotcut: on, the take of these parameters is made, and no other until this was off; off, the clip is as it was.",
        hosts: Hosts::Filters,
        ..fixed(Generate, MAKE_TAKE, Kind::Toggle)
    },
    Parameter {
        label: c"Over source",
        hint: c"In hosts that make filters alone: whether the take lies over the clip or is in its place.",
        hosts: Hosts::Filters,
        ..fixed(Output, OVER_SOURCE, Kind::Choice { options: &[c"over the clip", c"in its place"] })
    },
    Parameter {
        label: c"Timeline rate",
        hint: c"Frames per second of the timeline, in hosts that make filters alone and do not say it.",
        hosts: Hosts::Filters,
        ..fixed(Time, TIMELINE_RATE, number(25.0, [0.001, 1000.0], [1.0, 60.0], 0.001))
    },
    Parameter {
        label: c"LoRAs",
        hint: c"Further LoRAs of style, subject or motion, a line each: the name it was added by, or name:strength, such as smoke:0.8. They are merged in this order, after the model's own.",
        ..fixed(Model, LORAS, text(c"", Lines::Multiple))
    },
    Parameter {
        label: c"Use Source frame",
        hint: c"For image-to-video models: the take begins with the frame of Source that lies where the take begins. It is taken when Generate is pressed, and only then. The ellipse is that of its alpha, unless it is drawn.",
        ..fixed(Subject, USE_SOURCE_FRAME, Kind::Toggle)
    },
    Parameter {
        label: c"Image",
        hint: c"For image-to-video models: the file that the take begins with, a PNG or EXR with alpha, of any size. It is read when Generate is pressed, and kept beside the take. The ellipse is that of its alpha, unless it is drawn.",
        ..fixed(Subject, IMAGE, text(c"", Lines::FilePath))
    },
    Parameter {
        label: c"Matte",
        hint: c"The alpha of Image, where that has none: a picture of its size, white where the subject is.",
        ..fixed(Subject, MATTE, text(c"", Lines::FilePath))
    },
    Parameter {
        label: c"Opaque image",
        hint: c"Takes an Image without alpha as it is, opaque everywhere; else one without Matte is refused.",
        ..fixed(Subject, OPAQUE_IMAGE, Kind::Toggle)
    },
    Parameter {
        label: c"Memory",
        hint: c"How much of the GPU's memory a take may use, in gigabytes; without a GPU, of the engine's own. Frames that are too large for it are decoded in tiles, which is seen in no picture but makes another take. Auto: what is free.",
        ..fixed(
            Model,
            MEMORY,
            Kind::Choice { options: &[c"auto", c"8", c"12", c"16", c"24", c"48"] },
        )
    },
    Parameter {
        label: c"Pause",
        hint: c"Give the GPU back after the step that is being computed, of whoever's take, and begin no other.",
        ..button(Generate, PAUSE)
    },
    Parameter {
        label: c"Resume",
        hint: c"Go on with the take that was paused: it becomes what it would have been.",
        ..button(Generate, RESUME)
    },
    Parameter {
        label: c"Preview",
        hint: c"While a take is made, show what it is going to be instead of a placeholder or the take before: its middle after each step, coarsely. Looked at again at each event, such as Refresh. Never in a batch render.",
        hosts: Hosts::NotFilters,
        ..fixed(Output, PREVIEW, Kind::Toggle)
    },
];

/// Saved, evaluated, edited by the artist, not keyframed; label and hint are to be filled in.
const fn fixed(group: Group, id: &'static CStr, kind: Kind) -> Parameter {
    Parameter {
        id,
        group,
        label: c"",
        hint: c"",
        kind,
        animates: false,
        persistent: true,
        evaluates: true,
        undoable: true,
        shown: Shown::Editable,
        hosts: Hosts::All,
    }
}

/// A parameter as of [`fixed`] that may be keyframed.
const fn animated(group: Group, id: &'static CStr, kind: Kind) -> Parameter {
    Parameter { animates: true, ..fixed(group, id, kind) }
}

/// A hidden text, saved with the project, that the node writes for itself.
const fn hidden(id: &'static CStr) -> Parameter {
    Parameter { shown: Shown::Hidden, ..fixed(Generate, id, text(c"", Lines::Single)) }
}

/// Something to press: it has no value to save, evaluate or undo.
const fn button(group: Group, id: &'static CStr) -> Parameter {
    Parameter {
        persistent: false,
        evaluates: false,
        undoable: false,
        ..fixed(group, id, Kind::Button)
    }
}

const fn text(default: &'static CStr, lines: Lines) -> Kind {
    Kind::Text { default, lines }
}

const fn number(default: f64, range: [f64; 2], display: [f64; 2], increment: f64) -> Kind {
    Kind::Double { default, range, display, increment, unit: Unit::Plain }
}
