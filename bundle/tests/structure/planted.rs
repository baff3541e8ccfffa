//! Small trees with something planted in them: what the checks must see, and must not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::circles::circles;
use super::facts::Facts;
use super::modules::Modules;
use super::source::{Target, Workspace};

/// A library of these files, `lib.rs` among them.
fn library(files: &[(&str, &str)]) -> Workspace {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Workspace::with_targets(folder.path(), vec![Target { root: PathBuf::from("lib.rs") }])
}

/// The files of each circle.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let workspace = library(files);
    let found = circles(&Modules::of(&workspace, Path::new("lib.rs")));
    let names = |files: &BTreeSet<PathBuf>| {
        files.iter().map(|file| file.to_str().unwrap().to_owned()).collect()
    };
    found.iter().map(|circle| names(&circle.files)).collect()
}

#[test]
fn a_circle_of_imports_is_found() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use super::c::{self, C}; pub struct B(c::C);"),
        ("c.rs", "pub struct C(Box<crate::a::A>);"),
    ];
    assert_eq!(circles_of(&files), [["a.rs", "b.rs", "c.rs"]]);
}

#[test]
fn a_circle_through_a_re_export_is_of_the_files_that_define() {
    let files = [
        ("lib.rs", "mod a; mod door; pub use a::A;"),
        ("a.rs", "use crate::door::B; pub struct A(B);"),
        ("door.rs", "mod b; mod own; pub use self::b::{B, make}; pub use own::*;"),
        ("door/b.rs", "pub struct B(Box<crate::A>); pub fn make() {}"),
        ("door/own.rs", "pub struct Own;"),
    ];
    assert_eq!(circles_of(&files), [["a.rs", "door/b.rs"]]);
}

#[test]
fn a_circle_in_bodies_and_macros_is_found() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub fn a() { crate::b::b(); }"),
        ("b.rs", "pub fn b() { println!(\"{:?}\", (1, [crate::a::a()])); }"),
    ];
    assert_eq!(circles_of(&files), [["a.rs", "b.rs"]]);
}

#[test]
fn a_circle_past_a_parent_is_found() {
    let files = [
        ("lib.rs", "mod parent; mod aunt;"),
        ("parent.rs", "mod child; use child::Child; pub struct Parent(Child);"),
        ("parent/child.rs", "use crate::aunt::Aunt; pub struct Child(Aunt);"),
        ("aunt.rs", "use crate::parent::Parent; pub struct Aunt(Box<Parent>);"),
    ];
    assert_eq!(circles_of(&files), [["aunt.rs", "parent/child.rs", "parent.rs"]]);
}

#[test]
fn parents_and_children_may_use_one_another() {
    let files = [
        ("lib.rs", "mod parent; pub fn of_all() { parent::make(); }"),
        ("parent.rs", "mod one; mod two; use {one::One, two::Two}; pub fn make() -> (One, Two) {}"),
        (
            "parent/one.rs",
            "use super::make; pub struct One; fn again() { make(); crate::of_all() }",
        ),
        ("parent/two.rs", "use super::*; pub struct Two; fn again() { make(); One }"),
    ];
    assert_eq!(circles_of(&files), [[""; 0]; 0]);
}

#[test]
fn tests_make_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub struct A; #[cfg(test)] use crate::b::B; #[cfg(test)] mod tests;"),
        ("a/tests.rs", "use super::*; use crate::b::B; #[test] fn works() { crate::b::b(); }"),
        ("b.rs", "use crate::a::A; pub struct B(A); pub fn b() {}"),
    ];
    assert_eq!(circles_of(&files), [[""; 0]; 0]);
}

#[test]
fn arrows_that_leave_are_listed() {
    let files = [
        ("lib.rs", "mod above; mod below; mod ground; #[cfg(test)] mod tests;"),
        ("above.rs", "use crate::ground::Ground; pub struct Above(Ground); pub const UP: u8 = 1;"),
        ("below.rs", "pub struct Below;"),
        (
            "ground.rs",
            "#[cfg_attr(unix, path = \"ground/unix.rs\")]\n#[cfg_attr(windows, path = \"ground/w.rs\")]\n\
            mod system;\npub struct Ground(crate::below::Below);\n",
        ),
        ("ground/unix.rs", "use crate::above::Above;\nfn system() -> Above { crate::above::UP }"),
        (
            "ground/w.rs",
            "use crate::below::Below as _;\n\nuse super::super::above as up;\n\
            fn system() -> up::Above {}",
        ),
        ("tests.rs", "use crate::above::Above;"),
    ];
    let facts = Facts::of(&library(&files));
    let is_ground = |file: &Path| file.to_str().unwrap().starts_with("ground");
    let out = facts.arrows_out(Path::new("lib.rs"), is_ground, |to| to != Path::new("above.rs"));
    let wanted =
        ["ground/unix.rs:1: uses above.rs: Above, UP", "ground/w.rs:4: uses above.rs: Above"];
    assert_eq!(out, wanted);
}

#[test]
fn lines_words_and_names_are_counted() {
    let text = "/// Two words.\nstruct One {\n    /// A field\n    /// on two lines.\n    field: u8,\n}\n\
        impl One {\n    fn long(&self) {\n        todo!();\n    }\n}\nmade! { enum Two {} }\n";
    let tests = "#[cfg(test)]\nmod tests;\n";
    let files = [("lib.rs", &*format!("{text}{tests}")), ("tests.rs", "/// One.\nstruct One;")];
    let facts = Facts::of(&library(&files));
    let measures = &facts.measures;
    let spots = |counted: &[(super::measures::Spot, usize)]| -> Vec<String> {
        counted.iter().map(|(spot, count)| format!("{}: {count}", spot.named())).collect()
    };
    assert_eq!(spots(&measures.functions), ["lib.rs:8: long: 3"]);
    let docs = ["lib.rs:1: Two words.: 2", "lib.rs:3: A field on two lines.: 5"];
    assert_eq!(spots(&measures.docs), docs);
    let types: Vec<String> = measures.types.iter().map(|spot| spot.named()).collect();
    assert_eq!(types, ["lib.rs:2: One", "lib.rs:12: Two"]);
    assert_eq!(facts.lengths, [(PathBuf::from("lib.rs"), 14), (PathBuf::from("tests.rs"), 2)]);
}
