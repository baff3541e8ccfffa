//! The pinned wheels: pip requirement lines with the sizes that the plan is made from.

use std::fmt;

use anyhow::{Context, Result, ensure};

/// One wheel, by version and contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) name: String,
    pub(crate) version: String,
    /// 64 lower-case hex digits.
    pub(crate) sha256: String,
    /// Of the wheel file.
    pub(crate) wheel_bytes: ByteCount,
    /// Of what is taken out of it.
    pub(crate) laid_out_bytes: ByteCount,
}

impl Pin {
    /// The line as pip's `--require-hashes` wants it.
    pub(crate) fn requirement(&self) -> String {
        format!("{self} --hash=sha256:{}", self.sha256)
    }

    /// How the file name of the wheel begins.
    pub(crate) fn file_prefix(&self) -> String {
        format!("{}-{}-", self.name.replace('-', "_"), self.version)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=={}", self.name, self.version)
    }
}

/// Reads a file of pins: `NAME==VERSION --hash=sha256:HEX  # WHEEL_BYTES LAID_OUT_BYTES`, with
/// comment lines and empty lines between.
pub(crate) fn parse(text: &str) -> Result<Vec<Pin>> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            parse_line(line).with_context(|| format!("line {number} of the pins: {line}"))
        })
        .collect()
}

fn parse_line(line: &str) -> Result<Pin> {
    let (requirement, sizes) = line.split_once('#').context("no comment with the two sizes")?;
    let mut words = requirement.split_whitespace();
    let (name, version) = words
        .next()
        .and_then(|word| word.split_once("=="))
        .context("does not begin with NAME==VERSION")?;
    let sha256 = words
        .next()
        .and_then(|word| word.strip_prefix("--hash=sha256:"))
        .context("NAME==VERSION is not followed by --hash=sha256:…")?;
    ensure!(words.next().is_none(), "something stands between the hash and the comment");
    ensure!(
        sha256.len() == 64
            && sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        "the sha256 is not 64 lower-case hex digits"
    );
    let sizes: Vec<u64> = sizes
        .split_whitespace()
        .map(|word| word.parse().with_context(|| format!("`{word}` is not a number of bytes")))
        .collect::<Result<_>>()?;
    let [wheel_bytes, laid_out_bytes] = sizes[..] else {
        anyhow::bail!("the comment holds {} numbers instead of two", sizes.len());
    };
    Ok(Pin {
        name: name.to_owned(),
        version: version.to_owned(),
        sha256: sha256.to_owned(),
        wheel_bytes: ByteCount(wheel_bytes),
        laid_out_bytes: ByteCount(laid_out_bytes),
    })
}

/// A number of bytes, shown in the decimal units that pip and disks use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteCount(pub(crate) u64);

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..1_000 => write!(f, "{} bytes", self.0),
            1_000..1_000_000 => write!(f, "{:.0} kB", bytes / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.0} MB", bytes / 1e6),
            _ => write!(f, "{:.1} GB", bytes / 1e9),
        }
    }
}

impl std::iter::Sum for ByteCount {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        Self(terms.map(|term| term.0).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7";

    #[test]
    fn a_line_gives_name_version_hash_and_sizes() {
        let text =
            format!("# about\n\n  nvidia-nvtx==13.0.85 --hash=sha256:{HASH}  # 148047 40160\n");
        let pins = parse(&text).unwrap();
        assert_eq!(pins.len(), 1);
        assert_eq!(pins[0].to_string(), "nvidia-nvtx==13.0.85");
        assert_eq!(pins[0].requirement(), format!("nvidia-nvtx==13.0.85 --hash=sha256:{HASH}"));
        assert_eq!(pins[0].file_prefix(), "nvidia_nvtx-13.0.85-");
        assert_eq!(
            (pins[0].wheel_bytes, pins[0].laid_out_bytes),
            (ByteCount(148_047), ByteCount(40_160))
        );
    }

    #[test]
    fn a_bad_line_is_named_with_what_is_wrong() {
        let cases = [
            (format!("torch>=2.13.0 --hash=sha256:{HASH} # 1 2"), "NAME==VERSION"),
            ("torch==2.13.0 # 1 2".to_owned(), "--hash=sha256"),
            (format!("torch==2.13.0 --hash=sha256:{} # 1 2", &HASH[1..]), "64 lower-case"),
            (format!("torch==2.13.0 --hash=sha256:{} # 1 2", HASH.to_uppercase()), "64 lower-case"),
            (format!("torch==2.13.0 --hash=sha256:{HASH}"), "no comment"),
            (format!("torch==2.13.0 --hash=sha256:{HASH} # 1"), "1 numbers"),
            (format!("torch==2.13.0 --hash=sha256:{HASH} # 1 two"), "`two`"),
            (format!("torch==2.13.0 --hash=sha256:{HASH} --hash=sha256:{HASH} # 1 2"), "between"),
        ];
        for (line, expected) in cases {
            let error = format!("{:#}", parse(&format!("# one\n{line}\n")).unwrap_err());
            assert!(error.contains("line 2"), "{error}");
            assert!(error.contains(expected), "{error} should say {expected}");
        }
    }

    #[test]
    fn bytes_are_shown_in_decimal_units() {
        let shown: Vec<String> =
            [0, 999, 40_160, 526_574_961, 2_351_000_000].map(|b| ByteCount(b).to_string()).to_vec();
        assert_eq!(shown, ["0 bytes", "999 bytes", "40 kB", "527 MB", "2.4 GB"]);
    }
}
