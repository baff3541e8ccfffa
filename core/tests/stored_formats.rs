//! Weights as other programs store them: the numbers that their own packages make of them, and the
//! rule that nothing quantized is read as if it were not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "stored_formats/forms.rs"]
mod forms;
#[path = "stored_formats/written.rs"]
mod written;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Kind, Tensor};
use wan_alpha_core::device::Device;
use wan_alpha_core::tch;
use wan_alpha_core::text::Tokenizer;
use wan_alpha_core::weights::{BlockFormat, Network, StoredKind, TensorFile, TensorSet, Weights};
use wan_alpha_core::{Error, ErrorKind};
use written::cases;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored_formats").join(name)
}

fn text_data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/text").join(name)
}

#[test]
fn gguf_s_blocks_are_the_numbers_of_its_own_package_to_the_bit() {
    let file = TensorFile::open(&data("blocks.gguf")).unwrap();
    let expected = TensorFile::open(&data("blocks.safetensors")).unwrap();
    let bits = |tensor: Tensor| -> Vec<u32> {
        let numbers: Vec<f32> = tensor.to_kind(Kind::Float).flatten(0, -1).try_into().unwrap();
        numbers.into_iter().map(f32::to_bits).collect()
    };
    for name in expected.names() {
        let (found, expected) =
            (file.read(Device::cpu(), name).unwrap(), expected.read(Device::cpu(), name).unwrap());
        assert_eq!(found.size(), expected.size(), "{name}");
        assert!(bits(found) == bits(expected), "{name}");
    }
    for format in BlockFormat::ALL {
        let name = format!("{format:?}");
        assert_eq!(file.entry(&name).unwrap().stored, StoredKind::Blocks(format));
    }
    assert_eq!(file.names().count(), expected.names().count() + 1);
    let refused = file.read(Device::cpu(), "Q2_K").unwrap_err().to_string();
    assert!(refused.contains("blocks.gguf") && refused.contains("found Q2_K"), "{refused}");
}

#[test]
fn a_gguf_file_that_is_cut_off_or_damaged_anywhere_ends_without_a_panic() {
    let whole = fs::read(data("blocks.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.gguf");
    let mut refused = 0;
    let mut check = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        match TensorFile::open(&path) {
            Ok(file) => file.names().for_each(|name| drop(file.read(Device::cpu(), name))),
            Err(error) => {
                assert!(error.to_string().contains("damaged.gguf"), "{error}");
                refused += 1;
            }
        }
    };
    // The header, without the data.
    let header = 1400.min(whole.len());
    for place in 4..header {
        check(&whole[..place]);
        for byte in [0x00, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[place] = byte;
            check(&damaged);
        }
    }
    assert!(refused > header, "{refused}");
}

#[test]
fn archives_of_torch_save_with_kinds_of_their_own_and_wraps_are_read() {
    let set = TensorSet::open(Network::Dit, &[data("fp8.pth")]).unwrap();
    let expected = TensorFile::open(&data("torch_saves.safetensors")).unwrap();
    for name in expected.names() {
        let found = set.read(Device::cpu(), name).unwrap().to_kind(Kind::Float);
        assert_eq!(found, expected.read(Device::cpu(), name).unwrap(), "{name}");
    }
    assert_eq!(set.names().count(), expected.names().count());
    let refused = TensorSet::open(Network::Dit, &[data("uint16.pth")]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ModelIncomplete);
    assert!(refused.to_string().contains("uint16"), "{refused}");
}

