//! Circles: files that use one another, each reached from each.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::arrows::Arrows;
use super::modules::Modules;

/// Files that use one another, and what ties them.
#[derive(Debug, Clone)]
pub(crate) struct Circle {
    /// Every file that can be reached from every other.
    pub(crate) files: BTreeSet<PathBuf>,
    /// The arrows among them.
    ties: Arrows,
}

/// The circles of a target. What a module takes from those that it stands in is no part of one: a
/// parent may serve its children, and use them.
pub(crate) fn circles(modules: &Modules<'_>) -> Vec<Circle> {
    let mut arrows = modules.arrows();
    for (from, uses) in &mut arrows {
        let above = modules.ancestors(from);
        uses.retain(|to, _| !above.contains(to.as_path()));
    }
    let mut found: Vec<Circle> = Vec::new();
    for file in arrows.keys() {
        let known = found.iter().any(|circle| circle.files.contains(file));
        let reached = reached(&arrows, file);
        if !known && reached.contains(file) {
            let mut files = reached;
            files.retain(|other| self::reached(&arrows, other).contains(file));
            let mut ties = arrows.clone();
            ties.retain(|from, _| files.contains(from));
            ties.values_mut().for_each(|uses| uses.retain(|to, _| files.contains(to)));
            found.push(Circle { files, ties });
        }
    }
    found
}

/// All files that can be reached from one; itself only around a circle.
fn reached(arrows: &Arrows, from: &Path) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from.to_path_buf()];
    while let Some(file) = open.pop() {
        for next in arrows.get(&file).into_iter().flat_map(|uses| uses.keys()) {
            if reached.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    reached
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a circle of {} files:", self.files.len())?;
        for (from, uses) in &self.ties {
            for (to, arrow) in uses {
                let names: Vec<&str> = arrow.names.iter().map(String::as_str).collect();
                let (from, line, to) = (from.display(), arrow.line, to.display());
                write!(f, "\n    {from}:{line} uses {to}: {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}
