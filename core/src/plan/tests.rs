use proptest::prelude::*;

use super::*;

/// Sizes of the released transformer of 14 billion parameters, in bfloat16.
fn large() -> ModelSizes {
    ModelSizes {
        layers: 40,
        block: 703_000_000,
        form: 0,
        fixed: 840_000_000,
        widened: 0,
        maps_blocks: false,
        mapped: 0,
        number: 2,
        dim: 5120,
        ffn: 13_824,
        heads: 40,
        text_length: 512,
        text_block: 386_000_000,
        text_heads: 64,
        text_dim: 4096,
        text_ffn: 10_240,
        adapters: 0,
        decoder: 293_000_000,
        decoder_dim: 96,
        encoder: 0,
        image_layer: 0,
        image_tokens: 0,
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
    images: 0,
};

/// A card of so many gigabytes, of which nobody uses any, in a host of 64 GB.
fn card(gigabytes: u64) -> MemoryBudget {
    MemoryBudget {
        is_card: true,
        free: gigabytes * 1_000_000_000,
        total: gigabytes * 1_000_000_000,
        headroom: Headroom::CARD,
        cap: None,
        cap_by: CapSource::Variable,
        host_free: 60_000_000_000,
        host_total: 64_000_000_000,
    }
}

#[test]
fn a_card_of_each_size_has_its_plan() {
    let of = |gigabytes| plan(&large(), &USUAL, &card(gigabytes)).unwrap();
    let table: Vec<_> = [80, 48, 24, 16, 12, 8]
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
        (12, 7, 2, PlannedStore::Pinned, true, false),
        (8, 2, 2, PlannedStore::Pinned, false, false),
    ];
    assert_eq!(table, expected);
}

#[test]
fn a_processor_uses_blocks_where_the_system_keeps_their_file() {
    let budget = |free: u64, host: u64| MemoryBudget {
        is_card: false,
        free: free * 1_000_000_000,
        host_free: host * 1_000_000_000,
        ..card(64)
    };
    let slots = ModelSizes { is_card: false, ..large() };
    let mapped = ModelSizes { maps_blocks: true, mapped: 750_000_000, ..slots.clone() };
    let [copied, used] =
        [&slots, &mapped].map(|model| plan(model, &USUAL, &budget(12, 60)).unwrap());
    assert_eq!((copied.store, used.store), (PlannedStore::CachedFile, PlannedStore::MappedFile));
    assert_eq!((used.resident, used.streamed), (copied.resident, copied.streamed));
    // Neither slots nor what lies beside the blocks as it is computed with.
    assert_eq!(copied.peaks.sample - used.peaks.sample, 2 * 703_000_000 + 750_000_000);
    assert!(used.to_string().contains("are used where the system keeps their file"), "{used}");
    // Where there is no room for the file, it is read past the cache.
    let read = plan(&mapped, &USUAL, &budget(12, 32)).unwrap();
    assert_eq!((read.store, read.peaks), (PlannedStore::File, copied.peaks));
}

/// Of a take of 832×480×81 in 4 steps by the released model on a card that computes so many TFLOP/s of dense
/// bfloat16 by its maker's table, and has so many gigabytes: sampling, and decoding in bfloat16.
///
/// 1,678 TFLOP a pass and 551 of both decoders; large products and fused attention reach 0.78 of the table,
/// convolutions 0.6 of it; blocks come at 25 GB/s (PCIe 4.0 ×16, from pinned memory).
fn computed_seconds(teraflops: f64, gigabytes: u64) -> [f64; 2] {
    let plan = plan(&large(), &USUAL, &card(gigabytes)).unwrap();
    let pass = plan.pass_seconds(1678.0 / (0.78 * teraflops), 25e9);
    [4.0 * pass, 551.0 / (0.6 * teraflops)]
}

