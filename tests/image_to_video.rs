//! From a picture to a take: the image-to-video references through the command, however their files are
//! spelled, and what becomes of pictures, sizes, requests and the store.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use support::model::{self, Parts};
use support::reference::{Case, relative_error};
use support::render::Render;
use support::rewrite;
use support::studio::Studio;
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::Tensor;
use wan_alpha_core::weights::{ModelFiles, Strengths, TensorFile};

const CASES: [&str; 2] = ["i2v", "i2v-guided"];

fn image_of(case: &Case) -> PathBuf {
    case.model().parent().unwrap().join("image.png")
}

/// The take of a case, as its reference was made: an ellipse that is fitted is left to the image.
fn render<P: AsRef<Path>>(case: &Case, files: impl IntoIterator<Item = P>) -> Render {
    let take = case.take(files).with("--image", image_of(case));
    let take = take.with("--shift", case.setting("shift").to_string());
    if case.text("ellipse") == "fit" {
        return take;
    }
    let track = take.file("track.json", case.setting("ellipse_track").to_string());
    take.with("--ellipse-track", track)
}

/// Every tensor that the reference has too is the reference's, and none that matters is missing.
#[track_caller]
fn check(case: &Case, dump: &TensorFile) {
    let guided = case.setting("guide").as_f64() != Some(1.0);
    let steps = case.setting("steps").as_u64().unwrap();
    let mut expected: Vec<String> = [
        "token_ids",
        "context",
        "mask",
        "noise",
        "noise.shifted",
        "timesteps",
        "sigmas",
        "condition.fgr",
        "condition.pha",
        "clip.reference",
        "clip.input",
        "clip.embedded",
        "clip.feature",
        "condition.merged",
        "condition.mask",
        "condition.latent",
        "condition",
        "image.tokens",
        "velocity.step0",
        "latent.final",
        "video.pha",
        "video.rgba",
    ]
    .map(str::to_owned)
    .to_vec();
    expected.extend((0..steps).map(|step| format!("latent.step{step}")));
    if guided {
        let more = ["negative_token_ids", "negative_context", "velocity.negative.step0"];
        expected.extend(more.map(str::to_owned));
    }
    let found: Vec<_> = dump.names().filter(|name| *name != "video.fgr").collect();
    for name in &expected {
        assert!(found.contains(&&**name), "{name} is missing");
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
    let read = |name: &str| dump.read(Device::cpu(), name).unwrap();
    for name in &expected {
        if name.ends_with("token_ids") {
            assert_eq!(read(name), case.golden(name), "{name}");
            continue;
        }
        let tolerance = match name.as_str() {
            name if name.starts_with("clip.") || name == "image.tokens" => 2e-5,
            name if name.starts_with("latent.") || name.starts_with("video.") => 1e-4,
            _ => 1e-5,
        };
        case.close(name, &read(name), tolerance);
    }
    let color = case.golden("video.rgba").narrow(0, 0, 3) * 2.0 - 1.0;
    assert!(relative_error(&read("video.fgr"), &color) <= 1e-4);
}

#[test]
fn both_references_from_the_picture_to_the_video() {
    for case in CASES.map(Case::named) {
        let done = render(&case, [case.model()]).run().succeeded();
        check(&case, &done.dump());
        assert_eq!(done.warnings(), [""; 0]);
    }
}

#[test]
fn the_same_from_folders_of_diffusers_and_from_files_of_comfyui() {
    for case in CASES.map(Case::named) {
        let folder = tempfile::tempdir().unwrap();
        rewrite::diffusers(&Parts::of(&case), folder.path());
        let done = render(&case, [folder.path()]).run().succeeded();
        check(&case, &done.dump());
        assert_eq!(done.warnings(), [""; 0]);

        let folder = tempfile::tempdir().unwrap();
        let files = rewrite::comfy_ui(&Parts::of(&case), folder.path());
        let done = render(&case, &files).run().succeeded();
        check(&case, &done.dump());
        assert_eq!(done.warnings(), [""; 0]);
    }
}

/// A PNG of 8 bits, RGBA or RGB.
fn png(path: &Path, width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4], alpha: bool) {
    let image = image::RgbaImage::from_fn(width, height, |x, y| image::Rgba(pixel(x, y)));
    match alpha {
        true => image.save(path).unwrap(),
        false => image::DynamicImage::from(image).to_rgb8().save(path).unwrap(),
    }
}

