//! Everything that the checks ask about a checkout, gathered once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::arrows::Arrows;
use super::circles::{Circle, circles};
use super::measures::Measures;
use super::modules::Modules;
use super::source::{Workspace, among_tests};

/// A checkout in numbers and arrows.
pub(crate) struct Facts {
    /// The number of lines of every file.
    pub(crate) lengths: Vec<(PathBuf, usize)>,
    /// What the files hold that are not for tests alone, those under `tests` among them.
    pub(crate) measures: Measures,
    /// The circles of all targets that are not under `tests`.
    pub(crate) circles: Vec<Circle>,
    /// The arrows of each target, by its root file.
    pub(crate) arrows: HashMap<PathBuf, Arrows>,
}

impl Facts {
    /// Follows every target and measures every file.
    pub(crate) fn of(workspace: &Workspace) -> Self {
        let mut facts = Self {
            lengths: Vec::new(),
            measures: Measures::default(),
            circles: Vec::new(),
            arrows: HashMap::new(),
        };
        // Whether all modules in a file are compiled for tests alone.
        let mut for_tests: HashMap<PathBuf, bool> = HashMap::new();
        for root in workspace.targets.iter().map(|target| &target.root) {
            let modules = Modules::of(workspace, root);
            for module in &modules.all {
                *for_tests.entry(module.file.clone()).or_insert(true) &= module.test;
            }
            if !among_tests(root) {
                facts.add_circles(circles(&modules));
            }
            facts.arrows.insert(root.clone(), modules.arrows());
        }
        for (file, source) in &workspace.files {
            facts.lengths.push((file.clone(), source.lines));
            if for_tests.get(file) != Some(&true) {
                facts.measures.read(file, source);
            }
        }
        facts
    }

    /// Two targets may share a file, and a circle.
    fn add_circles(&mut self, circles: Vec<Circle>) {
        for circle in circles {
            if self.circles.iter().all(|known| known.files != circle.files) {
                self.circles.push(circle);
            }
        }
    }

    /// The arrows of a target that start in certain files and end where they may not, a line each.
    pub(crate) fn arrows_out(
        &self,
        target: &Path,
        starts: impl Fn(&Path) -> bool,
        may_end: impl Fn(&Path) -> bool,
    ) -> Vec<String> {
        let mut out = Vec::new();
        for (from, uses) in self.arrows.get(target).into_iter().flatten() {
            for (to, arrow) in uses.iter().filter(|(to, _)| starts(from) && !may_end(to)) {
                let names: Vec<&str> = arrow.names.iter().map(String::as_str).collect();
                let (from, line, to) = (from.display(), arrow.line, to.display());
                out.push(format!("{from}:{line}: uses {to}: {}", names.join(", ")));
            }
        }
        out
    }
}
