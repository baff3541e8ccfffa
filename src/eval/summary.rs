//! What many takes come to together: whether subjects are where they were asked to be, have the
//! color they were asked in, and look like their kind. A draft model is judged by this.

use serde_json::json;

use super::judged::JudgedTake;
use super::measure::{confusion, told_apart};
use super::table::{Best, Cell, MeasureColumn, SummaryLine, Table};

/// Fewer takes than this correlate by chance.
const ENOUGH: usize = 3;

const CORRELATION_X: MeasureColumn = column(
    "centre_correlation_x",
    "center correlation x",
    3,
    "correlation over takes of asked and found center, left to right; each the mean over time",
);
const CORRELATION_Y: MeasureColumn = column(
    "centre_correlation_y",
    "center correlation y",
    3,
    "correlation over takes of asked and found center, bottom to top; each the mean over time",
);
const COLOR: MeasureColumn = column(
    "colour_right",
    "color right, %",
    1,
    "takes whose dominant hue has the name that was asked for, in percent",
);
const KIND: MeasureColumn = column(
    "kind_right",
    "kind right, %",
    1,
    "takes nearest to another of their own kind, in percent: one nearest neighbor in simple image \
     statistics that know neither place, size nor hue, the take itself left out",
);

/// Of the takes that were asked to be so, by the label `opacity`.
const OPACITIES: [(&str, MeasureColumn); 2] = [
    (
        "opaque",
        column(
            "inner_alpha_opaque",
            "inner alpha, opaque",
            3,
            "mean inner alpha of what was asked opaque",
        ),
    ),
    (
        "translucent",
        MeasureColumn {
            best: Best::Neither,
            ..column(
                "inner_alpha_translucent",
                "inner alpha, translucent",
                3,
                "mean inner alpha of what was asked translucent",
            )
        },
    ),
];

const fn column(
    id: &'static str,
    head: &'static str,
    digits: usize,
    about: &'static str,
) -> MeasureColumn {
    MeasureColumn { id, head, about, best: Best::High, digits }
}

/// Adds what there are labels for, behind the means of single takes.
pub(super) fn add(table: &mut Table, judged: &[JudgedTake]) {
    let centers: Vec<[[f64; 2]; 2]> =
        judged.iter().filter_map(|one| one.measured.placement.centers).collect();
    for (axis, column) in [CORRELATION_X, CORRELATION_Y].into_iter().enumerate() {
        let pairs: Vec<[f64; 2]> =
            centers.iter().map(|[asked, found]| [asked[axis], found[axis]]).collect();
        if let Some(value) = correlation(&pairs) {
            table.summary.push(SummaryLine { column, value: Cell::Number(value), of: pairs.len() });
        }
    }
    let colors = judged.iter().filter_map(|one| {
        let asked = one.asked.as_ref()?.color?;
        Some(one.measured.hue.color == Some(asked))
    });
    push_share(table, COLOR, colors.collect());

    for (name, column) in OPACITIES {
        push_mean(table, column, &inner_alphas(judged, name));
    }
    let kinds: Vec<_> = judged
        .iter()
        .filter_map(|one| {
            let kind = one.asked.as_ref()?.kind.as_deref()?;
            Some((one.measured.features, kind))
        })
        .collect();
    let nearest = told_apart(&kinds);
    let names: Vec<&str> = kinds.iter().map(|(_, kind)| *kind).collect();
    let right = names.iter().zip(&nearest).map(|(kind, found)| *found == Some(kind));
    // One of one kind is nearest to nothing of its own.
    if names.iter().any(|name| *name != names[0]) {
        push_share(table, KIND, right.collect());
        let counts = confusion(&names, &nearest);
        let labeled = judged
            .iter()
            .zip(&mut table.rows)
            .filter(|(one, _)| one.asked.as_ref().is_some_and(|asked| asked.kind.is_some()));
        for ((_, row), nearest) in labeled.zip(&nearest) {
            row.more.insert("nearest_kind".to_owned(), json!(nearest));
        }
        let words = counts.iter().map(|(kind, found)| {
            let found = found.iter().map(|(other, count)| format!("{other} {count}"));
            format!("{kind}: {}", found.collect::<Vec<_>>().join(", "))
        });
        table.notes.push(format!("nearest kinds: {}", words.collect::<Vec<_>>().join("; ")));
    }
}

/// The inner alpha of each take whose opacity was asked to be `name`.
fn inner_alphas(judged: &[JudgedTake], name: &str) -> Vec<f64> {
    let of = |one: &JudgedTake| {
        let asked = one.asked.as_ref()?.opacity.as_deref()?;
        one.measured.inner_alpha.filter(|_| asked == name)
    };
    judged.iter().filter_map(of).collect()
}

fn push_mean(table: &mut Table, column: MeasureColumn, numbers: &[f64]) {
    if !numbers.is_empty() {
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        table.summary.push(SummaryLine { column, value: Cell::Number(mean), of: numbers.len() });
    }
}

fn push_share(table: &mut Table, column: MeasureColumn, right: Vec<bool>) {
    if right.is_empty() {
        return;
    }
    let share = right.iter().filter(|right| **right).count() as f64 / right.len() as f64;
    table.summary.push(SummaryLine { column, value: Cell::Number(100.0 * share), of: right.len() });
}

/// Pearson's; `None` of too few, or where all were asked for at one place.
fn correlation(pairs: &[[f64; 2]]) -> Option<f64> {
    if pairs.len() < ENOUGH {
        return None;
    }
    let mean =
        |place: usize| pairs.iter().map(|pair| pair[place]).sum::<f64>() / pairs.len() as f64;
    let (a, b) = (mean(0), mean(1));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for [x, y] in pairs {
        aa += (x - a).powi(2);
        bb += (y - b).powi(2);
        ab += (x - a) * (y - b);
    }
    // Rounding is no motion.
    if aa < 1e-12 {
        return None;
    }
    Some(if bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_is_pearson_s() {
        let line: Vec<[f64; 2]> = (0..5).map(|i| [i as f64, 0.3 - 2.0 * i as f64]).collect();
        assert!((correlation(&line).unwrap() + 1.0).abs() < 1e-12);
        // 1, 2, 3, 4 with 1, 3, 2, 4: 0.8.
        let known = [[1.0, 1.0], [2.0, 3.0], [3.0, 2.0], [4.0, 4.0]];
        assert!((correlation(&known).unwrap() - 0.8).abs() < 1e-12);
        assert_eq!(correlation(&[[0.5, 0.1], [0.5, 0.9], [0.5, 0.4]]), None);
        assert_eq!(correlation(&[[0.1, 0.5], [0.5, 0.5], [0.9, 0.5]]), Some(0.0));
        assert_eq!(correlation(&line[..2]), None);
    }
}
