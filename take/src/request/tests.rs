use super::*;
use proptest::prelude::*;

fn request() -> TakeRequest {
    TakeRequest {
        version: 1,
        prompt: "The background is transparent. A white cat.".to_owned(),
        negative_prompt: None,
        seed: 1,
        frames: 5,
        width: 832,
        height: 480,
        take_rate: 16,
        ellipse: vec![Ellipse::default(); 2],
        mu: vec![0.05; 2],
        mu_scale: 1.0,
        steps: 4,
        shift: 5.0,
        guidance: 1.0,
        solver: Solver::UniPc,
        dora_strength: 1.0,
        distill_strength: 1.0,
        precision: Precision::Bf16,
        decode_tiling: DecodeTiling::Whole,
        model: "wan-alpha-2".to_owned(),
        first_image: None,
    }
}

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
fn blank_negative_prompts_are_the_models_own() {
    for blank in ["", " \n"] {
        let given = TakeRequest { negative_prompt: Some(blank.to_owned()), ..request() };
        assert_eq!(given.accept().unwrap(), request());
    }
}

type Change = fn(&mut TakeRequest);

#[test]
fn each_field_has_its_own_message() {
    let cases: &[(Change, &str)] = &[
        (|r| r.version = 2, "the request is of version 2: expected 1"),
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
        (|r| r.ellipse[1].y = 3.1, "ellipse of latent frame 1: centre y is 3.1: expected -2 to 3"),
        (|r| r.mu[1] = f64::NAN, "mu of latent frame 1 is NaN: expected -1 to 1"),
        (|r| r.mu[0] = -1.1, "mu of latent frame 0 is -1.1: expected -1 to 1"),
        (|r| r.mu_scale = f64::INFINITY, "mu scale is inf: expected a finite number"),
        (|r| r.steps = 0, "steps is 0: expected 1 to 1000"),
        (|r| r.shift = 1e-9, "shift is 0: expected more than 0, at most 100"),
        (|r| r.shift = f64::NAN, "shift is NaN: expected more than 0"),
        (|r| r.guidance = -0.5, "guidance is -0.5: expected 0 to 30"),
        (|r| r.guidance = f64::INFINITY, "guidance is inf: expected 0 to 30"),
        (|r| r.dora_strength = 2.1, "DoRA strength is 2.1: expected 0 to 2"),
        (|r| r.distill_strength = f64::NAN, "distillation strength is NaN: expected 0 to 2"),
    ];
    for (change, start) in cases {
        let error = refusal(change);
        assert!(error.to_string().starts_with(start), "{error}");
        let code = if start.contains("version") { "other-version" } else { "invalid-request" };
        assert_eq!(error.code(), code, "{error}");
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
fn what_is_not_built_is_refused_as_unsupported() {
    let cases: [(Change, &str); 3] = [
        (|r| r.precision = Precision::Fp8, "precision fp8 is not built yet; use bf16 or f32"),
        (
            |r| r.decode_tiling = DecodeTiling::Tiled,
            "decode tiling tiled is not built yet; use whole",
        ),
        (
            |r| r.first_image = Some("c0ffee".to_owned()),
            "first image c0ffee is not built yet; leave it out",
        ),
    ];
    for (change, message) in cases {
        let error = refusal(change);
        assert_eq!((error.code(), error.to_string().as_str()), ("unsupported", message));
    }
}

#[test]
fn json_names_are_fixed() {
    let json = serde_json::to_string(&TakeRequest { frames: 1, ..request() }).unwrap();
    let ellipse = r#"{"x":0.5,"y":0.5,"a":0.6,"b":1.0,"angle":0.0}"#;
    let expected = [
        r#"{"version":1,"prompt":"The background is transparent. A white cat.","#,
        r#""negative_prompt":null,"seed":1,"frames":1,"width":832,"height":480,"take_rate":16,"#,
        &format!(r#""ellipse":[{ellipse},{ellipse}],"mu":[0.05,0.05],"mu_scale":1.0,"steps":4,"#),
        r#""shift":5.0,"guidance":1.0,"solver":"unipc","dora_strength":1.0,"#,
        r#""distill_strength":1.0,"precision":"bf16","decode_tiling":"whole","#,
        r#""model":"wan-alpha-2","first_image":null}"#,
    ];
    assert_eq!(json, expected.concat());
    let names = |names: &[&str]| names.join(" ");
    assert_eq!(
        names(&Solver::ALL.iter().map(|s| s.name()).collect::<Vec<_>>()),
        "unipc dpm++ euler"
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
        (json.replace("unipc", "heun"), "invalid-request", "the request is not readable: "),
        (json.replace("\"frames\":5", "\"frames\":6"), "invalid-request", "6 frames: expected"),
        (r#"{"version":7,"new":0}"#.to_owned(), "other-version", "the request is of version 7"),
    ] {
        let error = TakeRequest::from_json(&text).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with(start), "{error}");
    }
}

prop_compose! {
    fn any_ellipse()(
        x in -2.0..3.0, y in -2.0..3.0, a in 0.002..6.0, b in 0.002..6.0, angle in -1e9..1e9
    ) -> Ellipse {
        Ellipse { x, y, a, b, angle }
    }
}

prop_compose! {
    fn any_request()(
        (prompt, negative_prompt) in ("[^ ].{0,40}", prop::option::of(".{0,40}")),
        (seed, groups) in (any::<u32>(), 0_u32..=64),
        (width, height) in (1_u32..=256, 1_u32..=256),
        ellipse in prop::collection::vec(any_ellipse(), 65),
        mu in prop::collection::vec(-1.0..=1.0, 65),
        mu_scale in prop_oneof![-10.0..10.0, prop::num::f64::NORMAL],
        (steps, shift, guidance) in (1_u32..=1000, 0.001..=100.0, 0.0..=30.0),
        (dora_strength, distill_strength) in (0.0..=2.0, 0.0..=2.0),
        solver in 0..Solver::ALL.len(),
    ) -> TakeRequest {
        let latent_frames = groups as usize + 1;
        TakeRequest {
            prompt: format!("cat {prompt}"),
            negative_prompt,
            seed,
            frames: 4 * groups + 1,
            width: 16 * width,
            height: 16 * height,
            ellipse: ellipse[..latent_frames].to_vec(),
            mu: mu[..latent_frames].to_vec(),
            mu_scale,
            steps,
            shift,
            guidance,
            solver: Solver::ALL[solver],
            dora_strength,
            distill_strength,
            ..request()
        }
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
