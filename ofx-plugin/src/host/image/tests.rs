//! Memory as hosts have it, and a host that counts what is given back.

use std::ffi::{CStr, c_char, c_double, c_int, c_void};
use std::sync::atomic::{AtomicI32, Ordering};

use openfx_sys::{
    OfxImageClipHandle, OfxImageEffectHandle, OfxImageEffectSuiteV1, OfxParameterSuiteV1,
    OfxPropertySuiteV1, OfxRectD, OfxStatus,
};

use super::*;

const BOUNDS: Window = Window { x1: -3, y1: 5, x2: 4, y2: 9 };
const GUARD: u8 = 0xA5;

/// Memory for [`BOUNDS`] in bytes, rows so many bytes apart, guarded before and after.
fn memory(row_bytes: i32) -> (Vec<u8>, usize) {
    let stride = row_bytes.unsigned_abs() as usize;
    let before = if row_bytes < 0 { 64 + 3 * stride } else { 64 };
    (vec![GUARD; 128 + 4 * stride], before)
}

#[test]
fn only_the_window_is_written_whichever_way_rows_run() {
    for row_bytes in [28, 31, 64, -28, -45] {
        let (mut bytes, start) = memory(row_bytes);
        let data = bytes[start..].as_mut_ptr();
        let mut memory = ImageMemory::new(data, BOUNDS, row_bytes, Depth::Byte).unwrap();
        let window = Window { x1: -1, y1: 6, x2: 9, y2: 8 };
        let window = window.intersection(memory.bounds);
        let mut part = ImageWindow { memory: &mut memory, window };
        assert_eq!(part.window(), Window { x1: -1, y1: 6, x2: 4, y2: 8 });
        for y in 0..20 {
            let row = part.row(y);
            assert_eq!(row.len(), if (6..8).contains(&y) { 20 } else { 0 });
            row.fill(y as u8);
        }
        let mut expected = vec![GUARD; bytes.len()];
        for y in 6..8 {
            let at = start as isize + (y - 5) * row_bytes as isize + 8;
            expected[at as usize..at as usize + 20].fill(y as u8);
        }
        assert_eq!(bytes, expected, "rows {row_bytes} bytes apart");
    }
}

#[test]
fn memory_that_makes_no_sense_is_refused() {
    let mut bytes = [0_u8; 1024];
    let data = bytes.as_mut_ptr();
    let new =
        |data, bounds, row_bytes, depth| ImageMemory::new(data, bounds, row_bytes, depth).err();
    assert_eq!(new(data, BOUNDS, 28, Depth::Byte), None);
    assert_eq!(new(data, Window { x2: -3, ..BOUNDS }, 0, Depth::Byte), None);
    for (bounds, row_bytes, depth) in [
        (BOUNDS, 27, Depth::Byte),
        (BOUNDS, -27, Depth::Byte),
        (BOUNDS, 0, Depth::Byte),
        (BOUNDS, 28, Depth::Half),
        (BOUNDS, 56, Depth::Float),
        (Window { x1: 5, ..BOUNDS }, 28, Depth::Byte),
        (Window { y1: 10, ..BOUNDS }, 28, Depth::Byte),
        (Window { x1: i32::MIN, y1: 0, x2: i32::MAX, y2: 1 }, i32::MAX, Depth::Byte),
    ] {
        let refusal = new(data, bounds, row_bytes, depth).unwrap();
        assert_eq!(refusal.status(), Status::FAILED, "{bounds:?}");
        let words = refusal.to_string();
        assert!(words.contains(&format!("rows of {row_bytes};")), "{words}");
    }
    assert!(new(ptr::null_mut(), BOUNDS, 28, Depth::Byte).is_some());
    // Of a clip that covers nothing.
    for bounds in [Window { x2: -3, ..BOUNDS }, Window { y2: 5, ..BOUNDS }] {
        assert_eq!(new(ptr::null_mut(), bounds, 0, Depth::Float), None);
        let memory = ImageMemory::new(ptr::null_mut(), bounds, 0, Depth::Float).unwrap();
        assert!((4..10).all(|y| memory.place(y, -3, 4).is_none()));
    }
}

/// What the property set of an image and the clip it comes from stand for.
struct Offered {
    data: *mut u8,
    depth: &'static CStr,
    components: &'static CStr,
    held: AtomicI32,
    fetched: OfxStatus,
    aborted: c_int,
}

unsafe extern "C" fn get_image(
    clip: OfxImageClipHandle,
    _: f64,
    _: *const OfxRectD,
    image: *mut OfxPropertySetHandle,
) -> OfxStatus {
    // SAFETY: the tests give an `Offered` for a clip and a place for its image.
    unsafe {
        let offered = &*clip.cast::<Offered>();
        if offered.fetched == 0 {
            offered.held.fetch_add(1, Ordering::Relaxed);
            *image = clip.cast();
        }
        offered.fetched
    }
}

unsafe extern "C" fn release_image(image: OfxPropertySetHandle) -> OfxStatus {
    // SAFETY: `get_image` gave this.
    unsafe { &*image.cast::<Offered>() }.held.fetch_sub(1, Ordering::Relaxed);
    0
}

unsafe extern "C" fn abort(effect: OfxImageEffectHandle) -> c_int {
    // SAFETY: the tests give an `Offered` for an effect too.
    unsafe { &*effect.cast::<Offered>() }.aborted
}

