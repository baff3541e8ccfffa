//! The syntax of `wan-alpha render`.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use wan_alpha_core::Watch;
use wan_alpha_take::models::{AUTO, Preset};
use wan_alpha_take::{
    DecodePrecision, DecodeTiling, Interpolation, MemoryLimit, Precision, Solver,
};

use super::seed_list::{large_seed_warning, noise_seed};
use super::{
    Computing, FrameArgs, GUIDANCE, LENGTH, SIDE, STEPS, SeedList, number, one_of, preset_name,
    whole,
};
use crate::exit::{Exit, OrExit};
use crate::text_file;

/// One take and where it goes.
#[derive(Debug, Args)]
#[command(after_help = RENDER_EXAMPLES)]
#[command(group = clap::ArgGroup::new("pictures").args(["mask", "image", "last_image"]).multiple(true))]
pub(crate) struct Render {
    /// Model: a name (see `wan-alpha model`), a folder, or the files of its parts (DiT, text
    /// encoder, VAE, adapters); may be given several times
    #[arg(long, value_name = "NAME|PATH", default_value = "auto", num_args = 1.., help_heading = "Model")]
    pub(crate) model: Vec<PathBuf>,

    /// Strength of the DoRA that makes the video transparent, 0 to 2. It does not touch the lengths that
    /// the DoRA gives to rows: at 0 they are left of it. Without it altogether: a model without its file
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    #[arg(value_parser = number(STRENGTH), allow_hyphen_values = true, help_heading = "Model")]
    pub(crate) dora_strength: f64,

    /// Strength of the step-distillation LoRA, 0 to 2; 0 is without it
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    #[arg(value_parser = number(STRENGTH), allow_hyphen_values = true, help_heading = "Model")]
    pub(crate) distill_strength: f64,

    /// A further LoRA, merged after the model's own: a name (see `wan-alpha model add --lora`) or a file,
    /// and its strength, -10 to 10 [default: 1]; may be given several times, and the order counts
    #[arg(long, value_name = "NAME|FILE[:S]", num_args = 1.., help_heading = "Model")]
    pub(crate) lora: Vec<String>,

    /// Number format to compute in; fp8 is bf16 with the transformer's blocks kept in 8 bits [default:
    /// the model's; else f32 below 3 billion parameters, bf16 above]
    #[arg(long, visible_alias = "precision", help_heading = "Model")]
    #[arg(value_parser = one_of::<Precision>(&["f32", "bf16", "fp8"]))]
    pub(crate) dtype: Option<Precision>,

    /// Number format to decode in: bf16 takes half the memory, and is fast where the device has it
    #[arg(long, value_parser = one_of::<DecodePrecision>(&["f32", "bf16"]), default_value = "f32")]
    #[arg(help_heading = "Model")]
    pub(crate) decode_precision: DecodePrecision,

    /// Decode frames in one piece, or in tiles that overlap, for less memory [default: whole; tiled where
    /// --memory has no room for a frame]
    #[arg(long, value_parser = one_of::<DecodeTiling>(&["whole", "tiled"]))]
    #[arg(help_heading = "Model")]
    pub(crate) decode_tiling: Option<DecodeTiling>,

    /// Gigabytes that the take may use at most, of the device; of a processor's, of the whole process
    /// [default: WAN_ALPHA_MEMORY, else what is free]
    #[arg(long, value_name = "GB", allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) memory: Option<MemoryLimit>,

    #[command(flatten, next_help_heading = "Model")]
    pub(crate) computing: Computing,

    /// Have the engine make the take: the model, which must have a name, stays warm for the next
    #[arg(long, conflicts_with_all = ["dump", "device", "threads", "mask"], help_heading = "Model")]
    pub(crate) engine: bool,

