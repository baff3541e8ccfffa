//! Red from left to right, green from bottom to top, blue as `level` says.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use half::f16;
use openfx_sys::*;

use crate::entry::{FAILED, OK, REPLY_DEFAULT};
use crate::ofx::{Props, Suites, call};

/// How often `go` was pressed.
pub(crate) static PRESSES: AtomicU32 = AtomicU32::new(0);
/// Of whichever render came last.
static SHARED: AtomicU32 = AtomicU32::new(0);

pub(crate) fn preferences(suites: &Suites, effect: OfxImageEffectHandle, reply: Props) -> c_int {
    let _ = effect;
    let name = c"OfxImageEffectPropPreMultiplication";
    suites.set_text(reply, name, 0, c"OfxImageAlphaPremultiplied");
    suites.set_int(reply, c"OfxImageEffectFrameVarying", 0, 0);
    OK
}

pub(crate) fn region(suites: &Suites, effect: OfxImageEffectHandle, reply: Props) -> c_int {
    if suites.mischief(effect) == "infinite region" {
        let name = c"OfxImageEffectPropRegionOfDefinition";
        suites.set_doubles(reply, name, &[0.0, 0.0, f64::INFINITY, 10.0]);
        return OK;
    }
    REPLY_DEFAULT
}

pub(crate) fn identity(suites: &Suites, effect: OfxImageEffectHandle, reply: Props) -> c_int {
    if suites.mischief(effect) == "identity" {
        suites.set_text(reply, c"OfxPropName", 0, c"Source");
        return OK;
    }
    REPLY_DEFAULT
}

/// Where the host wants what.
struct Image {
    data: *mut u8,
    bounds: [c_int; 4],
    row_bytes: isize,
    depth: Depth,
}

#[derive(Clone, Copy)]
enum Depth {
    Byte,
    Short,
    Half,
    Float,
}

impl Depth {
    fn bytes(self) -> isize {
        match self {
            Self::Byte => 1,
            Self::Short | Self::Half => 2,
            Self::Float => 4,
        }
    }
}

impl Image {
    fn of(suites: &Suites, set: Props) -> Self {
        let depth = match suites.text(set, c"OfxImageEffectPropPixelDepth").to_bytes() {
            b"OfxBitDepthByte" => Depth::Byte,
            b"OfxBitDepthShort" => Depth::Short,
            b"OfxBitDepthHalf" => Depth::Half,
            _ => Depth::Float,
        };
        Self {
            data: suites.pointer(set, c"OfxImagePropData").cast(),
            bounds: suites.ints(set, c"OfxImagePropBounds"),
            row_bytes: suites.int(set, c"OfxImagePropRowBytes", 0) as isize,
            depth,
        }
    }

    fn address(&self, x: c_int, y: c_int) -> *mut u8 {
        let (column, row) = ((x - self.bounds[0]) as isize, (y - self.bounds[1]) as isize);
        self.data.wrapping_offset(row * self.row_bytes + column * 4 * self.depth.bytes())
    }

    fn write(&self, x: c_int, y: c_int, pixel: [f32; 4]) {
        let address = self.address(x, y);
        for (n, value) in (0..).zip(pixel) {
            let place = address.wrapping_offset(n * self.depth.bytes());
            // SAFETY: the host gives memory for every pixel of its bounds, and guards around it
            // where this plug-in is to stray.
            unsafe {
                match self.depth {
                    Depth::Byte => place.write((value * 255.0).round() as u8),
                    Depth::Short => {
                        place.cast::<u16>().write_unaligned((value * 65535.0).round() as u16);
                    }
                    Depth::Half => place.cast::<f16>().write_unaligned(f16::from_f32(value)),
                    Depth::Float => place.cast::<f32>().write_unaligned(value),
                }
            }
        }
    }
}

/// What is to be rendered.
struct Task {
    image: Image,
    window: [c_int; 4],
    size: [f64; 2],
    offset: [f64; 2],
    scale: [f64; 2],
    blue: f32,
    skipped: Option<(c_int, c_int)>,
}

// SAFETY: threads write to different rows of the image.
unsafe impl Sync for Task {}

impl Task {
    fn pixel(&self, x: c_int, y: c_int) -> [f32; 4] {
        let place = |at: c_int, n: usize| {
            let canonical = (f64::from(at) + 0.5) / self.scale[n];
            ((canonical - self.offset[n]) / self.size[n]).clamp(0.0, 1.0) as f32
        };
        [place(x, 0), place(y, 1), self.blue, 1.0]
    }

    fn rows(&self, rows: impl Iterator<Item = c_int>) {
        for y in rows {
            for x in self.window[0]..self.window[2] {
                if self.skipped != Some((x, y)) {
                    self.image.write(x, y, self.pixel(x, y));
                }
            }
        }
    }
}

