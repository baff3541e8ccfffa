//! The render action: which frame, or what instead of it, and then the picture.
//!
//! A render looks up and draws. In a session with an artist it never starts a take; a batch render
//! has it made and waits. What is drawn instead of a take depends on the take's state, the parameters
//! and the size alone: no clock, no percentage.

#![forbid(unsafe_code)]

mod abort_poll;
mod drawing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use wan_alpha_take::TakeKey;
use wan_alpha_take::engine::message::PreviewPicture;
use wan_alpha_take::retime::{ShownFrames, blend};
use wan_alpha_take::store::StoreError;

use crate::build_request::{self, Instead};
use crate::first_image::{self, FirstImage};
use crate::host::{Effect, Properties};
use crate::instance::Instance;
use crate::make_take::{self, SwitchAnswer};
use crate::names;
use crate::node::Node;
use crate::node_update::wants_preview;
use crate::ofx_status::{ActionResult, Status};
use crate::params::{MISSING, REVISION, START_FRAME, TAKE_REQUEST};
use crate::picture::Tone;
use crate::render_decision::{Missing, RenderAction, render_action};
use crate::render_error::RenderError;
use crate::saved_requests::{AcceptedRequest, SavedRequests};
use crate::session::{JobReadiness, PluginSession};
use crate::status_text;
use crate::take_state::{TakeState, TakeStateKind};
use crate::timing::Timing;
use abort_poll::AbortPoll;
use drawing::{AnnotationText, RenderContent, TakePicture, annotation_text, draw_content};

/// Renders; whatever keeps it from that is said on the node and in the log.
pub(crate) fn render(effect: Effect<'_>, arguments: Properties<'_>) -> ActionResult {
    let rendered = catch_unwind(AssertUnwindSafe(|| drawn(effect, arguments)));
    let error = match rendered {
        Ok(Ok(())) => return Ok(Status::OK),
        Ok(Err(error)) => error,
        Err(_) => RenderError::Failed(
            "WanAlpha has met an error of its own; render once more, and report it.".to_owned(),
        ),
    };
    let (status, reason) = error.answer();
    if let Some(reason) = reason {
        log::error!("{reason}");
        if let Ok(instance) = Instance::of(effect) {
            instance.note_error_shown();
        }
        effect.show_error(c"take", &reason);
    }
    if status == Status::OK { Ok(status) } else { Err(status) }
}

fn drawn(effect: Effect<'_>, arguments: Properties<'_>) -> Result<(), RenderError> {
    let node = Node::of(effect, arguments.double(names::TIME, 0)?)?;
    let abort = AbortPoll::of(effect);
    let is_thumbnail = arguments.int(names::THUMBNAIL_RENDER).is_ok_and(|thumbnail| thumbnail == 1);
    let content = content(node, &abort, is_thumbnail)?;
    draw_content(node, arguments, &content, &abort)?;
    // Some hosts do not render again, nor look as if they could, while a message stands.
    if node.instance().note_error_cleared() {
        effect.clear_error();
    }
    Ok(())
}

/// What there is to draw at the node's time.
fn content(
    node: Node<'_>,
    abort: &AbortPoll<'_>,
    is_thumbnail: bool,
) -> Result<RenderContent, RenderError> {
    let batch = PluginSession::is_batch(node.effect().host());
    let is_blank = node.text(TAKE_REQUEST)?.is_empty();
    let by_switch = is_blank && node.instance().is_filter();
    if by_switch && !make_take::is_on(node)? {
        return switched_off(node);
    }
    if is_blank && !batch && !by_switch {
        // Nothing was asked for, so nothing outside the node is looked at.
        let missing = node.choice(MISSING, &Missing::ALL)?;
        return match render_action(batch, missing, TakeStateKind::Blank) {
            RenderAction::ShowEmpty => Ok(RenderContent::Empty),
            RenderAction::FailWithReason => Err(RenderError::Failed(
                "Nothing was generated yet, and Missing take is error: press Generate first."
                    .into(),
            )),
            _ => Ok(RenderContent::Placeholder(annotation_text(&TakeState::Blank), None)),
        };
    }
    let saved = SavedRequests::of(node)?;
    let session = PluginSession::of(node.effect().host());
    NodeRender { node, session: &session, saved: &saved, abort, is_thumbnail, by_switch }.content()
}

/// Said of a filter whose parameters were edited; the main thing first.
const CHANGED_WHILE_ON: &str = "The parameters have changed: turn Make take off and on again to \
                                have this take made. Renders without an artist set WAN_ALPHA_BATCH=1.";

