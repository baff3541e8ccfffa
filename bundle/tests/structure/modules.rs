//! The modules of one target, by the rules of the compiler: which file each is in, and what it names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use syn::parse::ParseStream;
use syn::{Expr, ExprLit, Item, ItemMod, Lit, Meta, Token};

use super::mentions::{Import, Mention, Mentions};
use super::source::{Source, Workspace, for_tests};

/// One module, a file of its own or a block in one.
pub(crate) struct Module {
    /// The file that it is written in.
    pub(crate) file: PathBuf,
    /// The module around it; the root has none.
    pub(crate) parent: Option<usize>,
    /// Whether it is compiled for tests alone.
    pub(crate) test: bool,
    /// Modules declared in it, by name.
    pub(crate) children: HashMap<String, usize>,
    /// Names of the items written in it.
    pub(crate) items: HashSet<String>,
    /// Its `use` declarations, a name each.
    pub(crate) imports: Vec<Import>,
    /// Modules whose names are all brought in.
    pub(crate) globs: Vec<Vec<String>>,
    /// Paths in its code.
    pub(crate) mentions: Vec<Mention>,
}

/// All modules of one target; the first is the root.
pub(crate) struct Modules<'a> {
    /// Where the files are looked up.
    workspace: &'a Workspace,
    /// The modules, parents before children.
    pub(crate) all: Vec<Module>,
}

impl<'a> Modules<'a> {
    /// Follows the declarations from a target's root file.
    pub(crate) fn of(workspace: &'a Workspace, root: &Path) -> Self {
        let mut modules = Self { workspace, all: Vec::new() };
        modules.add_file(root, None, root.parent().unwrap(), false);
        modules
    }

    /// Adds a file as a module; files that it declares lie in `folder`.
    fn add_file(&mut self, file: &Path, parent: Option<usize>, folder: &Path, test: bool) -> usize {
        let Some(source): Option<&'a Source> = self.workspace.files.get(file) else {
            panic!("{} is declared but not there", file.display());
        };
        self.add(&source.syntax.items, Place { file, parent, folder, inline: false, test })
    }

    /// Adds a module and those declared in it.
    fn add(&mut self, items: &'a [Item], place: Place<'_>) -> usize {
        let number = self.all.len();
        let mentions = Mentions::of(items);
        self.all.push(Module {
            file: place.file.to_path_buf(),
            parent: place.parent,
            test: place.test,
            children: HashMap::new(),
            items: mentions.items,
            imports: mentions.imports,
            globs: mentions.globs,
            mentions: mentions.paths,
        });
        for item in items {
            if let Item::Mod(module) = item {
                let child = self.add_child(module, number, place);
                self.all[number].children.entry(module.ident.to_string()).or_insert(child);
            }
        }
        number
    }

    /// Adds what `mod name;` or `mod name { … }` declares.
    fn add_child(&mut self, module: &'a ItemMod, parent: usize, place: Place<'_>) -> usize {
        let test = place.test || for_tests(&module.attrs);
        let name = module.ident.to_string();
        let folder = place.folder.join(&name);
        let parent = Some(parent);
        if let Some((_, items)) = &module.content {
            return self.add(items, Place { parent, folder: &folder, inline: true, test, ..place });
        }
        let base = if place.inline { place.folder } else { place.file.parent().unwrap() };
        // One file for each system; those that are used look alike from outside.
        let named = named_files(module).into_iter().map(|path| {
            let file = plain(&base.join(path));
            self.add_file(&file, parent, file.parent().unwrap(), test)
        });
        if let Some(first) = named.reduce(|first, _| first) {
            return first;
        }
        let file = folder.with_extension("rs");
        let in_folder = folder.join("mod.rs");
        let file = if self.workspace.files.contains_key(&in_folder) { in_folder } else { file };
        self.add_file(&file, parent, &folder, test)
    }
}

/// Where a module stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The file that it is written in.
    file: &'a Path,
    /// The module around it.
    parent: Option<usize>,
    /// Where the files of its modules lie.
    folder: &'a Path,
    /// Whether it is a block in a file.
    inline: bool,
    /// Whether it is compiled for tests alone.
    test: bool,
}

/// The files named by `#[path = "…"]`, under a condition or not.
fn named_files(module: &ItemMod) -> Vec<String> {
    let named = module.attrs.iter().filter_map(|attribute| {
        if attribute.path().is_ident("cfg_attr") {
            let (_, path) = attribute.parse_args_with(condition_and_attribute).ok()?;
            return named_file(&path);
        }
        named_file(&attribute.meta)
    });
    named.collect()
}

/// `condition, attribute`, as in `cfg_attr`.
fn condition_and_attribute(input: ParseStream<'_>) -> syn::Result<(Meta, Meta)> {
    let condition = input.parse()?;
    input.parse::<Token![,]>()?;
    Ok((condition, input.parse()?))
}

/// The file in `path = "…"`.
fn named_file(attribute: &Meta) -> Option<String> {
    match attribute {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// A path without `..` in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path {
        if part == ".." {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}
