//! Pictures for tests.

use super::provenance::{DateTime, OriginMarks, Provenance};

/// A picture with every kind of pixel: soft, opaque, transparent with garbage color.
pub(crate) fn gradient(width: usize, height: usize, seed: usize) -> Vec<f32> {
    let mut rgba = Vec::with_capacity(width * height * 4);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let noise = ((x * 37 + y * 101 + seed * 17) % 64) as f32 / 63.0;
        let alpha = (2.0 * u - 0.5 + 0.2 * (noise - 0.5)).clamp(0.0, 1.0);
        rgba.extend([noise, 1.0 - v, u * v, alpha]);
    }
    rgba
}

/// What a file of a take made in 16 frames a second says of itself; not in ASCII alone.
pub(crate) fn provenance() -> Provenance {
    Provenance {
        software: "wan-alpha 0.1.0".to_owned(),
        description: "玻璃球 – a glass ball".to_owned(),
        recipe: r#"{"prompt":"玻璃球","seed":1}"#.to_owned(),
        frame_rate: 16,
        first_frame: 0,
        owner: String::new(),
        made: DateTime::of_seconds(0),
        origin: OriginMarks {
            model: "draft".to_owned(),
            take: "00112233445566778899aabbccddeeff".to_owned(),
            prompt: None,
            china: false,
        },
    }
}
