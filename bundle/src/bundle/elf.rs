//! What a loader would read in an ELF file, read from the file itself.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use object::elf::{
    DF_1_NODELETE, DT_FLAGS_1, DT_NEEDED, DT_RPATH, DT_RUNPATH, FileHeader64, SHN_UNDEF,
    SHT_DYNSYM, STB_LOCAL, Sym64,
};
use object::read::elf::{Dyn, FileHeader, Sym};
use object::{Endianness, ReadCache};

/// One 64-bit program or library.
#[derive(Debug, Default)]
pub(crate) struct Elf {
    /// Names that others can link to, sorted.
    pub(crate) exported: Vec<String>,
    /// Libraries it asks for.
    pub(crate) needed: Vec<String>,
    pub(crate) run_path: Option<RunPath>,
    /// Stays in the process once it is loaded.
    pub(crate) stays: bool,
    /// Symbol versions it asks others for, as they are written: `GLIBC_2.28`.
    pub(crate) asks: Vec<String>,
}

/// Where it looks for libraries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RunPath {
    /// `DT_RPATH`: before the environment is asked.
    First(String),
    /// `DT_RUNPATH`: searched after the folders of `LD_LIBRARY_PATH`.
    AfterEnvironment(String),
}

/// `2.28`; compared number by number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(Vec<u32>);

impl Version {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.split('.').map(|number| number.parse().ok()).collect::<Option<_>>().map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.pad(&numbers.join("."))
    }
}

impl Elf {
    /// The highest version asked for of a family: `GLIBC`, `GLIBCXX`. Names that are no numbers,
    /// as `GLIBC_PRIVATE`, have no place in that order.
    pub(crate) fn highest(&self, family: &str) -> Option<Version> {
        let numbers =
            |name: &str| name.strip_prefix(family)?.strip_prefix('_').and_then(Version::parse);
        self.asks.iter().filter_map(|name| numbers(name)).max()
    }

    /// `None` for what is no ELF file. Files of hundreds of megabytes are read in small pieces.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let read = || {
            let mut magic = Vec::new();
            File::open(path)?.take(4).read_to_end(&mut magic)?;
            if magic == b"\x7fELF" { Self::parse(File::open(path)?).map(Some) } else { Ok(None) }
        };
        read().with_context(|| format!("{} cannot be read as an ELF file", path.display()))
    }

    fn parse(file: File) -> Result<Self> {
        let cache = ReadCache::new(file);
        let data = &cache;
        let header = FileHeader64::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, data)?;
        let mut elf = Self::default();

        if let Some((entries, strings)) = sections.dynamic(endian, data)? {
            let strings = sections.strings(endian, data, strings)?;
            for entry in entries {
                let text = || -> Result<String> {
                    Ok(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned())
                };
                match entry.tag(endian) {
                    DT_NEEDED => elf.needed.push(text()?),
                    DT_RPATH => elf.run_path = Some(RunPath::First(text()?)),
                    DT_RUNPATH => elf.run_path = Some(RunPath::AfterEnvironment(text()?)),
                    DT_FLAGS_1 => {
                        elf.stays = entry.val(endian) & DF_1_NODELETE.0 != 0;
                    }
                    _ => {}
                }
            }
        }
        let symbols = sections.symbols(endian, data, SHT_DYNSYM)?;
        let exported = |symbol: &&Sym64<Endianness>| {
            symbol.st_shndx(endian) != SHN_UNDEF && symbol.st_bind() != STB_LOCAL
        };
        for symbol in symbols.iter().filter(exported) {
            let name = symbol.name(endian, symbols.strings())?;
            elf.exported.push(String::from_utf8_lossy(name).into_owned());
        }
        elf.exported.sort();
        if let Some((needs, strings)) = sections.gnu_verneed(endian, data)? {
            let strings = sections.strings(endian, data, strings)?;
            for need in needs {
                let (_, names) = need?;
                for name in names {
                    let name = name?.name(endian, strings)?;
                    elf.asks.push(String::from_utf8_lossy(name).into_owned());
                }
            }
        }
        Ok(elf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("2.28") > version("2.9") && version("3.4.25") > version("3.4.9"));
        assert_eq!(version("2.2.5").to_string(), "2.2.5");
        assert_eq!(Version::parse("PRIVATE"), None);
        let elf = Elf {
            asks: ["GLIBC_2.9", "GLIBC_PRIVATE", "GLIBCXX_3.4.30", "GLIBC_2.17"]
                .map(str::to_owned)
                .to_vec(),
            ..Elf::default()
        };
        assert_eq!(elf.highest("GLIBC"), Some(version("2.17")));
        assert_eq!(elf.highest("GLIBCXX"), Some(version("3.4.30")));
        assert_eq!(elf.highest("CXXABI"), None);
    }

    #[test]
    fn this_very_program_is_read() {
        let elf = Elf::read(&std::env::current_exe().unwrap()).unwrap().unwrap();
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"), "{elf:?}");
        assert!(elf.highest("GLIBC") >= Version::parse("2.2.5"), "{:?}", elf.asks);
        let text = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(text.path(), "no ELF").unwrap();
        assert!(Elf::read(text.path()).unwrap().is_none());
        std::fs::write(text.path(), "\x7fELF and no more").unwrap();
        assert!(Elf::read(text.path()).is_err());
    }
}
