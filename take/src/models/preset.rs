//! Presets: how whoever made a model few steps say that it is sampled. The one table of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Defaults;
use crate::counted::counted;
use crate::request::{Solver, TakeRequest};

/// Solver, steps, shift, guidance and strength of the noise's shift, as their authors give them.
#[derive(Debug, PartialEq)]
pub struct Preset {
    /// What it is called on the command line and in records.
    pub name: &'static str,
    /// Whose settings they are, and for what.
    pub what: &'static str,
    /// How the denoising equation is integrated.
    pub solver: Solver,
    /// Number of denoising steps.
    pub steps: u32,
    /// Shift of the noise schedule; without meaning where the solver has times of its own.
    pub shift: f64,
    /// Strength of classifier-free guidance; 1 is none.
    pub guidance: f64,
    /// What μ is multiplied by, so that 0.05 is what they use.
    pub mu_scale: f64,
    /// What the name or the header of a file says that is sampled so, in small letters without
    /// separators; a word of three letters or less stands alone.
    pub words: &'static [&'static str],
}

/// The preset of the released pair: the transparency `DoRA` and LightX2V's LoRA.
pub const WAN_ALPHA: &str = "wan-alpha";
/// The preset of what LightX2V distilled.
pub const LIGHTX2V: &str = "lightx2v";
/// The preset of consistency models with times of TrigFlow.
pub const RCM: &str = "rcm";
/// The preset of what nobody distilled.
pub const UNDISTILLED: &str = "wan";

/// Every preset. Of two whose words a file says, the first counts.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: WAN_ALPHA,
        what: "the authors' of Wan-Alpha, for their DoRA and LightX2V's 4-step LoRA",
        solver: Solver::UniPc,
        steps: 4,
        shift: 5.0,
        guidance: 1.0,
        mu_scale: 1.0,
        words: &[],
    },
    Preset {
        name: RCM,
        what: "NVIDIA's of rCM and TurboDiffusion's of TurboWan2.1, 1 to 4 steps",
        solver: Solver::Rcm,
        steps: 4,
        shift: 1.0,
        guidance: 1.0,
        mu_scale: 1.0,
        words: &["rcm", "turbowan", "turbodiffusion"],
    },
    Preset {
        name: "fusionix",
        what: "FusioniX, as merged transformer or LoRA",
        solver: Solver::UniPc,
        steps: 10,
        shift: 2.0,
        guidance: 1.0,
        mu_scale: 1.0,
        words: &["fusionix", "fusionx"],
    },
    Preset {
        name: "causvid",
        what: "LoRAs of CausVid, on all frames at once",
        solver: Solver::UniPc,
        steps: 10,
        shift: 2.0,
        guidance: 1.0,
        mu_scale: 1.0,
        words: &["causvid"],
    },
    Preset {
        name: LIGHTX2V,
        what: "LightX2V's, at times 1000, 750, 500, 250 before the shift",
        solver: Solver::Euler,
        steps: 4,
        shift: 5.0,
        guidance: 1.0,
        mu_scale: 1.0,
        words: &["lightx2v", "distill", "selfforcing", "4step"],
    },
    Preset {
        name: "lightx2v-lcm",
        what: "LightX2V's of before, the same times with fresh noise at each",
        solver: Solver::Lcm,
        steps: 4,
        shift: 5.0,
        guidance: 1.0,
        mu_scale: 1.0,
        words: &[],
    },
    Preset {
        name: "wan2gp",
        what: "Wan2GP's of Wan-Alpha v2 Lightning: LightX2V's whole transformer, μ 0.03",
        solver: Solver::UniPc,
        steps: 4,
        shift: 3.0,
        guidance: 1.0,
        mu_scale: 0.6,
        words: &[],
    },
    Preset {
        name: "wan2gp-lora",
        what: "Wan2GP's of Wan-Alpha v2 with LightX2V's LoRA, μ 0.03",
        solver: Solver::UniPc,
        steps: 4,
        shift: 2.0,
        guidance: 1.0,
        mu_scale: 0.6,
        words: &[],
    },
    Preset {
        name: UNDISTILLED,
        what: "without step distillation: Wan2.1's own",
        solver: Solver::UniPc,
        steps: 50,
        shift: 5.0,
        guidance: 5.0,
        mu_scale: 1.0,
        words: &[],
    },
];

impl Preset {
    /// The preset of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The first preset whose words a text has, such as the name of a file, and the word.
    #[must_use]
    pub fn said_by(text: &str) -> Option<(&'static Self, &'static str)> {
        let text = text.to_lowercase();
        let squeezed: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
        let says = |word: &str| {
            if word.starts_with(|c: char| c.is_ascii_digit()) {
                return has_number(&text, word);
            }
            if word.len() > 3 {
                return squeezed.contains(word);
            }
            text.split(|c: char| !c.is_alphanumeric()).any(|part| part == word)
        };
        PRESETS.iter().find_map(|preset| {
            let word = preset.words.iter().copied().find(|word| says(word))?;
            Some((preset, word))
        })
    }

