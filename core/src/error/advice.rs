//! What helps where memory ran out or a GPU has failed: it depends on what was being done.

use super::MemoryContext;
use super::libtorch::{Bytes, Shortage};
use crate::stage::Stage;

/// Nothing in this process helps any more.
pub(super) const DEVICE_LOST: &str = "try again, a new process begins afresh with the GPU. If it \
    comes back: `nvidia-smi` and the system's log (\"Xid\") say more, a newer driver or a restart of \
    the machine may help";

/// What helps where a card works and does not suit this build of libtorch; `None` for any other
/// failure, which another try may pass.
pub(super) fn where_a_card_is_unfit(detail: &str) -> Option<String> {
    let lower = detail.to_lowercase();
    let has = |spellings: &[&str]| spellings.iter().any(|spelling| lower.contains(spelling));
    let remedy = if has(&[
        "no kernel image is available",
        "kernel image is invalid",
        "arch_mismatch",
    ]) {
        "this build of libtorch has no code for this model of GPU: choose another one (--device or \
         WAN_ALPHA_DEVICE), or the CPU (--device cpu)"
    } else if has(&["driver version is insufficient"]) {
        "the NVIDIA driver is older than this build of libtorch needs: update it, or choose the CPU \
         (--device cpu)"
    } else {
        return None;
    };
    Some(remedy.to_owned())
}

/// What helps. Fewer frames help where all of them are in memory at once, which they are in
/// sampling alone; another precision where there is a narrower one.
pub(super) fn where_memory_ran_out(
    stage: Option<Stage>,
    shortage: &Shortage,
    asked: MemoryContext,
) -> String {
    let others =
        if shortage.host { "end other programs" } else { "end other programs that use the GPU" };
    let narrower =
        if asked.float32 { ", or ask for bf16, half as large (--dtype bf16)" } else { "" };
    match stage {
        Some(Stage::Load) => {
            let needs = match asked.model {
                Some(bytes) => format!("the transformer alone takes {}: ", Bytes(bytes)),
                None => String::new(),
            };
            let elsewhere = if shortage.host {
                "a machine with more memory"
            } else {
                "a GPU with more memory, or the CPU (--device cpu)"
            };
            format!("{needs}{others}, choose a smaller model, {elsewhere}{narrower}")
        }
        Some(Stage::Sample) => {
            format!("ask for a smaller size or fewer frames, {others}{narrower}")
        }
        Some(Stage::Decode) => format!(
            "ask for a smaller size, or {others}; fewer frames need no less here, they are decoded \
             one after the other"
        ),
        Some(Stage::Encode) => format!("encode a smaller picture, or {others}"),
        Some(Stage::Text) | None => format!("{others}, or use a device with more memory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(stage: Stage, host: bool, asked: MemoryContext) -> String {
        let detail = String::new();
        let shortage = Shortage { host, needed: None, free: None, total: None, detail };
        where_memory_ran_out(Some(stage), &shortage, asked)
    }

    #[test]
    fn trying_again_is_not_advised_for_a_card_that_never_fits() {
        let unfit = |text: &str| where_a_card_is_unfit(text);
        let kernel = unfit("CUDA error: no kernel image is available for execution on the device");
        assert!(kernel.expect("advice").contains("WAN_ALPHA_DEVICE"));
        let driver = unfit("CUDA driver version is insufficient for CUDA runtime version");
        assert!(driver.expect("advice").contains("update"));
        assert_eq!(unfit("CUDA error: invalid argument"), None);
    }

    #[test]
    fn only_what_helps_is_advised() {
        let narrow = MemoryContext { float32: false, model: Some(28_600_000_000) };
        let wide = MemoryContext { float32: true, model: None };
        for stage in [Stage::Load, Stage::Text, Stage::Sample, Stage::Decode, Stage::Encode] {
            assert!(!advice(stage, false, narrow).contains("bf16"), "{stage}");
            assert!(!advice(stage, true, wide).contains("GPU"), "{stage}");
            assert_eq!(
                advice(stage, false, narrow).contains("fewer frames,"),
                stage == Stage::Sample
            );
        }
        let load = advice(Stage::Load, false, narrow);
        assert!(load.starts_with("the transformer alone takes 28.6 GB: "), "{load}");
        assert!(!load.contains("smaller size") && load.contains("--device cpu"), "{load}");
        assert!(advice(Stage::Load, true, wide).contains("--dtype bf16"));
        assert!(advice(Stage::Sample, false, wide).contains("--dtype bf16"));
        // The decoders are float32 always.
        assert!(!advice(Stage::Decode, false, wide).contains("bf16"));
        assert!(advice(Stage::Decode, false, wide).contains("smaller size"));
    }
}
