//! What the buttons do. Nothing else starts work in a session with an artist.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wan_alpha_take::{TakeKey, TakeRequest};

use crate::build_request::{self, BuildRequestError, Instead};
use crate::first_image::FirstImage;
use crate::instance::Instance;
use crate::node::Node;
use crate::node_update::{Restoring, TakeEdit, restore_previous, set_status, update_node};
use crate::notice::{Notice, NoticeCause};
use crate::notice_lifetime;
use crate::ofx_status::Status;
use crate::params::{
    Kind, PROMPT, REVISION, SEED, START_FRAME, START_TYPED, TABLE, TAKE_REQUEST, position,
};
use crate::saved_requests::{AcceptedRequest, SavedRequest, SavedRequests};
use crate::session::{JobProgress, JobReadiness, PluginSession};
use crate::status_text;
use crate::take_state::TakeState;

/// Asks for the take that the parameters describe; it is made meanwhile, or is already there.
pub(crate) fn generate(node: Node<'_>) -> Result<(), Status> {
    begin(node, c"Generate", None).map(|_| ())
}

/// Asks for the take of the next seed; everything else stays as it is.
pub(crate) fn vary(node: Node<'_>) -> Result<(), Status> {
    let next = node.int(SEED)?.checked_add(1).unwrap_or(0);
    begin(node, c"Vary", Some(next)).map(|_| ())
}

/// Does what [`generate`] does and waits for the take, with a progress bar. Without one nobody could
/// end the wait: then it is not waited.
pub(crate) fn generate_and_wait(node: Node<'_>) -> Result<(), Status> {
    /// Between two looks at the Cancel of the progress bar.
    const POLL: Duration = Duration::from_millis(100);
    let Some(key) = begin(node, c"Generate", None)? else { return Ok(()) };
    let session = PluginSession::of(node.effect().host());
    let began = Instant::now();
    // Some hosts handle other events meanwhile, among them those that end this node.
    let instance = node.effect().held_instance::<Instance>()?;
    if instance.shows_progress.load(Ordering::Relaxed) {
        return Ok(());
    }
    let label = c"WanAlpha generates a take";
    let Some(bar) = node.effect().progress(label, &instance.shows_progress) else {
        let text = "This host has no progress bar: the take is made meanwhile.".to_owned();
        let cause = NoticeCause::Making(key);
        node.instance().set_notice(Some(Notice { text, cause }));
        return update_node(node, Restoring::Allowed);
    };
    let mut done = 0.0_f64;
    while let JobReadiness::Pending(progress) = session.readiness(key) {
        done = done.max(fraction_done(&progress, began.elapsed()));
        let goes_on = bar.update(done);
        if !bar.is_shown() {
            // The node is gone; its take is made for the next one with these parameters.
            return Ok(());
        }
        if !goes_on {
            drop(bar);
            return cancel(node);
        }
        session.wait_for_progress(POLL);
    }
    drop(bar);
    update_node(node, Restoring::Allowed)
}

/// How much of the work is done, 0 to 1: never more than that. Where nobody knows how long it takes,
/// what comes before denoising counts as nothing, and decoding as half of it all.
fn fraction_done(progress: &JobProgress, elapsed: Duration) -> f64 {
    let JobProgress::Running(progress) = progress else { return 0.0 };
    let seconds_left = progress.seconds_left.filter(|left| left.is_finite() && *left >= 0.0);
    let fraction = match seconds_left {
        Some(left) => elapsed.as_secs_f64() / (elapsed.as_secs_f64() + left),
        None => {
            let of_stage = f64::from(progress.step) / f64::from(progress.of.max(1));
            match &*progress.stage {
                stage if stage.starts_with("sampl") => of_stage / 2.0,
                stage if stage.starts_with("decod") => 0.5 + of_stage / 2.0,
                _ => 0.0,
            }
        }
    };
    fraction.clamp(0.0, 0.99)
}