    /// What a model does that is sampled so, on top of what its own record says of everything else.
    #[must_use]
    pub fn defaults(&self, of_model: &Defaults) -> Defaults {
        let own = of_model.mu_scale;
        let mu_scale =
            if self.mu_scale == 1.0 { own } else { Some(own.unwrap_or(1.0) * self.mu_scale) };
        Defaults {
            steps: Some(self.steps),
            shift: Some(self.shift),
            shift_of_small_frames: None,
            guidance: Some(self.guidance),
            solver: Some(self.solver),
            mu_scale,
            ..of_model.clone()
        }
    }
}

/// Whether a text has a word that begins with a number, as that number and not as the end of another:
/// `4step` in `rank64_4-steps`, and not in `2004steps`.
fn has_number(text: &str, word: &str) -> bool {
    let is_digit = |c: &char| c.is_ascii_digit();
    let mut before = None;
    text.char_indices().any(|(at, c)| {
        let is_inside = is_digit(&c) && before.as_ref().is_some_and(is_digit);
        before = Some(c);
        let rest = || text[at..].chars().filter(|c| c.is_alphanumeric());
        !is_inside && c.is_alphanumeric() && word.chars().eq(rest().take(word.chars().count()))
    })
}

/// Solver, steps, shift and guidance, as a list.
impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { solver, steps, shift, guidance, mu_scale, .. } = self;
        write!(f, "{solver}, {}", counted(*steps, "step"))?;
        if solver.has_shift() {
            write!(f, ", shift {shift}")?;
        }
        write!(f, ", guidance {guidance}")?;
        if *mu_scale != 1.0 { write!(f, ", μ × {mu_scale}") } else { Ok(()) }
    }
}

/// The preset that a model was recorded with, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenPreset {
    /// [`Preset::name`]; of a record that a newer program wrote, perhaps one that is not known here.
    pub name: String,
    /// What it was chosen by, as the end of a sentence: `by the name lora.safetensors`.
    pub evidence: String,
}

impl ChosenPreset {
    /// A preset that somebody chose, and by what.
    #[must_use]
    pub fn new(preset: &Preset, evidence: impl Into<String>) -> Self {
        Self { name: preset.name.to_owned(), evidence: evidence.into() }
    }

    /// The preset and why, and what a request that was made with it has otherwise: in one line.
    #[must_use]
    pub fn line(&self, request: &TakeRequest) -> String {
        let Some(preset) = self.preset() else { return format!("preset {self}") };
        let others = [
            (request.solver != preset.solver).then(|| format!("solver {}", request.solver)),
            (request.steps != preset.steps).then(|| counted(request.steps, "step")),
            (request.solver.has_shift() && request.shift != preset.shift)
                .then(|| format!("shift {}", request.shift)),
            (request.guidance != preset.guidance).then(|| format!("guidance {}", request.guidance)),
        ];
        let others: Vec<_> = others.into_iter().flatten().collect();
        if others.is_empty() {
            return format!("preset {self}");
        }
        format!("preset {self}; here {}", others.join(", "))
    }

    /// The preset, where this program knows it.
    #[must_use]
    pub fn preset(&self) -> Option<&'static Preset> {
        Preset::named(&self.name)
    }

    /// What a record's defaults were before this preset was put on top, for another in its place.
    #[must_use]
    pub fn taken_off(&self, recorded: &Defaults) -> Defaults {
        let scale = self.preset().map_or(1.0, |preset| preset.mu_scale);
        let own = recorded.mu_scale.map(|recorded| recorded / scale).filter(|own| *own != 1.0);
        Defaults { mu_scale: own, ..recorded.clone() }
    }
}

