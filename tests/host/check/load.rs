//! Level 1: from a file to a plug-in in use.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64, SHN_UNDEF, SHT_DYNSYM, STT_NOTYPE};
use object::read::elf::{Dyn, FileHeader, Sym};
use wan_alpha_test_host::{Binary, LoadError, Profile, Stopwatch};

use crate::check::Check;
use crate::report::Report;
use crate::subject::{Subject, is_bundle};
use crate::traces;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "load.bundle",
        about: "The folder: its name, and the binary of this system in it.",
        why: "Hosts look for NAME.ofx.bundle/Contents/SYSTEM/NAME.ofx and pass over everything else.",
        fix: "Lay the bundle out as OpenFX says; the binary has the name of the bundle.",
        patience: 20,
        work: bundle,
    },
    Check {
        id: "load.symbols",
        about: "The functions that the binary exports.",
        why: "Hosts need OfxGetNumberOfPlugins and OfxGetPlugin; everything else can collide with the host's own libraries.",
        fix: "Export the two entry points and OfxSetHost, and hide the rest with a version script or -fvisibility=hidden.",
        patience: 20,
        work: symbols,
    },
    Check {
        id: "load.libraries",
        about: "The libraries and the versions of the C library that the binary needs.",
        why: "A host brings its own C++ runtime, torch and CUDA, and studios run systems with glibc 2.28: what is not there keeps the plug-in from loading, and a second copy can crash the host.",
        fix: "Link what is large or common into the plug-in or into a process of its own, and build against glibc 2.28.",
        patience: 20,
        work: libraries,
    },
    Check {
        id: "load.entries",
        about: "How many plug-ins the binary says it has, and what it gives for numbers beyond.",
        why: "Hosts ask more than once and go by the number.",
        fix: "Give the same number each time, a plug-in for each, and null for every other number.",
        patience: 20,
        work: entries,
    },
    Check {
        id: "load.identity",
        about: "Identifier and version.",
        why: "Projects name the plug-in by its identifier; some hosts compare it in lower case, and two of one name hide each other.",
        fix: "Choose an ASCII name like com.company.effect in lower case without spaces, and never change it.",
        patience: 20,
        work: identity,
    },
    Check {
        id: "load.accepted",
        about: "Whether the plug-in loads and describes itself in a host that has everything.",
        why: "What does not load there loads nowhere; Resolve remembers the failure and never tries again.",
        fix: "Answer OfxActionLoad, OfxActionDescribe and OfxImageEffectActionDescribeInContext with OK.",
        patience: 20,
        work: accepted,
    },
    Check {
        id: "load.repeated",
        about: "Threads, processes and files after fifty times of loading and unloading.",
        why: "Hosts load a plug-in to scan it, unload it, and load it again when it is used.",
        fix: "In OfxActionUnload end threads, close files and give memory back; begin nothing before CreateInstance.",
        patience: 60,
        work: repeated,
    },
    Check {
        id: "load.quick",
        about: "How long loading and describing take.",
        why: "Hosts do it for every plug-in while they start.",
        fix: "Put off files, devices and services until an instance needs them.",
        patience: 60,
        work: quick,
    },
];

/// The C library that hosts of the last years can count on.
const FLOORS: &[(&str, [u32; 3])] = &[("GLIBC_", [2, 28, 0]), ("GLIBCXX_", [3, 4, 25])];

/// Parts of the names of libraries that do not belong into a host's process.
const FOREIGN: &[&str] =
    &["torch", "libc10", "cuda", "cudnn", "nvrtc", "OpenCL", "libc++", "python"];

fn bundle(subject: &Subject, report: &mut Report) {
    if !subject.file.is_dir() {
        return report.skip("it is a binary on its own");
    }
    if !is_bundle(&subject.file) {
        report.fault(format!("{} does not end in .ofx.bundle", subject.file.display()));
    }
    let binary = subject.binary();
    if !binary.is_file() {
        report.fault(format!("{} is not there", binary.display()));
    }
}

