//! Gives the command and its tests a run path to libtorch, so that they start without
//! `LD_LIBRARY_PATH`. Windows knows no run paths: there the libraries lie beside the program.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if env::var_os("CARGO_CFG_UNIX").is_some()
        && let Some(libtorch) = env::var_os("LIBTORCH")
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}/lib", libtorch.to_string_lossy());
    }
}
