//! Requests and their keys, as they are kept in projects and stores: `data/keys.txt`.
//!
//! Each line is a key and the canonical request it belongs to. A key can be checked with other
//! tools: it is the BLAKE3 (`b3sum`) of the request with the names of model and LoRAs left
//! empty.
//!
//! When this test fails, takes made until now are about to be lost. If that is meant, raise
//! `TakeRequest::VERSION` (a field was added or changed its meaning) or `numerics` (our code makes
//! other pixels), and then write the file anew: `WRITE_GOLDEN=1 cargo test -p wan-alpha-take --test
//! key`.

use wan_alpha_take::{
    ContentHash, DecodePrecision, DecodeTiling, Ellipse, Fingerprint, LoraSource, MaskSource,
    Precision, Solver, TakeRequest,
};

const KEPT: &str = include_str!("data/keys.txt");

/// One with an ellipse that barely moves.
fn usual() -> TakeRequest {
    TakeRequest {
        version: TakeRequest::VERSION,
        numerics: 1,
        prompt: "The background is transparent. Realistic style. A white cat.".to_owned(),
        negative_prompt: None,
        seed: 1,
        frames: 5,
        width: 832,
        height: 480,
        take_rate: TakeRequest::TAKE_RATE,
        ellipse: vec![Ellipse::default(), Ellipse { x: 0.500_001, ..Ellipse::default() }],
        mask: None,
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
        model_fingerprint: Some(Fingerprint([0xa5; 32])),
        first_image: None,
        loras: Vec::new(),
        decode_precision: DecodePrecision::F32,
        last_image: None,
        first_image_name: None,
        last_image_name: None,
    }
}

/// The usual one, one with numbers of every length, one with a mask, one with further LoRAs, one that
/// begins and ends with an image, and one for each solver of version 2.
fn requests() -> [TakeRequest; 7] {
    let usual = usual();
    let ellipse = Ellipse { x: -1.0 / 3.0, y: 2.0 / 3.0, a: 0.002, b: 6.0, angle: -1e300 };
    let odd = TakeRequest {
        numerics: u32::MAX,
        prompt: "„Rauch“ aus einer \"Tasse\"\n\t煙 \u{1}\\ [python {1+1}] $HOME 🜁".to_owned(),
        negative_prompt: Some("色调艳丽，过曝".to_owned()),
        seed: u32::MAX,
        frames: 1,
        width: 16,
        height: 4096,
        ellipse: vec![ellipse],
        mu: vec![-0.000_001],
        mu_scale: 1e17 + 2.0,
        steps: 1000,
        shift: 0.000_01,
        guidance: 29.999_999,
        solver: Solver::DpmPlusPlus,
        dora_strength: 0.0,
        distill_strength: 0.1 + 0.2,
        precision: Precision::F32,
        ..usual.clone()
    };
    let shape = [2, 60, 104];
    let mask = Some(MaskSource { shape, blake3: ContentHash([0x3c; 32]) });
    let masked = TakeRequest { mask, solver: Solver::Euler, ..usual.clone() };
    let adapted = with_loras(&usual);
    let [renoised, timed] = with_fresh_noise(&usual);
    let pictured = with_images(&usual);
    [usual, odd, masked, adapted, pictured, renoised, timed]
}

/// With LoRAs, one of which is off.
fn with_loras(usual: &TakeRequest) -> TakeRequest {
    let loras =
        vec![lora("smoke", 0x5a, 0.8), lora("off", 0x01, 0.0), lora("ink", 0xc3, -1.0 / 3.0)];
    TakeRequest { loras, ..usual.clone() }
}

/// That begins and ends with an image.
fn with_images(usual: &TakeRequest) -> TakeRequest {
    TakeRequest {
        first_image: Some(ContentHash([0x1f; 32])),
        last_image: Some(ContentHash([0xf1; 32])),
        first_image_name: Some("cat.png".to_owned()),
        ..usual.clone()
    }
}

/// With the solvers that version 1 does not know.
fn with_fresh_noise(usual: &TakeRequest) -> [TakeRequest; 2] {
    [Solver::Lcm, Solver::Rcm].map(|solver| TakeRequest { solver, ..usual.clone() })
}

fn lora(name: &str, hash: u8, strength: f64) -> LoraSource {
    LoraSource { name: name.to_owned(), fingerprint: Fingerprint([hash; 32]), strength }
}

#[test]
fn requests_and_keys_are_spelled_as_ever() {
    let mut spelled = String::new();
    for request in requests() {
        let accepted = request.accept().unwrap();
        let json = accepted.to_canonical();
        spelled += &format!("{} {json}\n", accepted.key().unwrap());
        assert_eq!(TakeRequest::from_json(&json).unwrap(), accepted);
    }
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys.txt");
        std::fs::write(file, &spelled).unwrap();
    }
    assert_eq!(spelled, KEPT);
}

#[test]
fn a_key_is_the_hash_of_the_request_without_names() {
    for line in KEPT.lines() {
        let (key, json) = line.split_once(' ').unwrap();
        let mut nameless = json.to_owned();
        for named in ["\"model\":\"wan-alpha-2\"", "\"name\":\"smoke\"", "\"name\":\"ink\""] {
            let (field, _) = named.split_once(':').unwrap();
            nameless = nameless.replace(named, &format!("{field}:\"\""));
        }
        let nameless = nameless.replace(",\"first_image_name\":\"cat.png\"", "");
        assert_ne!(nameless, json);
        assert_eq!(blake3::hash(nameless.as_bytes()).to_string(), key);
    }
}