/// Said once of a filter whose ellipse or strength is not the same on each frame.
const HOLDS_FOR_ALL: &str = "Ellipse and strength differ from frame to frame: the take keeps to those \
                             that Make take was turned on with. This host has no keys for a take.";

/// What a filter shows that has no take made.
fn switched_off(node: Node<'_>) -> Result<RenderContent, RenderError> {
    make_take::note_off(node)?;
    if node.choice(MISSING, &Missing::ALL)? == Missing::Error {
        let words = "Make take is off, and Missing take is error: turn Make take on.";
        return Err(RenderError::Failed(words.into()));
    }
    Ok(RenderContent::Source)
}

/// Why the parameters make no take.
fn refused(error: build_request::BuildRequestError) -> RenderError {
    let reason = status_text::one_line(&error.to_string());
    RenderError::Failed(format!("The take of this node cannot be made: {reason}."))
}

/// One render of a node that has asked for a take, or of a batch host.
struct NodeRender<'a> {
    node: Node<'a>,
    session: &'a PluginSession,
    saved: &'a SavedRequests,
    abort: &'a AbortPoll<'a>,
    /// Whether it is for a small picture of the node, which nobody waits for.
    is_thumbnail: bool,
    /// Whether *Make take* stands for Generate.
    by_switch: bool,
}

