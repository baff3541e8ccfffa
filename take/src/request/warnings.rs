//! What is to be known of a take before it is computed, and once it is there: one set of sentences,
//! for node, command and engine.

use crate::counted::{counted, verb};
use crate::ellipse::Ellipse;
use crate::frames::{latent_frame_of, take_frames_of};
use crate::mask::Mask;
use crate::models::{Defaults, MadeFor};
use crate::report::TakeReport;
use crate::request::TakeRequest;
use crate::warning::{Warning, WarningCode};

/// The most unknown words that are named.
const NAMED: usize = 8;

/// A mask that is nowhere so much is a place for nothing.
const PLACE: f32 = 0.1;

impl TakeRequest {
    /// What is to be known before this take is computed, by what the record of its model says: sizes,
    /// lengths and words that the model was not made for, too few steps, an ellipse outside the frame.
    /// Nothing of it refuses the take.
    #[must_use]
    pub fn warnings(&self, defaults: &Defaults, made_for: &MadeFor) -> Vec<Warning> {
        let few = defaults.steps.and_then(|usual| self.few_steps_warning(usual));
        [
            self.size_warning(made_for),
            self.frames_warning(made_for),
            self.words_warning(made_for),
            few.map(|text| Warning::new(WarningCode::FewSteps, text, "")),
            self.outside_warning(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What is to be known of the finished take: that it is empty, or goes its own way, and the
    /// likeliest cause. `before` is what was known before it was computed.
    #[must_use]
    pub fn result_warnings(&self, report: &TakeReport, before: &[Warning]) -> Vec<Warning> {
        let mut found = Vec::new();
        if report.is_empty() {
            let (cause, remedy) = self.likeliest_cause(before);
            let covered = report.coverage * 100.0;
            found.push(Warning::new(
                WarningCode::EmptyTake,
                format!("the take is empty (alpha covers {covered:.3} % of it), {cause}"),
                remedy,
            ));
        } else if report.ignores_ellipse() {
            let (cause, remedy) = self.likeliest_cause(before);
            found.push(Warning::new(
                WarningCode::EllipseNotFollowed,
                format!("the subject does not follow the ellipse as it moves, {cause}"),
                remedy,
            ));
        }
        found
    }

    /// The ellipse of each latent frame that draws the subject there; none where nothing is shifted,
    /// the shift is away from it, or a mask stands in for it.
    #[must_use]
    pub fn asked_ellipses(&self) -> Vec<Option<Ellipse>> {
        let draws = |mu: f64| self.mask.is_none() && mu * self.mu_scale > 0.0;
        self.ellipse.iter().zip(&self.mu).map(|(at, mu)| draws(*mu).then_some(*at)).collect()
    }

    /// What is to be known of a mask that stands in for the ellipse: that it leaves the subject no place.
    #[must_use]
    pub fn mask_warning(&self, mask: &Mask) -> Option<Warning> {
        let draws = self.mask.is_some() && self.mu.iter().any(|mu| mu * self.mu_scale > 0.0);
        let shows = mask.values().iter().any(|value| *value >= PLACE);
        (draws && !shows).then(|| {
            Warning::new(
                WarningCode::MaskEmpty,
                "the mask leaves the subject no place: expect an empty take",
                "it is 1 where the subject goes and 0 away from it",
            )
        })
    }

    fn size_warning(&self, made_for: &MadeFor) -> Option<Warning> {
        let (width, height) = (self.width, self.height);
        if made_for.fits_size(width, height) {
            return None;
        }
        let [near_width, near_height] = made_for.nearest_size(width, height);
        Some(Warning::new(
            WarningCode::SizeBeyondModel,
            format!(
                "{width}×{height} pixels are not what model `{}` was made for ({}): expect an empty \
                 or broken take",
                self.model,
                made_for.sizes_in_words().unwrap_or_default()
            ),
            format!("the nearest that fits is {near_width}×{near_height}"),
        ))
    }

    fn frames_warning(&self, made_for: &MadeFor) -> Option<Warning> {
        if made_for.fits_frames(self.frames) {
            return None;
        }
        Some(Warning::new(
            WarningCode::FramesBeyondModel,
            format!(
                "{} {} not what model `{}` was made for ({}): expect a take that ignores its \
                 ellipse, or is empty",
                counted(self.frames, "frame"),
                verb(self.frames, "is", "are"),
                self.model,
                made_for.sizes_in_words().unwrap_or_default()
            ),
            format!(
                "the nearest that fits is {}",
                counted(made_for.nearest_frames(self.frames), "frame")
            ),
        ))
    }

    fn words_warning(&self, made_for: &MadeFor) -> Option<Warning> {
        let unknown = made_for.unknown_words(&self.prompt);
        let quoted: Vec<String> =
            unknown.iter().take(NAMED).map(|word| format!("“{word}”")).collect();
        let more = match unknown.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        if quoted.is_empty() {
            return None;
        }
        let remedy = made_for.draws.as_ref().map(|draws| format!("it draws {draws}"));
        Some(Warning::new(
            WarningCode::UnknownWords,
            format!("model `{}` does not know {}{more}", self.model, quoted.join(", ")),
            remedy.unwrap_or_else(|| "say it in other words, or use another model".to_owned()),
        ))
    }

    /// Of an ellipse that no latent frame has within its picture.
    fn outside_warning(&self) -> Option<Warning> {
        let aspect = f64::from(self.width) / f64::from(self.height.max(1));
        let asked: Vec<Ellipse> = self.asked_ellipses().into_iter().flatten().collect();
        if asked.is_empty() || asked.iter().any(|ellipse| ellipse.meets_frame(aspect)) {
            return None;
        }
        Some(Warning::new(
            WarningCode::EllipseOutside,
            "the ellipse lies wholly outside the frame: expect an empty take",
            "move it so that it meets the frame, whose center is 0.5,0.5",
        ))
    }

    /// Why a take shows nothing or goes its own way, as far as can be told, and what to do: what was
    /// warned of before, the worst first.
    fn likeliest_cause(&self, before: &[Warning]) -> (String, String) {
        let warned = |code: WarningCode| before.iter().find(|warning| warning.code == code);
        let because = |words: &str, warning: &Warning| {
            (format!("most likely because {words}"), warning.remedy.clone())
        };
        if let Some(warning) = warned(WarningCode::EllipseOutside) {
            return because("the ellipse lies outside the frame", warning);
        }
        if let Some(warning) = warned(WarningCode::MaskEmpty) {
            return because("the mask leaves the subject no place", warning);
        }
        if let Some(warning) = warned(WarningCode::SizeBeyondModel) {
            let size =
                format!("{}×{} is beyond what its model was made for", self.width, self.height);
            return because(&size, warning);
        }
        if let Some(warning) = warned(WarningCode::FramesBeyondModel) {
            let frames = format!(
                "{} {} beyond what its model was made for",
                counted(self.frames, "frame"),
                verb(self.frames, "is", "are")
            );
            return because(&frames, warning);
        }
        if let Some(warning) = warned(WarningCode::UnknownWords) {
            return because("its model does not know words of the prompt", warning);
        }
        if let Some(warning) = warned(WarningCode::FewSteps) {
            let (steps, are) = (counted(self.steps, "step"), verb(self.steps, "is", "are"));
            let steps = format!("{steps} {are} few for its model");
            let (cause, _) = because(&steps, warning);
            return (cause, "use more steps".to_owned());
        }
        (
            "and nothing in its request tells why".to_owned(),
            "try another seed, a larger ellipse or a weaker μ".to_owned(),
        )
    }
}

/// What is to be known of the keys of an ellipse, at take frames, in a take of so many frames: keys
/// beyond its last frame, which it never reaches, and keys that the model sees as one.
#[must_use]
pub fn key_warnings(keys: &[f64], frames: u32) -> Vec<Warning> {
    let last = frames.saturating_sub(1);
    let mut found = Vec::new();
    let beyond: Vec<f64> = keys.iter().copied().filter(|key| *key > f64::from(last)).collect();
    if let Some(first) = beyond.first() {
        let which = match beyond.len() {
            1 => format!("the key of the ellipse at frame {first} lies"),
            count => format!("{count} keys of the ellipse, from frame {first} on, lie"),
        };
        found.push(Warning::new(
            WarningCode::KeysBeyondEnd,
            format!("{which} beyond the take's last frame, {last}"),
            format!("put keys at frames 0 to {last}, or make the take longer"),
        ));
    }
    // The number of a frame is no greater than that of the last, so the cast only cuts fractions.
    let latent = |key: f64| latent_frame_of(key.round().clamp(0.0, f64::from(last)) as u32);
    let mut latent_frames: Vec<usize> = keys.iter().map(|key| latent(*key)).collect();
    latent_frames.dedup();
    // Of keys beyond the end more need not be said.
    if let ([one], true) = (&latent_frames[..], keys.len() > 1 && beyond.is_empty()) {
        let (from, to) = take_frames_of(*one);
        let to = to.min(last);
        let which =
            if from == to { format!("frame {from}") } else { format!("frames {from} to {to}") };
        found.push(Warning::new(
            WarningCode::KeysOnOneFrame,
            format!(
                "all {} keys of the ellipse fall on {which} of the take, which the model sees as \
                 one: the ellipse hardly moves",
                keys.len()
            ),
            format!("spread the keys over frames 0 to {last}; they count take frames, not seconds"),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::test_requests;

    fn made_for() -> MadeFor {
        MadeFor {
            pixels: Some([64, 128]),
            frames: Some([17, 17]),
            draws: Some("balls and rings in nine colors".into()),
            words: Some("a red ball".into()),
        }
    }

    fn fitting() -> TakeRequest {
        TakeRequest {
            prompt: "A red ball".into(),
            frames: 17,
            width: 96,
            height: 96,
            ellipse: vec![Ellipse::default(); 5],
            mu: vec![0.05; 5],
            ..test_requests::request()
        }
    }

    fn of(request: &TakeRequest) -> Vec<Warning> {
        let request = request.clone().accept().unwrap();
        request.warnings(&Defaults { steps: Some(4), ..Defaults::default() }, &made_for())
    }

    fn codes(warnings: &[Warning]) -> Vec<&str> {
        warnings.iter().map(|warning| warning.code.as_str()).collect()
    }

    #[test]
    fn what_the_model_was_made_for_is_no_cause_for_words() {
        assert_eq!(of(&fitting()), []);
        let silent = TakeRequest { width: 832, height: 480, ..fitting() };
        assert_eq!(silent.warnings(&Defaults::default(), &MadeFor::default()), []);
    }

    #[test]
    fn sizes_lengths_and_words_beyond_the_model_are_named_with_what_fits() {
        let long = vec![Ellipse::default(); 21];
        let request = TakeRequest {
            prompt: "A red dog, a red dgo".into(),
            frames: 81,
            width: 832,
            height: 480,
            ellipse: long,
            mu: vec![0.05; 21],
            ..fitting()
        };
        let found = of(&request);
        assert_eq!(codes(&found), ["size-beyond-model", "frames-beyond-model", "unknown-words"]);
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(texts[0].contains("832×480") && texts[0].ends_with("is 112×64"), "{}", texts[0]);
        assert!(texts[0].contains("64 to 128 pixels, 17 frames"), "{}", texts[0]);
        assert!(texts[1].ends_with("the nearest that fits is 17 frames"), "{}", texts[1]);
        assert_eq!(
            texts[2],
            "model `wan-alpha-2` does not know “dog”, “dgo”; it draws balls and rings in nine colors"
        );
    }

    #[test]
    fn an_ellipse_outside_is_warned_of_only_where_it_draws_and_never_enters() {
        let away = Ellipse { x: 1.8, a: 0.4, b: 0.4, ..Ellipse::default() };
        let outside = TakeRequest { ellipse: vec![away; 5], ..fitting() };
        assert_eq!(codes(&of(&outside)), ["ellipse-outside"]);
        let mut enters = outside.clone();
        enters.ellipse[4] = Ellipse::default();
        for fine in [
            enters,
            TakeRequest { mu: vec![0.0; 5], ..outside.clone() },
            TakeRequest { mu: vec![-0.05; 5], ..outside },
        ] {
            assert_eq!(of(&fine), []);
        }
    }

    #[test]
    fn a_mask_that_is_zero_everywhere_is_warned_of() {
        let source = crate::MaskSource { shape: [5, 2, 2], blake3: crate::ContentHash([3; 32]) };
        let request = TakeRequest { mask: Some(source), ..fitting() };
        let mask =
            |value: f32| Mask::new([vec![0.0; 19], vec![value]].concat(), [5, 2, 2]).unwrap();
        assert_eq!(request.mask_warning(&mask(0.0)).unwrap().code, WarningCode::MaskEmpty);
        assert_eq!(request.mask_warning(&mask(1.0)), None);
        let off = TakeRequest { mu: vec![0.0; 5], ..request };
        assert_eq!(off.mask_warning(&mask(0.0)), None);
    }

    #[test]
    fn an_empty_take_is_told_with_its_likeliest_cause() {
        let empty = TakeReport { coverage: 0.001, ..TakeReport::default() };
        let large = TakeRequest { width: 832, height: 480, prompt: "a dog".into(), ..fitting() };
        let found = large.result_warnings(&empty, &of(&large));
        assert_eq!(codes(&found), ["empty-take"]);
        let text = found[0].to_string();
        assert!(text.contains("832×480 is beyond") && text.ends_with("112×64"), "{text}");
        let nothing = fitting().result_warnings(&empty, &[]);
        assert!(nothing[0].to_string().contains("another seed"));
        let fine = TakeReport { coverage: 0.1, ellipse_followed: Some(0.9), ..empty };
        assert_eq!(fitting().result_warnings(&fine, &of(&large)), []);
        let own_way = TakeReport { ellipse_followed: Some(-0.2), ..fine };
        assert_eq!(codes(&fitting().result_warnings(&own_way, &[])), ["ellipse-not-followed"]);
    }

    #[test]
    fn keys_beyond_the_end_and_keys_on_one_frame_are_named() {
        let told = |keys: &[f64], frames| {
            key_warnings(keys, frames).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(&[0.0, 16.0], 17), Vec::<String>::new());
        assert_eq!(told(&[5.0], 17), Vec::<String>::new());
        let beyond = told(&[0.0, 80.0], 17);
        assert_eq!(beyond.len(), 1);
        assert!(beyond[0].contains("at frame 80 lies beyond the take's last frame, 16"));
        // Where they are for the model is not told of keys that lie elsewhere.
        assert_eq!(codes(&key_warnings(&[20.0, 80.0], 17)), ["keys-beyond-end"]);
        let near = told(&[1.0, 4.0], 17);
        assert!(near[0].contains("fall on frames 1 to 4"), "{near:?}");
        assert!(told(&[0.0, 0.4], 17)[0].contains("fall on frame 0 of"));
        assert!(told(&[0.0, 40.0], 1)[0].contains("beyond the take's last frame, 0"));
    }
}
