use super::*;
use crate::digest::{ContentHash, Fingerprint};
use crate::ellipse::Ellipse;
use crate::request::test_requests::{any_request, request};
use crate::request::{DecodePrecision, LoraSource, MaskSource, Precision, Solver};
use proptest::prelude::*;

fn key(request: &TakeRequest) -> TakeKey {
    request.key().unwrap()
}

#[test]
fn there_is_no_key_without_a_fingerprint() {
    let unknown = TakeRequest { model_fingerprint: None, ..request() };
    let error = unknown.key().unwrap_err();
    assert_eq!(error.code().as_str(), "no-fingerprint");
    assert!(error.to_string().contains("\"wan-alpha-2\" has no fingerprint"), "{error}");
    assert_eq!(unknown.clone().accept().unwrap(), unknown);
}

#[test]
fn what_is_not_acceptable_has_no_key() {
    let error = TakeRequest { steps: 0, ..request() }.key().unwrap_err();
    assert!(error.to_string().starts_with("steps is 0"), "{error}");
}

#[test]
fn foreign_parameters_are_refused_in_words() {
    let whole = request().to_parameter();
    let long = "A".repeat(TakeRequest::MAX_PARAMETER + 1);
    let not_utf8 = BASE64URL_NOPAD.encode(&[0xff, 0xfe, 0xfd]);
    let not_json = BASE64URL_NOPAD.encode(b"[[expr]]");
    for (text, start) in [
        ("", "the request is not readable: EOF"),
        ("{prompt}", "the node's takeRequest is not readable: invalid symbol at 0"),
        (&format!("{whole}="), "the node's takeRequest is not readable: invalid"),
        (&long, "the node's takeRequest is not readable: it is 2097153 bytes long"),
        (&not_utf8, "the node's takeRequest is not readable: invalid utf-8"),
        (&not_json, "the request is not readable: "),
        (&whole[..whole.len() / 2], ""),
    ] {
        let error = TakeRequest::from_parameter(text).unwrap_err();
        assert_eq!(error.code().as_str(), "invalid-request");
        assert!(error.to_string().starts_with(start), "{error}");
    }
}

#[test]
fn the_longest_request_fits_its_parameter() {
    let escaped = "\u{1}".repeat(TakeRequest::MAX_PROMPT);
    let number = 2.0 - 1.0 / 3.0;
    let ellipse = Ellipse { x: -number, y: -number, a: number, b: number, angle: -1e300 / 3.0 };
    let longest = TakeRequest {
        prompt: format!("x{}", &escaped[1..]),
        negative_prompt: Some(format!("x{}", &escaped[1..])),
        guidance: 5.0,
        frames: 257,
        ellipse: vec![ellipse; 65],
        mu: vec![-1.0 / 3.0; 65],
        loras: vec![
            LoraSource {
                name: "\"".repeat(255),
                fingerprint: Fingerprint([9; 32]),
                strength: number
            };
            LoraSource::MOST
        ],
        ..request()
    };
    let accepted = longest.accept().unwrap();
    let parameter = accepted.to_parameter();
    assert!(parameter.len() < TakeRequest::MAX_PARAMETER, "{}", parameter.len());
    assert_eq!(TakeRequest::from_parameter(&parameter).unwrap(), accepted);
}

