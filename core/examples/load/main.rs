//! Our side of `cargo xtask bench load`: a transformer loaded once, in a process of its own.
//!
//! | call | does |
//! |---|---|
//! | `load make DIR` | writes a random transformer of 2 GB in float32, a DoRA of rank 32 and a LoRA of rank 64 |
//! | `load run DIR OTHERS` | loads it in bfloat16, adapters merged; the parts that a transformer does without are those of the model in OTHERS |
//! | `load stored DIR FORM` | writes the same transformer alone, in bfloat16 or quantized |
//! | `load run-cold DIR OTHERS` | as `run`, DIR's files dropped from the system's memory first |
//! | `load parts DIR` | what no loading does without, each once: reading the files, the adapters' products, writing the result |
//!
//! The answer is one line of JSON. The same program is compiled against the commit that is compared
//! with, with another `loading`.

mod loading;
mod model;
mod peak;
mod stored;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use wan_alpha_core::Unwatched;
use wan_alpha_core::dit::DitConfig;
use wan_alpha_core::weights::{ModelFiles, Strengths};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    use_huge_pages();
    loading::prepare()?;
    let threads = std::env::var("OMP_NUM_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    tch::set_num_threads(threads);
    tch::manual_seed(7);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer =
        match words[..] {
            ["make", folder] => model::write(Path::new(folder))?,
            ["run", folder, others] => load(&[folder.into(), others.into()])?,
            ["stored", folder, form] => stored::write(Path::new(folder), form)?,
            ["run-cold", folder, others] => {
                stored::drop_pages(Path::new(folder))?;
                load(&[folder.into(), others.into()])?
            }
            ["parts", folder] => parts(Path::new(folder))?,
            _ => return Err(
                "usage: load make|parts DIR | load stored DIR FORM | load run|run-cold DIR OTHERS"
                    .into(),
            ),
        };
    println!("{answer}");
    Ok(())
}

/// As the command does; see its `main.rs`.
#[allow(unsafe_code)]
fn use_huge_pages() {
    // SAFETY: first statement of main; no other thread exists.
    unsafe { std::env::set_var("THP_MEM_ALLOC_ENABLE", "1") };
}

fn load(paths: &[PathBuf]) -> Result<Value, Error> {
    let files = ModelFiles::find(&model::parts_of(paths)?, Strengths::default(), &Unwatched)?;
    let config = DitConfig::infer(&files.dit, None)?;
    warm_up();
    let watch = peak::Watch::begin()?;
    let before = peak::processor_time()?;
    let begun = Instant::now();
    let dit = loading::load(files, config)?;
    let seconds = begun.elapsed().as_secs_f64();
    let memory = watch.end()?;
    let after = peak::processor_time()?;
    Ok(json!({
        "seconds": seconds,
        "user_seconds": after[0] - before[0],
        "system_seconds": after[1] - before[1],
        "peak_anonymous": memory.peak,
        "resident_anonymous": memory.now,
        "checksum": model::checksum(&dit)?,
    }))
}

/// BLAS and OpenMP get ready with the first product.
fn warm_up() {
    let x = model::random(&[512, 512], 1.0);
    let _ = x.matmul(&x).norm();
}

fn parts(folder: &Path) -> Result<Value, Error> {
    warm_up();
    Ok(json!({ "read": read(folder)?, "products": products()?, "write": write()? }))
}

/// Every byte of the files once, through a buffer that stays in cache, on two threads.
fn read(folder: &Path) -> Result<f64, Error> {
    let begun = Instant::now();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let half = path.metadata()?.len() / 2;
        std::thread::scope(|scope| {
            let whole = [(0, half), (half, u64::MAX)].map(|(from, bytes)| {
                let path = &path;
                scope.spawn(move || drain(path, from, bytes))
            });
            whole.into_iter().try_for_each(|half| half.join().unwrap_or(Ok(())))
        })?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn drain(path: &Path, from: u64, bytes: u64) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(from))?;
    let mut file = file.take(bytes);
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// The products of both adapters for every matrix, added to a matrix that is there.
fn products() -> Result<f64, Error> {
    let _guard = tch::no_grad_guard();
    let shapes = model::adapted();
    let mut largest = 0;
    for (_, [out, inner]) in &shapes {
        largest = largest.max(out * inner);
    }
    let memory = Tensor::f_zeros([largest], (Kind::Float, Device::Cpu))?;
    let factors = |rank: i64, [out, inner]: [i64; 2]| {
        (model::random(&[out, rank], 0.02), model::random(&[rank, inner], 0.02))
    };
    let all: Vec<_> =
        shapes.iter().map(|&(_, shape)| (shape, factors(32, shape), factors(64, shape))).collect();
    let begun = Instant::now();
    for ([out, inner], dora, lora) in &all {
        let mut matrix = memory.f_narrow(0, 0, out * inner)?.f_view([*out, *inner])?;
        for (up, down) in [dora, lora] {
            let _ = matrix.f_addmm_(up, down)?;
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Memory for every tensor in the kind that it is kept in, filled.
fn write() -> Result<f64, Error> {
    let tensors = model::layout();
    let begun = Instant::now();
    let mut all = Vec::with_capacity(tensors.len());
    for (name, shape) in &tensors {
        let kind = if model::keeps_float32(name) { Kind::Float } else { Kind::BFloat16 };
        all.push(Tensor::f_empty(shape, (kind, Device::Cpu))?.f_fill_(0.5)?);
    }
    Ok(begun.elapsed().as_secs_f64())
}
