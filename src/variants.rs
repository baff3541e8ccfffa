//! Takes that differ in their seeds alone, made one after the other, and the picture that shows them.
//!
//! Whoever makes them keeps the model and what it has read of the prompt: both are loaded and read once.

use anyhow::Result;
use wan_alpha_take::TakeRequest;
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::store::Take;

use crate::console::Console;
use crate::media::frame::of_stored;
use crate::media::variant_sheet::VariantSheet;

/// Makes the takes of `request` with each of `seeds`, in their order; `made` is given each as soon as it is
/// there, with the picture of all so far.
///
/// # Errors
/// That of the first which is not made, or of `made`; those before it stay.
pub(crate) fn make_each(
    request: &TakeRequest,
    seeds: &[u32],
    console: &Console<'_>,
    make: &mut dyn FnMut(&TakeRequest) -> Result<Take>,
    made: &mut dyn FnMut(&VariantSheet, Take) -> Result<()>,
) -> Result<()> {
    let [width, height] = [request.width, request.height].map(|side| side as usize);
    let mut sheet = VariantSheet::new(seeds, width, height);
    let of = seeds.len();
    for (place, &seed) in seeds.iter().enumerate() {
        console.remark(&format!("take {} of {of}, seed {seed}:", place + 1));
        let variant = TakeRequest { seed, ..request.clone() };
        let take = make(&variant).inspect_err(|_| {
            if place > 0 {
                console.remark(&format!(
                    "{} of {of} {} made and stay{}",
                    counted(place, "take"),
                    verb(place, "is", "are"),
                    verb(place, "s", "")
                ));
            }
        })?;
        let middle = take.frames() / 2;
        sheet.show(place, &of_stored(middle as usize, &take.frame(middle)?).borrowed());
        if let Some(report) = &take.description().report {
            console.remark(&format!("seed {seed}: the take {report}"));
        }
        made(&sheet, take)?;
    }
    Ok(())
}
