//! What a decoder holds at most while a film goes through it on a processor, from shapes alone: the tensors
//! of each layer in the order in which they come and go, as `decoder`, `blocks`, `conv` and `winograd` make
//! them. Counted in numbers, weights aside.
//!
//! What it says is what libtorch's allocator reports (`core/tests/plan_peaks.rs`).

#![forbid(unsafe_code)]

use super::conv::{LOOK_BACK, unfolds_in_3d};
use super::tiles::{Tile, Trim};
use super::{LATENT_CHANNELS, winograd};

/// Frames after which a film holds no more: each layer remembers all that it ever does.
const CHUNKS: u64 = 4;

/// A film's frames at one place of the decoder: `[t, h, w, c]`.
#[derive(Clone, Copy, Debug)]
struct LayerFrames {
    t: u64,
    h: u64,
    w: u64,
    c: u64,
}

impl LayerFrames {
    fn numbers(self) -> u64 {
        self.t * self.pixels() * self.c
    }

    fn pixels(self) -> u64 {
        self.h * self.w
    }
}

/// What is held while latent frames are decoded one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldByDecoder {
    /// The most at once, what is remembered included.
    pub(crate) most: u64,
    /// The most while another decoder has seen the same latent frame before: with what that remembers.
    pub(crate) most_of_both: u64,
}

/// By a decoder of `dim` channels at full resolution, of a film of `chunks` latent frames of `[h, w]` cells.
/// `float32`: other convolutions are taken for fewer bits.
pub(crate) fn held_by_decoder(
    dim: u64,
    [h, w]: [u64; 2],
    chunks: u64,
    float32: bool,
) -> HeldByDecoder {
    let mut held = HeldByDecoder::default();
    let mut walk = Walk::new(dim, float32);
    for _ in 0..chunks.clamp(1, CHUNKS) {
        let remembered = walk.live;
        walk.begin();
        let x = walk.middle(LayerFrames { t: 1, h, w, c: LATENT_CHANNELS.unsigned_abs() });
        walk.rest(x, &Trim::NONE);
        held.most = held.most.max(walk.most);
        // One remembers this latent frame already when the other begins with it.
        held.most_of_both =
            held.most_of_both.max(walk.most + walk.live).max(walk.most + remembered);
    }
    held
}

/// By a decoder that goes over a film tile by tile, of a frame of `[h, w]` cells cut into `tiles`.
pub(crate) fn held_in_tiles(
    dim: u64,
    [h, w]: [u64; 2],
    tiles: &[Tile],
    chunks: u64,
    float32: bool,
) -> u64 {
    let chunks = chunks.clamp(1, CHUNKS);
    let mut walk = Walk::new(dim, float32);
    let mut most = 0;
    for _ in 0..chunks {
        walk.begin();
        let middle = walk.middle(LayerFrames { t: 1, h, w, c: LATENT_CHANNELS.unsigned_abs() });
        walk.give(middle.numbers());
        most = most.max(walk.most);
    }
    for tile in tiles {
        let [h, w] = [tile.down, tile.across].map(|span| span.cells()[1].unsigned_abs());
        let mut walk = Walk::new(dim, float32);
        for _ in 0..chunks {
            walk.begin();
            let part = LayerFrames { t: 1, h, w, c: 4 * dim };
            walk.take(part.numbers());
            walk.rest(part, &tile.trims());
            most = most.max(walk.most);
        }
    }
    most
}

/// A decoder that is gone through without computing anything.
struct Walk {
    dim: u64,
    float32: bool,
    live: u64,
    most: u64,
    /// Frames and numbers that each layer remembers, in the order in which they are asked.
    slots: Vec<Remembered>,
    next: usize,
    /// Whether a latent frame has been through.
    begun: bool,
    first: bool,
}

#[derive(Clone, Copy, Default)]
struct Remembered {
    frames: u64,
    numbers: u64,
}

impl Walk {
    fn new(dim: u64, float32: bool) -> Self {
        let slots = Vec::new();
        Self { dim, float32, live: 0, most: 0, slots, next: 0, begun: false, first: true }
    }

