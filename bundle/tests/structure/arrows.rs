//! Which file uses which: imports and paths, followed through re-exports to where things are defined.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::modules::{Module, Modules};

/// How many re-exports are followed, one after another.
const DEPTH: usize = 8;

/// What one file takes from another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrow {
    /// The names that it takes.
    pub(crate) names: BTreeSet<String>,
    /// The first line that does.
    pub(crate) line: usize,
}

/// The arrows of one target, from user to used. None goes from a file to itself.
pub(crate) type Arrows = BTreeMap<PathBuf, BTreeMap<PathBuf, Arrow>>;

/// What a path leads to.
#[derive(Clone, Copy)]
enum Found {
    /// A module, in which more names may be found.
    Module(usize),
    /// Something that is written in a module.
    ItemOf(usize),
}

impl Modules<'_> {
    /// The arrows between the files of this target, test modules aside.
    pub(crate) fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (from, module) in self.all.iter().enumerate().filter(|(_, module)| !module.test) {
            for import in &module.imports {
                let to = self.find(from, &import.path, false, DEPTH);
                // A module that shows what its own modules hold does not use it by that.
                let door = import.handed_on
                    && matches!(to, Some(Found::ItemOf(to)) if self.is_above(from, to));
                if !door {
                    self.note(&mut arrows, module, to, &import.path, import.line);
                }
            }
            for mention in &module.mentions {
                let to = self.find(from, &mention.path, false, DEPTH);
                self.note(&mut arrows, module, to, &mention.path, mention.line);
            }
        }
        arrows
    }

    /// The files of the modules that a file's modules stand in.
    pub(crate) fn ancestors(&self, file: &Path) -> BTreeSet<&Path> {
        let mut found = BTreeSet::new();
        for module in self.all.iter().filter(|module| module.file == file) {
            let mut above = module.parent;
            while let Some(parent) = above {
                found.insert(self.all[parent].file.as_path());
                above = self.all[parent].parent;
            }
        }
        found.remove(file);
        found
    }

    /// Adds an arrow, if a path leads to an item in another file.
    fn note(
        &self,
        arrows: &mut Arrows,
        module: &Module,
        to: Option<Found>,
        path: &[String],
        line: usize,
    ) {
        if let Some(Found::ItemOf(to)) = to
            && !self.all[to].test
            && self.all[to].file != module.file
        {
            let uses = arrows.entry(module.file.clone()).or_default();
            let arrow = uses.entry(self.all[to].file.clone()).or_default();
            arrow.line = if arrow.names.is_empty() { line } else { arrow.line.min(line) };
            arrow.names.extend(path.last().cloned());
        }
    }

    /// Whether a module stands in another, directly or further down.
    fn is_above(&self, above: usize, module: usize) -> bool {
        let parent = self.all[module].parent;
        parent.is_some_and(|parent| parent == above || self.is_above(above, parent))
    }

    /// Follows a path from a module. Another crate's leads nowhere.
    fn find(&self, from: usize, path: &[String], module: bool, depth: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        let mut found = match first.as_str() {
            "crate" => Found::Module(0),
            "self" => Found::Module(from),
            "super" => Found::Module(self.all[from].parent?),
            name => self.look_up(from, name, module || !rest.is_empty(), depth)?,
        };
        for (index, name) in rest.iter().enumerate() {
            let Found::Module(at) = found else { return Some(found) };
            let module = module || index + 1 < rest.len();
            found = if name == "super" {
                Found::Module(self.all[at].parent?)
            } else {
                // What is not found in a known module is made there by a macro.
                self.look_up(at, name, module, depth).unwrap_or(Found::ItemOf(at))
            };
        }
        Some(found)
    }

    /// What a name means in a module. Modules and functions may share one: `module` says which is
    /// meant.
    fn look_up(&self, at: usize, name: &str, module: bool, depth: usize) -> Option<Found> {
        let depth = depth.checked_sub(1)?;
        let here = &self.all[at];
        let child = here.children.get(name).copied().map(Found::Module);
        if module && child.is_some() {
            return child;
        }
        if here.items.contains(name) {
            return Some(Found::ItemOf(at));
        }
        let imports = here.imports.iter().filter(|import| import.name == name);
        let mut imported = imports.filter_map(|import| self.find(at, &import.path, module, depth));
        let in_glob = |path: &Vec<String>| match self.find(at, path, true, depth)? {
            Found::Module(within) if within != at => self.look_up(within, name, module, depth),
            _ => None,
        };
        imported.next().or(child).or_else(|| here.globs.iter().find_map(in_glob))
    }
}
