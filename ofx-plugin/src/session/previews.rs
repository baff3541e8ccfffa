//! What nodes show of takes that are being made: under each revision always the same, so that a host that
//! has kept a picture may show it again.

#![forbid(unsafe_code)]

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use wan_alpha_take::TakeKey;
use wan_alpha_take::engine::message::PreviewPicture;

/// A picture of a take, and the key of the take.
type PreviewOfTake = (TakeKey, Arc<PreviewPicture>);

/// Revisions whose pictures are remembered: those of a few nodes, and of what hosts still draw.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// What is shown under which revision.
pub(super) struct PreviewsByRevision(Mutex<LruCache<i32, PreviewOfTake>>);

impl Default for PreviewsByRevision {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl super::PluginSession {
    /// What a take is going to be, where the engine has said so and nobody renders without an artist.
    pub(crate) fn latest_preview(&self, key: TakeKey) -> Option<Arc<PreviewPicture>> {
        if self.batch {
            return None;
        }
        self.client.preview(key).filter(|picture| picture.is_whole())
    }

    /// What is shown of a take under a revision.
    pub(crate) fn preview_under(&self, revision: i32, key: TakeKey) -> Option<Arc<PreviewPicture>> {
        let mut previews = self.previews.0.lock();
        let (_, picture) = previews.get(&revision).filter(|(of, _)| *of == key)?;
        Some(Arc::clone(picture))
    }

    /// Has a revision that no host has seen yet show this of a take.
    pub(crate) fn show_under(&self, revision: i32, key: TakeKey, picture: Arc<PreviewPicture>) {
        self.previews.0.lock().put(revision, (key, picture));
    }
}