    /// The next latent frame.
    fn begin(&mut self) {
        self.first = !self.begun;
        self.begun = true;
        self.next = 0;
        self.most = self.live;
    }

    fn take(&mut self, numbers: u64) {
        self.live += numbers;
        self.most = self.most.max(self.live);
    }

    fn give(&mut self, numbers: u64) {
        self.live -= numbers;
    }

    /// What comes and goes at once.
    fn for_a_moment(&mut self, numbers: u64) {
        self.most = self.most.max(self.live + numbers);
    }

    fn slot(&mut self) -> &mut Remembered {
        let index = self.next;
        self.next += 1;
        if index == self.slots.len() {
            self.slots.push(Remembered::default());
        }
        &mut self.slots[index]
    }

    /// The last frames of a film take the place of those that were remembered.
    fn remember(&mut self, index: usize, film: LayerFrames) {
        let frames = film.t.min(LOOK_BACK.unsigned_abs());
        let numbers = LayerFrames { t: frames, ..film }.numbers();
        let before = std::mem::replace(&mut self.slots[index], Remembered { frames, numbers });
        self.take(numbers);
        self.give(before.numbers);
    }

    /// `Decoder::middle`: what is given is held.
    fn middle(&mut self, latent: LayerFrames) -> LayerFrames {
        let wide = 4 * self.dim;
        self.take(2 * latent.numbers());
        let x = self.causal(latent, wide, [3, 3]);
        let y = self.residual(x, wide);
        self.give(x.numbers());
        self.attention(y);
        let x = self.residual(y, wide);
        self.give(y.numbers() + 2 * latent.numbers());
        x
    }

    /// `Decoder::rest`: `x` is held before, and gone afterwards with all but what is remembered.
    fn rest(&mut self, mut x: LayerFrames, trims: &[Trim; 3]) {
        let d = self.dim;
        // What each residual block of a resolution gives; what doubling gives, and whether it is in time too.
        let stages = [(4 * d, Some((2 * d, true))), (4 * d, Some((2 * d, true)))];
        let stages = stages.into_iter().chain([(2 * d, Some((d, false))), (d, None)]);
        let mut trims = trims.iter();
        for (wide, doubling) in stages {
            for _ in 0..3 {
                let y = self.residual(x, wide);
                self.give(x.numbers());
                x = y;
            }
            if let Some((output, in_time)) = doubling {
                let y = self.doubled(x, output, in_time);
                self.give(x.numbers());
                x = self.cut(y, trims.next());
            }
        }
        let film = self.normed(x);
        let y = self.over(film, x.t, 3, [3, 3]);
        self.give(film.numbers() + x.numbers());
        // In [−1, 1].
        self.for_a_moment(y.numbers());
        self.give(y.numbers());
    }

    /// Two norms and convolutions beside a shortcut; `x` stays.
    fn residual(&mut self, x: LayerFrames, output: u64) -> LayerFrames {
        let film = self.normed(x);
        let y = self.over(film, x.t, output, [3, 3]);
        self.give(film.numbers());
        let film = self.normed(y);
        self.give(y.numbers());
        let y = self.over(film, x.t, output, [3, 3]);
        self.give(film.numbers());
        if x.c != output {
            self.for_a_moment(y.numbers());
        }
        y
    }

    /// Of each frame by itself: normed, three projections, what is attended to and what becomes of it. `x`
    /// becomes the result.
    fn attention(&mut self, x: LayerFrames) {
        self.for_a_moment(6 * x.numbers());
    }

    /// What is remembered, and `x` normed and activated behind it.
    fn normed(&mut self, x: LayerFrames) -> LayerFrames {
        let index = self.next;
        let known = self.slot().frames;
        let past = if x.t > 1 { LOOK_BACK.unsigned_abs() } else { known };
        let film = LayerFrames { t: x.t + past, ..x };
        self.take(film.numbers());
        // The norm of each pixel, bounded, and one through it.
        self.for_a_moment(3 * x.t * x.pixels());
        self.remember(index, film);
        film
    }

