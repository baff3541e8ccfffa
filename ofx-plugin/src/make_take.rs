//! *Make take*, which stands for Generate in hosts that make filters alone.
//!
//! Such hosts have no buttons, save nothing that is hidden and make an instance anew for each frame,
//! with the values of that frame, on many threads at once; and they tell of no edit. So what was asked
//! for is kept here, for all of the process. While the toggle is on, the first request holds for all
//! that differ from it in ellipse and strength alone: what is keyed would make a take of each frame.
//! And nothing but the toggle has a take made: another prompt does not, since it may be one that is
//! being typed, until the toggle was off with it. Without an artist nobody types, and every request is
//! made.

#![forbid(unsafe_code)]

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::build_request;
use crate::environment;
use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{
    Group, Kind, MAKE_TAKE, PROMPT_TEMPLATE, Parameter, START_FRAME, TABLE, USE_SOURCE_FRAME,
};
use crate::saved_requests::AcceptedRequest;
use crate::session::PluginSession;

/// How many takes are held, and how many that are off are remembered: those of a long timeline.
const MANY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// What nodes of this process ask for.
static SWITCHES: Mutex<Option<Switches>> = Mutex::new(None);

/// All that a take depends on but for ellipse and strength, as the parameters have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Family(String);

/// What was asked for while the toggle was on.
#[derive(Clone, Debug)]
struct HeldTake {
    take: Arc<AcceptedRequest>,
    /// Who asked for it, to the engine.
    holder: String,
    /// Whether it was said that others do not count.
    is_told: bool,
}

/// What a node with the toggle on has made.
#[derive(Debug)]
pub(crate) enum SwitchAnswer {
    /// This take. `is_new` where nobody has asked for it yet, `tell` where it is to be said once that
    /// it holds for what differs in ellipse and strength.
    Take { take: Arc<AcceptedRequest>, holder: String, is_new: bool, tell: bool },
    /// Nothing: the parameters have changed while the toggle was on.
    Changed(Arc<AcceptedRequest>),
}

/// The toggles of all nodes of a process.
struct Switches {
    held: LruCache<Family, HeldTake>,
    /// Seen with the toggle off since it was last turned on anywhere.
    off: LruCache<Family, ()>,
    /// Whether any was seen on: the first one may have been on when the project was opened.
    was_on: bool,
}

impl Switches {
    fn new() -> Self {
        Self { held: LruCache::new(MANY), off: LruCache::new(MANY), was_on: false }
    }

    /// The toggle is off. What was held is forgotten.
    fn off(&mut self, family: Family) -> Option<HeldTake> {
        let held = self.held.pop(&family);
        self.off.put(family, ());
        held
    }

    /// The toggle is on, and would have this take made. `is_attended` where somebody may be typing.
    fn on(&mut self, family: Family, take: AcceptedRequest, is_attended: bool) -> SwitchAnswer {
        if let Some(held) = self.held.get_mut(&family) {
            let tell = held.take.key != take.key && !held.is_told;
            held.is_told |= tell;
            let HeldTake { take, holder, .. } = held.clone();
            return SwitchAnswer::Take { take, holder, is_new: false, tell };
        }
        let is_turned_on = self.off.pop(&family).is_some();
        let is_first = !std::mem::replace(&mut self.was_on, true);
        let take = Arc::new(take);
        if is_attended && !is_turned_on && !is_first {
            return SwitchAnswer::Changed(take);
        }
        // What was typed on the way to this one is not turned on by going back to it.
        self.off.clear();
        let holder = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        let held = HeldTake { take: Arc::clone(&take), holder: holder.clone(), is_told: false };
        self.held.put(family, held);
        SwitchAnswer::Take { take, holder, is_new: true, tell: false }
    }
}

/// Whether the toggle is on; without an artist it always is.
pub(crate) fn is_on(node: Node<'_>) -> Result<bool, Status> {
    Ok(environment::is_batch() || node.int(MAKE_TAKE)? != 0)
}

/// The toggle of this node is off: what it has asked for is forgotten, and no longer made.
pub(crate) fn note_off(node: Node<'_>) -> Result<(), Status> {
    let family = Family::of(node)?;
    let held = SWITCHES.lock().get_or_insert_with(Switches::new).off(family);
    if let (Some(held), Some(session)) = (held, PluginSession::if_open()) {
        session.cancel(held.take.key, &held.holder);
    }
    Ok(())
}

/// The toggle of this node is on, and its parameters ask for nothing that can be made: what they ask
/// for when they do is not the first.
pub(crate) fn note_refused() {
    SWITCHES.lock().get_or_insert_with(Switches::new).was_on = true;
}

/// The toggle of this node is on, and its parameters ask for this.
pub(crate) fn ask(node: Node<'_>, take: AcceptedRequest) -> Result<SwitchAnswer, Status> {
    let family = Family::of(node)?;
    let is_attended = !environment::is_batch() && !environment::is_melt();
    Ok(SWITCHES.lock().get_or_insert_with(Switches::new).on(family, take, is_attended))
}

