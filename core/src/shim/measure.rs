//! What a piece of work holds and moves, on any device: peak of live bytes by the reports of
//! libtorch's allocators, traffic by what every operator is given and gives.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;

use super::{call, made, text_of};
use crate::Result;

/// Live bytes of tensors made on this thread, on all devices together, counted from the moment at
/// which the measure began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveBytes {
    /// The most at once.
    pub peak: i64,
    /// Still live at the end.
    pub left: i64,
}

/// What operators read and wrote.
///
/// Counted is what this thread calls: an operator's tensors, each once, that it is given and that it
/// gives. What it calls itself is not counted again, so that one that CUDA fuses counts alike where
/// it is made of parts; views are free, and so is making room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What each operator moved, by its name.
    pub operators: Vec<Operator>,
}

/// The share of one operator in [`Traffic`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// As libtorch names it: `aten::linear`.
    pub name: String,
    /// How often it was called.
    pub calls: i64,
    /// Bytes of the tensors that it was given.
    pub read: i64,
    /// Bytes of the tensors that it gave.
    pub written: i64,
}

// SAFETY: as in the parent module; a scope is ended by the thread that began it.
unsafe extern "C" {
    fn wan_alpha_live_bytes_begin(
        scope: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_live_bytes_read(scope: *const c_void, peak: *mut i64, now: *mut i64);
    fn wan_alpha_live_bytes_end(scope: *mut c_void);
    fn wan_alpha_traffic_begin(
        scope: *mut *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_traffic_operators(scope: *const c_void) -> usize;
    fn wan_alpha_traffic_operator(
        scope: *const c_void,
        index: usize,
        numbers: *mut i64,
        name: *mut c_char,
        capacity: usize,
    ) -> c_int;
    fn wan_alpha_traffic_end(scope: *mut c_void);
}

impl LiveBytes {
    /// What `work` holds at its widest.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        // SAFETY: the place for the scope outlives the call.
        let begun = made(|scope, message, capacity| unsafe {
            wan_alpha_live_bytes_begin(scope, message, capacity)
        })?;
        let scope = Scope { begun, end: wan_alpha_live_bytes_end };
        let result = work()?;
        let (mut peak, mut left) = (0, 0);
        // SAFETY: the scope has not ended, and the numbers outlive the call.
        unsafe {
            wan_alpha_live_bytes_read(scope.begun.as_ptr(), &raw mut peak, &raw mut left);
        }
        Ok((result, Self { peak, left }))
    }
}

impl Traffic {
    /// What `work` moves.
    ///
    /// # Errors
    /// Those of `work`, or this thread is being measured already.
    pub fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        // SAFETY: the place for the scope outlives the call.
        let begun = made(|scope, message, capacity| unsafe {
            wan_alpha_traffic_begin(scope, message, capacity)
        })?;
        let scope = Scope { begun, end: wan_alpha_traffic_end };
        let result = work()?;
        // SAFETY: the scope has not ended.
        let count = unsafe { wan_alpha_traffic_operators(scope.begun.as_ptr()) };
        let operators = (0..count).map(|index| operator(&scope, index)).collect::<Result<_>>()?;
        Ok((result, Self { operators }))
    }

    /// Read and written, of all operators.
    pub fn bytes(&self) -> i64 {
        self.operators.iter().map(|operator| operator.read + operator.written).sum()
    }
}

fn operator(scope: &Scope, index: usize) -> Result<Operator> {
    let mut numbers = [0i64; 3];
    let mut name = [0u8; 256];
    let place = name.as_mut_ptr().cast();
    // SAFETY: the scope has not ended; three numbers and at most the buffer's length are written,
    // and both outlive the call.
    call(|_, _| unsafe {
        wan_alpha_traffic_operator(scope.begun.as_ptr(), index, numbers.as_mut_ptr(), place, 256)
    })?;
    let [calls, read, written] = numbers;
    Ok(Operator { name: text_of(&name), calls, read, written })
}