/// Asks for the take that the parameters describe. Its key, whether the take is being made now or is
/// there already; none where the parameters describe none.
fn begin(
    node: Node<'_>,
    edit: &'static CStr,
    seed: Option<i32>,
) -> Result<Option<TakeKey>, Status> {
    let session = PluginSession::of(node.effect().host());
    let saved = SavedRequests::of(node)?;
    let start = start_in_timeline(node, &saved)?;
    if let Err(error) = build_request::check_choice(node, &session) {
        return refuse(node, &error, NoticeCause::Refusal).map(|()| None);
    }
    let begins_on = start.map_or_else(|| node.int(START_FRAME), Ok)?;
    let image = match FirstImage::take(node, &session, f64::from(begins_on)) {
        Ok(image) => image,
        Err(error) => {
            let cause = NoticeCause::Parameters(notice_lifetime::wanted_key(node, &session).ok());
            return refuse(node, &error.into(), cause).map(|()| None);
        }
    };
    let instead = Instead { start, seed, image: image.as_ref() };
    let (request, key) = match request_with_key(node, &session, instead) {
        Ok(request) => request,
        Err(error) => return refuse(node, &error, NoticeCause::Refusal).map(|()| None),
    };
    node.instance().set_notice(beginning(start, image.as_ref(), key));
    let before = saved.take.accepted();
    let readiness = session.readiness(key);
    let is_ready = matches!(readiness, JobReadiness::Ready(_));
    let state = TakeState::Take(if is_ready {
        readiness
    } else {
        JobReadiness::Pending(JobProgress::Starting(0))
    });
    // One that is not made yet, or will not be, never becomes the previous take.
    let shown = before.filter(|take| take.key != key && is_kept(&session, take.key));
    let previous = shown.map(|_| [&*saved.take.text, &*saved.take.key]);
    let (request_text, key_text) = (request.to_parameter(), key.to_string());
    let take = [&*request_text, &*key_text];
    let history = Some(saved.history_with(&request_text, previous.map(|[text, _]| text)));
    // What the template has said stands in the prompt from now on, to be edited.
    let prompt =
        Some(&*request.prompt).filter(|_| node.text(PROMPT).is_ok_and(|own| own.trim().is_empty()));
    let ellipse = image.and_then(|image| image.ellipse).and(request.ellipse.first().copied());
    TakeEdit { edit, take, previous, history, start, seed, prompt, ellipse }.apply(node, &state)?;
    if let Some(before) = before.filter(|take| take.key != key) {
        stop_wanting(node, &session, before.key);
    }
    node.instance().set_requested(Some(key));
    if !is_ready {
        let memory = build_request::memory(node)?;
        session.generate(&request, key, node.instance().id(), memory);
    }
    update_node(node, Restoring::Allowed)?;
    Ok(Some(key))
}

/// Says why nothing is started.
fn refuse(node: Node<'_>, error: &BuildRequestError, cause: NoticeCause) -> Result<(), Status> {
    let text = notice_lifetime::refusal_text(error);
    log::warn!("{text}");
    node.effect().show_message(&text);
    set_status(node, &text)?;
    node.instance().set_notice(Some(Notice { text, cause }));
    Ok(())
}

/// What is to be said of where a take begins, and with what. What there is to warn of is in the status
/// while the take is made, and in its record afterwards.
fn beginning(start: Option<i32>, image: Option<&FirstImage>, key: TakeKey) -> Option<Notice> {
    let start =
        start.map(|start| format!("The take begins on frame {start}, the first of the timeline."));
    let image = image.into_iter().flat_map(|image| image.told.iter().cloned());
    let sentences: Vec<String> = start.into_iter().chain(image).collect();
    let text = status_text::joined(&sentences);
    (!sentences.is_empty()).then_some(Notice { text, cause: NoticeCause::Take(key) })
}

/// Whether a take is one to come back to: it is there, or was made elsewhere.
fn is_kept(session: &PluginSession, key: TakeKey) -> bool {
    !matches!(session.readiness(key), JobReadiness::Pending(_) | JobReadiness::Failed(_))
}

