//! The render action: which frame, or what instead of it, and then the picture.
//!
//! A render looks up and draws. In a session with an artist it never starts a take; a batch render
//! has it made and waits. What stands in for a take depends on how things stand, the parameters and
//! the size alone: no clock, no percentage.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::time::{Duration, Instant};

use wan_alpha_take::TakeKey;
use wan_alpha_take::store::{Frame, StoreError};

use crate::geometry::{FITS, frame_region, pixel_aspect};
use crate::host::{Effect, Properties};
use crate::names;
use crate::node::Node;
use crate::params::{ALPHA_MODE, FIT, MISSING, TAKE_REQUEST, TRANSFER};
use crate::parsed_request::AcceptedRequest;
use crate::picture::{
    Annotation, Drawn, FrameContent, OutputFormat, OutputFrame, Source, Tone, Transfer, Window,
    draw,
};
use crate::render_action::{Lack, Missing, RenderAction, Standing, render_action};
use crate::saved_requests::SavedRequests;
use crate::session::{JobReadiness, PluginSession};
use crate::status::{Answer, Status};
use crate::take_state::TakeState;
use crate::timing::Timing;
use crate::{build_request, sentences};

/// Hosts whose pictures are scene-linear; others show what they are given.
const LINEAR_HOSTS: [&str; 2] = ["uk.co.thefoundry.", "fr.inria.Natron"];

/// Between two questions to the host whether it still wants the picture.
const ABORT_POLL: Duration = Duration::from_millis(5);

/// What there is to draw.
enum RenderContent {
    /// A frame of a take.
    Take(Frame),
    /// A frame of the held take, and what its corner says.
    Held(Frame, Tone, String),
    /// A headline and a sentence in the place of a picture, and the size of the take.
    Placeholder(StatusText, Option<[u32; 2]>),
    /// Transparent black.
    Empty,
}

/// How things stand, in words.
struct StatusText {
    tone: Tone,
    title: &'static str,
    words: String,
}

/// Why there is nothing to draw.
enum RenderError {
    /// The host no longer wants it.
    Aborted,
    /// Said to the artist.
    Failed(String),
    /// The host does not answer.
    Host(Status),
}

impl From<Status> for RenderError {
    fn from(status: Status) -> Self {
        Self::Host(status)
    }
}

pub(crate) fn render(effect: Effect<'_>, arguments: Properties<'_>) -> Answer {
    let node = Node::of(effect, arguments.double(names::TIME, 0)?)?;
    let abort = Abort::of(effect);
    match view(node, &abort) {
        Ok(view) => {
            // Some hosts do not render again, nor look as if they could, while a message stands.
            if node.instance().stops_complaining() {
                effect.clear_error();
            }
            paint(node, arguments, &view, &abort)
        }
        Err(RenderError::Aborted) => Ok(Status::OK),
        Err(RenderError::Host(status)) => Err(status),
        Err(RenderError::Failed(why)) => {
            node.instance().complains();
            effect.show_error(c"take", &why);
            Err(Status::FAILED)
        }
    }
}

/// Asks the host seldom enough that asking costs nothing.
struct Abort<'a> {
    effect: Effect<'a>,
    asked: Cell<Instant>,
    told: Cell<bool>,
}

impl<'a> Abort<'a> {
    fn of(effect: Effect<'a>) -> Self {
        Self { effect, asked: Cell::new(Instant::now()), told: Cell::new(false) }
    }

    fn go_on(&self) -> bool {
        if !self.told.get() && self.asked.get().elapsed() >= ABORT_POLL {
            self.told.set(self.effect.is_aborted());
            self.asked.set(Instant::now());
        }
        !self.told.get()
    }
}

/// What there is to draw at the node's time.
fn view(node: Node<'_>, abort: &Abort<'_>) -> Result<RenderContent, RenderError> {
    let batch = PluginSession::is_batch(node.effect().host());
    if node.text(TAKE_REQUEST)?.is_empty() && !batch {
        // Nothing was asked for, so nothing outside the node is looked at.
        let missing = node.choice(MISSING, &Missing::ALL)?;
        return Ok(match render_action(batch, missing, Standing::Lacking(Lack::Blank)) {
            RenderAction::Empty => RenderContent::Empty,
            _ => RenderContent::Placeholder(status_text(&TakeState::Blank), None),
        });
    }
    let record = SavedRequests::of(node)?;
    let session = PluginSession::of(node.effect().host());
    Viewing { node, session: &session, record: &record, abort }.view()
}

/// One render of a node that has asked for a take, or of a batch host.
struct Viewing<'a> {
    node: Node<'a>,
    session: &'a PluginSession,
    record: &'a SavedRequests,
    abort: &'a Abort<'a>,
}

