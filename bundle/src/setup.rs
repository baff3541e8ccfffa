//! `cargo xtask setup`: libtorch, libclang and the library for signatures under `.setup`, from pinned wheels.
//!
//! Idempotent: a second run checks what is there and changes nothing. Resumable: wheels that an
//! interrupted run fetched are used again, and a folder appears under its name only when it is
//! whole. Verifying: wheels by sha256, libraries by hash, all files by size, and every library that
//! another one asks for must be there. What it says goes to standard error.

mod foreign;
mod headers;
mod layout;
mod machine;
mod manifest;
mod needed;
mod own;
mod parts;
mod pins;
mod plan;
mod wheels;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::tree::Tree;
use layout::PartLayout;
use machine::Compiler;
use manifest::{PartManifest, PartRecord};
use parts::{C2PA, C2PA_LIBRARY, CPU, CPU_OF_PACK, CUDA, LIBCLANG, Own, RULES, SetupPart, ZIG};
use plan::SetupPlan;

pub(crate) use foreign::{named as foreign_libtorch, version as version_of_libtorch};
pub(crate) use machine::{PipPython, check_disk};
pub(crate) use needed::OF_THE_SYSTEM;
pub(crate) use pins::ByteCount;

#[derive(clap::Args, Default)]
pub(crate) struct SetupOptions {
    /// Lay out the CUDA libraries too, in .setup/libtorch-cuda (2.5 GB to fetch, 3.1 GB on disk).
    #[arg(long)]
    cuda: bool,
    /// Keep the fetched wheels in .setup/wheels.
    #[arg(long)]
    keep_wheels: bool,
    /// Lay out what the bundle's plug-in is linked with, in .setup/zig (103 MB to fetch, 250 MB on
    /// disk).
    #[arg(long)]
    zig: bool,
}

pub(crate) fn run(tree: &Tree, options: &SetupOptions) -> Result<ExitCode> {
    set_up(tree, options)?;
    eprintln!("set-up: done; plain `cargo build` and `cargo test` work from here");
    Ok(ExitCode::SUCCESS)
}

/// Set-up as the other verbs want it: for the CPU, one line where nothing is to be done.
pub(crate) fn ensure(tree: &Tree) -> Result<()> {
    set_up(tree, &SetupOptions::default())
}

/// Where CUDA's part of libtorch is laid out.
pub(crate) fn cuda(tree: &Tree) -> PathBuf {
    tree.setup().join(CUDA.folder)
}

/// The library for signatures, as it is laid out.
pub(crate) fn c2pa_library(tree: &Tree) -> PathBuf {
    tree.setup().join(C2PA.folder).join("lib").join(C2PA_LIBRARY)
}

/// Where zig and cargo-zigbuild are laid out.
pub(crate) fn zig(tree: &Tree) -> PathBuf {
    tree.setup().join(ZIG.folder)
}

/// Set-up for a bundle.
pub(crate) fn ensure_for_bundle(tree: &Tree, cuda: bool, zig: bool) -> Result<()> {
    set_up(tree, &SetupOptions { cuda, zig, keep_wheels: false })
}

/// Set-up for `gpu-check`: with CUDA's part where a driver is there to use it.
pub(crate) fn ensure_for_check(tree: &Tree) -> Result<()> {
    let cuda = machine::has_nvidia_driver() && foreign::named(tree).is_none();
    set_up(tree, &SetupOptions { cuda, ..SetupOptions::default() })
}

/// Lays out the libtorch that the program of `gpu-check --pack` is built against; where it is.
pub(crate) fn ensure_for_pack(tree: &Tree) -> Result<PathBuf> {
    lay_out_all(tree, &[&CPU_OF_PACK], false)?;
    Ok(tree.setup().join(CPU_OF_PACK.folder))
}

fn set_up(tree: &Tree, options: &SetupOptions) -> Result<()> {
    let parts = parts_to_lay_out(tree, options)?;
    lay_out_all(tree, &parts, options.keep_wheels)?;
    if options.cuda && !machine::has_nvidia_driver() {
        eprintln!(
            "set-up: note: no NVIDIA driver is loaded on this machine; the CUDA libraries need one \
             of version 580 or newer"
        );
    }
    Ok(())
}

