//! What a fit does with little, with nothing and with ties.

use super::*;

/// A frame of 8 × 8 pixels per cell, opaque in the given cells of a grid.
fn fit(width: usize, height: usize, cells: &[(usize, usize)]) -> Option<Fit> {
    let mut alpha = vec![0.0; width * height * 64];
    for (x, y) in cells {
        for row in 0..8 {
            alpha[(y * 8 + row) * width * 8 + x * 8..][..8].fill(1.0);
        }
    }
    let mut compressor = Compressor::new(width * 8, height * 8, 0.1).unwrap();
    compressor.push(&alpha).unwrap();
    compressor.finish().unwrap().fit(10)[0]
}

fn numbers(fit: Fit) -> [f64; 5] {
    let GridEllipse { cx, cy, a, b, angle } = fit.ellipse;
    [cx, cy, a, b, angle]
}

#[test]
fn an_empty_frame_has_no_ellipse() {
    assert_eq!(fit(12, 9, &[]), None);
}

#[test]
fn a_few_cells_get_the_ellipse_of_their_bounds() {
    let one = fit(12, 9, &[(3, 4)]).unwrap();
    assert_eq!((numbers(one), one.enlargements), ([3.0, 4.0, 2.0, 2.0, 0.0], 0));
    let four = fit(12, 9, &[(2, 2), (3, 2), (4, 2), (5, 2)]).unwrap();
    assert_eq!(numbers(four)[..2], [3.5, 2.0]);
    assert_eq!(numbers(four)[4], 0.0);
    // Five cells in a row have axes of their own.
    let five = fit(12, 9, &[(2, 1), (2, 2), (2, 3), (2, 4), (2, 5)]).unwrap();
    assert_eq!((numbers(five), five.enlargements), ([2.0, 3.0, 4.0, 2.0, 90.0], 0));
}

#[test]
fn a_set_that_points_nowhere_points_along_y() {
    let square: Vec<_> = (2..8).flat_map(|x| (2..8).map(move |y| (x, y))).collect();
    assert_eq!(fit(12, 12, &square).unwrap().ellipse.angle, 90.0);
}

#[test]
fn an_ellipse_grows_until_it_covers_or_rounds_end() {
    // The corners of the frame: no ellipse that is tried covers them with one round.
    let corners: Vec<_> = (0..40)
        .flat_map(|x| (0..24).map(move |y| (x, y)))
        .filter(|(x, y)| !(4..36).contains(x) && !(4..20).contains(y))
        .collect();
    let shape = corners.as_slice();
    let start = first_guess(shape, shape).unwrap();
    let one = enlarged(start, shape, [40, 24], 1);
    assert_eq!((one.ellipse, one.enlargements), (start, 0));
    let ten = enlarged(start, shape, [40, 24], 10);
    assert!(ten.enlargements > 2 && ten.covered >= 0.98 && one.covered < 0.98, "{ten:?}");
    let grown = start.a * 1.12_f64.powi(ten.enlargements as i32);
    assert!((ten.ellipse.a - grown).abs() < 1e-9);
    // Of sizes that cover no more than the first, the first is kept.
    let far = GridEllipse { cx: -500.0, ..start };
    assert_eq!(enlarged(far, shape, [40, 24], 10).enlargements, 0);
}

#[test]
fn the_solid_part_turns_the_ellipse_and_only_that() {
    let shape: Vec<_> = (0..20).flat_map(|x| (5..10).map(move |y| (x, y))).collect();
    let upright: Vec<_> = (4..10).map(|y| (3, y)).collect();
    let plain = first_guess(&shape, &upright[..4]).unwrap();
    let turned = first_guess(&shape, &upright).unwrap();
    assert_eq!((plain.angle, turned.angle), (0.0, 90.0));
    assert_eq!(GridEllipse { angle: 0.0, ..turned }, plain);
}
