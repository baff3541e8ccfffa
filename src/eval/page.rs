//! The page: one file with everything in it, for a browser without a network.
//!
//! Frames lie in it once, as PNG with alpha; the browser lays them over a checkerboard and flat
//! colors. It mixes display values, which is the paper's soft render, and not the light that a
//! compositor mixes.

use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::table::{Best, Cell, ClipRow, MeasureColumn, Table};
use crate::media::thumbnail::{Strip, Thumbnail};

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// What frames can be seen over: class, name, and whether it is seen at first.
const GROUNDS: [(&str, &str, bool); 6] = [
    ("over-checker", "checkerboard", true),
    ("over-black", "black", false),
    ("over-white", "white", false),
    ("over-blue", "blue", true),
    ("over-green", "green", false),
    ("as-alpha", "alpha alone", true),
];

/// The whole page, as HTML.
pub(super) fn draw(table: &Table) -> String {
    let has_strips = table.rows.iter().any(|row| !row.strips.is_empty());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (table.title) " – wan-alpha" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (table.title) }
                (summary(table))
                @if has_strips { (grounds()) }
                (clips(table))
                (explained(table))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// What all clips come to together, if they come to anything.
fn summary(table: &Table) -> Markup {
    html! {
        @if !table.summary.is_empty() {
            div class="scroll" {
                table {
                    thead {
                        tr {
                            @for head in ["all clips", "value", "of"] { th scope="col" { (head) } }
                        }
                    }
                    tbody {
                        @for sum in &table.summary {
                            tr {
                                td title=(sum.column.about) { (sum.column.head) }
                                td { (sum.value.text(sum.column.digits)) }
                                td { (sum.of) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The choice of what frames are seen over.
fn grounds() -> Markup {
    html! {
        fieldset {
            legend { "Frames over" }
            @for (class, name, shown) in GROUNDS {
                label {
                    input type="checkbox" name="ground" value=(class) checked[shown];
                    " " (name)
                }
            }
        }
    }
}

/// The table of clips, which the script sorts.
fn clips(table: &Table) -> Markup {
    html! {
        div class="scroll" {
            table id="clips" {
                thead {
                    tr {
                        th scope="col" { button type="button" { "clip" } }
                        @for MeasureColumn { head, about, .. } in &table.columns {
                            th scope="col" title=(about) { button type="button" { (head) } }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows { (clip(table, row)) }
                }
            }
        }
    }
}

/// One clip: its name, prompt and frames, then a cell for each column.
fn clip(table: &Table, row: &ClipRow) -> Markup {
    let is_labeled = row.strips.len() > 1;
    html! {
        tr {
            td class="clip" data-value=(row.name) {
                (row.name)
                @if let Some(prompt) = &row.prompt {
                    div class="prompt" { (prompt) }
                }
                @for Strip { label, thumbs } in &row.strips {
                    div class="strips" {
                        div class="strip over-checker" {
                            @if is_labeled { span class="label" { (label) } }
                            @for thumb in thumbs { (frame(label, thumb)) }
                        }
                    }
                }
            }
            @for (place, (column, cell)) in table.columns.iter().zip(&row.cells).enumerate() {
                td class=[is_best(table, place, cell).then_some("best")]
                    data-value=(value_to_sort_by(cell)) {
                    (cell.text(column.digits))
                }
            }
        }
    }
}

/// One frame of a strip, as an image within the page.
fn frame(label: &str, thumb: &Thumbnail) -> Markup {
    let source = format!("data:image/png;base64,{}", BASE64.encode(&thumb.png));
    html! {
        span class="frame" {
            img alt=(format!("{label} frame {}", thumb.frame)) width=(thumb.width)
                height=(thumb.height) src=(source);
        }
    }
}

/// A cell as the script compares it.
fn value_to_sort_by(cell: &Cell) -> String {
    match cell {
        Cell::Nothing => String::new(),
        Cell::Number(value) if value.is_infinite() => "Infinity".to_owned(),
        Cell::Number(value) => value.to_string(),
        Cell::Text(text) => text.clone(),
    }
}

/// Of several clips, whether none is better there.
fn is_best(table: &Table, place: usize, cell: &Cell) -> bool {
    let Cell::Number(own) = cell else { return false };
    let others = table.rows.iter().filter_map(|row| match row.cells.get(place) {
        Some(Cell::Number(value)) => Some(*value),
        _ => None,
    });
    let worse = others.filter(|other| other != own);
    match table.columns[place].best {
        Best::Neither => false,
        Best::High => worse.clone().count() > 0 && worse.clone().all(|other| other < *own),
        Best::Low => worse.clone().count() > 0 && worse.clone().all(|other| other > *own),
    }
}

/// What each column is, and what a reader should know before comparing.
fn explained(table: &Table) -> Markup {
    let more = table.summary.iter().map(|sum| &sum.column);
    let more = more.filter(|column| table.columns.iter().all(|other| other.id != column.id));
    html! {
        h2 { "What the numbers are" }
        dl {
            @for MeasureColumn { head, about, best, .. } in table.columns.iter().chain(more) {
                dt { (head) }
                dd { (about) (which_is_better(*best)) }
            }
        }
        @if !table.notes.is_empty() {
            ul {
                @for note in &table.notes { li { (note) } }
            }
        }
    }
}

/// The end of a sentence about a column.
const fn which_is_better(best: Best) -> &'static str {
    match best {
        Best::High => "; more is better",
        Best::Low => "; less is better",
        Best::Neither => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::thumbnail::Thumbnail;
    use html5ever::tendril::TendrilSink;
    use html5ever::{ParseOpts, parse_document};
    use markup5ever_rcdom::{Handle, NodeData, RcDom};
    use serde_json::Map;
    use wan_alpha_take::frame::OwnedFrame;

    fn table() -> Table {
        let column = |id, best| MeasureColumn {
            id,
            head: id,
            about: "about <it> & \"it\"",
            best,
            digits: 2,
        };
        let row = |name: &str, value| ClipRow {
            name: name.to_owned(),
            prompt: Some("<script>alert('x')</script> & \"more\"\u{1F98A}".to_owned()),
            is_empty: false,
            cells: vec![Cell::Number(value), Cell::Text("a<b".to_owned())],
            strips: ["truth", "made"]
                .map(|label| Strip {
                    label,
                    thumbs: vec![Thumbnail::of(&OwnedFrame::new(0, 4, 3, vec![0.5; 48])).unwrap()],
                })
                .into(),
            more: Map::new(),
        };
        let mut table = Table {
            title: "Takes",
            columns: vec![column("leak", Best::Low), column("colour", Best::Neither)],
            rows: vec![row("a\"b", 0.25), row("c", f64::INFINITY)],
            summary: Vec::new(),
            notes: vec!["1 < 2".to_owned()],
        };
        table.summary = table.means();
        table
    }

    fn elements(node: &Handle, found: &mut Vec<Handle>) {
        if let NodeData::Element { .. } = node.data {
            found.push(node.clone());
        }
        node.children.borrow().iter().for_each(|child| elements(child, found));
    }

    fn named<'a>(all: &'a [Handle], name: &str) -> Vec<&'a Handle> {
        let is = |node: &&Handle| match &node.data {
            NodeData::Element { name: found, .. } => &*found.local == name,
            _ => false,
        };
        all.iter().filter(is).collect()
    }

    fn attribute(node: &Handle, name: &str) -> Option<String> {
        let NodeData::Element { attrs, .. } = &node.data else { return None };
        let attrs = attrs.borrow();
        let found = attrs.iter().find(|attribute| &*attribute.name.local == name);
        found.map(|attribute| attribute.value.to_string())
    }

    #[test]
    fn the_page_is_valid_and_needs_nothing_else() {
        let text = draw(&table());
        let dom = parse_document(RcDom::default(), ParseOpts::default()).one(text.clone());
        assert_eq!(*dom.errors.borrow(), Vec::<std::borrow::Cow<'_, str>>::new());
        let mut all = Vec::new();
        elements(&dom.document, &mut all);
        // Nobody's prompt has become an element.
        assert_eq!(named(&all, "script").len(), 1);
        assert_eq!((named(&all, "tr").len(), named(&all, "th").len()), (2 + 3, 3 + 3));
        let images = named(&all, "img");
        assert_eq!(images.len(), 4);
        for image in images {
            let source = attribute(image, "src").unwrap();
            let png =
                BASE64.decode(source.strip_prefix("data:image/png;base64,").unwrap().as_bytes());
            let image = image::load_from_memory(&png.unwrap()).unwrap();
            assert_eq!(
                (image.width(), image.height(), image.color()),
                (4, 3, image::ColorType::Rgba8)
            );
        }
        let values: Vec<_> =
            named(&all, "td").iter().filter_map(|cell| attribute(cell, "data-value")).collect();
        assert_eq!(values, ["a\"b", "0.25", "a<b", "c", "Infinity", "a<b"]);
        for element in &all {
            for name in ["href", "src"] {
                let link = attribute(element, name).unwrap_or("data:".to_owned());
                assert!(link.starts_with("data:"), "{link}");
            }
        }
        assert!(!text.contains("@import") && !text.contains("url("));
        assert!(text.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn the_better_clip_is_marked_and_equals_are_not() {
        let table = table();
        assert!(is_best(&table, 0, &table.rows[0].cells[0]));
        assert!(!is_best(&table, 0, &table.rows[1].cells[0]));
        let mut equal = table;
        equal.rows[1] = equal.rows[0].clone();
        assert!(!is_best(&equal, 0, &equal.rows[0].cells[0]));
    }
}
