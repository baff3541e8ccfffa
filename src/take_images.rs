//! The images that a take begins and ends with, found by what its request says of them.

use wan_alpha_core::Watch;
use wan_alpha_core::generate::TakeInputs;
use wan_alpha_take::engine::message::{Problem, ProblemCode};
use wan_alpha_take::fit::FitSettings;
use wan_alpha_take::store::Store;
use wan_alpha_take::{ContentHash, Ellipse, Mask, StillImage, TakeRequest, Warning, WarningCode};

/// Images in memory, as their files have them.
#[derive(Debug, Default)]
pub(crate) struct TakeImages {
    pub(crate) first: Option<StillImage>,
    pub(crate) last: Option<StillImage>,
}

impl TakeImages {
    /// The images of a request, from the store.
    pub(crate) fn in_store(
        request: &TakeRequest,
        store: &Store,
        watch: &dyn Watch,
    ) -> Result<Self, Problem> {
        let TakeRequest { first_image, last_image, first_image_name, last_image_name, .. } =
            request;
        let find = |hash: &Option<ContentHash>, name: &Option<String>, which| {
            hash.map(|hash| find(&hash, name.as_deref(), which, store, watch)).transpose()
        };
        Ok(Self {
            first: find(first_image, first_image_name, "begins")?,
            last: find(last_image, last_image_name, "ends")?,
        })
    }

    /// What is to be known of them in the take of a request.
    pub(crate) fn warnings(&self, request: &TakeRequest) -> Vec<Warning> {
        let size = [request.width, request.height];
        let of = |image: &Option<StillImage>, which| {
            image.as_ref().map(|image| image.warnings(which, size)).unwrap_or_default()
        };
        let mut warnings = [of(&self.first, "first"), of(&self.last, "last")].concat();
        warnings.extend(self.first.as_ref().and_then(|first| no_ellipse(first, request)));
        warnings
    }

    /// What a pipeline is given.
    pub(crate) fn inputs<'a>(&'a self, mask: Option<&'a Mask>) -> TakeInputs<'a> {
        TakeInputs { mask, first_image: self.first.as_ref(), last_image: self.last.as_ref() }
    }
}

/// That the take's ellipse is the one in the middle of the frame, where the image's alpha gives none: a puff
/// of smoke may be too faint everywhere.
fn no_ellipse(first: &StillImage, request: &TakeRequest) -> Option<Warning> {
    let middle = Ellipse::default();
    let is_drawn = request.mask.is_some() || request.ellipse.iter().any(|own| *own != middle);
    if is_drawn || first.is_empty() {
        return None;
    }
    let settings = FitSettings::RELEASED;
    match first.fitted(request.width, request.height).0.ellipse(settings) {
        Ok(None) => Some(Warning::new(
            WarningCode::ImageFaint,
            format!(
                "the first image is too faint for an ellipse of its alpha, which counts above {}, or shows \
                 too little: the take has the ellipse in the middle of the frame",
                settings.threshold
            ),
            "draw the ellipse where the subject is",
        )),
        Ok(Some(_)) | Err(_) => None,
    }
}

fn find(
    hash: &ContentHash,
    name: Option<&str>,
    which: &str,
    store: &Store,
    watch: &dyn Watch,
) -> Result<StillImage, Problem> {
    let found = store.image(hash);
    for problem in &found.problems {
        watch.warn(&problem.to_string());
    }
    found.image.ok_or_else(|| {
        let called = name.map(|name| format!(" `{name}`")).unwrap_or_default();
        let folders: Vec<_> =
            store.folders().iter().map(|folder| folder.display().to_string()).collect();
        Problem::new(
            ProblemCode::ImageNeeded,
            format!(
                "the image{called} that the take {which} with, {hash}, is nowhere in the store; looked in \
                 {}",
                folders.join(", ")
            ),
            "give it again: `wan-alpha render --from … --image FILE` keeps it there",
        )
    })
}
