//! Memory suite, version 1.

#![allow(unsafe_code, reason = "functions that C calls")]

use std::ffi::c_void;
use std::ptr::with_exposed_provenance_mut;

use openfx_sys::OfxMemorySuiteV1;

use crate::boundary::{Answer, Opaque, Place, suite_functions, without};
use crate::doing;
use crate::host::HostState;
use crate::rules::Rule;
use crate::status::Status;

/// Memory with the alignment that anything needs.
pub(super) fn allocated(bytes: usize) -> Result<usize, Status> {
    let doing = doing::here()?;
    let mut units = Vec::new();
    let count = bytes.div_ceil(16).max(1);
    units.try_reserve_exact(count).map_err(|_| Status::ERR_MEMORY)?;
    units.resize(count, u128::MAX / 255 * 0xcd);
    let mut piece = units.into_boxed_slice();
    let address = piece.as_mut_ptr().expose_provenance();
    doing.host.allocated.lock().insert(address, (doing.plugin, piece));
    Ok(address)
}

/// How much of it a plug-in has not given back; it is gone by this.
pub(crate) fn take_from(host: &HostState, plugin: usize) -> usize {
    let mut allocated = host.allocated.lock();
    let before = allocated.len();
    allocated.retain(|_, (whose, _)| *whose != plugin);
    before - allocated.len()
}

pub(super) fn give_back(address: usize) -> Answer {
    let host = doing::here()?.host.clone();
    if host.allocated.lock().remove(&address).is_none() {
        let words = "memory is given back that is not the host's, or no more".to_owned();
        doing::fault(Rule::GivenBack, words);
        return Err(Status::ERR_BAD_HANDLE);
    }
    Ok(())
}

suite_functions! {
    fn allocate(_effect: Opaque as *mut c_void, bytes: usize as usize, place: Place<*mut c_void> as *mut *mut c_void) {
        place.put(with_exposed_provenance_mut(allocated(bytes)?));
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