impl NodeRender<'_> {
    fn content(&self) -> Result<RenderContent, RenderError> {
        let (session, saved) = (self.session, self.saved);
        let missing = self.missing()?;
        let mut state = TakeState::of(saved, session);
        let requested;
        let take = match render_action(session.batch, missing, state.kind()) {
            action if action == RenderAction::Request || self.by_switch => {
                requested = match self.requested() {
                    Err(RenderError::Failed(reason)) if missing == Missing::Empty => {
                        return Ok(self.empty(None, &reason));
                    }
                    requested => requested?,
                };
                state = TakeState::Take(session.readiness(requested.key));
                Some(&*requested)
            }
            _ => saved.shown().accepted(),
        };
        session.set_take_of_node(self.node.instance().id(), take.map(|take| take.key));
        let Some(take) = take else { return self.without_request(missing, &state) };
        // A take that was made may be damaged once it is read, and is then made once more.
        for _ in 0..3 {
            match render_action(session.batch, missing, state.kind()) {
                RenderAction::ShowTake => {
                    if let Some(content) = self.frame(&state)? {
                        return Ok(content);
                    }
                    session.close_take(take.key);
                    state = TakeState::Take(session.readiness(take.key));
                }
                RenderAction::Make | RenderAction::Wait if self.is_thumbnail => {
                    return self.previous_or_placeholder(&state);
                }
                action @ (RenderAction::Make | RenderAction::Wait) => {
                    let is_wanted = action == RenderAction::Make && !self.is_asked_by_switch();
                    let memory = build_request::memory(self.node)?;
                    let wanted = is_wanted.then_some((&take.request, memory));
                    let waited = session.wait(take.key, wanted, || !self.abort.is_aborted());
                    state = TakeState::Take(waited.ok_or(RenderError::Aborted)?);
                }
                RenderAction::ShowEmpty => {
                    return Ok(self.empty(Some(take.key), &self.missing_text(take.key, &state)));
                }
                RenderAction::FailAsMissing => {
                    return Err(RenderError::Failed(self.missing_text(take.key, &state)));
                }
                RenderAction::FailWithReason => return Err(self.failure(&state)),
                RenderAction::ShowPrevious | RenderAction::Request => {
                    return self.previous_or_placeholder(&state);
                }
            }
        }
        Err(RenderError::Failed(self.missing_text(take.key, &state)))
    }

    /// In a batch render, `WAN_ALPHA_MISSING` counts for more than the parameter.
    fn missing(&self) -> Result<Missing, RenderError> {
        let own = self.node.choice(MISSING, &Missing::ALL)?;
        let Some(name) = self.session.environment.missing.as_deref().filter(|_| self.session.batch)
        else {
            return Ok(own);
        };
        Missing::named(name).ok_or_else(|| {
            RenderError::Failed(format!(
                "WAN_ALPHA_MISSING is {name}: expected auto, wait, error or empty; set it to one of \
                 these or leave it out."
            ))
        })
    }

    /// Whether *Make take* has asked for the take, for as long as it is on; else renders do, for as long
    /// as they wait.
    fn is_asked_by_switch(&self) -> bool {
        self.by_switch && !self.session.environment.batch
    }

    /// What a node has made that never asked: in a batch render, or because *Make take* is on.
    fn requested(&self) -> Result<Arc<AcceptedRequest>, RenderError> {
        if !self.by_switch {
            return self.request_of_parameters().map(Arc::new);
        }
        let held = if self.has_image()? { make_take::held(self.node)? } else { None };
        let answer = match held {
            Some(held) => held,
            None => {
                self.check_start_is_shown()?;
                let request = self.request_of_parameters();
                make_take::ask(self.node, request.inspect_err(|_| make_take::note_refused())?)?
            }
        };
        let (take, holder, is_new, tell) = match answer {
            SwitchAnswer::Take { take, holder, is_new, tell } => (take, holder, is_new, tell),
            // Another prompt may be a keystroke, but what is there is shown.
            SwitchAnswer::Changed(take) => match self.session.readiness(take.key) {
                JobReadiness::Ready(_) => return Ok(take),
                _ => return Err(RenderError::Failed(CHANGED_WHILE_ON.to_owned())),
            },
        };
        if tell {
            log::warn!("{HOLDS_FOR_ALL}");
            self.node.effect().show_warning(c"take", HOLDS_FOR_ALL);
        }
        let is_absent = || match self.session.readiness(take.key) {
            JobReadiness::Absent | JobReadiness::Damaged(_) => true,
            JobReadiness::Failed(_) => is_new,
            JobReadiness::Ready(_) | JobReadiness::Pending(_) => false,
        };
        if self.is_asked_by_switch() && is_absent() {
            let memory = build_request::memory(self.node)?;
            self.session.generate(&take.request, take.key, &holder, memory);
        }
        Ok(take)
    }

    fn has_image(&self) -> Result<bool, RenderError> {
        first_image::has_image(self.node).map_err(|error| refused(error.into()))
    }

    /// What the parameters ask for, in a batch render of a node that never asked.
    fn request_of_parameters(&self) -> Result<AcceptedRequest, RenderError> {
        let image = self.image()?;
        let instead = Instead { image: image.as_ref(), ..Instead::default() };
        let request = build_request::request(self.node, self.session, instead).map_err(refused)?;
        let key = request.key().map_err(|error| refused(error.into()))?;
        Ok(AcceptedRequest { request, key })
    }

    /// A frame of Source is taken while the host renders it: such hosts have no other at hand.
    fn check_start_is_shown(&self) -> Result<(), RenderError> {
        let start = f64::from(self.node.int(START_FRAME)?);
        let of_source = first_image::is_of_source(self.node);
        if of_source.map_err(|error| refused(error.into()))?
            && (self.node.time() - start).abs() >= 0.5
        {
            return Err(RenderError::Failed(format!(
                "The take begins with frame {start} of the clip, which has not been shown since Make take \
                 is on: show that frame once."
            )));
        }
        Ok(())
    }

    /// The image that the take begins with, if one: *Make take* takes it, as it stands for Generate.
    fn image(&self) -> Result<Option<FirstImage>, RenderError> {
        if !self.by_switch && self.has_image()? {
            return Err(RenderError::Failed(
                "The image that the take of this node begins with is taken by Generate: press it in a \
                 session with an artist."
                    .into(),
            ));
        }
        let start = f64::from(self.node.int(START_FRAME)?);
        let taken = FirstImage::take(self.node, self.session, start);
        taken.map_err(|error| refused(error.into()))
    }

    /// The frame of the take; `None` where it turned out to be damaged.
    fn frame(&self, state: &TakeState) -> Result<Option<RenderContent>, RenderError> {
        let TakeState::Take(JobReadiness::Ready(take)) = state else { return Ok(None) };
        let request = &take.description().request;
        let timing = Timing::of(self.node, request.take_rate)?;
        let Some(frames) = timing.frames_at(self.node.time(), request.frames) else {
            return Ok(Some(RenderContent::Empty));
        };
        let picture = match frames {
            ShownFrames::One(frame) => take.frame(frame).map(TakePicture::Frame),
            ShownFrames::Between(first, second, part) => take
                .frame(first)
                .and_then(|first| Ok((first, take.frame(second)?)))
                .map(|(first, second)| {
                    let size = [first.width, first.height];
                    TakePicture::Blend(blend(&first, &second, part), size)
                }),
        };
        match picture {
            Ok(picture) => Ok(Some(RenderContent::Take(picture))),
            Err(error @ StoreError::Damaged { .. }) => {
                self.session.note_damage(take.description().key, &error);
                Ok(None)
            }
            Err(error) => Err(RenderError::Failed(format!("The take cannot be read: {error}."))),
        }
    }

    /// What the take is going to be, where the artist wants to see it and it was there at the last event.
    fn preview(&self, state: &TakeState) -> Result<Option<RenderContent>, RenderError> {
        let is_wanted = state.kind() == TakeStateKind::Pending
            && !self.session.batch
            && wants_preview(self.node)?;
        let Some(take) = self.saved.shown().accepted().filter(|_| is_wanted) else {
            return Ok(None);
        };
        let revision = self.node.int(REVISION)?;
        let shown = self.session.preview_under(revision, take.key);
        let size = [take.request.width, take.request.height];
        let text = format!("{}: a coarse look at the take", annotation_text(state).title);
        let content = |shown: &PreviewPicture| {
            RenderContent::Previous(TakePicture::preview(shown, size), Tone::Working, text)
        };
        Ok(shown.as_deref().map(content))
    }

    /// The preview or the previous take with a badge, else a placeholder.
    fn previous_or_placeholder(&self, state: &TakeState) -> Result<RenderContent, RenderError> {
        if let Some(preview) = self.preview(state)? {
            return Ok(preview);
        }
        let text = annotation_text(state);
        let previous = self.saved.previous();
        let content = match previous.map(|take| self.session.readiness(take.key)) {
            Some(readiness) => self.frame(&TakeState::Take(readiness))?,
            None => None,
        };
        if let (None, Some(previous)) = (&content, previous) {
            self.session.close_take(previous.key);
        }
        match content {
            Some(RenderContent::Take(frame)) => {
                let AnnotationText { tone, title, sentence } = text;
                let reason = match tone {
                    Tone::Failed => &*sentence,
                    _ => "this is the take before",
                };
                Ok(RenderContent::Previous(frame, tone, format!("{title}: {reason}")))
            }
            Some(content) => Ok(content),
            None => {
                let take = self.saved.shown().accepted();
                let size = take.map(|take| [take.request.width, take.request.height]);
                Ok(RenderContent::Placeholder(text, size))
            }
        }
    }

    /// What a node shows that has no request, or none that can be read.
    fn without_request(
        &self,
        missing: Missing,
        state: &TakeState,
    ) -> Result<RenderContent, RenderError> {
        match render_action(self.session.batch, missing, state.kind()) {
            RenderAction::ShowEmpty => {
                let AnnotationText { title, sentence, .. } = annotation_text(state);
                Ok(self.empty(None, &format!("{title}: {sentence}")))
            }
            RenderAction::ShowPrevious => self.previous_or_placeholder(state),
            _ => Err(self.failure(state)),
        }
    }

    /// Transparent black, with one warning per take in a batch render.
    fn empty(&self, key: Option<TakeKey>, reason: &str) -> RenderContent {
        if self.session.batch && self.session.is_first_warning(key) {
            let text = format!("Rendered empty: {reason}");
            log::warn!("{text}");
            self.node.effect().show_warning(c"take", &text);
        }
        RenderContent::Empty
    }

    /// Why there is no take, and every place that was searched. What matters comes first: some hosts
    /// show no more than 120 characters.
    fn missing_text(&self, key: TakeKey, state: &TakeState) -> String {
        let folders = self.session.searched_folders();
        match state {
            TakeState::Take(JobReadiness::Pending(_)) => {
                format!("The take is still being made: it is in none of {folders}. Take {key}.")
            }
            TakeState::Take(JobReadiness::Damaged(damage)) => {
                format!("The take is damaged. {}", status_text::damaged(damage))
            }
            TakeState::Take(JobReadiness::Failed(_)) | TakeState::Unreadable(_) => {
                let AnnotationText { title, sentence, .. } = annotation_text(state);
                format!("{title}: {sentence}")
            }
            _ => format!(
                "The take is missing: it is in none of {folders}. Make it with `wan-alpha take \
                 make`, or set WAN_ALPHA_STORE. Take {key}."
            ),
        }
    }

    fn failure(&self, state: &TakeState) -> RenderError {
        let AnnotationText { title, sentence, .. } = annotation_text(state);
        let log = self.session.environment.engine_log();
        RenderError::Failed(status_text::with_log(format!("{title}: {sentence}"), &log))
    }
}
