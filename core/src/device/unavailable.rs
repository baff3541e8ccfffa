//! Why no card computes: each cause a sentence, and what mends it.

use std::path::PathBuf;

use super::LIBTORCH_BUILD;
use super::cuda_version::{CudaVersion, LEAST_CAPABILITY};

/// How this program came to be where it is: decides which command mends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Installation {
    /// In a bundle that hosts load.
    Bundle,
    /// Built in a checkout of the repository.
    #[default]
    Checkout,
}

/// What keeps cards unused. The sentences name what was found; [`CudaUnavailable::remedy`] says what
/// to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaUnavailable {
    /// CUDA's runtime is not in the process.
    #[error("this build of libtorch ({LIBTORCH_BUILD}) comes without CUDA's runtime (libcudart)")]
    NoRuntime,
    /// There is no driver.
    #[error("no NVIDIA driver is installed")]
    NoDriver,
    /// The driver does not speak this CUDA.
    #[error(
        "the NVIDIA driver is too old: it speaks CUDA {driver}, and libtorch {LIBTORCH_BUILD} is \
         built for CUDA {runtime}"
    )]
    DriverTooOld {
        /// The newest that the driver speaks.
        driver: CudaVersion,
        /// What libtorch was built for.
        runtime: CudaVersion,
    },
    /// The driver sees no card.
    #[error("the NVIDIA driver shows no card{}", masked(visible.as_deref()))]
    NoDevice {
        /// `CUDA_VISIBLE_DEVICES`, where it is set.
        visible: Option<String>,
    },
    /// The driver is there and does not answer as it should.
    #[error("CUDA cannot {action}: {name} ({code}), {text}")]
    Driver {
        /// What was asked, as a verb.
        action: String,
        /// CUDA's name of the error.
        name: String,
        /// CUDA's number of the error.
        code: i32,
        /// What CUDA says of the error, in its own words.
        text: String,
    },
    /// Another program has the card to itself, or all of its memory.
    #[error("{card} is taken by other programs ({name})")]
    Taken {
        /// The card, with its index and memory.
        card: String,
        /// CUDA's name of the error.
        name: String,
    },
    /// No card of the name asked for, or more than one.
    #[error(
        "{} visible ({}), and {} so called{}",
        if cards.len() == 1 { "1 card is".to_owned() } else { format!("{} cards are", cards.len()) },
        cards.join(", "),
        if *matching == 0 { "none of them is".to_owned() } else { format!("{matching} of them are") },
        masked(visible.as_deref())
    )]
    NoSuchCard {
        /// Cards that the name fits.
        matching: usize,
        /// All visible cards, with their indices and memory.
        cards: Vec<String>,
        /// `CUDA_VISIBLE_DEVICES`, where it is set.
        visible: Option<String>,
    },
    /// Cards that have no attention in bfloat16.
    #[error(
        "{} {} too old: attention in bfloat16 needs compute capability {}.{}",
        cards.join(", "), if cards.len() == 1 { "is" } else { "are" },
        LEAST_CAPABILITY.0, LEAST_CAPABILITY.1
    )]
    TooOld {
        /// The cards that are too old, with their compute capability.
        cards: Vec<String>,
    },
    /// CUDA's half of libtorch is not installed.
    #[error("CUDA's half of libtorch ({name}) is not in {}", listed(folders))]
    NotInstalled {
        /// The name of its file on this system.
        name: String,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// CUDA's half is of another build: two builds in one process crash at some later time.
    #[error("{} is of libtorch {found}, and this program is built with {LIBTORCH_BUILD}", path.display())]
    OtherBuild {
        /// The library that was found.
        path: PathBuf,
        /// The build that it is of, as libtorch tells it.
        found: String,
    },
    /// A library cannot be opened.
    #[error("{} cannot be opened: {reason}", path.display())]
    NotOpened {
        /// The library that was to be opened.
        path: PathBuf,
        /// Why it cannot be, in the loader's own words.
        reason: String,
    },
    /// CUDA's half is open, and libtorch does not see the card.
    #[error("libtorch sees {seen} cards, and not {card}")]
    NotSeen {
        /// The card that was to be used.
        card: String,
        /// How many libtorch sees.
        seen: usize,
    },
    /// Something has been computed before.
    #[error("this process already computes on the CPU, and libtorch takes no card after that")]
    BegunOnCpu,
}

impl CudaUnavailable {
    /// What to do, for an installation such as this one.
    pub fn remedy(&self, installation: &Installation) -> String {
        let reinstall = match installation {
            Installation::Bundle => {
                "install a bundle made by `cargo xtask bundle --cuda` (`cargo xtask install`)"
            }
            Installation::Checkout => "run `cargo xtask setup --cuda`",
        };
        match self {
            Self::NoDriver => {
                "install NVIDIA's driver (580 or newer), or use --device cpu".to_owned()
            }
            Self::DriverTooOld { runtime, .. } => format!(
                "install NVIDIA's driver {} or newer (`nvidia-smi` shows today's), or use --device cpu",
                runtime.least_driver()
            ),
            Self::NoDevice { visible: Some(_) } => {
                "unset CUDA_VISIBLE_DEVICES or name a card of `nvidia-smi -L` in it".to_owned()
            }
            Self::NoDevice { visible: None } => {
                "see whether `nvidia-smi -L` lists a card, or use --device cpu".to_owned()
            }
            Self::Driver { .. } => {
                "see whether `nvidia-smi` works, and restart the machine where it does not"
                    .to_owned()
            }
            Self::Taken { .. } => {
                "end what computes on it (`nvidia-smi` lists it), then `wan-alpha engine stop`, and \
                 try again"
                    .to_owned()
            }
            Self::NoSuchCard { .. } => {
                "choose one of them by --device or WAN_ALPHA_DEVICE".to_owned()
            }
            Self::TooOld { .. } => {
                "use a card of the Ampere generation or newer (RTX 30, A100), or --device cpu"
                    .to_owned()
            }
            Self::NoRuntime | Self::NotInstalled { .. } => reinstall.to_owned(),
            Self::OtherBuild { .. } | Self::NotOpened { .. } => format!("{reinstall} again"),
            Self::NotSeen { .. } => format!(
                "{reinstall} again; if that does not help, report it with what `wan-alpha doctor` says"
            ),
            Self::BegunOnCpu => "start the program anew with --device".to_owned(),
        }
    }

    /// The sentence and the remedy.
    pub fn with_remedy(&self, installation: &Installation) -> String {
        format!("{self}; {}", self.remedy(installation))
    }

    /// Whether there is nothing to use: no card that waits for a driver, a library or a setting. A
    /// machine without a card need not be warned of it at each take.
    pub fn is_plain_cpu_machine(&self) -> bool {
        matches!(self, Self::NoDriver)
    }
}

fn masked(visible: Option<&str>) -> String {
    visible.map_or(String::new(), |mask| format!("; CUDA_VISIBLE_DEVICES is `{mask}`"))
}

fn listed(folders: &[PathBuf]) -> String {
    if folders.is_empty() {
        return "any folder beside the program".to_owned();
    }
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    folders.join(", ")
}
