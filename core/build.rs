//! Compiles `src/shim.cpp`, gives this crate's tests and examples a run path to libtorch, and
//! records which build of libtorch they are made for.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(libtorch) = env::var_os("LIBTORCH") else {
        println!("cargo::error=LIBTORCH names no folder; `cargo xtask setup` lays libtorch out");
        return;
    };
    let libtorch = Path::new(&libtorch);
    compile_shim(libtorch);
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

/// As the binding (`torch-sys`) compiles its own part, whose libraries the shim is linked with.
fn compile_shim(libtorch: &Path) {
    const SOURCE: &str = "src/shim.cpp";
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let include =
        env::var_os("LIBTORCH_INCLUDE").map_or_else(|| libtorch.to_owned(), PathBuf::from);
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".into());
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        // That of libtorch's headers alone is megabytes.
        .debug(false)
        .std("c++17")
        .include(include.join("include"))
        .define("_GLIBCXX_USE_CXX11_ABI", &*abi)
        .define("GLOG_USE_GLOG_EXPORT", None)
        // libtorch's own classes have other sizes in a build that checks its assertions.
        .define("NDEBUG", None)
        .file(SOURCE)
        .compile("wan_alpha_shim");
}
