//! CUDA's runtime (`libcudart`): driver and cards, without libtorch.
//!
//! libtorch's CPU half brings the runtime into the process. Its functions are looked up by name in
//! the whole process, so that a preloaded stand-in answers first.

use super::card::{self, Card};
use super::choice::CardName;
use super::cuda_version::CudaVersion;
use super::unavailable::CudaUnavailable;

/// What CUDA's runtime says of this machine.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The newest CUDA that the driver speaks; none without a driver.
    pub driver: Option<CudaVersion>,
    /// The CUDA that libtorch was built for.
    pub runtime: Option<CudaVersion>,
    /// All visible cards, or why there are none.
    pub cards: Result<Vec<Card>, CudaUnavailable>,
}

/// Asks for driver and cards. Nothing is computed, no card's memory is touched and libtorch is not
/// asked. `visible` is the value of `CUDA_VISIBLE_DEVICES`, for sentences only.
pub fn survey(visible: Option<&str>) -> Survey {
    match sys::Runtime::find() {
        None => Survey { driver: None, runtime: None, cards: Err(CudaUnavailable::NoRuntime) },
        Some(runtime) => {
            let versions = Versions::of(&runtime);
            Survey {
                driver: versions.driver,
                runtime: versions.runtime,
                cards: cards(&runtime, &versions, visible),
            }
        }
    }
}

/// Whether there is a driver, which is known at once: no card is asked.
pub fn has_driver() -> bool {
    sys::Runtime::find().is_some_and(|runtime| Versions::of(&runtime).driver.is_some())
}

/// The cards that come into question, none of them touched yet.
pub(super) struct Candidates {
    runtime: sys::Runtime,
    /// One where it was named.
    cards: Vec<Card>,
}

/// The card of that name, or all that may be taken.
pub(super) fn candidates(
    name: Option<&CardName>,
    visible: Option<&str>,
) -> Result<Candidates, CudaUnavailable> {
    let runtime = sys::Runtime::find().ok_or(CudaUnavailable::NoRuntime)?;
    let cards = cards(&runtime, &Versions::of(&runtime), visible)?;
    let cards = match name {
        Some(name) => vec![card::named(&cards, name, visible)?.clone()],
        None => card::candidates(&cards)?.into_iter().cloned().collect(),
    };
    Ok(Candidates { runtime, cards })
}

impl Candidates {
    /// The best of them; it is the calling thread's card from here on, and has a context.
    pub(super) fn take(self) -> Result<Card, CudaUnavailable> {
        let Self { runtime, cards } = &self;
        let card = match &cards[..] {
            [only] => only,
            several => freest(runtime, &several.iter().collect::<Vec<_>>())?,
        };
        runtime.select(card.index).map_err(|code| refused(runtime, "use", card, code))?;
        Ok(card.clone())
    }
}

/// Asking a card for its free memory makes a context on it, some 0.3 GB: those that are not taken
/// are given back. A card that does not answer is not taken.
fn freest<'a>(runtime: &sys::Runtime, cards: &[&'a Card]) -> Result<&'a Card, CudaUnavailable> {
    let mut free = Vec::new();
    let mut last = CudaUnavailable::NoDevice { visible: None };
    for &card in cards {
        match runtime.free_memory(card.index) {
            Ok(bytes) => {
                log::info!("{card}: {:.1} GB free", bytes as f64 / 1e9);
                free.push((card, bytes));
            }
            Err(code) => {
                last = refused(runtime, "ask for the free memory of", card, code);
                log::warn!("{last}");
            }
        }
    }
    let taken = card::freest(&free).ok_or(last)?;
    for (card, _) in free.iter().filter(|(card, _)| card.index != taken.index) {
        if let Err(code) = runtime.reset(card.index) {
            log::warn!("{}", fault(runtime, &format!("leave {card}"), code));
        }
    }
    Ok(taken)
}

/// Memory of the host that cards read by themselves, for as long as this lives.
#[derive(Debug)]
pub(crate) struct PinnedMemory {
    runtime: sys::Runtime,
    address: usize,
}

