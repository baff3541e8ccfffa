//! The parameters of the node as data: one table, read by description, actions and documentation.
//!
//! Projects hold what stands here. An id, a type, a default, a hard range, the order of choices,
//! whether a parameter animates and whether it is saved never change once released, because hosts
//! do not save what equals its default and find parameters by id; new parameters and choices are
//! appended. `tests/data/params.golden.json` guards that. Labels, hints, groups and display ranges
//! may change.

#![forbid(unsafe_code)]

mod ids;
mod markdown;
mod table;

use std::ffi::CStr;

pub use ids::*;
pub use markdown::markdown;
pub use table::TABLE;

/// The longest prompt in bytes of UTF-8; hosts write it into their project files as it is.
pub const MAX_PROMPT: usize = 4096;

/// One parameter of the node, with all that a host is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name in projects and scripts, for good.
    pub id: &'static CStr,
    /// Where the panel shows it.
    pub group: Group,
    /// Its name in the panel.
    pub label: &'static CStr,
    /// What an artist reads when pointing at it.
    pub hint: &'static CStr,
    /// Type, default and limits.
    pub kind: Kind,
    /// Whether it may be keyframed.
    pub animates: bool,
    /// Whether projects hold its value.
    pub persistent: bool,
    /// Whether a change makes the host look for new pictures. Natron undoes only what does.
    pub evaluates: bool,
    /// Whether a change by the node is a step of undo.
    pub undoable: bool,
    /// How the panel shows it.
    pub shown: Shown,
    /// Which hosts it is for.
    pub hosts: Hosts,
}

/// Type, default and limits of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A text of one line or several.
    Text {
        /// The value in a new node.
        default: &'static CStr,
        /// Whether the panel gives it several lines.
        lines: Lines,
    },
    /// A whole number, within limits.
    Int {
        /// The value in a new node.
        default: i32,
        /// The least and the greatest value.
        range: [i32; 2],
        /// The ends of the slider.
        display: [i32; 2],
    },
    /// A floating-point number, within limits.
    Double {
        /// The value in a new node.
        default: f64,
        /// The least and the greatest value.
        range: [f64; 2],
        /// The ends of the slider.
        display: [f64; 2],
        /// What one step of the wheel or arrow key adds.
        increment: f64,
        /// What the number measures.
        unit: Unit,
    },
    /// Two numbers, keyframed together; both have the same limits.
    Double2D {
        /// The value in a new node.
        default: [f64; 2],
        /// The least and the greatest value.
        range: [f64; 2],
        /// The ends of the sliders.
        display: [f64; 2],
        /// What one step of the wheel or arrow key adds.
        increment: f64,
    },
    /// One of several names; the first is the default.
    Choice {
        /// The names, in the order in which projects number them.
        options: &'static [&'static CStr],
    },
    /// A button without a value.
    Button,
    /// On or off, and off in a new node.
    Toggle,
}

/// How many lines a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Exactly one line of text.
    Single,
    /// Any number of lines.
    Multiple,
    /// The path of a file, which hosts let one choose.
    FilePath,
}

/// What a number measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing that a host would convert.
    Plain,
    /// An angle in degrees, counter-clockwise.
    Angle,
}

/// How the panel shows a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The artist may edit it.
    Editable,
    /// The artist can only read it.
    ReadOnly,
    /// The panel does not show it.
    Hidden,
}

/// Which hosts a parameter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Every host there is.
    All,
    /// Those that make filters alone: others do not have it.
    Filters,
    /// All the others: those that make filters alone do not show it.
    NotFilters,
}

/// A group of the panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What the take shows: prompts and seed.
    Subject,
    /// Where the subject is: the ellipse.
    Ellipse,
    /// The buttons that make takes, and the status.
    Generate,
    /// When the take plays.
    Time,
    /// How the take becomes a picture of the host.
    Output,
    /// Which model makes the take, and how.
    Model,
}

impl Group {
    /// Every group, in the order of the panel.
    pub const ALL: &[Self] =
        &[Self::Subject, Self::Ellipse, Self::Generate, Self::Time, Self::Output, Self::Model];

    /// Its name in projects and scripts. Groups are parameters too, and `model` is one already.
    #[must_use]
    pub fn id(self) -> &'static CStr {
        match self {
            Self::Subject => c"subjectGroup",
            Self::Ellipse => c"ellipseGroup",
            Self::Generate => c"generateGroup",
            Self::Time => c"timeGroup",
            Self::Output => c"outputGroup",
            Self::Model => c"modelGroup",
        }
    }

    /// Its name in the panel.
    #[must_use]
    pub fn label(self) -> &'static CStr {
        match self {
            Self::Subject => c"Subject",
            Self::Ellipse => c"Ellipse",
            Self::Generate => c"Generate",
            Self::Time => c"Time",
            Self::Output => c"Output",
            Self::Model => c"Model",
        }
    }

    /// Whether a new panel shows what is in it.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Subject | Self::Ellipse | Self::Generate)
    }
}

impl Kind {
    /// How the documentation and the golden file name the type.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text { lines: Lines::Single, .. } => "String",
            Self::Text { lines: Lines::Multiple, .. } => "String, multi-line",
            Self::Text { lines: Lines::FilePath, .. } => "String, file path",
            Self::Int { .. } => "Int",
            Self::Double { unit: Unit::Plain, .. } => "Double",
            Self::Double { unit: Unit::Angle, .. } => "Double, angle",
            Self::Double2D { .. } => "Double2D",
            Self::Choice { .. } => "Choice",
            Self::Button => "PushButton",
            Self::Toggle => "Boolean",
        }
    }
}

/// Where a parameter stands in [`TABLE`].
#[must_use]
pub fn position(id: &CStr) -> Option<usize> {
    TABLE.iter().position(|parameter| parameter.id == id)
}
