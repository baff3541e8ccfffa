//! Memory suite, version 1.

#![allow(unsafe_code, reason = "functions that C calls")]

use std::ffi::c_void;
use std::ptr::with_exposed_provenance_mut;

use openfx_sys::OfxMemorySuiteV1;

use crate::boundary::{Answer, Opaque, Place, suite_functions, without};
use crate::doing;
use crate::rules::{Rule, lock};
use crate::status::Status;

/// Memory with the alignment that anything needs.
pub(super) fn piece(bytes: usize) -> Result<Box<[u128]>, Status> {
    let mut units = Vec::new();
    let count = bytes.div_ceil(16).max(1);
    units.try_reserve_exact(count).map_err(|_| Status::ERR_MEMORY)?;
    units.resize(count, u128::MAX / 255 * 0xcd);
    Ok(units.into_boxed_slice())
}

pub(super) fn give_back(address: usize) -> Answer {
    let host = doing::now().ok_or(Status::FAILED)?.host.clone();
    if lock(&host.allocated).remove(&address).is_none() {
        let words = "memory is given back that is not the host's, or no more".to_owned();
        doing::fault(Rule::GivenBack, words);
        return Err(Status::ERR_BAD_HANDLE);
    }
    Ok(())
}

suite_functions! {
    fn allocate(_effect: Opaque as *mut c_void, bytes: usize as usize, place: Place<*mut c_void> as *mut *mut c_void) {
        let host = doing::now().ok_or(Status::FAILED)?.host.clone();
        let mut piece = piece(bytes)?;
        let address = piece.as_mut_ptr().expose_provenance();
        lock(&host.allocated).insert(address, piece);
        place.put(with_exposed_provenance_mut(address));
        Ok(())
    }

    fn free(memory: Opaque as *mut c_void) {
        give_back(memory.0)
    }
}

pub(super) fn suite(nulls: &[String]) -> OfxMemorySuiteV1 {
    let mut suite = OfxMemorySuiteV1 { memoryAlloc: Some(allocate), memoryFree: Some(free) };
    without!(suite, nulls, [memoryAlloc, memoryFree]);
    suite
}