fn lay_out_all(tree: &Tree, parts: &[&SetupPart], keep_wheels: bool) -> Result<()> {
    machine::check_platform()?;
    fs::create_dir_all(tree.setup())
        .with_context(|| format!("{} cannot be created", tree.setup().display()))?;
    let _lock = lock(&tree.setup())?;
    for part in parts {
        lay_out(tree, part)?;
    }
    if !keep_wheels && tree.wheels().exists() {
        fs::remove_dir_all(tree.wheels())
            .with_context(|| format!("{} cannot be removed", tree.wheels().display()))?;
    }
    Ok(())
}

/// All that was asked for but what the user brings; what the user brings is checked.
fn parts_to_lay_out(tree: &Tree, options: &SetupOptions) -> Result<Vec<&'static SetupPart>> {
    let mut parts = Vec::new();
    if let Some(libtorch) = foreign::named(tree) {
        let shown = libtorch.display();
        ensure!(
            !options.cuda,
            "LIBTORCH points to {shown}, and the CUDA libraries must be of that very build. Bring \
             them from where it came from, or unset LIBTORCH for `setup --cuda`"
        );
        let version = foreign::check(&libtorch)?;
        eprintln!("set-up: LIBTORCH points to {shown} ({version}); it is used as it is");
    } else {
        parts.push(&CPU);
        parts.extend(options.cuda.then_some(&CUDA));
    }
    if let Some(libclang) = foreign::libclang(tree) {
        foreign::check_libclang(&libclang)?;
        let shown = libclang.display();
        eprintln!("set-up: LIBCLANG_PATH points to {shown}; it is used as it is");
    } else {
        parts.push(&LIBCLANG);
        if foreign::headers(tree) {
            eprintln!(
                "set-up: note: C_INCLUDE_PATH is set and wins over the headers in \
                 .setup/libclang/include. Should the build of openfx-sys miss stddef.h or \
                 stdbool.h, add that folder to it"
            );
        }
    }
    parts.push(&C2PA);
    parts.extend(options.zig.then_some(&ZIG));
    Ok(parts)
}

/// One set-up at a time; the lock goes with the process, however that ends.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file =
        File::create(&path).with_context(|| format!("{} cannot be created", path.display()))?;
    let locked = match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            eprintln!("set-up: another set-up is at work here; waiting for it");
            file.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
    };
    locked.with_context(|| format!("{} cannot be locked", path.display()))?;
    Ok(file)
}

/// Brings one part to the state of its pins; where it is in that state, touches nothing.
fn lay_out(tree: &Tree, part: &SetupPart) -> Result<()> {
    let begun = Instant::now();
    let place = tree.setup().join(part.folder);
    let mut manifest = PartManifest::load(&tree.manifest())?;
    let recorded = manifest.part(part.folder);
    let Some(reason) = plan::reason(part, recorded, &place) else {
        eprintln!("set-up: {} is already set up in {}", part.purpose, tree.short(&place));
        return Ok(());
    };
    eprintln!("set-up: {} in {}: {reason}", part.purpose, tree.short(&place));
    eprintln!("  what it is: {}", part.about);

    let python = PipPython::find()?;
    Compiler::c()?;
    Compiler::cpp()?;
    let plan = SetupPlan::make(part, recorded, &place, &tree.wheels())?;
    eprintln!("  to fetch: {}; free disk needed meanwhile: {}", plan.fetch, plan.disk);
    check_disk(&tree.setup(), plan.disk)?;

    let mut layout = PartLayout::begin(&place)?;
    for step in &plan.steps {
        let pin = &step.pin;
        if let Some(source) = &step.whole {
            eprintln!("  {pin}: what came from it is whole and stays");
            layout.reuse(source)?;
        } else {
            let wheel = wheels::obtain(pin, &tree.wheels(), &python)?;
            eprintln!("  {pin}: taking {} out of it", pin.laid_out_bytes);
            layout.unpack(part, pin, &wheel)?;
        }
    }
    own::make(&mut layout, part)?;
    let checked = match part.own {
        Own::Nothing => String::new(),
        _ => {
            let libraries = needed::check(&layout.folder().join("lib"))?;
            format!("; libraries: {libraries}, and every one that they ask for is there")
        }
    };

    let record =
        PartRecord { fingerprint: part.fingerprint(), rules: RULES, sources: layout.finish()? };
    manifest.record(part.folder, record);
    manifest.save(&tree.manifest())?;
    eprintln!("  laid out in {:.0} s{checked}", begun.elapsed().as_secs_f64());
    Ok(())
}
