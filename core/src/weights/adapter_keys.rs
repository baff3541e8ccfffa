//! The keys of adapters: what each holds of which module, and what a file of them is.

#![forbid(unsafe_code)]

use super::names;

/// What a key of an adapter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Down,
    Up,
    Magnitude,
    Alpha,
    Difference,
    BiasDifference,
    ModulationDifference,
    UpBias,
}

/// A module's name after the prefix that kohya's and musubi's trainers put before it.
pub(super) fn flat(module: &str) -> Option<&str> {
    module.strip_prefix("lora_unet_").map(|flat| flat.trim_start_matches('_'))
}

/// Splits an adapter's key into the module it changes and what it holds.
pub(super) fn split_role(key: &str) -> Option<(&str, Role)> {
    const ROLES: [(&str, Role); 17] = [
        (".lora_A.default.weight", Role::Down),
        (".lora_A.weight", Role::Down),
        (".lora_down.weight", Role::Down),
        (".lora_B.default.weight", Role::Up),
        (".lora_B.weight", Role::Up),
        (".lora_up.weight", Role::Up),
        (".lora_B.default.bias", Role::UpBias),
        (".lora_B.bias", Role::UpBias),
        (".lora_up.bias", Role::UpBias),
        (".lora_magnitude_vector.default.weight", Role::Magnitude),
        (".lora_magnitude_vector.weight", Role::Magnitude),
        (".lora_magnitude_vector", Role::Magnitude),
        (".dora_scale", Role::Magnitude),
        (".alpha", Role::Alpha),
        (".diff", Role::Difference),
        (".diff_b", Role::BiasDifference),
        (".diff_m", Role::ModulationDifference),
    ];
    ROLES.iter().find_map(|&(suffix, role)| Some((key.strip_suffix(suffix)?, role)))
}

/// What an adapter file is, judged by its keys; `None` for a file that is no adapter.
pub(crate) fn recognize(keys: &[&str]) -> Option<FileKind> {
    let decoder = |key: &str| {
        (key.starts_with("vae_fgr.") || key.starts_with("vae_pha.")) && key.contains(".lora_")
    };
    let role = |key: &str| split_role(names::unwrapped(key)).map(|(_, role)| role);
    if keys.iter().any(|key| decoder(key)) {
        Some(FileKind::Decoders)
    } else if keys.iter().any(|key| role(key) == Some(Role::Magnitude)) {
        Some(FileKind::Dora)
    } else if keys.iter().any(|key| role(key).is_some()) {
        Some(FileKind::Lora)
    } else {
        None
    }
}

/// The kinds of adapter file; one file holds both decoders' LoRAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Dora,
    /// Pairs or differences of the transformer, whatever they are for.
    Lora,
    Decoders,
}
