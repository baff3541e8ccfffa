//! The memory that a take may use.

#![forbid(unsafe_code)]

use serde::Serialize;

use super::{CapSource, PlannedStore};

/// Bytes of the host that a pinned image leaves free, whatever half of it allows.
const HOST_LEFT: u64 = 2_000_000_000;
/// Kernels and context of a card, and what a process holds besides tensors.
const PROCESS_CARD: u64 = 600_000_000;
/// Of a process on the CPU: libraries' data, threads, the request's own.
pub const PROCESS_CPU: u64 = 350_000_000;

/// Memory that is there, and how much of it may be used; in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryBudget {
    /// Whether the device is a card, with memory of its own.
    pub is_card: bool,
    /// Of the device: free, and what this process holds already and may use again.
    pub free: u64,
    /// Of the device in all.
    pub total: u64,
    /// What is to be left free.
    pub headroom: u64,
    /// What may be used at most, if that is limited, of all that the process is.
    pub cap: Option<u64>,
    /// Where that limit was set.
    pub cap_by: CapSource,
    /// Of the host: what is free.
    pub host_free: u64,
    /// Of the host in all.
    pub host_total: u64,
}

/// What is left free where nothing else is said.
#[derive(Clone, Copy, Debug)]
pub struct Headroom;

impl Headroom {
    /// Of a card, whose host application draws with it.
    pub const CARD: u64 = 1_000_000_000;
    /// Of the machine's memory.
    pub const CPU: u64 = 1_000_000_000;
}

impl MemoryBudget {
    /// Bytes of tensors that the device may hold.
    pub fn device(&self) -> u64 {
        self.capped().map_or(self.left_free(), |capped| self.left_free().min(capped))
    }

    /// Bytes that are free beside what is left to others.
    pub(super) fn left_free(&self) -> u64 {
        self.free.saturating_sub(self.headroom)
    }

    /// Bytes that the process itself takes of the limit. Of what is free a context that is there has
    /// been taken already.
    pub(super) fn process(&self) -> u64 {
        if self.is_card { PROCESS_CARD } else { PROCESS_CPU }
    }

    /// Bytes of tensors that the limit leaves.
    pub(super) fn capped(&self) -> Option<u64> {
        Some(self.cap?.saturating_sub(self.process()))
    }

    /// The limit of what may be used, where it leaves less than is free.
    pub(super) fn binding_cap(&self) -> Option<u64> {
        self.cap.filter(|cap| cap.saturating_sub(self.process()) < self.left_free())
    }

    /// Where so many bytes of blocks come from.
    pub(super) fn store_for(&self, streamed: u64) -> PlannedStore {
        if streamed == 0 {
            return PlannedStore::None;
        }
        let host_free = if self.is_card {
            self.host_free
        } else {
            // On the CPU the rest of the same memory.
            self.host_free.saturating_sub(self.device())
        };
        let pinnable = (self.host_total / 2).min(self.host_free.saturating_sub(HOST_LEFT));
        if self.is_card && streamed <= pinnable {
            PlannedStore::Pinned
        } else if streamed <= host_free.saturating_sub(HOST_LEFT) {
            PlannedStore::CachedFile
        } else {
            PlannedStore::File
        }
    }
}

/// Bytes as people read them, rounded up: in megabytes, from a thousand of them on in gigabytes.
pub(super) fn rounded_up(bytes: u64) -> String {
    size_text(bytes.div_ceil(1_000_000), bytes.div_ceil(100_000_000))
}

/// The same, rounded down.
pub(super) fn rounded_down(bytes: u64) -> String {
    size_text(bytes / 1_000_000, bytes / 100_000_000)
}

fn size_text(megabytes: u64, tenths: u64) -> String {
    if megabytes < 1000 {
        format!("{megabytes} MB")
    } else {
        format!("{}.{} GB", tenths / 10, tenths % 10)
    }
}