#[test]
fn comfyui_s_formats_are_the_numbers_of_its_own_package_or_refused_by_name() {
    let set = TensorSet::open(Network::Dit, &[data("comfy.safetensors")]).unwrap();
    let expected = TensorFile::open(&data("comfy_numbers.safetensors")).unwrap();
    for name in expected.names() {
        let found = set.read(Device::cpu(), name).unwrap().to_kind(Kind::Float);
        assert_eq!(found, expected.read(Device::cpu(), name).unwrap(), "{name}");
    }
    assert_eq!(expected.names().count(), 4);
    for (name, words) in [("convrot", "rotation"), ("nvfp4", "is nvfp4"), ("mxfp8", "is mxfp8")] {
        let file = format!("comfy_{name}.safetensors");
        let error = TensorSet::open(Network::Dit, &[data(&file)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelIncomplete, "{name}");
        let text = error.to_string();
        for word in [&file, "blocks.0.ffn.0", words, "fetch"] {
            assert!(text.contains(word), "{name}: `{word}` is not in: {text}");
        }
    }
}

/// What every case must become: the numbers of its weight, or a refusal in these words.
#[test]
fn every_way_of_storing_a_weight_is_read_or_refused_by_name() {
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        case.write(&path);
        let opened = TensorSet::open(Network::Dit, &[path]);
        match &case.expected {
            Ok(expected) => {
                let set = Arc::new(opened.unwrap_or_else(|error| panic!("{}: {error}", case.name)));
                let shape = expected.size();
                for kind in [Kind::Float, Kind::BFloat16] {
                    let weights = Weights::new(set.clone(), [], kind, Device::cpu());
                    let found = weights.get("blocks.0.ffn.0.weight", &shape).unwrap();
                    assert_eq!(found, expected.to_kind(kind), "{}", case.name);
                }
                let rows = set.read_rows(Device::cpu(), "blocks.0.ffn.0.weight", &[3, 0]).unwrap();
                let expected = expected.index_select(0, &Tensor::from_slice(&[3i64, 0]));
                assert_eq!(rows.to_kind(Kind::Float), expected, "{}: rows", case.name);
                let stored = set.stored("blocks.0.ffn.0.weight").unwrap().keep().unwrap();
                let mut scratch = Tensor::zeros(shape, (Kind::Float, tch::Device::Cpu));
                stored.dequantize_into(&mut scratch).unwrap();
                assert_eq!(
                    scratch.narrow(0, 0, 1),
                    expected.narrow(0, 1, 1),
                    "{}: kept",
                    case.name
                );
                assert!(set.foreign().is_empty(), "{}: {:?}", case.name, set.foreign());
                assert!(set.unused().is_empty(), "{}: {:?}", case.name, set.unused());
            }
            Err(words) => {
                let error = opened.err().unwrap_or_else(|| panic!("{} is read", case.name));
                assert_eq!(error.kind(), ErrorKind::ModelIncomplete, "{}", case.name);
                assert!(matches!(error, Error::WeightFormat(_)), "{}: {error:?}", case.name);
                let text = error.to_string();
                let always = ["weights.safetensors", "blocks.0.ffn.0", "fetch"];
                for word in always.iter().chain(words) {
                    assert!(text.contains(word), "{}: `{word}` is not in: {text}", case.name);
                }
            }
        }
    }
}

/// The rule goes for every network, not for the transformer alone.
#[test]
fn integers_and_marks_that_nothing_uses_are_refused_in_every_network() {
    for (network, key) in [
        (Network::Dit, "blocks.0.ffn.0.weight"),
        (Network::Umt5, "blocks.0.attn.q.weight"),
        (Network::Vae, "decoder.middle.0.residual.2.weight"),
        (Network::Merge, "middle.block.conv1.weight"),
        (Network::Clip, "visual.transformer.0.mlp.0.weight"),
    ] {
        let int8 = Tensor::ones([8, 32], (Kind::Int8, tch::Device::Cpu));
        let scale = Tensor::from(0.5f32);
        let more = |end: &str| key.replace(".weight", end);
        for (tensors, words) in [
            (vec![(key.to_owned(), &int8)], "without a scale"),
            (
                vec![
                    (key.to_owned(), &int8),
                    (more(".weight_scale"), &scale),
                    (more(".weight_zero_point"), &scale),
                ],
                "weight_zero_point",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("weights.safetensors");
            Tensor::write_safetensors(&tensors, &path).unwrap();
            let error = TensorSet::open(network, &[path]).unwrap_err();
            assert!(matches!(error, Error::WeightFormat(_)), "{network:?}: {error:?}");
            assert_eq!(error.kind(), ErrorKind::ModelIncomplete, "{network:?}");
            let text = error.to_string();
            for word in ["weights.safetensors", &more(""), words, "fetch"] {
                assert!(text.contains(word), "{network:?}: `{word}` is not in: {text}");
            }
        }
    }
}

#[test]
fn the_table_of_formats_in_the_docs_is_that_of_these_cases() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/models-and-memory.md");
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- formats: begin -->\n", "<!-- formats: end -->");
    let (before, rest) = text.split_once(begin).expect("a place for the table");
    let (found, after) = rest.split_once(end).expect("an end of the table");
    let table = written::table();
    if std::env::var_os("WAN_ALPHA_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert!(found == table, "write it anew with WAN_ALPHA_WRITE_DOCS=1; it should be\n{table}");
    }
}

