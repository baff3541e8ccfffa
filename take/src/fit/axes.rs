//! Where a set of cells is, how far it reaches, and which way it points.

/// Eigenvalues that differ by less, relatively, are the same: the set points nowhere.
const SAME: f64 = 1e-9;

/// First and second moments of a set of cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    count: f64,
    /// Sums of x and y.
    sum: (f64, f64),
    /// Sums of x², x·y and y².
    squares: (f64, f64, f64),
}

impl Moments {
    /// Coordinates are small integers, so every sum is exact: a set that is symmetric has a
    /// covariance that is exactly so.
    pub(super) fn of(cells: &[(usize, usize)]) -> Self {
        let mut moments = Self { count: 0.0, sum: (0.0, 0.0), squares: (0.0, 0.0, 0.0) };
        for &(x, y) in cells {
            let (x, y) = (x as f64, y as f64);
            moments.count += 1.0;
            moments.sum.0 += x;
            moments.sum.1 += y;
            moments.squares.0 += x * x;
            moments.squares.1 += x * y;
            moments.squares.2 += y * y;
        }
        moments
    }

    pub(super) fn center(&self) -> (f64, f64) {
        (self.sum.0 / self.count, self.sum.1 / self.count)
    }

    /// The unit eigenvector of the larger eigenvalue of the covariance; (0, 1) where both are the
    /// same.
    pub(super) fn leading(&self) -> (f64, f64) {
        // n(n − 1) times the covariance: the factor turns nothing.
        let xx = self.count * self.squares.0 - self.sum.0 * self.sum.0;
        let xy = self.count * self.squares.1 - self.sum.0 * self.sum.1;
        let yy = self.count * self.squares.2 - self.sum.1 * self.sum.1;
        let difference = (xx - yy).hypot(2.0 * xy);
        let larger = f64::midpoint(xx + yy, difference);
        if difference <= SAME * larger {
            return (0.0, 1.0);
        }
        let (sin, cos) = (0.5 * (2.0 * xy).atan2(xx - yy)).sin_cos();
        (cos, sin)
    }

    /// How far the cells reach along a direction, from the first to the last.
    pub(super) fn extent(&self, cells: &[(usize, usize)], (dx, dy): (f64, f64)) -> f64 {
        let (cx, cy) = self.center();
        let along = cells.iter().map(|&(x, y)| (x as f64 - cx) * dx + (y as f64 - cy) * dy);
        let (low, high) = along.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| {
            (low.min(at), high.max(at))
        });
        high - low
    }
}

/// The smallest upright rectangle through the outermost cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    low: (usize, usize),
    high: (usize, usize),
}

impl Bounds {
    /// None of no cells.
    pub(super) fn of(cells: &[(usize, usize)]) -> Option<Self> {
        let first = *cells.first()?;
        Some(cells.iter().fold(Self { low: first, high: first }, |bounds, cell| Self {
            low: (bounds.low.0.min(cell.0), bounds.low.1.min(cell.1)),
            high: (bounds.high.0.max(cell.0), bounds.high.1.max(cell.1)),
        }))
    }

    pub(super) fn center(&self) -> (f64, f64) {
        let middle = |low: usize, high: usize| (low + high) as f64 / 2.0;
        (middle(self.low.0, self.high.0), middle(self.low.1, self.high.1))
    }

    /// Width and height, from center to center of the outermost cells.
    pub(super) fn extent(&self) -> (f64, f64) {
        ((self.high.0 - self.low.0) as f64, (self.high.1 - self.low.1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_points_along_y_and_a_bar_along_itself() {
        let square: Vec<_> = (10..13).flat_map(|x| (20..23).map(move |y| (x, y))).collect();
        assert_eq!(Moments::of(&square).leading(), (0.0, 1.0));
        let flat: Vec<_> = (3..9).map(|x| (x, 4)).collect();
        assert_eq!(Moments::of(&flat).leading(), (1.0, 0.0));
        let falling: Vec<_> = (0..6).map(|i| (i, i)).collect();
        let (x, y) = Moments::of(&falling).leading();
        assert!(
            (x - y).abs() < 1e-15
                && (Moments::of(&falling).extent(&falling, (x, y)) - 50_f64.sqrt()).abs() < 1e-12
        );
    }

    #[test]
    fn bounds_are_of_centers() {
        assert!(Bounds::of(&[]).is_none());
        let bounds = Bounds::of(&[(4, 9), (7, 2)]).unwrap();
        assert_eq!((bounds.center(), bounds.extent()), ((5.5, 5.5), (3.0, 7.0)));
    }
}
