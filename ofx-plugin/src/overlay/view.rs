//! The maps between the take, the canvas and the screen.
//!
//! In *take space* one unit is the height of the take's frame in both directions and y is up from
//! the lower left corner, so that a circle of the model is a circle. On the *canvas* a point has
//! the host's canonical coordinates. A take that is stretched is no circle any more there, so
//! whatever is dragged is worked out in take space, and whatever is drawn goes through [`View`].

#![forbid(unsafe_code)]

use wan_alpha_take::ellipse::Ellipse;

use crate::surface::Point;

/// Where the take lies on the canvas, in canonical coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TakeRegion {
    pub(crate) left: f64,
    pub(crate) bottom: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// How the artist sees the take: where it lies, how wide its frame is, how fine the screen is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    region: TakeRegion,
    /// Width of the take's frame in heights of it.
    aspect: f64,
    /// Size of a pixel of the screen on the canvas.
    pixel: [f64; 2],
}

impl View {
    /// None where something is not a size: a host may not know its project yet.
    pub(crate) fn new(region: TakeRegion, aspect: f64, pixel: [f64; 2]) -> Option<Self> {
        let sizes = [region.width, region.height, aspect, pixel[0], pixel[1]];
        let is_size = |size: &f64| size.is_finite() && *size > 0.0;
        let placed = region.left.is_finite() && region.bottom.is_finite();
        (placed && sizes.iter().all(is_size)).then_some(Self { region, aspect, pixel })
    }

    pub(crate) fn region(&self) -> TakeRegion {
        self.region
    }

    pub(crate) fn aspect(&self) -> f64 {
        self.aspect
    }

    /// A point of take space, on the canvas.
    pub(crate) fn to_canvas(self, [x, y]: Point) -> Point {
        let TakeRegion { left, bottom, width, height } = self.region;
        [left + x / self.aspect * width, bottom + y * height]
    }

    /// A point of the canvas, in take space.
    pub(crate) fn to_take(self, [x, y]: Point) -> Point {
        let TakeRegion { left, bottom, width, height } = self.region;
        [(x - left) / width * self.aspect, (y - bottom) / height]
    }

    /// From one point of the canvas to another, in pixels of the screen.
    pub(crate) fn pixels(&self, from: Point, to: Point) -> [f64; 2] {
        [(to[0] - from[0]) / self.pixel[0], (to[1] - from[1]) / self.pixel[1]]
    }

    /// A point of the canvas moved by pixels of the screen.
    pub(crate) fn moved(&self, [x, y]: Point, by: [f64; 2]) -> Point {
        [x + by[0] * self.pixel[0], y + by[1] * self.pixel[1]]
    }

    /// Size of a pixel of the screen on the canvas.
    pub(crate) fn pixel(&self) -> [f64; 2] {
        self.pixel
    }

    /// The center of an ellipse, in take space.
    pub(crate) fn center(&self, of: &Ellipse) -> Point {
        [of.x * self.aspect, of.y]
    }
}

/// The unit vectors along the axes of an ellipse, in take space.
pub(crate) fn axes(of: &Ellipse) -> [Point; 2] {
    let (sin, cos) = of.angle.to_radians().sin_cos();
    [[cos, sin], [-sin, cos]]
}

/// The lengths of the axes of an ellipse, as a pair.
pub(crate) fn lengths(of: &Ellipse) -> [f64; 2] {
    [of.a, of.b]
}

/// One point less another.
pub(crate) fn difference(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

/// The dot product of two vectors.
pub(crate) fn dot(a: Point, b: Point) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        /// Any placement of any take at any zoom.
        pub(crate) fn any_view()(
            left in -2000.0..2000.0, bottom in -2000.0..2000.0, width in 20.0..5000.0,
            height in 20.0..5000.0, aspect in 0.25..4.0, zoom in 0.05..8.0, squeeze in 0.5..2.0
        ) -> View {
            let region = TakeRegion { left, bottom, width, height };
            View::new(region, aspect, [zoom * squeeze, zoom]).unwrap()
        }
    }

    #[test]
    fn corners_are_corners() {
        let region = TakeRegion { left: 100.0, bottom: 50.0, width: 1600.0, height: 400.0 };
        let view = View::new(region, 2.0, [1.0, 1.0]).unwrap();
        assert_eq!(view.to_canvas([0.0, 0.0]), [100.0, 50.0]);
        assert_eq!(view.to_canvas([2.0, 1.0]), [1700.0, 450.0]);
        let corner = Ellipse { x: 1.0, y: 1.0, ..Ellipse::default() };
        assert_eq!(view.to_canvas(view.center(&corner)), [1700.0, 450.0]);
    }

    #[test]
    fn what_is_no_size_is_no_view() {
        let region = TakeRegion { left: 0.0, bottom: 0.0, width: 10.0, height: 10.0 };
        assert!(View::new(region, 1.0, [1.0, 1.0]).is_some());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(View::new(TakeRegion { width: bad, ..region }, 1.0, [1.0, 1.0]).is_none());
            assert!(View::new(TakeRegion { height: bad, ..region }, 1.0, [1.0, 1.0]).is_none());
            assert!(View::new(region, bad, [1.0, 1.0]).is_none());
            assert!(View::new(region, 1.0, [1.0, bad]).is_none());
        }
        assert!(View::new(TakeRegion { left: f64::NAN, ..region }, 1.0, [1.0, 1.0]).is_none());
    }

    proptest! {
        #[test]
        fn there_and_back(view in any_view(), x in -3.0..6.0, y in -3.0..4.0) {
            let [u, v] = view.to_take(view.to_canvas([x, y]));
            prop_assert!((u - x).abs() < 1e-9 && (v - y).abs() < 1e-9);
        }

        #[test]
        fn pixels_move_by_pixels(view in any_view(), x in -50.0..50.0, y in -50.0..50.0) {
            let from = view.to_canvas([0.3, 0.4]);
            let [dx, dy] = view.pixels(from, view.moved(from, [x, y]));
            prop_assert!((dx - x).abs() < 1e-6 && (dy - y).abs() < 1e-6);
        }
    }
}
