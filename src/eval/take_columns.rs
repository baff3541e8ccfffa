//! The columns of `eval takes`: what each number is, and which way is good.

use super::measure::ClipMeasures;
use super::table::{Best, Cell, MeasureColumn};

/// A column, and its cell of what was measured.
type Measure = (MeasureColumn, fn(&ClipMeasures) -> Cell);

const fn column(
    id: &'static str,
    head: &'static str,
    best: Best,
    about: &'static str,
) -> MeasureColumn {
    MeasureColumn { id, head, about, best, digits: 3 }
}

const fn fine(column: MeasureColumn) -> MeasureColumn {
    MeasureColumn { digits: 4, ..column }
}

/// The column that empty clips have too.
pub(super) const COVERAGE: &str = "coverage";

/// What `eval takes` prints of a clip's frames, in the order of its columns.
pub(super) const COLUMNS: [Measure; 14] = [
    (
        fine(column(
            "temporal_flickering",
            "flickering",
            Best::High,
            "VBench's temporal flickering: (255 − mean absolute difference of consecutive frames) / 255, over white",
        )),
        |m| m.temporal_flickering.into(),
    ),
    (
        fine(column(
            "smoothness",
            "smoothness",
            Best::High,
            "as VBench's motion smoothness, (255 − mean absolute difference of every odd frame and what its neighbors foretell) / 255, by block matching instead of a network",
        )),
        |m| m.smoothness.into(),
    ),
    (column(COVERAGE, "coverage", Best::Neither, "mean alpha"), |m| Some(m.coverage).into()),
    (
        column(
            "soft",
            "soft",
            Best::Neither,
            "of the pixels with alpha above 0.05, the share below 0.95",
        ),
        |m| m.soft.into(),
    ),
    (
        column("leak", "leak", Best::Low, "mean alpha outside the twice enlarged asked ellipse"),
        |m| m.leak.into(),
    ),
    (
        column(
            "holes",
            "holes",
            Best::Low,
            "of the filled silhouette (alpha 0.5), the share that is hole; a ring has one by right",
        ),
        |m| m.holes.into(),
    ),
    (
        column(
            "halo",
            "halo",
            Best::Low,
            "how far the color of soft edges is from that of the opaque pixels within 4 of them, 0 to 1, weighted by alpha",
        ),
        |m| m.halo.into(),
    ),
    (
        column(
            "inner_alpha",
            "inner alpha",
            Best::Neither,
            "mean alpha of the silhouette (half of the alpha that a tenth of the visible pixels exceed) without what is nearer to its edge than 30 % of its deepest pixel",
        ),
        |m| m.inner_alpha.into(),
    ),
    (
        column(
            "grid",
            "grid",
            Best::Low,
            "mean squared step from pixel to pixel at multiples of 8 pixels, as a share of that elsewhere, of premultiplied color and alpha; 1 is no grid",
        ),
        |m| m.grid.into(),
    ),
    (
        column(
            "alpha_flicker",
            "alpha flicker",
            Best::Low,
            "how far alpha is from what its neighbors and the motion foretell, as a share of alpha",
        ),
        |m| m.alpha_flicker.into(),
    ),
    (
        column(
            "centre_distance",
            "off center",
            Best::Low,
            "mean distance of the fitted ellipse's center from the asked one's, in frame heights",
        ),
        |m| m.placement.center_distance.into(),
    ),
    (
        column(
            "ellipse_iou",
            "ellipse IoU",
            Best::High,
            "intersection over union of the fitted and the asked ellipse, within the frame",
        ),
        |m| m.placement.iou.into(),
    ),
    (
        column(
            "follows",
            "follows",
            Best::High,
            "correlation over time of the asked and the fitted center, where the asked ellipse moves",
        ),
        |m| m.placement.follows.into(),
    ),
    (
        column(
            "colour",
            "colour",
            Best::Neither,
            "name of the dominant hue, weighted by alpha and chroma",
        ),
        |m| m.hue.color.map_or(Cell::Nothing, |color| Cell::Text(color.name().to_owned())),
    ),
];
