//! What a check is, and all of them.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::report::Report;
use crate::subject::Subject;
use crate::{describe, faults, fuzz, hosts, load, parameters, render, soak, state, threads};

/// One thing that is looked at.
pub(crate) struct Check {
    /// `level.thing`; ids are forever.
    pub(crate) id: &'static str,
    /// What it looks at.
    pub(crate) about: &'static str,
    /// Why that matters to hosts or artists.
    pub(crate) why: &'static str,
    /// What to do where it fails.
    pub(crate) fix: &'static str,
    /// How many seconds it may take.
    pub(crate) patience: u64,
    pub(crate) work: fn(&Subject, &mut Report),
}

/// Checks that go together.
pub(crate) struct Level {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) checks: &'static [Check],
}

/// All levels, in order.
pub(crate) const LEVELS: &[Level] = &[
    Level { number: 1, name: "load", checks: load::CHECKS },
    Level { number: 2, name: "describe", checks: describe::CHECKS },
    Level { number: 3, name: "parameters", checks: parameters::CHECKS },
    Level { number: 4, name: "render", checks: render::CHECKS },
    Level { number: 5, name: "threads", checks: threads::CHECKS },
    Level { number: 6, name: "hosts", checks: hosts::CHECKS },
    Level { number: 7, name: "state", checks: state::CHECKS },
    Level { number: 8, name: "faults", checks: faults::CHECKS },
    Level { number: 9, name: "fuzz", checks: fuzz::CHECKS },
    Level { number: 10, name: "soak", checks: soak::CHECKS },
];

/// The check of that id.
pub(crate) fn named(id: &str) -> Option<&'static Check> {
    LEVELS.iter().flat_map(|level| level.checks).find(|check| check.id == id)
}

/// What every check is.
pub(crate) fn list() -> String {
    let mut text = String::new();
    for level in LEVELS {
        let _ = writeln!(text, "Level {}: {}", level.number, level.name);
        for check in level.checks {
            let Check { id, about, why, fix, .. } = check;
            let _ = writeln!(
                text,
                "  {id}\n    looks at: {about}\n    why:      {why}\n    fix:      {fix}"
            );
        }
    }
    text
}

/// Ids of the checks up to a level; only those that begin like one of `only`, where there are any.
pub(crate) fn chosen(level: u8, only: &[String]) -> BTreeSet<&'static str> {
    let wanted = |id: &str| only.is_empty() || only.iter().any(|start| id.starts_with(start));
    let levels = LEVELS.iter().filter(|known| known.number <= level);
    levels.flat_map(|level| level.checks).map(|check| check.id).filter(|id| wanted(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_say_their_level_and_every_check_speaks() {
        let mut seen = BTreeSet::new();
        for level in LEVELS {
            assert!(!level.checks.is_empty());
            for check in level.checks {
                let (prefix, _) = check.id.split_once('.').unwrap();
                assert!(level.name.starts_with(prefix), "{}", check.id);
                assert!(seen.insert(check.id), "{} is there twice", check.id);
                assert!(named(check.id).is_some());
                for words in [check.about, check.why, check.fix] {
                    assert!(words.len() > 10 && words.ends_with('.'), "{}: {words:?}", check.id);
                }
            }
        }
        assert_eq!(
            LEVELS.iter().map(|level| level.number).collect::<Vec<_>>(),
            (1..=10).collect::<Vec<_>>()
        );
    }

    #[test]
    fn checks_are_chosen_by_level_and_id() {
        assert!(chosen(1, &[]).iter().all(|id| id.starts_with("load.")));
        assert_eq!(
            chosen(10, &[]).len(),
            LEVELS.iter().map(|level| level.checks.len()).sum::<usize>()
        );
        let only = chosen(8, &["render.".to_owned()]);
        assert!(!only.is_empty() && only.iter().all(|id| id.starts_with("render.")));
    }
}