impl PinnedMemory {
    /// Of a contiguous tensor of the host, which must live longer. Unlike memory that libtorch pins, it
    /// takes no more than it has.
    ///
    /// # Errors
    /// In words: there is no card, or the system lends no more of such memory.
    pub(crate) fn of(memory: &tch::Tensor) -> Result<Self, String> {
        let runtime = sys::Runtime::find().ok_or("no CUDA runtime is in this process")?;
        let bytes = memory.numel() * memory.kind().elt_size_in_bytes();
        match runtime.pin(memory.data_ptr(), bytes) {
            Ok(()) => Ok(Self { runtime, address: memory.data_ptr() as usize }),
            Err(code) => Err(fault(&runtime, "pin memory", code).to_string()),
        }
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        if let Err(code) = self.runtime.unpin(self.address) {
            log::warn!("{}", fault(&self.runtime, "give pinned memory back", code));
        }
    }
}

struct Versions {
    driver: Option<CudaVersion>,
    runtime: Option<CudaVersion>,
}

impl Versions {
    fn of(runtime: &sys::Runtime) -> Self {
        // A driver that is not installed has the number 0.
        let driver = runtime.driver_version().ok().filter(|number| *number > 0);
        let built = runtime.runtime_version().ok();
        Self {
            driver: driver.map(CudaVersion::from_number),
            runtime: built.map(CudaVersion::from_number),
        }
    }
}

fn cards(
    runtime: &sys::Runtime,
    versions: &Versions,
    visible: Option<&str>,
) -> Result<Vec<Card>, CudaUnavailable> {
    /// CUDA's `cudaErrorInsufficientDriver`: the driver is older than the runtime.
    const TOO_OLD: i32 = 35;
    /// CUDA's `cudaErrorNoDevice`: no card is visible.
    const NO_DEVICE: i32 = 100;
    let Some(driver) = versions.driver else { return Err(CudaUnavailable::NoDriver) };
    let no_device = || CudaUnavailable::NoDevice { visible: visible.map(str::to_owned) };
    let count = match (runtime.count(), versions.runtime) {
        (Ok(0) | Err(NO_DEVICE), _) => return Err(no_device()),
        (Ok(count), _) => count,
        (Err(TOO_OLD), Some(runtime)) => {
            return Err(CudaUnavailable::DriverTooOld { driver, runtime });
        }
        (Err(code), _) => return Err(fault(runtime, "list the cards", code)),
    };
    let describe = |index: usize| {
        runtime.card(index).map_err(|code| fault(runtime, &format!("describe card {index}"), code))
    };
    (0..count).map(describe).collect()
}

/// Why a card cannot be taken.
fn refused(runtime: &sys::Runtime, action: &str, card: &Card, code: i32) -> CudaUnavailable {
    /// cudaErrorMemoryAllocation, and cudaErrorDevicesUnavailable of a card in exclusive mode.
    const TAKEN: [i32; 2] = [2, 46];
    if TAKEN.contains(&code) {
        return CudaUnavailable::Taken { card: card.to_string(), name: runtime.words(code).0 };
    }
    fault(runtime, &format!("{action} {card}"), code)
}

fn fault(runtime: &sys::Runtime, action: &str, code: i32) -> CudaUnavailable {
    let (name, text) = runtime.words(code);
    CudaUnavailable::Driver { action: action.to_owned(), name, code, text }
}

/// The functions of `libcudart` that are used, as CUDA's `cuda_runtime_api.h` declares them.
#[allow(unsafe_code)]
mod sys {
    use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

    use super::Card;

    type Status = c_int;
    /// CUDA's `cudaErrorNotSupported`.
    const NOT_SUPPORTED: Status = 801;
    /// cudaDevAttrKernelExecTimeout: there is a limit where a display needs the card.
    const KERNEL_TIMEOUT: c_int = 17;
    /// CUDA's `cudaDevAttrComputeCapabilityMajor` and `cudaDevAttrComputeCapabilityMinor`.
    const CAPABILITY: [c_int; 2] = [75, 76];

    /// The beginning of `cudaDeviceProp`, the same since CUDA 10, and room for all that follows it
    /// in any version so far (about 1 kB).
    #[repr(C)]
    struct Properties {
        name: [u8; 256],
        uuid: [u8; 16],
        luid: [u8; 8],
        luid_device_node_mask: u32,
        total_global_memory: usize,
        rest: [u64; 1024],
    }

