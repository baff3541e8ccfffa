//! The page of a gallery: takes as data, and the program in it that shows them.
//!
//! The browser makes cards as somebody scrolls, so that thousands of takes open as fast as ten.

use std::time::UNIX_EPOCH;

use anyhow::Result;
use data_encoding::BASE64;
use maud::{DOCTYPE, PreEscaped, html};
use serde_json::{Value, json};
use wan_alpha_take::frame::OwnedFrame;

use super::entry::GalleryTake;
use crate::media::png::encode_plain;
use crate::media::thumbnail::small;

/// What a page of ours has in it.
pub(super) const MARK: &str = "wan-alpha-gallery";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Bytes of the page that a take may take up, of which its recipe is the first.
const TAKE_BYTES: usize = 11_500;
/// Sides of a still picture in pixels: the largest that leaves the take its bytes.
const SIDES: [usize; 8] = [192, 160, 128, 112, 96, 80, 64, 48];

/// A take in the page.
pub(super) struct PageTake(Value);

impl PageTake {
    /// With a frame as its still picture, and where its moving one lies.
    ///
    /// # Errors
    /// The picture cannot be made.
    pub(super) fn of(
        take: &GalleryTake,
        still: &OwnedFrame,
        moving: Option<String>,
    ) -> Result<Self> {
        let made = take.made.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut entry = json!({
            "key": take.key,
            "made": made,
            "coverage": take.report.map(|report| report.coverage),
            "warnings": take.warnings,
            "moving": moving,
            // As text: what is copied is the request to the last letter.
            "request": take.request.to_canonical(),
        });
        let room = TAKE_BYTES.saturating_sub(entry.to_string().len()) / 4 * 3;
        let mut png = Vec::new();
        for side in SIDES {
            png = encode_plain(&small(still, side))?;
            if png.len() <= room {
                break;
            }
        }
        entry["still"] = format!("data:image/png;base64,{}", BASE64.encode(&png)).into();
        Ok(Self(entry))
    }
}

/// The whole page.
///
/// # Errors
/// None in practice: texts become JSON.
pub(super) fn draw(takes: &[PageTake]) -> Result<String> {
    let data = serde_json::to_string(&takes.iter().map(|take| &take.0).collect::<Vec<_>>())?;
    // Nothing in it ends the element that it stands in.
    let data = data.replace('<', "\\u003c");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="generator" content=(MARK);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Takes – wan-alpha" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Takes" }
                    input #search type="search" placeholder="prompt, model, seed, date, key"
                        aria-label="Search";
                    select #model aria-label="Model" { option value="" { "every model" } }
                    select #sort aria-label="Sort" {
                        option value="newest" { "newest first" }
                        option value="oldest" { "oldest first" }
                        option value="prompt" { "by prompt" }
                        option value="seed" { "by seed" }
                        option value="coverage" { "by coverage" }
                    }
                    label { input #starred type="checkbox"; " starred" }
                    label { input #warned type="checkbox"; " with warnings" }
                    label { "over " input #ground type="color" value="#808080"; }
                    label { input #checker type="checkbox" checked; " checkerboard" }
                    output #count {}
                }
                main #grid {}
                div #more {}
                dialog #compare aria-label="Two takes" {
                    div #pair {}
                    button #close type="button" { "Close" }
                }
                script #takes type="application/json" { (PreEscaped(data)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok(page.into_string())
}
