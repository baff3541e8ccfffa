//! ffmpeg's names of matrices, primaries and curves, as it says them of a stream.

use crate::media::color_tag::ColorTag;

/// Whether a detail is a matrix, or `matrix/primaries/curve` of which the first is known.
pub(super) fn names_matrix(detail: &str) -> bool {
    match detail.split('/').collect::<Vec<_>>().as_slice() {
        [matrix, _, _] => !is_unknown(matrix),
        [one] => primaries_code(one).is_some() || curve_code(one).is_some(),
        _ => false,
    }
}

fn is_unknown(name: &str) -> bool {
    ["unknown", "reserved", ""].contains(&name)
}

/// `space/primaries/curve`, or one name for all three. The space, a matrix, is ffmpeg's to undo.
pub(super) fn color(detail: &str) -> Option<ColorTag> {
    let names: Vec<&str> = detail.split('/').collect();
    let (primaries, curve) = match names.as_slice() {
        [_, primaries, curve] => (*primaries, *curve),
        [one] => (*one, *one),
        _ => return None,
    };
    let (primaries_code, curve_code) = (primaries_code(primaries), curve_code(curve));
    if names.len() == 1 && (primaries_code, curve_code) == (None, None) {
        return None;
    }
    let code = |code: Option<u8>, name: &str| match code {
        Some(code) => code,
        // ITU-T H.273: unspecified, or reserved.
        None => {
            if is_unknown(name) {
                2
            } else {
                0
            }
        }
    };
    let curve_code = code(curve_code, curve);
    let primaries_code = code(primaries_code, primaries);
    // Without a curve, that of movies.
    let shown = if curve_code == 2 && primaries_code != 2 { 1 } else { curve_code };
    let tag = ColorTag::of_code_points("", primaries_code, shown)?;
    let words = format!("primaries {primaries} and curve {curve}");
    Some(ColorTag { words, doubt: None, ..tag })
}

/// ffmpeg's names as numbers of ITU-T H.273.
fn primaries_code(name: &str) -> Option<u8> {
    Some(match name {
        "bt709" => 1,
        "bt470m" => 4,
        "bt470bg" => 5,
        "smpte170m" => 6,
        "smpte240m" => 7,
        "film" => 8,
        "bt2020" => 9,
        "smpte428" => 10,
        "smpte431" => 11,
        "smpte432" => 12,
        "ebu3213" | "jedec-p22" => 22,
        _ => return None,
    })
}

/// ffmpeg's names as numbers of ITU-T H.273.
fn curve_code(name: &str) -> Option<u8> {
    Some(match name {
        "bt709" => 1,
        "gamma22" | "bt470m" => 4,
        "gamma28" | "bt470bg" => 5,
        "smpte170m" => 6,
        "smpte240m" => 7,
        "linear" => 8,
        "log100" => 9,
        "log316" => 10,
        "iec61966-2-4" => 11,
        "bt1361e" => 12,
        "iec61966-2-1" => 13,
        "bt2020-10" => 14,
        "bt2020-12" => 15,
        "smpte2084" => 16,
        "smpte428" => 17,
        "arib-std-b67" => 18,
        _ => return None,
    })
}