/// Int8 of whatever network is multiplied by its scale; without one it is refused, and so is a second scale.
#[test]
fn int8_with_a_scale_is_read_in_every_network_and_refused_without() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let int8 = Tensor::arange(32, (Kind::Int8, tch::Device::Cpu)).view([8, 4, 1, 1, 1]);
    let scale = Tensor::from_slice(&[0.5f32; 8]).view([8, 1]);
    for (network, module) in [
        (Network::Dit, "patch_embedding"),
        (Network::Umt5, "blocks.0.ffn.fc1"),
        (Network::Vae, "decoder.middle.0.residual.2"),
        (Network::Merge, "middle.block.conv1"),
        (Network::Clip, "vision_model.encoder.layers.0.mlp.fc1"),
    ] {
        let name = format!("{module}.weight");
        let open = |marks: &[&str]| {
            let marks = marks.iter().map(|mark| (format!("{module}.{mark}"), scale.copy()));
            let tensors: Vec<_> = marks.chain([(name.clone(), int8.copy())]).collect();
            Tensor::write_safetensors(&tensors, &path).unwrap();
            TensorSet::open(network, std::slice::from_ref(&path))
        };
        let set = open(&["weight_scale"]).unwrap();
        let found = set.read(Device::cpu(), &name).unwrap();
        assert_eq!(found, int8.to_kind(Kind::Float) * 0.5, "{network:?}");
        for (marks, words) in [
            (&[][..], "without a scale"),
            (&["weight_scale", "weight_scale_2"], "of a kind that is not read (NVFP4)"),
        ] {
            let text = open(marks).unwrap_err().to_string();
            assert!(text.contains(&name[..module.len()]) && text.contains(words), "{text}");
        }
    }
}

/// What a row names as its test must be one.
#[test]
fn every_form_of_the_table_has_its_test() {
    for (row, _, _, test, file) in forms::FORMS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("fn {test}()")), "{row}: {test} is not in {file}");
    }
}

/// A generator of numbers, the same in every run of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most.max(1) as u64) as usize
    }

    /// Damages a file near its beginning, or some bytes of it anywhere.
    fn damage_anywhere(&mut self, whole: &[u8]) -> Vec<u8> {
        if self.below(2) == 0 {
            return self.damage(whole);
        }
        let mut bytes = whole.to_vec();
        for _ in 0..=self.below(30) {
            let place = self.below(bytes.len());
            bytes[place] = self.below(256) as u8;
        }
        bytes
    }

    /// Damages a file here and there.
    fn damage(&mut self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        // Headers are short, and what follows are numbers.
        let reach = bytes.len().min(1600);
        for _ in 0..=self.below(4) {
            let place = self.below(reach.min(bytes.len()));
            let large = [u64::MAX, 1 << 63, 1 << 40, 1 << 31, 0, 255][self.below(6)].to_le_bytes();
            match self.below(5) {
                0 => bytes.truncate(place),
                1 => bytes.splice(place..place, large).for_each(drop),
                2 => {
                    let end = (place + 8).min(bytes.len());
                    bytes[place..end].copy_from_slice(&large[..end - place]);
                }
                3 if !bytes.is_empty() => drop(bytes.remove(place)),
                _ if !bytes.is_empty() => bytes[place] ^= 1 << self.below(8),
                _ => {}
            }
        }
        bytes
    }
}

