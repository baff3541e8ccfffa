//! What files say of quantized weights beside the weights themselves: scales, and marks of formats.

#![forbid(unsafe_code)]

use super::network::Network;

/// How names of tensors begin that only fill: what follows them in a file lies where it should.
pub const FILLER: &str = "__pad.";

/// Appended to the name of a quantized weight for that of its scale.
pub(super) const SCALE: &str = "#scale";

/// The remark in a safetensors header that has ComfyUI's configuration of each layer.
pub(super) const CONFIGURATIONS: &str = "_quantization_metadata";

/// Spellings of the scale that a weight is multiplied by, after the name of its module. That of DeepSeek
/// says "inverse", and is multiplied by like the others.
const SCALES: [&str; 4] = [".weight_scale", ".scale_weight", ".weight_scale_inv", ".weight._scale"];

/// Scales of a layer's input or output, which programs need that multiply in 8 bits.
const ACTIVATIONS: [&str; 4] = [".scale_input", ".input_scale", ".output_scale", ".scale_output"];

/// What no tensor of a network is called, and only quantized ones leave beside them.
const SPELLED_IN_MARKS: [&str; 22] = [
    "scale", "zero", "quant", "absmax", "amax", "qweight", "g_idx", "_shift", "smooth", "packed",
    "scb", "codebook", "hadamard", "rotation", "fp8", "fp4", "nf4", "int8", "int4", "perm",
    "outlier", "lut",
];

/// What a key of a file stands for in a network.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyRole {
    /// A tensor of the network, by its original name.
    Tensor(String),
    /// The scale of the weight of that name.
    Scale(String),
    /// ComfyUI's description of how the weight of that name is stored.
    Configuration(String),
    /// Says that weights of the file are quantized.
    FileMark,
    /// A scale or mark of quantized weights that is not understood.
    UnknownMark,
    /// Beside the weight of that name, and nothing of this network: harmless where the weight is a float.
    Beside(String),
    /// No tensor, and nothing that a weight depends on.
    Remark,
    /// Nothing of this network.
    Foreign,
}

impl KeyRole {
    /// The role of `key`; `is_there` says whether the files have a key.
    pub(super) fn of(network: Network, key: &str, is_there: impl Fn(&str) -> bool) -> Self {
        if let Some(name) = network.original(key) {
            return Self::Tensor(name);
        }
        if key.starts_with(FILLER) {
            return Self::Remark;
        }
        let last = key.rsplit('.').next().unwrap_or(key);
        if last == "scaled_fp8" {
            return Self::FileMark;
        }
        if last == "spiece_model" || ACTIVATIONS.iter().any(|suffix| key.ends_with(suffix)) {
            return Self::Remark;
        }
        let known = SCALES.iter().map(|&suffix| (suffix, true)).chain([(".comfy_quant", false)]);
        for (suffix, is_scale) in known {
            let Some(module) = key.strip_suffix(suffix) else { continue };
            return match network.weight_of(module) {
                Some(weight) if is_scale => Self::Scale(weight),
                Some(weight) => Self::Configuration(weight),
                // Of another network in the same file.
                None if is_there(&format!("{module}.weight")) => Self::Foreign,
                None => Self::UnknownMark,
            };
        }
        let lower = last.to_lowercase();
        let spelled = SPELLED_IN_MARKS.iter().any(|word| lower.contains(word));
        // Below a module of this network, or of the file as a whole.
        let parents = key.match_indices('.').map(|(end, _)| &key[..end]);
        let weight = parents
            .rev()
            .find_map(|parent| network.weight_of(parent).or_else(|| network.original(parent)));
        match weight {
            Some(_) if spelled => Self::UnknownMark,
            Some(weight) => Self::Beside(weight),
            None if spelled
                && !key.contains('.')
                && !matches!(&*lower, "logit_scale" | "log_scale") =>
            {
                Self::UnknownMark
            }
            None => Self::Foreign,
        }
    }
}

/// The format that a scale or mark which is not read is known to belong to, or who writes it.
pub(super) fn writer_of_mark(key: &str) -> Option<&'static str> {
    const WRITERS: [(&str, &str); 12] = [
        ("weight_scale_2", "NVFP4"),
        ("global_scale", "NVFP4"),
        ("absmax", "bitsandbytes"),
        ("quant_state", "bitsandbytes"),
        ("quant_map", "bitsandbytes"),
        ("SCB", "bitsandbytes"),
        ("qweight", "GPTQ, AWQ or Nunchaku"),
        ("qzeros", "GPTQ or AWQ"),
        ("g_idx", "GPTQ"),
        ("smooth_factor", "Nunchaku"),
        ("_shift", "Quanto"),
        ("zero_point", "with a zero point"),
    ];
    WRITERS.iter().find_map(|(word, writer)| key.contains(word).then_some(*writer))
}

