//! What tells one host from another, as data: `openfx-facts` in the order in which a plug-in meets
//! it.

#![forbid(unsafe_code)]

mod known;

use crate::images::Depth;
use crate::status::Status;

/// In which role a plug-in is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// It makes pictures without inputs.
    Generator,
    /// It changes the picture of one input.
    Filter,
    /// It has inputs as it likes.
    General,
    /// From one input to another.
    Transition,
    /// Another timing of one input.
    Retimer,
    /// An input and a mask.
    Paint,
}

impl Context {
    /// All contexts that there are in OpenFX.
    pub const ALL: [Self; 6] = [
        Self::Generator,
        Self::Filter,
        Self::General,
        Self::Transition,
        Self::Retimer,
        Self::Paint,
    ];

    /// As OpenFX names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Generator => "OfxImageEffectContextGenerator",
            Self::Filter => "OfxImageEffectContextFilter",
            Self::General => "OfxImageEffectContextGeneral",
            Self::Transition => "OfxImageEffectContextTransition",
            Self::Retimer => "OfxImageEffectContextRetimer",
            Self::Paint => "OfxImageEffectContextPaint",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|context| context.name() == name)
    }
}

/// What a host does with numbers outside the range that the plug-in described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clamp {
    /// Brings them into the hard range.
    ToRange,
    /// The same; and numbers without both ranges become whole numbers 0 and doubles of −1 to 1.
    ToRangeOrNothing,
}

/// Which writes by the plug-in are steps of undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Those of parameters with `CanUndo`.
    CanUndo,
    /// Those of parameters with `CanUndo` and `EvaluateOnChange`, in an edit block, while the panel
    /// is open.
    EditBlockInOpenPanel,
    /// None of them: only what the artist does.
    OfTheArtistOnly,
}

/// How a host gives an instance the values of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restore {
    /// Before it is created.
    BeforeCreate,
    /// Afterwards, each told as an edit by the plug-in.
    AfterCreate,
}

/// What a host makes of the format and the arguments of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formatting {
    /// What C makes of them.
    Formatted,
    /// The arguments are lost: each string that the format asks for is a blank.
    WithAList,
    /// It shows the format as it is.
    AsGiven,
}

/// A host, to the eyes of a plug-in.
#[derive(Clone, Debug)]
pub struct Profile {
    /// `OfxPropName` of the host.
    pub name: String,
    /// `OfxPropLabel` of the host.
    pub label: String,
    /// `OfxPropVersion` of the host.
    pub version: [i32; 3],
    /// `OfxPropAPIVersion` of the host.
    pub api: [i32; 2],
    /// Calls `OfxSetHost` where it is exported.
    pub introduces_itself: bool,
    /// Which contexts it has; the first that the plug-in has too is the one that it prefers.
    pub contexts: Vec<Context>,
    /// Whether it says which contexts it has; else it says in which one it makes everything.
    pub lists_contexts: bool,
    /// Whether it loads, describes and makes everything anew for each frame, on whatever thread renders
    /// it, with the values of that frame; and says nothing of changes in between. It has no buttons,
    /// saves nothing that is hidden, and describes in a context with what it says of itself.
    pub instance_per_frame: bool,
    /// Which pixel depths it has; the first that the plug-in has too is the one that it views in.
    pub depths: Vec<Depth>,
    /// Whether it renders in tiles.
    pub tiles: bool,
    /// Whether images may begin elsewhere than at the origin.
    pub multi_resolution: bool,
    /// Whether it draws overlays.
    pub overlays: bool,
    /// The scales at which it renders.
    pub render_scales: Vec<f64>,
    /// Properties that it does not know, on anything.
    pub lacks_properties: Vec<String>,
    /// Properties that its images do not have.
    pub images_lack: Vec<String>,
    /// Texts that its images say of themselves, whatever is so.
    pub images_say: Vec<(String, String)>,
    /// How it answers every wish for an image, where it gives none.
    pub refuses_images: Option<Status>,
    /// Suites that it does not have, by name and version.
    pub lacks_suites: Vec<(String, i32)>,
    /// Functions that are null, by suite and name.
    pub null_functions: Vec<(String, String)>,
    /// Whether texts may be animated.
    pub animates_strings: bool,
    /// What becomes of numbers out of range.
    pub clamp: Clamp,
    /// Whether `[ ]`, `$` and `{ }` in texts are evaluated when the plug-in reads them.
    pub evaluates_strings: bool,
    /// Whether a parameter that is described secret or disabled stays so.
    pub freezes_described_state: bool,
    /// Whether projects hold values that equal the default.
    pub saves_defaults: bool,
    /// How projects come back.
    pub restore: Restore,
    /// Several instances for one node, made anew at each edit before the old ones go.
    pub rebuilds_instances: bool,
    /// Parameters of its own that it reports as changed when an instance is made.
    pub unknown_parameters: Vec<String>,
    /// Whether it asks a new instance for its region at half scale, to learn whether it scales.
    pub tries_half_scale: bool,
    /// How many threads plug-ins get; as many as there are processors where it does not say.
    pub processors: Option<u32>,
    /// Which writes are undone.
    pub undo: Undo,
    /// Whether it brackets a change of time and says nothing in between.
    pub bare_time_changes: bool,
    /// Whether parameters may be set by the plug-in in changes and in events of an overlay only.
    pub sets_in_changes_only: bool,
    /// How many characters of a message it shows, where there is a limit.
    pub message_length: Option<usize>,
    /// How it manages colors, as OpenFX 1.5 names that, where it does.
    pub color_management: Option<&'static str>,
    /// What becomes of the format of a message.
    pub messages: Formatting,
    /// Whether there is no artist.
    pub background: bool,
    /// How it cuts the frames that it shows, where it does.
    pub view_tiles: Option<[i32; 2]>,
    /// Frames per second of a new project.
    pub frame_rate: f64,
    /// First and last frame of a new project.
    pub timeline: [f64; 2],
    /// Size of a new project, in canonical coordinates.
    pub size: [f64; 2],
    /// Where its lower left corner lies.
    pub offset: [f64; 2],
    /// Width of a pixel by its height.
    pub pixel_aspect: f64,
}