unsafe extern "C" fn get_pointer(
    image: OfxPropertySetHandle,
    name: *const c_char,
    _: c_int,
    value: *mut *mut c_void,
) -> OfxStatus {
    // SAFETY: as above; names are C strings and values have a place.
    unsafe {
        assert_eq!(CStr::from_ptr(name), c"OfxImagePropData");
        *value = (*image.cast::<Offered>()).data.cast();
    }
    0
}

unsafe extern "C" fn get_string(
    image: OfxPropertySetHandle,
    name: *const c_char,
    _: c_int,
    value: *mut *mut c_char,
) -> OfxStatus {
    // SAFETY: as above.
    unsafe {
        let image = &*image.cast::<Offered>();
        let text = match CStr::from_ptr(name).to_bytes() {
            b"OfxImageEffectPropPixelDepth" => image.depth,
            b"OfxImageEffectPropComponents" => image.components,
            _ => return 3,
        };
        *value = text.as_ptr().cast_mut();
    }
    0
}

unsafe extern "C" fn get_int(
    _: OfxPropertySetHandle,
    name: *const c_char,
    index: c_int,
    value: *mut c_int,
) -> OfxStatus {
    // SAFETY: as above.
    unsafe {
        *value = match CStr::from_ptr(name).to_bytes() {
            b"OfxImagePropBounds" => [-3, 5, 4, 9][index as usize],
            b"OfxImagePropRowBytes" => 64,
            _ => return 3,
        };
    }
    0
}

fn host() -> Host {
    // SAFETY: suites are made of optional functions; all zeros are none.
    let (mut property, mut effect, parameter): (
        OfxPropertySuiteV1,
        OfxImageEffectSuiteV1,
        OfxParameterSuiteV1,
    ) = unsafe { std::mem::zeroed() };
    property.propGetPointer = Some(get_pointer);
    property.propGetString = Some(get_string);
    property.propGetInt = Some(get_int);
    effect.clipGetImage = Some(get_image);
    effect.clipReleaseImage = Some(release_image);
    effect.abort = Some(abort);
    Host {
        properties: ptr::null_mut(),
        property: Box::leak(Box::new(property)),
        effect: Box::leak(Box::new(effect)),
        parameter: Box::leak(Box::new(parameter)),
        message: None,
        progress: None,
        timeline: None,
        interact: None,
        draw: None,
    }
}

fn with(offered: &Offered, look: impl FnOnce(Effect<'_>, Result<OutputImage<'_>, ImageRefusal>)) {
    let handle = ptr::from_ref(offered);
    // SAFETY: the functions of this host take an `Offered` for an effect.
    let effect = unsafe { Effect::new(host(), handle.cast()) }.unwrap();
    let image = effect.output_image(ClipHandle(handle.cast_mut().cast()), c_double::from(7));
    look(effect, image);
    assert_eq!(offered.held.load(Ordering::Relaxed), 0, "an image was not given back");
}

fn offered(data: *mut u8, depth: &'static CStr, components: &'static CStr) -> Offered {
    Offered { data, depth, components, held: AtomicI32::new(0), fetched: 0, aborted: 0 }
}

#[test]
fn an_image_is_given_back_whatever_it_is() {
    let mut bytes = [0_u8; 64 * 4];
    let data = bytes.as_mut_ptr();
    with(&offered(data, c"OfxBitDepthHalf", c"OfxImageComponentRGBA"), |_, image| {
        let mut image = image.unwrap();
        assert_eq!((image.bounds(), image.memory.depth), (BOUNDS, Depth::Half));
        image.within(BOUNDS).row(8).fill(1);
    });
    assert_eq!(bytes.iter().filter(|byte| **byte == 1).count(), 7 * 8);
    let refusals = [
        (data, c"OfxBitDepthFloat", c"OfxImageComponentRGBA", Status::FAILED, "in rows of 64"),
        (data, c"OfxBitDepthNone", c"OfxImageComponentRGBA", Status::IMAGE_FORMAT, "of None"),
        (data, c"OfxBitDepthByte", c"OfxImageComponentRGB", Status::IMAGE_FORMAT, "has RGB pixels"),
        (
            ptr::null_mut(),
            c"OfxBitDepthByte",
            c"OfxImageComponentRGBA",
            Status::FAILED,
            "cannot be",
        ),
    ];
    for (data, depth, components, status, says) in refusals {
        with(&offered(data, depth, components), |_, image| {
            let refusal = image.err().unwrap();
            assert_eq!(refusal.status(), status);
            assert!(refusal.to_string().contains(says), "{refusal}");
        });
    }
    let mut none = offered(data, c"OfxBitDepthByte", c"OfxImageComponentRGBA");
    for (fetched, expected) in
        [(8, ImageRefusal::NoMemory), (1, ImageRefusal::Host(Status::FAILED))]
    {
        none.fetched = fetched;
        with(&none, |_, image| assert_eq!(image.err(), Some(expected)));
    }
}

#[test]
fn the_host_says_when_it_has_lost_interest() {
    let mut offered = offered(ptr::null_mut(), c"", c"");
    with(&offered, |effect, _| assert!(!effect.is_aborted()));
    offered.aborted = 1;
    with(&offered, |effect, _| assert!(effect.is_aborted()));
}
