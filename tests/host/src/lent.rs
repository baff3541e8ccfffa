//! Strings lent to the plug-in: good until this thread calls the host again, spoiled from then on.
//!
//! What is spoiled stays allocated for a while and reads as [`SPOILT`] over and over, so that a
//! plug-in that kept the pointer gives itself away instead of crashing.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::c_char;

/// What a string of the host reads as when its time is over.
const SPOILT: &[u8] = b"\x7fdangling\x7f";

/// How many spoiled strings a thread keeps.
const KEPT: usize = 256;

struct Buffer {
    bytes: *mut u8,
    length: usize,
}

impl Buffer {
    fn new(text: &str) -> Self {
        let bytes: Box<[u8]> = text.bytes().filter(|&b| b != 0).chain([0]).collect();
        let length = bytes.len();
        Self { bytes: Box::into_raw(bytes).cast(), length }
    }

    /// All but the zero at the end.
    fn spoil(&self) {
        for at in 0..self.length - 1 {
            // SAFETY: `at` lies within the allocation, which this buffer owns; a plug-in that
            // reads it at the same moment from another thread is what is being looked for.
            unsafe { self.bytes.add(at).write_volatile(SPOILT[at % SPOILT.len()]) };
        }
    }

    fn holds(&self, pointer: *const c_char) -> bool {
        let (first, pointer) = (self.bytes.addr(), pointer.addr());
        (first..first + self.length).contains(&pointer)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let slice = std::ptr::slice_from_raw_parts_mut(self.bytes, self.length);
        // SAFETY: the pointer and length are those of the box that `new` took apart.
        drop(unsafe { Box::from_raw(slice) });
    }
}

#[derive(Default)]
struct Lent {
    fresh: Vec<Buffer>,
    spoiled: VecDeque<Buffer>,
}

thread_local! {
    static LENT: RefCell<Lent> = RefCell::default();
}

/// A C string that is good until the next [`spoil`] on this thread.
pub(crate) fn lend(text: &str) -> *mut c_char {
    let buffer = Buffer::new(text);
    let pointer = buffer.bytes.cast();
    LENT.with_borrow_mut(|lent| lent.fresh.push(buffer));
    pointer
}

/// What every call to the host does to the strings that were lent before.
pub(crate) fn spoil() {
    LENT.with_borrow_mut(|Lent { fresh, spoiled }| {
        for buffer in fresh.drain(..) {
            buffer.spoil();
            spoiled.push_back(buffer);
        }
        while spoiled.len() > KEPT {
            spoiled.pop_front();
        }
    });
}

/// Whether a string that comes from the plug-in is one of those whose time is over.
pub(crate) fn is_spoiled(pointer: *const c_char, bytes: &[u8]) -> bool {
    let reads_so =
        !bytes.is_empty() && bytes.iter().zip(SPOILT.iter().cycle()).all(|(a, b)| a == b);
    reads_so || LENT.with_borrow(|lent| lent.spoiled.iter().any(|buffer| buffer.holds(pointer)))
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn a_string_is_good_until_the_next_call() {
        let lent = lend("a rather long string");
        // SAFETY: `lend` gives a C string, kept while few others are lent.
        let read = || unsafe { CStr::from_ptr(lent) }.to_bytes().to_vec();
        assert_eq!(read(), b"a rather long string");
        assert!(!is_spoiled(lent, &read()));
        spoil();
        assert!(read().starts_with(SPOILT) && is_spoiled(lent, &read()));
        // Copied too late, and given back from elsewhere.
        assert!(is_spoiled(std::ptr::null(), &read()[..3]));
        assert!(!is_spoiled(std::ptr::null(), b"") && !is_spoiled(std::ptr::null(), b"dangling"));
    }
}