/// ``lightx2v (euler, 4 steps, shift 5, guidance 1), by the name lora.safetensors``.
impl fmt::Display for ChosenPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, evidence } = self;
        match self.preset() {
            Some(preset) => write!(f, "{name} ({preset}), {evidence}"),
            None => write!(f, "{name}, {evidence}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ellipse::Ellipse;
    use crate::request::{Precision, RequestDraft};

    #[test]
    fn names_of_published_files_say_their_preset() {
        for (name, preset) in [
            ("lightx2v_T2V_14B_cfg_step_distill_v2_lora_rank64_bf16.safetensors", "lightx2v"),
            ("wan2.1_t2v_14b_lora_rank64_lightx2v_4step.safetensors", "lightx2v"),
            ("lora_rank64_4-steps.safetensors", "lightx2v"),
            ("wan2.1_StepDistill-CfgDistill_14B_bf16.safetensors", "lightx2v"),
            ("rCM_Wan2.1_T2V_14B_480p.pt", "rcm"),
            ("TurboWan2.1-T2V-14B-480P.pth", "rcm"),
            ("Wan14BT2VFusioniX_fp16.safetensors", "fusionix"),
            ("Wan2.1_T2V_14B_FusionX_LoRA.safetensors", "fusionix"),
            ("Wan21_CausVid_14B_T2V_lora_rank32_v2.safetensors", "causvid"),
        ] {
            assert_eq!(
                Preset::said_by(name).map(|(preset, _)| preset.name),
                Some(preset),
                "{name}"
            );
        }
        for name in [
            "diffusion_pytorch_model-00001-of-00006.safetensors",
            "wan2.1_t2v_14B_fp8_scaled.safetensors",
            "t2v.safetensors",
            "epoch-13-1500.safetensors",
            // Three letters are no word inside another.
            "supercmodel.safetensors",
            "film-grain.safetensors",
            // Trainers number their own steps.
            "style_2004steps.safetensors",
            "style_0004_steps.safetensors",
        ] {
            assert_eq!(Preset::said_by(name), None, "{name}");
        }
    }

    #[test]
    fn every_preset_is_a_request_and_has_a_name_of_its_own() {
        for preset in PRESETS {
            assert_eq!(Preset::named(preset.name), Some(preset));
            let draft = RequestDraft {
                frames: Some(1),
                ellipse: vec![Ellipse::default()],
                mu: vec![0.05],
                precision: Some(Precision::F32),
                ..RequestDraft::new("m".into(), "smoke".into())
            };
            let request = draft.complete(&preset.defaults(&Defaults::default())).unwrap();
            assert_eq!((request.steps, request.solver), (preset.steps, preset.solver));
            assert_eq!((request.shift, request.guidance), (preset.shift, preset.guidance));
            assert_eq!(request.mu_scale, preset.mu_scale);
        }
    }

    /// The table for people. `WAN_ALPHA_WRITE_DOCS=1` writes it anew.
    #[test]
    fn the_documents_have_every_preset() {
        let mut table = String::from(
            "| preset | whose | solver | steps | shift | guidance | μ | known by |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for Preset { name, what, solver, steps, shift, guidance, mu_scale, words } in PRESETS {
            let shift = if solver.has_shift() { shift.to_string() } else { "–".to_owned() };
            let steps =
                if *solver == Solver::Rcm { "4, or 1 to 3".to_owned() } else { steps.to_string() };
            let known: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            let known = match (*name, known.join(", ")) {
                (WAN_ALPHA, _) => "LightX2V's LoRA beside a transparency DoRA".to_owned(),
                (UNDISTILLED, _) => "nothing of the above".to_owned(),
                (LIGHTX2V, words) => format!("{words}, `.diff_m` keys, any other distillation"),
                (RCM, words) => format!("{words}, `proj_l` keys"),
                (_, words) if words.is_empty() => "`--preset` alone".to_owned(),
                (_, words) => words,
            };
            let mu = crate::rounding::to_millionths(0.05 * mu_scale);
            table += &format!(
                "| `{name}` | {what} | `{solver}` | {steps} | {shift} | {guidance} | {mu} | {known} |\n"
            );
        }
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/models-and-memory.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (begin, end) = ("<!-- presets: begin -->\n", "<!-- presets: end -->");
        let (before, rest) = page.split_once(begin).unwrap();
        let (found, after) = rest.split_once(end).unwrap();
        if std::env::var_os("WAN_ALPHA_WRITE_DOCS").is_some() {
            std::fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
        } else {
            assert!(
                found == table,
                "write it anew with WAN_ALPHA_WRITE_DOCS=1; it should be\n{table}"
            );
        }
    }

    #[test]
    fn a_preset_takes_the_place_of_another() {
        let wan2gp = Preset::named("wan2gp").unwrap();
        for own in [None, Some(10.0)] {
            let model = Defaults { mu_scale: own, width: Some(96), ..Defaults::default() };
            let recorded = wan2gp.defaults(&model);
            assert_eq!(recorded.mu_scale, Some(own.unwrap_or(1.0) * 0.6));
            assert_eq!(recorded.width, Some(96));
            let chosen = ChosenPreset { name: "wan2gp".into(), evidence: "by --preset".into() };
            let again = Preset::named("rcm").unwrap().defaults(&chosen.taken_off(&recorded));
            assert_eq!((again.mu_scale, again.solver), (own, Some(Solver::Rcm)));
        }
    }

    #[test]
    fn what_was_chosen_is_told_with_its_reason() {
        let chosen =
            |name: &str| ChosenPreset { name: name.into(), evidence: "by its name".into() };
        assert_eq!(
            chosen("lightx2v").to_string(),
            "lightx2v (euler, 4 steps, shift 5, guidance 1), by its name"
        );
        assert_eq!(chosen("rcm").to_string(), "rcm (rcm, 4 steps, guidance 1), by its name");
        assert_eq!(
            chosen("wan2gp").to_string(),
            "wan2gp (unipc, 4 steps, shift 3, guidance 1, μ × 0.6), by its name"
        );
        assert_eq!(chosen("of-next-year").to_string(), "of-next-year, by its name");
    }
}