/// Has the take made that the node has, as it was asked for, whatever the parameters say now.
pub(crate) fn make_again(node: Node<'_>) -> Result<(), Status> {
    let session = PluginSession::of(node.effect().host());
    let saved = SavedRequests::of(node)?;
    node.instance().set_notice(None);
    let Some(AcceptedRequest { request, key }) = saved.shown().accepted() else {
        // The status says why one cannot be read.
        if saved.shown().parsed.is_none() {
            let text = "Nothing was generated yet: press Generate.";
            notice_lifetime::say_of_button(node, &session, text);
        }
        return update_node(node, Restoring::Allowed);
    };
    session.close_take(*key);
    match session.readiness_everywhere(*key) {
        JobReadiness::Ready(_) => {
            notice_lifetime::say_of_button(node, &session, "The take is there already.");
        }
        JobReadiness::Pending(_) => {}
        JobReadiness::Failed(_) | JobReadiness::Damaged(_) | JobReadiness::Absent => {
            node.instance().set_requested(Some(*key));
            let memory = build_request::memory(node)?;
            session.make_again(request, *key, node.instance().id(), memory);
        }
    }
    update_node(node, Restoring::Allowed)
}

/// The request that the parameters make, and its key.
fn request_with_key(
    node: Node<'_>,
    session: &PluginSession,
    instead: Instead<'_>,
) -> Result<(TakeRequest, TakeKey), BuildRequestError> {
    let request = build_request::request(node, session, instead)?;
    let key = request.key()?;
    Ok((request, key))
}

/// Where a new node's take begins, if nobody has said so and it would begin outside the timeline: on
/// its first frame.
fn start_in_timeline(node: Node<'_>, saved: &SavedRequests) -> Result<Option<i32>, Status> {
    let start = node.int(START_FRAME)?;
    // Projects of earlier versions do not say who set it.
    let is_typed = start != 0 || node.int(START_TYPED)? != 0;
    if is_typed || saved.take.parsed.is_some() {
        return Ok(None);
    }
    let Some([first, last]) = node.effect().timeline_bounds() else { return Ok(None) };
    Ok(if (first..=last).contains(&f64::from(start)) { None } else { start_frame(first) })
}

/// Stops the take that is being made and puts the one before back. One that the node had already, and
/// that was to be made again, it keeps.
pub(crate) fn cancel(node: Node<'_>) -> Result<(), Status> {
    const NOTHING: &str = "Nothing is being made.";
    const CANCELLED: &str = "Cancelled.";
    if node.text(TAKE_REQUEST)?.is_empty() {
        return set_status(node, NOTHING);
    }
    let session = PluginSession::of(node.effect().host());
    let saved = SavedRequests::of(node)?;
    let (shown, latest) = (saved.shown().accepted(), saved.take.accepted());
    if shown.or(latest).is_none() {
        return set_status(node, NOTHING);
    }
    let is_made = |take: &&AcceptedRequest| {
        matches!(session.readiness_everywhere(take.key), JobReadiness::Pending(_))
    };
    // Where one of the history is made as well, it is the one that is looked at.
    let Some(take) = shown.filter(is_made).or_else(|| latest.filter(is_made)) else {
        notice_lifetime::say_of_button(node, &session, NOTHING);
        return update_node(node, Restoring::Allowed);
    };
    stop_wanting(node, &session, take.key);
    let is_latest = latest.is_some_and(|latest| latest.key == take.key);
    if !is_latest || session.is_made_again(take.key) {
        set_status(node, CANCELLED)?;
        notice_lifetime::say_of_button(node, &session, CANCELLED);
        return Ok(());
    }
    let reason = match saved.previous() {
        Some(_) => "Cancelled; this is the take before.",
        None => CANCELLED,
    };
    restore_previous(node, &session, &saved, reason.to_owned(), c"Cancel")
}

/// The node no longer wants this take, whoever of its instances or sessions asked for it.
fn stop_wanting(node: Node<'_>, session: &PluginSession, key: TakeKey) {
    let instance = node.instance();
    if instance.requested() == Some(key) {
        session.cancel(key, instance.id());
        instance.set_requested(None);
    } else {
        session.cancel_inherited(key, instance.id());
    }
}