/// What the toggle of this node has had made for its parameters, where that is known without asking anew:
/// the image that the take begins with is then the one that was taken.
pub(crate) fn held(node: Node<'_>) -> Result<Option<SwitchAnswer>, Status> {
    let family = Family::of(node)?;
    let mut switches = SWITCHES.lock();
    let held = switches.as_mut().and_then(|switches| switches.held.get(&family).cloned());
    Ok(held.map(|HeldTake { take, holder, .. }| SwitchAnswer::Take {
        take,
        holder,
        is_new: false,
        tell: false,
    }))
}

/// Lets go of everything, as the plug-in is unloaded.
pub(crate) fn clear() {
    SWITCHES.lock().take();
}

impl Family {
    fn of(node: Node<'_>) -> Result<Self, Status> {
        let mut family = format!("{:?}", build_request::template(node)?);
        for parameter in TABLE.iter().filter(|parameter| is_of_family(parameter)) {
            let value = match parameter.kind {
                Kind::Text { .. } => format!("{:?}", node.text(parameter.id)?),
                Kind::Double { .. } => node.double(parameter.id)?.to_string(),
                _ => node.int(parameter.id)?.to_string(),
            };
            family = format!("{family} {value}");
        }
        // Of the clip another frame is another image.
        if node.int(USE_SOURCE_FRAME)? != 0 {
            family = format!("{family} {}", node.int(START_FRAME)?);
        }
        Ok(Self(family))
    }
}

/// Whether a take depends on a parameter, other than on ellipse and strength.
fn is_of_family(parameter: &Parameter) -> bool {
    let is_asked = match parameter.group {
        Group::Subject | Group::Model => parameter.id != PROMPT_TEMPLATE,
        Group::Output => SIZE.contains(&parameter.id),
        Group::Time => parameter.id == crate::params::FRAMES,
        Group::Ellipse | Group::Generate => false,
    };
    is_asked && parameter.kind != Kind::Button
}

/// The parameters that say how large a take is.
const SIZE: [&std::ffi::CStr; 3] =
    [crate::params::RESOLUTION, crate::params::WIDTH, crate::params::HEIGHT];

#[cfg(test)]
mod tests {
    use wan_alpha_take::models::Defaults;
    use wan_alpha_take::{Ellipse, Fingerprint, Precision, RequestDraft};

    use super::*;

    fn take(prompt: &str, mu: f64) -> AcceptedRequest {
        let draft = RequestDraft {
            frames: Some(1),
            ellipse: vec![Ellipse::default()],
            mu: vec![mu],
            steps: Some(4),
            guidance: Some(1.0),
            precision: Some(Precision::F32),
            model_fingerprint: Some(Fingerprint([1; 32])),
            ..RequestDraft::new("m".into(), prompt.into())
        };
        let request = draft.complete(&Defaults::default()).unwrap();
        AcceptedRequest { key: request.key().unwrap(), request }
    }

    fn on(switches: &mut Switches, prompt: &str, mu: f64, is_attended: bool) -> Option<f64> {
        match switches.on(Family(prompt.into()), take(prompt, mu), is_attended) {
            SwitchAnswer::Take { take, .. } => Some(take.request.mu[0]),
            SwitchAnswer::Changed(_) => None,
        }
    }

    #[test]
    fn the_first_request_holds_until_it_is_off() {
        let mut switches = Switches::new();
        assert_eq!([0.1, 0.2, 0.3].map(|mu| on(&mut switches, "a", mu, true)), [Some(0.1); 3]);
        assert_eq!(switches.off(Family("a".into())).unwrap().take.request.mu, [0.1]);
        assert_eq!([0.2, 0.3].map(|mu| on(&mut switches, "a", mu, true)), [Some(0.2); 2]);
    }

    #[test]
    fn it_is_said_once_that_the_others_do_not_count() {
        let mut switches = Switches::new();
        let mut told = |mu| match switches.on(Family("a".into()), take("a", mu), true) {
            SwitchAnswer::Take { is_new, tell, .. } => [is_new, tell],
            SwitchAnswer::Changed(_) => panic!("not made"),
        };
        let all = [0.1, 0.1, 0.2, 0.3].map(&mut told);
        assert_eq!(all, [[true, false], [false, false], [false, true], [false, false]]);
    }

    #[test]
    fn no_keystroke_has_a_take_made() {
        let mut switches = Switches::new();
        for typed in ["f", "fl", "fla"] {
            assert!(switches.off(Family(typed.into())).is_none());
        }
        assert!(on(&mut switches, "fla", 0.1, true).is_some());
        for typed in ["fl", "f", "fo"] {
            assert_eq!(on(&mut switches, typed, 0.1, true), None, "{typed}");
        }
        assert!(on(&mut switches, "fla", 0.1, true).is_some(), "it is there already");
        switches.off(Family("fo".into()));
        assert!(on(&mut switches, "fo", 0.1, true).is_some());
        assert!(on(&mut switches, "fla", 0.1, true).is_some(), "of another node");
    }

    #[test]
    fn without_an_artist_every_request_is_made() {
        let mut switches = Switches::new();
        for prompt in ["a", "b", "c"] {
            assert_eq!(on(&mut switches, prompt, 0.1, false), Some(0.1));
            assert_eq!(on(&mut switches, prompt, 0.2, false), Some(0.1), "{prompt}");
        }
    }
}
