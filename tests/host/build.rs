//! Compiles the functions with variable arguments, which stable Rust cannot define.

fn main() {
    println!("cargo:rerun-if-changed=src/suites/variable.c");
    cc::Build::new().file("src/suites/variable.c").warnings(true).compile("variable");
}
