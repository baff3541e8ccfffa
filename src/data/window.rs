//! Which part of a clip, in space and time, the autoencoder is trained on: the released draws.

use super::clip::Window;
use super::rng::DataRng;

/// The frames of a window, as indices into a clip of `length` frames: a part of it or, of a clip
/// that is too short, its frames forward and backward, again and again.
pub(crate) fn frames(length: usize, window: usize, draw: &mut DataRng) -> Vec<usize> {
    if length >= window {
        let start = draw.below(length - window + 1);
        return (start..start + window).collect();
    }
    let there_and_back = (0..length).chain((0..length).rev());
    there_and_back.cycle().take(if length == 0 { 0 } else { window }).collect()
}

/// The size a picture gets so that both of its sides cover a drawn one, between the window's and
/// twice that: `[width, height]`.
pub(crate) fn cover(
    width: usize,
    height: usize,
    window: &Window,
    draw: &mut DataRng,
) -> [usize; 2] {
    let target = [window.width, window.height].map(|side| side + draw.below(side + 1));
    let scale = (target[0] as f64 / width as f64).max(target[1] as f64 / height as f64);
    let scaled = |side: usize| (side as f64 * scale).round() as usize;
    [scaled(width).max(target[0]), scaled(height).max(target[1])]
}

/// Where a window of a moving picture is cut out: `[left, top]`, for all frames.
pub(crate) fn corner(size: [usize; 2], window: &Window, draw: &mut DataRng) -> [usize; 2] {
    let room = room(size, window);
    room.map(|room| draw.below(room + 1))
}

/// Where it is cut out of a still, frame by frame: it slides away from the quadrant it begins in,
/// sideways, up or down, or both.
pub(crate) fn sliding(size: [usize; 2], window: &Window, draw: &mut DataRng) -> Vec<[usize; 2]> {
    let room = room(size, window);
    let start = room.map(|room| draw.below(room + 1));
    // Away from the nearer edge.
    let away = [0, 1].map(|axis| if 2 * start[axis] <= room[axis] { 1 } else { -1 });
    let along = draw.pick(&[[1, 0], [0, 1], [1, 1]]);
    let step = [0, 1].map(|axis| {
        let direction: i64 = away[axis] * along[axis];
        let travel = if away[axis] > 0 { room[axis] - start[axis] } else { start[axis] };
        // ⌊direction · travel / frames⌋: towards the left and the top it rounds to more.
        (direction * travel as i64).div_euclid(window.frames.max(1) as i64)
    });
    let at = |frame: usize, axis: usize| {
        let place = start[axis] as i64 + frame as i64 * step[axis];
        place.clamp(0, room[axis] as i64) as usize
    };
    (0..window.frames).map(|frame| [at(frame, 0), at(frame, 1)]).collect()
}

fn room(size: [usize; 2], window: &Window) -> [usize; 2] {
    [size[0].saturating_sub(window.width), size[1].saturating_sub(window.height)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { frames: 17, height: 64, width: 96 };

    #[test]
    fn a_long_clip_gives_a_part_and_a_short_one_goes_there_and_back() {
        let mut starts = [0; 4];
        for at in 0..200 {
            let frames = frames(20, 17, &mut DataRng::new(1, "frames", &[at]));
            assert!(frames.windows(2).all(|pair| pair[1] == pair[0] + 1) && frames.len() == 17);
            starts[frames[0]] += 1;
        }
        assert!(starts.iter().all(|count| *count > 25), "{starts:?}");
        let draw = &mut DataRng::new(1, "frames", &[]);
        assert_eq!(frames(3, 8, draw), [0, 1, 2, 2, 1, 0, 0, 1]);
        assert_eq!(frames(1, 3, draw), [0, 0, 0]);
        assert_eq!(frames(0, 3, draw), Vec::<usize>::new());
    }

    #[test]
    fn both_sides_cover_a_target_between_once_and_twice_the_window() {
        for at in 0..500 {
            let [width, height] = cover(300, 100, &WINDOW, &mut DataRng::new(1, "size", &[at]));
            assert!(width >= 96 && (64..=128).contains(&height), "{width} × {height}");
            assert!((width as f64 / height as f64 - 3.0).abs() < 0.03);
        }
        // Of the window's own shape, no more than twice it.
        let sizes = (0..500).map(|at| cover(48, 32, &WINDOW, &mut DataRng::new(1, "size", &[at])));
        assert!(sizes.into_iter().all(|[width, height]| width <= 193 && height <= 128));
    }

    #[test]
    fn the_window_slides_away_from_where_it_begins_and_stays_inside() {
        let mut ways = [0; 3];
        for at in 0..300 {
            let size = [96 + 40, 64 + 50];
            let path = sliding(size, &WINDOW, &mut DataRng::new(1, "slide", &[at]));
            assert_eq!(path.len(), 17);
            let (first, last) = (path[0], path[16]);
            for (axis, room) in [(0, 40), (1, 50)] {
                assert!(path.iter().all(|place| place[axis] <= room));
                if last[axis] > first[axis] {
                    assert!(2 * first[axis] <= room, "{path:?}");
                } else if last[axis] < first[axis] {
                    assert!(2 * first[axis] > room, "{path:?}");
                }
            }
            let moves = [0, 1].map(|axis| first[axis] != last[axis]);
            match moves {
                [true, false] => ways[0] += 1,
                [false, true] => ways[1] += 1,
                [true, true] => ways[2] += 1,
                // Fewer pixels than frames to go round to no step, forward.
                [false, false] => {}
            }
        }
        assert!(ways.iter().all(|count| *count > 40), "{ways:?}");
        // No room, no way.
        let still = sliding([96, 64], &WINDOW, &mut DataRng::new(1, "slide", &[]));
        assert!(still.iter().all(|place| *place == [0, 0]));
    }

    #[test]
    fn steps_are_rounded_down() {
        let window = Window { frames: 4, height: 1, width: 1 };
        for at in 0..200 {
            let path = sliding([11, 1], &window, &mut DataRng::new(3, "slide", &[at]));
            let [start, next] = [path[0][0] as i64, path[1][0] as i64];
            if next > start {
                assert_eq!(next - start, (10 - start) / 4);
            } else if next < start {
                assert_eq!(start - next, (start + 3) / 4);
            }
        }
    }
}