impl Viewing<'_> {
    fn view(&self) -> Result<RenderContent, RenderError> {
        let (session, record) = (self.session, self.record);
        let missing = self.missing()?;
        let mut sight = TakeState::of(record, session);
        let requested;
        let take = match render_action(session.batch, missing, Standing::of(&sight)) {
            RenderAction::Request => {
                requested = self.request()?;
                sight = TakeState::Take(session.readiness(requested.key));
                Some(&requested)
            }
            _ => record.take.accepted(),
        };
        session.has(self.node.instance().name(), take.map(|take| take.key));
        let Some(take) = take else { return self.unreadable(&sight) };
        // A take that was made may be damaged once it is read, and is then made once more.
        for _ in 0..3 {
            match render_action(session.batch, missing, Standing::of(&sight)) {
                RenderAction::Show => {
                    if let Some(view) = self.show(&sight)? {
                        return Ok(view);
                    }
                    session.forget(take.key);
                    sight = TakeState::Take(session.readiness(take.key));
                }
                course @ (RenderAction::Make | RenderAction::Wait) => {
                    let wanted = (course == RenderAction::Make).then_some(&take.request);
                    let waited = session.wait(take.key, wanted, || self.abort.go_on());
                    sight = TakeState::Take(waited.ok_or(RenderError::Aborted)?);
                }
                RenderAction::Empty => return Ok(self.empty(take.key)),
                RenderAction::FailAsMissing => return Err(self.not_found(take.key)),
                RenderAction::FailWithReason => return Err(self.failed(&sight)),
                RenderAction::StandIn | RenderAction::Request => return self.stand_in(&sight),
            }
        }
        Err(self.not_found(take.key))
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

    /// What the parameters ask for, in a batch render of a node that never asked.
    fn request(&self) -> Result<AcceptedRequest, RenderError> {
        let unwanted = |error: build_request::BuildRequestError| {
            let why = sentences::brief(&error.to_string());
            RenderError::Failed(format!("The take of this node cannot be made: {why}."))
        };
        let request = build_request::request(self.node, self.session, None).map_err(unwanted)?;
        let key = request.key().map_err(|error| unwanted(error.into()))?;
        Ok(AcceptedRequest { request, key })
    }

    /// The frame of the take; `None` where it turned out to be damaged.
    fn show(&self, sight: &TakeState) -> Result<Option<RenderContent>, RenderError> {
        let TakeState::Take(JobReadiness::Ready(take)) = sight else { return Ok(None) };
        let about = &take.description().request;
        let timing = Timing::of(self.node, about.take_rate)?;
        let Some(frame) = timing.frame_at(self.node.time(), about.frames) else {
            return Ok(Some(RenderContent::Empty));
        };
        match take.frame(frame) {
            Ok(frame) => Ok(Some(RenderContent::Take(frame))),
            Err(error @ StoreError::Damaged { .. }) => {
                log::warn!("{error}");
                Ok(None)
            }
            Err(error) => Err(RenderError::Failed(format!("The take cannot be read: {error}."))),
        }
    }

    /// The held take with a mark, else a placeholder.
    fn stand_in(&self, sight: &TakeState) -> Result<RenderContent, RenderError> {
        let told = status_text(sight);
        let held = self.record.held();
        let shown = match held.map(|held| TakeState::Take(self.session.readiness(held.key))) {
            Some(held) => self.show(&held)?,
            None => None,
        };
        if let (None, Some(held)) = (&shown, held) {
            self.session.forget(held.key);
        }
        match shown {
            Some(RenderContent::Take(frame)) => {
                let words = match told.tone {
                    Tone::Failed => &told.words,
                    _ => "this is the take before",
                };
                Ok(RenderContent::Held(frame, told.tone, format!("{}: {words}", told.title)))
            }
            Some(view) => Ok(view),
            None => {
                let take = self.record.take.accepted();
                let size = take.map(|take| [take.request.width, take.request.height]);
                Ok(RenderContent::Placeholder(told, size))
            }
        }
    }

    fn unreadable(&self, sight: &TakeState) -> Result<RenderContent, RenderError> {
        if self.session.batch { Err(self.failed(sight)) } else { self.stand_in(sight) }
    }

    fn empty(&self, key: TakeKey) -> RenderContent {
        if self.session.batch && self.session.warn_once(key) {
            let text =
                format!("Take {key} is in no store ({}): rendered empty.", self.session.searched());
            log::warn!("{text}");
            self.node.effect().show_warning(c"take", &text);
        }
        RenderContent::Empty
    }

    fn not_found(&self, key: TakeKey) -> RenderError {
        RenderError::Failed(format!(
            "Take {key} is in none of {}. Make it with `wan-alpha take make`, or set WAN_ALPHA_STORE.",
            self.session.searched()
        ))
    }

    fn failed(&self, sight: &TakeState) -> RenderError {
        let StatusText { title, words, .. } = status_text(sight);
        let log = self.session.environment.engine_log();
        RenderError::Failed(format!("{title}: {words} Log: {}", log.display()))
    }
}

