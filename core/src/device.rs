//! Opening libtorch for a device, and bringing CUDA into a program that was not linked with it.
//!
//! The program links libtorch's CPU half only. The CUDA half is a library of the same build, opened
//! at run time. libtorch looks for it **once**, at the first question that could concern CUDA (a
//! number of devices, a seed, even a convolution on the CPU), and a half that is opened later is
//! never used in that process. So nothing may be asked of libtorch before [`open`], and that is a
//! fact of the types: weights, noise and tensors are made from a [`Device`], and only opening gives
//! one.
//!
//! Driver and cards are asked through CUDA's runtime, which needs no libtorch ([`survey`]).
//!
//! Invariants:
//! - What keeps a card unused is a [`CudaUnavailable`], in words and with what mends it; nothing
//!   falls to the CPU without one (`tests/device.rs`, against stand-ins for the CUDA half and for
//!   CUDA's runtime).
//! - Libraries beside the program win over those of `LD_LIBRARY_PATH` (same tests).

mod card;
mod choice;
mod cuda_version;
mod library;
mod runtime;
mod unavailable;

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use parking_lot::Mutex;
use tch::kind::Element;
use tch::{Kind, Tensor};

pub use card::Card;
pub use choice::{CardName, DeviceChoice};
pub use cuda_version::CudaVersion;
pub(crate) use runtime::PinnedMemory;
pub use runtime::{Survey, has_driver, survey};
pub use unavailable::{CudaUnavailable, Installation};

use crate::shim::Switch;
use crate::{Error, Result};

/// The libtorch build this crate was compiled against, as in its `build-version` file.
pub const LIBTORCH_BUILD: &str = env!("WAN_ALPHA_LIBTORCH_BUILD");

/// A device that libtorch has been opened for: what weights, noise and tensors are made from.
///
/// There is no other way to one than [`open`] and [`Device::cpu`], so that no tensor can exist
/// before libtorch knows of CUDA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device(Inner);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Inner {
    Cpu,
    Cuda(usize),
}

impl Device {
    /// The CPU. A process that begins with it computes on the CPU for the rest of its life: a card
    /// asked for later is refused ([`CudaUnavailable::BegunOnCpu`]).
    pub fn cpu() -> Self {
        let mut state = STATE.lock();
        if matches!(*state, State::Untouched) {
            *state = State::Cpu;
        }
        Self(Inner::Cpu)
    }

    /// Whether it is a card.
    pub fn is_cuda(self) -> bool {
        matches!(self.0, Inner::Cuda(_))
    }

    /// The device as libtorch's binding names it.
    pub fn tch(self) -> tch::Device {
        match self.0 {
            Inner::Cpu => tch::Device::Cpu,
            Inner::Cuda(index) => tch::Device::Cuda(index),
        }
    }

    /// `values` as a tensor with one axis, **on the CPU** whatever the device.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn tensor<T: Element>(self, values: &[T]) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(values)?)
    }

    /// A tensor of `size` that is 0 throughout, **on the CPU** whatever the device.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn zeros(self, size: &[i64], kind: Kind) -> Result<Tensor> {
        Ok(Tensor::f_zeros(size, (kind, tch::Device::Cpu))?)
    }

    /// The same of 1.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn ones(self, size: &[i64], kind: Kind) -> Result<Tensor> {
        Ok(Tensor::f_ones(size, (kind, tch::Device::Cpu))?)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Inner::Cpu => f.write_str("cpu"),
            Inner::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Where CUDA's half of libtorch may lie, and what a remedy may speak of.
#[derive(Clone, Debug, Default)]
pub struct Libraries {
    /// Folders; the first that holds `libtorch_cuda` counts.
    pub folders: Vec<PathBuf>,
    /// Which commands mend an installation such as this one.
    pub installation: Installation,
    /// The value of `CUDA_VISIBLE_DEVICES`, for sentences only: CUDA reads it by itself.
    pub visible: Option<String>,
}

/// What [`open`] found: a device, and why it is no card where one was hoped for.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The device that networks compute on.
    pub device: Device,
    /// The card, where it is one.
    pub card: Option<Card>,
    /// With [`DeviceChoice::Auto`]: why the CPU computes.
    pub unused: Option<CudaUnavailable>,
}

impl Opened {
    /// For records, a word: [`Card::class`], or `cpu`.
    pub fn class(&self) -> String {
        match &self.card {
            Some(card) => card.class(),
            None => "cpu".to_owned(),
        }
    }
}

impl fmt::Display for Opened {
    /// `the CPU`, or `NVIDIA H200 (cuda:0, compute capability 9.0, 150.1 GB)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.card {
            Some(card) => write!(f, "{card}"),
            None => f.write_str("the CPU"),
        }
    }
}