    /// A convolution that remembers by itself; `x` stays.
    fn causal(&mut self, x: LayerFrames, output: u64, kernel: [u64; 2]) -> LayerFrames {
        let index = self.next;
        let frames = self.slot().frames;
        let film = LayerFrames { t: x.t + frames, ..x };
        let joined = if frames > 0 { film.numbers() } else { 0 };
        self.take(joined);
        self.remember(index, film);
        let y = self.over(film, x.t, output, kernel);
        self.give(joined);
        y
    }

    /// `CausalConv3d::over`, of three taps in time.
    fn over(
        &mut self,
        film: LayerFrames,
        frames: u64,
        output: u64,
        kernel: [u64; 2],
    ) -> LayerFrames {
        let missing = LOOK_BACK.unsigned_abs() + frames - film.t;
        if missing == 0 || frames == 1 {
            return self.convolved(film, (3 - missing, 3), output, kernel);
        }
        let padded = LayerFrames { t: film.t + missing, ..film };
        self.take(padded.numbers());
        let y = self.convolved(padded, (3, 3), output, kernel);
        self.give(padded.numbers());
        y
    }

    /// `CausalConv3d::convolve`, with so many of a kernel's taps in time.
    fn convolved(
        &mut self,
        film: LayerFrames,
        (taps, all): (u64, u64),
        output: u64,
        [kh, kw]: [u64; 2],
    ) -> LayerFrames {
        let y = LayerFrames { t: film.t + 1 - taps, c: output, ..film };
        let weight = output * film.c * taps * kh * kw;
        if [taps, kh, kw] == [1; 3] {
            self.take(y.numbers());
            return y;
        }
        let shape = winograd::FilmShape {
            seen: film.t,
            size: [film.h, film.w],
            taps,
            input: film.c,
            output,
        };
        if self.float32 && [kh, kw] == [3, 3] && shape.is_worth_while() {
            self.for_a_moment(shape.while_transformed());
            self.take(shape.transformed());
            self.take(shape.even());
            self.for_a_moment(shape.of_a_piece());
            if shape.even() != y.numbers() {
                self.take(y.numbers());
                self.give(shape.even());
            }
            self.give(shape.transformed());
            return y;
        }
        let size = [1, film.t, film.h, film.w, film.c].map(|size| size as i64);
        let aside = if taps == 1 {
            0
        } else if self.float32 && unfolds_in_3d(&size) {
            // Frames side by side, and kernels in their order.
            taps * y.t * film.pixels() * film.c + weight
        } else if taps < all {
            weight
        } else {
            0
        };
        self.take(aside + y.numbers());
        self.give(aside);
        y
    }

    /// `Upsample::forward`; `x` stays.
    fn doubled(&mut self, x: LayerFrames, output: u64, in_time: bool) -> LayerFrames {
        let mut large = x;
        let mut copied = 0;
        if in_time {
            // Whether a frame has been through, which takes no memory.
            self.slot();
            if self.first {
                self.slot();
            } else {
                let y = self.causal(x, 2 * x.c, [1, 1]);
                large = LayerFrames { t: 2 * x.t, ..x };
                self.take(large.numbers());
                self.give(y.numbers());
                copied = large.numbers();
            }
        }
        let phases = large.t * (x.h + 1) * (x.w + 1) * 4 * output;
        let y = LayerFrames { h: 2 * x.h, w: 2 * x.w, c: output, ..large };
        self.take(phases);
        self.take(y.numbers());
        self.give(phases + copied);
        y
    }

    /// Without its outer rows and columns, which is a copy.
    fn cut(&mut self, x: LayerFrames, trim: Option<&Trim>) -> LayerFrames {
        let Some([rows, columns]) = trim.map(Trim::sums).filter(|sums| *sums != [0; 2]) else {
            return x;
        };
        let inner = LayerFrames { h: x.h - rows, w: x.w - columns, ..x };
        self.take(inner.numbers());
        self.give(x.numbers());
        inner
    }
}