impl Profile {
    /// Without a suite, in any version.
    #[must_use]
    pub fn without_suite(mut self, name: &str) -> Self {
        self.lacks_suites.extend((1..=2).map(|version| (name.to_owned(), version)));
        self
    }

    /// Without one version of a suite.
    #[must_use]
    pub fn without_suite_version(mut self, name: &str, version: i32) -> Self {
        self.lacks_suites.push((name.to_owned(), version));
        self
    }

    /// With a function left null.
    #[must_use]
    pub fn with_null(mut self, suite: &str, function: &str) -> Self {
        self.null_functions.push((suite.to_owned(), function.to_owned()));
        self
    }

    /// Without knowledge of these properties.
    #[must_use]
    pub fn without_properties(mut self, names: &[&str]) -> Self {
        self.lacks_properties.extend(names.iter().map(|&name| name.to_owned()));
        self
    }

    /// With images that say this of themselves.
    #[must_use]
    pub fn with_images_saying(mut self, name: &str, text: &str) -> Self {
        self.images_say.push((name.to_owned(), text.to_owned()));
        self
    }

    /// With no image for anybody: each wish for one is answered so.
    #[must_use]
    pub fn refusing_images(mut self, status: Status) -> Self {
        self.refuses_images = Some(status);
        self
    }

    /// The same host with these contexts only.
    #[must_use]
    pub fn with_contexts(mut self, contexts: &[Context]) -> Self {
        self.contexts = contexts.to_vec();
        self
    }

    /// The same host under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Without an artist, as on a farm.
    #[must_use]
    pub fn in_background(mut self) -> Self {
        self.background = true;
        self
    }

    /// With colors managed in this style: `OfxImageEffectColourManagementCore`, say.
    #[must_use]
    pub fn managing_color(mut self, style: &'static str) -> Self {
        self.color_management = Some(style);
        self
    }

    /// With messages put together like that.
    #[must_use]
    pub fn formatting(mut self, messages: Formatting) -> Self {
        self.messages = messages;
        self
    }

    /// With new projects of this size.
    #[must_use]
    pub fn sized(mut self, width: f64, height: f64) -> Self {
        self.size = [width, height];
        self
    }

    /// With new projects of this length.
    #[must_use]
    pub fn from_to(mut self, first: f64, last: f64) -> Self {
        self.timeline = [first, last];
        self
    }

    /// With new projects of this frame rate.
    #[must_use]
    pub fn at_rate(mut self, rate: f64) -> Self {
        self.frame_rate = rate;
        self
    }
}
