//! What the buttons do. Nothing else starts work in a session with an artist.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use wan_alpha_take::{TakeKey, TakeRequest};

use crate::build_request::{self, BuildRequestError};
use crate::node::Node;
use crate::params::{Kind, REVISION, START_FRAME, STEPS, TABLE, TAKE_REQUEST, position};
use crate::saved_requests::SavedRequests;
use crate::sentences;
use crate::session::{JobProgress, JobReadiness, PluginSession};
use crate::status::Status;
use crate::take_state::{
    NewTake, Restoring, TakeState, restore_previous, set_status, update_status,
};

/// Asks for the take that the parameters describe; it is made meanwhile, or is already there.
pub(crate) fn generate(node: Node<'_>) -> Result<(), Status> {
    begin(node).map(|_| ())
}

/// The same, and waits for it, with a progress bar where the host has one.
pub(crate) fn generate_and_wait(node: Node<'_>) -> Result<(), Status> {
    /// Between two looks at the bar's Cancel.
    const LOOK: Duration = Duration::from_millis(100);
    let Some(key) = begin(node)? else { return Ok(()) };
    let session = PluginSession::of(node.effect().host());
    let began = Instant::now();
    let bar = node.effect().progress(c"WanAlpha generates a take");
    let mut done = 0.0_f64;
    while let JobReadiness::Pending(pending) = session.readiness(key) {
        done = done.max(fraction(&pending, began.elapsed()));
        if bar.as_ref().is_some_and(|bar| !bar.update(done)) {
            drop(bar);
            return cancel(node);
        }
        session.pause(LOOK);
    }
    drop(bar);
    update_status(node, Restoring::Allowed)
}

/// How much of the work is done, as well as can be told.
fn fraction(pending: &JobProgress, elapsed: Duration) -> f64 {
    let JobProgress::Running(progress) = pending else { return 0.0 };
    let told = progress.seconds_left.filter(|left| left.is_finite() && *left >= 0.0);
    let fraction = match told {
        Some(left) => elapsed.as_secs_f64() / (elapsed.as_secs_f64() + left),
        None => f64::from(progress.step) / f64::from(progress.of.max(1)),
    };
    fraction.clamp(0.0, 0.99)
}

/// The key of the take that is now being made or there; nothing where there is nothing to make.
fn begin(node: Node<'_>) -> Result<Option<TakeKey>, Status> {
    let session = PluginSession::of(node.effect().host());
    let record = SavedRequests::of(node)?;
    let start = settled_start(node, &record)?;
    let (request, key) = match wanted(node, &session, start) {
        Ok(wanted) => wanted,
        Err(unwanted) => {
            let why = format!("Nothing was started: {}.", sentences::brief(&unwanted.to_string()));
            node.effect().tell(&why);
            set_status(node, &why)?;
            node.instance().set_trouble(Some(why));
            return Ok(None);
        }
    };
    node.instance().set_trouble(few_steps(&session, node, &request)?);
    let before = record.take.accepted();
    let found = session.readiness(key);
    let is_there = matches!(found, JobReadiness::Ready(_));
    let sight = TakeState::Take(if is_there {
        found
    } else {
        JobReadiness::Pending(JobProgress::Starting)
    });
    // One not yet made never becomes the held one.
    let held = before
        .filter(|take| {
            take.key != key && matches!(session.readiness(take.key), JobReadiness::Ready(_))
        })
        .map(|_| [&*record.take.text, &*record.take.key]);
    let (text, name) = (request.to_parameter(), key.to_string());
    let put = NewTake { edit: c"Generate", take: [&text, &name], held, start };
    put.put(node, &sight)?;
    if let Some(before) = before.filter(|take| take.key != key) {
        give_up(node, &session, before.key);
    }
    node.instance().set_asked(Some(key));
    if !is_there {
        session.generate(&request, key, node.instance().name());
    }
    update_status(node, Restoring::Allowed)?;
    Ok(Some(key))
}

fn wanted(
    node: Node<'_>,
    session: &PluginSession,
    start: Option<i32>,
) -> Result<(TakeRequest, TakeKey), BuildRequestError> {
    let request = build_request::request(node, session, start)?;
    let key = request.key()?;
    Ok((request, key))
}

/// Where a new node's take begins, if it would begin outside the timeline: on its first frame.
fn settled_start(node: Node<'_>, record: &SavedRequests) -> Result<Option<i32>, Status> {
    if record.take.entry.is_some() {
        return Ok(None);
    }
    let Some([first, last]) = node.effect().timeline_bounds() else { return Ok(None) };
    let start = f64::from(node.int(START_FRAME)?);
    Ok(if (first..=last).contains(&start) { None } else { start_frame(first) })
}

fn few_steps(
    session: &PluginSession,
    node: Node<'_>,
    request: &TakeRequest,
) -> Result<Option<String>, Status> {
    if node.int(STEPS)? == 0 {
        return Ok(None);
    }
    let own = session.model(&request.model).ok().and_then(|model| model.defaults.steps);
    Ok(own.and_then(|own| request.few_steps_warning(own)).map(|warning| format!("{warning}.")))
}

