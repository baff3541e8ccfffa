//! Clips in memory.
//!
//! All values are straight, display-referred RGBA in \[0, 1\], `[h, w, 4]` from the top left, which is
//! what the model's encoder takes.

/// A clip in memory: `rgba` is `[frames, height, width, 4]`, straight, in \[0, 1\].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RgbaClip {
    pub(crate) frames: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) rgba: Vec<f32>,
}

/// The length and size of a clip that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) frames: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl RgbaClip {
    /// An empty clip for so many frames of a window.
    pub(crate) fn with_capacity(Window { frames, height, width }: Window) -> Self {
        let rgba = Vec::with_capacity(frames * height * width * 4);
        Self { frames: 0, height, width, rgba }
    }

    /// Adds a frame of the clip's size.
    pub(crate) fn push(&mut self, frame: &[f32]) {
        debug_assert_eq!(frame.len(), self.height * self.width * 4);
        self.rgba.extend_from_slice(frame);
        self.frames += 1;
    }

    /// The pixels of a frame.
    pub(crate) fn frame(&self, index: usize) -> &[f32] {
        let length = self.height * self.width * 4;
        self.rgba.get(index * length..(index + 1) * length).unwrap_or_default()
    }

    /// The alpha of a frame, row by row.
    #[cfg(test)]
    pub(crate) fn alpha(&self, index: usize) -> Vec<f32> {
        self.frame(index).iter().skip(3).step_by(4).copied().collect()
    }
}