/// A green disc on the left.
fn disc(x: u32, y: u32) -> [u8; 4] {
    let (x, y) = (f64::from(x) - 30.0, f64::from(y) - 24.0);
    if x * x + y * y < 300.0 { [20, 200, 40, 255] } else { [200, 0, 200, 0] }
}

/// The smallest take that begins with an image, its size left to that.
fn small(image: &Path) -> Render {
    let case = Case::named("i2v");
    Render::of(case.model()).with("--image", image).without("--width").without("--height").dumped()
}

fn tensor(dump: &TensorFile, name: &str) -> Tensor {
    dump.read(Device::cpu(), name).unwrap()
}

#[test]
fn a_take_has_the_aspect_of_its_image_and_edges_are_never_changed_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disc.png");
    png(&path, 96, 48, disc, true);
    // Both sides are asked for: another aspect, so that it is padded.
    let done = small(&path).size(48, 48, 1).run().succeeded();
    let words = done.warnings().join("\n");
    assert!(words.contains("48 transparent rows are added around it"), "{words}");
    let alpha = tensor(&done.dump(), "condition.pha");
    assert_eq!(alpha.size(), [3, 48, 48]);
    assert_eq!(alpha.narrow(1, 0, 10).max().double_value(&[]), -1.0);
    assert!(alpha.narrow(1, 16, 16).max().double_value(&[]) > 0.9);
    // One side is asked for: the other follows.
    let done = small(&path).with("--width", "96").run().succeeded();
    assert_eq!(done.take()["request"]["height"], 48);
    assert_eq!(done.warnings(), [""; 0]);
    // Ellipse and request are those of the image.
    let request = &done.take()["request"];
    let ellipse = &request["ellipse"][0];
    assert!((ellipse["x"].as_f64().unwrap() - 30.5 / 96.0).abs() < 0.05, "{ellipse}");
    assert_eq!(request["first_image"].as_str().unwrap().len(), 64);
    assert_eq!(request["first_image_name"], "disc.png");
    // An artist's own ellipse comes first.
    let own = small(&path).with("--width", "96").with("--ellipse", "0.5,0.5,0.5,0.5,0");
    assert_eq!(own.run().succeeded().take()["request"]["ellipse"][0]["x"], 0.5);
}

#[test]
fn where_the_alpha_gives_no_ellipse_it_is_said_unless_one_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smoke.png");
    png(&path, 64, 48, |x, y| [200, 200, 200, if disc(x, y)[3] > 0 { 20 } else { 0 }], true);
    let take = || small(&path).size(64, 48, 1);
    let done = take().run().succeeded();
    let words = done.warnings().join("\n");
    assert!(words.contains("too faint for an ellipse of its alpha"), "{words}");
    assert_eq!(done.take()["request"]["ellipse"][0]["a"], 0.6);
    let drawn = take().with("--ellipse", "0.4,0.5,0.5,0.5,0").run().succeeded();
    assert_eq!(drawn.warnings(), [""; 0]);
}

#[test]
fn an_image_without_alpha_is_said_and_a_matte_or_opaque_offered() {
    let folder = tempfile::tempdir().unwrap();
    let [path, matte, cut_out] =
        ["rgb.png", "matte.png", "rgba.png"].map(|name| folder.path().join(name));
    png(&path, 64, 48, disc, false);
    png(&cut_out, 64, 48, disc, true);
    let white = |x, y| disc(x, y)[3];
    png(&matte, 64, 48, |x, y| [white(x, y), white(x, y), white(x, y), 255], false);
    let take = |image: &Path| small(image).size(64, 48, 1);
    take(&path).run().failed(2, &["rgb.png", "no alpha", "--matte FILE", "--opaque"]);
    let matted = take(&path).with("--matte", &matte).run().succeeded();
    let own = take(&cut_out).run().succeeded();
    assert_eq!(tensor(&matted.dump(), "condition"), tensor(&own.dump(), "condition"));
    let opaque = take(&path).switch("--opaque").run().succeeded();
    assert!(opaque.warnings().join("\n").contains("is opaque everywhere"));
    assert_eq!(tensor(&opaque.dump(), "condition.pha").min().double_value(&[]), 1.0);
    png(&matte, 32, 48, disc, true);
    take(&path).with("--matte", &matte).run().failed(2, &["32 × 48", "same size"]);
}