/// What this process has made of libtorch; it can be changed once.
enum State {
    Untouched,
    /// A tensor may exist, and CUDA's half is not there: it can no longer be used.
    Cpu,
    /// CUDA's half is open.
    Cuda,
}

static STATE: Mutex<State> = Mutex::new(State::Untouched);

/// Opens the device meant, the one way for every program of ours. This may take many seconds: the
/// CUDA half is 3 GB of libraries, and each card that is a candidate is asked for its free memory.
///
/// # Errors
/// A card was asked for by name and cannot be used: [`CudaUnavailable`], told with what mends it.
pub fn open(choice: &DeviceChoice, libraries: &Libraries) -> Result<Opened> {
    let name = match choice {
        DeviceChoice::Cpu => None,
        DeviceChoice::Auto => Some(None),
        DeviceChoice::Cuda(name) => Some(Some(name)),
    };
    let Some(name) = name else {
        return Ok(Opened { device: Device::cpu(), card: None, unused: None });
    };
    match open_cuda(name, libraries) {
        Ok(card) => {
            Ok(Opened { device: Device(Inner::Cuda(card.index)), card: Some(card), unused: None })
        }
        Err(reason) if *choice == DeviceChoice::Auto => {
            Ok(Opened { device: Device::cpu(), card: None, unused: Some(reason) })
        }
        Err(reason) => Err(Error::Input(format!(
            "--device {choice}: {}",
            reason.with_remedy(&libraries.installation)
        ))),
    }
}

/// The cards that [`DeviceChoice::Auto`] may take, if CUDA's half is installed and of this build. It
/// is not opened, and the process may still compute on anything.
///
/// # Errors
/// As [`open`] would find them, but for what shows only in opening.
pub fn usable_cards(libraries: &Libraries) -> std::result::Result<Vec<Card>, CudaUnavailable> {
    let cards = survey(libraries.visible.as_deref()).cards?;
    let cards = card::candidates(&cards)?.into_iter().cloned().collect();
    library::find(&libraries.folders)?;
    Ok(cards)
}

fn open_cuda(
    name: Option<&CardName>,
    libraries: &Libraries,
) -> std::result::Result<Card, CudaUnavailable> {
    let mut state = STATE.lock();
    if matches!(*state, State::Cpu) {
        return Err(CudaUnavailable::BegunOnCpu);
    }
    let candidates = runtime::candidates(name, libraries.visible.as_deref())?;
    let library = library::find(&libraries.folders)?;
    // Only now is a card touched: a context on it costs time and memory.
    let card = candidates.take()?;
    if matches!(*state, State::Untouched) {
        let started = Instant::now();
        log::info!("opening CUDA's half of libtorch in {}", library.folder().display());
        library.open()?;
        log::info!("CUDA's half of libtorch opened in {:.1} s", started.elapsed().as_secs_f64());
        // libtorch is asked for the first time, and finds the CUDA half.
        *state = State::Cuda;
        // libtorch would multiply float32 as TF32 in convolutions: who wants that says so.
        let exact = Switch::Tf32Convolutions.set(false).and(Switch::Tf32Products.set(false));
        exact.map_err(|error| CudaUnavailable::NotOpened {
            path: library.folder().to_owned(),
            reason: error.to_string(),
        })?;
        let seen = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
        if card.index >= seen {
            *state = State::Cpu;
            return Err(CudaUnavailable::NotSeen { card: card.to_string(), seen });
        }
    }
    Ok(card)
}

/// Whether `device` has instructions for bfloat16. Where a processor has none, convolutions in it take
/// tens of times as long as in float32.
pub fn has_bfloat16(device: Device) -> bool {
    device.is_cuda() || processor_has_bfloat16()
}

/// Whether the processor has instructions for bfloat16; libtorch is not asked.
pub fn processor_has_bfloat16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("bf16")
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_processor_has_bfloat16_where_its_system_says_so() {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let said = text.split_whitespace().any(|flag| flag == "avx512_bf16" || flag == "bf16");
        assert_eq!(has_bfloat16(Device::cpu()), said);
    }

    #[test]
    fn a_process_that_began_on_the_cpu_refuses_a_card_in_words() {
        let device = Device::cpu();
        assert_eq!((device.tch(), device.to_string()), (tch::Device::Cpu, "cpu".to_owned()));
        let choice = DeviceChoice::Cuda(CardName::Index(0));
        let error = open(&choice, &Libraries::default()).unwrap_err().to_string();
        assert!(error.contains("--device cuda:0") && error.contains("already"), "{error}");
        let opened = open(&DeviceChoice::Auto, &Libraries::default()).unwrap();
        assert_eq!(opened.device, device);
        assert_eq!(opened.unused, Some(CudaUnavailable::BegunOnCpu));
    }
}