/// Why a take is not shown.
fn status_text(sight: &TakeState) -> StatusText {
    let (tone, title, words) = match sight {
        TakeState::Take(JobReadiness::Ready(_)) | TakeState::Blank => {
            (Tone::Idle, "WanAlpha", "Type a prompt and press Generate.".to_owned())
        }
        TakeState::Take(JobReadiness::Pending(_)) => {
            (Tone::Working, "Generating", "The take shows here when it is ready.".to_owned())
        }
        TakeState::Take(JobReadiness::Absent) => {
            (Tone::Failed, "Take missing", "It is in no store here. Generate makes it.".to_owned())
        }
        TakeState::Take(JobReadiness::Failed(problem)) => {
            (Tone::Failed, "Not generated", sentences::problem(problem))
        }
        TakeState::Unreadable(reason) => {
            (Tone::Failed, "Not readable", format!("{}.", sentences::capitalised(reason)))
        }
    };
    StatusText { tone, title, words }
}

/// Draws into the host's image, all of the window.
fn paint(
    node: Node<'_>,
    arguments: Properties<'_>,
    view: &RenderContent,
    abort: &Abort<'_>,
) -> Answer {
    let effect = node.effect();
    let side = |index| arguments.int_at(names::RENDER_WINDOW, index);
    let window = Window { x1: side(0)?, y1: side(1)?, x2: side(2)?, y2: side(3)? };
    let scale = [0, 1].map(|index| arguments.double(names::RENDER_SCALE, index).unwrap_or(1.0));
    let clip = effect.clip(names::CLIP_OUTPUT)?;
    let pixel_aspect = pixel_aspect(effect);
    let mut image = match effect.output_image(clip, node.time()) {
        Ok(image) => image,
        Err(_) if effect.is_aborted() => return Ok(Status::OK),
        Err(status) => return Err(status),
    };
    let region = frame_region(node).unwrap_or_else(|| {
        let Window { x1, y1, x2, y2 } = image.bounds();
        let [across, up] = [scale[0] / pixel_aspect, scale[1]];
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(f64::from);
        [x1 / across, y1 / up, x2 / across, y2 / up]
    });
    let source = match view {
        RenderContent::Take(frame) | RenderContent::Held(frame, ..) => {
            Some(Source::try_from(frame))
        }
        RenderContent::Placeholder(..) | RenderContent::Empty => None,
    };
    let take = source.transpose().map_err(|mismatch| {
        log::error!("{mismatch}");
        Status::FAILED
    })?;
    let lines;
    let mark = match view {
        RenderContent::Held(_, tone, line) => Some(Annotation::Corner { tone: *tone, line }),
        RenderContent::Placeholder(StatusText { tone, title, words }, size) => {
            lines = [*title, words];
            Some(Annotation::Placeholder { tone: *tone, lines: &lines, size: *size })
        }
        RenderContent::Take(_) | RenderContent::Empty => None,
    };
    let scene = FrameContent {
        stage: OutputFrame { region, pixel_aspect, scale },
        fit: node.choice(FIT, &FITS)?,
        take,
        mark,
    };
    let look = output_format(node)?;
    // Given up or whole, the answer is the same: the host knows which.
    let (Drawn::Whole | Drawn::Aborted) =
        draw(&mut image.within(window), &scene, look, &|| abort.go_on());
    Ok(Status::OK)
}

/// What the host's values mean.
fn output_format(node: Node<'_>) -> Result<OutputFormat, Status> {
    let chosen = node.choice(
        TRANSFER,
        &[None, Some(Transfer::AsGenerated), Some(Transfer::LinearRec709), Some(Transfer::AcesCg)],
    )?;
    let transfer = chosen.unwrap_or_else(|| {
        let host = node.effect().host().name();
        let is_linear = LINEAR_HOSTS.iter().any(|linear| host.starts_with(linear));
        if is_linear { Transfer::LinearRec709 } else { Transfer::AsGenerated }
    });
    Ok(OutputFormat { transfer, straight: node.choice(ALPHA_MODE, &[false, true])? })
}
