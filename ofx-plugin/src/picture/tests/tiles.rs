//! Parts of a picture are parts of the whole, and every pixel of a part is written.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

fn any_output_frame() -> impl Strategy<Value = OutputFrame> {
    let scales = prop::sample::select(vec![1.0, 0.5, 1.0 / 3.0, 0.77, 2.0]);
    let aspects = prop::sample::select(vec![1.0, 1.0, 2.0, 1.0926]);
    let region = (-40..40_i32, -40..40_i32, 1..160_i32, 1..120_i32, prop::bool::ANY);
    (region, aspects, scales).prop_map(|((x, y, width, height, odd), pixel_aspect, scale)| {
        let shift = if odd { 0.3 } else { 0.0 };
        let [x, y, width, height] = [x, y, width, height].map(f64::from);
        let region = [x + shift, y + shift, x + width + shift, y + height + shift];
        OutputFrame { region, pixel_aspect, scale: [scale, scale] }
    })
}

fn any_format() -> impl Strategy<Value = OutputFormat> {
    let transfers = [Transfer::AsGenerated, Transfer::LinearRec709, Transfer::AcesCg];
    (prop::sample::select(transfers.to_vec()), prop::bool::ANY)
        .prop_map(|(transfer, straight)| OutputFormat { transfer, straight })
}

fn any_fit() -> impl Strategy<Value = Fit> {
    let fits = [Fit::Whole, Fit::Fill, Fit::Stretch, Fit::PixelForPixel];
    prop::sample::select(fits.to_vec())
}

fn any_depth() -> impl Strategy<Value = Depth> {
    prop::sample::select(vec![Depth::Byte, Depth::Short, Depth::Half, Depth::Float])
}

/// A window that may reach beyond the output frame on all sides.
fn any_window() -> impl Strategy<Value = Window> {
    (-90..200_i32, -90..200_i32, 0..300_i32, 0..150_i32).prop_map(|(x1, y1, width, height)| {
        Window { x1, y1, x2: (x1 + width).min(300), y2: (y1 + height).min(300) }
    })
}

const ANNOTATIONS: [Option<Annotation<'_>>; 3] = [
    None,
    Some(Annotation::Badge { tone: Tone::Working, text: "Being made" }),
    Some(Annotation::Placeholder {
        tone: Tone::Failed,
        lines: &["Failed", "For a reason"],
        size: Some([40, 30]),
    }),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_tile_is_a_part_of_the_whole(
        output_frame in any_output_frame(),
        format in any_format(),
        fit in any_fit(),
        depth in any_depth(),
        width in 1..70_u32,
        height in 1..70_u32,
        annotation in prop::sample::select(ANNOTATIONS.to_vec()),
        view in prop::sample::select(vec![View::Rgba, View::AlphaAsGray, View::OverChecker]),
        windows in prop::collection::vec(any_window(), 4),
    ) {
        let picture = Picture::new([width, height], noise);
        let content = FrameContent { view, annotation, ..content(output_frame, fit, Some(picture.source())) };
        let bounds = Window { x1: -90, y1: -90, x2: 300, y2: 300 };
        let mut whole = Image::new(bounds, bounds, depth);
        prop_assert_eq!(draw(&mut whole, &content, format, &|| true), Drawn::Whole);
        for window in windows {
            let mut tile = Image::new(bounds, window, depth);
            prop_assert_eq!(draw(&mut tile, &content, format, &|| true), Drawn::Whole);
            let mut expected = vec![UNWRITTEN; whole.bytes.len()];
            for y in window.y1..window.y2 {
                let row = whole.place(window.x1, y)..whole.place(window.x2, y);
                expected[row.clone()].copy_from_slice(&whole.bytes[row]);
            }
            prop_assert!(tile.bytes == expected, "{window:?}");
        }
    }
}

#[test]
fn rows_that_do_not_lie_on_whole_floats_hold_the_same() {
    /// Rows that begin one byte beside where a float may lie.
    struct Shifted(Image, Vec<u8>);
    impl PixelCanvas for Shifted {
        fn window(&self) -> Window {
            self.0.window
        }
        fn depth(&self) -> Depth {
            Depth::Float
        }
        fn row(&mut self, y: i32) -> &mut [u8] {
            let from = self.0.place(self.0.window.x1, y) + 1;
            let to = self.0.place(self.0.window.x2, y) + 1;
            &mut self.1[from..to]
        }
    }
    let picture = Picture::new([20, 12], noise);
    let straight = picture.drawn([50, 40], Fit::Whole, LINEAR);
    let length = straight.bytes.len();
    let mut shifted = Shifted(Image::of_size(50, 40), vec![UNWRITTEN; length + 8]);
    let content = content(output_frame(50, 40), Fit::Whole, Some(picture.source()));
    assert_eq!(draw(&mut shifted, &content, LINEAR, &|| true), Drawn::Whole);
    assert!(shifted.1[1..=length] == straight.bytes);
    assert_eq!(shifted.1[0], UNWRITTEN);
}

#[test]
fn a_host_that_lost_interest_is_obeyed_at_the_next_question() {
    let picture = Picture::new([64, 64], noise);
    for allowed in [0, 1, 5] {
        let asked = Cell::new(0);
        let keep_going = || {
            asked.set(asked.get() + 1);
            asked.get() <= allowed
        };
        let mut image = Image::of_size(1024, 1024);
        let content = content(output_frame(1024, 1024), Fit::Whole, Some(picture.source()));
        assert_eq!(draw(&mut image, &content, PREMULTIPLIED, &keep_going), Drawn::Aborted);
        assert_eq!(asked.get(), allowed + 1);
        if allowed == 0 {
            assert!(image.bytes.iter().all(|byte| *byte == UNWRITTEN));
        }
    }
}

/// The time of this thread on a processor: what other programs do meanwhile does not count.
#[cfg(unix)]
fn processor_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

#[test]
#[cfg(unix)]
fn the_host_is_asked_every_50_ms_at_the_latest() {
    let take = Picture::new([832, 480], noise);
    let large = Picture::new([2048, 2048], |x, _| [2.0, -1.0, 0.5, (x % 2) as f32]);
    let placeholder =
        Annotation::Placeholder { tone: Tone::Idle, lines: &["Nothing yet"; 9], size: None };
    let full = output_frame(4096, 2160);
    let small = OutputFrame { scale: [0.01, 0.01], ..full };
    // The table of the transfer is made once, in about 2 ms; not here.
    take.drawn([4, 4], Fit::Whole, LINEAR);
    for (picture, output_frame, depth, annotation) in [
        (&take, full, Depth::Float, None),
        (&take, full, Depth::Byte, Some(placeholder)),
        (&large, full, Depth::Half, None),
        (&large, small, Depth::Float, None),
    ] {
        let bounds = Window { x1: 0, y1: 0, x2: 4096, y2: 2160 };
        let mut image = Image::new(bounds, bounds, depth);
        let longest = Cell::new(0.0_f64);
        let last = Cell::new(processor_seconds());
        let keep_going = || {
            let now = processor_seconds();
            longest.set(longest.get().max(now - last.replace(now)));
            true
        };
        let format = OutputFormat { transfer: Transfer::AcesCg, straight: true };
        let content = FrameContent {
            backdrop: None,
            output_frame,
            fit: Fit::Stretch,
            take: Some(picture.source()),
            view: View::OverChecker,
            annotation,
        };
        assert_eq!(draw(&mut image, &content, format, &keep_going), Drawn::Whole);
        keep_going();
        assert!(longest.get() < 0.05, "{} s without a question", longest.get());
    }
}
