//! The page that the demo ends with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{DemoFiles, MODEL};
use crate::bundle::PLACE;
use crate::tree::Tree;

pub(super) struct Page<'a> {
    pub(super) tree: &'a Tree,
    pub(super) bundle: &'a Path,
    pub(super) written: &'a DemoFiles,
    pub(super) took: Duration,
}

impl Page<'_> {
    pub(super) fn text(&self) -> String {
        let Self { tree, written, .. } = self;
        let mut lines = vec![
            format!(
                "The take is made: {} frames of {}x{}, {:.0} s after Generate was pressed.",
                written.frames, written.width, written.height, written.seconds
            ),
            String::new(),
        ];
        let mut row = |label: &str, value: String| lines.push(format!("  {label:<15} {value}"));
        row("OpenEXR frames", sequence(tree, &written.exr));
        row("PNG frames", sequence(tree, &written.png));
        row("contact sheet", tree.short(&written.contact_sheet).to_string());
        row("take", written.take.clone());
        row("bundle", tree.short(self.bundle).to_string());
        if let Some(last) = written.heard.last() {
            row("the node says", last.clone());
        }
        let bundles = self.bundle.parent().unwrap_or(self.bundle);
        let from = match bundles == tree.root().join(PLACE) {
            true => String::new(),
            false => format!(" --from {}", tree.short(self.bundle)),
        };
        // By its own name: sudo seldom finds cargo.
        let program = std::env::current_exe().unwrap_or_else(|_| "cargo xtask".into());
        lines.push(format!(
            "
What was shown: the node at work in a headless OpenFX host, with the bundle that artists install.
The prompt was typed into its parameter, the ellipse keyed to travel from left to right, Generate
pressed. The engine in the bundle encoded the text, shifted noise outside the ellipse, denoised it
with the transformer, and decoded color and alpha. Every frame above was rendered by the node into
an image of the host and read back from there. The engine has been stopped.

What it cannot show: the model in {MODEL} is a DRAFT, seven million parameters trained for three
hours on drawn clips. It knows a few shapes, colors and ways to move, softly and at 96x96.
The released weights draw hair, smoke and glass; everything but the weights is the same.

Next:
  look at the contact sheet  the take over a checkerboard, over two flat colors, and its alpha
  install the node           sudo {} install{from} (for all), cargo xtask install --user{from} (for you),
                             or start your host with OFX_PLUGIN_PATH={}
  use real weights           wan-alpha model add NAME FOLDER (README.md says which)
  examine the node           cargo xtask check-ofx
  run every test             cargo xtask test

It took {} in all.",
            tree.short(&program),
            bundles.display(),
            minutes(self.took),
        ));
        lines.join("\n")
    }
}

fn minutes(took: Duration) -> String {
    format!("{}:{:02} minutes", took.as_secs() / 60, took.as_secs() % 60)
}

/// How many files, the first and the last: `13: out/demo/exr/a.0000.exr … a.0012.exr`.
fn sequence(tree: &Tree, files: &[PathBuf]) -> String {
    match files {
        [] => "none".to_owned(),
        [only] => format!("1: {}", tree.short(only)),
        [first, .., last] => {
            let last = last.file_name().unwrap_or_default().to_string_lossy();
            format!("{}: {} … {last}", files.len(), tree.short(first))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_was_written_and_what_comes_next() {
        let tree = Tree::at(Path::new("root"));
        let files = |kind: &str| {
            (0..3).map(|n| format!("root/out/demo/{kind}/demo.{n:04}.{kind}").into()).collect()
        };
        let written = DemoFiles {
            frames: 3,
            width: 96,
            height: 64,
            exr: files("exr"),
            png: files("png"),
            contact_sheet: "root/out/demo/contact-sheet.png".into(),
            take: "abc".to_owned(),
            heard: vec!["Sampling.".to_owned(), "Ready: 3 frames.".to_owned()],
            seconds: 12.3,
        };
        let bundle = Path::new("root/target/bundle/WanAlpha.ofx.bundle");
        let took = Duration::from_secs(125);
        let page = Page { tree: &tree, bundle, written: &written, took }.text();
        for expected in [
            "3 frames of 96x64, 12 s after Generate",
            "3: out/demo/exr/demo.0000.exr … demo.0002.exr",
            "3: out/demo/png/demo.0000.png … demo.0002.png",
            "out/demo/contact-sheet.png",
            "Ready: 3 frames.",
            "DRAFT",
            "xtask install --user",
            "OFX_PLUGIN_PATH=root/target/bundle",
            "2:05 minutes",
        ] {
            assert!(page.contains(expected), "{expected} is not in:\n{page}");
        }
    }
}