#[test]
fn times_for_cards_that_nobody_here_has_are_what_the_documents_say() {
    // RTX 4090, within 16 of its 24 GB; RTX 5080.
    for (teraflops, gigabytes, said) in [(165.0, 16, [52.0, 6.0]), (112.6, 16, [76.0, 8.0])] {
        let computed = computed_seconds(teraflops, gigabytes);
        for (computed, said) in computed.into_iter().zip(said) {
            assert!((computed - said).abs() <= 0.5, "{computed} for {said}");
        }
    }
    // Blocks that come are hidden behind computing, from memory and from a disk of 3 GB/s.
    let plan = plan(&large(), &USUAL, &card(16)).unwrap();
    let computing = 1678.0 / (0.78 * 165.0);
    assert_eq!(plan.pass_seconds(computing, 25e9), computing);
    assert_eq!(plan.pass_seconds(computing, 3e9), computing);
    assert!(plan.pass_seconds(computing, 1e9) > computing);
}

/// Of the 14B model in q4_k: 8.5 GB of blocks, and 0.94 GB of DoRA and 4-step LoRA beside them.
#[test]
fn adapters_beside_quantized_blocks_are_read_once_where_that_costs_nothing_its_place() {
    let quantized =
        ModelSizes { block: 198_000_000, form: 703_000_000, adapters: 940_000_000, ..large() };
    let of = |gigabytes| plan(&quantized, &USUAL, &card(gigabytes)).unwrap();
    let roomy = of(24);
    assert!(roomy.keeps_adapters && roomy.adapters_read == 0 && roomy.slots == 0, "{roomy:?}");
    let without = plan(&ModelSizes { adapters: 0, ..quantized }, &USUAL, &card(24)).unwrap();
    assert_eq!(roomy.peaks.sample, without.peaks.sample + 940_000_000);
    // Where not all blocks stay, they have the room.
    let narrow = of(10);
    assert!(!narrow.keeps_adapters && narrow.slots > 0, "{narrow:?}");
    let said = narrow.to_string();
    assert!(
        said.contains(", 940 MB of adapters are read from their files in every pass"),
        "{said}"
    );
    for gigabytes in 8..40 {
        let plain =
            plan(&ModelSizes { adapters: 0, ..quantized }, &USUAL, &card(gigabytes)).unwrap();
        let with = of(gigabytes);
        assert_eq!((with.resident, with.decode), (plain.resident, plain.decode), "{gigabytes}");
        assert!(with.peaks.most() <= card(gigabytes).device());
    }
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
fn a_refusal_has_its_numbers_and_what_fits() {
    let refused = plan(&large(), &USUAL, &card(7)).unwrap_err();
    assert_eq!(refused.stage, Stage::Decode);
    let text = refused.to_string();
    assert!(
        text.contains("needs 6.") && text.contains("GB of the transformer are let go of"),
        "{text}"
    );
    let why = "6.0 GB may be used: 7.0 GB of 7.0 GB are free on the GPU, and WAN_ALPHA_HEADROOM leaves 1.0 GB";
    assert!(text.contains(why), "{text}");
    let SmallerTake { width, height, frames, tiled } = refused.nearest.unwrap();
    let nearest = TakeSizes { width, height, frames, tiled, ..USUAL };
    plan(&large(), &nearest, &card(7)).unwrap();
    let none = plan(&large(), &USUAL, &card(2)).unwrap_err();
    assert!(none.remedy().contains("smaller model"), "{none}");
    let text = none.to_string();
    assert!(text.contains("GB of it for weights of the transformer"), "{text}");
}

#[test]
fn a_refusal_names_what_limits_and_its_remedy_sets_just_that() {
    let usual = TakeSizes { decode_number: 4, ..USUAL };
    let refusal = |budget: MemoryBudget| plan(&large(), &usual, &budget).unwrap_err();
    let gigabytes = |number: f64| (number * 1e9) as u64;
    let capped = |cap, cap_by| MemoryBudget { cap: Some(gigabytes(cap)), cap_by, ..card(80) };
    for (source, name) in [
        (CapSource::Variable, "WAN_ALPHA_MEMORY"),
        (CapSource::Flag, "`--memory`"),
        (CapSource::Parameter, "*Memory*"),
    ] {
        let refused = refusal(capped(1.2, source));
        let text = refused.to_string();
        let why = format!(
            "600 MB may be used: {name} is 1.2 GB, of which the process itself takes 600 MB; "
        );
        assert!(text.contains(&why) && text.contains("80.0 GB of 80.0 GB are free"), "{text}");
        assert!(refused.remedy().contains(&format!("set {name} to ")), "{}", refused.remedy());
    }
    // What the remedy says is enough for the stage that was refused.
    let refused = refusal(capped(6.0, CapSource::Variable));
    let enough = number_after(&refused.remedy(), "WAN_ALPHA_MEMORY");
    assert!(capped(enough, CapSource::Variable).device() >= refused.needed);
    let refused = refusal(MemoryBudget { headroom: gigabytes(5.0), ..card(10) });
    assert!(refused.to_string().contains("leaves 5.0 GB of them to others"), "{refused}");
    let headroom = gigabytes(number_after(&refused.remedy(), "WAN_ALPHA_HEADROOM"));
    assert!(MemoryBudget { headroom, ..card(10) }.device() >= refused.needed);
    let refused = refusal(card(4));
    assert!(refused.remedy().contains("free memory of the GPU"), "{}", refused.remedy());
    let none_left = refusal(MemoryBudget { free: 0, headroom: 0, ..card(4) });
    assert!(none_left.to_string().contains("0 MB may be used: 0 MB of 4.0 GB are free on the GPU"));
}

/// The number that a remedy says to set a limit to.
fn number_after(text: &str, name: &str) -> f64 {
    let rest = text.split_once(&format!("set {name} to ")).unwrap().1;
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// A limit of so many gigabytes set by `--memory`, on a card of 80 GB or a machine of as many.
fn limited(gigabytes: f64, is_card: bool) -> MemoryBudget {
    let cap = Some((gigabytes * 1e9).round() as u64);
    MemoryBudget { is_card, cap, cap_by: CapSource::Flag, ..card(80) }
}

#[test]
fn the_limit_that_a_refusal_names_is_enough_for_every_stage() {
    let one_block = ModelSizes { layers: 1, ..large() };
    let wide_text = ModelSizes { text_block: 9_000_000_000, ..large() };
    for model in [large(), one_block, wide_text] {
        for (gigabytes, is_card) in [(0.1, true), (0.3, false), (1.2, true), (3.0, false)] {
            let model = ModelSizes { is_card, ..model.clone() };
            let refused = plan(&model, &USUAL, &limited(gigabytes, is_card)).unwrap_err();
            let enough = number_after(&refused.remedy(), "`--memory`");
            plan(&model, &USUAL, &limited(enough, is_card)).unwrap();
            // And no more than is needed.
            plan(&model, &USUAL, &limited(enough - 0.1, is_card)).unwrap_err();
        }
    }
    // What is free has to do for it too.
    let little = MemoryBudget { free: 3_000_000_000, ..limited(1.2, false) };
    let refused = plan(&ModelSizes { is_card: false, ..large() }, &USUAL, &little).unwrap_err();
    assert!(refused.remedy().contains(" or more and free memory"), "{}", refused.remedy());
}

#[test]
fn no_smaller_take_is_said_to_fit_only_where_none_does() {
    let model = ModelSizes { block: 1_000_000, fixed: 2_000_000, text_block: 1_000_000, ..large() };
    let own = TakeSizes { width: 96, height: 96, frames: 17, ..USUAL };
    for is_card in [true, false] {
        let model = ModelSizes { is_card, ..model.clone() };
        // Just enough for what the model itself asks for.
        let budget = MemoryBudget { is_card, free: least(&model, &own), headroom: 0, ..card(80) };
        plan(&model, &own, &budget).unwrap();
        let refused = plan(&model, &USUAL, &budget).unwrap_err();
        let SmallerTake { width, height, frames, tiled } = refused.nearest.unwrap();
        plan(&model, &TakeSizes { width, height, frames, tiled, ..USUAL }, &budget).unwrap();
        assert!(!refused.remedy().contains("no smaller take"), "{}", refused.remedy());
    }
    let smallest = TakeSizes { width: 16, height: 16, frames: 1, tiled: true, ..USUAL };
    let fits = |take: &TakeSizes| *take == smallest;
    for (width, height) in [(832, 480), (4096, 16), (16, 16_384)] {
        let asked = TakeSizes { width, height, ..USUAL };
        assert!(refusal::nearest(&asked, fits).is_some(), "{width}×{height}");
    }
}

#[test]
fn a_limit_below_what_the_process_takes_is_told_as_that() {
    for (is_card, process) in [(true, "600 MB"), (false, "350 MB")] {
        let model = ModelSizes { is_card, ..large() };
        let refused = plan(&model, &USUAL, &limited(0.3, is_card)).unwrap_err();
        let text = refused.to_string();
        let why =
            format!("`--memory` is 300 MB, less than the {process} that the process alone needs; ");
        assert!(text.contains(&why), "{text}");
        let remedy = refused.remedy();
        assert!(remedy.starts_with("no take fits into that: set `--memory` to "), "{remedy}");
        assert!(!remedy.contains("smaller model"), "{remedy}");
    }
}

#[test]
fn a_single_frame_is_what_fits_where_no_film_does() {
    let model = large();
    let fits = |take: &TakeSizes| take.frames == 1 && take.width <= 208;
    let nearest = refusal::nearest(&USUAL, fits).unwrap();
    assert_eq!((nearest.width, nearest.height, nearest.frames), (208, 112, 1));
    // A film of another size comes before it.
    let fits = |take: &TakeSizes| take.frames == 1 || take.width <= 208;
    assert_eq!(refusal::nearest(&USUAL, fits).unwrap().frames, 81);
    // Of one frame a smaller one.
    let one = TakeSizes { frames: 1, width: 4096, height: 4096, tiled: true, ..USUAL };
    let refused = plan(&model, &one, &card(6)).unwrap_err();
    let SmallerTake { width, frames, .. } = refused.nearest.unwrap();
    assert!(frames == 1 && width < 4096, "{width}");
    assert!(refused.remedy().contains("with 1 frame"), "{}", refused.remedy());
}

#[test]
fn sizes_are_told_in_the_unit_that_shows_them() {
    use super::budget::rounded_down;
    let told = |bytes| (rounded_down(bytes), rounded_up(bytes));
    let expected = |down: &str, up: &str| (down.to_owned(), up.to_owned());
    assert_eq!(told(0), expected("0 MB", "0 MB"));
    assert_eq!(told(49_500_000), expected("49 MB", "50 MB"));
    assert_eq!(told(999_999_999), expected("999 MB", "1.0 GB"));
    assert_eq!(told(7_040_000_000), expected("7.0 GB", "7.1 GB"));
    let draft = ModelSizes { block: 1_000_000, fixed: 2_000_000, text_block: 1_000_000, ..large() };
    let plan =
        plan(&draft, &TakeSizes { width: 96, height: 96, frames: 17, ..USUAL }, &card(80)).unwrap();
    assert!(!plan.to_string().contains("0.0") && plan.to_string().contains(" MB"), "{plan}");
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
        mapped: bool,
    ) {
        let take = TakeSizes {
            width: 16 * width, height: 16 * height, frames: 4 * frames + 1, guided, tiled: false,
            decode_number: 4, images: 0,
        };
        let model = ModelSizes { is_card, maps_blocks: !is_card && mapped, mapped: 800_000_000, ..large() };
        let with = |megabytes: u64| MemoryBudget {
            is_card, free: megabytes * 1_000_000, ..card(90)
        };
        let (less, more) = (with(free), with(free + more));
        let (first, second) = (place(&model, &take, &less), place(&model, &take, &more));
        prop_assert_eq!(first.is_ok(), less.device() >= least(&model, &take));
        if let Ok(first) = &first {
            prop_assert!(first.peaks.most() <= less.device());
            let second = second.as_ref().unwrap();
            prop_assert!(second.resident >= first.resident);
            prop_assert!(second.keeps_text_keys >= first.keeps_text_keys || second.slots > first.slots);
            prop_assert!(second.streamed <= first.streamed);
        }
    }
}