/// Reads the binary where it is one that this check understands.
fn with_elf(
    subject: &Subject,
    report: &mut Report,
    work: impl FnOnce(&[u8], &FileHeader64<Endianness>, &mut Report) -> object::Result<()>,
) {
    let data = match fs::read(subject.binary()) {
        Ok(data) => data,
        Err(error) => return report.fault(format!("{}: {error}", subject.binary().display())),
    };
    if !data.starts_with(b"\x7fELF") {
        return report.skip("it is no ELF file");
    }
    let read = FileHeader64::<Endianness>::parse(data.as_slice())
        .and_then(|header| work(&data, header, report));
    if let Err(error) = read {
        report.fault(format!("{} is damaged: {error}", subject.binary().display()));
    }
}

fn symbols(subject: &Subject, report: &mut Report) {
    with_elf(subject, report, |data, header, report| {
        let endian = header.endian()?;
        let symbols = header.sections(endian, data)?.symbols(endian, data, SHT_DYNSYM)?;
        let mut exported = BTreeSet::new();
        for symbol in symbols.iter() {
            if symbol.st_type() != STT_NOTYPE && symbol.st_shndx(endian) != SHN_UNDEF {
                let name = symbol.name(endian, symbols.strings())?;
                exported.insert(String::from_utf8_lossy(name).into_owned());
            }
        }
        for name in ["OfxGetNumberOfPlugins", "OfxGetPlugin"] {
            if !exported.remove(name) {
                report.fault(format!("{name} is not exported"));
            }
        }
        exported.remove("OfxSetHost");
        if let Some(first) = exported.first() {
            let count = exported.len();
            report.advice(format!("{count} other symbols are exported, {first} among them"));
        }
        Ok(())
    });
}

fn libraries(subject: &Subject, report: &mut Report) {
    with_elf(subject, report, |data, header, report| {
        let endian = header.endian()?;
        let sections = header.sections(endian, data)?;
        if let Some((entries, strings)) = sections.dynamic(endian, data)? {
            let strings = sections.strings(endian, data, strings)?;
            for entry in entries.iter().filter(|entry| entry.tag(endian) == DT_NEEDED) {
                let name = String::from_utf8_lossy(entry.string(endian, strings)?).into_owned();
                if FOREIGN.iter().any(|part| name.contains(part)) {
                    report.advice(format!("it needs {name}"));
                }
            }
        }
        let mut highest = [[0; 3]; FLOORS.len()];
        if let Some((mut needs, strings)) = sections.gnu_verneed(endian, data)? {
            let strings = sections.strings(endian, data, strings)?;
            while let Some((_, mut versions)) = needs.next()? {
                while let Some(version) = versions.next()? {
                    let name = String::from_utf8_lossy(version.name(endian, strings)?).into_owned();
                    for ((prefix, _), highest) in FLOORS.iter().zip(&mut highest) {
                        if let Some(found) = name.strip_prefix(prefix).and_then(version_of) {
                            *highest = found.max(*highest);
                        }
                    }
                }
            }
        }
        for ((prefix, floor), found) in FLOORS.iter().zip(highest) {
            let [a, b, c] = found;
            if found > *floor {
                report.advice(format!("it needs {prefix}{a}.{b}.{c}"));
            } else if found != [0; 3] {
                report.note(format!("it needs {prefix}{a}.{b}.{c}"));
            }
        }
        Ok(())
    });
}

/// The numbers of a version such as `2.28` or `3.4.25`.
fn version_of(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?])
}

/// The binary, opened; a fault where it cannot be.
fn open(subject: &Subject, report: &mut Report) -> Option<(wan_alpha_test_host::Host, Binary)> {
    let host = Subject::host(Profile::plain());
    match host.open(&subject.file) {
        Ok(binary) => Some((host, binary)),
        Err(error) => {
            report.fault(error.to_string());
            None
        }
    }
}

fn entries(subject: &Subject, report: &mut Report) {
    let Some((_host, binary)) = open(subject, report) else { return };
    let count = binary.count();
    report.note(format!("{count} plug-ins"));
    if count < 0 || binary.count() != count {
        let again = binary.count();
        report.fault(format!("OfxGetNumberOfPlugins says {count}, then {again}"));
    }
    for nth in 0..count {
        if !binary.has(nth) {
            report.fault(format!("OfxGetPlugin gives null for number {nth} of {count}"));
        } else if binary.details(nth) != binary.details(nth) {
            report.fault(format!("OfxGetPlugin gives another plug-in each time for number {nth}"));
        }
    }
    for nth in [count, count + 1, -1, i32::MAX] {
        if binary.has(nth) {
            report.fault(format!("OfxGetPlugin gives a plug-in for number {nth} of {count}"));
        }
    }
}

