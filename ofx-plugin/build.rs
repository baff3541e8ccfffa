//! Links the plug-in so that it stays where it is once it is loaded.
//!
//! Rust's standard library leaves destructors of thread-local values on every thread that came by,
//! the host's own among them; they run when the thread ends, which may be after the host has let the
//! plug-in go. Other systems than those of ELF see to that themselves.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