#[test]
fn models_and_images_that_do_not_belong_together_are_refused_before_anything_is_computed() {
    let case = Case::named("i2v");
    let text = Case::named("t2v");
    let on_text = Render::of(text.model()).with("--image", image_of(&case));
    on_text.run().failed(2, &["from text alone", "image-to-video model"]);
    Render::of(case.model()).run().failed(2, &["--image FILE"]);
    let last = Render::of(case.model()).with("--last-image", image_of(&case));
    last.run().failed(2, &["first image", "missing"]);
}

#[test]
fn a_kind_of_model_has_its_own_defaults() {
    let case = Case::named("i2v");
    let plain =
        |render: Render| render.without("--steps").with("--image", image_of(&case)).size(80, 64, 1);
    let request = plain(Render::of(case.model())).run().succeeded().take()["request"].clone();
    assert_eq!(
        [&request["steps"], &request["shift"], &request["guidance"]],
        [4, 5, 1].map(f64::from)
    );
    // Without the LoRA of step distillation.
    let copy = model::Copy::of("i2v").remove(model::DISTILL);
    let done = plain(Render::of(copy.folder())).with("--steps", "1").run().succeeded();
    let request = done.take()["request"].clone();
    assert_eq!([&request["shift"], &request["guidance"]], [3, 5].map(f64::from));
    let negative = request["negative_prompt"].as_str().unwrap();
    assert!(negative.starts_with("镜头晃动，色调艳丽"), "{negative}");
}

#[test]
fn an_image_lies_in_the_store_beside_its_take_and_what_is_nowhere_is_refused_by_hash_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let [path, store, other] = ["disc.png", "store", "other"].map(|name| folder.path().join(name));
    png(&path, 64, 48, disc, true);
    let case = Case::named("i2v");
    let render = |store: &Path| (Render::of(case.model()).size(64, 48, 1), store.to_owned());
    let run = |(render, store): (Render, PathBuf)| {
        let mut command = render.command();
        command.env("WAN_ALPHA_STORE", store);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap(), render)
    };
    let (first, at) = render(&store);
    let (code, said, first) = run((first.with("--image", &path), at));
    assert_eq!(code, Some(0), "{said}");
    let about = std::fs::read(first.path("out/take.json")).unwrap();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
    let hash = about["request"]["first_image"].as_str().unwrap().to_owned();
    assert!(store.join(format!("{hash}.image")).is_file());

    // The picture's own file is gone: the store's makes the same take.
    std::fs::remove_file(&path).unwrap();
    let take = first.path("out/take.json");
    let again = |store: &Path| {
        let (mut again, at) = render(store);
        for flag in ["--prompt", "--width", "--height", "--frames", "--steps"] {
            again = again.without(flag);
        }
        (again.with("--from", &take).with("--format", "png"), at)
    };
    for file in std::fs::read_dir(&store).unwrap().flatten() {
        if file.path().extension().is_some_and(|extension| extension == "take") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    let (code, said, second) = run(again(&store));
    assert_eq!(code, Some(0), "{said}");
    let frame = |render: &Render| {
        let frames = std::fs::read_dir(render.path("out")).unwrap().flatten();
        let frame = frames.map(|file| file.path()).find(|path| {
            path.extension().is_some_and(|kind| kind == "png")
                && !path.ends_with("contact-sheet.png")
        });
        image::open(frame.unwrap()).unwrap().to_rgba16()
    };
    assert_eq!(frame(&first), frame(&second));

    // In another store there is nothing.
    let (code, said, _) = run(again(&other));
    assert_eq!(code, Some(2), "{said}");
    for words in [&*hash, "`disc.png`", "nowhere in the store", "--image FILE"] {
        assert!(said.contains(words), "{said}");
    }
    // Given again, it is made; another is refused.
    png(&path, 64, 48, |x, y| disc(y, x), true);
    let (wrong, at) = again(&other);
    let (code, said, _) = run((wrong.with("--image", &path), at));
    assert!(
        code == Some(2) && said.contains("is not the image that the take was made with"),
        "{said}"
    );
    png(&path, 64, 48, disc, true);
    let (right, at) = again(&other);
    let (code, said, third) = run((right.with("--image", &path), at));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(frame(&first), frame(&third));
}

