//! Gives this crate's tests and examples a run path to libtorch, and records which build of
//! libtorch they are made for.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(libtorch) = env::var_os("LIBTORCH") else {
        return;
    };
    let libtorch = Path::new(&libtorch);
    // Windows knows no run paths.
    if env::var_os("CARGO_CFG_UNIX").is_some() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libtorch.join("lib").display());
    }
    let version = libtorch.join("build-version");
    println!("cargo:rerun-if-changed={}", version.display());
    let version = fs::read_to_string(version).unwrap_or_default();
    let version = version.lines().next().unwrap_or_default().trim();
    println!("cargo:rustc-env=WAN_ALPHA_LIBTORCH_BUILD={version}");
}