    /// What to show, in English or Chinese, or @FILE to read it from a text file. Say that the
    /// background is transparent, then the style, the kind of shot and the subject. Needed unless --from
    /// is given
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "Take", allow_hyphen_values = true)]
    pub(crate) prompt: Option<String>,

    /// The same take as an earlier one: its folder, its take.json, a frame, contact sheet or movie of it,
    /// its file in a store (.take), or a node's takeRequest. Nothing of the take is given besides, but
    /// --seeds for the same with others; --model where the model has moved, --mask where a mask placed it,
    /// --image where its image is not in the store
    #[arg(long, value_name = "FILE|FOLDER|REQUEST", help_heading = "Take")]
    #[arg(conflicts_with_all = ["prompt", "negative", "seed", "width", "height", "frames", "ellipse",
        "ellipse_track", "mu", "preset", "steps", "guidance", "shift", "solver", "dora_strength",
        "distill_strength", "lora", "dtype", "decode_precision", "decode_tiling"])]
    pub(crate) from: Option<String>,

    /// The image that the take begins with, for an image-to-video model: a PNG or EXR with alpha, of
    /// any size. The take gets its aspect, and its ellipse is that of the image's alpha, unless they
    /// are given
    #[arg(long, value_name = "FILE", help_heading = "Take")]
    pub(crate) image: Option<PathBuf>,

    /// The image that it ends with, for a first-last-frame model
    #[arg(long, value_name = "FILE", help_heading = "Take")]
    pub(crate) last_image: Option<PathBuf>,

    /// The alpha of --image, where that has none: a picture of its size, white where the subject is
    #[arg(long, value_name = "FILE", requires = "image", help_heading = "Take")]
    pub(crate) matte: Option<PathBuf>,

    /// The alpha of --last-image
    #[arg(long, value_name = "FILE", requires = "last_image", help_heading = "Take")]
    pub(crate) last_matte: Option<PathBuf>,

    /// Take images without alpha as they are, opaque everywhere
    #[arg(long, requires = "image", conflicts_with_all = ["matte", "last_matte"])]
    #[arg(help_heading = "Take")]
    pub(crate) opaque: bool,

    /// What to avoid; matters where guidance is not 1 [default: the model's]
    #[arg(long, value_name = "TEXT|@FILE", help_heading = "Take", allow_hyphen_values = true)]
    pub(crate) negative: Option<String>,

    /// Seed of the noise: another seed, another take. Of seeds above 4294967295 the low 32 bits count, as
    /// in torch
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Take")]
    #[arg(value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,

    /// Several takes that differ in their seeds alone, such as 1..8 (both ends) or 3,5,9: all are made into
    /// the store, by one model and one reading of the prompt, and --out gets variants.png, a picture of all
    #[arg(long, value_name = "A..B|N,N,…", help_heading = "Take", allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["seed", "dump"])]
    pub(crate) seeds: Option<SeedList>,

    /// The take of one of --seeds, counted from 1 as in variants.png: its frames are written, and no other
    /// is made
    #[arg(long, value_name = "N", requires = "seeds", help_heading = "Take")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pick: Option<u32>,

    /// Width in pixels, a multiple of 16 [default: of --image's aspect; the model's, else 832]
    #[arg(long, value_name = "W", allow_negative_numbers = true, help_heading = "Take")]
    #[arg(value_parser = whole(SIDE))]
    pub(crate) width: Option<u32>,

    /// Height in pixels, a multiple of 16 [default: of --image's aspect; the model's, else 480]
    #[arg(long, value_name = "H", allow_negative_numbers = true, help_heading = "Take")]
    #[arg(value_parser = whole(SIDE))]
    pub(crate) height: Option<u32>,

    /// Length in frames at 16 per second, 4n+1: 1, 5, … 81 … [default: the model's, else 81]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Take")]
    #[arg(value_parser = whole(LENGTH))]
    pub(crate) frames: Option<u32>,

    /// Where the subject is, "x,y,a,b,angle": center in fractions of the frame from its
    /// bottom-left, full axes in fractions of its height, degrees counter-clockwise; or keys at
    /// take frames, "0: x,y,a,b,angle; 40: …" [default: that of --image's alpha; 0.5,0.5,0.6,1,0]
    #[arg(long, value_name = "ELLIPSE", allow_hyphen_values = true, help_heading = "Placement")]
    #[arg(conflicts_with_all = ["ellipse_track", "mask"])]
    pub(crate) ellipse: Option<String>,

    /// How the ellipse moves between its keys; smooth never overshoots them
    #[arg(long, default_value = "linear", requires = "ellipse", help_heading = "Placement")]
    #[arg(value_parser = one_of::<Interpolation>(&["linear", "smooth"]))]
    #[arg(conflicts_with_all = ["ellipse_track", "mask"])]
    pub(crate) ellipse_interp: Interpolation,

    /// Ellipses from a JSON file, one per latent frame (frame 0, then every 4):
    /// [{"x", "y", "a", "b", "angle"}, …]
    #[arg(long, value_name = "FILE.json", conflicts_with = "mask", help_heading = "Placement")]
    pub(crate) ellipse_track: Option<PathBuf>,

    /// A mask instead of an ellipse, one image per latent frame, 1 where the subject is: a PNG or
    /// EXR sequence (a folder or mask.####.exr), or a tensor file as released with the model
    #[arg(long, value_name = "FILE", help_heading = "Placement")]
    pub(crate) mask: Option<PathBuf>,

    /// The part, layer or channel of EXR files that is the mask, or the layer that is the image
    #[arg(long, value_name = "NAME", requires = "pictures", help_heading = "Placement")]
    pub(crate) layer: Option<String>,

    /// How strongly what lies outside the ellipse is made transparent, -1 to 1; 0 switches the
    /// ellipse off [default: the model's, else 0.05]
    #[arg(long, value_name = "M", allow_hyphen_values = true, help_heading = "Placement")]
    #[arg(value_parser = number("a number, -1 to 1; 0.05 is normal"))]
    pub(crate) mu: Option<f64>,

    /// Solver, steps, shift, guidance and strength of the ellipse as the authors of a distillation
    /// give them; what follows here overrides [default: the model's, told in one line]
    #[arg(long, value_name = "NAME", value_parser = preset_name(), help_heading = "Sampling")]
    pub(crate) preset: Option<&'static Preset>,

    /// Denoising steps, 1 to 1000, with rcm 1 to 4 [default: the preset's]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Sampling")]
    #[arg(value_parser = whole(STEPS))]
    pub(crate) steps: Option<u32>,

    /// How strictly the prompt is followed, 0 to 30; 1 is off and twice as fast [default: the preset's]
    #[arg(long, value_name = "G", allow_hyphen_values = true, help_heading = "Sampling")]
    #[arg(value_parser = number(GUIDANCE))]
    pub(crate) guidance: Option<f64>,

    /// Shift of the noise schedule, above 0 to 100; more spends more steps on the composition; rcm has
    /// none [default: the preset's]
    #[arg(long, value_name = "S", allow_hyphen_values = true, help_heading = "Sampling")]
    #[arg(value_parser = number("a number above 0, at most 100"))]
    pub(crate) shift: Option<f64>,

    /// How the denoising equation is integrated; lcm and rcm add fresh noise at each step [default: the
    /// preset's]
    #[arg(long, value_parser = one_of::<Solver>(&["unipc", "dpm++", "euler", "lcm", "rcm"]))]
    #[arg(help_heading = "Sampling")]
    pub(crate) solver: Option<Solver>,

    /// Folder of the take: frames, contact-sheet.png, take.json. An earlier take of ours in it is
    /// replaced; files of others are not
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: PathBuf,

    /// A small picture of what the take is going to be, written anew after each step: the frame in its
    /// middle, straight alpha, an eighth of its size
    #[arg(long, value_name = "FILE.png", help_heading = "Output")]
    #[arg(conflicts_with = "seeds")]
    pub(crate) preview: Option<PathBuf>,

    /// Neither look for the take in the store nor keep it there
    #[arg(long, conflicts_with = "engine", help_heading = "Output")]
    pub(crate) no_store: bool,

    /// Also write every intermediate tensor to this file, for comparison with other code
    #[arg(long, value_name = "FILE.safetensors", help_heading = "Output")]
    pub(crate) dump: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Files")]
    pub(crate) files: FrameArgs,
}

