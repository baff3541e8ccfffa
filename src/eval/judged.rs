//! A take beside what was asked of it, from which many takes are judged together.

use super::expected::Expected;
use super::measure::ClipMeasures;

/// A measured clip, with what was asked of it.
pub(super) struct JudgedTake {
    pub(super) measured: ClipMeasures,
    /// None where nobody says what was asked for.
    pub(super) asked: Option<Expected>,
}
