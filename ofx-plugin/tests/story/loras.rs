//! Further LoRAs, listed in the node.

use std::fs;

use wan_alpha_take::models::{LoraRecord, ModelRoots, PartFile};
use wan_alpha_take::{Fingerprint, TakeRequest};
use wan_alpha_test_host::Profile;

use crate::workshop::{Workshop, alone, plain_node, until_status};

/// A record; the scripted engine asks for no file.
fn add_lora(workshop: &Workshop, name: &str, fingerprint: u8) {
    let file = workshop.at(&format!("{name}.safetensors"));
    fs::write(&file, name).unwrap();
    let roots = ModelRoots { roots: vec![workshop.at("models")], ..ModelRoots::default() };
    let part = PartFile::of(&file).unwrap();
    roots.add_lora(&LoraRecord::new(name, Fingerprint([fingerprint; 32]), part)).unwrap();
}

alone! {
    fn loras_are_names_and_strengths_a_line_each(workshop) {
        add_lora(workshop, "ink", 9);
        add_lora(workshop, "smoke", 8);
        let (_host, plugin) = workshop.load(Profile::plain());
        let project = plugin.project();
        let node = project.add_preferred().unwrap();
        plain_node(&node, "one");
        for (list, words) in [
            ("ink\nnowhere:0.5", "no LoRA `nowhere`"),
            ("ink\nnowhere:0.5", "model add --lora"),
            (":2", "`:2` names no LoRA"),
            ("ink:11", "the strength of LoRA ink is 11"),
        ] {
            node.set("loras", list);
            node.press("generate");
            assert!(node.text("status").contains(words), "{}", node.text("status"));
            assert_eq!(node.text("takeRequest"), "");
        }
        let request = || TakeRequest::from_parameter(&node.text("takeRequest")).unwrap();
        let ready = |status: &str| status.starts_with("Ready");
        node.set("loras", " ink:0.5\n\nsmoke\n");
        node.press("generate");
        until_status(&node, "ready", ready);
        let asked = request();
        let listed: Vec<_> = asked.loras.iter().map(|l| (l.name.as_str(), l.strength)).collect();
        assert_eq!((asked.version, &listed[..]), (2, &[("ink", 0.5), ("smoke", 1.0)][..]));
        assert_eq!(asked.loras[0].fingerprint, Fingerprint([9; 32]));
        // The order is part of the take.
        node.set("loras", "smoke\nink:0.5");
        until_status(&node, "told", |status| status.contains("LoRAs"));
        node.press("generate");
        until_status(&node, "ready", ready);
        assert_ne!(request().key().unwrap(), asked.key().unwrap());
        // Without any it is the request that it always was.
        node.set("loras", "");
        node.press("generate");
        until_status(&node, "ready", ready);
        assert_eq!((request().version, request().loras.len()), (1, 0));
    }
}
