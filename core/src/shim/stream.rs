//! Streams and events of a CUDA device, and copies that do not block.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;

use tch::{Device, Tensor};

use super::{call, index_of, made};
use crate::Result;

/// A queue of work of a CUDA device.
#[derive(Debug)]
pub struct Stream(NonNull<c_void>);

/// A point in a [`Stream`], reached when everything queued before it has ended.
#[derive(Debug)]
pub struct Event(NonNull<c_void>);

// SAFETY: a `c10::Stream` is three numbers, never changed once made.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}
// SAFETY: a `c10::Event` belongs to no thread; it is not `Sync`, being used by one at a time.
unsafe impl Send for Event {}

// SAFETY: as `shim.cpp` defines them, and as the parent module says of all of them.
unsafe extern "C" {
    fn wan_alpha_stream_new(
        device: c_int,
        high_priority: c_int,
        stream: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_stream_current(
        device: c_int,
        stream: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_stream_synchronize(
        stream: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_stream_wait(
        stream: *const c_void,
        event: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_stream_drop(stream: *mut c_void);
    fn wan_alpha_event_new(event: *mut *mut c_void, message: *mut c_char, capacity: usize)
    -> c_int;
    fn wan_alpha_event_record(
        event: *mut c_void,
        stream: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_event_query(
        event: *const c_void,
        passed: *mut c_int,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_event_synchronize(
        event: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_event_drop(event: *mut c_void);
    fn wan_alpha_copy(
        to: *const c_void,
        from: *const c_void,
        stream: *const c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
}

/// Copies `from` into `to`, of the same shape, in `stream`, and returns before that has ended where
/// the one that is not on a card is [`pinned`]. Memory of a card that either lets go of is not used
/// again before the copy has ended; its contents are the caller's to guard with an [`Event`].
///
/// # Errors
/// CUDA is not open, the shapes differ, or the driver fails.
pub fn copy_without_blocking(to: &Tensor, from: &Tensor, stream: &Stream) -> Result<()> {
    let (to, from) = (to.as_ptr().cast(), from.as_ptr().cast());
    // SAFETY: a tensor of the binding points to an `at::Tensor`, and lives through the call.
    call(|message, capacity| unsafe {
        wan_alpha_copy(to, from, stream.0.as_ptr(), message, capacity)
    })
}

impl Stream {
    /// One of the streams that libtorch keeps beside the one that computes.
    ///
    /// # Errors
    /// CUDA is not open, or there is no such device.
    pub fn new(device: Device, high_priority: bool) -> Result<Self> {
        let index = index_of(device)?;
        // SAFETY: the place for the stream outlives the call.
        made(|stream, message, capacity| unsafe {
            wan_alpha_stream_new(index, c_int::from(high_priority), stream, message, capacity)
        })
        .map(Self)
    }

    /// The stream in which this thread computes.
    ///
    /// # Errors
    /// As [`Stream::new`].
    pub fn current(device: Device) -> Result<Self> {
        let index = index_of(device)?;
        // SAFETY: the place for the stream outlives the call.
        made(|stream, message, capacity| unsafe {
            wan_alpha_stream_current(index, stream, message, capacity)
        })
        .map(Self)
    }

    /// Waits until everything queued here has ended.
    ///
    /// # Errors
    /// Work of the device has failed.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: the stream lives as long as `self`.
        call(|message, capacity| unsafe {
            wan_alpha_stream_synchronize(self.0.as_ptr(), message, capacity)
        })
    }

    /// What is queued here from now on begins after `event` has been reached. The host does not
    /// wait.
    ///
    /// # Errors
    /// Work of the device has failed.
    pub fn wait(&self, event: &Event) -> Result<()> {
        // SAFETY: both live through the call.
        call(|message, capacity| unsafe {
            wan_alpha_stream_wait(self.0.as_ptr(), event.0.as_ptr(), message, capacity)
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by `shim.cpp`, dropped once.
        unsafe { wan_alpha_stream_drop(self.0.as_ptr()) }
    }
}

impl Event {
    /// An event in no stream yet.
    ///
    /// # Errors
    /// CUDA is not open.
    pub fn new() -> Result<Self> {
        // SAFETY: the place for the event outlives the call.
        made(|event, message, capacity| unsafe { wan_alpha_event_new(event, message, capacity) })
            .map(Self)
    }

    /// Puts it behind what is queued in `stream`.
    ///
    /// # Errors
    /// It is of another device's stream, or work of the device has failed.
    pub fn record(&mut self, stream: &Stream) -> Result<()> {
        // SAFETY: both live through the call, and the event is borrowed by nobody else.
        call(|message, capacity| unsafe {
            wan_alpha_event_record(self.0.as_ptr(), stream.0.as_ptr(), message, capacity)
        })
    }

    /// Whether it has been reached; one that was never recorded has.
    ///
    /// # Errors
    /// Work of the device has failed.
    pub fn query(&self) -> Result<bool> {
        let mut passed = 0;
        // SAFETY: the event lives as long as `self`, the number through the call.
        call(|message, capacity| unsafe {
            wan_alpha_event_query(self.0.as_ptr(), &raw mut passed, message, capacity)
        })?;
        Ok(passed != 0)
    }

    /// Waits until it has been reached.
    ///
    /// # Errors
    /// Work of the device has failed.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: the event lives as long as `self`.
        call(|message, capacity| unsafe {
            wan_alpha_event_synchronize(self.0.as_ptr(), message, capacity)
        })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `shim.cpp`, dropped once.
        unsafe { wan_alpha_event_drop(self.0.as_ptr()) }
    }
}
