//! `cargo xtask demo`: from a bare checkout to frames of a take.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::tree::Tree;
use crate::{cargo, exit_code, setup};

/// The reference model of the tests, until the draft model exists.
const MODEL: &str = "tests/data/t2v/model";
const OUT: &str = "out/demo";
const PROMPT: &str = "A soap bubble drifts from left to right and turns, thin and iridescent";
/// Left to right over the 13 frames of the take, growing and turning.
const ELLIPSE: &str = "0: 0.25,0.45,0.40,0.60,0; 12: 0.75,0.60,0.60,0.80,40";

pub(crate) fn run(tree: &Tree) -> Result<ExitCode> {
    let model = tree.root().join(MODEL);
    ensure!(
        model.is_dir(),
        "{MODEL} is missing: the demo draws with the small model there. Bring it back, for example \
         with `git checkout -- {MODEL}`, and run again"
    );
    setup::ensure(tree)?;
    let command = cargo::build(tree, &["--release", "--package", "wan-alpha"], "wan-alpha")?;

    let out = tree.root().join(OUT);
    clear(&out)?;
    println!("{}", before(tree, &command));
    let status = Command::new(&command)
        .current_dir(tree.root())
        .args(render_arguments())
        .status()
        .with_context(|| format!("{} could not be started", command.display()))?;
    if !status.success() {
        eprintln!("error: the render ended with {status}; its own message is above");
        return Ok(exit_code(status));
    }
    let made = Made::find(&out)?;
    ensure!(made.frames() > 0, "the render succeeded but left no frames in {OUT}");
    println!("{}", made.page(tree, &command));
    Ok(ExitCode::SUCCESS)
}

fn render_arguments() -> Vec<&'static str> {
    let mut arguments = vec!["render", "--model", MODEL, "--prompt", PROMPT];
    arguments.extend(["--ellipse", ELLIPSE, "--width", "80", "--height", "48", "--frames", "13"]);
    arguments.extend(["--seed", "7", "--format", "exr,png", "--out", OUT]);
    arguments
}

/// Only the demo writes there; frames of an earlier one would be counted as this one's.
fn clear(out: &Path) -> Result<()> {
    if out.exists() {
        fs::remove_dir_all(out)
            .with_context(|| format!("frames of an earlier demo in {OUT} cannot be removed"))?;
    }
    Ok(())
}

fn before(tree: &Tree, command: &Path) -> String {
    let quoted: Vec<String> = render_arguments()
        .into_iter()
        .map(|word| if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() })
        .collect();
    format!("\nrunning: {} {}\n", tree.short(command), quoted.join(" "))
}

/// What a render left, by kind.
struct Made {
    exr: Vec<PathBuf>,
    png: Vec<PathBuf>,
    contact_sheet: Option<PathBuf>,
    record: Option<PathBuf>,
}

impl Made {
    fn find(out: &Path) -> Result<Self> {
        let mut by_extension: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let mut folders = vec![out.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder)
                .with_context(|| format!("{} cannot be read", folder.display()))?;
            for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(extension) = path.extension() {
                    let extension = extension.to_string_lossy().to_lowercase();
                    by_extension.entry(extension).or_default().push(path);
                }
            }
        }
        let mut take = |extension: &str| {
            let mut files = by_extension.remove(extension).unwrap_or_default();
            files.sort();
            files
        };
        let (sheets, png) = take("png").into_iter().partition(|path| named(path, "contact"));
        let mut sheets: Vec<PathBuf> = sheets;
        Ok(Self {
            exr: take("exr"),
            png,
            contact_sheet: sheets.pop(),
            record: take("json").into_iter().find(|path| named(path, "take.json")),
        })
    }

    fn frames(&self) -> usize {
        self.exr.len().max(self.png.len())
    }

    /// The page that the demo ends with.
    fn page(&self, tree: &Tree, command: &Path) -> String {
        let mut lines = vec!["The take is made:".to_owned(), String::new()];
        let mut row = |label: &str, value: String| lines.push(format!("  {label:<15} {value}"));
        row("OpenEXR frames", sequence(tree, &self.exr));
        row("PNG frames", sequence(tree, &self.png));
        let shown = |path: &Option<PathBuf>| {
            path.as_ref().map_or("none".to_owned(), |path| tree.short(path).to_string())
        };
        row("contact sheet", shown(&self.contact_sheet));
        row("record", shown(&self.record));
        let command = tree.short(command);
        lines.push(format!(
            "
What was shown: the whole path from a prompt and a keyframed ellipse to RGBA frames. The text was
encoded, noise was shifted outside the travelling ellipse, the transformer denoised it, two
decoders made colour and alpha.

What it cannot show: the model in {MODEL} is tiny and its weights are RANDOM.
The frames are coloured noise, not a soap bubble. A small trained model will take its place.

Next:
  look at the contact sheet: the take over a checkerboard and over two flat colours
  make another take:  {command} render --help
  use real weights:   {command} render --model FOLDER-OR-FILES --prompt \"…\" --out out/mine
  run every test:     cargo xtask test"
        ));
        lines.join("\n")
    }
}

fn named(path: &Path, part: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(part))
}

/// `13: out/demo/a.0000.exr … a.0012.exr`
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
    fn the_last_page_names_what_the_render_left() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join(OUT);
        fs::create_dir_all(out.join("png")).unwrap();
        for index in 0..3 {
            fs::write(out.join(format!("demo.{index:04}.exr")), "").unwrap();
            fs::write(out.join(format!("png/demo.{index:04}.png")), "").unwrap();
        }
        fs::write(out.join("contact-sheet.png"), "").unwrap();
        fs::write(out.join("take.json"), "{}").unwrap();

        let tree = Tree::at(root.path());
        let made = Made::find(&out).unwrap();
        assert_eq!(made.frames(), 3);
        let page = made.page(&tree, &root.path().join("target/release/wan-alpha"));
        for expected in [
            "3: out/demo/demo.0000.exr … demo.0002.exr",
            "3: out/demo/png/demo.0000.png … demo.0002.png",
            "out/demo/contact-sheet.png",
            "out/demo/take.json",
            "RANDOM",
            "  make another take:  target/release/wan-alpha render --help",
        ] {
            assert!(page.contains(expected), "{expected} is not in:\n{page}");
        }
    }

    #[test]
    fn frames_of_an_earlier_demo_are_not_counted() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join(OUT);
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join("demo.0099.exr"), "").unwrap();
        clear(&out).unwrap();
        clear(&out).unwrap();
        fs::create_dir_all(&out).unwrap();
        assert_eq!(Made::find(&out).unwrap().frames(), 0);
    }

    #[test]
    fn the_command_line_is_shown_as_it_can_be_typed() {
        let shown =
            before(&Tree::at(Path::new("root")), Path::new("root/target/release/wan-alpha"));
        assert!(
            shown.contains("running: target/release/wan-alpha render --model tests/"),
            "{shown}"
        );
        assert!(
            shown.contains(&format!("--prompt \"{PROMPT}\" --ellipse \"{ELLIPSE}\"")),
            "{shown}"
        );
    }
}
