//! What the chunks of a PNG file say of its color, in the order in which PNG's third edition has them
//! count: cICP, then iCCP, sRGB, and gAMA with cHRM.
//!
//! The chunks are looked for here as well as by the reader's library, which leaves out what is damaged
//! without a word, and refuses a whole picture for a cICP that is out of its range.

use std::borrow::Cow;

use png::{Info, ScaledFloat};

use crate::media::color_space::{ColorSpace, TransferCurve};
use crate::media::color_tag::{ColorTag, TagMeaning};
use crate::media::icc;

/// Length, kind and checksum of a chunk, in bytes.
const FRAME: usize = 12;
/// Where the first chunk begins.
const FIRST: usize = 8;

/// The places of the chunks before the picture, their kinds and what they hold.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8], &[u8])> {
    let mut place = FIRST;
    std::iter::from_fn(move || {
        let length: [u8; 4] = bytes.get(place..place + 4)?.try_into().ok()?;
        let length = u32::from_be_bytes(length) as usize;
        let kind = bytes.get(place + 4..place + 8).filter(|kind| *kind != b"IDAT")?;
        let data = bytes.get(place + 8..place.checked_add(8)?.checked_add(length)?)?;
        let here = place;
        place += FRAME + length;
        Some((here, kind, data))
    })
}

fn find<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<(usize, &'a [u8])> {
    let (place, _, data) = chunks(bytes).find(|(_, kind, _)| kind == wanted)?;
    Some((place, data))
}

/// A cICP that is out of its range: a matrix, which PNG has not, or a range that is neither. In words.
fn cicp_out_of_range(bytes: &[u8]) -> Option<(usize, String)> {
    let (place, data) = find(bytes, b"cICP")?;
    match data {
        [_, _, 0, 0 | 1] => None,
        [primaries, transfer, matrix, range] => {
            Some((place, format!("cICP {primaries}/{transfer}/{matrix}/{range}")))
        }
        // Of another length: the library passes over it.
        _ => None,
    }
}

/// The file as the library reads it: a cICP out of its range is called something that nobody knows.
pub(super) fn readable(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some((place, _)) = cicp_out_of_range(bytes) else {
        return Cow::Borrowed(bytes);
    };
    let mut changed = bytes.to_vec();
    if let Some(kind) = changed.get_mut(place + 4..place + 8) {
        kind.copy_from_slice(b"ciCP");
    }
    Cow::Owned(changed)
}

/// What a file says of its color; `info` is what the library has read of it.
pub(super) fn tag_of(bytes: &[u8], info: &Info<'_>) -> Option<ColorTag> {
    let unreadable = |chunk: &str| Some(ColorTag::new(chunk, TagMeaning::Unreadable));
    let has = |kind: &[u8; 4]| find(bytes, kind).is_some();
    let cicp = match (cicp_out_of_range(bytes), info.coding_independent_code_points) {
        (Some((_, words)), _) => Some(ColorTag::new(words, TagMeaning::Senseless)),
        (None, Some(cicp)) => {
            let (primaries, transfer) = (cicp.color_primaries, cicp.transfer_function);
            let unspecified =
                || ColorTag::new(format!("cICP {primaries}/{transfer}"), TagMeaning::Senseless);
            let tag = ColorTag::of_code_points("cICP", primaries, transfer);
            Some(tag.unwrap_or_else(unspecified))
        }
        (None, None) if has(b"cICP") => unreadable("cICP"),
        (None, None) => None,
    };
    let icc = match &info.icc_profile {
        Some(profile) => icc::tag_of(profile),
        None if has(b"iCCP") => unreadable("ICC profile (iCCP)"),
        None => None,
    };
    let srgb = match info.srgb {
        Some(_) => Some(ColorTag::new("sRGB", TagMeaning::Known(ColorSpace::srgb()))),
        None if has(b"sRGB") => unreadable("chunk sRGB"),
        None => None,
    };
    let tags = [cicp, icc, srgb, gamma_and_primaries(bytes, info)];
    ColorTag::highest_known(tags.into_iter().flatten().collect())
}

/// What gAMA and cHRM say together.
fn gamma_and_primaries(bytes: &[u8], info: &Info<'_>) -> Option<ColorTag> {
    let gamma = match (find(bytes, b"gAMA"), info.gama_chunk) {
        (None, _) => None,
        (Some(_), Some(gamma)) => Some(gamma.into_value()),
        (Some((_, [0, 0, 0, 0])), None) => Some(0.0),
        (Some(_), None) => return Some(ColorTag::new("gAMA", TagMeaning::Unreadable)),
    };
    let words = match (gamma, find(bytes, b"cHRM")) {
        (None, None) => return None,
        (Some(gamma), None) => format!("gAMA {gamma}"),
        (Some(gamma), Some(_)) => format!("gAMA {gamma} and cHRM"),
        (None, Some(_)) => "cHRM".to_owned(),
    };
    let curve = gamma.map_or(TransferCurve::Srgb, TransferCurve::of_png_gamma);
    if !curve.is_plausible() {
        return Some(ColorTag::new(words, TagMeaning::Senseless));
    }
    match (info.chrm_chunk, find(bytes, b"cHRM")) {
        (Some(chrm), _) => {
            let pair =
                |(x, y): (ScaledFloat, ScaledFloat)| [x, y].map(|z| f64::from(z.into_value()));
            let all = [chrm.red, chrm.green, chrm.blue, chrm.white].map(pair);
            Some(ColorTag::of_chromaticities(&words, all, curve))
        }
        (None, Some(_)) => Some(ColorTag::new(words, TagMeaning::Unreadable)),
        (None, None) => Some(ColorTag::of_curve(words, curve)),
    }
}
