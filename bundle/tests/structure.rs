//! The shape of the source: no circles of modules, nothing too long, a name for one thing only.
//!
//! Files are parsed and `use` declarations and paths are followed, through re-exports, to the files
//! that define things. Methods are not followed: a file is tied to the types that it names. What is
//! compiled for tests alone counts only where the length of files is asked for; circles and names
//! are not asked for under `tests`, where hosts and plug-ins are played.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::panic, reason = "a test that cannot go on fails")]

mod structure {
    pub(crate) mod arrows;
    pub(crate) mod circles;
    pub(crate) mod errors;
    pub(crate) mod facts;
    pub(crate) mod items;
    pub(crate) mod measures;
    pub(crate) mod mentions;
    pub(crate) mod modules;
    pub(crate) mod planted;
    pub(crate) mod source;
}

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use structure::facts::Facts;
use structure::measures::Spot;
use structure::source::{Workspace, among_tests};

/// The most lines of a file.
const FILE_LINES: usize = 500;
/// Files that may be longer, and why: tables of data.
const LONG_FILES: [(&str, &str); 0] = [];

/// The most lines of a function, from brace to brace. A `#[test]` may tell a longer story.
const FUNCTION_LINES: usize = 60;
/// Functions that may be longer, and why.
const LONG_FUNCTIONS: [(&str, &str, &str); 2] = [
    ("core/src/weights/pickle.rs", "run", "one match over the opcodes of a format"),
    ("tests/host/check/remedy.rs", "of", "a table: a sentence for each rule"),
];

/// Docs of so few words say no more than the name.
const SHORT_DOC_WORDS: usize = 3;
/// The most of them.
const SHORT_DOCS: usize = 99;

/// The most names that several types may share.
const SHARED_TYPE_NAMES: usize = 39;

/// The library of the plug-in.
const PLUGIN: &str = "ofx-plugin/src/lib.rs";
/// Its ground floor, a file and a folder.
const HOST: &str = "ofx-plugin/src/host";
/// What lies below that: constants of OpenFX's headers, the statuses that it knows, and what is drawn
/// on.
const BELOW_HOST: [&str; 3] =
    ["ofx-plugin/src/names.rs", "ofx-plugin/src/ofx_status.rs", "ofx-plugin/src/surface.rs"];

/// The checkout that this test was built in.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What is known of the checkout, read by whichever test comes first.
fn facts() -> &'static Facts {
    static FACTS: OnceLock<Facts> = OnceLock::new();
    FACTS.get_or_init(|| Facts::of(&Workspace::read(&root())))
}

/// Fails if more was found than may be, and prints it otherwise.
fn judge(found: &[String], most: usize, what: &str, remedy: &str) {
    let (count, list) = (found.len(), found.join("\n"));
    assert!(count <= most, "{count} {what}, {most} may be. {remedy}\n{list}");
    println!("{count} {what}, {most} may be:\n{list}");
}

/// Fails where a list of exceptions names something that is none.
fn all_needed<T: PartialEq + std::fmt::Debug>(allowed: &[T], long: &[T]) {
    let idle: Vec<_> = allowed.iter().filter(|entry| !long.contains(entry)).collect();
    assert!(idle.is_empty(), "not too long, or not there; take these from the list: {idle:?}");
}

/// Whether a file belongs to the ground floor of the plug-in.
fn is_host(file: &Path) -> bool {
    file.starts_with(HOST) || file == Path::new(HOST).with_extension("rs")
}

/// Whether a file lies below the ground floor of the plug-in.
fn is_below_host(file: &Path) -> bool {
    BELOW_HOST.iter().any(|below| file == Path::new(below))
}

#[test]
fn modules_form_no_circles() {
    let found: Vec<String> = facts().circles.iter().map(ToString::to_string).collect();
    let remedy = "Move what both sides need to a file below them, or hand it over as an argument. Each \
        line: the first place where a file names something of another, and all the names.";
    judge(&found, 0, "circles of modules", remedy);
}

#[test]
fn no_file_is_too_long() {
    let long = facts().lengths.iter().filter(|(_, lines)| *lines > FILE_LINES);
    let long: Vec<_> = long.map(|(file, lines)| (file.to_str().unwrap(), lines)).collect();
    let allowed = LONG_FILES.map(|(file, _)| file);
    all_needed(&allowed, &long.iter().map(|(file, _)| *file).collect::<Vec<_>>());
    let found = long.iter().filter(|(file, _)| !allowed.contains(file));
    let found: Vec<_> = found.map(|(file, lines)| format!("{file}:1: {lines} lines")).collect();
    let what = format!("files of more than {FILE_LINES} lines");
    judge(&found, 0, &what, "Give each question that it answers a file of its own.");
}

