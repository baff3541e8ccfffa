//! Primaries and white, and the matrix to light of Rec.709.

/// Rows of a linear map between colors.
pub(crate) type Matrix = [[f64; 3]; 3];

/// Chromaticities x, y of red, green, blue and white.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Primaries {
    /// As the Color Interop Forum calls them.
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    chromaticities: [[f64; 2]; 4],
}

const D65: [f64; 2] = [0.3127, 0.3290];
/// The white of ACES, near D60.
const ACES_WHITE: [f64; 2] = [0.32168, 0.33767];
const C: [f64; 2] = [0.310, 0.316];

/// All primaries that a tag may name.
const KNOWN: [Primaries; 13] = [
    known("rec709", "Rec.709", [0.64, 0.33], [0.30, 0.60], [0.15, 0.06], D65),
    known("p3d65", "P3-D65", [0.680, 0.320], [0.265, 0.690], [0.150, 0.060], D65),
    known("rec2020", "Rec.2020", [0.708, 0.292], [0.170, 0.797], [0.131, 0.046], D65),
    known("ap1", "ACES AP1", [0.713, 0.293], [0.165, 0.830], [0.128, 0.044], ACES_WHITE),
    known("ap0", "ACES AP0", [0.7347, 0.2653], [0.0, 1.0], [0.0001, -0.0770], ACES_WHITE),
    known("adobergb", "Adobe RGB", [0.64, 0.33], [0.21, 0.71], [0.15, 0.06], D65),
    known("xyzd65", "CIE XYZ", [1.0, 0.0], [0.0, 1.0], [0.0, 0.0], D65),
    known("bt470m", "NTSC 1953", [0.67, 0.33], [0.21, 0.71], [0.14, 0.08], C),
    known("bt470bg", "PAL", [0.64, 0.33], [0.29, 0.60], [0.15, 0.06], D65),
    known("smpte170m", "NTSC", [0.630, 0.340], [0.310, 0.595], [0.155, 0.070], D65),
    known("film", "generic film", [0.681, 0.319], [0.243, 0.692], [0.145, 0.049], C),
    known("p3dci", "DCI-P3", [0.680, 0.320], [0.265, 0.690], [0.150, 0.060], [0.314, 0.351]),
    known("ebu3213", "EBU Tech. 3213", [0.630, 0.340], [0.295, 0.605], [0.155, 0.077], D65),
];

const fn known(
    id: &'static str,
    name: &'static str,
    red: [f64; 2],
    green: [f64; 2],
    blue: [f64; 2],
    white: [f64; 2],
) -> Primaries {
    Primaries { id, name, chromaticities: [red, green, blue, white] }
}

/// Matrices whose entries are nowhere further apart than this are taken for the same: what 16 bits
/// behind the point and other roundings of D50 make of one.
const SAME_ENTRY: f64 = 4e-3;
/// Chromaticities that are nowhere further apart than this are taken for the same.
const SAME_CHROMATICITY: f64 = 2e-3;

impl Primaries {
    /// The primaries that the Color Interop Forum calls so.
    pub(crate) fn of_id(id: &str) -> Option<&'static Self> {
        let id = if id == "ciexyzd65" { "xyzd65" } else { id };
        KNOWN.iter().find(|known| known.id == id)
    }

    /// The primaries of a number of ITU-T H.273.
    pub(crate) fn of_code_point(code: u8) -> Option<&'static Self> {
        Self::of_id(match code {
            1 => "rec709",
            4 => "bt470m",
            5 => "bt470bg",
            6 | 7 => "smpte170m",
            8 => "film",
            9 => "rec2020",
            10 => "xyzd65",
            11 => "p3dci",
            12 => "p3d65",
            22 => "ebu3213",
            _ => return None,
        })
    }

    /// Those of a file's own numbers: the known ones that they round, or their own.
    pub(crate) fn of_chromaticities(chromaticities: [[f64; 2]; 4]) -> Self {
        let same = |known: &&Self| {
            let pairs = known.chromaticities.iter().flatten().zip(chromaticities.iter().flatten());
            pairs.into_iter().all(|(a, b)| (a - b).abs() < SAME_CHROMATICITY)
        };
        let own = Self { id: "own", name: "primaries of its own", chromaticities };
        KNOWN.iter().find(same).cloned().unwrap_or(own)
    }

    /// The known primaries whose matrix is nearly this one.
    pub(super) fn nearest(matrix: &Matrix) -> Option<&'static Self> {
        KNOWN.iter().find(|known| {
            known.to_rec_709().is_some_and(|known| {
                let pairs = known.iter().flatten().zip(matrix.iter().flatten());
                pairs.into_iter().all(|(a, b)| (a - b).abs() < SAME_ENTRY)
            })
        })
    }

    pub(super) fn is_rec_709(&self) -> bool {
        self.id == "rec709"
    }

    /// From their light to that of Rec.709; None where they span no space.
    pub(super) fn to_rec_709(&self) -> Option<Matrix> {
        let [.., white] = self.chromaticities;
        from_xyz_to_rec_709(multiply(
            adaptation(white_xyz(white)?, white_xyz(D65)?)?,
            self.to_xyz()?,
        ))
    }

    /// From the light of Rec.709 to theirs; None where they span no space.
    pub(super) fn of_rec_709(&self) -> Option<Matrix> {
        inverse(self.to_rec_709()?)
    }

    fn to_xyz(&self) -> Option<Matrix> {
        let [red, green, blue, white] = self.chromaticities;
        // y may be 0 (CIE XYZ's own red): so in proportions, not divided by y.
        let column = |[x, y]: [f64; 2]| [x, y, 1.0 - x - y];
        let columns = transposed([column(red), column(green), column(blue)]);
        let amounts = apply(inverse(columns)?, white_xyz(white)?);
        // White lies between the three, or they are no primaries.
        if !amounts.iter().all(|amount| *amount > 0.0) {
            return None;
        }
        Some(columns.map(|row| [row[0] * amounts[0], row[1] * amounts[1], row[2] * amounts[2]]))
    }
}

