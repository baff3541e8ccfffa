//! Gives the command and its tests a run path to libtorch, so that they start without
//! `LD_LIBRARY_PATH`. Windows knows no run paths: there the libraries lie beside the program.
//!
//! A plain build runs with the libtorch that lies beside it, as in a bundle of profile dev, or else with
//! the one it was built against. A build for a bundle that is handed on is told another run path, relative to
//! the program, and knows no folder of the machine that made it.

use std::env;

/// Set by `cargo xtask bundle`.
const RUN_PATH: &str = "WAN_ALPHA_BUILD_RUN_PATH";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed={RUN_PATH}");
    if env::var_os("CARGO_CFG_UNIX").is_none() {
        return;
    }
    let is_linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux");
    let libtorch = || {
        let libtorch = env::var_os("LIBTORCH")?;
        let beside = if is_linux { "$ORIGIN/lib:" } else { "" };
        Some(format!("{beside}{}/lib", libtorch.to_string_lossy()))
    };
    let told = env::var(RUN_PATH).ok().filter(|path| !path.is_empty());
    let Some(run_path) = told.or_else(libtorch) else {
        return;
    };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{run_path}");
    if is_linux {
        // DT_RPATH rather than DT_RUNPATH: hosts start the engine with an LD_LIBRARY_PATH to their
        // own libraries, which may include a libtorch of another build. RPATH comes before it.
        println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags");
    }
}
