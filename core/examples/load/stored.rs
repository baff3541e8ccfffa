//! The random transformer as quantized files hold it, and the same in bfloat16 beside it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::Error;
use super::model::{adapted, layout, random};

/// What is quantized in such files: the blocks' matrices.
fn is_quantized(name: &str) -> bool {
    adapted().iter().any(|(module, _)| name.strip_suffix(".weight") == Some(module))
}

/// Writes the transformer in a form: `bf16`, `fp8` and `int8` with a scale for each row, `q8_0`, `q4_k`.
pub(super) fn write(folder: &Path, form: &str) -> Result<Value, Error> {
    match form {
        "bf16" | "fp8" | "int8" => write_safetensors(folder, form),
        "q8_0" => write_gguf(folder, 8, 34),
        "q4_k" => write_gguf(folder, 12, 144),
        _ => Err("a form is bf16, fp8, int8, q8_0 or q4_k".into()),
    }
}

fn weights() -> impl Iterator<Item = (String, Vec<i64>, Tensor)> {
    layout().into_iter().map(|(name, shape)| {
        let inputs: i64 = shape[1..].iter().product();
        let scale = if shape.len() == 1 { 0.02 } else { (inputs as f64).powf(-0.5) };
        let tensor = random(&shape, scale);
        (name, shape, tensor)
    })
}

fn bytes(tensor: &Tensor) -> Result<Vec<u8>, Error> {
    Ok(tensor.f_contiguous()?.f_view([-1])?.f_view_dtype(Kind::Uint8)?.try_into()?)
}

fn write_safetensors(folder: &Path, form: &str) -> Result<Value, Error> {
    let (kind, dtype, top) = match form {
        "fp8" => (Kind::Float8e4m3fn, Dtype::F8_E4M3, 448.0),
        _ => (Kind::Int8, Dtype::I8, 127.0),
    };
    let mut written = Vec::new();
    for (name, shape, tensor) in weights() {
        let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
        if form == "bf16" || !is_quantized(&name) {
            written.push((name, Dtype::BF16, shape, bytes(&tensor.f_to_kind(Kind::BFloat16)?)?));
            continue;
        }
        let scales = tensor.f_abs()?.f_amax([1i64], true)?.f_div_scalar(top)?;
        let numbers = tensor.f_div(&scales)?;
        let numbers = if kind == Kind::Int8 { numbers.f_round()? } else { numbers };
        let module = name.trim_end_matches(".weight");
        let of_rows = vec![shape[0], 1];
        written.push((format!("{module}.weight_scale"), Dtype::F32, of_rows, bytes(&scales)?));
        written.push((name, dtype, shape, bytes(&numbers.f_to_kind(kind)?)?));
    }
    let views = written
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<HashMap<_, _>, Error>>()?;
    let path = folder.join("diffusion_pytorch_model.safetensors");
    safetensors::serialize_to_file(views, None, &path)?;
    finish(&path)
}

/// Matrices as blocks of random bytes with finite scales: how long that takes depends on no number.
fn write_gguf(folder: &Path, kind: u32, block: usize) -> Result<Value, Error> {
    let each = if kind == 8 { 32 } else { 256 };
    let path = folder.join("wan-t2v.gguf");
    let mut file = BufWriter::new(File::create(&path)?);
    let (mut list, mut data) = (Vec::new(), Vec::new());
    let mut state = 7u32;
    for (name, shape, tensor) in weights() {
        let quantized = is_quantized(&name);
        list.extend((name.len() as u64).to_le_bytes());
        list.extend(name.as_bytes());
        list.extend((shape.len() as u32).to_le_bytes());
        for size in shape.iter().rev() {
            list.extend((*size as u64).to_le_bytes());
        }
        list.extend((if quantized { kind } else { 0 }).to_le_bytes());
        list.extend((data.len() as u64).to_le_bytes());
        if quantized {
            for _ in 0..tensor.numel() / each {
                // 2^-9 twice: scale and, of Q4_K, the scale of offsets.
                let begin = data.len();
                data.extend([0, 0x18]);
                data.extend(
                    std::iter::repeat_with(|| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (state >> 24) as u8
                    })
                    .take(block - 2),
                );
                if kind == 12 {
                    data[begin + 2..begin + 4].copy_from_slice(&[0, 0x18]);
                }
            }
        } else {
            data.extend(bytes(&tensor)?);
        }
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.write_all(b"GGUF")?;
    file.write_all(&3u32.to_le_bytes())?;
    file.write_all(&(layout().len() as u64).to_le_bytes())?;
    file.write_all(&0u64.to_le_bytes())?;
    file.write_all(&list)?;
    let header = 24 + list.len();
    file.write_all(&vec![0; header.next_multiple_of(32) - header])?;
    file.write_all(&data)?;
    file.flush()?;
    finish(&path)
}

/// Pages can only be dropped once they are on the disk.
fn finish(path: &Path) -> Result<Value, Error> {
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(json!({ "bytes": file.metadata()?.len() }))
}

/// Has the system forget what it has in memory of a folder's files.
#[allow(unsafe_code)]
pub(super) fn drop_pages(folder: &Path) -> Result<(), Error> {
    use std::os::fd::AsRawFd;
    for entry in std::fs::read_dir(folder)? {
        let file = File::open(entry?.path())?;
        // SAFETY: the descriptor is open; the call reads and writes no memory of ours.
        let result =
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        if result != 0 {
            return Err(std::io::Error::from_raw_os_error(result).into());
        }
    }
    Ok(())
}
