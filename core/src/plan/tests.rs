use proptest::prelude::*;

use super::*;

/// Sizes of the released transformer of 14 billion parameters, in bfloat16.
fn large() -> ModelSizes {
    ModelSizes {
        layers: 40,
        block: 703_000_000,
        form: 0,
        fixed: 840_000_000,
        number: 2,
        dim: 5120,
        ffn: 13_824,
        heads: 40,
        text_length: 512,
        text_block: 386_000_000,
        text_heads: 64,
        text_dim: 4096,
        text_ffn: 10_240,
        decoder: 293_000_000,
        decoder_dim: 96,
        is_card: true,
    }
}

const USUAL: TakeSizes = TakeSizes {
    width: 832,
    height: 480,
    frames: 81,
    guided: false,
    tiled: false,
    decode_number: 4,
};

/// A card of so many gigabytes, of which nobody uses any, in a host of 64 GB.
fn card(gigabytes: u64) -> MemoryBudget {
    MemoryBudget {
        is_card: true,
        free: gigabytes * 1_000_000_000,
        total: gigabytes * 1_000_000_000,
        headroom: Headroom::CARD,
        cap: None,
        host_free: 60_000_000_000,
        host_total: 64_000_000_000,
    }
}

#[test]
fn a_card_of_each_size_has_its_plan() {
    let of = |gigabytes| plan(&large(), &USUAL, &card(gigabytes)).unwrap();
    let table: Vec<_> = [80, 48, 24, 16, 12]
        .map(|gigabytes| {
            let MemoryPlan { resident, slots, store, decode, .. } = of(gigabytes);
            (gigabytes, resident, slots, store, decode.together, decode.beside_transformer)
        })
        .into();
    let expected = [
        (80, 40, 0, PlannedStore::None, true, true),
        (48, 40, 0, PlannedStore::None, true, true),
        (24, 25, 2, PlannedStore::Pinned, true, false),
        (16, 13, 2, PlannedStore::Pinned, true, false),
        (12, 7, 2, PlannedStore::Pinned, false, false),
    ];
    assert_eq!(table, expected);
}

#[test]
fn a_host_without_room_has_the_blocks_in_a_file() {
    let with = |host: u64| {
        let host = host * 1_000_000_000;
        let budget = MemoryBudget { host_free: host, host_total: host, ..card(16) };
        plan(&large(), &USUAL, &budget).unwrap().store
    };
    assert_eq!(
        [64, 32, 16].map(with),
        [PlannedStore::Pinned, PlannedStore::CachedFile, PlannedStore::File,]
    );
}

#[test]
fn what_is_asked_to_be_left_free_and_the_most_that_may_be_used_both_count() {
    let resident = |budget| plan(&large(), &USUAL, &budget).unwrap().resident;
    let whole = resident(card(24));
    let capped = resident(MemoryBudget { cap: Some(16_000_000_000), ..card(24) });
    let left = resident(MemoryBudget { headroom: 9_000_000_000, ..card(24) });
    assert!(capped < whole && left < whole, "{capped} and {left} of {whole}");
}

#[test]
fn a_refusal_has_three_numbers_and_what_fits() {
    let refused = plan(&large(), &USUAL, &card(8)).unwrap_err();
    assert_eq!(refused.stage, Stage::Decode);
    let text = refused.to_string();
    assert!(text.contains("needs 7."), "{text}");
    assert!(text.contains("7.0 GB may be used, and 8.0 of 8.0 GB are free on the GPU"), "{text}");
    let SmallerTake { width, height, frames, tiled } = refused.nearest.unwrap();
    let nearest = TakeSizes { width, height, frames, tiled, ..USUAL };
    plan(&large(), &nearest, &card(8)).unwrap();
    let none = plan(&large(), &USUAL, &card(2)).unwrap_err();
    assert!(none.remedy().contains("smaller model"), "{none}");
}

proptest! {
    #[test]
    fn with_more_memory_nothing_gets_worse_and_nothing_is_over(
        free in 1u64..90_000,
        more in 0u64..20_000,
        frames in 1u32..65,
        width in 8u32..80,
        height in 8u32..45,
        guided: bool,
        is_card: bool,
    ) {
        let take = TakeSizes {
            width: 16 * width, height: 16 * height, frames: 4 * frames + 1, guided, tiled: false,
            decode_number: 4,
        };
        let model = ModelSizes { is_card, ..large() };
        let with = |megabytes: u64| MemoryBudget {
            is_card, free: megabytes * 1_000_000, ..card(90)
        };
        let (less, more) = (with(free), with(free + more));
        let (first, second) = (place(&model, &take, &less), place(&model, &take, &more));
        if let Ok(first) = &first {
            prop_assert!(first.peaks.most() <= less.device());
            let second = second.as_ref().unwrap();
            prop_assert!(second.resident >= first.resident);
            prop_assert!(second.keeps_text_keys >= first.keeps_text_keys || second.slots > first.slots);
            prop_assert!(second.streamed <= first.streamed);
        }
    }
}