#[test]
fn another_image_beside_a_take_that_the_store_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [path, other, store] =
        ["disc.png", "other.png", "store"].map(|name| folder.path().join(name));
    png(&path, 64, 48, disc, true);
    png(&other, 64, 48, |x, y| disc(y, x), true);
    let model = Case::named("i2v").model();
    let run = |render: &Render| {
        let output = render.command().env("WAN_ALPHA_STORE", &store).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let first = Render::of(&model).size(64, 48, 1).with("--image", &path);
    let (code, said) = run(&first);
    assert_eq!(code, Some(0), "{said}");
    let again = |image: &Path| {
        let mut again = Render::of(&model).size(64, 48, 1);
        for flag in ["--prompt", "--width", "--height", "--frames", "--steps"] {
            again = again.without(flag);
        }
        run(&again.with("--from", first.path("out/take.json")).with("--image", image))
    };
    assert_eq!(again(&path).0, Some(0));
    let (code, said) = again(&other);
    let words = "--image other.png is not the image that the take was made with";
    assert!(code == Some(2) && said.contains(words), "{said}");
}

#[test]
fn an_engine_finds_the_image_in_the_store_and_a_take_is_made_of_what_render_left() {
    let studio = Studio::empty();
    let case = Case::named("i2v");
    let (said, _) = studio.ok(&["model", "add", "fox", case.model().to_str().unwrap()]);
    assert!(said.contains("an image to RGBA video") && said.contains("image encoder"), "{said}");
    let image = studio.path("disc.png");
    png(&image, 64, 48, disc, true);
    let out = studio.path("out");
    let (image, out) = (image.to_str().unwrap(), out.to_str().unwrap());
    let render = ["render", "--model", "fox", "--prompt", "a", "--steps", "1", "--frames", "5"];
    let sizes = ["--width", "64", "--height", "48", "--out", out, "--image", image, "--engine"];
    studio.ok(&[&render[..], &sizes[..]].concat());
    let made = studio.takes();
    assert_eq!(made.len(), 1);
    studio.ok(&["take", "verify"]);
    // Made again where the picture is not, without an engine: the same bits.
    std::fs::remove_file(image).unwrap();
    std::fs::remove_file(&made[0].0).unwrap();
    let request = format!("{out}/take.json");
    let (_, said) = studio.ok(&["take", "make", &request, "--device", "cpu", "--threads", "1"]);
    // What encoding it takes is told before, and planned.
    let of_image = "the image is encoded with its fillers first: ";
    assert!(said.contains(of_image), "{said}");
    let size = ["--size", "64x48", "--frames", "5"];
    let (planned, _) = studio.ok(&[&["plan", "--model", "fox"][..], &size[..]].concat());
    assert!(planned.contains(", images ") && planned.contains(of_image), "{planned}");
    let pixels = |take: &[u8]| take[take.len() - 5 * 64 * 48 * 8..].to_vec();
    assert_eq!(pixels(&studio.takes()[0].1), pixels(&made[0].1));
    // A damaged image is said, and no take is made of it.
    let images = std::fs::read_dir(studio.path("takes")).unwrap().flatten();
    let stored =
        images.map(|file| file.path()).find(|path| path.extension() == Some("image".as_ref()));
    let stored = stored.unwrap();
    let mut bytes = std::fs::read(&stored).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&stored, bytes).unwrap();
    std::fs::remove_file(&studio.takes()[0].0).unwrap();
    let again = studio.run(&["take", "make", &format!("{out}/take.json"), "--device", "cpu"]);
    let said = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(2), "{said}");
    assert!(said.contains("is damaged") && said.contains("`disc.png`"), "{said}");
    assert!(studio.takes().is_empty());
}

