//! The take that is delivered: a soft ellipse that crosses the frame from left to right.

use anyhow::{Result, ensure};
use wan_alpha_take::engine::message::{Problem, Submit};
use wan_alpha_take::frame::Frame;
use wan_alpha_take::store::{Description, Store, TakeOutcome};
use wan_alpha_take::{ReportMeter, Warning};

/// A submission without stores stands for any take; one with stores must be in order.
pub(crate) fn check(submit: &Submit) -> Result<(), Problem> {
    if submit.stores.is_empty() {
        return Ok(());
    }
    submit.verified_request().map(|_| ())
}

/// Publishes the take, if there is a store for it, with its report and what was warned of.
pub(crate) fn deliver(submit: &Submit, warnings: &[Warning]) -> Result<()> {
    if submit.stores.is_empty() {
        return Ok(());
    }
    let request = submit.verified_request()?;
    let (width, height) = (request.width as usize, request.height as usize);
    let store = Store::new(submit.stores.iter().cloned());
    for hash in [request.first_image, request.last_image].into_iter().flatten() {
        ensure!(store.image(&hash).image.is_some(), "image {hash} is in no store");
    }
    let mut writer = store.create(Description::new(&request, "script")?)?;
    let mut meter = ReportMeter::new(&request)?;
    for frame in 0..request.frames {
        let time = f64::from(frame) / f64::from(request.frames.max(2) - 1);
        let rgba = ellipse(width, height, time);
        meter.push(&Frame { index: frame as usize, width, height, rgba: &rgba })?;
        writer.frame_f32(&rgba)?;
    }
    let (report, warnings) = (Some(meter.finish()?), warnings.to_vec());
    writer.record(TakeOutcome { report, warnings, ..TakeOutcome::default() })?;
    writer.publish()?;
    Ok(())
}

/// Straight RGBA, row 0 on top, at a time from 0 to 1.
fn ellipse(width: usize, height: usize, time: f64) -> Vec<f32> {
    let mut rgba = Vec::with_capacity(width * height * 4);
    for row in 0..height {
        for column in 0..width {
            let x = (column as f64 + 0.5) / width as f64 - (0.25 + 0.5 * time);
            let y = (row as f64 + 0.5) / height as f64 - 0.5;
            // 1 in the middle, 0 from the outline on.
            let inside = (1.0 - (x / 0.2).powi(2) - (y / 0.35).powi(2)).clamp(0.0, 1.0);
            let alpha = inside * inside * (3.0 - 2.0 * inside);
            rgba.extend([time, 0.5, 1.0 - time, alpha].map(|value| value as f32));
        }
    }
    rgba
}