    #[derive(Debug)]
    pub(super) struct Runtime {
        driver_version: unsafe extern "C" fn(*mut c_int) -> Status,
        runtime_version: unsafe extern "C" fn(*mut c_int) -> Status,
        count: unsafe extern "C" fn(*mut c_int) -> Status,
        properties: unsafe extern "C" fn(*mut Properties, c_int) -> Status,
        attribute: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> Status,
        set: unsafe extern "C" fn(c_int) -> Status,
        memory: unsafe extern "C" fn(*mut usize, *mut usize) -> Status,
        reset: unsafe extern "C" fn() -> Status,
        /// Older stand-ins have neither.
        pin: Option<unsafe extern "C" fn(*mut c_void, usize, c_uint) -> Status>,
        unpin: Option<unsafe extern "C" fn(*mut c_void) -> Status>,
        error_name: unsafe extern "C" fn(Status) -> *const c_char,
        error_string: unsafe extern "C" fn(Status) -> *const c_char,
    }

    impl Runtime {
        /// The runtime of this process, if it has one.
        pub(super) fn find() -> Option<Self> {
            let process = process()?;
            /// Looks a function up.
            macro_rules! function {
                ($name:literal) => {
                    // SAFETY: the function is CUDA's of that name, and the field that it goes to has
                    // its type. The pointer outlives the handle, since libtorch_cpu needs the
                    // runtime and is never unloaded.
                    *unsafe { process.get($name) }.ok()?
                };
            }
            Some(Self {
                driver_version: function!(b"cudaDriverGetVersion\0"),
                runtime_version: function!(b"cudaRuntimeGetVersion\0"),
                count: function!(b"cudaGetDeviceCount\0"),
                properties: function!(b"cudaGetDeviceProperties\0"),
                attribute: function!(b"cudaDeviceGetAttribute\0"),
                set: function!(b"cudaSetDevice\0"),
                memory: function!(b"cudaMemGetInfo\0"),
                reset: function!(b"cudaDeviceReset\0"),
                // SAFETY: as above.
                pin: unsafe { process.get(b"cudaHostRegister\0") }.ok().map(|found| *found),
                // SAFETY: as above.
                unpin: unsafe { process.get(b"cudaHostUnregister\0") }.ok().map(|found| *found),
                error_name: function!(b"cudaGetErrorName\0"),
                error_string: function!(b"cudaGetErrorString\0"),
            })
        }

        pub(super) fn driver_version(&self) -> Result<c_int, Status> {
            let mut version = 0;
            // SAFETY: the runtime writes one int.
            ok(unsafe { (self.driver_version)(&raw mut version) })?;
            Ok(version)
        }

        pub(super) fn runtime_version(&self) -> Result<c_int, Status> {
            let mut version = 0;
            // SAFETY: the runtime writes one int.
            ok(unsafe { (self.runtime_version)(&raw mut version) })?;
            Ok(version)
        }

        /// How many cards are visible to this process.
        pub(super) fn count(&self) -> Result<usize, Status> {
            let mut count = 0;
            // SAFETY: the runtime writes one int.
            ok(unsafe { (self.count)(&raw mut count) })?;
            Ok(usize::try_from(count).unwrap_or(0))
        }