#[test]
fn no_function_is_too_long() {
    let functions = facts().measures.functions.iter();
    let long: Vec<_> = functions.filter(|(_, lines)| *lines > FUNCTION_LINES).collect();
    let key = |spot: &'static Spot| (spot.file.to_str().unwrap(), spot.text.as_str());
    let allowed = LONG_FUNCTIONS.map(|(file, name, _)| (file, name));
    all_needed(&allowed, &long.iter().map(|(spot, _)| key(spot)).collect::<Vec<_>>());
    let found = long.iter().filter(|(spot, _)| !allowed.contains(&key(spot)));
    let found: Vec<_> =
        found.map(|(spot, lines)| format!("{}: {lines} lines", spot.named())).collect();
    let what = format!("functions of more than {FUNCTION_LINES} lines");
    judge(&found, 0, &what, "Give its steps names: each a function, on one level.");
}

#[test]
fn few_docs_are_too_short_to_help() {
    let docs = facts().measures.docs.iter().filter(|(_, words)| *words <= SHORT_DOC_WORDS);
    let found: Vec<_> = docs.map(|(spot, _)| spot.named()).collect();
    let what = format!("docs of {SHORT_DOC_WORDS} words or fewer");
    let remedy =
        "Say what a reader cannot see in name and type: what for, which unit, which limits.";
    judge(&found, SHORT_DOCS, &what, remedy);
}

#[test]
fn no_error_tells_its_source_itself() {
    let found: Vec<_> = facts().measures.told_twice.iter().map(Spot::named).collect();
    let remedy = "Call the field `reason` where its text is in the message, or leave it out of the \
        message: the chain of sources is printed too.";
    judge(&found, 0, "errors that would be told twice", remedy);
}

#[test]
fn few_names_stand_for_several_types() {
    let mut places: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for spot in facts().measures.types.iter().filter(|spot| !among_tests(&spot.file)) {
        places.entry(&spot.text).or_default().insert(spot.place());
    }
    let shared = places.into_iter().filter(|(_, places)| places.len() > 1);
    let line = |(name, places): (&str, BTreeSet<String>)| {
        format!("{name}: {}", places.into_iter().collect::<Vec<_>>().join(", "))
    };
    let found: Vec<_> = shared.map(line).collect();
    let remedy = "Call each what it is: `VideoFrame`, not the second `Frame`.";
    judge(&found, SHARED_TYPE_NAMES, "names of several types", remedy);
}

#[test]
fn the_library_of_takes_is_unsafe_in_one_call() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    assert!(read("take/src/lib.rs").contains("#![deny(unsafe_code)]"), "it is no longer denied");
    let files = facts().lengths.iter().filter(|(file, _)| file.starts_with("take/src"));
    let files = files.map(|(file, _)| file.to_str().unwrap());
    let times =
        |file| read(file).matches("(unsafe_code").count() + read(file).matches("unsafe {").count();
    let found: Vec<_> =
        files.map(|file| (file, times(file))).filter(|(_, times)| *times > 0).collect();
    let expected = [("take/src/engine/transport/wait.rs", 2), ("take/src/lib.rs", 1)];
    assert_eq!(found, expected, "unsafe code belongs into the crates that have to have it");
}

#[test]
fn the_host_of_the_plugin_stands_on_nothing_above_it() {
    let plugin = Path::new(PLUGIN);
    let facts = facts();
    assert!(facts.arrows[plugin].keys().any(|file| is_host(file)), "{HOST} is not there");
    for below in BELOW_HOST {
        assert!(facts.lengths.iter().any(|(file, _)| file == Path::new(below)), "no {below}");
    }
    let mut found = facts.arrows_out(plugin, is_host, |to| is_host(to) || is_below_host(to));
    found.extend(facts.arrows_out(plugin, is_below_host, is_below_host));
    let remedy = "Move what it needs into it, make it generic over what it carries, or name in \
        BELOW_HOST what lies below it.";
    judge(&found, 0, "arrows that leave the host upwards", remedy);
}