const RENDER_EXAMPLES: &str = "\
Examples:
  wan-alpha render --model models/wan-alpha --out shot/flame \\
      --prompt \"The background of this video is transparent. Realistic style, medium shot. \\
      A torch flame flickers in the wind\"

  wan-alpha render --model models/wan-alpha --out shot/fish --prompt @fish.txt --seed 7 \\
      --ellipse \"0: 0.2,0.5,0.6,0.4,0; 80: 0.8,0.5,0.6,0.4,15\" --ellipse-interp smooth

Exit codes: 0 done, 2 bad input, 3 out of memory, 4 model incomplete or damaged, 130 cancelled, 1 other.";

impl Render {
    /// The seed that the noise is drawn from.
    pub(crate) fn noise_seed(&self) -> u32 {
        noise_seed(self.seed)
    }

    /// The seeds of takes that are made beside each other, none of them picked.
    pub(crate) fn variants(&self) -> Option<&SeedList> {
        self.seeds.as_ref().filter(|_| self.pick.is_none())
    }

    /// The seed that `--pick` names, where it is given.
    ///
    /// # Errors
    /// There are not so many seeds.
    pub(crate) fn picked_seed(&self) -> Result<Option<u32>> {
        let (Some(SeedList { seeds, .. }), Some(pick)) = (&self.seeds, self.pick) else {
            return Ok(None);
        };
        let seed = seeds.get(pick as usize - 1).copied();
        let of = seeds.len();
        seed.map(Some)
            .ok_or_else(|| match of {
                1 => anyhow!("--pick {pick}: there is 1 seed, expected 1"),
                _ => anyhow!("--pick {pick}: there are {of} seeds, expected 1 to {of}"),
            })
            .or_exit(Exit::BadInput)
    }

