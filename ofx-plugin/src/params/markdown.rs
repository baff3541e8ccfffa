//! The table of parameters as text, for people.

use std::ffi::CStr;

use super::{Group, Kind, Shown, TABLE};

/// One Markdown table per group, in the order of the panel; hidden parameters are left out.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for &group in Group::ALL {
        text += &format!(
            "## {}\n\n| id | label | type | default | range | slider | animates | |\n\
             |---|---|---|---|---|---|---|---|\n",
            words(group.label())
        );
        let shown = |parameter: &&super::Parameter| {
            parameter.group == group && parameter.shown != Shown::Hidden
        };
        for parameter in TABLE.iter().filter(shown) {
            let [default, range, slider] = values(&parameter.kind);
            text += &format!(
                "| `{}` | {} | {} | {default} | {range} | {slider} | {} | {} |\n",
                words(parameter.id),
                words(parameter.label),
                parameter.kind.name(),
                if parameter.animates { "yes" } else { "" },
                words(parameter.hint).replace('|', "\\|"),
            );
        }
        text.push('\n');
    }
    text
}

/// Default, hard range and display range, in words.
fn values(kind: &Kind) -> [String; 3] {
    let nothing = String::new;
    match kind {
        Kind::Toggle => ["off".to_owned(), nothing(), nothing()],
        Kind::Button => [nothing(), nothing(), nothing()],
        Kind::Text { default, .. } => [words(default), nothing(), nothing()],
        Kind::Int { default, range, display } => [default.to_string(), span(range), span(display)],
        Kind::Double { default, range, display, .. } => {
            [default.to_string(), span(range), span(display)]
        }
        Kind::Double2D { default: [x, y], range, display, .. } => {
            [format!("{x}, {y}"), span(range), span(display)]
        }
        Kind::Choice { options } => {
            let names: Vec<_> = options.iter().map(|option| words(option)).collect();
            [names.first().cloned().unwrap_or_default(), names.join(", "), nothing()]
        }
    }
}

fn span<T: std::fmt::Display>([least, greatest]: &[T; 2]) -> String {
    format!("{least} to {greatest}")
}

fn words(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}
