use super::*;
use crate::frame::OwnedFrame;
use crate::request::test_requests;

const WIDTH: usize = 96;
const HEIGHT: usize = 64;

/// A disc of radius 12 at these pixels in 9 frames, asked for where `asked` says; `extra` adds alpha.
fn measure(
    places: [[f64; 2]; 3],
    asked: [[f64; 2]; 3],
    extra: impl Fn(usize, usize) -> f32,
) -> TakeReport {
    let ellipse = asked.map(|[x, y]| Ellipse {
        x: (x + 0.5) / WIDTH as f64,
        y: 1.0 - (y + 0.5) / HEIGHT as f64,
        a: 0.4,
        b: 0.4,
        angle: 0.0,
    });
    let request = TakeRequest {
        frames: 9,
        width: WIDTH as u32,
        height: HEIGHT as u32,
        ellipse: ellipse.to_vec(),
        mu: vec![0.05; 3],
        ..test_requests::request()
    };
    let mut meter = ReportMeter::new(&request).unwrap();
    for index in 0..9_usize {
        let [cx, cy] = places[index.div_ceil(4)];
        let pixel = |place: usize| {
            let (x, y) = (place % WIDTH, place / WIDTH);
            let inside = (x as f64 - cx).hypot(y as f64 - cy) <= 12.0;
            [0.5, 0.5, 0.5, if inside { 1.0 } else { extra(x, y) }]
        };
        let rgba = (0..WIDTH * HEIGHT).flat_map(pixel).collect();
        meter.push(&OwnedFrame::new(index, WIDTH, HEIGHT, rgba).borrowed()).unwrap();
    }
    meter.finish().unwrap()
}

const WAY: [[f64; 2]; 3] = [[24.0, 30.0], [48.0, 30.0], [72.0, 30.0]];

#[test]
fn a_subject_where_it_was_asked_to_be_has_a_good_report() {
    let found = measure(WAY, WAY, |_, _| 0.0);
    let disc = std::f64::consts::PI * 144.0 / (WIDTH * HEIGHT) as f64;
    assert!((found.coverage - disc).abs() < 0.002, "{found:?}");
    assert_eq!((found.leak, found.largest_hole), (Some(0.0), Some(0.0)));
    assert!(found.ellipse_followed.unwrap() > 0.99 && found.center_distance.unwrap() < 0.03);
    assert!(!found.is_empty() && !found.ignores_ellipse());
    let words = found.to_string();
    assert!(
        words.starts_with("covers 7.2 % of the frame, 0 % beyond twice its ellipse"),
        "{words}"
    );
}

#[test]
fn a_subject_that_stays_a_haze_and_nothing_at_all_are_told() {
    let stays = measure([WAY[1]; 3], WAY, |_, _| 0.0);
    assert_eq!(stays.ellipse_followed, Some(0.0));
    assert!(stays.ignores_ellipse());
    // An ellipse that stands still is not followed, whatever the subject does.
    assert_eq!(measure(WAY, [WAY[1]; 3], |_, _| 0.0).ellipse_followed, None);
    let haze = measure(WAY, WAY, |_, _| 0.25);
    assert!((haze.leak.unwrap() - 0.25).abs() < 1e-6, "{haze:?}");
    // The smallest of these numbers still is no nothing.
    let specks = measure([[-99.0; 2]; 3], WAY, |x, y| f32::from(u8::from(x == 3 && y < 9)));
    assert!(specks.is_empty() && specks.coverage > 0.0, "{specks:?}");
    assert!(specks.to_string().starts_with("covers 0.1 % of the frame"), "{specks}");
}

#[test]
fn what_is_no_number_is_nothing_and_a_report_is_read_back() {
    let found = measure(WAY, WAY, |_, _| f32::NAN);
    assert_eq!(found, measure(WAY, WAY, |_, _| 0.0));
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<TakeReport>(&json).unwrap(), found);
    let sparse = serde_json::to_string(&TakeReport::default()).unwrap();
    assert_eq!(sparse, r#"{"coverage":0.0}"#);
}
