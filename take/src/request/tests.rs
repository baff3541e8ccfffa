use super::test_requests::{any_request, request};
use super::*;
use proptest::prelude::*;

/// What is said about the request once `change` has been made to it.
fn refusal(change: impl FnOnce(&mut TakeRequest)) -> RequestError {
    let mut request = request();
    change(&mut request);
    request.accept().unwrap_err()
}

#[test]
fn a_usual_request_is_accepted_as_it_is() {
    assert_eq!(request().accept().unwrap(), request());
    assert_eq!(request().latent_frames(), 2);
    assert_eq!(request().latent_size(), (104, 60));
}

#[test]
fn the_smallest_and_the_largest_are_accepted() {
    let smallest = TakeRequest {
        frames: 1,
        width: 16,
        height: 16,
        ellipse: vec![Ellipse::default()],
        mu: vec![-1.0],
        mu_scale: -3.0,
        steps: 1,
        shift: 1e-6,
        guidance: 0.0,
        dora_strength: 0.0,
        distill_strength: 0.0,
        ..request()
    };
    smallest.accept().unwrap();
    let largest = TakeRequest {
        prompt: "x".repeat(TakeRequest::MAX_PROMPT),
        seed: u32::MAX,
        frames: 257,
        width: 4096,
        height: 4096,
        ellipse: vec![Ellipse::default(); 65],
        mu: vec![1.0; 65],
        steps: 1000,
        shift: 100.0,
        guidance: 30.0,
        dora_strength: 2.0,
        distill_strength: 2.0,
        ..request()
    };
    largest.accept().unwrap();
}

#[test]
fn numbers_are_rounded_before_they_are_checked() {
    let mut given = request();
    given.mu = vec![1.000_000_4, 1.0 / 3.0];
    given.ellipse[0].x = -2.000_000_4;
    given.shift = 4.999_999_9;
    let accepted = given.accept().unwrap();
    assert_eq!(accepted.mu, [1.0, 0.333_333]);
    assert_eq!(accepted.ellipse[0].x, -2.0);
    assert_eq!(accepted.shift, 5.0);
}

#[test]
fn blank_negative_prompts_are_the_released_one() {
    let silent = TakeRequest { guidance: 5.0, ..request() };
    for blank in ["", " \n"] {
        let given = TakeRequest { negative_prompt: Some(blank.to_owned()), ..silent.clone() };
        assert_eq!(given.accept().unwrap(), silent);
    }
}

#[test]
fn without_guidance_there_is_no_negative_prompt() {
    let negative = || Some("blurred".to_owned());
    let given = TakeRequest { negative_prompt: negative(), guidance: 1.000_000_4, ..request() };
    assert_eq!(given.accept().unwrap(), request());
    let guided = TakeRequest { negative_prompt: negative(), guidance: 1.000_001, ..request() };
    assert_eq!(guided.accept().unwrap().negative_prompt, negative());
}

#[test]
fn where_nothing_is_shifted_the_ellipse_is_blank() {
    let drawn = Ellipse { x: 0.1, ..Ellipse::default() };
    let given = TakeRequest { ellipse: vec![drawn; 2], mu: vec![-1e-9, 0.05], ..request() };
    let accepted = given.clone().accept().unwrap();
    assert_eq!(accepted.ellipse, [Ellipse::default(), drawn]);
    assert_eq!(accepted.mu, [0.0, 0.05]);

    let unshifted = TakeRequest { mu: vec![0.0; 2], ..request() };
    let mask = mask_of([2, 60, 104]);
    let scaled_away = TakeRequest { mu_scale: -4e-7, ..given.clone() };
    let nothing_to_scale = TakeRequest { mu: vec![0.0; 2], mu_scale: 7.0, mask, ..given };
    for same in [scaled_away, nothing_to_scale] {
        assert_eq!(same.accept().unwrap(), unshifted);
    }
}

#[test]
fn a_mask_stands_in_for_the_ellipse() {
    let mask = mask_of([2, 60, 104]);
    let drawn = Ellipse { x: 0.1, ..Ellipse::default() };
    let given = TakeRequest { ellipse: vec![drawn; 2], mask, ..request() };
    assert_eq!(given.accept().unwrap(), TakeRequest { mask, ..request() });
}

fn lora(name: &str, strength: f64) -> LoraSource {
    LoraSource { name: name.to_owned(), fingerprint: Fingerprint([9; 32]), strength }
}

#[test]
fn a_request_is_of_the_lowest_version_that_can_say_it() {
    let newer = TakeRequest { version: 2, ..request() };
    assert_eq!(newer.accept().unwrap(), request());
    let without = TakeRequest { loras: vec![lora("smoke", 4e-7)], ..request() };
    assert_eq!(without.accept().unwrap(), request());
    let with = TakeRequest { loras: vec![lora("smoke", 0.5)], ..request() }.accept().unwrap();
    assert_eq!(with.version, 2);
    assert_eq!(TakeRequest::from_json(&with.to_canonical()).unwrap(), with);
}