/// A prompt with what a tokenizer's map of characters, blanks and bytes are for.
const PROMPT: &str = "Ｆｕｌｌ ﬁre e\u{301} \u{3000}透明 😀 <pad>";

#[test]
fn damaged_lists_of_a_tokenizer_end_in_words_or_a_tokenizer() {
    let whole = fs::read(text_data("sentence_piece.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.gguf");
    let mut random = Random(7);
    let mut refused = 0;
    for _ in 0..300 {
        fs::write(&path, random.damage_anywhere(&whole)).unwrap();
        match Tokenizer::open(&path) {
            Ok(tokenizer) => drop(tokenizer.encode(PROMPT)),
            Err(error) => {
                assert!(error.to_string().contains("damaged.gguf"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 30, "{refused}");
}

#[test]
#[ignore = "minutes, by hand: WAN_ALPHA_FUZZ_SECONDS=600 WAN_ALPHA_FUZZ_FILES=gguf cargo test -p wan-alpha-core --test stored_formats -- --ignored"]
fn whatever_is_done_to_a_file_it_ends_without_a_panic() {
    let seconds = std::env::var("WAN_ALPHA_FUZZ_SECONDS").map_or(60, |text| text.parse().unwrap());
    // All of them, where none is named.
    let wanted = std::env::var("WAN_ALPHA_FUZZ_FILES").unwrap_or_default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    let configured = ["comfy_quant float8_e4m3fn", "metadata float8_e4m3fn"].map(|name| {
        let path = folder.path().join(format!("{name}.safetensors"));
        cases().iter().find(|case| case.name == name).unwrap().write(&path);
        path
    });
    let pieces = ["sentence_piece.model", "sentence_piece.gguf"].map(text_data);
    let corpus: Vec<_> = ["blocks.gguf", "fp8.pth", "uint16.pth"]
        .into_iter()
        .map(data)
        .chain(configured)
        .chain(pieces)
        .filter(|path| path.to_string_lossy().contains(&wanted))
        .map(|path| (path.to_string_lossy().contains("sentence_piece"), fs::read(path).unwrap()))
        .collect();
    let mut random = Random(19);
    let begun = std::time::Instant::now();
    let (mut files, mut opened) = (0u64, 0u64);
    let memory = peak_memory();
    while begun.elapsed().as_secs() < seconds {
        let (is_tokenizer, whole) = &corpus[random.below(corpus.len())];
        let damaged =
            if *is_tokenizer { random.damage_anywhere(whole) } else { random.damage(whole) };
        fs::write(&path, &damaged).unwrap();
        files += 1;
        let of_file = std::time::Instant::now();
        opened += u64::from(look(&path, *is_tokenizer));
        let (took, more) = (of_file.elapsed(), peak_memory().saturating_sub(memory));
        if took.as_secs() >= 5 || more > 1 << 30 {
            let kept = std::env::temp_dir().join(format!("wan-alpha-fuzz-{wanted}-{files}"));
            fs::write(&kept, damaged).unwrap();
            panic!("{} takes {took:?}, {more} bytes", kept.display());
        }
    }
    let more = peak_memory().saturating_sub(memory) >> 20;
    println!("{files} files, {opened} of them opened; {more} MB at most");
    assert!(opened > 0 && opened < files);
}

/// Reads all that there is in a file; whether it is one.
fn look(path: &Path, is_tokenizer: bool) -> bool {
    if is_tokenizer {
        return Tokenizer::open(path).map(|tokenizer| drop(tokenizer.encode(PROMPT))).is_ok();
    }
    let Ok(file) = TensorFile::open(path) else { return false };
    file.names().for_each(|name| drop(file.read(Device::cpu(), name)));
    let _ = TensorSet::open(Network::Dit, &[path.to_owned()]);
    true
}

/// The most memory that this process has held, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1024
}