/// The name of a field, and something that changes it.
type Change = (&'static str, fn(&mut TakeRequest));

/// Every field, changed so that it matters, whatever it was.
fn changes() -> Vec<Change> {
    fn other<T: PartialEq + Copy>(all: &[T], now: T) -> T {
        *all.iter().find(|&&choice| choice != now).unwrap()
    }
    /// The nearest other number that is acceptable.
    fn nudge(number: &mut f64, most: f64) {
        *number += if *number + 1e-6 > most { -1e-6 } else { 1e-6 };
    }
    vec![
        ("numerics", |r| r.numerics ^= 1),
        ("prompt", |r| r.prompt.push('.')),
        ("negative_prompt", |r| {
            r.guidance = 5.0;
            r.negative_prompt = Some(r.negative_prompt.take().unwrap_or_default() + "x");
        }),
        ("seed", |r| r.seed ^= 1),
        ("frames", |r| {
            r.frames = if r.frames == 1 { 5 } else { 1 };
            r.ellipse.resize(if r.frames == 1 { 1 } else { 2 }, Ellipse::default());
            r.mu.resize(r.ellipse.len(), 0.1);
            if let Some(mask) = &mut r.mask {
                mask.shape[0] = r.ellipse.len() as u32;
            }
        }),
        ("width", |r| r.width = if r.width == 16 { 32 } else { 16 }),
        ("height", |r| r.height = if r.height == 16 { 32 } else { 16 }),
        ("steps", |r| {
            r.solver = Solver::UniPc;
            r.steps = r.steps % 1000 + 1;
        }),
        ("shift", |r| {
            r.solver = Solver::UniPc;
            nudge(&mut r.shift, 100.0);
        }),
        ("guidance", |r| nudge(&mut r.guidance, 30.0)),
        ("solver", |r| r.solver = other(Solver::ALL, r.solver)),
        ("dora_strength", |r| nudge(&mut r.dora_strength, 2.0)),
        ("distill_strength", |r| nudge(&mut r.distill_strength, 2.0)),
        ("precision", |r| r.precision = other(Precision::ALL, r.precision)),
        ("model_fingerprint", |r| {
            r.model_fingerprint.as_mut().unwrap().0[31] ^= 1;
        }),
        ("first_image", |r| r.first_image = Some(ContentHash([7; 32]))),
        ("first_image another", |r| r.first_image = Some(ContentHash([8; 32]))),
        ("last_image", |r| {
            r.first_image = Some(ContentHash([7; 32]));
            r.last_image = Some(ContentHash([7; 32]));
            r.frames = 5;
            r.ellipse.resize(2, Ellipse::default());
            r.mu.resize(2, 0.1);
            if let Some(mask) = &mut r.mask {
                mask.shape[0] = 2;
            }
        }),
        ("loras", |r| r.loras.push(lora("any", 3, 0.5))),
        ("loras strength", |r| {
            r.loras.push(lora("any", 3, 0.5));
            nudge(&mut r.loras.last_mut().unwrap().strength, 10.0);
        }),
        ("loras fingerprint", |r| r.loras.push(lora("any", 4, 0.5))),
        ("loras twice", |r| r.loras.extend([lora("any", 3, 0.5), lora("any", 4, 0.5)])),
        ("loras order", |r| r.loras.extend([lora("any", 4, 0.5), lora("any", 3, 0.5)])),
    ]
}

fn lora(name: &str, hash: u8, strength: f64) -> LoraSource {
    LoraSource { name: name.to_owned(), fingerprint: Fingerprint([hash; 32]), strength }
}

/// The fields of the shift, changed so that they matter in a request that does shift.
fn shifts() -> Vec<Change> {
    vec![
        ("mu", |r| r.mu[0] = 0.5),
        ("mu_scale", |r| r.mu_scale = 1.5),
        ("ellipse x", |r| r.ellipse[0].x = 0.25),
        ("ellipse y", |r| r.ellipse[0].y = 0.25),
        ("ellipse a", |r| r.ellipse[0].a = 0.25),
        ("ellipse b", |r| r.ellipse[0].b = 0.25),
        ("ellipse angle", |r| r.ellipse[0].angle = 0.25),
        ("mask", |r| {
            let shape = [r.ellipse.len() as u32, 1, 1];
            r.mask = Some(MaskSource { shape, blake3: ContentHash([7; 32]) });
        }),
        ("mask shape", |r| {
            let shape = [r.ellipse.len() as u32, 1, 2];
            r.mask = Some(MaskSource { shape, blake3: ContentHash([7; 32]) });
        }),
        ("mask values", |r| {
            let shape = [r.ellipse.len() as u32, 1, 1];
            r.mask = Some(MaskSource { shape, blake3: ContentHash([8; 32]) });
        }),
    ]
}

/// A field that nobody has thought of here fails to compile, or fails this.
#[test]
fn every_field_is_changed_or_known_not_to_matter() {
    let all = TakeRequest {
        loras: vec![lora("any", 3, 0.5)],
        decode_precision: DecodePrecision::Bf16,
        last_image: Some(ContentHash([7; 32])),
        first_image_name: Some("a.png".to_owned()),
        last_image_name: Some("b.png".to_owned()),
        ..request()
    };
    let json: serde_json::Value = serde_json::from_str(&all.to_canonical()).unwrap();
    // Of these there is one value so far, or they are no part of the key.
    let fixed = [
        "version",
        "take_rate",
        "decode_tiling",
        "model",
        "decode_precision",
        "first_image_name",
        "last_image_name",
    ];
    let names: Vec<_> = changes().into_iter().chain(shifts()).map(|(name, _)| name).collect();
    for field in json.as_object().unwrap().keys() {
        let changed = names.iter().any(|name| name.split(' ').next() == Some(field));
        assert!(changed || fixed.contains(&field.as_str()), "{field}");
    }
}

#[test]
fn each_change_of_the_usual_request_has_a_key_of_its_own() {
    let mut keys = vec![key(&request())];
    for (name, change) in changes().into_iter().chain(shifts()) {
        let mut changed = request();
        change(&mut changed);
        let key = key(&changed);
        assert!(!keys.contains(&key), "{name}");
        keys.push(key);
    }
}

#[test]
fn what_an_image_is_called_is_no_part_of_the_key() {
    let image = ContentHash([7; 32]);
    let named = |name: Option<&str>| TakeRequest {
        first_image: Some(image),
        first_image_name: name.map(str::to_owned),
        ..request()
    };
    let accepted = named(Some("cat.png")).accept().unwrap();
    assert_eq!((accepted.version, accepted.first_image_name.as_deref()), (2, Some("cat.png")));
    assert_eq!(TakeRequest::from_json(&accepted.to_canonical()).unwrap(), accepted);
    assert_eq!(named(None).accept().unwrap().version, 1);
    assert_eq!(key(&accepted), key(&named(None)));
    assert_eq!(key(&accepted), key(&named(Some("dog.png"))));
    // Without the image its name says nothing.
    let nothing = TakeRequest { first_image: None, ..named(Some("cat.png")) };
    assert_eq!(nothing.accept().unwrap(), request());
}

proptest! {
    #[test]
    fn any_request_encodes_decodes_and_hashes_stably(given in any_request()) {
        let accepted = given.clone().accept().unwrap();
        let read = TakeRequest::from_parameter(&accepted.to_parameter()).unwrap();
        prop_assert_eq!(&read, &accepted);
        prop_assert_eq!(read.to_canonical(), accepted.to_canonical());
        prop_assert_eq!(key(&read), key(&accepted));
        prop_assert_eq!(key(&given), key(&accepted));
    }

    #[test]
    fn a_field_that_matters_changes_the_key(
        given in any_request(), at in 0..changes().len(),
    ) {
        let (name, change) = changes()[at];
        let mut changed = given.clone().accept().unwrap();
        change(&mut changed);
        prop_assert_ne!(key(&changed), key(&given), "{}", name);
    }

    #[test]
    fn a_shift_that_matters_changes_the_key(
        given in any_request(), at in 0..shifts().len(), mu in 0.001..0.4, scale in 0.001..1.0,
    ) {
        let mut shifted = given;
        shifted.mask = None;
        shifted.mu[0] = mu;
        shifted.mu_scale = scale;
        shifted.ellipse[0] = Ellipse::default();
        let (name, change) = shifts()[at];
        let mut changed = shifted.clone();
        change(&mut changed);
        prop_assert_ne!(key(&changed), key(&shifted), "{}", name);
    }

    #[test]
    fn what_cannot_matter_does_not_change_the_key(given in any_request(), other in any_request()) {
        let same_model_elsewhere = TakeRequest { model: other.model.clone(), ..given.clone() };
        prop_assert_eq!(key(&same_model_elsewhere), key(&given));

        let mut renamed = given.clone();
        renamed.loras.iter_mut().for_each(|lora| lora.name = "another".to_owned());
        renamed.loras.push(lora("off", 5, 0.0));
        prop_assert_eq!(key(&renamed), key(&given));

        let guided = TakeRequest { guidance: 1.0, ..given.clone() };
        let negative_prompt = other.negative_prompt.clone();
        let unheard = TakeRequest { negative_prompt, ..guided.clone() };
        prop_assert_eq!(key(&unheard), key(&guided));

        let unshifted = TakeRequest { mu: vec![0.0; given.mu.len()], ..given.clone() };
        let mut redrawn = TakeRequest { mask: None, mu_scale: other.mu_scale, ..unshifted.clone() };
        redrawn.ellipse[0] = other.ellipse[0];
        prop_assert_eq!(key(&redrawn), key(&unshifted));

        let own_times = TakeRequest { solver: Solver::Rcm, steps: 4, ..given.clone() };
        let shifted = TakeRequest { shift: other.shift, ..own_times.clone() };
        prop_assert_eq!(key(&shifted), key(&own_times));

        let mut less_than_a_step = given.clone().accept().unwrap();
        let before = key(&less_than_a_step);
        less_than_a_step.ellipse[0].x += 4e-7;
        less_than_a_step.mu[0] += 4e-7;
        less_than_a_step.shift += 4e-7;
        prop_assert_eq!(key(&less_than_a_step), before);
    }

    #[test]
    fn two_requests_share_a_key_only_if_they_are_one(
        one in any_request(), other in any_request(), fields in any::<u32>(),
    ) {
        // Take some fields from the other, so that most are alike.
        let mut mixed = one.clone();
        let take = |bit: u32| fields >> bit & 1 == 1;
        if take(0) { mixed.seed = other.seed; }
        if take(1) { mixed.prompt = other.prompt; }
        if take(2) { mixed.guidance = other.guidance; }
        if take(3) { mixed.negative_prompt = other.negative_prompt; }
        if take(4) { mixed.mu_scale = other.mu_scale; }
        if take(5) { mixed.mu[0] = other.mu[0]; }
        if take(6) { mixed.ellipse[0] = other.ellipse[0]; }
        if take(7) { mixed.mask = None; }
        if take(8) { mixed.model_fingerprint = other.model_fingerprint; }
        if take(9) { mixed.model = other.model; }
        if take(10) { mixed.loras = other.loras; }
        let nameless = |request: &TakeRequest| {
            let mut request =
                TakeRequest { model: "any".to_owned(), ..request.clone().accept().unwrap() };
            request.loras.iter_mut().for_each(|lora| lora.name.clear());
            request
        };
        prop_assert_eq!(key(&mixed) == key(&one), nameless(&mixed) == nameless(&one));
    }

    #[test]
    fn garbage_is_survived(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = TakeRequest::from_parameter(&text);
        let _ = TakeRequest::from_parameter(&BASE64URL_NOPAD.encode(&bytes));
    }

    #[test]
    fn damaged_parameters_are_survived(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut json = request().to_canonical().into_bytes();
        let at = at.index(json.len());
        json[at] = with;
        let _ = TakeRequest::from_parameter(&BASE64URL_NOPAD.encode(&json));
    }

    #[test]
    fn keys_round_trip_as_text(bytes: [u8; 32]) {
        let key = TakeKey(bytes);
        prop_assert_eq!(key.to_string().parse(), Ok(key));
    }
}