/// Stops the take that is being made and puts the one before back.
pub(crate) fn cancel(node: Node<'_>) -> Result<(), Status> {
    const NOTHING: &str = "Nothing is being made.";
    if node.text(TAKE_REQUEST)?.is_empty() {
        return set_status(node, NOTHING);
    }
    let session = PluginSession::of(node.effect().host());
    let record = SavedRequests::of(node)?;
    let Some(take) = record.take.accepted() else { return set_status(node, NOTHING) };
    match session.readiness_everywhere(take.key) {
        JobReadiness::Pending(_) => {
            give_up(node, &session, take.key);
            let why = match record.held() {
                Some(_) => "Cancelled; this is the take before.",
                None => "Cancelled.",
            };
            restore_previous(node, &session, &record, why.to_owned(), c"Cancel")
        }
        _ => {
            node.instance().set_trouble(Some(NOTHING.to_owned()));
            update_status(node, Restoring::Allowed)
        }
    }
}

/// The node no longer wants this take, whoever of its instances or sessions asked for it.
fn give_up(node: Node<'_>, session: &PluginSession, key: TakeKey) {
    let instance = node.instance();
    if instance.asked() == Some(key) {
        session.give_up(key, instance.name());
        instance.set_asked(None);
    } else {
        session.give_up_inherited(key, instance.name());
    }
}

/// Brings back the take before the last Generate; pressed again, the one after it.
pub(crate) fn revert(node: Node<'_>) -> Result<(), Status> {
    let record = SavedRequests::of(node)?;
    node.instance().set_trouble(None);
    let Some(held) = record.held() else {
        let why = "There is no take before this one.".to_owned();
        node.instance().set_trouble(Some(why));
        return update_status(node, Restoring::Allowed);
    };
    let session = PluginSession::of(node.effect().host());
    let sight = TakeState::Take(session.readiness(held.key));
    let is_there = record
        .take
        .accepted()
        .is_some_and(|take| matches!(session.readiness(take.key), JobReadiness::Ready(_)));
    let put = NewTake {
        edit: c"Revert",
        take: [&record.held.text, &record.held.key],
        held: is_there.then_some([&record.take.text, &record.take.key]),
        start: None,
    };
    put.put(node, &sight)?;
    update_status(node, Restoring::Forbidden)
}

/// Looks again, and has the host forget its pictures whatever there is to see.
pub(crate) fn refresh(node: Node<'_>) -> Result<(), Status> {
    node.instance().set_trouble(None);
    if !node.text(TAKE_REQUEST)?.is_empty() {
        let session = PluginSession::of(node.effect().host());
        let sight = TakeState::of(&SavedRequests::of(node)?, &session);
        node.set_int(REVISION, sight.fresh_revision())?;
    }
    update_status(node, Restoring::Allowed)
}

/// Lets the take begin on the frame of this event.
pub(crate) fn start_here(node: Node<'_>) -> Result<(), Status> {
    let frame = start_frame(node.time()).ok_or(Status::FAILED)?;
    node.effect().as_one_edit(c"Start here", || node.set_int(START_FRAME, frame))?;
    update_status(node, Restoring::Allowed)
}

/// Frees the model's memory as soon as no take needs it.
pub(crate) fn release_gpu(node: Node<'_>) -> Result<(), Status> {
    match PluginSession::opened() {
        Some(session) => {
            session.unload();
            set_status(node, "The engine lets the model go once no take needs it.")
        }
        None => {
            let session = PluginSession::of(node.effect().host());
            session.unload();
            set_status(node, "If an engine is running, it lets the model go once no take needs it.")
        }
    }
}

/// The whole frame nearest to a time, where the parameter can hold it.
fn start_frame(time: f64) -> Option<i32> {
    let Kind::Int { range: [first, last], .. } = TABLE.get(position(START_FRAME)?)?.kind else {
        return None;
    };
    let frame = (time + 0.5).floor();
    (f64::from(first)..=f64::from(last)).contains(&frame).then_some(frame as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wan_alpha_take::engine::message::Progress;

    #[test]
    fn a_start_is_a_whole_frame_that_the_parameter_can_hold() {
        assert_eq!(start_frame(1001.0), Some(1001));
        assert_eq!(start_frame(-3.5), Some(-3));
        assert_eq!(start_frame(86_399.5), Some(86_400));
        for time in [f64::NAN, f64::INFINITY, 1e9, -1e12] {
            assert_eq!(start_frame(time), None, "{time}");
        }
    }

    #[test]
    fn the_bar_follows_the_time_that_is_left() {
        let running = |seconds_left| {
            let stage = "sampling".to_owned();
            let progress = Progress { stage, step: 1, of: 4, seconds_left };
            fraction(&JobProgress::Running(progress), Duration::from_secs(10))
        };
        assert_eq!(running(Some(30.0)), 0.25);
        assert_eq!(running(None), 0.25);
        assert_eq!(running(Some(f64::NAN)), 0.25);
        assert_eq!(running(Some(0.0)), 0.99);
        assert_eq!(fraction(&JobProgress::Starting, Duration::ZERO), 0.0);
    }
}
