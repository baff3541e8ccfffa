//! The syntax of how frames are written, the same for `render`, `decode` and `take export`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use wan_alpha_take::environment::Environment;

use crate::exit::{Exit, OrExit};
use crate::media::exr::{ExrAlpha, ExrColor, ExrCompression, ExrSamples, ExrSettings};
use crate::media::frame_look::{FrameBackdrop, FrameLook, color_of};
use crate::media::movie::Verify;
use crate::media::png::{PngSettings, PngTag};
use crate::media::provenance::DateTime;
use crate::media::signature::{FileSigner, SigningFiles};
use crate::output::{FileSettings, Format, FrameNames, MOST_DIGITS};

/// How frames are written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct FrameArgs {
    /// Formats, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "exr,png")]
    pub(crate) format: Vec<Format>,

    /// What frames are called, with a place for the number: shot.#### or shot_%04d; a name alone gets .####
    #[arg(long, value_name = "PATTERN", default_value = "rgba.####")]
    pub(crate) name: FrameNames,

    /// The number of the first frame
    #[arg(long, value_name = "N", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=9_999_999))]
    pub(crate) start: u32,

    /// Digits that numbers are filled up to [default: the pattern's, 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MOST_DIGITS as i64))]
    pub(crate) padding: Option<u8>,

    /// Alpha alone: EXR with the channel A, PNG in gray
    #[arg(long, conflicts_with = "over")]
    pub(crate) alpha_only: bool,

    /// The take over a color (#RRGGBB, red, …) or an image (PNG, EXR; scaled to fill the frame), in linear
    /// light
    #[arg(long, value_name = "COLOR|IMAGE")]
    pub(crate) over: Option<String>,

    /// The number format of EXR
    #[arg(long, value_enum, default_value_t)]
    pub(crate) exr_samples: ExrSamples,

    /// How EXR is compressed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) exr_compression: ExrCompression,

    /// How color and alpha belong together in EXR
    #[arg(long, value_enum, default_value_t)]
    pub(crate) exr_alpha: ExrAlpha,

    /// What EXR's numbers mean as colors
    #[arg(long, value_enum, default_value_t)]
    pub(crate) exr_color: ExrColor,

    /// Bits of a channel of PNG
    #[arg(long, value_name = "BITS", default_value = "16", value_parser = ["8", "16"])]
    pub(crate) png_depth: String,

    /// How PNG says that it is sRGB
    #[arg(long, value_enum, default_value_t)]
    pub(crate) png_color: PngTag,

    /// Which frames of a movie are compared with what was written; all are read back and counted
    #[arg(long, value_enum, default_value_t)]
    pub(crate) verify: Verify,

    /// Whose the pictures are, for the files to say
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) owner: String,

    /// Further marks of origin, separated by commas
    #[arg(long, value_enum, value_name = "MARK", value_delimiter = ',')]
    pub(crate) mark: Vec<FurtherMark>,

    /// Sign every file (C2PA) with these certificates, PEM, the signer's own first: in PNG, MOV and WebP,
    /// beside others as .c2pa
    #[arg(long, value_name = "CERT", requires = "sign_key")]
    pub(crate) sign: Option<PathBuf>,

    /// The key of --sign, PEM (PKCS#8), not encrypted
    #[arg(long = "key", value_name = "KEY", requires = "sign")]
    pub(crate) sign_key: Option<PathBuf>,

    /// Have this authority put the time under each signature, over the network
    #[arg(long, value_name = "URL", requires = "sign")]
    pub(crate) tsa: Option<String>,

    /// Leave recipe and prompt out of the files: from these no take can be made again
    #[arg(long)]
    pub(crate) no_recipe: bool,

    /// Replace files of others that are called the same
    #[arg(long)]
    pub(crate) force: bool,
}

/// Marks of origin beside those that every file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FurtherMark {
    /// The label of China's GB 45438 (AIGC)
    China,
    /// The prompt
    Prompt,
}

impl FrameArgs {
    /// What is asked for; what frames are put over is read, and what they are signed with.
    pub(crate) fn settings(&self, environment: &Environment) -> Result<FileSettings> {
        let look = self.look().or_exit(Exit::BadInput)?;
        let made = environment.source_date.map(DateTime::of_seconds);
        let formats = Format::ALL.into_iter().filter(|format| self.format.contains(format));
        Ok(FileSettings {
            formats: formats.collect(),
            names: self.name.clone().counting(self.padding.map(usize::from), self.start),
            exr: ExrSettings {
                samples: self.exr_samples,
                compression: self.exr_compression,
                alpha: self.exr_alpha,
                color: self.exr_color,
            },
            png: PngSettings { is_8_bit: self.png_depth == "8", color: self.png_color },
            look,
            force: self.force,
            owner: self.owner.clone(),
            mark_prompt: self.mark.contains(&FurtherMark::Prompt),
            mark_china: self.mark.contains(&FurtherMark::China),
            recipe: !self.no_recipe,
            verify: self.verify,
            signer: self.signer(environment).or_exit(Exit::BadInput)?,
            made: made.unwrap_or_else(|| DateTime::of(SystemTime::now())),
        })
    }

    /// Files that are read.
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        let image = self.over.as_ref().filter(|text| color_of(text).is_none());
        let signing = self.sign.iter().chain(&self.sign_key).cloned();
        image.map(PathBuf::from).into_iter().chain(signing).collect()
    }

    /// Who signs what is written: tried out before anything is made.
    fn signer(&self, environment: &Environment) -> Result<Option<Arc<FileSigner>>> {
        let (Some(chain), Some(key)) = (&self.sign, &self.sign_key) else { return Ok(None) };
        let files = SigningFiles { chain, key, time_authority: self.tsa.as_deref() };
        FileSigner::open(files, &environment.c2pa).map(|signer| Some(Arc::new(signer)))
    }

    fn look(&self) -> Result<FrameLook> {
        let Some(text) = &self.over else {
            return Ok(if self.alpha_only { FrameLook::AlphaOnly } else { FrameLook::Whole });
        };
        if let Some(color) = color_of(text) {
            return Ok(FrameLook::Over(FrameBackdrop::Color(color)));
        }
        let path = PathBuf::from(text);
        ensure!(
            path.is_file(),
            "--over {text} is neither a color (#RRGGBB, or black, white, gray, red, green, blue, cyan, \
             magenta, yellow) nor an image that is there"
        );
        FrameBackdrop::read(&path).map(FrameLook::Over)
    }
}
