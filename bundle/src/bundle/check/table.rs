//! The table of a bundle's ELF files.

use std::fmt;

use super::BundleReport;
use crate::setup::ByteCount;

impl fmt::Display for BundleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.files.iter().map(|(place, ..)| place.as_os_str().len()).max();
        let width = width.unwrap_or(0).max("file".len());
        writeln!(
            f,
            "  {:<width$}  {:>8}  {:>7}  {:>7}  asks for",
            "file", "size", "GLIBC", "GLIBCXX"
        )?;
        for (place, size, elf) in &self.files {
            let highest = |family| elf.highest(family).map_or("–".to_owned(), |v| v.to_string());
            writeln!(
                f,
                "  {:<width$}  {:>8}  {:>7}  {:>7}  {}",
                place.display().to_string(),
                ByteCount(*size).to_string(),
                highest("GLIBC"),
                highest("GLIBCXX"),
                elf.needed.join(" ")
            )?;
        }
        Ok(())
    }
}
