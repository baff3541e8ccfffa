//! What `take.json` says of the run that made a take.

use serde_json::{Map, Value, json};
use wan_alpha_core::tch;

use crate::console::Console;

/// Adds versions, device, threads, warnings and timings to `take.json`. Everything that may differ
/// between equal takes stands under `timings`.
pub(crate) fn add_circumstances(
    take: &mut Map<String, Value>,
    console: &Console<'_>,
    device: &str,
) {
    let versions = json!({
        "wan-alpha": env!("CARGO_PKG_VERSION"),
        "libtorch": wan_alpha_core::device::LIBTORCH_BUILD,
    });
    take.insert("versions".to_owned(), versions);
    take.insert("device".to_owned(), json!(device));
    take.insert("threads".to_owned(), json!(tch::get_num_threads()));
    take.insert("warnings".to_owned(), json!(console.warnings()));
    take.insert("timings".to_owned(), console.timings());
}