/// Ends what was begun, also where the work between fails. Not `Send`: what it holds belongs to its
/// thread.
struct Scope {
    begun: NonNull<c_void>,
    end: unsafe extern "C" fn(*mut c_void),
}

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: begun by the function that belongs to `end`, on this thread, and ended once.
        unsafe { (self.end)(self.begun.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    fn ones(shape: &[i64]) -> Tensor {
        Tensor::ones(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn a_peak_is_what_lived_at_once() {
        let (kept, live) = LiveBytes::of(|| {
            let first = ones(&[1000]);
            let second = first.f_add_scalar(1.0)?;
            drop(first);
            let third = second.f_add_scalar(1.0)?;
            drop(second);
            Ok(third.f_add_scalar(1.0)?)
        })
        .unwrap();
        // libtorch rounds to cache lines at most.
        assert!((8000..8200).contains(&live.peak), "{live:?}");
        assert!((4000..4100).contains(&live.left), "{live:?}");
        drop(kept);
    }

    #[test]
    fn a_measure_that_fails_ends() {
        let failed = LiveBytes::of(|| Ok(ones(&[2]).f_add(&ones(&[3]))?));
        assert!(failed.is_err());
        let failed = Traffic::of(|| Ok(ones(&[2]).f_add(&ones(&[3]))?));
        assert!(failed.is_err());
        let (_, traffic) = Traffic::of(|| Ok(())).unwrap();
        assert_eq!(traffic.bytes(), 0);
        let nested = Traffic::of(|| Traffic::of(|| Ok(()))).unwrap_err().to_string();
        assert!(nested.contains("already"), "{nested}");
    }

    fn moved(work: impl FnOnce() -> Result<Tensor>) -> (i64, i64) {
        let (_, traffic) = Traffic::of(work).unwrap();
        let sum = |of: fn(&Operator) -> i64| traffic.operators.iter().map(of).sum();
        (sum(|operator| operator.read), sum(|operator| operator.written))
    }

    #[test]
    fn tensors_in_and_out_of_each_operator_are_counted() {
        let (x, y) = (ones(&[10, 10]), ones(&[10, 10]));
        assert_eq!(moved(|| Ok(x.f_add(&y)?)), (800, 400));
        // The same memory twice is read once.
        assert_eq!(moved(|| Ok(x.f_mul(&x)?)), (400, 400));
        let mut z = ones(&[10, 10]);
        assert_eq!(moved(|| Ok(z.f_add_(&y)?)), (800, 400));
        // What is overwritten is not read.
        assert_eq!(moved(|| Ok(z.f_copy_(&y).map(|()| z.shallow_clone())?)), (400, 400));
        assert_eq!(moved(|| Ok(Tensor::f_add_out(&z, &x, &y)?)), (800, 400));
        assert_eq!(moved(|| Ok(Tensor::f_cat(&[&x, &y], 0)?)), (800, 800));
    }

    #[test]
    fn views_are_free_and_an_expanded_axis_is_one_number() {
        let x = ones(&[10, 10]);
        assert_eq!(moved(|| Ok(x.f_narrow(0, 2, 3)?.f_transpose(0, 1)?)), (0, 0));
        assert_eq!(moved(|| Ok(x.f_to_kind(Kind::Float)?)), (0, 0));
        assert_eq!(moved(|| Ok(x.f_to_kind(Kind::BFloat16)?)), (400, 200));
        assert_eq!(moved(|| Ok(x.f_transpose(0, 1)?.f_reshape([100])?)), (400, 400));
        let row = ones(&[1, 10]);
        assert_eq!(moved(|| Ok(row.f_expand([10, 10], false)?.f_add_scalar(1.0)?)), (40, 400));
    }

    #[test]
    fn what_an_operator_calls_is_not_counted_again() {
        let (x, weight) = (ones(&[4, 10]), ones(&[6, 10]));
        assert_eq!(moved(|| Ok(x.f_linear(&weight, None::<&Tensor>)?)), (400, 96));
        assert_eq!(moved(|| Ok(x.f_rms_norm([10], None::<&Tensor>, 1e-6)?)), (160, 160));
    }
}