fn identity(subject: &Subject, report: &mut Report) {
    let Some((_host, binary)) = open(subject, report) else { return };
    let Some(details) = binary.details(subject.nth) else {
        return report.fault(format!("there is no plug-in of number {}", subject.nth));
    };
    let name = &details.identifier;
    if details.api != "OfxImageEffectPluginAPI" || details.api_version != 1 {
        let (api, version) = (&details.api, details.api_version);
        report.fault(format!("it is for {api} {version}, not for OfxImageEffectPluginAPI 1"));
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        report.fault(format!("the identifier {name:?} is not printable ASCII without spaces"));
    } else {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            report.advice(format!("the identifier {name} has capitals"));
        }
        if name.split('.').filter(|part| !part.is_empty()).count() < 3 {
            report.advice(format!("the identifier {name} is not like com.company.effect"));
        }
    }
    for other in (0..binary.count()).filter(|other| *other != subject.nth) {
        if binary.details(other).is_some_and(|other| {
            other.identifier.eq_ignore_ascii_case(name) && other.version == details.version
        }) {
            report.fault(format!("the plug-in of number {other} is called {name} too"));
        }
    }
}

fn accepted(subject: &Subject, report: &mut Report) {
    let host = Subject::host(Profile::plain());
    match host.open(&subject.file).and_then(|binary| binary.plugin(subject.nth)) {
        Ok(plugin) => drop(plugin),
        Err(LoadError::NoContext { offered }) => {
            report.advice(format!("it offers {offered:?}, none of which an effect on a clip has"));
        }
        Err(error) => report.fault(error.to_string()),
    }
    report.rules(&host);
}

fn repeated(subject: &Subject, report: &mut Report) {
    let Some((host, binary)) = open(subject, report) else { return };
    let load = |report: &mut Report| {
        let loaded = binary.plugin(subject.nth);
        if let Err(error) = &loaded {
            report.skip(format!("it does not load: {error}"));
        }
        loaded.is_ok()
    };
    // What is opened once and kept is no leak.
    if !load(report) || !load(report) {
        return;
    }
    let Some(before) = traces::now() else {
        return report.skip("this system does not say what a process holds");
    };
    for round in 1..=50 {
        if !load(report) {
            return report.fault(format!("it does not load any more, the {round}th time"));
        }
    }
    // Threads that were told to end may take a moment.
    let mut more = Vec::new();
    for _ in 0..400 {
        more = traces::now().map(|now| now.more_than(&before)).unwrap_or_default();
        if more.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    if !more.is_empty() {
        report.fault(format!("after 50 times there are {}", more.join(", ")));
    }
    report.rules(&host);
}

fn quick(subject: &Subject, report: &mut Report) {
    let before = traces::libraries();
    let mut best = Duration::MAX;
    for _ in 0..12 {
        let host = Subject::host(Profile::plain());
        let stopwatch = Stopwatch::start();
        let loaded = host.open(&subject.file).and_then(|binary| binary.plugin(subject.nth));
        best = best.min(stopwatch.taken());
        if let Err(error) = loaded {
            return report.skip(format!("it does not load: {error}"));
        }
        drop(loaded);
    }
    report.note(format!("{:.1} ms", best.as_secs_f64() * 1e3));
    if best > Duration::from_millis(500) {
        report.fault(format!("it takes {best:?}, the best of 12 times"));
    } else if best > Duration::from_millis(50) {
        report.advice(format!("it takes {best:?}, the best of 12 times"));
    }
    for library in traces::libraries().iter().filter(|library| !before.contains(library)) {
        let name = library.rsplit('/').next().unwrap_or(library);
        if ["libcuda", "libtorch", "libOpenCL", "libGL."].iter().any(|part| name.contains(part)) {
            report.advice(format!("describing itself, it opens {name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version_of("2.28"), Some([2, 28, 0]));
        assert_eq!(version_of("3.4.25"), Some([3, 4, 25]));
        assert!(version_of("2.4").unwrap() < version_of("2.28").unwrap());
        assert_eq!(version_of("PRIVATE"), None);
    }
}
