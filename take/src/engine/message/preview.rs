//! A small picture of a take that is being made, as it travels from engine to clients.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::color::quantize_8;
use crate::frame::OwnedFrame;

/// The most pixels that travel: their text takes a third of a line.
const MOST_PIXELS: usize = 1 << 16;

/// What a take is going to be, as far as a step of it tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewPicture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Straight, display-referred RGBA in 8 bits, row 0 on top: `[height, width, 4]`.
    #[serde(serialize_with = "encoded", deserialize_with = "decoded")]
    pub rgba: Vec<u8>,
}

impl PreviewPicture {
    /// A picture, as it is or, where it is too large to travel, every second pixel of it, or every third.
    #[must_use]
    pub fn of(frame: &OwnedFrame) -> Self {
        let fits =
            |step: usize| frame.width.div_ceil(step) * frame.height.div_ceil(step) <= MOST_PIXELS;
        let step = (1..).find(|step| fits(*step)).unwrap_or(1);
        let mut rgba = Vec::new();
        for y in (0..frame.height).step_by(step) {
            for x in (0..frame.width).step_by(step) {
                let at = (y * frame.width + x) * 4;
                rgba.extend(frame.rgba[at..at + 4].iter().map(|value| quantize_8(*value)));
            }
        }
        let side = |pixels: usize| u32::try_from(pixels.div_ceil(step)).unwrap_or(u32::MAX);
        Self { width: side(frame.width), height: side(frame.height), rgba }
    }

    /// Whether it has the pixels that its size says.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let [width, height] = [self.width, self.height].map(|side| side as usize);
        let values = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(4));
        values == Some(self.rgba.len())
    }

    /// The picture in memory; none where it is not whole.
    #[must_use]
    pub fn frame(&self) -> Option<OwnedFrame> {
        let [width, height] = [self.width, self.height].map(|side| side as usize);
        let rgba = self.rgba.iter().map(|value| f32::from(*value) / 255.0).collect();
        self.is_whole().then(|| OwnedFrame::new(0, width, height, rgba))
    }
}

fn encoded<S: Serializer>(rgba: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64URL_NOPAD.encode(rgba))
}

fn decoded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::{MAX_LINE, ToClient, decode, encode};
    use crate::key::TakeKey;

    #[test]
    fn a_picture_travels_and_one_that_is_too_large_in_fewer_pixels() {
        for (width, height, small) in
            [(3, 2, (3, 2)), (256, 256, (256, 256)), (512, 512, (256, 256)), (700, 100, (350, 50))]
        {
            let rgba = (0..width * height * 4).map(|place| (place % 256) as f32 / 255.0).collect();
            let frame = OwnedFrame::new(0, width, height, rgba);
            let picture = PreviewPicture::of(&frame);
            assert_eq!((picture.width, picture.height), small);
            let message = ToClient::Preview { key: TakeKey([1; 32]), picture: picture.clone() };
            let line = encode(&message).unwrap();
            assert!(line.len() < MAX_LINE / 2, "{}", line.len());
            assert_eq!(decode::<ToClient>(line.trim_ascii_end()).unwrap(), message);
            let back = picture.frame().unwrap();
            assert_eq!(back.rgba[4], frame.rgba[4 * (width / small.0 as usize)]);
        }
    }

    #[test]
    fn a_picture_without_all_its_pixels_is_none() {
        let picture = PreviewPicture { width: 2, height: 1, rgba: vec![0; 7] };
        assert_eq!(picture.frame(), None);
        let huge = PreviewPicture { width: u32::MAX, height: u32::MAX, rgba: vec![0; 4] };
        assert_eq!(huge.frame(), None);
        let line = br#"{"kind":"preview","key":"0101010101010101010101010101010101010101010101010101010101010101","width":1,"height":1,"rgba":"*"}"#;
        assert!(decode::<ToClient>(line).is_err());
    }
}
