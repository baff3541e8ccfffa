//! Step distillations by name: which preset a model is sampled with, by what evidence, and what
//! overrides it.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::model::{self, Copy, DISTILL, DORA, Parts, Tensors};
use support::random::Transformer;
use support::reference::{Case, relative_error};
use support::render::{Done, Render};
use support::room::Room;
use wan_alpha_core::Unwatched;
use wan_alpha_core::device::Device;
use wan_alpha_core::generate::{Keep, Pipeline};
use wan_alpha_core::tch::{self, Kind, Tensor};
use wan_alpha_core::train::write_pickle;
use wan_alpha_core::weights::Strengths;

/// Where libtorch has tensors of tests.
const CPU: tch::Device = tch::Device::Cpu;

/// A reference model whose LoRA is called so; nothing of it but its name tells whose it is.
fn with_lora(name: &str) -> Copy {
    let copy = Copy::of("t2v-euler").remove(DORA).change(DISTILL, |tensors| {
        tensors.retain(|key, _| !key.ends_with(".diff_m"));
    });
    fs::rename(copy.path(DISTILL), copy.path(name)).unwrap();
    copy
}

/// The line that begins so.
#[track_caller]
fn line(done: &Done, begins: &str) -> String {
    let found = done.stderr.lines().find(|line| line.starts_with(begins));
    found.unwrap_or_else(|| panic!("`{begins}` is not in: {}", done.stderr)).to_owned()
}

