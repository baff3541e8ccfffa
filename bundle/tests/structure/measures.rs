//! What is counted in single files: functions, docs, names of types.

use std::path::{Path, PathBuf};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, Expr, Field, ImplItem, ImplItemFn, Item, ItemFn, ItemMacro, Lit, Meta,
    TraitItem, TraitItemFn, Variant,
};

use super::errors::told_twice;
use super::items::{attributes, attributes_in_impl, name};
use super::source::{Source, for_tests};

/// Something in a file.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    /// The file, relative to the root of the checkout.
    pub(crate) file: PathBuf,
    /// The line that it begins in.
    pub(crate) line: usize,
    /// Its name, or its text.
    pub(crate) text: String,
}

impl Spot {
    /// File and line, as an editor opens them.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }

    /// The place, and what is there.
    pub(crate) fn named(&self) -> String {
        format!("{}: {}", self.place(), self.text)
    }
}

/// What the files hold, outside what is compiled for tests alone.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    /// Functions, with the number of lines from brace to brace.
    pub(crate) functions: Vec<(Spot, usize)>,
    /// The docs of items, fields and variants, with their number of words.
    pub(crate) docs: Vec<(Spot, usize)>,
    /// Structs, enums, unions, traits and aliases.
    pub(crate) types: Vec<Spot>,
    /// Errors that tell their source themselves.
    pub(crate) told_twice: Vec<Spot>,
    /// The file that is being read.
    file: PathBuf,
}

impl Measures {
    /// Adds what a file holds.
    pub(crate) fn read(&mut self, file: &Path, source: &Source) {
        self.file = file.to_path_buf();
        self.told_twice.extend(told_twice(file, &source.syntax));
        self.visit_file(&source.syntax);
    }

    /// A place in the file that is being read.
    fn spot(&self, line: usize, text: String) -> Spot {
        Spot { file: self.file.clone(), line, text }
    }

    /// Adds a function with the lines of its body.
    fn function(&mut self, ident: &Ident, body: &Block) {
        let span = body.brace_token.span;
        let lines = span.close().start().line - span.open().start().line + 1;
        let spot = self.spot(ident.span().start().line, ident.to_string());
        self.functions.push((spot, lines));
    }

    /// Adds the name of a type.
    fn type_name(&mut self, ident: &Ident) {
        self.types.push(self.spot(ident.span().start().line, ident.to_string()));
    }

    /// The text of `///` above something; several lines are one text.
    fn doc(&mut self, attributes: &[Attribute]) {
        let mut lines = Vec::new();
        let mut first = None;
        for attribute in attributes {
            if let (Meta::NameValue(pair), syn::AttrStyle::Outer) =
                (&attribute.meta, &attribute.style)
                && pair.path.is_ident("doc")
                && let Expr::Lit(literal) = &pair.value
                && let Lit::Str(text) = &literal.lit
            {
                first.get_or_insert(attribute.pound_token.span.start().line);
                lines.push(text.value().trim().to_owned());
            }
        }
        let text = lines.join(" ");
        let is_word = |word: &&str| word.contains(char::is_alphanumeric);
        let words = text.split_whitespace().filter(is_word).count();
        if let Some(line) = first {
            self.docs.push((self.spot(line, text), words));
        }
    }

    /// The types that a macro's tokens define as they would be defined outside.
    fn types_of(&mut self, tokens: TokenStream) {
        let mut defines = false;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if defines => {
                    self.type_name(&ident);
                    defines = false;
                }
                TokenTree::Ident(ident) => {
                    let ident = ident.to_string();
                    defines = ["struct", "enum", "trait"].contains(&ident.as_str());
                }
                TokenTree::Group(group) => self.types_of(group.stream()),
                _ => defines = false,
            }
        }
    }
}

impl<'ast> Visit<'ast> for Measures {
    fn visit_item(&mut self, item: &'ast Item) {
        if for_tests(attributes(item)) {
            return;
        }
        self.doc(attributes(item));
        if let (
            Item::Struct(_) | Item::Enum(_) | Item::Union(_) | Item::Trait(_) | Item::Type(_),
            Some(name),
        ) = (item, name(item))
        {
            self.type_name(name);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        if item.ident.is_none() {
            self.types_of(item.mac.tokens.clone());
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = attributes_in_impl(item);
        if !for_tests(attributes) {
            self.doc(attributes);
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.function(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        self.doc(match item {
            TraitItem::Const(item) => &item.attrs,
            TraitItem::Fn(item) => &item.attrs,
            TraitItem::Type(item) => &item.attrs,
            _ => &[],
        });
        visit::visit_trait_item(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig.ident, body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_field(&mut self, field: &'ast Field) {
        self.doc(&field.attrs);
        visit::visit_field(self, field);
    }

    fn visit_variant(&mut self, variant: &'ast Variant) {
        self.doc(&variant.attrs);
        visit::visit_variant(self, variant);
    }
}
