//! Ways to store a weight, written from their descriptions: what each must be read as, or the words that
//! refuse it. The table in the docs is made of this list.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wan_alpha_core::tch::{Device, Kind, Tensor};
use wan_alpha_core::weights::BlockFormat;

use crate::forms::FORMS;

const MODULE: &str = "blocks.0.ffn.0";
/// Sizes of the weight.
const ROWS: i64 = 8;
const WIDTH: i64 = 128;

/// A tensor as a file has it.
#[derive(Clone)]
pub(crate) struct Written {
    key: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Written {
    fn of(key: &str, tensor: &Tensor) -> Self {
        let dtype = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::BFloat16 => Dtype::BF16,
            Kind::Int8 => Dtype::I8,
            Kind::Uint8 => Dtype::U8,
            Kind::Int16 => Dtype::I16,
            Kind::Float8e4m3fn => Dtype::F8_E4M3,
            Kind::Float8e5m2 => Dtype::F8_E5M2,
            other => panic!("{other:?} is not written"),
        };
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        let flat = tensor.contiguous().view([-1]).view_dtype(Kind::Uint8);
        Self { key: key.to_owned(), dtype, shape, bytes: flat.try_into().unwrap() }
    }

    fn named(name: &str, tensor: &Tensor) -> Self {
        Self::of(&format!("{MODULE}.{name}"), tensor)
    }

    fn raw(name: &str, dtype: Dtype, shape: &[usize]) -> Self {
        let bytes = vec![0x11; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        Self { key: format!("{MODULE}.{name}"), dtype, shape: shape.to_vec(), bytes }
    }

    fn text(name: &str, text: &str) -> Self {
        Self {
            key: format!("{MODULE}.{name}"),
            dtype: Dtype::U8,
            shape: vec![text.len()],
            bytes: text.as_bytes().to_vec(),
        }
    }
}

/// One way to store the weight.
pub(crate) struct Case {
    /// What the docs call it; ways that differ in spelling alone share it.
    row: &'static str,
    pub(crate) name: String,
    tensors: Vec<Written>,
    remark: Option<String>,
    pub(crate) expected: Result<Tensor, Vec<&'static str>>,
}

impl Case {
    pub(crate) fn write(&self, path: &Path) {
        let views = self.tensors.iter().map(|tensor| {
            let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap();
            (tensor.key.clone(), view)
        });
        let remarks = self
            .remark
            .clone()
            .map(|remark| HashMap::from([("_quantization_metadata".to_owned(), remark)]));
        safetensors::serialize_to_file(views, remarks, path).unwrap();
    }

    fn read(row: &'static str, name: String, tensors: Vec<Written>, expected: Tensor) -> Self {
        Self { row, name, tensors, remark: None, expected: Ok(expected) }
    }

    fn refused(row: &'static str, tensors: Vec<Written>, words: &[&'static str]) -> Self {
        Self { row, name: row.to_owned(), tensors, remark: None, expected: Err(words.to_vec()) }
    }

    fn remarked(self, remark: &str) -> Self {
        Self { remark: Some(remark.to_owned()), ..self }
    }
}

/// Numbers between −1 and 1 that no two rows share.
fn numbers() -> Tensor {
    let numbers = (0..ROWS * WIDTH).map(|n| ((n * 37 + n / 128 * 11) % 201 - 100) as f32 / 100.0);
    Tensor::from_slice(&numbers.collect::<Vec<_>>()).view([ROWS, WIDTH])
}

/// The numbers over their scales in a kind of 8 bits, and multiplied by them again.
fn quantized(kind: Kind, scales: &Tensor) -> (Tensor, Tensor) {
    let wide = wide(scales);
    let scaled = numbers() / &wide;
    let scaled = if kind == Kind::Int8 { scaled.round().clamp(-127, 127) } else { scaled };
    let stored = scaled.to_kind(kind);
    let expected = stored.to_kind(Kind::Float) * wide;
    (stored, expected)
}