    /// Which take `--pick` names, for people.
    ///
    /// # Errors
    /// As [`Render::picked_seed`].
    pub(crate) fn picked_line(&self) -> Result<Option<String>> {
        let Some(seed) = self.picked_seed()? else { return Ok(None) };
        let of = self.seeds.as_ref().map_or(0, |list| list.seeds.len());
        Ok(self.pick.map(|pick| format!("take {pick} of {of}, seed {seed}")))
    }

    /// What to say of seeds of more than 32 bits.
    pub(crate) fn seed_warning(&self) -> Option<String> {
        match &self.seeds {
            Some(list) => list.warning(),
            None => large_seed_warning(self.seed),
        }
    }

    /// Whether `--model` is as it is by default.
    pub(crate) fn names_no_model(&self) -> bool {
        matches!(&self.model[..], [one] if one.as_os_str() == AUTO)
    }
}

/// What the strength of one of a model's own adapters can be.
const STRENGTH: &str = "a number, 0 to 2; 1 is as trained";

/// A seed; other programs have some of up to 64 bits.
fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number, 0 to {}", u64::MAX))
}

/// The text of `--prompt` or `--negative` (`flag`): as it stands, or with `@FILE` the file's,
/// without the line ends after it. `@@` begins a text with `@`. Where the file is a pipe that nobody
/// writes to, `watch` ends the wait.
pub(crate) fn text_or_file(flag: &str, text: &str, watch: &dyn Watch) -> Result<String> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(text.to_owned());
    };
    if path.starts_with('@') {
        return Ok(path.to_owned());
    }
    let read = || {
        ensure!(!path.is_empty(), "{flag} @ needs a file name after the @");
        let bytes = text_file::read(Path::new(path), watch)?
            .map_err(|error| anyhow!("cannot read {flag} file {path}: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            anyhow!("{flag} file {path} is not UTF-8 text (byte {place}): save it as UTF-8")
        })?;
        // Some editors begin a UTF-8 file with a mark that would else be a token of the prompt.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    };
    read().or_exit(Exit::BadInput)
}
