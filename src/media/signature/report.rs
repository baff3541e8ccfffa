//! What a signature says to a reader: whether it holds, and of whom it is.
#![forbid(unsafe_code)]

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::library::C2paLibrary;
use super::{OTHER, sidecar_of};

/// The most bytes of a signature that are read beside a file.
const LARGEST_SIDECAR: u64 = 64 << 20;

/// What the library says of a certificate that leads to none that is trusted.
const UNTRUSTED: &str = "signingCredential.untrusted";

/// What C2PA calls a signature that holds, of whom nobody vouches for.
pub(crate) const VALID: &str = "Valid";

/// What it calls one that holds, of somebody who is trusted.
pub(crate) const TRUSTED: &str = "Trusted";

/// Looks whether signatures hold; the library is opened for the first.
pub(crate) struct SignatureReader<'a> {
    libraries: &'a [PathBuf],
    trusted: Option<String>,
    opened: Option<C2paLibrary>,
}

/// What the library says of a signature.
#[derive(Clone, Debug)]
pub(crate) struct SignatureReport {
    /// Its report, as the library makes it.
    pub(crate) said: Value,
}

impl<'a> SignatureReader<'a> {
    /// By the first of `libraries`; certificates of signers that lead to one of those in `trusted` (PEM) are
    /// trusted.
    ///
    /// # Errors
    /// The file of certificates cannot be read.
    pub(crate) fn new(libraries: &'a [PathBuf], trusted: Option<&Path>) -> Result<Self> {
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path);
            let text =
                text.with_context(|| format!("--trust {} cannot be read", path.display()))?;
            ensure!(
                text.contains("-----BEGIN CERTIFICATE-----"),
                "--trust {} holds no certificate; expected PEM, blocks from `-----BEGIN CERTIFICATE-----` on",
                path.display()
            );
            Ok(text)
        };
        Ok(Self { libraries, trusted: trusted.map(read).transpose()?, opened: None })
    }

    /// Looks at the signature of a file, which is in it, or else lies beside it; none where there is none.
    /// `kind` is what the file is, in words.
    ///
    /// # Errors
    /// The library is not there, or cannot read the signature: its own words.
    pub(crate) fn look(
        &mut self,
        path: &Path,
        kind: &str,
        is_inside: bool,
    ) -> Result<Option<SignatureReport>> {
        let beside = sidecar_of(path);
        if !is_inside && (!beside.is_file() || beside == path) {
            return Ok(None);
        }
        let library = match &mut self.opened {
            Some(library) => library,
            none => none.insert(C2paLibrary::open(self.libraries)?),
        };
        let sidecar = (!is_inside).then(|| read_sidecar(&beside)).transpose()?;
        let mut file = File::open(path)?;
        let trusted = self.trusted.as_deref();
        let said = library.report(&mut file, mime_of(kind), sidecar.as_deref(), trusted);
        let words = || format!("the library for C2PA ({}) says", library.version());
        Ok(Some(SignatureReport { said: said.with_context(words)? }))
    }
}

fn read_sidecar(path: &Path) -> Result<Vec<u8>> {
    let read = || {
        let length = path.metadata()?.len();
        ensure!(length <= LARGEST_SIDECAR, "{length} bytes are too many for a signature");
        Ok(std::fs::read(path)?)
    };
    read().with_context(|| format!("{} cannot be read", path.display()))
}

/// The types of files that can hold a signature, by a word of what they are called here.
const KINDS: [(&str, &str); 4] =
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WebP", "image/webp"), ("MP4", "video/mp4")];

/// The type by which the library looks for a signature in such a file, or hashes it as it is.
fn mime_of(kind: &str) -> &'static str {
    KINDS.iter().find(|(word, _)| kind.contains(word)).map_or(OTHER, |(_, mime)| mime)
}

impl SignatureReport {
    /// [`VALID`], [`TRUSTED`] or `Invalid`, as C2PA has it.
    pub(crate) fn state(&self) -> &str {
        self.said["validation_state"].as_str().unwrap_or("unknown")
    }

    /// What the library tells of the signature itself.
    fn signed(&self) -> &Value {
        let active = self.said["active_manifest"].as_str().unwrap_or_default();
        &self.said["manifests"][active]["signature_info"]
    }

    /// Whose it is by its certificate: a name, and an organization.
    fn signer(&self) -> String {
        let about = self.signed();
        let names = ["common_name", "issuer"].map(|name| about[name].as_str().unwrap_or_default());
        match names.map(str::trim) {
            ["", ""] => "nobody that is named".to_owned(),
            ["", name] | [name, ""] => name.to_owned(),
            [name, of] => format!("{name} ({of})"),
        }
    }

    /// What is wrong, in the library's codes and words, but that nobody is trusted.
    fn faults(&self) -> String {
        let faults = self.said["validation_status"].as_array().into_iter().flatten();
        let faults = faults.filter(|fault| fault["code"] != UNTRUSTED).map(|fault| {
            let [code, words] =
                ["code", "explanation"].map(|name| fault[name].as_str().unwrap_or_default());
            format!("{code}, {words}")
        });
        faults.collect::<Vec<_>>().join("; ")
    }

    /// What the library says of the time that an authority has put under it: the ends of its codes, which
    /// C2PA calls `timeStamp.…`.
    fn codes_of_the_time(&self) -> Vec<&str> {
        let lists = &self.said["validation_results"]["activeManifest"];
        let lists = ["success", "informational", "failure"].map(|list| lists[list].as_array());
        let codes = lists.into_iter().flatten().flatten().filter_map(|one| one["code"].as_str());
        codes.filter_map(|code| code.strip_prefix("timeStamp.")).collect()
    }

    /// When it was signed, by the word of whom; nothing where no authority was asked.
    fn time(&self) -> String {
        let codes = self.codes_of_the_time();
        let time = self.signed()["time"].as_str().unwrap_or("an unknown time");
        if codes.is_empty() {
            String::new()
        } else if codes.contains(&"trusted") {
            format!("; signed at {time} by the word of an authority that --trust vouches for")
        } else if codes.contains(&"validated") {
            format!(
                "; signed at {time} by the word of an authority that leads to none that is trusted here \
                 (--trust)"
            )
        } else {
            format!("; the time under it does not hold ({})", codes.join(", "))
        }
    }

    /// In one line, for people.
    pub(crate) fn words(&self) -> String {
        self.words_of_the_signer() + &self.time()
    }

    fn words_of_the_signer(&self) -> String {
        let signer = self.signer();
        match self.state() {
            VALID => format!(
                "holds, by {signer}; whether that is who signed is not known: the certificate leads to none \
                 that is trusted here (--trust)"
            ),
            TRUSTED => format!("holds, by {signer}, whose certificate leads to one of --trust"),
            "Invalid" => format!("DOES NOT HOLD, of {signer}: {}", self.faults()),
            other => {
                format!("a C2PA manifest of {signer}, of which the library for C2PA says {other}")
            }
        }
    }
}
