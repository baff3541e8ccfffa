//! The image that a take begins with, as the parameters of a node say: a frame of Source, or a file.
//!
//! It is taken when Generate is pressed, and only then: put into the store, where whoever makes the take
//! finds it by its hash. At every other event the parameters are compared with the take that there is by
//! what its image is called ([`FirstImage::compared`]); nothing is read.

#![forbid(unsafe_code)]

use thiserror::Error;
use wan_alpha_take::fit::FitSettings;
use wan_alpha_take::models::Defaults;
use wan_alpha_take::store::StoreError;
use wan_alpha_take::{ContentHash, Ellipse, ImageSource, StillImage};

use crate::drawn_ellipse::{drawn_ellipse, is_keyed};
use crate::geometry::frame_region;
use crate::image_file::{ImageFile, ImageFileError, KeptImage};
use crate::node::Node;
use crate::ofx_status::Status;
use crate::params::{IMAGE, MATTE, MODEL, OPAQUE_IMAGE, START_FRAME, USE_SOURCE_FRAME};
use crate::saved_requests::SavedRequests;
use crate::session::PluginSession;
use crate::source_frame::{SourceFrame, SourceFrameError, source_frame, source_frame_name};
use crate::take_size::size;

/// An ellipse of a request is rounded to 1e-6, and hosts may round what they keep.
const SAME: f64 = 1e-5;

/// What the parameters say of an image.
#[derive(Clone, Debug)]
pub(crate) enum ImageChoice {
    /// The take begins with none.
    None,
    /// A frame of Source.
    SourceFrame,
    /// What the file parameters name.
    File(ImageFile),
}