#[test]
fn what_a_version_does_not_know_is_foreign_to_it() {
    let json = request().to_canonical();
    assert!(!json.contains("loras") && !json.contains("decode_precision"), "{json}");
    for field in [r#""loras":[]"#, r#""decode_precision":"f32""#, r#""last_image":null"#] {
        let first = format!("{},{field}}}", &json[..json.len() - 1]);
        let error = TakeRequest::from_json(&first).unwrap_err();
        let name = field.split('"').nth(1).unwrap();
        let start = format!("the request is of version 1, which does not know `{name}`");
        assert!(error.to_string().starts_with(&start), "{error}");
        assert_eq!(error.code().as_str(), "invalid-request");
        let second = first.replace("\"version\":1", "\"version\":2");
        assert_eq!(TakeRequest::from_json(&second).unwrap(), request());
    }
    let unknown = json.replace("\"version\":1", "\"version\":2,\"third_image\":null");
    let error = TakeRequest::from_json(&unknown).unwrap_err();
    assert!(error.to_string().contains("unknown field `third_image`"), "{error}");
}

#[test]
fn solvers_that_add_noise_are_of_version_2() {
    for solver in [Solver::Lcm, Solver::Rcm] {
        let accepted = TakeRequest { solver, ..request() }.accept().unwrap();
        assert_eq!(accepted.version, 2);
        let json = accepted.to_canonical();
        assert_eq!(TakeRequest::from_json(&json).unwrap(), accepted);
        let first = json.replace("\"version\":2", "\"version\":1");
        let error = TakeRequest::from_json(&first).unwrap_err();
        assert!(error.to_string().contains(&format!("does not know `{solver}`")), "{error}");
    }
    for solver in [Solver::UniPc, Solver::DpmPlusPlus, Solver::Euler] {
        assert_eq!(TakeRequest { solver, ..request() }.accept().unwrap().version, 1);
    }
}

fn mask_of(shape: [u32; 3]) -> Option<MaskSource> {
    Some(MaskSource { shape, blake3: ContentHash([7; 32]) })
}

type Change = fn(&mut TakeRequest);

#[test]
fn each_field_has_its_own_message() {
    let cases: &[(Change, &str)] = &[
        (|r| r.version = 0, "the request is of version 0: expected 1 to 2"),
        (|r| r.version = 3, "the request is of version 3: expected 1 to 2"),
        (|r| r.prompt = " \t\n".to_owned(), "prompt is empty: expected a description"),
        (|r| r.prompt = "é".repeat(32_769), "prompt is 65538 bytes long: expected at most 65536"),
        (
            |r| r.negative_prompt = Some("x".repeat(65_537)),
            "negative prompt is 65537 bytes long: expected at most 65536",
        ),
        (|r| r.frames = 0, "frames is 0: expected 1 to 257"),
        (|r| r.frames = 261, "frames is 261: expected 1 to 257"),
        (|r| r.frames = 80, "80 frames: expected 4n+1"),
        (|r| r.width = 0, "width is 0: expected 16 to 4096"),
        (|r| r.width = 850, "width is 850: expected a multiple of 16; use 848 or 864"),
        (|r| r.height = 4112, "height is 4112: expected 16 to 4096"),
        (|r| r.take_rate = 24, "take rate is 24: expected 16 frames per second"),
        (|r| r.frames = 81, "the number of ellipses is 2: expected 21, one per latent frame of 81"),
        (|r| r.mu.push(0.0), "the number of mu values is 3: expected 2, one per latent frame"),
        (|r| r.ellipse[1].y = 3.1, "ellipse of latent frame 1: center y is 3.1: expected -2 to 3"),
        (|r| r.mu[1] = f64::NAN, "mu of latent frame 1 is NaN: expected -1 to 1"),
        (|r| r.mu[0] = -1.1, "mu of latent frame 0 is -1.1: expected -1 to 1"),
        (|r| r.mask = mask_of([1, 60, 104]), "the number of mask frames is 1: expected 2, one per"),
        (|r| r.mask = mask_of([2, 0, 104]), "mask height is 0: expected 1 to 16384"),
        (|r| r.mask = mask_of([2, 1, u32::MAX]), "mask width is 4294967295: expected 1 to 16384"),
        (|r| r.mu_scale = f64::INFINITY, "mu scale is inf: expected a finite number"),
        (|r| r.steps = 0, "steps is 0: expected 1 to 1000"),
        (
            |r| (r.solver, r.steps) = (Solver::Rcm, 5),
            "steps is 5: expected 1 to 4 with the solver rcm; use 4, or another solver",
        ),
        (|r| r.shift = 1e-9, "shift is 0: expected more than 0, at most 100"),
        (|r| r.shift = f64::NAN, "shift is NaN: expected more than 0"),
        (|r| r.guidance = -0.5, "guidance is -0.5: expected 0 to 30"),
        (|r| r.guidance = f64::INFINITY, "guidance is inf: expected 0 to 30"),
        (|r| r.dora_strength = 2.1, "DoRA strength is 2.1: expected 0 to 2"),
        (|r| r.distill_strength = f64::NAN, "distillation strength is NaN: expected 0 to 2"),
        (
            |r| r.loras = vec![lora("smoke", 10.1)],
            "the strength of LoRA smoke is 10.1: expected -10",
        ),
        (
            |r| r.loras = vec![lora("a", 1.0), lora("../b", 1.0)],
            "the name of LoRA 2 is \"../b\": exp",
        ),
        (|r| r.loras = vec![lora("a", 1.0); 65], "the number of LoRAs is 65: expected at most 64"),
    ];
    for (change, start) in cases {
        let error = refusal(change);
        assert!(error.to_string().starts_with(start), "{error}");
        let code = if start.contains("version") { "other-version" } else { "invalid-request" };
        assert_eq!(error.code().as_str(), code, "{error}");
    }
}

