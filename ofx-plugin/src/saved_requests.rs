//! What the hidden texts of a node say.
//!
//! `takeRequest` and `takeKey` are the take that Generate asked for, `heldRequest` and `heldKey` the
//! previous take: the one that the node had when it did. `takeHistory` is the requests of all of them,
//! the last one first, then those that were shown last. The request is what counts, and the key is
//! made of it; the key beside it is for people, scripts and farms, and where it disagrees the status
//! says so.

#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use wan_alpha_take::{TakeKey, TakeRequest};

use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{HELD_KEY, HELD_REQUEST, HISTORY, TAKE_HISTORY, TAKE_KEY, TAKE_REQUEST};

/// How many texts have their meaning kept: two of each of many nodes.
const CACHED_TEXTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

/// What texts say that were read before, by any node; none until there is a text.
static PARSED: Mutex<Option<LruCache<String, Arc<ParsedRequest>>>> = Mutex::new(None);

/// A take that a node has asked for.
#[derive(Debug)]
pub(crate) struct AcceptedRequest {
    pub(crate) request: TakeRequest,
    pub(crate) key: TakeKey,
}

/// What a request says, as it is saved.
#[derive(Debug)]
pub(crate) enum ParsedRequest {
    /// It asks for a take.
    Take(Box<AcceptedRequest>),
    /// It cannot be read, and why.
    Unreadable(String),
}

impl ParsedRequest {
    fn parse(text: &str) -> Self {
        let accepted = TakeRequest::from_parameter(text)
            .and_then(|request| Ok(AcceptedRequest { key: request.key()?, request }));
        match accepted {
            Ok(accepted) => Self::Take(Box::new(accepted)),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    /// What the text says, from the cache where it was read before.
    fn cached(text: &str) -> Arc<Self> {
        if let Some(known) = PARSED.lock().as_mut().and_then(|parsed| parsed.get(text)) {
            return Arc::clone(known);
        }
        let request = Arc::new(Self::parse(text));
        let mut parsed = PARSED.lock();
        let parsed = parsed.get_or_insert_with(|| LruCache::new(CACHED_TEXTS));
        parsed.put(text.to_owned(), Arc::clone(&request));
        request
    }

    fn accepted(&self) -> Option<&AcceptedRequest> {
        match self {
            Self::Take(accepted) => Some(accepted),
            Self::Unreadable(_) => None,
        }
    }
}

/// Lets go of what is kept of the texts that were read, as the plug-in is unloaded.
pub(crate) fn clear_cache() {
    PARSED.lock().take();
}

/// One of the two takes of a node, as its parameters have it.
#[derive(Debug)]
pub(crate) struct SavedRequest {
    /// The request, as it is saved.
    pub(crate) text: String,
    /// The key, as it is saved.
    pub(crate) key: String,
    /// What the request says; nothing where there is none.
    pub(crate) parsed: Option<Arc<ParsedRequest>>,
}

impl SavedRequest {
    fn of(node: Node<'_>, [request, key]: [&CStr; 2]) -> Result<Self, Status> {
        let [text, key] = [node.text(request)?, node.text(key)?];
        let parsed = (!text.is_empty()).then(|| ParsedRequest::cached(&text));
        Ok(Self { text, key, parsed })
    }

    /// A take of the history, which has no key beside it.
    fn recalled(text: &str) -> Self {
        let parsed = ParsedRequest::cached(text);
        let key = parsed.accepted().map(|accepted| accepted.key.to_string()).unwrap_or_default();
        Self { text: text.to_owned(), key, parsed: Some(parsed) }
    }

    /// The take, where the request can be read.
    pub(crate) fn accepted(&self) -> Option<&AcceptedRequest> {
        self.parsed.as_deref().and_then(ParsedRequest::accepted)
    }

    /// Whether the key that is saved is not that of the request.
    pub(crate) fn has_other_key(&self) -> bool {
        self.accepted().is_some_and(|accepted| accepted.key.to_string() != self.key)
    }
}

/// How many takes of a node its history has.
pub(crate) const HISTORY_LENGTH: usize = 16;

/// Requests as a history holds them: each once, and not too many.
fn joined_history<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut history: Vec<&str> = Vec::new();
    for text in texts.filter(|text| !text.is_empty()) {
        if !history.contains(&text) && history.len() < HISTORY_LENGTH {
            history.push(text);
        }
    }
    history.join(" ")
}

/// The takes that the parameters of a node name.
#[derive(Debug)]
pub(crate) struct SavedRequests {
    /// What Generate asked for last.
    pub(crate) take: SavedRequest,
    /// The one before that.
    pub(crate) previous: SavedRequest,
    /// The requests of all takes of the node, as they are saved.
    pub(crate) history: String,
    /// The take of the history that is to be shown in the place of what was asked for last.
    recalled: Option<SavedRequest>,
}

impl SavedRequests {
    /// Reads the node's own parameters and nothing outside it.
    pub(crate) fn of(node: Node<'_>) -> Result<Self, Status> {
        let take = SavedRequest::of(node, [TAKE_REQUEST, TAKE_KEY])?;
        let history = node.text(TAKE_HISTORY)?;
        let back = usize::try_from(node.int(HISTORY)?).unwrap_or(0);
        let others = history.split_whitespace().filter(|text| *text != take.text);
        let recalled = back.checked_sub(1).and_then(|at| others.clone().nth(at));
        let recalled = recalled.map(SavedRequest::recalled);
        let previous = SavedRequest::of(node, [HELD_REQUEST, HELD_KEY])?;
        Ok(Self { take, previous, recalled, history })
    }

    /// The take that is to be shown: of the history, where the artist has chosen one, else the one that
    /// was asked for last.
    pub(crate) fn shown(&self) -> &SavedRequest {
        self.recalled.as_ref().unwrap_or(&self.take)
    }

    /// Whether a take of the history is to be shown.
    pub(crate) fn is_recalled(&self) -> bool {
        self.recalled.is_some()
    }

    /// The history once a take is asked for, in the place of the one that `shown` is.
    pub(crate) fn history_with(&self, take: &str, shown: Option<&str>) -> String {
        let is_abandoned = shown.is_none() && self.take.text != take;
        let abandoned = is_abandoned.then_some(&*self.take.text);
        let first = [Some(take), shown, Some(&*self.previous.text)];
        let texts = first.into_iter().flatten().chain(self.history.split_whitespace());
        joined_history(texts.filter(|text| Some(*text) != abandoned))
    }

    /// The history without the take that was asked for last, which will not be made.
    pub(crate) fn history_without_take(&self) -> String {
        joined_history(self.history.split_whitespace().filter(|text| *text != self.take.text))
    }

    /// Request and key of the take that was there before the previous one.
    pub(crate) fn before_previous(&self) -> Option<[String; 2]> {
        let others = self.history.split_whitespace();
        let mut others =
            others.filter(|text| self.take.text != **text && self.previous.text != **text);
        others.find_map(|text| {
            let key = ParsedRequest::cached(text).accepted()?.key;
            Some([text.to_owned(), key.to_string()])
        })
    }

    /// The previous take, where it is another than the one asked for.
    pub(crate) fn previous(&self) -> Option<&AcceptedRequest> {
        let previous = self.previous.accepted()?;
        (self.take.accepted().map(|take| take.key) != Some(previous.key)).then_some(previous)
    }
}