/// Scales repeated over the numbers that they are for.
fn wide(scales: &Tensor) -> Tensor {
    let scales = scales.to_kind(Kind::Float);
    let [down, across] = match scales.size()[..] {
        [] => [1, 1],
        [down] => [down, 1],
        [down, across, ..] => [down, across],
    };
    let matrix = scales.view([down, across]);
    let repeat = |matrix: Tensor, times: i64, axis: i64| {
        matrix.repeat_interleave_self_int(times, axis, None::<i64>)
    };
    repeat(repeat(matrix, ROWS / down, 0), WIDTH / across, 1)
}

fn scales(shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>();
    let numbers: Vec<f32> = (0..count).map(|n| 0.0175 + 0.002 * (n % 7) as f32).collect();
    Tensor::from_slice(&numbers).view(shape)
}

const KINDS: [Kind; 3] = [Kind::Float8e4m3fn, Kind::Float8e5m2, Kind::Int8];

/// Every way, those that are read first.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = plain();
    cases.extend(scaled());
    cases.extend(configured());
    cases.extend(lacking());
    cases.extend(foreign());
    cases.extend(unread_configurations());
    cases
}

fn plain() -> Vec<Case> {
    let plain = |kind: Kind| {
        let stored = numbers().to_kind(kind);
        let expected = stored.to_kind(Kind::Float);
        let row = "fp8 (e4m3fn, e5m2) without any scale or mark in the file: a plain cast";
        Case::read(
            row,
            format!("{kind:?} alone"),
            vec![Written::named("weight", &stored)],
            expected,
        )
    };
    vec![plain(Kind::Float8e4m3fn), plain(Kind::Float8e5m2)]
}

