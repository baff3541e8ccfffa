//! Commit 7783599 reads no quantized files, so that none is measured there: `cargo xtask bench` compiles
//! this into `core/examples/load` in the place of what writes them.

use std::path::Path;

use serde_json::Value;

use super::Error;

/// Always an error: see above.
pub(super) fn write(_: &Path, form: &str) -> Result<Value, Error> {
    Err(format!("commit 7783599 cannot read the form {form}").into())
}

/// Always an error: see above.
pub(super) fn drop_pages(folder: &Path) -> Result<(), Error> {
    Err(format!("{}: commit 7783599 is measured from the page cache alone", folder.display()).into())
}
