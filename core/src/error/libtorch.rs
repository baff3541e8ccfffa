//! What libtorch means by what it says: it has one kind of error and many spellings.

use std::fmt;

/// What a text of libtorch tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Memory ran out: where, and by how much.
    Memory(Shortage),
    /// The GPU's context is dead: each further call fails as this one did.
    Device,
    /// Anything else: the call has failed, and another one may not.
    Other,
}

/// Where memory ran out, and by how much, as far as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// In the machine's memory, not in a GPU's.
    pub host: bool,
    /// Bytes that were asked for.
    pub needed: Option<u64>,
    /// Bytes that were free.
    pub free: Option<u64>,
    /// Bytes that there are.
    pub total: Option<u64>,
    /// What libtorch said, the sentence that matters.
    pub detail: String,
}

/// Spellings of "out of memory" by the GPU's side, in lower case.
const GPU_MEMORY: [&str; 12] = [
    "cuda out of memory",
    "cuda error: out of memory",
    "cuda driver error: out of memory",
    "cudaerrormemoryallocation",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "device_allocation_failed",
    // cuDNN says nothing more where no way to compute a convolution fits into what is free.
    "unable to find an engine to execute",
    "unable to find a valid cudnn algorithm",
    "nccl_out_of_memory",
    "cusolver_status_alloc_failed",
    "cufft_alloc_failed",
];

/// The same by the machine's.
const HOST_MEMORY: [&str; 5] = [
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "host_allocation_failed",
];

/// How failures of a GPU begin, in lower case; those of memory are known by then.
const DEVICE: [&str; 7] = [
    "cuda error",
    "cuda driver error",
    "cudnn error",
    "cudnn_status_",
    "cublas_status_",
    "cublaslt error",
    "device-side assert",
];

/// Failures that begin like these and leave the GPU as it was: it is another one than the program is
/// made for, or was asked for what it does not do.
const UNFIT: [&str; 13] = [
    "_status_not_supported",
    "_status_bad_param",
    "_status_invalid_value",
    "_status_arch_mismatch",
    "invalid argument",
    "invalid configuration argument",
    "operation not supported",
    "invalid resource handle",
    "no kernel image is available",
    "device kernel image is invalid",
    "driver version is insufficient",
    "no cuda-capable device",
    "invalid device ordinal",
];

/// The meaning of the first line of an error.
pub(super) fn understand(text: &str) -> Failure {
    let lower = text.to_lowercase();
    let has = |spellings: &[&str]| spellings.iter().any(|spelling| lower.contains(spelling));
    let gpu = has(&GPU_MEMORY);
    if gpu || has(&HOST_MEMORY) || lower.contains("out of memory") {
        let host = !gpu && !lower.contains("cuda");
        return Failure::Memory(Shortage::told(text, &lower, host));
    }
    if has(&DEVICE) && !has(&UNFIT) { Failure::Device } else { Failure::Other }
}

