//! Takes that a test draws itself, and nodes that show them.

use std::fs;

use wan_alpha_take::TakeRequest;
use wan_alpha_take::store::{Description, Take};
use wan_alpha_test_host::{Depth, Image, Node};

use crate::workshop::{Workshop, plain_node, request, until_status};

/// A pixel of a frame: straight, display-referred. From the frame's number and where the middle of
/// the pixel lies, as fractions from the left and from below.
pub(crate) type Draw<'a> = &'a dyn Fn(u32, f32, f32) -> [f32; 4];

/// What a node asks for where there is no engine to make it.
pub(crate) fn wanted(workshop: &Workshop, node: &Node) -> TakeRequest {
    let _ = fs::remove_file(workshop.at("engine"));
    plain_node(node, "drawn by hand");
    node.press("generate");
    until_status(node, "refused", |status| status.contains("is not there"));
    request(node)
}

/// A take of so many frames and pixels, unlike any other seed's.
pub(crate) fn draw(
    workshop: &Workshop,
    like: &TakeRequest,
    seed: u32,
    size: [u32; 2],
    draw: Draw<'_>,
) -> Take {
    let [width, height] = size;
    let request = TakeRequest { seed, width, height, ..like.clone() };
    let store = workshop.store();
    let mut writer = store.create(Description::new(&request, "test").unwrap()).unwrap();
    let mut rgba = Vec::with_capacity((width * height * 4) as usize);
    for frame in 0..request.frames {
        rgba.clear();
        for row in 0..height {
            for column in 0..width {
                let u = (column as f32 + 0.5) / width as f32;
                let v = 1.0 - (row as f32 + 0.5) / height as f32;
                rgba.extend(draw(frame, u, v));
            }
        }
        writer.frame_f32(&rgba).unwrap();
    }
    writer.publish().unwrap().take
}

/// The node has asked for this take.
pub(crate) fn show(node: &Node, take: &Take) {
    let about = take.description();
    node.set("takeRequest", about.request.to_parameter());
    node.set("takeKey", about.key.to_string());
}

/// The host's time of a take frame.
pub(crate) fn time_of(node: &Node, frame: u32) -> f64 {
    f64::from(node.int("startFrame")) + f64::from(frame) * 24.0 / 16.0
}

/// The greatest difference of any component, where whole numbers hold what is between 0 and 1.
pub(crate) fn rounding(depth: Depth, exact: f32) -> f32 {
    match depth {
        Depth::Byte => 0.501 / 255.0,
        Depth::Short => 0.501 / 65535.0,
        Depth::Half => exact.abs() / 2048.0 + 1e-7,
        Depth::Float => 0.0,
    }
}

/// Whether a picture is another one in its own depth.
pub(crate) fn is_rounded(image: &Image, exact: &Image) -> bool {
    let depth = image.depth();
    let is_whole_number = matches!(depth, Depth::Byte | Depth::Short);
    image.bounds() == exact.bounds()
        && image.pixels().flatten().zip(exact.pixels().flatten()).all(|(found, exact)| {
            let exact = if is_whole_number { exact.clamp(0.0, 1.0) } else { exact };
            (found - exact).abs() <= rounding(depth, exact)
        })
}

/// sRGB, to linear light.
pub(crate) fn linear(display: f32) -> f32 {
    if display <= 0.040_45 { display / 12.92 } else { ((display + 0.055) / 1.055).powf(2.4) }
}