/// Why the image that a take is to begin with is not to be had.
#[derive(Debug, Error)]
pub(crate) enum FirstImageError {
    /// Both a frame and a file are asked for.
    #[error("Use Source frame is on, and Image names a file: turn one off, or empty the other")]
    Both,
    /// What kept a frame of Source from being read.
    #[error(transparent)]
    Source(#[from] SourceFrameError),
    /// What kept the named file from being read.
    #[error(transparent)]
    File(#[from] ImageFileError),
    /// It cannot be put into the store.
    #[error("the image is not kept: {reason}")]
    Store {
        /// What the store says.
        reason: StoreError,
    },
    /// The host does not answer.
    #[error("the host does not give the node's parameters; make the node anew")]
    Host(Status),
}

impl From<Status> for FirstImageError {
    fn from(status: Status) -> Self {
        Self::Host(status)
    }
}

/// The image that a take begins with.
#[derive(Clone, Debug)]
pub(crate) struct FirstImage {
    /// What a request holds of it.
    pub(crate) source: ImageSource,
    /// Width and height in pixels.
    pub(crate) size: [u32; 2],
    /// Where its subject is, in the size of the take; none where the artist has drawn an ellipse, or
    /// nothing is to be seen.
    pub(crate) ellipse: Option<Ellipse>,
    /// What is to be said of it, in sentences.
    pub(crate) told: Vec<String>,
}

/// What the parameters say of an image.
pub(crate) fn image_choice(node: Node<'_>) -> Result<ImageChoice, FirstImageError> {
    let path = node.text(IMAGE)?;
    let is_source = node.int(USE_SOURCE_FRAME)? != 0;
    match (is_source, path.trim()) {
        (false, "") => Ok(ImageChoice::None),
        (true, "") => Ok(ImageChoice::SourceFrame),
        (true, _) => Err(FirstImageError::Both),
        (false, _) => {
            let matte = node.text(MATTE)?;
            let matte = Some(matte).filter(|matte| !matte.trim().is_empty()).map(Into::into);
            let opaque = node.int(OPAQUE_IMAGE)? != 0 && matte.is_none();
            Ok(ImageChoice::File(ImageFile { path: path.into(), matte, opaque }))
        }
    }
}

/// Whether the take begins with an image.
pub(crate) fn has_image(node: Node<'_>) -> Result<bool, FirstImageError> {
    Ok(!matches!(image_choice(node)?, ImageChoice::None))
}

/// Whether the take begins with a frame of Source.
pub(crate) fn is_of_source(node: Node<'_>) -> Result<bool, FirstImageError> {
    Ok(matches!(image_choice(node)?, ImageChoice::SourceFrame))
}

impl FirstImage {
    /// Takes it, and keeps it in the store; nothing where the parameters say none. `start` is the host's
    /// frame on which the take begins.
    pub(crate) fn take(
        node: Node<'_>,
        session: &PluginSession,
        start: f64,
    ) -> Result<Option<Self>, FirstImageError> {
        let (kept, image) = match image_choice(node)? {
            ImageChoice::None => return Ok(None),
            ImageChoice::SourceFrame => {
                let SourceFrame { image, told } = source_frame(node, start)?;
                let kept = session.keep_image(&image);
                let hash = kept.map_err(|reason| FirstImageError::Store { reason })?;
                let source = ImageSource::new(hash, &source_frame_name(start));
                let size = [image.width(), image.height()];
                (KeptImage { source, size, told }, Some(image))
            }
            ImageChoice::File(file) => (session.keep_image_file(&file)?, None),
        };
        let KeptImage { source, size, told } = kept;
        let mut first = Self { source, size, ellipse: None, told };
        first.ellipse = first.fitted(node, session, image)?;
        Ok(Some(first))
    }

    /// The image that the parameters mean, for comparing them with the take that there is: of the same
    /// name it is the same, of another one some other.
    pub(crate) fn compared(
        node: Node<'_>,
        session: &PluginSession,
    ) -> Result<Option<Self>, FirstImageError> {
        let (name, kept) = match image_choice(node)? {
            ImageChoice::None => return Ok(None),
            ImageChoice::SourceFrame => {
                (source_frame_name(f64::from(node.int(START_FRAME)?)), None)
            }
            ImageChoice::File(file) => (file.name(), session.kept_image(&file)),
        };
        let saved = SavedRequests::of(node)?;
        let shown = saved.shown().accepted().map(|take| &take.request);
        let shown = shown.filter(|request| request.first_image_name.as_ref() == Some(&name));
        let of_take = shown.and_then(|request| request.first_image);
        let hash = kept.as_ref().map(|kept| kept.source.hash).or(of_take);
        let size = kept.map(|kept| kept.size).or_else(|| {
            let known = hash.and_then(|hash| session.image_facts(&hash)).map(|facts| facts.size);
            known.or_else(|| shown.map(|request| [request.width, request.height]))
        });
        Ok(Some(Self {
            source: ImageSource { hash: hash.unwrap_or(ContentHash([0; 32])), name },
            size: size.unwrap_or(Defaults::RELEASED_SIZE),
            ellipse: None,
            told: Vec::new(),
        }))
    }

    /// Where its subject is in the take, unless the artist has drawn an ellipse.
    fn fitted(
        &self,
        node: Node<'_>,
        session: &PluginSession,
        image: Option<StillImage>,
    ) -> Result<Option<Ellipse>, FirstImageError> {
        // Whatever is wrong with the model is said when the request is made.
        let Ok(model) = session.model(node.text(MODEL)?.trim()) else { return Ok(None) };
        if is_drawn(node, session)? {
            return Ok(None);
        }
        let size = size(node, model.defaults.size_or_released(), Some(self.size))?;
        let image = image.or_else(|| session.store.image(&self.source.hash).image);
        Ok(image.and_then(|image| subject(&image, size)))
    }
}

/// Width and height of the image that the take would begin with, as far as the host says it before it is
/// taken.
pub(crate) fn expected_size(node: Node<'_>) -> Option<[u32; 2]> {
    node.instance().connected_source(node.effect())?;
    let ImageChoice::SourceFrame = image_choice(node).ok()? else { return None };
    let [left, bottom, right, top] = frame_region(node)?;
    // Canonical coordinates are those of square pixels.
    Some([right - left, top - bottom].map(|side| (side.round() as u32).max(1)))
}

/// The ellipse of what is to be seen of an image in a take of a size.
fn subject(image: &StillImage, [width, height]: [u32; 2]) -> Option<Ellipse> {
    image.fitted(width, height).0.ellipse(FitSettings::RELEASED).ok().flatten()
}

/// Whether the artist has drawn the ellipse: it is keyed, or neither as in a new node nor that of the
/// image which the last take began with, as Generate has left it.
fn is_drawn(node: Node<'_>, session: &PluginSession) -> Result<bool, Status> {
    if is_keyed(node)? {
        return Ok(true);
    }
    let own = drawn_ellipse(node)?;
    if is_same(&own, &Ellipse::default()) {
        return Ok(false);
    }
    let saved = SavedRequests::of(node)?;
    let Some(take) = saved.take.accepted() else { return Ok(true) };
    let request = &take.request;
    let is_of_take = request.ellipse.first().is_some_and(|ellipse| is_same(&own, ellipse));
    let image = request.first_image.filter(|_| is_of_take);
    let image = image.and_then(|hash| session.store.image(&hash).image);
    let fitted = image.and_then(|image| subject(&image, [request.width, request.height]));
    Ok(!fitted.is_some_and(|fitted| is_same(&own, &fitted)))
}

fn is_same(one: &Ellipse, other: &Ellipse) -> bool {
    let numbers = |ellipse: &Ellipse| [ellipse.x, ellipse.y, ellipse.a, ellipse.b, ellipse.angle];
    numbers(one).iter().zip(numbers(other)).all(|(one, other)| (one - other).abs() < SAME)
}
