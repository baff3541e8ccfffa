//! What the code of one module names: its own items, its imports, and the paths in types, expressions,
//! macros and attributes. What is compiled for tests alone is passed over.

use std::collections::HashSet;

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ForeignItem, ImplItem, Item, ItemUse, Macro, Meta, UseTree, Visibility};

use super::items::{attributes, attributes_in_impl, name};
use super::source::for_tests;

/// A path in the code.
#[derive(Debug)]
pub(crate) struct Mention {
    /// Its names, without generics.
    pub(crate) path: Vec<String>,
    /// The line that it stands in.
    pub(crate) line: usize,
}

/// One name brought in by `use`.
#[derive(Debug)]
pub(crate) struct Import {
    /// What it is called here.
    pub(crate) name: String,
    /// What it is called elsewhere, and where.
    pub(crate) path: Vec<String>,
    /// The line that it stands in.
    pub(crate) line: usize,
    /// Whether it is handed on: `pub use` in any form.
    pub(crate) handed_on: bool,
}

/// All that a module names.
#[derive(Default)]
pub(crate) struct Mentions {
    /// Names of the items written in it.
    pub(crate) items: HashSet<String>,
    /// Its `use` declarations, those in functions too.
    pub(crate) imports: Vec<Import>,
    /// Modules brought in whole, by `use path::*`.
    pub(crate) globs: Vec<Vec<String>>,
    /// Every path outside of `use`, in order.
    pub(crate) paths: Vec<Mention>,
}

impl Mentions {
    /// Reads the items of a module, without the modules among them.
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut mentions = Self::default();
        for item in items {
            if !matches!(item, Item::Mod(_)) {
                mentions.visit_item(item);
            }
        }
        mentions
    }

    /// Takes a tree of `use` apart.
    fn import(&mut self, tree: &UseTree, before: &[String], handed_on: bool) {
        let longer = |ident: &Ident| {
            let mut path = before.to_vec();
            // `{self}` is the module itself.
            if before.is_empty() || ident != "self" {
                path.push(ident.to_string());
            }
            path
        };
        let (ident, path) = match tree {
            UseTree::Path(path) => return self.import(&path.tree, &longer(&path.ident), handed_on),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, before, handed_on));
            }
            UseTree::Glob(_) => return self.globs.push(before.to_vec()),
            UseTree::Name(name) => (&name.ident, longer(&name.ident)),
            UseTree::Rename(name) => (&name.rename, longer(&name.ident)),
        };
        let name = if ident == "self" { path.last().cloned().unwrap() } else { ident.to_string() };
        self.imports.push(Import { name, path, line: ident.span().start().line, handed_on });
    }

    /// Reads the paths of tokens that nothing has parsed. A single name counts only if it may name an
    /// item: not after `.` or `$`.
    fn tokens(&mut self, tokens: TokenStream, single_names: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |index: usize, mark: char| matches!(tokens.get(index), Some(TokenTree::Punct(punct)) if punct.as_char() == mark);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream(), single_names),
                TokenTree::Ident(first) => {
                    let before = at.checked_sub(1);
                    let line = first.span().start().line;
                    let mut path = vec![first.to_string()];
                    while is(at + 1, ':')
                        && is(at + 2, ':')
                        && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    let no_item = before.is_some_and(|before| {
                        is(before, '.') || is(before, ':') || (is(before, '$') && first != "crate")
                    });
                    if !no_item && (single_names || path.len() > 1) {
                        self.paths.push(Mention { path, line });
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_item(&mut self, item: &'ast Item) {
        if for_tests(attributes(item)) {
            return;
        }
        self.items.extend(name(item).map(Ident::to_string));
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !for_tests(attributes_in_impl(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_foreign_item(&mut self, item: &'ast ForeignItem) {
        if let ForeignItem::Fn(function) = item {
            self.items.insert(function.sig.ident.to_string());
        }
        visit::visit_foreign_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // `::name` is another crate.
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let line = path.segments[0].ident.span().start().line;
            let path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.paths.push(Mention { path, line });
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, macro_call: &'ast Macro) {
        self.tokens(macro_call.tokens.clone(), true);
        visit::visit_macro(self, macro_call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone(), false);
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
