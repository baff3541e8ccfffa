//! `cargo xtask`: everything around the build that cargo itself does not do.
//!
//! | verb | does |
//! |---|---|
//! | `setup` | lays out libtorch, libclang and the library for signatures under `.setup`, so that plain cargo works |
//! | `demo` | set-up, bundle, and one take made by the node in a host, in `out/demo` |
//! | `draft` | trains the draft model, stage after stage, and packs it |
//! | `test` | set-up, then every test of the workspace |
//! | `bundle` | lays out `WanAlpha.ofx.bundle`, which hosts load |
//! | `check-ofx` | examines an OpenFX plug-in, ours by default, and says what hosts would not like |
//! | `install`, `uninstall` | puts the bundle where hosts look, and takes it away again |
//! | `bench` | set-up, then the network beside diffusers, the store beside plain reading, the engine |
//! | `gpu-check` | tries the program on this machine's NVIDIA card, or packs that for another one |
//!
//! Invariants: a verb that needs set-up does it; set-up changes nothing outside `.setup`; what
//! stands under its final name there is whole. This crate links neither libtorch nor OpenFX, so
//! that it builds on a bare machine.

#![forbid(unsafe_code)]

mod bench;
mod bundle;
mod cargo;
mod check_ofx;
mod demo;
mod draft;
mod gpu_check;
mod install;
mod setup;
mod test;
mod tree;

use std::process::{ExitCode, ExitStatus};

use clap::{Parser, Subcommand};

use tree::Tree;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Lay out libtorch, libclang and the library for signatures under .setup, so that plain `cargo
    /// build` and `cargo test` work.
    ///
    /// Fetches pinned wheels with pip, checks them, takes the libraries and headers out. Run again,
    /// it checks what is there and puts right what is missing or damaged.
    Setup(setup::SetupOptions),
    /// Make the bundle, and with it one small take in a headless host.
    Demo(demo::DemoOptions),
    /// Train the draft model from nothing, or go on with it, and pack it.
    Draft(draft::DraftOptions),
    /// Run every test of the workspace.
    Test(test::TestOptions),
    /// Build plug-in and engine and lay out WanAlpha.ofx.bundle.
    Bundle(bundle::BundleOptions),
    /// Tell whether an OpenFX plug-in, ours by default, keeps the rules.
    CheckOfx(check_ofx::CheckOfxOptions),
    /// Put the bundle where hosts look for plug-ins, whole or not at all.
    Install(install::InstallOptions),
    /// Take away what `install` placed, and nothing else.
    Uninstall(install::UninstallOptions),
    /// Measure transformer and decoder beside diffusers, the store beside plain reading, the engine.
    Bench(bench::BenchOptions),
    /// Try the program on this machine's NVIDIA card and measure it: JSON lines and a page.
    GpuCheck(gpu_check::GpuCheckOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Tree::find().and_then(|tree| match &arguments.verb {
        Verb::Setup(options) => setup::run(&tree, options),
        Verb::Demo(options) => demo::run(&tree, options),
        Verb::Draft(options) => draft::run(&tree, options),
        Verb::Test(options) => test::run(&tree, options),
        Verb::Bundle(options) => bundle::run(&tree, options),
        Verb::CheckOfx(options) => check_ofx::run(&tree, options),
        Verb::Install(options) => install::run(&tree, options),
        Verb::Uninstall(options) => install::uninstall(options),
        Verb::Bench(options) => bench::run(&tree, options),
        Verb::GpuCheck(options) => gpu_check::run(options),
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

/// A child's exit code as our own; 1 where a signal ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use clap::{CommandFactory, Parser};

    #[test]
    fn arguments_are_well_formed() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn command_lines_of_the_documentation_are_understood() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let front = ["README.md", "CONTRIBUTING.md", "bundle/README.md"];
        let mut pages: Vec<_> = front.iter().map(|page| root.join(page)).collect();
        for entry in fs::read_dir(root.join("docs")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
        let texts: Vec<_> = pages.iter().map(|page| fs::read_to_string(page).unwrap()).collect();
        let mut found = 0;
        // What a shell fills in is not known here.
        let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.contains('$'));
        for line in lines {
            for command in line.split("cargo xtask ").skip(1) {
                let command = command.split(['`', '#', '\'']).next().unwrap_or(command);
                let words = command.split_whitespace().take_while(|word| *word != "and");
                let words: Vec<_> = ["cargo xtask"].into_iter().chain(words).collect();
                if let Err(error) = super::Arguments::try_parse_from(&words) {
                    panic!("{words:?}: {error}");
                }
                found += 1;
            }
        }
        assert!(found > 15, "{found}");
    }
}
