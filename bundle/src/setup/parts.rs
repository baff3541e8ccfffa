//! What set-up lays out, and which entries of which wheel go where.
//!
//! torch-sys links CUDA as soon as `libtorch_cuda.so` lies in `$LIBTORCH/lib`; the CUDA libraries
//! therefore have a folder of their own, which the engine opens at run time. Their run path ends in
//! `$ORIGIN`, so one flat folder with every library in it is enough.

use anyhow::Result;

use super::pins::{self, Pin};

/// Raised whenever the rules below change: what older rules laid out is laid out anew.
pub(crate) const RULES: u32 = 1;

/// A folder under `.setup` that is laid out, checked and replaced as a whole.
pub(crate) struct SetupPart {
    /// Name of the folder.
    pub(crate) folder: &'static str,
    /// What it is, for messages.
    pub(crate) purpose: &'static str,
    /// Who uses it, and why it is where it is.
    pub(crate) about: &'static str,
    /// The pins, in requirements form.
    pub(crate) pins: &'static str,
    /// Where an entry of a wheel goes in the folder, if anywhere.
    pub(crate) destination: fn(&str) -> Option<String>,
    /// What is made here rather than taken from a wheel.
    pub(crate) own: Own,
}

/// Files that no wheel brings as we need them.
pub(crate) enum Own {
    /// An empty `lib/libtorch.so`: torch-sys asks the linker for it by name.
    Stub,
    /// Links to these libraries of the part of that name.
    Links { folder: &'static str, names: &'static [&'static str] },
    /// Copies of the C compiler's own `stddef.h` and its kin in `include`: no wheel has them.
    Headers,
    /// Nothing: `lib` holds the libraries of the wheels, and no others.
    OnlyLibraries,
    /// Nothing: the wheels bring programs, and `lib` holds sources that these compile.
    Nothing,
}

impl SetupPart {
    pub(crate) fn pins(&self) -> Result<Vec<Pin>> {
        pins::parse(self.pins)
    }

    /// Names pins and rules together: equal exactly where the same would be laid out.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&RULES.to_le_bytes()).update(self.pins.as_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

/// Headers and the libraries that the CPU needs; `libtorch_cpu.so` links the last two.
pub(crate) const CPU: SetupPart = SetupPart {
    folder: "libtorch",
    purpose: "libtorch for the CPU",
    about: "headers and libraries that cargo builds against",
    pins: include_str!("../../pins/cpu.txt"),
    destination: cpu_destination,
    own: Own::Stub,
};

/// The same of an earlier build, for `gpu-check --pack`: torch as machines on loan have it.
pub(crate) const CPU_OF_PACK: SetupPart = SetupPart {
    folder: "libtorch-2.11",
    purpose: "libtorch 2.11 for the CPU",
    about: "headers and libraries that the program of `gpu-check --pack` is built against",
    pins: include_str!("../../pins/gpu-check.txt"),
    destination: cpu_destination,
    own: Own::Stub,
};

/// What `libtorch_cuda.so` needs beside the libraries of [`CPU`].
pub(crate) const CUDA: SetupPart = SetupPart {
    folder: "libtorch-cuda",
    purpose: "libtorch for CUDA 13",
    about: "opened by the engine at run time; apart from libtorch, where torch-sys would link them",
    pins: include_str!("../../pins/cuda.txt"),
    destination: cuda_destination,
    own: Own::Links {
        folder: "libtorch",
        names: &[
            "libtorch_cpu.so",
            "libc10.so",
            "libgomp.so.1",
            "libcudart.so.13",
            "libcupti.so.13",
        ],
    },
};

/// What bindgen reads the headers of OpenFX with.
pub(crate) const LIBCLANG: SetupPart = SetupPart {
    folder: "libclang",
    purpose: "libclang",
    about: "read C headers with while building the plug-in; nothing that is built needs it",
    pins: include_str!("../../pins/libclang.txt"),
    destination: libclang_destination,
    own: Own::Headers,
};

/// What signs files, and checks whether signatures hold.
pub(crate) const C2PA: SetupPart = SetupPart {
    folder: "c2pa",
    purpose: "the library for C2PA signatures",
    about: "opened by the command where a file is signed or inspected; nothing is linked with it",
    pins: include_str!("../../pins/c2pa.txt"),
    destination: c2pa_destination,
    own: Own::OnlyLibraries,
};

/// What the plug-in is linked with, for hosts on systems older than this one.
pub(crate) const ZIG: SetupPart = SetupPart {
    folder: "zig",
    purpose: "zig and cargo-zigbuild",
    about: "link the plug-in against glibc 2.28, whatever this machine has; nothing built needs them",
    pins: include_str!("../../pins/zig.txt"),
    destination: zig_destination,
    own: Own::Nothing,
};

/// The file's name, by which the command looks for it.
pub(crate) const C2PA_LIBRARY: &str = "libc2pa_c.so";

/// Names version and commit of the build; laid out in every part.
pub(crate) const VERSION_FILE: &str = "version.py";

const CPU_LIBRARIES: &[&str] = &[
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
];

const CUDA_LIBRARIES_OF_TORCH: &[&str] = &[
    "libtorch_cuda.so",
    "libtorch_cuda_linalg.so",
    "libtorch_nvshmem.so",
    "libc10_cuda.so",
    "libcaffe2_nvrtc.so",
];

/// Not asked for by anything that is laid out: other front ends (nvBLAS, FFTW, several GPUs in
/// cuSOLVER), profilers, alternative builds, plug-ins for networks between machines.
const LEFT_OUT: &[&str] = &[
    "libnvblas.",
    "libcufftw.",
    "libcusolverMg.",
    "libcheckpoint.",
    "libnvperf_",
    "libpcsamplingutil.",
    "libnvrtc.alt.",
    "libnvrtc-builtins.alt.",
    "libcufile_rdma.",
    "nvshmem_",
];

fn version_destination(entry: &str) -> Option<String> {
    (entry.strip_prefix("torch/")? == VERSION_FILE).then(|| VERSION_FILE.to_owned())
}

fn cpu_destination(entry: &str) -> Option<String> {
    if let Some(header) = entry.strip_prefix("torch/include/") {
        return Some(format!("include/{header}"));
    }
    let (_, name) = entry.rsplit_once('/')?;
    let library = CPU_LIBRARIES.contains(&entry).then(|| format!("lib/{name}"));
    library.or_else(|| version_destination(entry))
}

fn cuda_destination(entry: &str) -> Option<String> {
    let (folder, name) = entry.rsplit_once('/')?;
    let wanted = if folder == "torch/lib" {
        CUDA_LIBRARIES_OF_TORCH.contains(&name)
    } else {
        folder.starts_with("nvidia/")
            && folder.ends_with("/lib")
            && name.contains(".so")
            && !LEFT_OUT.iter().any(|prefix| name.starts_with(prefix))
    };
    let library = wanted.then(|| format!("lib/{name}"));
    library.or_else(|| version_destination(entry))
}

fn libclang_destination(entry: &str) -> Option<String> {
    entry.ends_with("/clang/native/libclang.so").then(|| "lib/libclang.so".to_owned())
}

fn c2pa_destination(entry: &str) -> Option<String> {
    (entry == "c2pa/libs/libc2pa_c.so").then(|| format!("lib/{C2PA_LIBRARY}"))
}

/// Sources of other systems' libraries, documentation, and what only zig's own projects need.
const LEFT_OUT_OF_ZIG: &[&str] = &["docs/", "init/", "libtsan/", "lldb/", "build-web/"];

fn zig_destination(entry: &str) -> Option<String> {
    if entry.ends_with(".data/scripts/cargo-zigbuild") {
        return Some("cargo-zigbuild".to_owned());
    }
    let inside = entry.strip_prefix("ziglang/")?;
    if inside == "zig" {
        return Some(inside.to_owned());
    }
    let source = inside.strip_prefix("lib/")?;
    let wanted = match source.strip_prefix("libc/") {
        Some(libc) => match libc.strip_prefix("include/") {
            Some(headers) => {
                headers.split('/').next()?.contains("linux")
                    || headers.starts_with("generic-glibc/")
            }
            None => libc.starts_with("glibc/"),
        },
        None => !LEFT_OUT_OF_ZIG.iter().any(|prefix| source.starts_with(prefix)),
    };
    wanted.then(|| inside.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_of_both_parts_are_well_formed_and_agree() {
        let (cpu, cuda) = (CPU.pins().unwrap(), CUDA.pins().unwrap());
        assert_eq!((cpu.len(), cuda.len()), (3, 14));
        for pin in &cuda {
            for other in cpu.iter().filter(|other| other.name == pin.name) {
                assert_eq!(other.requirement(), pin.requirement());
                assert_eq!(other.wheel_bytes, pin.wheel_bytes);
            }
        }
        assert_ne!(CPU.fingerprint(), CUDA.fingerprint());
        let of_pack = CPU_OF_PACK.pins().unwrap();
        let torch = of_pack.iter().find(|pin| pin.name == "torch").unwrap();
        assert_eq!((of_pack.len(), torch.version.as_str()), (3, "2.11.0"));
    }

    #[test]
    fn libclang_takes_the_library_alone() {
        assert_eq!(LIBCLANG.pins().unwrap().len(), 1);
        let to = libclang_destination;
        let inside = "libclang-18.1.1.data/platlib/clang";
        assert_eq!(to(&format!("{inside}/native/libclang.so")).unwrap(), "lib/libclang.so");
        assert_eq!(to(&format!("{inside}/native/__init__.py")), None);
        assert_eq!(to(&format!("{inside}/cindex.py")), None);
    }

    #[test]
    fn c2pa_takes_the_library_alone() {
        assert_eq!(C2PA.pins().unwrap().len(), 1);
        let to = c2pa_destination;
        assert_eq!(to("c2pa/libs/libc2pa_c.so").unwrap(), "lib/libc2pa_c.so");
        for entry in ["c2pa/libs/libc2pa_c.rlib", "c2pa/libs/libc2pa_c.d", "c2pa/c2pa.py"] {
            assert_eq!(to(entry), None, "{entry}");
        }
    }

    #[test]
    fn zig_takes_the_programs_and_what_links_for_glibc() {
        assert_eq!(ZIG.pins().unwrap().len(), 2);
        let to = zig_destination;
        let scripts = "cargo_zigbuild-0.24.0.data/scripts";
        assert_eq!(to(&format!("{scripts}/cargo-zigbuild")).unwrap(), "cargo-zigbuild");
        assert_eq!(to("ziglang/zig").unwrap(), "zig");
        for entry in [
            "ziglang/lib/libc/glibc/abilists",
            "ziglang/lib/libc/include/x86-linux-gnu/bits/wordsize.h",
            "ziglang/lib/libc/include/generic-glibc/stdio.h",
            "ziglang/lib/compiler_rt.zig",
            "ziglang/lib/ubsan_rt.zig",
            "ziglang/lib/std/std.zig",
        ] {
            assert_eq!(to(entry).as_deref(), entry.strip_prefix("ziglang/"), "{entry}");
        }
        for entry in [
            "ziglang/lib/libc/include/any-windows-any/windows.h",
            "ziglang/lib/libc/mingw/crt/crtdll.c",
            "ziglang/lib/docs/main.js",
            "ziglang/__main__.py",
        ] {
            assert_eq!(to(entry), None, "{entry}");
        }
    }

    #[test]
    fn the_cpu_takes_headers_and_its_five_libraries() {
        let to = cpu_destination;
        assert_eq!(to("torch/include/c10/core/Device.h").unwrap(), "include/c10/core/Device.h");
        assert_eq!(to("torch/lib/libtorch_cpu.so").unwrap(), "lib/libtorch_cpu.so");
        assert_eq!(to("nvidia/cu13/lib/libcudart.so.13").unwrap(), "lib/libcudart.so.13");
        assert_eq!(to("torch/version.py").unwrap(), "version.py");
        // With this one in place torch-sys would link CUDA.
        assert_eq!(to("torch/lib/libtorch_cuda.so"), None);
        // The real one needs libtorch_cuda.so; ours is a stub.
        assert_eq!(to("torch/lib/libtorch.so"), None);
        assert_eq!(to("torch/nn/modules/linear.py"), None);
        assert_eq!(to("nvidia/cu13/include/cuda.h"), None);
    }

    #[test]
    fn cuda_takes_libraries_that_are_asked_for_and_no_plug_ins() {
        let to = cuda_destination;
        assert_eq!(to("torch/version.py").unwrap(), "version.py");
        assert_eq!(to("torch/lib/libtorch_cuda.so").unwrap(), "lib/libtorch_cuda.so");
        assert_eq!(to("nvidia/cudnn/lib/libcudnn_ops.so.9").unwrap(), "lib/libcudnn_ops.so.9");
        assert_eq!(to("nvidia/cu13/lib/libnvrtc.so.13").unwrap(), "lib/libnvrtc.so.13");
        for entry in [
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libtorch_python.so",
            "nvidia/cu13/lib/libnvrtc.alt.so.13",
            "nvidia/cu13/lib/libcusolverMg.so.12",
            "nvidia/nvshmem/lib/nvshmem_bootstrap_mpi.so.3",
            "nvidia/cudnn/include/cudnn.h",
            "nvidia/nvshmem/lib/libnvshmem_device.a",
        ] {
            assert_eq!(to(entry), None, "{entry}");
        }
    }
}
