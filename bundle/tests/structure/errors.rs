//! Errors that tell in their own words what they hand over as their source: whoever prints the chain
//! would tell it twice.

use std::path::Path;

use proc_macro2::{Ident, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, ItemStruct, Meta, Variant};

use super::measures::Spot;

/// Variants and structs of a file whose `#[error("…")]` shows the field that is their source.
pub(crate) fn told_twice(file: &Path, syntax: &syn::File) -> Vec<Spot> {
    let mut found = ToldTwice { file, spots: Vec::new() };
    found.visit_file(syntax);
    found.spots
}

struct ToldTwice<'a> {
    file: &'a Path,
    spots: Vec<Spot>,
}

impl ToldTwice<'_> {
    /// A variant or a struct.
    fn look(&mut self, name: &Ident, attributes: &[Attribute], fields: &Fields) {
        let Some(text) = attributes.iter().find_map(message) else { return };
        let sources = fields.iter().enumerate().filter(|(_, field)| {
            let named = field.ident.as_ref().is_some_and(|name| name == "source");
            let marked = |attribute: &Attribute| {
                attribute.path().is_ident("source") || attribute.path().is_ident("from")
            };
            named || field.attrs.iter().any(marked)
        });
        for (place, field) in sources {
            let called = field.ident.as_ref().map_or(place.to_string(), ToString::to_string);
            let shown = ["}", ":"].iter().any(|end| text.contains(&format!("{{{called}{end}")));
            if shown {
                let line = name.span().start().line;
                self.spots.push(Spot { file: self.file.to_owned(), line, text: name.to_string() });
            }
        }
    }
}

/// The text of an `#[error("…")]`; nothing where the error within speaks for it.
fn message(attribute: &Attribute) -> Option<String> {
    let Meta::List(list) = &attribute.meta else { return None };
    if !list.path.is_ident("error") {
        return None;
    }
    match list.tokens.clone().into_iter().next()? {
        TokenTree::Literal(text) => Some(text.to_string()),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for ToldTwice<'_> {
    fn visit_variant(&mut self, variant: &'ast Variant) {
        self.look(&variant.ident, &variant.attrs, &variant.fields);
        visit::visit_variant(self, variant);
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.look(&item.ident, &item.attrs, &item.fields);
        visit::visit_item_struct(self, item);
    }
}

#[test]
fn an_error_that_shows_its_source_is_seen() {
    let planted = r#"
        enum Planted {
            #[error("cannot open: {source}; see to it")]
            Named { source: u8 },
            #[error("it has {0}")]
            Numbered(#[from] u8),
            #[error("it has {reason}")]
            Marked { #[source] reason: u8 },
            #[error(transparent)]
            Within(#[from] u8),
            #[error("it fails")]
            Silent { source: u8 },
            #[error("it fails: {reason}")]
            Kept { reason: u8 },
        }
        #[error("{source:?}")]
        struct Whole { source: u8 }
    "#;
    let syntax = syn::parse_file(planted).unwrap();
    let found = told_twice(Path::new("planted.rs"), &syntax);
    let names: Vec<_> = found.iter().map(|spot| spot.text.as_str()).collect();
    assert_eq!(names, ["Named", "Numbered", "Marked", "Whole"]);
    assert_eq!(found[0].line, 4);
}
