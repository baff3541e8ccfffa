//! A headless OpenFX host: it uses a plug-in as Nuke, Resolve or Natron would, and watches it.
//!
//! ```no_run
//! use wan_alpha_test_host::{Context, Depth, Host, Profile, RenderAsk, Stride};
//!
//! # fn story() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::new(Profile::natron()); // fails the test when a rule is broken
//! let plugin = host.load("target/WanAlpha.ofx.bundle")?; // or a lone .ofx or .so
//! let project = plugin.project();
//! let node = project.add(Context::Generator)?;
//! node.set("prompt", "a glass of smoke"); // the artist edits: a step of undo, InstanceChanged
//! node.key("ellipseCenter", 10.0, [0.2, 0.5]);
//! node.press("generate"); // what the plug-in writes in answer is told to it again
//! assert!(node.text("status").contains("queued"));
//! let frame = node.view(10.0); // through the host's cache, as the viewer shows it
//! let [_red, _green, _blue, _alpha] = frame.pixel(960, 540);
//! node.render(&RenderAsk::at(10.0).in_depth(Depth::Byte).with_stride(Stride::Negative)); // past it
//! node.undo();
//! project.go_to(20.0);
//! project.save("shot.json");
//! let again = plugin.open("shot.json")?; // as the next day: new instances, values set before
//! # Ok(())
//! # }
//! ```
//!
//! Where to look:
//! - [`Host`], [`Profile`] (which host it plays), [`Plugin`], [`Project`], [`Node`]: what tests
//!   speak. `Node` is split by who asks: `node/edit` (the artist), `node/look` (single questions),
//!   `node/render` (past every cache, from any thread), `node/view` (through the cache),
//!   `node/lifecycle` (instances come and go).
//! - [`Rule`] and [`Fault`]: what is watched. A broken rule fails the test at the end of the verb in
//!   which it shows, and once more when the host goes; [`Host::collecting`] only writes it down.
//! - `suites`: the functions that the plug-in calls; `properties` with the table of all that OpenFX
//!   defines; `params` with curves and undo; `images` with guards and poison; `overlay`; `cache`.
//! - `doing`: what each thread is in the middle of, which is how a suite knows what may be done.
//!   `registry`: which handles live. `lent`: strings that spoil at the next call. `boundary`: C.
//!
//! What holds:
//! - The thread that makes a [`Host`] is its main thread; [`Node::render`] and [`Node::view`] may be
//!   called on any thread meanwhile, everything else only there.
//! - A handle is a number that is never given again; one that is wrong or stale is a fault.
//! - Each loading is a copy of the binary, with statics of its own.
//! - One state is one picture: where something outside has changed what a state looks like (a take
//!   has appeared), say so with [`Host::world_changed`].
//! - A verb fails the test where the test asks for what is not there (an unknown parameter, say).
//! - Unsafe code is in `boundary`, `lent`, `suites`, `images/memory` and `plugin/library` only.

#![deny(unsafe_code)]

mod action;
mod binary;
mod boundary;
mod cache;
mod call;
mod clip;
mod doing;
mod effect;
mod host;
mod images;
mod lent;
mod node;
mod overlay;
mod params;
mod plugin;
mod profile;
mod project;
mod properties;
mod registry;
mod rules;
mod status;
mod stopwatch;
mod suites;

pub use action::Action;
pub use binary::{ARCHITECTURE, Binary, LoadError};
pub use effect::Preferences;
pub use host::Host;
pub use images::memory::Stride;
pub use images::rendering::{Abort, AbortSwitch};
pub use images::source::Source;
pub use images::{Depth, Image, Rect};
pub use node::geometry::FramesOfClips;
pub use node::lifecycle::Refused;
pub use node::told::{Message, Progress};
pub use node::{Frame, Made, Node, RenderAsk, Tiles};
pub use overlay::{Drawing, DrawsWith, Overlay, Pen, Shape, Stroke};
pub use params::change::Reason;
pub use params::{ParamKind, Value};
pub use plugin::{Described, Details, Plugin};
pub use profile::{Clamp, Context, Formatting, Profile, Restore, Undo};
pub use project::file::OpenError;
pub use project::{Project, Settings};
pub use properties::{Item, Properties};
pub use rules::{Fault, Rule};
pub use status::Status;
pub use stopwatch::Stopwatch;
