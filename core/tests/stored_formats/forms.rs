//! The rest of the list behind the table in the docs: what is no way to store a weight.

/// How files lie, what else is in them, adapters. Each with the test that
/// makes it, and the file that the test is in.
pub(crate) const FORMS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "Diffusers' folders with Hugging Face's text encoder",
        "read",
        "the same take",
        "diffusers_folders_with_hugging_face_s_text_encoder",
        REWRITES,
    ),
    (
        "ComfyUI's files, one for each part, with two complete autoencoders",
        "read",
        "the same take",
        "files_named_one_by_one_with_two_complete_autoencoders",
        REWRITES,
    ),
    (
        "LightX2V's folders of one file for each block, `block_0` and so on beside `non_block`",
        "read",
        "as one model",
        "quantized_weights_make_the_take_of_the_numbers_that_they_stand_for",
        REWRITES,
    ),
    (
        "`NAME_part1`, `NAME_part2` and so on",
        "read",
        "as one model",
        "files_in_numbered_parts_are_one_model_or_the_missing_one_is_named",
        REWRITES,
    ),
    (
        "a folder of blocks or numbered parts of which one is missing",
        "refused, exit 4",
        "“… fetch it …”",
        "files_in_numbered_parts_are_one_model_or_the_missing_one_is_named",
        REWRITES,
    ),
    (
        "`.sft`",
        "read",
        "as `.safetensors`",
        "quantized_weights_make_the_take_of_the_numbers_that_they_stand_for",
        REWRITES,
    ),
    (
        "keys after `model.diffusion_model.`, `model.`, `module.`, `dit.`, `pipe.dit.`, `transformer.`, `first_stage_model.`",
        "read",
        "as they are",
        "prefixes_that_wrap_a_network_come_off",
        NAMES,
    ),
    ("tokenizer: `tokenizer.json`", "read", "as the reference's", "tokens_and_context", REFERENCE),
    (
        "tokenizer: `spiece.model`, the tensor `spiece_model` of a text encoder",
        "read",
        "ids are SentencePiece's, but for special spellings",
        "ids_are_those_of_sentencepiece",
        PIECES,
    ),
    (
        "tokenizer: the lists of a GGUF text encoder",
        "read",
        "ids are SentencePiece's, but for special spellings",
        "so_they_are_from_the_lists_of_a_gguf_file",
        PIECES,
    ),
    (
        "tokenizer: lists of a GGUF text encoder without a map of characters",
        "read, with a warning",
        "SentencePiece's usual map stands in, but for letters that pieces have",
        "lists_without_a_map_of_characters_are_told_in_one_line",
        TOKENIZER,
    ),
    (
        "tokenizer: with more pieces than the text encoder's embedding has rows, or over 1,024 fewer",
        "refused, exit 4",
        "“… another model's tokenizer …”",
        "a_tokenizer_of_another_model",
        BAD_MODEL,
    ),
    (
        "LoRA: `lora_A`/`lora_B`, `lora_down`/`lora_up`, kohya's and musubi's `lora_unet_…`, `.alpha`",
        "read",
        "W + strength · alpha / rank · B·A",
        "every_spelling_of_a_lora_is_merged_alike",
        ADAPTERS,
    ),
    (
        "LoRA: `.diff`, `.diff_b`, `.diff_m`, `lora_B.bias`",
        "read",
        "W + strength · difference",
        "the_bias_of_a_pair_counts_as_the_pair_does",
        ADAPTERS,
    ),
    (
        "DoRA: `lora_magnitude_vector`, `dora_scale` for each row",
        "read",
        "as the authors' loader, or for a further LoRA as ComfyUI",
        "the_strength_of_a_further_lora_is_the_share_of_its_way",
        ADAPTERS,
    ),
    (
        "DoRA: `dora_scale` for each column",
        "refused, exit 4",
        "“… expected [out] …”",
        "what_is_ambiguous_in_an_adapter_is_refused",
        ADAPTERS,
    ),
    (
        "a difference beside a pair, or two spellings of one tensor",
        "refused, exit 4",
        "“… nothing says which counts …”",
        "a_difference_beside_a_pair_in_another_spelling_is_refused",
        ADAPTERS,
    ),
    (
        "a quantized adapter",
        "refused, exit 4",
        "“… int8 …”",
        "a_quantized_adapter_is_refused_and_a_narrow_float_is_not",
        ADAPTERS,
    ),
    (
        "LoRAs and transformers of Wan2.2, by their names",
        "refused, exit 4",
        "“… is of Wan2.2 …”",
        "what_is_of_wan_2_2_is_refused_by_name",
        LORAS,
    ),
];

const REWRITES: &str = "tests/rewrites.rs";
const LORAS: &str = "tests/loras.rs";
const NAMES: &str = "core/src/weights/names.rs";
const REFERENCE: &str = "core/tests/reference.rs";
const PIECES: &str = "core/src/text/sentence_piece/tests.rs";
const TOKENIZER: &str = "core/src/text/tokenizer.rs";
const BAD_MODEL: &str = "tests/bad_model.rs";
const ADAPTERS: &str = "core/src/weights/adapter/tests.rs";
