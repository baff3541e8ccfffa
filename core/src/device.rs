//! Choosing a device, and bringing CUDA into a program that was not linked with it.
//!
//! The program links libtorch's CPU library only. CUDA is a second library of the same build,
//! opened at run time before anything asks libtorch for a device.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tch::{Cuda, Device};

use crate::{Error, Result};

/// The libtorch build this crate was compiled against, as in its `build-version` file.
pub const LIBTORCH_BUILD: &str = env!("WAN_ALPHA_LIBTORCH_BUILD");

/// A device as the user names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device, or the CPU where there is none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by index.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("expected auto, cpu or cuda:N, found `{text}`")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// The device meant. CUDA's libraries are looked for in `folders`, the first that has
    /// `libtorch_cuda` counts.
    ///
    /// # Errors
    /// CUDA was asked for by name and is not there, or is of another build; the sentence says
    /// what was found.
    pub fn open(self, folders: &[PathBuf]) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => match load_cuda(folders) {
                Ok(()) if Cuda::device_count() > 0 => Ok(Device::Cuda(0)),
                Ok(()) => Ok(Device::Cpu),
                Err(error) => {
                    log::info!("computing on the CPU: {error}");
                    Ok(Device::Cpu)
                }
            },
            Self::Cuda(index) => {
                load_cuda(folders)?;
                let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
                if index < count {
                    Ok(Device::Cuda(index))
                } else {
                    Err(Error::Input(format!(
                        "--device {self}: {count} CUDA devices are visible; check the driver \
                         (nvidia-smi) and CUDA_VISIBLE_DEVICES, or use --device cpu"
                    )))
                }
            }
        }
    }
}

/// Whether `device` has instructions for bfloat16. Where a processor has none, convolutions in it take
/// tens of times as long as in float32.
pub fn has_bfloat16(device: Device) -> bool {
    if device != Device::Cpu {
        return true;
    }
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

/// Opens libtorch's CUDA library, which registers itself with the CPU library already loaded.
fn load_cuda(folders: &[PathBuf]) -> Result<()> {
    if Cuda::device_count() > 0 {
        return Ok(());
    }
    let name = libloading::library_filename("torch_cuda");
    let library = folders.iter().map(|folder| folder.join(&name)).find(|path| path.is_file());
    let library = library.ok_or_else(|| {
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Error::Input(format!(
            "CUDA's part of libtorch ({}) is not in {}; `cargo xtask setup --cuda` fetches it",
            name.display(),
            folders.join(", ")
        ))
    })?;
    check_build(&library)?;
    open_globally(&library)
}

/// Two builds of libtorch in one process crash at some later time: refuse at once.
fn check_build(library: &Path) -> Result<()> {
    // In a bundle it lies beside the libraries; set-up puts it into the folder above them, as
    // libtorch's own archives do.
    let library = &library.canonicalize().map_err(Error::io("find", library))?;
    let beside = library.with_file_name("build-version");
    let above = library.ancestors().nth(2).map(|folder| folder.join("build-version"));
    let file = above.filter(|_| !beside.is_file()).unwrap_or(beside);
    let found = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
    let found = found.lines().next().unwrap_or_default().trim();
    if found == LIBTORCH_BUILD {
        return Ok(());
    }
    Err(Error::file(
        library,
        format!(
            "is of libtorch {found}, this program is built with {LIBTORCH_BUILD}; run `cargo xtask setup --cuda` again"
        ),
    ))
}

#[cfg(unix)]
#[allow(unsafe_code)]
fn open_globally(path: &Path) -> Result<()> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: opening the library runs its initialisers. It is libtorch's own CUDA half, of the
    // very build this program runs (checked by the caller), made to be loaded into it.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|error| Error::file(path, format!("cannot be loaded: {error}")))?;
    // libtorch keeps pointers into it for as long as the process lives.
    std::mem::forget(library);
    Ok(())
}

#[cfg(not(unix))]
#[allow(unsafe_code)]
fn open_globally(path: &Path) -> Result<()> {
    // SAFETY: as on Unix.
    let library = unsafe { libloading::Library::new(path) }
        .map_err(|error| Error::file(path, format!("cannot be loaded: {error}")))?;
    std::mem::forget(library);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        for text in ["auto", "cpu", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:x"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn another_build_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join(libloading::library_filename("torch_cuda"));
        std::fs::write(&library, b"").unwrap();
        std::fs::write(folder.path().join("build-version"), "1.0.0+cu90\n").unwrap();
        let error = load_cuda(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("1.0.0+cu90") && error.contains(LIBTORCH_BUILD), "{error}");
    }

    #[test]
    fn the_build_is_named_beside_the_libraries_or_above_them() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path().join("lib");
        let library = lib.join("libtorch_cuda.so");
        std::fs::create_dir(&lib).unwrap();
        std::fs::write(&library, b"").unwrap();
        assert!(check_build(&library).unwrap_err().to_string().contains("build-version"));
        std::fs::write(folder.path().join("build-version"), LIBTORCH_BUILD).unwrap();
        check_build(&library).unwrap();
        std::fs::write(lib.join("build-version"), "1.0.0\n").unwrap();
        assert!(check_build(&library).unwrap_err().to_string().contains("1.0.0"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_processor_has_bfloat16_where_its_system_says_so() {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let said = text.split_whitespace().any(|flag| flag == "avx512_bf16" || flag == "bf16");
        assert_eq!(has_bfloat16(Device::Cpu), said);
    }

    #[test]
    fn a_missing_library_says_where_it_was_looked_for() {
        let error = DeviceChoice::Cuda(0).open(&["nowhere".into()]).unwrap_err().to_string();
        assert!(error.contains("nowhere") && error.contains("setup --cuda"), "{error}");
    }
}