#[test]
fn a_model_is_named_not_located() {
    for name in ["", ".", "..", ".hidden", "a/b", "a\\b", "C:model", "a\nb", &"x".repeat(256)] {
        let error = refusal(|r| r.model = name.to_owned());
        assert!(error.to_string().starts_with("model is \""), "{error}");
    }
    let named = TakeRequest { model: "Wan2.1 T2V-14B (2026)".to_owned(), ..request() };
    named.accept().unwrap();
}

#[test]
fn a_transformer_in_fp8_is_a_take_of_its_own() {
    let of = |precision| TakeRequest { precision, ..request() }.accept().unwrap();
    let (eight, sixteen) = (of(Precision::Fp8), of(Precision::Bf16));
    assert_eq!(eight.precision, Precision::Fp8);
    assert_ne!(eight.key().unwrap(), sixteen.key().unwrap());
    assert_eq!(TakeRequest::from_json(&eight.to_canonical()).unwrap(), eight);
}

#[test]
fn a_last_image_needs_a_first_and_frames_between() {
    let image = Some(ContentHash([0xc0; 32]));
    let alone = refusal(|r| r.last_image = Some(ContentHash([0xc0; 32]))).to_string();
    assert!(alone.contains("first image is missing"), "{alone}");
    let both = TakeRequest { first_image: image, last_image: image, ..request() };
    assert_eq!(both.accept().unwrap().version, 2);
    let one = TakeRequest { first_image: image, ..request() };
    assert_eq!(one.accept().unwrap().version, 1);
    let path = refusal(|r| {
        r.first_image = Some(ContentHash([0xc0; 32]));
        r.first_image_name = Some("../cat.png".to_owned());
    });
    assert!(path.to_string().contains("no path"), "{path}");
}

#[test]
fn names_of_choices_are_fixed() {
    let names = |names: &[&str]| names.join(" ");
    assert_eq!(
        names(&Solver::ALL.iter().map(|s| s.name()).collect::<Vec<_>>()),
        "unipc dpm++ euler lcm rcm"
    );
    assert_eq!(names(&Precision::ALL.iter().map(|p| p.name()).collect::<Vec<_>>()), "f32 bf16 fp8");
}

#[test]
fn unreadable_requests_are_refused_in_words() {
    let json = serde_json::to_string(&request()).unwrap();
    for (text, code, start) in [
        (String::new(), "invalid-request", "the request is not readable: EOF"),
        (json.replace("\"seed\":1", "\"seed\":-1"), "invalid-request", "the request is not"),
        (json.replace("\"seed\"", "\"sneed\""), "invalid-request", "the request is not readable: "),
        (
            json.replace("0101", "zz"),
            "invalid-request",
            "the request is not readable: model finger",
        ),
        (json.replace("unipc", "heun"), "invalid-request", "the request is not readable: "),
        (json.replace("\"frames\":5", "\"frames\":6"), "invalid-request", "6 frames: expected"),
        (r#"{"version":7,"new":0}"#.to_owned(), "other-version", "the request is of version 7"),
    ] {
        let error = TakeRequest::from_json(&text).unwrap_err();
        assert_eq!(error.code().as_str(), code, "{error}");
        assert!(error.to_string().starts_with(start), "{error}");
    }
}

proptest! {
    #[test]
    fn accepting_twice_is_accepting_once(given in any_request()) {
        let once = given.accept().unwrap();
        prop_assert_eq!(once.clone().accept().unwrap(), once);
    }

    #[test]
    fn json_round_trips(given in any_request()) {
        let accepted = given.accept().unwrap();
        let json = serde_json::to_string(&accepted).unwrap();
        let read = TakeRequest::from_json(&json).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), json);
        prop_assert_eq!(read, accepted);
    }
}
