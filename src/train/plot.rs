//! The curves of a run as one picture: a panel for the total and one for each loss, over the steps;
//! each step thin, their running mean strong, measurements on what is held out as dots.

#![forbid(unsafe_code)]

mod lettering;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use image::RgbImage;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::log_line::{self, Line};
use crate::media::atomic_file::write_whole;
use crate::media::png::encode_plain;
use lettering::LetteredBackend;

const PANEL: (u32, u32) = (480, 300);
/// Steps that the strong line averages over, as a fraction of all.
const SMOOTH: f64 = 0.02;
const STEP: RGBColor = RGBColor(176, 190, 205);
const MEAN: RGBColor = RGBColor(31, 90, 160);
const HELD_OUT: RGBColor = RGBColor(214, 92, 24);

/// One loss over the steps.
#[derive(Default)]
struct Curve {
    steps: Vec<(f64, f64)>,
    held_out: Vec<(f64, f64)>,
}

/// Draws the log into `path`.
pub(super) fn draw(log: &Path, path: &Path) -> Result<()> {
    let curves = curves(&log_line::read(log)?);
    if curves.is_empty() {
        return Ok(());
    }
    let across = (curves.len() as f64).sqrt().ceil() as u32;
    let down = (curves.len() as u32).div_ceil(across);
    let (width, height) = (across * PANEL.0, down * PANEL.1);
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let bitmap = BitMapBackend::with_buffer(&mut pixels, (width, height));
        let root = LetteredBackend(bitmap).into_drawing_area();
        paint(&root, &curves, (down as usize, across as usize))
            .map_err(|error| anyhow!("cannot draw the losses: {error}"))?;
    }
    let image = RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| anyhow!("the losses need a picture too large to hold"))?;
    Ok(write_whole(path, &encode_plain(&image)?)?)
}

/// By name, the total first.
fn curves(lines: &[Line]) -> Vec<(String, Curve)> {
    let mut curves: BTreeMap<(bool, String), Curve> = BTreeMap::new();
    for line in lines {
        let step = line.step as f64;
        let total = line.total.map(|total| ("total", total));
        let losses =
            line.losses.iter().filter_map(|(name, value)| Some((&**name, value.as_f64()?)));
        for (name, value) in total.into_iter().chain(losses) {
            let curve = curves.entry((name != "total", name.to_owned())).or_default();
            curve.steps.push((step, value));
        }
        for (name, value) in &line.held_out {
            if let Some(value) = value.as_f64() {
                let curve = curves.entry((name != "total", name.clone())).or_default();
                curve.held_out.push((step, value));
            }
        }
    }
    curves.into_iter().map(|((_, name), curve)| (name, curve)).collect()
}

type Area<'a> = DrawingArea<LetteredBackend<'a>, Shift>;
type PlotResult = Result<(), Box<dyn std::error::Error>>;

fn paint(root: &Area<'_>, curves: &[(String, Curve)], grid: (usize, usize)) -> PlotResult {
    root.fill(&WHITE)?;
    for (area, (name, curve)) in root.split_evenly(grid).iter().zip(curves) {
        panel(area, name, curve)?;
    }
    root.present()?;
    Ok(())
}

fn panel(area: &Area<'_>, name: &str, curve: &Curve) -> PlotResult {
    let all = || curve.steps.iter().chain(&curve.held_out);
    let last = all().map(|(step, _)| *step).fold(1.0, f64::max);
    let (least, most) = all()
        .map(|(_, value)| *value)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(value), most.max(value))
        });
    let room = if most > least { (most - least) * 0.05 } else { most.abs().max(1e-6) * 0.05 };
    let values = (least - room)..(most + room);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .caption(name, ("sans-serif", 16))
        .x_label_area_size(24)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, values)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|step| format!("{step:.0}"))
        .y_label_formatter(&|value| format!("{value:.4}"))
        .label_style(("sans-serif", 12))
        .draw()?;
    chart.draw_series(LineSeries::new(curve.steps.iter().copied(), STEP))?;
    chart.draw_series(LineSeries::new(smoothed(&curve.steps), MEAN.stroke_width(2)))?;
    let dots = curve.held_out.iter().map(|dot| Circle::new(*dot, 3, HELD_OUT.filled()));
    chart.draw_series(dots)?;
    Ok(())
}

/// The mean of each step and those around it.
fn smoothed(steps: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let half = (steps.len() as f64 * SMOOTH / 2.0).ceil() as usize;
    let mean = |index: usize| {
        let around = &steps[index.saturating_sub(half)..(index + half + 1).min(steps.len())];
        around.iter().map(|(_, value)| value).sum::<f64>() / around.len() as f64
    };
    steps.iter().enumerate().map(|(index, (step, _))| (*step, mean(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_becomes_a_picture_with_a_panel_for_each_loss() {
        let folder = tempfile::tempdir().unwrap();
        let (log, path) = (folder.path().join("log.jsonl"), folder.path().join("losses.png"));
        let line = |step: u64| {
            let value = 1.0 / step as f64;
            format!(r#"{{"step": {step}, "total": {value}, "losses": {{"l1": {value}}}}}"#)
        };
        let mut text: Vec<String> = (1..200).map(line).collect();
        text.push(r#"{"step": 100, "held_out": {"l1": 0.4, "total": 0.4}}"#.to_owned());
        std::fs::write(&log, text.join("\n")).unwrap();
        draw(&log, &path).unwrap();
        let image = image::open(&path).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), (2 * PANEL.0, PANEL.1));
        for color in [STEP, MEAN, HELD_OUT] {
            let color = [color.0, color.1, color.2];
            assert!(image.pixels().any(|pixel| pixel.0 == color), "{color:?} is missing");
        }
        // Numbers at the axes: dark pixels left of the plot.
        let dark = |x: u32, y: u32| image.get_pixel(x, y).0.iter().all(|value| *value < 128);
        assert!((0..60).any(|x| (0..PANEL.1).any(|y| dark(x, y))));
    }

    #[test]
    fn a_mean_is_taken_over_the_steps_around() {
        let steps: Vec<_> = (0..100).map(|step| (f64::from(step), f64::from(step % 2))).collect();
        let mean = smoothed(&steps);
        assert!((mean[50].1 - 2.0 / 3.0).abs() < 1e-9, "{:?}", mean[50]);
        assert_eq!(mean.len(), 100);
    }
}
