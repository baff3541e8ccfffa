//! The parts of a model: their files, sizes, kinds, and how much of them is understood; as lines of text
//! and for programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use wan_alpha_core::weights::{Adapter, AdapterKind, Decoders, ModelFiles, TensorSet};
use wan_alpha_take::counted::counted;

use crate::table_printer::{Align, TablePrinter};

/// A part of a model, and a text about it.
const PARTS: TablePrinter<'_> =
    TablePrinter { indent: "  ", gap: " ", columns: &[(Align::Left, 16)] };

/// A line about a part of a model; without its name where the line before has it.
pub(super) fn part_line(part: &str, text: &str) -> String {
    PARTS.line(&[part, text])
}

/// One part, as programs read of it.
#[derive(Serialize)]
pub(super) struct PartReport {
    /// What it is, in words.
    part: &'static str,
    files: Vec<PathBuf>,
    #[serde(flatten)]
    holds: PartContent,
}

/// What the files of a part hold.
#[derive(Serialize)]
#[serde(untagged)]
enum PartContent {
    /// A network of its own.
    Network {
        parameters: u64,
        bytes: u64,
        /// Number formats, that of the most bytes first.
        kinds: Vec<String>,
        tensors: usize,
        /// Keys that have no place in the network.
        foreign: usize,
    },
    /// A part of a file that may hold much else, which nobody misses.
    Block { parameters: u64, tensors: usize },
    /// What changes a network.
    Adapter {
        /// Tensors that it changes.
        changes: usize,
        /// Keys that fit none.
        unmatched: usize,
        /// What says that it is step distillation, in words.
        #[serde(skip_serializing_if = "Option::is_none")]
        step_distillation: Option<String>,
    },
    /// Something without tensors.
    File {},
}

/// Every part of a model, in the order in which they compute.
pub(super) fn of(files: &ModelFiles) -> Vec<PartReport> {
    let mut parts = vec![network("transformer", &files.dit)];
    parts.extend(files.adapters.iter().map(adapter));
    parts.push(network("text encoder", &files.text));
    parts.push(PartReport {
        part: "tokenizer",
        files: vec![files.tokenizer.clone()],
        holds: PartContent::File {},
    });
    match &files.decoders {
        Decoders::Adapted { base, color, alpha } => {
            parts.extend([network("autoencoder", base), adapter(color), adapter(alpha)]);
        }
        Decoders::Complete { color, alpha } => {
            parts.extend([network("color decoder", color), network("alpha decoder", alpha)]);
        }
    }
    parts.extend(files.encoder.iter().map(|encoder| merge_block(&encoder.merge)));
    parts.extend(files.image_encoder.iter().map(|set| network("image encoder", set)));
    parts
}

/// The same for people: two lines for most of them.
pub(super) fn lines(files: &ModelFiles) -> Vec<String> {
    of(files).iter().flat_map(PartReport::lines).collect()
}

impl PartReport {
    fn lines(&self) -> Vec<String> {
        let first = self.files.first().map(|path| path.display().to_string()).unwrap_or_default();
        let more = match self.files.len() {
            0 | 1 => String::new(),
            files => format!(" and {} more", files - 1),
        };
        let mut lines = vec![part_line(self.part, &format!("{first}{more}"))];
        let about = match &self.holds {
            PartContent::Network { parameters, bytes, kinds, tensors, foreign } => format!(
                "{} parameters, {}, {}; {} matched, {} foreign",
                count(*parameters),
                size(*bytes),
                kinds.join("/"),
                counted(*tensors, "tensor"),
                counted(*foreign, "key")
            ),
            PartContent::Block { parameters, tensors } => {
                format!(
                    "{} parameters; {} matched",
                    count(*parameters),
                    counted(*tensors, "tensor")
                )
            }
            PartContent::Adapter { changes, unmatched, step_distillation } => {
                let known = match step_distillation {
                    Some(by) => format!("; step distillation by {by}"),
                    None if self.part == AdapterKind::Lora.in_words() => {
                        "; nothing in it says step distillation".to_owned()
                    }
                    None => String::new(),
                };
                format!(
                    "changes {}, {} unmatched{known}",
                    counted(*changes, "tensor"),
                    counted(*unmatched, "key")
                )
            }
            PartContent::File {} => return lines,
        };
        lines.push(part_line("", &about));
        lines
    }
}

fn network(part: &'static str, set: &TensorSet) -> PartReport {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for (entry, _, _) in set.names().filter_map(|name| set.find(name).ok()) {
        *kinds.entry(entry.stored.to_string()).or_default() += entry.bytes();
    }
    let bytes = kinds.values().sum();
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let holds = PartContent::Network {
        parameters: set.parameters(),
        bytes,
        kinds: kinds.into_iter().map(|(kind, _)| kind).collect(),
        tensors: set.names().count(),
        foreign: set.foreign().len(),
    };
    PartReport { part, files: set.paths().map(Into::into).collect(), holds }
}

fn merge_block(set: &TensorSet) -> PartReport {
    let holds = PartContent::Block { parameters: set.parameters(), tensors: set.names().count() };
    let files = set.paths().take(1).map(Into::into).collect();
    PartReport { part: "merge block", files, holds }
}

fn adapter(adapter: &Adapter) -> PartReport {
    let holds = PartContent::Adapter {
        changes: adapter.targets(),
        unmatched: adapter.unmatched().len(),
        step_distillation: adapter.evidence().map(|evidence| evidence.to_string()),
    };
    let files = vec![adapter.path().to_owned()];
    PartReport { part: adapter.kind().in_words(), files, holds }
}

/// A number of parameters, in the unit that suits it.
pub(super) fn count(number: u64) -> String {
    match number {
        1_000_000_000.. => format!("{:.2} G", number as f64 / 1e9),
        1_000_000.. => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{:.0} k", number as f64 / 1e3),
    }
}

/// Bytes, in the unit that suits them.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{:.2} GB", bytes as f64 / 1e9),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
