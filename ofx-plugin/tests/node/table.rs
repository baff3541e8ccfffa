//! Rules that every parameter keeps, now and later.

use std::collections::BTreeSet;

use wan_alpha_ofx::params::{Group, Kind, MAX_PROMPT, Shown, TABLE, markdown, position};
use wan_alpha_take::{Precision, Solver};

fn options(id: &std::ffi::CStr) -> Vec<&'static str> {
    match TABLE[position(id).unwrap()].kind {
        Kind::Choice { options } => options.iter().map(|option| option.to_str().unwrap()).collect(),
        other => panic!("{id:?} is {other:?}"),
    }
}

#[test]
fn ids_are_unique_and_fit_scripts() {
    let ids = TABLE.iter().map(|parameter| parameter.id);
    let ids: Vec<_> = ids.chain(Group::ALL.iter().map(|group| group.id())).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    for id in ids {
        let id = id.to_str().unwrap();
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        assert!(id.starts_with(|c: char| c.is_ascii_lowercase()), "{id}");
    }
}

#[test]
fn labels_and_hints_are_there_and_plain() {
    for parameter in TABLE {
        let (label, hint) = (parameter.label.to_str().unwrap(), parameter.hint.to_str().unwrap());
        assert!(!label.is_empty() && !label.contains(['-', '/']), "{label}");
        assert!(hint.ends_with('.') && hint.is_ascii() && label.is_ascii(), "{hint}");
    }
}

#[test]
fn hints_of_prompts_name_their_limit() {
    for id in [c"prompt", c"negativePrompt"] {
        let hint = TABLE[position(id).unwrap()].hint.to_str().unwrap();
        assert!(hint.contains(&format!("Up to {MAX_PROMPT} bytes")), "{hint}");
    }
}

#[test]
fn defaults_lie_within_ranges_and_sliders_too() {
    let inside = |[least, greatest]: [f64; 2], value: f64| least <= value && value <= greatest;
    for parameter in TABLE {
        let id = parameter.id;
        let (defaults, range, display) = match parameter.kind {
            Kind::Int { default, range, display } => {
                (vec![f64::from(default)], range.map(f64::from), display.map(f64::from))
            }
            Kind::Double { default, range, display, .. } => (vec![default], range, display),
            Kind::Double2D { default, range, display, .. } => (default.to_vec(), range, display),
            Kind::Choice { options } => {
                assert!(!options.is_empty(), "{id:?}");
                continue;
            }
            Kind::Text { .. } | Kind::Toggle | Kind::Button => continue,
        };
        assert!(defaults.into_iter().all(|value| inside(range, value)), "{id:?}");
        assert!(range[0] < range[1] && display[0] < display[1], "{id:?}");
        assert!(inside(range, display[1]), "{id:?}");
    }
}

/// Natron undoes only what evaluates, and a choice or a text that animates means nothing.
#[test]
fn what_is_saved_evaluates_and_only_the_ellipse_animates() {
    for parameter in TABLE {
        let id = parameter.id;
        assert_eq!(parameter.persistent, parameter.evaluates, "{id:?}");
        assert_eq!(parameter.animates, parameter.group == Group::Ellipse, "{id:?}");
        if parameter.shown == Shown::Hidden {
            assert!(parameter.persistent, "{id:?}");
        }
    }
    let changed_without_undo =
        TABLE.iter().filter(|parameter| parameter.kind != Kind::Button && !parameter.undoable);
    let ids: Vec<_> = changed_without_undo.map(|parameter| parameter.id).collect();
    assert_eq!(ids, [c"status", c"revision", c"startTyped", c"modelLimits"]);
}

#[test]
fn choices_are_those_of_a_request() {
    let solvers = Solver::ALL.iter().map(|solver| solver.name());
    assert_eq!(options(c"solver"), ["model"].into_iter().chain(solvers).collect::<Vec<_>>());
    let precisions = Precision::ALL.iter().map(|precision| precision.name());
    assert_eq!(options(c"precision"), ["auto"].into_iter().chain(precisions).collect::<Vec<_>>());
}

#[test]
fn documentation_holds_what_an_artist_sees() {
    let text = markdown();
    for parameter in TABLE {
        let row = format!("| `{}` |", parameter.id.to_str().unwrap());
        assert_eq!(text.contains(&row), parameter.shown != Shown::Hidden, "{row}");
    }
    let mu = text.lines().find(|line| line.starts_with("| `mu` |")).unwrap();
    assert!(mu.contains("| Double | 0.05 | -1 to 1 | 0 to 0.3 | yes |"), "{mu}");
    let cells = |line: &str| line.matches(" |").count();
    let rows = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--"));
    assert!(rows.map(cells).all(|cells| cells == 8), "{text}");
}

/// Written anew with `WAN_ALPHA_WRITE_DOCS=1 cargo test -p wan-alpha-ofx --test node`.
#[test]
fn the_documentation_is_that_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/parameters.md");
    let head = "# Parameters of the node\n\nMade from the table in `ofx-plugin/src/params`; a test \
                keeps it so. Ids, types, defaults, ranges and choices never change.\n\n";
    let wanted = format!("{head}{}", markdown().trim_end().to_owned() + "\n");
    if std::env::var_os("WAN_ALPHA_WRITE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), wanted);
}