/// Brings back the take before the last Generate; pressed again, the one after it.
pub(crate) fn revert(node: Node<'_>) -> Result<(), Status> {
    let saved = SavedRequests::of(node)?;
    let session = PluginSession::of(node.effect().host());
    node.instance().set_notice(None);
    let Some(previous) = saved.previous() else {
        let text = "There is no take before this one.";
        notice_lifetime::say_of_button(node, &session, text);
        return update_node(node, Restoring::Allowed);
    };
    let state = TakeState::Take(session.readiness(previous.key));
    // One on its way is come back to; one that was not made is not, unless the node had it before.
    let is_failed = |key| {
        matches!(session.readiness(key), JobReadiness::Failed(_)) && !session.is_made_again(key)
    };
    let take = saved.take.accepted().filter(|take| !is_failed(take.key));
    let (history, start, seed, prompt, ellipse) = Default::default();
    let edit = TakeEdit {
        edit: c"Revert",
        take: [&saved.previous.text, &saved.previous.key],
        previous: take.map(|_| [&*saved.take.text, &*saved.take.key]),
        history,
        start,
        seed,
        prompt,
        ellipse,
    };
    edit.apply(node, &state)?;
    update_node(node, Restoring::Forbidden)
}

/// Looks again, and has the host forget its pictures whatever there is to see.
pub(crate) fn refresh(node: Node<'_>) -> Result<(), Status> {
    node.instance().set_notice(None);
    if !node.text(TAKE_REQUEST)?.is_empty() {
        let session = PluginSession::of(node.effect().host());
        let saved = SavedRequests::of(node)?;
        // A store may have been emptied, or another mounted in its place.
        let takes = [saved.shown(), &saved.take, &saved.previous];
        for take in takes.into_iter().filter_map(SavedRequest::accepted) {
            session.close_take(take.key);
        }
        let state = TakeState::of(&saved, &session);
        node.set_int(REVISION, state.fresh_revision())?;
    }
    update_node(node, Restoring::Allowed)
}

/// Lets the take begin on the frame of this event.
pub(crate) fn start_here(node: Node<'_>) -> Result<(), Status> {
    let frame = start_frame(node.time()).ok_or(Status::FAILED)?;
    node.effect().as_one_edit(c"Start here", || node.set_int(START_FRAME, frame))?;
    node.set_changed_int(START_TYPED, 1)?;
    update_node(node, Restoring::Allowed)
}

/// Frees the model's memory as soon as no take needs it.
pub(crate) fn release_gpu(node: Node<'_>) -> Result<(), Status> {
    match PluginSession::if_open() {
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

/// Gives the GPU back between two steps, whoever's take is made.
pub(crate) fn pause(node: Node<'_>) -> Result<(), Status> {
    PluginSession::of(node.effect().host()).pause();
    set_status(node, "An engine that is running lets the model go after this step; Resume goes on.")
}

/// Goes on with the take that was paused.
pub(crate) fn resume(node: Node<'_>) -> Result<(), Status> {
    PluginSession::of(node.effect().host()).resume();
    set_status(node, "An engine that was paused goes on.")
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
            fraction_done(&JobProgress::Running(progress), Duration::from_secs(10))
        };
        assert_eq!(running(Some(30.0)), 0.25);
        assert_eq!(running(None), 0.125);
        assert_eq!(running(Some(f64::NAN)), 0.125);
        assert_eq!(running(Some(0.0)), 0.99);
        assert_eq!(fraction_done(&JobProgress::Starting(0), Duration::ZERO), 0.0);
    }

    #[test]
    fn the_bar_claims_no_more_than_is_done() {
        let at = |stage: &str, step, of| {
            let progress = Progress { stage: stage.to_owned(), step, of, seconds_left: None };
            fraction_done(&JobProgress::Running(progress), Duration::from_secs(1000))
        };
        assert_eq!(at("loading the model", 40, 40), 0.0);
        assert_eq!(at("reading the prompt", 24, 24), 0.0);
        assert_eq!([at("sampling", 2, 4), at("sampling", 4, 4)], [0.25, 0.5]);
        assert_eq!([at("decoding", 0, 21), at("decoding", 21, 21)], [0.5, 0.99]);
    }
}