        pub(super) fn card(&self, index: usize) -> Result<Card, Status> {
            let mut properties = Box::new(Properties {
                name: [0; 256],
                uuid: [0; 16],
                luid: [0; 8],
                luid_device_node_mask: 0,
                total_global_memory: 0,
                rest: [0; 1024],
            });
            // SAFETY: the structure begins as CUDA's does and is larger than any version of it.
            ok(unsafe { (self.properties)(&raw mut *properties, number(index)) })?;
            let [major, minor] =
                [self.attribute(index, CAPABILITY[0])?, self.attribute(index, CAPABILITY[1])?];
            let name = properties.name.split(|byte| *byte == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            Ok(Card {
                index,
                uuid: uuid(&name, properties.uuid),
                name,
                capability: (major.unsigned_abs(), minor.unsigned_abs()),
                total_memory: properties.total_global_memory as u64,
                has_display: self.attribute(index, KERNEL_TIMEOUT)? != 0,
            })
        }

        fn attribute(&self, index: usize, attribute: c_int) -> Result<c_int, Status> {
            let mut value = 0;
            // SAFETY: the runtime writes one int.
            ok(unsafe { (self.attribute)(&raw mut value, attribute, number(index)) })?;
            Ok(value)
        }

        /// Makes a card the calling thread's.
        pub(super) fn select(&self, index: usize) -> Result<(), Status> {
            // SAFETY: takes a number.
            ok(unsafe { (self.set)(number(index)) })
        }

        /// Bytes that no process uses; makes a context.
        pub(super) fn free_memory(&self, index: usize) -> Result<u64, Status> {
            self.select(index)?;
            let (mut free, mut total) = (0, 0);
            // SAFETY: the runtime writes two sizes.
            ok(unsafe { (self.memory)(&raw mut free, &raw mut total) })?;
            Ok(free as u64)
        }

        /// Has cards read memory by themselves, from an address on.
        pub(super) fn pin(&self, address: *mut c_void, bytes: usize) -> Result<(), Status> {
            let pin = self.pin.ok_or(NOT_SUPPORTED)?;
            // SAFETY: the caller has the memory, and keeps it until it is given back.
            ok(unsafe { pin(address, bytes, 0) })
        }

        /// Gives back what was pinned from an address on.
        pub(super) fn unpin(&self, address: usize) -> Result<(), Status> {
            let unpin = self.unpin.ok_or(NOT_SUPPORTED)?;
            // SAFETY: the address is one that was pinned, whose memory lives.
            ok(unsafe { unpin(address as *mut c_void) })
        }

        /// Gives back this process's context on a card, on which nothing is allocated.
        pub(super) fn reset(&self, index: usize) -> Result<(), Status> {
            self.select(index)?;
            // SAFETY: the context was made by `free_memory` a moment ago, before libtorch's CUDA
            // half was opened: nobody holds anything on it.
            ok(unsafe { (self.reset)() })
        }

        /// CUDA's name and words for an error.
        pub(super) fn words(&self, code: Status) -> (String, String) {
            let text = |pointer: *const c_char| {
                if pointer.is_null() {
                    return String::new();
                }
                // SAFETY: the runtime returns constant strings that end in 0.
                unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
            };
            // SAFETY: both take any number.
            unsafe { (text((self.error_name)(code)), text((self.error_string)(code))) }
        }
    }

    #[cfg(unix)]
    fn process() -> Option<libloading::os::unix::Library> {
        Some(libloading::os::unix::Library::this())
    }

    /// There is no lookup in the whole process on Windows: the runtime that libtorch brought.
    #[cfg(windows)]
    fn process() -> Option<libloading::os::windows::Library> {
        libloading::os::windows::Library::open_already_loaded("cudart64_13.dll").ok()
    }

    fn ok(status: Status) -> Result<(), Status> {
        if status == 0 { Ok(()) } else { Err(status) }
    }

    fn number(index: usize) -> c_int {
        c_int::try_from(index).unwrap_or(c_int::MAX)
    }

    /// As `nvidia-smi -L` prints it: a part of a card, as the driver divides one into several (MIG),
    /// tells in its name what it is, such as `NVIDIA H100 80GB HBM3 MIG 1g.10gb`.
    fn uuid(name: &str, bytes: [u8; 16]) -> String {
        let kind = if name.split(' ').any(|word| word == "MIG") { "MIG" } else { "GPU" };
        let hex = bytes.map(|byte| format!("{byte:02x}")).concat();
        let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        format!("{kind}-{}", groups.join("-"))
    }

    #[cfg(test)]
    mod tests {
        use std::mem::offset_of;

        use super::*;

        #[test]
        fn the_properties_lie_where_cuda_puts_them() {
            assert_eq!(offset_of!(Properties, uuid), 256);
            assert_eq!(offset_of!(Properties, luid), 272);
            assert_eq!(offset_of!(Properties, luid_device_node_mask), 280);
            assert_eq!(offset_of!(Properties, total_global_memory), 288);
            assert!(size_of::<Properties>() > 8000);
        }

        #[test]
        fn uuids_are_written_as_the_driver_writes_them() {
            let bytes = std::array::from_fn(|index| index as u8 * 16 + index as u8);
            let digits = "00112233-4455-6677-8899-aabbccddeeff";
            assert_eq!(uuid("NVIDIA H100", bytes), format!("GPU-{digits}"));
            assert_eq!(uuid("NVIDIA H100 MIG 1g.10gb", bytes), format!("MIG-{digits}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_that_libtorch_brings_is_found_in_the_process() {
        // Whatever this machine has, its version can be told.
        let found = survey(None);
        assert_eq!(found.runtime.map(|version| version.major), Some(13));
    }
}
