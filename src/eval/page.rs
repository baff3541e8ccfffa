//! The page: one file with everything in it, for a browser without a network.
//!
//! Frames lie in it once, as PNG with alpha; the browser lays them over a checkerboard and flat
//! colours. It mixes display values, which is the paper's soft render, and not the light that a
//! compositor mixes.

use std::fmt::Write;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::table::{Best, Cell, Column, Row, Table};
use crate::media::thumbnail::Strip;

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

/// The whole page.
pub(super) fn draw(table: &Table) -> Result<String> {
    let mut page = String::new();
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} – wan-alpha</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n",
        title = escaped(table.title)
    )?;
    summary(&mut page, table)?;
    if table.rows.iter().any(|row| !row.strips.is_empty()) {
        page.push_str("<fieldset>\n<legend>Frames over</legend>\n");
        for (class, name, shown) in GROUNDS {
            let checked = if shown { " checked" } else { "" };
            writeln!(
                page,
                "<label><input type=\"checkbox\" name=\"ground\" value=\"{class}\"{checked}> {name}\
                 </label>"
            )?;
        }
        page.push_str("</fieldset>\n");
    }
    page.push_str("<div class=\"scroll\">\n<table id=\"clips\">\n<thead>\n<tr>");
    write!(page, "<th scope=\"col\"><button type=\"button\">clip</button></th>")?;
    for Column { head, about, .. } in &table.columns {
        write!(
            page,
            "<th scope=\"col\" title=\"{}\"><button type=\"button\">{}</button></th>",
            escaped(about),
            escaped(head)
        )?;
    }
    page.push_str("</tr>\n</thead>\n<tbody>\n");
    for row in &table.rows {
        clip(&mut page, table, row)?;
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    explained(&mut page, table)?;
    write!(page, "<script>\n{SCRIPT}</script>\n</body>\n</html>\n")?;
    Ok(page)
}

fn summary(page: &mut String, table: &Table) -> Result<()> {
    if table.summary.is_empty() {
        return Ok(());
    }
    page.push_str("<div class=\"scroll\">\n<table>\n<thead>\n<tr><th scope=\"col\">all clips</th>");
    page.push_str(
        "<th scope=\"col\">value</th><th scope=\"col\">of</th></tr>\n</thead>\n<tbody>\n",
    );
    for sum in &table.summary {
        writeln!(
            page,
            "<tr><td title=\"{}\">{}</td><td>{}</td><td>{}</td></tr>",
            escaped(sum.column.about),
            escaped(sum.column.head),
            escaped(&sum.value.text(sum.column.digits)),
            sum.of
        )?;
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    Ok(())
}

fn clip(page: &mut String, table: &Table, row: &Row) -> Result<()> {
    let name = escaped(&row.name);
    write!(page, "<tr><td class=\"clip\" data-value=\"{name}\">{name}")?;
    if let Some(prompt) = &row.prompt {
        write!(page, "<div class=\"prompt\">{}</div>", escaped(prompt))?;
    }
    for Strip { label, thumbs } in &row.strips {
        page.push_str("<div class=\"strips\"><div class=\"strip over-checker\">");
        if row.strips.len() > 1 {
            write!(page, "<span class=\"label\">{}</span>", escaped(label))?;
        }
        for thumb in thumbs {
            write!(
                page,
                "<span class=\"frame\"><img alt=\"{} frame {}\" width=\"{}\" height=\"{}\" \
                 src=\"data:image/png;base64,{}\"></span>",
                escaped(label),
                thumb.frame,
                thumb.width,
                thumb.height,
                STANDARD.encode(&thumb.png)
            )?;
        }
        page.push_str("</div></div>");
    }
    page.push_str("</td>");
    for (place, (column, cell)) in table.columns.iter().zip(&row.cells).enumerate() {
        let value = match cell {
            Cell::Nothing => String::new(),
            Cell::Number(value) if value.is_infinite() => "Infinity".to_owned(),
            Cell::Number(value) => value.to_string(),
            Cell::Text(text) => escaped(text),
        };
        let class = if is_best(table, place, cell) { " class=\"best\"" } else { "" };
        let text = escaped(&cell.text(column.digits));
        write!(page, "<td{class} data-value=\"{value}\">{text}</td>")?;
    }
    page.push_str("</tr>\n");
    Ok(())
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

fn explained(page: &mut String, table: &Table) -> Result<()> {
    page.push_str("<h2>What the numbers are</h2>\n<dl>\n");
    let more = table.summary.iter().map(|sum| &sum.column);
    let more = more.filter(|column| table.columns.iter().all(|other| other.id != column.id));
    for Column { head, about, best, .. } in table.columns.iter().chain(more) {
        let which = match best {
            Best::High => "; more is better",
            Best::Low => "; less is better",
            Best::Neither => "",
        };
        writeln!(page, "<dt>{}</dt><dd>{}{which}</dd>", escaped(head), escaped(about))?;
    }
    page.push_str("</dl>\n");
    if !table.notes.is_empty() {
        page.push_str("<ul>\n");
        for note in &table.notes {
            writeln!(page, "<li>{}</li>", escaped(note))?;
        }
        page.push_str("</ul>\n");
    }
    Ok(())
}

/// For text and for quoted attributes.
fn escaped(text: &str) -> String {
    htmlize::escape_attribute(text).into_owned()
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
        let column =
            |id, best| Column { id, head: id, about: "about <it> & \"it\"", best, digits: 2 };
        let row = |name: &str, value| Row {
            name: name.to_owned(),
            prompt: Some("<script>alert('x')</script> & \"more\"\u{1F98A}".to_owned()),
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
        let text = draw(&table()).unwrap();
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
            let png = STANDARD.decode(source.strip_prefix("data:image/png;base64,").unwrap());
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