#[test]
fn a_fingerprint_counts_what_an_image_goes_through_however_it_is_spelled() {
    let case = Case::named("i2v");
    let fingerprint = |folder: &Path| {
        let files = ModelFiles::find(&[folder.to_owned()], Strengths::default(), &Unwatched);
        files.unwrap().fingerprint(&Unwatched).unwrap()
    };
    let original = fingerprint(&case.model());
    let folder = tempfile::tempdir().unwrap();
    let mut parts = Parts::of(&case);
    rewrite::diffusers(&parts, folder.path());
    assert_eq!(fingerprint(folder.path()), original);
    let of_images = parts.of_images.as_mut().unwrap();
    let mut changed = |name: &str| {
        let of_images = &mut *of_images;
        let tensors = match name.starts_with("visual.") {
            true => &mut of_images.image_encoder,
            false => &mut of_images.merge,
        };
        let before = tensors[name].shallow_clone();
        tensors.insert(name.to_owned(), &before * 1.5);
        let folder = tempfile::tempdir().unwrap();
        model::write(&folder.path().join(model::CLIP), &of_images.image_encoder);
        model::write(&folder.path().join(model::MERGE), &of_images.merge);
        let copy = model::Copy::of("i2v").remove(model::CLIP).remove(model::MERGE);
        for file in [model::CLIP, model::MERGE] {
            std::fs::copy(folder.path().join(file), copy.path(file)).unwrap();
        }
        let found = fingerprint(copy.folder());
        let tensors = match name.starts_with("visual.") {
            true => &mut of_images.image_encoder,
            false => &mut of_images.merge,
        };
        tensors.insert(name.to_owned(), before);
        found
    };
    for name in [
        "visual.transformer.0.attn.to_qkv.weight",
        "visual.cls_embedding",
        "middle.block.head.2.weight",
    ] {
        assert_ne!(changed(name), original, "{name}");
    }
    // The last layer, of three, is not looked through.
    assert_eq!(changed("visual.transformer.2.attn.to_qkv.weight"), original);
    // To a text-to-video model none of it matters.
    let text = Case::named("t2v");
    let copy = model::Copy::of("t2v");
    for part in [model::CLIP, model::MERGE] {
        std::fs::copy(case.model().join(part), copy.path(part)).unwrap();
    }
    assert_eq!(fingerprint(copy.folder()), fingerprint(&text.model()));
}

#[test]
fn an_image_is_kept_without_a_take_and_brings_one_back() {
    let folder = tempfile::tempdir().unwrap();
    let [path, rgb, store] = ["disc.png", "rgb.png", "store"].map(|name| folder.path().join(name));
    png(&path, 64, 48, disc, true);
    png(&rgb, 64, 48, disc, false);
    let keep = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        command.args(["take", "keep-image"]).args(words).env("WAN_ALPHA_STORE", &store);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    // What a node reads of the answer.
    let (code, answer, said) = keep(&["--json", "--", path.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["name"], &answer["width"], &answer["height"]),
        (&"disc.png".into(), &64.into(), &48.into())
    );
    let hash = answer["hash"].as_str().unwrap();
    assert!(store.join(format!("{hash}.image")).is_file());
    // The same that a render names.
    let case = Case::named("i2v");
    let render = Render::of(case.model()).size(64, 48, 1).with("--image", &path);
    assert_eq!(render.run().succeeded().take()["request"]["first_image"], hash);
    let rgb = rgb.to_str().unwrap();
    let (code, _, said) = keep(&["--json", "--", rgb]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("wan-alpha: the image ") && said.contains("--matte FILE"), "{said}");
    let (code, opaque, _) = keep(&["--opaque", rgb]);
    assert_eq!((code, opaque.trim().len()), (Some(0), 64));
    let (_, matted, said) = keep(&["--matte", path.to_str().unwrap(), rgb]);
    assert_eq!(matted.trim(), hash, "{said}");
}

#[test]
fn clips_are_encoded_and_judged_with_an_image_to_video_model() {
    let folder = tempfile::tempdir().unwrap();
    let [path, latent] = ["disc.png", "disc.safetensors"].map(|name| folder.path().join(name));
    png(&path, 64, 48, disc, true);
    let case = Case::named("i2v");
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wan-alpha"));
        command.args(words).args(["--device", "cpu", "--model"]).arg(case.model());
        let output = command.current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["encode", "disc.png", "--out", "disc.safetensors"]);
    // The first latent frame that a take is given of the image is the image's own latent.
    let dump = small(&path).size(64, 48, 5).run().succeeded().dump();
    let condition = tensor(&dump, "condition.latent").narrow(1, 0, 1);
    let encoded = TensorFile::open(&latent).unwrap();
    let name = encoded.names().next().unwrap().to_owned();
    let error = relative_error(&encoded.read(Device::cpu(), &name).unwrap(), &condition);
    assert!(error < 1e-5, "{error:e}");
    run(&["eval", "reconstruction", "disc.png", "--json", "out.json"]);
    let judged = std::fs::read_to_string(folder.path().join("out.json")).unwrap();
    assert!(judged.contains("alpha_psnr"), "{judged}");
}