/// What a call says that knows the models of the room.
fn command(room: &Room, arguments: &[&str]) -> String {
    let mut command = room.command(arguments);
    command.env("WAN_ALPHA_MODELS", room.path("models"));
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_lora_says_by_its_name_how_the_model_is_sampled() {
    for (name, preset, solver, steps, shift) in [
        (
            "Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32.safetensors",
            "lightx2v",
            "euler",
            4,
            5.0,
        ),
        ("Wan2.1_T2V_14B_FusionX_LoRA.safetensors", "fusionix", "unipc", 10, 2.0),
        ("Wan21_CausVid_14B_T2V_lora_rank32_v2.safetensors", "causvid", "unipc", 10, 2.0),
        ("rcm_lora.safetensors", "rcm", "rcm", 4, 1.0),
    ] {
        let model = with_lora(name);
        let done = Render::of(model.folder()).without("--steps").run().succeeded();
        let request = &done.take()["request"];
        let found =
            (&request["solver"], &request["steps"], &request["shift"], &request["guidance"]);
        assert_eq!(found, (&solver.into(), &steps.into(), &shift.into(), &1.0.into()), "{name}");
        let told = line(&done, &format!("preset {preset} ("));
        assert!(told.ends_with(&format!("by the name {name}")), "{told}");
    }
}

#[test]
fn the_released_pair_is_sampled_as_its_authors_do_and_flags_override() {
    let model = Copy::of("t2v-euler");
    let done = Render::of(model.folder()).without("--steps").run().succeeded();
    let told = line(&done, "preset ");
    assert!(
        told.starts_with("preset wan-alpha (unipc, 4 steps, shift 5, guidance 1), by "),
        "{told}"
    );
    assert!(told.ends_with("lightx2v_lora.safetensors, beside a transparency DoRA"), "{told}");

    let flags = |render: Render| {
        let done = render.run().succeeded();
        (line(&done, "preset "), done.take()["request"].clone())
    };
    let (told, request) = flags(Render::of(model.folder()).with("--preset", "lightx2v-lcm"));
    assert_eq!((&request["solver"], &request["steps"]), (&"lcm".into(), &1.into()));
    assert!(
        told.contains("lightx2v-lcm (lcm, 4 steps") && told.ends_with("by --preset; here 1 step")
    );
    let render = Render::of(model.folder()).with("--preset", "rcm").with("--steps", "3");
    let (_, request) = flags(render.with("--solver", "euler").with("--shift", "2.5"));
    let found = (&request["solver"], &request["steps"], &request["shift"]);
    assert_eq!(found, (&"euler".into(), &3.into(), &2.5.into()));
    let (_, request) = flags(Render::of(model.folder()).with("--preset", "wan2gp"));
    assert_eq!((&request["mu"][0], &request["mu_scale"]), (&0.05.into(), &0.6.into()));

    let many = Render::of(model.folder()).with("--solver", "rcm").with("--steps", "5").run();
    many.failed(2, &["steps is 5", "1 to 4 with the solver rcm"]);
}

#[test]
fn a_record_keeps_the_preset_for_the_node() {
    let room = Room::new();
    let model = with_lora("Wan21_CausVid_14B_T2V_lora_rank32.safetensors");
    let folder = model.folder().to_str().unwrap();
    let record = |arguments: &[&str]| -> (String, Value) {
        let said = command(&room, &[&["model", "add", "m", folder], arguments].concat());
        let text = fs::read_to_string(room.path("models/m/wan-alpha.json")).unwrap();
        (said, serde_json::from_str(&text).unwrap())
    };
    let sampling = |record: &Value| -> Value {
        let fields = ["solver", "steps", "shift", "guidance", "mu_scale"];
        fields.map(|field| record["defaults"][field].clone()).to_vec().into()
    };
    let (said, recorded) = record(&[]);
    let row = "causvid (unipc, 10 steps, shift 2, guidance 1), by the name Wan21_CausVid";
    assert!(said.contains(row), "{said}");
    assert_eq!(recorded["preset"]["name"], "causvid");
    assert_eq!(sampling(&recorded), json!(["unipc", 10, 2.0, 1.0, null]));
    assert!(command(&room, &["model", "show", "m"]).contains(row));

    let (said, recorded) = record(&["--preset", "wan2gp"]);
    assert!(said.contains("μ × 0.6), by --preset"), "{said}");
    assert_eq!(sampling(&recorded), json!(["unipc", 4, 3.0, 1.0, 0.6]));
    // Another in its place takes its strength off again.
    let out = room.path("take");
    let take = ["render", "--model", "m", "--prompt", "smoke", "--width", "16", "--height", "16"];
    let rest = ["--frames", "1", "--preset", "rcm", "--no-store", "--out", out.to_str().unwrap()];
    let said = command(&room, &[&take[..], &rest].concat());
    assert!(said.contains("preset rcm (rcm, 4 steps, guidance 1), by --preset"), "{said}");
    let request = &room.json("take/take.json")["request"];
    assert_eq!((&request["mu_scale"], &request["shift"]), (&1.0.into(), &1.0.into()));
}

#[test]
fn a_lora_that_is_added_to_a_recorded_model_says_how_both_are_sampled() {
    let room = Room::new();
    let model = with_lora("later.safetensors");
    let lora = room.path("lightx2v_4step.safetensors");
    fs::rename(model.path("later.safetensors"), &lora).unwrap();
    let (folder, lora) = (model.folder().to_str().unwrap(), lora.to_str().unwrap());
    assert!(command(&room, &["model", "add", "m", folder]).contains("wan (unipc, 50 steps"));
    let out = room.path("take");
    let take = ["render", "--prompt", "smoke", "--width", "16", "--height", "16", "--frames", "1"];
    let more = ["--no-store", "--out", out.to_str().unwrap(), "--model", "m"];
    command(&room, &[&take[..], &more, &["--steps", "1"]].concat());
    assert_eq!(room.json("take/take.json")["request"]["guidance"], 5.0);
    let said = command(&room, &[&take[..], &more, &[lora]].concat());
    assert!(said.contains("preset lightx2v (euler, 4 steps"), "{said}");
    let request = &room.json("take/take.json")["request"];
    assert_eq!((&request["steps"], &request["guidance"]), (&4.into(), &1.0.into()));
}

/// rCM's and TurboDiffusion's whole transformers: a prefix, a patch embedding that is a matrix, and what
/// sparse attention leaves.
#[test]
fn whole_transformers_of_rcm_and_turbodiffusion_are_read() {
    let parts = Parts::of(&Case::named("t2v-euler"));
    let take = |file: &str, sparse: bool| {
        let folder = tempfile::tempdir().unwrap();
        parts.write_single_files(folder.path());
        for part in ["wan2.1_t2v.safetensors", "distill.safetensors", "dora.safetensors"] {
            fs::remove_file(folder.path().join(part)).unwrap();
        }
        let mut tensors: Vec<(String, Tensor)> = parts
            .dit
            .iter()
            .map(|(key, tensor)| {
                let flat = key == "patch_embedding.weight" && file.ends_with(".pth");
                let tensor = if flat { tensor.flatten(1, -1) } else { tensor.shallow_clone() };
                (format!("net.{key}"), tensor.contiguous())
            })
            .collect();
        if sparse {
            let key = "net.blocks.0.self_attn.attn_op.local_attn.proj_l.weight";
            tensors.push((key.to_owned(), Tensor::zeros([8, 8], (Kind::Float, CPU))));
        }
        let path = folder.path().join(file);
        if file.ends_with(".pth") {
            write_pickle(&path, &tensors).unwrap();
        } else {
            model::write(&path, &tensors.into_iter().collect::<Tensors>());
        }
        Render::of(folder.path()).without("--steps").size(32, 32, 5).dumped().run().succeeded()
    };
    let (whole, plain) =
        (take("TurboWan2.1-T2V-14B-480P.pth", true), take("rCM_Wan2.1.safetensors", false));
    for done in [&whole, &plain] {
        assert_eq!(done.take()["request"]["solver"], "rcm");
        assert!(line(done, "preset rcm (").contains("by the name "));
    }
    assert!(whole.warnings().iter().any(|said| said.contains("proj_l")), "{:?}", whole.warnings());
    let of = |done: &Done, name: &str| done.dump().read(Device::cpu(), name).unwrap();
    for name in ["latent.step0", "latent.final"] {
        assert_eq!(of(&whole, name), of(&plain, name), "{name}");
    }
    // The dump says what each step has added.
    let (noise, first) = (of(&plain, "noise"), of(&plain, "noise.step0"));
    assert!(noise.size() == first.size() && noise != first);
    assert!(of(&plain, "noise.step2") != of(&plain, "noise.step1"));
    let (shifted, mask): (Tensor, Tensor) = (of(&plain, "noise.shifted"), of(&plain, "mask"));
    let outside = (mask.ones_like() - mask).unsqueeze(0) * 0.05;
    assert!(relative_error(&(&noise + outside), &shifted) < 1e-6);
}

#[test]
fn released_models_have_the_authors_negative_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let reference = Case::named("t2v").model();
    let open = |sizes: Transformer, dora: bool| {
        let here = tempfile::tempdir_in(folder.path()).unwrap();
        sizes.write_hollow(here.path());
        let tensor = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, CPU));
        let key =
            |part: &str| format!("diffusion_model.blocks.0.self_attn.q.{part}.default.weight");
        let dim = sizes.dim as i64;
        let adapter = Tensors::from([
            (key("lora_A"), tensor(&[1, dim])),
            (key("lora_B"), tensor(&[dim, 1])),
            (key("lora_magnitude_vector"), tensor(&[dim])),
        ]);
        let place = here.path().join("t2v.safetensors");
        let parts = [model::TEXT, model::TOKENIZER, model::VAE, model::DECODERS];
        let mut paths: Vec<_> = parts.iter().map(|part| reference.join(part)).collect();
        paths.extend(["hollow.safetensors", "config.json"].map(|name| here.path().join(name)));
        if dora {
            model::write(&place, &adapter);
            paths.push(place);
        }
        let strengths = Strengths::default();
        let pipeline =
            Pipeline::open(&paths, strengths, Device::cpu(), Keep::Nothing, &Unwatched).unwrap();
        pipeline.defaults().negative_prompt
    };
    let released = Transformer { dim: 5120, heads: 40, ffn: 13_824, layers: 40, text_dim: 24 };
    let own = open(released, true).unwrap();
    assert!(own.starts_with("色调艳丽，过曝，静态，细节模糊不清，字幕，画面，静止"), "{own}");
    assert!(!own.contains("风格") && !own.contains("作品") && !own.contains("画作"), "{own}");
    assert_eq!(open(released, false), None);
    assert_eq!(open(Transformer { layers: 2, ..released }, true), None);
}

#[test]
fn the_help_tells_whose_each_preset_is() {
    let said = Room::new().ok(&["render", "--help"]);
    for words in ["lightx2v-lcm:", "wan2gp-lora:", "NVIDIA's of rCM", "lcm and rcm add fresh noise"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
}