impl Shortage {
    fn told(text: &str, lower: &str, host: bool) -> Self {
        let behind = |words: &str| {
            let (_, rest) = lower.split_once(words)?;
            size(rest)
        };
        // "… of which 10.56 GiB is free": the size stands before the words.
        let free = lower.split_once(" is free").and_then(|(before, _)| {
            size(before.rsplit_once("of which ").map_or(before, |(_, free)| free))
        });
        Self {
            host,
            needed: behind("tried to allocate "),
            free,
            total: behind("total capacity of "),
            detail: sentence(text),
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.host { "the machine's memory" } else { "the GPU's memory" };
        match (self.needed, self.free, self.total) {
            (Some(needed), Some(free), Some(total)) => write!(
                f,
                "{} more are needed, and of {place} {} of {} are free",
                Bytes(needed),
                Bytes(free),
                Bytes(total)
            ),
            (Some(needed), Some(free), None) => {
                write!(
                    f,
                    "{} more are needed, and of {place} {} are free",
                    Bytes(needed),
                    Bytes(free)
                )
            }
            (Some(needed), ..) => write!(f, "{} more are needed of {place}", Bytes(needed)),
            (None, Some(free), Some(total)) => write!(
                f,
                "{place} gives no more, {} of {} are free ({})",
                Bytes(free),
                Bytes(total),
                self.detail
            ),
            _ => write!(f, "{place} gives no more ({})", self.detail),
        }
    }
}

/// Of a line of libtorch the sentences that say what has happened. The first one always does; advice
/// to programmers, or a list of all that would have been possible, comes later.
pub(super) fn sentence(line: &str) -> String {
    /// Characters; more than that nobody reads in a status.
    const ENOUGH: usize = 240;
    // `[enforce fail at alloc_cpu.cpp:124] err == 0. ` names a place in its source.
    let check = line.strip_prefix("[enforce fail at ").and_then(|rest| rest.split_once(". "));
    let line = check.map_or(line, |(_, told)| told).trim();
    if line.chars().count() <= ENOUGH {
        return line.to_owned();
    }
    let mut ends = line.match_indices(". ").map(|(end, _)| end + 1);
    let fits = |end: &usize| line[..*end].chars().count() <= ENOUGH;
    match ends.next().filter(fits) {
        Some(end) => line[..end].to_owned(),
        None => line.chars().take(ENOUGH).chain(['\u{2026}']).collect(),
    }
}

/// A message to people in which libtorch may have been quoted word for word: without its stack traces,
/// and of its texts the sentence that matters. Any other message stays as it is.
pub fn plain_words(text: &str) -> String {
    /// How libtorch's binding begins what libtorch says.
    const SAYS: &str = "Internal torch error: ";
    const TRACES: [&str; 2] = ["\nException raised from ", "\nframe #"];
    let end = TRACES.iter().filter_map(|mark| text.find(mark)).min();
    let shown = text[..end.unwrap_or(text.len())].trim_end();
    match shown.split_once(SAYS) {
        Some((before, said)) => {
            let line = said.lines().next().unwrap_or_default();
            format!("{before}libtorch failed: {}", sentence(line))
        }
        None => shown.to_owned(),
    }
}

/// Bytes as people read them.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 as f64 {
            bytes if bytes >= 1e8 => write!(f, "{:.1} GB", bytes / 1e9),
            bytes if bytes >= 1e5 => write!(f, "{:.1} MB", bytes / 1e6),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

/// The size at the start of a text: "80.00 GiB", "8 bytes".
fn size(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let unit = text[end..].trim_start();
    let scale = [("gib", 30), ("mib", 20), ("kib", 10), ("tib", 40), ("byte", 0)];
    let (_, power) = scale.into_iter().find(|(name, _)| unit.starts_with(name))?;
    Some((number * f64::from(power).exp2()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: f64 = (1_u64 << 30) as f64;

    fn gib(number: f64) -> Option<u64> {
        Some((number * GIB) as u64)
    }

    #[test]
    fn memory_that_ran_out_is_known_in_every_spelling() {
        for (text, host, sizes) in [
            (
                "CUDA out of memory. Tried to allocate 80.00 GiB. GPU 0 has a total capacity of \
                 79.11 GiB of which 10.56 GiB is free. Including non-PyTorch memory, this process \
                 has 68.54 GiB memory in use. Of the allocated memory 67.50 GiB is allocated by \
                 PyTorch, and 400.00 MiB is reserved by PyTorch but unallocated.",
                false,
                [gib(80.0), gib(10.56), gib(79.11)],
            ),
            (
                "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 1 has a total capacity of \
                 23.52 GiB of which 12.31 MiB is free. Process 4711 has 23.49 GiB memory in use.",
                false,
                [gib(20.0 / 1024.0), gib(12.31 / 1024.0), gib(23.52)],
            ),
            ("CUDA error: out of memory", false, [None; 3]),
            ("CUDA driver error: out of memory", false, [None; 3]),
            ("CUDA error (2): cudaErrorMemoryAllocation", false, [None; 3]),
            (
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
                false,
                [None; 3],
            ),
            ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", false, [None; 3]),
            ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", false, [None; 3]),
            ("GET was unable to find an engine to execute this computation", false, [None; 3]),
            (
                "FIND was unable to find an engine to execute this computation after trying 7 plans.",
                false,
                [None; 3],
            ),
            ("Unable to find a valid cuDNN algorithm to run convolution", false, [None; 3]),
            (
                "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate \
                 memory: you tried to allocate 8589934592 bytes. Error code 12 (Cannot allocate \
                 memory)",
                true,
                [gib(8.0), None, None],
            ),
            (
                "[enforce fail at alloc_cpu.cpp:116] data. DefaultCPUAllocator: not enough memory: \
                 you tried to allocate 512 bytes.",
                true,
                [Some(512), None, None],
            ),
            ("std::bad_alloc", true, [None; 3]),
            (
                "unable to mmap 4096 bytes from file <x>: Cannot allocate memory (12)",
                true,
                [None; 3],
            ),
        ] {
            let Failure::Memory(shortage) = understand(text) else { panic!("missed: {text}") };
            assert_eq!(shortage.host, host, "{text}");
            assert_eq!([shortage.needed, shortage.free, shortage.total], sizes, "{text}");
        }
    }

    #[test]
    fn of_a_long_text_the_sentence_that_matters_is_told() {
        let told =
            "Could not run 'aten::empty.memory_format' with arguments from the 'CUDA' backend.";
        let long = format!(
            "{told} This could be because the operator doesn't exist for this backend, or was omitted \
             during the selective/custom build process (if using custom build). \
             'aten::empty.memory_format' is only available for these backends: [CPU, Meta, MkldnnCPU]."
        );
        assert_eq!(sentence(&long), told);
        let short = "The size of tensor a (3) must match the size of tensor b (4). Dimension 0";
        assert_eq!(sentence(short), short);
        let endless = "x".repeat(1000);
        assert_eq!(sentence(&endless).chars().count(), 241);
        let check = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: no";
        assert_eq!(sentence(check), "DefaultCPUAllocator: no");

        let quoted = format!(
            "cannot write a.exr: Internal torch error: {long}\n\nCPU: registered at x.cpp:1\n\
             Exception raised from f at g.cpp:3 (most recent call first):\nframe #0: c10::Error\n"
        );
        assert_eq!(plain_words(&quoted), format!("cannot write a.exr: libtorch failed: {told}"));
        for other in ["a.toml: line 3\n  steps = 0\nexpected more", "frame #3 of a.exr is damaged"]
        {
            assert_eq!(plain_words(other), other);
        }
    }

    #[test]
    fn a_dead_gpu_is_known_in_every_spelling() {
        for text in [
            "CUDA error: an illegal memory access was encountered",
            "CUDA error: an illegal instruction was encountered",
            "CUDA error: misaligned address",
            "CUDA error: unspecified launch failure",
            "CUDA error: device-side assert triggered",
            "CUDA error: uncorrectable ECC error encountered",
            "CUDA error: uncorrectable NVLink error detected during the execution",
            "CUDA error: the launch timed out and was terminated",
            "CUDA error: hardware stack error",
            "CUDA error: unknown error",
            "CUDA driver error: device is lost",
            "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
            "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle, …)`",
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        ] {
            assert_eq!(understand(text), Failure::Device, "{text}");
        }
    }

    #[test]
    fn what_leaves_the_gpu_as_it_was_is_neither() {
        for text in [
            "CUDA error: no kernel image is available for execution on the device",
            "The size of tensor a (3) must match the size of tensor b (4) at dimension 0",
            "Expected all tensors to be on the same device, cuda:0 and cpu were found",
            "",
        ] {
            assert_eq!(understand(text), Failure::Other, "{text}");
        }
    }

    #[test]
    fn a_shortage_tells_its_numbers() {
        let Failure::Memory(shortage) = understand(
            "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 7.75 \
             GiB of which 310.00 MiB is free.",
        ) else {
            panic!("no shortage")
        };
        assert_eq!(
            shortage.to_string(),
            "1.6 GB more are needed, and of the GPU's memory 0.3 GB of 8.3 GB are free"
        );
        let Failure::Memory(mut shortage) = understand("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        else {
            panic!("no shortage")
        };
        let text = shortage.to_string();
        assert!(text.starts_with("the GPU's memory gives no more (cuDNN error"), "{text}");
        // As where the device was asked for what libtorch did not tell.
        shortage.free = Some(1_200_000_000);
        shortage.total = Some(24_000_000_000);
        let text = shortage.to_string();
        assert!(text.starts_with("the GPU's memory gives no more, 1.2 GB of 24.0 GB are free ("));
    }
}
