//! One model, however its files spell it: the references again, from rewrites that are made here.

mod support;

use support::model::{self, Parts};
use support::reference::{Case, relative_error};
use support::render::Done;
use support::rewrite;
use wan_alpha_core::device::Device;
use wan_alpha_core::tch::Kind;

#[test]
fn diffusers_folders_with_hugging_face_s_text_encoder() {
    for case in Case::all() {
        let folder = tempfile::tempdir().unwrap();
        rewrite::diffusers(&Parts::of(&case), folder.path());
        let done = case.render([folder.path()]).run().succeeded();
        case.check(&done.dump());
        assert_eq!(done.warnings(), [""; 0]);
    }
}

#[test]
fn one_file_per_part_and_other_spellings_of_the_adapters() {
    for case in Case::all() {
        let mut parts = Parts::of(&case);
        parts.dora = rewrite::dora_in_comfy_ui(&parts.dora);
        parts.distill = rewrite::distill_in_peft(&parts.distill);
        parts.decoders = rewrite::decoders_in_a_checkpoint(&parts.decoders);
        let folder = tempfile::tempdir().unwrap();
        parts.write_single_files(folder.path());
        let done = case.render([folder.path()]).run().succeeded();
        case.check(&done.dump());
        assert_eq!(done.warnings(), [""; 0]);
    }
}

#[test]
fn files_named_one_by_one_with_two_complete_autoencoders() {
    for case in Case::all() {
        let folder = tempfile::tempdir().unwrap();
        let files = rewrite::comfy_ui(&Parts::of(&case), folder.path());
        let done = case.render(&files).run().succeeded();
        case.check(&done.dump());
        assert_eq!(done.warnings(), [""; 0]);
    }
}

#[test]
fn folders_and_files_may_be_mixed() {
    let case = Case::named("t2v-euler");
    let parts = Parts::of(&case);
    let apart = tempfile::tempdir().unwrap();
    let adapters = apart.path().join("wan-alpha-dora.safetensors");
    model::write(&adapters, &parts.dora);
    let together = model::Copy::of("t2v-euler").remove(model::DORA);
    let done = case.render([together.folder(), &adapters]).run().succeeded();
    case.check(&done.dump());
}

#[test]
fn bfloat16_files_computed_in_float32_are_the_rounded_weights_exactly() {
    for case in Case::all() {
        let take = |kind: Kind| -> Done {
            let mut parts = Parts::of(&case);
            parts.round(kind);
            let folder = tempfile::tempdir().unwrap();
            parts.write_single_files(folder.path());
            case.render([folder.path()]).with("--dtype", "f32").run().succeeded()
        };
        let (half, single) = (take(Kind::BFloat16).dump(), take(Kind::Float).dump());
        let names: Vec<_> = single.names().filter(|name| !name.ends_with("token_ids")).collect();
        assert!(names.contains(&"context") && names.contains(&"video.rgba"));
        for name in names {
            let (half, single) = (
                half.read(Device::cpu(), name).unwrap(),
                single.read(Device::cpu(), name).unwrap(),
            );
            let error = relative_error(&half, &single);
            assert!(error <= 1e-5, "{name}: relative error {error:e}");
        }
        // Were nothing rounded, the above would show nothing.
        let latent = single.read(Device::cpu(), "latent.final").unwrap();
        assert!(relative_error(&latent, &case.golden("latent.final")) > 1e-4);
    }
}