fn scaled() -> Vec<Case> {
    let mut cases = Vec::new();
    let layouts: [(&'static str, &[&[i64]]); 4] = [
        ("fp8 (e4m3fn, e5m2) and int8, one scale", &[&[], &[1], &[1, 1]]),
        ("fp8 (e4m3fn, e5m2) and int8, a scale for each row", &[&[8], &[8, 1]]),
        ("fp8 (e4m3fn, e5m2) and int8, a scale for each block", &[&[2, 32], &[2, 1], &[8, 8]]),
        ("fp8 (e4m3fn, e5m2) and int8, a scale for each group of a row", &[&[8, 4, 1], &[8, 2]]),
    ];
    let spellings = ["weight_scale", "scale_weight", "weight_scale_inv", "weight._scale"];
    for kind in KINDS {
        for (row, shapes) in layouts {
            for (shape, spelling) in shapes.iter().flat_map(|shape| spellings.map(|s| (shape, s))) {
                let (stored, expected) = quantized(kind, &scales(shape));
                let quanto = spelling == "weight._scale";
                let mut tensors = vec![
                    Written::named(if quanto { "weight._data" } else { "weight" }, &stored),
                    Written::named(spelling, &scales(shape)),
                    Written::named("input_scale", &scales(&[])),
                ];
                if spelling == "scale_weight" && kind != Kind::Int8 {
                    let mark = Tensor::zeros([2], (Kind::Float, Device::Cpu));
                    tensors.push(Written::of("scaled_fp8", &mark.to_kind(kind)));
                    tensors.push(Written::named("scale_input", &scales(&[])));
                }
                let name = format!("{kind:?} {spelling} {shape:?}");
                cases.push(Case::read(row, name, tensors, expected));
            }
        }
    }
    // LightX2V's converter writes scales in the kind that the weights had.
    let narrow = scales(&[8, 1]).to_kind(Kind::BFloat16);
    let (stored, expected) = quantized(Kind::Int8, &narrow);
    let tensors = vec![Written::named("weight", &stored), Written::named("weight_scale", &narrow)];
    let row = "the same with scales in bf16 or fp16, as LightX2V's converter writes them";
    cases.push(Case::read(row, "scales in bf16".into(), tensors, expected));
    cases
}

fn configured() -> Vec<Case> {
    let formats = [
        ("float8_e4m3fn", Kind::Float8e4m3fn),
        ("float8_e5m2", Kind::Float8e5m2),
        ("int8_tensorwise", Kind::Int8),
    ];
    let row = "ComfyUI's `comfy_quant` and `_quantization_metadata`: float8_e4m3fn, float8_e5m2, int8_tensorwise";
    formats
        .into_iter()
        .flat_map(|(format, kind)| {
            let (stored, expected) = quantized(kind, &scales(&[]));
            let tensors = vec![Written::named("weight", &stored), Written::named("weight_scale", &scales(&[]))];
            let configuration = format!(
                r#"{{"format": "{format}", "full_precision_matrix_mult": true, "convrot": false}}"#
            );
            let mut marked = tensors.clone();
            marked.push(Written::text("comfy_quant", &configuration));
            let list = format!(
                r#"{{"format_version": "1.0", "layers": {{"model.diffusion_model.{MODULE}": {configuration}}}}}"#
            );
            [
                Case::read(row, format!("comfy_quant {format}"), marked, expected.copy()),
                Case::read(row, format!("metadata {format}"), tensors, expected).remarked(&list),
            ]
        })
        .collect()
}

/// What is quantized and lacks what it needs, or has what nothing would use.
fn lacking() -> Vec<Case> {
    let (fp8, int8) =
        (numbers().to_kind(Kind::Float8e4m3fn), (numbers() * 100).to_kind(Kind::Int8));
    let weight = |tensor: &Tensor| Written::named("weight", tensor);
    let scale = |shape: &[i64]| Written::named("weight_scale", &scales(shape));
    let other = Written::of("blocks.0.ffn.2.weight", &fp8);
    let other_scale = Written::of("blocks.0.ffn.2.weight_scale", &scales(&[]));
    let mark = Written::of("scaled_fp8", &Tensor::zeros([2], (Kind::Float, Device::Cpu)));
    vec![
        Case::refused("int8 without a scale", vec![weight(&int8)], &["int8", "without a scale"]),
        Case::refused(
            "uint8, int16 and other integers",
            vec![weight(&int8.to_kind(Kind::Int16)), scale(&[])],
            &["int16", "integers"],
        ),
        Case::refused(
            "fp8 without a scale beside weights that have one",
            vec![weight(&fp8), other, other_scale],
            &["fp8 (e4m3fn)", "has no scale"],
        ),
        Case::refused(
            "fp8 without a scale under a mark of scaled fp8",
            vec![weight(&fp8), mark],
            &["fp8 (e4m3fn)", "has no scale"],
        ),
        Case::refused(
            "a scale of a weight that is not quantized",
            vec![weight(&numbers().to_kind(Kind::BFloat16)), scale(&[])],
            &["weight_scale", "nothing would use it"],
        ),
        Case::refused("a scale without its weight", vec![scale(&[])], &["weight_scale", "missing"]),
        Case::refused(
            "scales that fit neither rows nor blocks, or are for columns",
            vec![weight(&fp8), scale(&[3, 5])],
            &["weight_scale", "[3, 5]", "[8, 128]"],
        ),
        Case::refused(
            "scales that fit neither rows nor blocks, or are for columns",
            vec![weight(&fp8), scale(&[1, 128])],
            &["weight_scale", "[1, 128]"],
        ),
        Case::refused(
            "scales in uint8 or fp8, as MXFP8 and NVFP4 have them",
            vec![weight(&fp8), Written::raw("weight_scale", Dtype::U8, &[8, 4])],
            &["weight_scale", "uint8", "scales of a kind"],
        ),
        Case::refused(
            "scales in uint8 or fp8, as MXFP8 and NVFP4 have them",
            vec![weight(&fp8), Written::raw("weight_scale", Dtype::F8_E8M0, &[8, 4])],
            &["weight_scale", "F8_E8M0"],
        ),
        Case::refused(
            "numbers of 4 or 6 bits in safetensors",
            vec![Written::raw("weight", Dtype::F4, &[8, 128])],
            &["F4", "not read"],
        ),
    ]
}

/// Marks of formats that are not read.
fn foreign() -> Vec<Case> {
    let int8 = Written::named("weight", &(numbers() * 100).to_kind(Kind::Int8));
    let scale = Written::named("weight_scale", &scales(&[]));
    let marked = |row, name: &str| {
        let tensors = vec![int8.clone(), scale.clone(), Written::named(name, &scales(&[8, 1]))];
        (row, tensors)
    };
    let rows = [
        (marked("a zero point", "weight_zero_point"), "weight_zero_point"),
        (marked("Quanto's `_shift`", "weight._shift"), "weight._shift"),
        (marked("NVFP4's second scale", "weight_scale_2"), "weight_scale_2"),
        (marked("NVFP4's second scale", "weight_global_scale"), "weight_global_scale"),
        (marked("bitsandbytes (nf4, int8)", "weight.absmax"), "weight.absmax"),
        (marked("bitsandbytes (nf4, int8)", "SCB"), "SCB"),
        (marked("GPTQ, AWQ and Nunchaku", "qweight"), "qweight"),
        (marked("GPTQ, AWQ and Nunchaku", "smooth_factor"), "smooth_factor"),
        (marked("any other scale or mark", "fp8_scale"), "fp8_scale"),
        (marked("any other scale or mark", "weight_scal"), "weight_scal"),
    ];
    rows.into_iter()
        .map(|((row, tensors), word)| {
            let case = Case::refused(
                row,
                tensors,
                &[word, "quantized weights of a kind that is not read"],
            );
            Case { name: word.to_owned(), ..case }
        })
        .collect()
}

fn unread_configurations() -> Vec<Case> {
    let weight = Written::named("weight", &(numbers() * 100).to_kind(Kind::Int8));
    let scale = Written::named("weight_scale", &scales(&[]));
    let configured = |row, text: &str, word| {
        let tensors = vec![weight.clone(), scale.clone(), Written::text("comfy_quant", text)];
        Case { name: text.to_owned(), ..Case::refused(row, tensors, &["comfy_quant", word]) }
    };
    let row = "ComfyUI's nvfp4, mxfp8, convrot_w4a4, asym_w4a8_int8, awq_w4a16";
    let mut cases: Vec<Case> = ["nvfp4", "mxfp8", "convrot_w4a4", "asym_w4a8_int8", "awq_w4a16"]
        .into_iter()
        .map(|format| configured(row, &format!(r#"{{"format": "{format}"}}"#), format))
        .collect();
    cases.push(configured(
        "ComfyUI's int8_tensorwise after a rotation (`convrot`)",
        r#"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 256}"#,
        "rotation",
    ));
    let row = "a description that is damaged, says more than is known, or is of another weight";
    for (text, word) in [
        ("{", "no description"),
        (r#"{"format": "int8_tensorwise", "block": 3}"#, "`block`"),
        (r#"{"format": "float8_e4m3fn"}"#, "not the float8_e4m3fn"),
    ] {
        let case = configured(row, text, word);
        let words =
            if word.starts_with("not the") { vec![word] } else { vec!["comfy_quant", word] };
        cases.push(Case { expected: Err(words), ..case });
    }
    let list = format!(r#"{{"layers": {{"{MODULE}": {{"format": "nvfp4"}}}}}}"#);
    let tensors = vec![weight, scale];
    cases.push(Case::refused(row, tensors, &["_quantization_metadata", "nvfp4"]).remarked(&list));
    cases
}

/// The table of the docs.
pub(crate) fn table() -> String {
    let mut table = String::from("| what a file has | | |\n|---|---|---|\n");
    let mut add = |row: &str, what: &str, how: &str| {
        if !table.contains(&format!("| {row} |")) {
            writeln!(table, "| {row} | {what} | {how} |").unwrap();
        }
    };
    add("float32, float16, bfloat16, float64", "read", "as they are");
    for case in cases().iter().filter(|case| case.expected.is_ok()) {
        add(case.row, "read", "exact to number × scale in float32");
    }
    let formats: Vec<_> = BlockFormat::ALL.iter().map(|format| format!("{format:?}")).collect();
    let formats = format!("GGUF: F32, F16, BF16, {}", formats.join(", "));
    add(&formats, "read", "exact to the `gguf` package's dequantization, bit for bit");
    for case in cases() {
        if let Err(words) = &case.expected {
            let last = words.last().copied().unwrap_or_default();
            add(case.row, "refused, exit 4", &format!("“… {last} …”"));
        }
    }
    add("GGUF: Q2_K, Q3_K, the IQ, TQ and MXFP4 formats", "refused, exit 4", "“… not read …”");
    for (row, what, how, _, _) in FORMS {
        add(row, what, how);
    }
    table
}
