//! The images of a command line: read, matted, and what follows from them.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use wan_alpha_take::fit::FitSettings;
use wan_alpha_take::models::Defaults;
use wan_alpha_take::still_image::take_size;
use wan_alpha_take::store::Store;
use wan_alpha_take::{ContentHash, Ellipse, ImageSource, StillImage, TakeRequest};

use crate::args::Render;
use crate::console::Console;
use crate::exit::{Exit, OrExit};
use crate::matted_image::MattedImage;
use crate::take_images::TakeImages;

/// Images, and what their files are called.
#[derive(Default)]
pub(super) struct NamedImages {
    pub(super) images: TakeImages,
    first: Option<ImageSource>,
    last: Option<ImageSource>,
}

/// The files that images are read from.
pub(super) fn image_files(args: &Render) -> impl Iterator<Item = PathBuf> + '_ {
    [&args.image, &args.matte, &args.last_image, &args.last_matte].into_iter().flatten().cloned()
}

impl NamedImages {
    /// Reads those that `args` name.
    pub(super) fn read(args: &Render, console: &Console<'_>) -> Result<Self> {
        let read = |file: &Option<PathBuf>, matte: &Option<PathBuf>, flags| {
            let Some(file) = file else { return Ok(None) };
            let (matte, layer) = (matte.as_deref(), args.layer.as_deref());
            let image = MattedImage { file, matte, layer, opaque: args.opaque, flags };
            image.read(console).or_exit(Exit::BadInput).map(Some)
        };
        let first = read(&args.image, &args.matte, ["--image", "--matte"])?;
        let last = read(&args.last_image, &args.last_matte, ["--last-image", "--last-matte"])?;
        let source = |image: &Option<StillImage>, file: &Option<PathBuf>| {
            let (image, file) = (image.as_ref()?, file.as_ref()?);
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            Some(ImageSource::new(image.hash(), &name))
        };
        let (first_source, last_source) =
            (source(&first, &args.image), source(&last, &args.last_image));
        Ok(Self { images: TakeImages { first, last }, first: first_source, last: last_source })
    }

    /// Those of an earlier take that `args` give again; others are refused.
    pub(super) fn given_again(
        args: &Render,
        request: &TakeRequest,
        console: &Console<'_>,
    ) -> Result<Self> {
        let given = Self::read(args, console)?;
        for (flag, expected, given) in [
            ("--image", request.first_image, &given.first),
            ("--last-image", request.last_image, &given.last),
        ] {
            check_again(flag, expected, given.as_ref()).or_exit(Exit::BadInput)?;
        }
        Ok(given)
    }

    /// Those of an earlier take: as `args` give them again, or from the store.
    pub(super) fn again(
        args: &Render,
        request: &TakeRequest,
        store: &Store,
        console: &Console<'_>,
    ) -> Result<Self> {
        let given = Self::given_again(args, request, console)?;
        // Only what is not given is looked for.
        let mut open = request.clone();
        let TakeImages { first, last } = given.images;
        open.first_image = open.first_image.filter(|_| first.is_none());
        open.last_image = open.last_image.filter(|_| last.is_none());
        let stored = TakeImages::in_store(&open, store, console)
            .map_err(|problem| anyhow!("{problem}"))
            .or_exit(Exit::BadInput)?;
        let images = TakeImages { first: first.or(stored.first), last: last.or(stored.last) };
        Ok(Self { images, ..given })
    }

    /// Keeps them in the store, for whoever makes the take again, or now where that is `needed`: an engine
    /// reads them there.
    pub(super) fn keep(&self, store: &Store, needed: bool, console: &Console<'_>) -> Result<()> {
        for image in [&self.images.first, &self.images.last].into_iter().flatten() {
            match store.keep_image(image) {
                Ok(_) => {}
                Err(error) if needed => return Err(error.into()),
                Err(error) => console.caution(format!(
                    "the image is not kept in the store beside the take: {error}"
                )),
            }
        }
        Ok(())
    }

    /// What a request holds of them.
    pub(super) fn sources(&self) -> [Option<ImageSource>; 2] {
        [self.first.clone(), self.last.clone()]
    }

    /// Width and height of the take: as asked for; else those of the first image's aspect, with as many
    /// pixels as the model's own size has.
    pub(super) fn size(&self, args: &Render, defaults: &Defaults) -> [Option<u32>; 2] {
        let Some(image) = &self.images.first else { return [args.width, args.height] };
        let own = [image.width(), image.height()];
        let sixteens = |pixels: f64| ((pixels / 16.0).round() as u32 * 16).clamp(16, 4096);
        let aspect = f64::from(own[0]) / f64::from(own[1]);
        match [args.width, args.height] {
            [Some(width), Some(height)] => [Some(width), Some(height)],
            [Some(width), None] => [Some(width), Some(sixteens(f64::from(width) / aspect))],
            [None, Some(height)] => [Some(sixteens(f64::from(height) * aspect)), Some(height)],
            [None, None] => {
                let [width, height] = defaults.size_or_released();
                take_size(own, width.saturating_mul(height)).map(Some)
            }
        }
    }

    /// Where the subject of the first image is in a take of a size; none where there is no image, or
    /// nothing in it.
    pub(super) fn ellipse(&self, [width, height]: [u32; 2]) -> Result<Option<Ellipse>> {
        let Some(image) = &self.images.first else { return Ok(None) };
        // A size that no take has is told of later, with what it should be.
        if width < 16 || height < 16 || width > 4096 || height > 4096 {
            return Ok(None);
        }
        image.fitted(width, height).0.ellipse(FitSettings::RELEASED).or_exit(Exit::BadInput)
    }

    /// Says where images are resized.
    pub(super) fn tell(&self, request: &TakeRequest, console: &Console<'_>) {
        let TakeImages { first, last } = &self.images;
        for (flag, image) in [("--image", first), ("--last-image", last)] {
            let Some(image) = image else { continue };
            let (own, size) = ([image.width(), image.height()], [request.width, request.height]);
            if own != size {
                console.remark(&format!(
                    "{flag}: its {} × {} pixels are resized for the take's {} × {}",
                    own[0], own[1], size[0], size[1]
                ));
            }
        }
    }
}

/// Whether an image that is given again is the one of the request.
fn check_again(
    flag: &str,
    expected: Option<ContentHash>,
    given: Option<&ImageSource>,
) -> Result<()> {
    match (expected, given) {
        (None, Some(_)) => Err(anyhow!("the take of --from has no such image: leave {flag} out")),
        (Some(expected), Some(ImageSource { hash, name })) if *hash != expected => Err(anyhow!(
            "{flag} {name} is not the image that the take was made with: it is {hash}, expected \
             {expected}"
        )),
        _ => Ok(()),
    }
}