pub(crate) fn render(suites: &Suites, effect: OfxImageEffectHandle, told: Props) -> c_int {
    let mischief = suites.mischief(effect);
    match mischief {
        "default for a render" => return REPLY_DEFAULT,
        "crash" => std::process::abort(),
        "hang" => loop {
            thread::sleep(Duration::from_secs(1));
        },
        "wait for abort" => return wait(suites, effect, OK),
        "refuse aborted" => return wait(suites, effect, FAILED),
        "fail in words" => {
            if let Some(message) = suites.message {
                let kind = c"OfxMessageError".as_ptr();
                let (id, words) = (c"no".as_ptr(), c"not today".as_ptr());
                let format = c"%s".as_ptr();
                call!(message, setPersistentMessage(effect.cast(), kind, id, format, words));
            }
            return FAILED;
        }
        _ => {}
    }
    let time = suites.double(told, c"OfxPropTime", 0);
    let output = suites.clip(effect, c"Output");
    let fetch = |clip, time| {
        let mut image = ptr::null_mut();
        call!(suites.effect, clipGetImage(clip, time, ptr::null(), &raw mut image));
        image
    };
    if mischief == "image at another time" {
        fetch(output, time + 1.0);
    }
    let image = fetch(output, time);
    if image.is_null() {
        return FAILED;
    }
    let mut task = task(suites, effect, told, image, time);
    spoil(suites, effect, &mut task, mischief, time);
    if mischief == "on several threads" {
        on_several_threads(suites, &task);
    } else {
        task.rows(task.window[1]..task.window[3]);
    }
    stray(suites, effect, &task, mischief, time);
    if mischief != "image kept" {
        call!(suites.effect, clipReleaseImage(image));
    }
    match mischief {
        "image twice" => {
            call!(suites.effect, clipReleaseImage(image));
        }
        "released image" => {
            suites.int(image, c"OfxImagePropRowBytes", 0);
        }
        _ => {}
    }
    OK
}

fn task(
    suites: &Suites,
    effect: OfxImageEffectHandle,
    told: Props,
    image: Props,
    time: f64,
) -> Task {
    let own = suites.effect_properties(effect);
    let pair = |set, name: &CStr| [0, 1].map(|n| suites.double(set, name, n));
    Task {
        image: Image::of(suites, image),
        window: suites.ints(told, c"OfxImageEffectPropRenderWindow"),
        size: pair(own, c"OfxImageEffectPropProjectSize"),
        offset: pair(own, c"OfxImageEffectPropProjectOffset"),
        scale: pair(told, c"OfxImageEffectPropRenderScale"),
        blue: suites.double_param(effect, c"level", time) as f32,
        skipped: None,
    }
}

/// What is bad before the picture is made.
fn spoil(
    suites: &Suites,
    effect: OfxImageEffectHandle,
    task: &mut Task,
    mischief: &str,
    time: f64,
) {
    static TIMES: AtomicU32 = AtomicU32::new(0);
    match mischief {
        "own thread" => {
            let (suites, effect) = (*suites, effect.addr());
            let there = thread::spawn(move || {
                suites.double_param(ptr::without_provenance_mut(effect), c"level", time);
            });
            let _ = there.join();
        }
        "set in render" => {
            suites.set_int_param(effect, c"count", 3);
        }
        "read without time" => {
            let mut value = 0.0_f64;
            let level = suites.param(effect, c"level");
            call!(suites.parameter, paramGetValue(level, &raw mut value));
        }
        "pixel left out" => task.skipped = Some((task.window[0] + 1, task.window[1] + 1)),
        "not a number" => task.blue = f32::NAN,
        "another each time" => {
            task.blue = TIMES.fetch_add(1, Ordering::Relaxed) as f32 / 1000.0;
        }
        // Where no project has it.
        "remember outside" => task.blue = PRESSES.load(Ordering::Relaxed) as f32 / 1000.0,
        "share between threads" => {
            SHARED.store((time * 8.0) as u32, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
            task.blue = SHARED.load(Ordering::Relaxed) as f32 / 8000.0;
        }
        "message in render" => {
            if let Some(message) = suites.message {
                let kind = c"OfxMessageMessage".as_ptr();
                let (id, words) = (c"hello".as_ptr(), c"hello".as_ptr());
                call!(message, message(effect.cast(), kind, id, c"%s".as_ptr(), words));
            }
        }
        _ => {}
    }
}

/// What is bad in memory.
fn stray(suites: &Suites, effect: OfxImageEffectHandle, task: &Task, mischief: &str, time: f64) {
    let [left, bottom, right, _] = task.window;
    match mischief {
        "beside the window" => task.image.write(right, bottom, [0.5; 4]),
        "before the memory" => task.image.write(left - 1, bottom, [0.5; 4]),
        "in the padding" => task.image.write(task.image.bounds[2], bottom, [0.5; 4]),
        "input written" => {
            let (source, mut image) = (suites.clip(effect, c"Source"), ptr::null_mut());
            call!(suites.effect, clipGetImage(source, time, ptr::null(), &raw mut image));
            let input = Image::of(suites, image);
            input.write(input.bounds[0], input.bounds[1], [0.25; 4]);
            call!(suites.effect, clipReleaseImage(image));
        }
        _ => {}
    }
}

fn wait(suites: &Suites, effect: OfxImageEffectHandle, answer: c_int) -> c_int {
    // SAFETY: the host's function, with the host's handle.
    let given_up = || suites.effect.abort.is_none_or(|abort| unsafe { abort(effect) } != 0);
    while !given_up() {
        thread::sleep(Duration::from_millis(2));
    }
    answer
}

fn on_several_threads(suites: &Suites, task: &Task) {
    unsafe extern "C" fn work(index: c_uint, count: c_uint, task: *mut c_void) {
        // SAFETY: the host hands on the pointer given below, which outlasts the work.
        let task = unsafe { &*task.cast_const().cast::<Task>() };
        let rows = task.window[1]..task.window[3];
        task.rows(rows.skip(index as usize).step_by(count as usize));
    }
    let Some(threads) = suites.threads else { return };
    let mut count = 0;
    call!(threads, multiThreadNumCPUs(&raw mut count));
    let task = ptr::from_ref(task).cast_mut().cast();
    call!(threads, multiThread(Some(work), count.max(2), task));
}