/// Whether a key of an adapter's file is a scale or mark of quantized tensors.
pub(super) fn is_mark_in_adapter(key: &str) -> bool {
    let own = ["dora_scale"];
    let last = key.rsplit('.').next().unwrap_or(key).to_lowercase();
    let spelled = SPELLED_IN_MARKS.iter().any(|word| last.contains(word));
    spelled && !own.contains(&&*last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(key: &str) -> KeyRole {
        KeyRole::of(Network::Dit, key, |key| key == "vace_blocks.0.q.weight")
    }

    #[test]
    fn every_spelling_of_a_scale_belongs_to_its_weight() {
        let weight = "blocks.0.ffn.0.weight";
        for key in ["weight_scale", "scale_weight", "weight_scale_inv", "weight._scale"] {
            for prefix in ["", "model.diffusion_model.", "module."] {
                let key = format!("{prefix}blocks.0.ffn.0.{key}");
                assert_eq!(role(&key), KeyRole::Scale(weight.into()), "{key}");
            }
        }
        assert_eq!(role("blocks.0.ffn.0.weight._data"), KeyRole::Tensor(weight.into()));
        assert_eq!(role("blocks.0.ffn.0.comfy_quant"), KeyRole::Configuration(weight.into()));
    }

    #[test]
    fn what_is_not_understood_is_a_mark_where_it_belongs_to_a_weight() {
        for key in [
            "blocks.0.ffn.0.weight_zero_point",
            "blocks.0.ffn.0.weight.absmax",
            "blocks.0.ffn.0.weight.quant_state.bitsandbytes__nf4",
            "blocks.0.ffn.0.qweight",
            "blocks.0.ffn.0.weight_scale_2",
            "blocks.0.ffn.0.weight_global_scale",
            "blocks.0.ffn.0.weight._shift",
            "blocks.0.ffn.0.SCB",
            "norm.weight_scale",
            "scaled_int8",
        ] {
            assert_eq!(role(key), KeyRole::UnknownMark, "{key}");
        }
        for key in
            ["vace_blocks.0.q.weight_scale", "text.logit_scale", "logit_scale", "other.weight"]
        {
            assert_eq!(role(key), KeyRole::Foreign, "{key}");
        }
        let weight = "blocks.0.ffn.0.weight".to_owned();
        assert_eq!(role("blocks.0.ffn.0.weight_scal"), KeyRole::Beside(weight));
        for key in ["blocks.0.ffn.0.input_scale", "blocks.0.ffn.0.scale_input", "spiece_model"] {
            assert_eq!(role(key), KeyRole::Remark, "{key}");
        }
        assert_eq!(role("model.diffusion_model.scaled_fp8"), KeyRole::FileMark);
    }

    /// Networks that take nearly any name below their own.
    #[test]
    fn scales_and_marks_are_no_tensors_of_any_network() {
        for (network, module) in [
            (Network::Dit, "blocks.0.ffn.0"),
            (Network::Umt5, "blocks.0.ffn.fc1"),
            (Network::Vae, "decoder.middle.0.residual.2"),
            (Network::Merge, "middle.block.conv1"),
            (Network::Clip, "vision_model.encoder.layers.0.mlp.fc1"),
        ] {
            let of = |name: &str| KeyRole::of(network, &format!("{module}.{name}"), |_| true);
            let weight = format!("{module}.weight");
            assert_eq!(of("weight"), KeyRole::Tensor(weight.clone()), "{network:?}");
            assert_eq!(of("weight_scale"), KeyRole::Scale(weight.clone()), "{network:?}");
            assert_eq!(of("comfy_quant"), KeyRole::Configuration(weight), "{network:?}");
            for mark in ["weight_zero_point", "weight_scale_2", "SCB"] {
                assert_eq!(of(mark), KeyRole::UnknownMark, "{network:?} {mark}");
            }
        }
    }

    #[test]
    fn the_scale_of_a_dora_is_none_of_a_quantized_tensor() {
        assert!(!is_mark_in_adapter("blocks.0.ffn.0.dora_scale"));
        assert!(!is_mark_in_adapter("blocks.0.ffn.0.lora_A.default.weight"));
        assert!(is_mark_in_adapter("blocks.0.ffn.0.lora_down.weight_scale"));
        assert!(is_mark_in_adapter("blocks.0.ffn.0.lora_down.comfy_quant"));
    }
}