/// From light whose columns are XYZ of D50, as ICC profiles have them, to that of Rec.709.
pub(crate) fn of_d50_colorants(columns: Matrix) -> Option<Matrix> {
    const D50: [f64; 3] = [0.9642, 1.0, 0.8249];
    from_xyz_to_rec_709(multiply(adaptation(D50, white_xyz(D65)?)?, columns))
}

fn from_xyz_to_rec_709(matrix: Matrix) -> Option<Matrix> {
    let [rec_709, ..] = &KNOWN;
    let matrix = multiply(inverse(rec_709.to_xyz()?)?, matrix);
    matrix.iter().flatten().all(|value| value.is_finite() && value.abs() < 100.0).then_some(matrix)
}

fn white_xyz([x, y]: [f64; 2]) -> Option<[f64; 3]> {
    (y > 1e-6).then(|| [x / y, 1.0, (1.0 - x - y) / y])
}

/// Bradford's adaptation from one white to another, both as XYZ.
fn adaptation(from: [f64; 3], to: [f64; 3]) -> Option<Matrix> {
    const CONE: Matrix =
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];
    let (from, to) = (apply(CONE, from), apply(CONE, to));
    let scale = [0, 1, 2].map(|cone| to[cone] / from[cone]);
    let scaled = [0, 1, 2].map(|cone: usize| CONE[cone].map(|value| value * scale[cone]));
    Some(multiply(inverse(CONE)?, scaled))
}

fn apply(matrix: Matrix, [x, y, z]: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row[0] * x + row[1] * y + row[2] * z)
}

fn transposed(matrix: Matrix) -> Matrix {
    [0, 1, 2].map(|column: usize| matrix.map(|row| row[column]))
}

fn multiply(left: Matrix, right: Matrix) -> Matrix {
    let columns = transposed(right);
    left.map(|row| columns.map(|column| (0..3).map(|at| row[at] * column[at]).sum()))
}

fn inverse(matrix: Matrix) -> Option<Matrix> {
    let [a, b, c] = matrix;
    let cross = |u: [f64; 3], v: [f64; 3]| {
        [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
    };
    let columns = [cross(b, c), cross(c, a), cross(a, b)];
    let determinant: f64 = a.iter().zip(columns[0]).map(|(a, b)| a * b).sum();
    let inverted = transposed(columns.map(|column| column.map(|value| value / determinant)));
    (determinant.abs() > 1e-9).then_some(inverted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_known_spans_a_space_and_numbers_that_cannot_be_meant_span_none() {
        assert!(KNOWN.iter().all(|known| known.to_rec_709().is_some()));
        let own = |points| Primaries::of_chromaticities(points).to_rec_709();
        assert_eq!(own([[0.0; 2]; 4]), None);
        // White is outside of red, green and blue.
        assert_eq!(own([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06], [0.7, 0.25]]), None);
        assert!(own([[0.65, 0.33], [0.30, 0.62], [0.15, 0.06], D65]).is_some());
    }
}
