//! How dense a subject is away from its edges.

/// Less alpha than this shows nothing.
const TRACE: f32 = 0.05;

/// The sum of alpha over the inner part of a subject in a frame, and the pixels of that part. The
/// silhouette is where alpha is at least half of what a tenth of all visible pixels exceed; of it the
/// pixels that lie nearer to its edge than `share` of its deepest one are left out, and its outermost
/// pixels always. None where there is nothing inside.
pub(crate) fn inner_alpha(alpha: &[f32], width: usize, share: f64) -> Option<[f64; 2]> {
    let mut visible: Vec<f32> = alpha.iter().copied().filter(|value| *value > TRACE).collect();
    visible.sort_by(f32::total_cmp);
    let dense = *visible.get(visible.len() * 9 / 10)?;
    let depths = depths(alpha, width, 0.5 * dense);
    let deepest = depths.iter().copied().max().unwrap_or(0);
    let edge = f64::from(deepest) * share;
    let (mut sum, mut count) = (0.0, 0.0);
    for (value, depth) in alpha.iter().zip(depths) {
        if depth > 1 && f64::from(depth) > edge {
            sum += f64::from(*value);
            count += 1.0;
        }
    }
    (count > 0.0).then_some([sum, count])
}

/// Steps, diagonal ones too, from each pixel to the nearest with less than `least`, or out of the
/// frame; 0 of such a pixel itself.
fn depths(alpha: &[f32], width: usize, least: f32) -> Vec<u32> {
    let height = alpha.len() / width.max(1);
    let mut depths: Vec<u32> = vec![0; width * height];
    let at = |depths: &[u32], x: usize, y: usize, dx: isize, dy: isize| -> u32 {
        let (x, y) = (x.checked_add_signed(dx), y.checked_add_signed(dy));
        match (x, y) {
            (Some(x), Some(y)) if x < width && y < height => depths[y * width + x],
            _ => 0,
        }
    };
    for y in 0..height {
        for x in 0..width {
            let before = [(-1, 0), (-1, -1), (0, -1), (1, -1)];
            let least_before = before.map(|(dx, dy)| at(&depths, x, y, dx, dy));
            let near = least_before.into_iter().min().unwrap_or(0);
            depths[y * width + x] = if alpha[y * width + x] < least { 0 } else { near + 1 };
        }
    }
    for y in (0..height).rev() {
        for x in (0..width).rev() {
            let behind = [(1, 0), (1, 1), (0, 1), (-1, 1)];
            let least_behind = behind.map(|(dx, dy)| at(&depths, x, y, dx, dy));
            let near = least_behind.into_iter().min().unwrap_or(0);
            let here = &mut depths[y * width + x];
            *here = (*here).min(near + 1);
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 32;

    /// Alpha drawn pixel by pixel: x, y.
    fn frame(of: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        (0..WIDTH * WIDTH).map(|place| of(place % WIDTH, place / WIDTH)).collect()
    }

    fn mean(alpha: &[f32]) -> Option<f64> {
        inner_alpha(alpha, WIDTH, 0.3).map(|[sum, count]| sum / count)
    }

    #[test]
    fn depth_is_counted_from_the_nearest_edge() {
        let square = frame(|x, y| f32::from((8..19).contains(&x) && (10..21).contains(&y)));
        let depths = depths(&square, WIDTH, 0.5);
        let at = |x: usize, y: usize| depths[y * WIDTH + x];
        assert_eq!([at(8, 10), at(9, 11), at(13, 15), at(18, 15), at(7, 15)], [1, 2, 6, 1, 0]);
        // 6 deep: more than 1.8 are 9 × 9 pixels.
        assert_eq!(inner_alpha(&square, WIDTH, 0.3), Some([81.0, 81.0]));
    }

    #[test]
    fn soft_edges_count_nothing_and_a_thin_body_counts_what_it_lets_through() {
        let disc = |dense: f32| {
            frame(|x, y| {
                let from = (x as f32 - 15.5).hypot(y as f32 - 15.5);
                dense * (10.0 - from).clamp(0.0, 2.0) / 2.0
            })
        };
        assert_eq!(mean(&disc(1.0)), Some(1.0));
        assert!((mean(&disc(0.5)).unwrap() - 0.5).abs() < 1e-6);
        // Half of it transparent in a grid of dots is no opaque body.
        let dotted = frame(|x, y| {
            let inside = (x as f32 - 15.5).hypot(y as f32 - 15.5) < 10.0;
            if !inside {
                0.0
            } else if (x + y) % 2 == 0 {
                1.0
            } else {
                0.6
            }
        });
        assert!((mean(&dotted).unwrap() - 0.8).abs() < 0.02);
    }

    #[test]
    fn nothing_and_what_has_no_inside_are_not_measured() {
        assert_eq!(mean(&frame(|_, _| 0.02)), None);
        assert_eq!(mean(&frame(|x, _| f32::from(x == 5))), None);
        assert_eq!(inner_alpha(&[], 0, 0.3), None);
    }
}
