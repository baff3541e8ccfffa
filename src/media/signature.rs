//! C2PA signatures: who delivers a file signs what it says of its origin, so that a change is seen.
//!
//! A signature is the last thing that comes to a file, before it gets its name: of PNG, QuickTime and WebP it
//! lies in the file, of EXR, WebM and Matroska, which C2PA does not embed in, in a file `.c2pa` beside it. Key
//! and certificates are read once, and tried on a few bytes before anything is made. `library` is the makers'
//! own, opened at run time; `credentials` looks at key and certificates, `claim` is what is signed, and
//! `report` what a signature says to a reader.

mod claim;
mod credentials;
mod der;
mod library;
mod report;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tempfile::NamedTempFile;

use super::atomic_file::{explain_write, folder_of, unfinished_file, write_whole};
use super::provenance::Provenance;
use library::{C2paLibrary, SignOrder, SignerTexts};
pub(crate) use report::{SignatureReader, SignatureReport, TRUSTED, VALID};

/// The ending of files that hold a signature beside what is signed.
pub(crate) const SIDECAR: &str = "c2pa";

/// Files that hold their own signature, by their endings, and the types that the library knows them by.
const EMBEDDING: [(&str, &str); 5] = [
    ("png", "image/png"),
    ("apng", "image/png"),
    ("webp", "image/webp"),
    ("mov", "video/quicktime"),
    ("mp4", "video/mp4"),
];

/// The type that is said of a file with another ending.
const OTHER: &str = "application/octet-stream";

/// Authorities for times that have answered this process: not every row of a batch asks them again.
static REACHED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What signs and checks here, in words.
///
/// # Errors
/// None of these files is there or can be opened, in words with what to do.
pub(crate) fn library_in_words(libraries: &[PathBuf]) -> Result<String> {
    let library = C2paLibrary::open(libraries)?;
    Ok(format!("{} in {}", library.version(), library.path().display()))
}

/// Whether a file of this ending has its signature beside it.
pub(crate) fn is_beside(extension: &str) -> bool {
    !EMBEDDING.iter().any(|(one, _)| extension.eq_ignore_ascii_case(one))
}

/// Where the signature of a file is that does not hold it.
pub(crate) fn sidecar_of(path: &Path) -> PathBuf {
    path.with_extension(SIDECAR)
}

/// What a person signs with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SigningFiles<'a> {
    /// Certificates as PEM, the signer's own first, then who issued it.
    pub(crate) chain: &'a Path,
    /// The key of the first certificate as PEM, in PKCS#8.
    pub(crate) key: &'a Path,
    /// The address of who says when it was signed, asked over the network for each file; none: nobody is.
    pub(crate) time_authority: Option<&'a str>,
}

/// Signs files as they are written.
pub(crate) struct FileSigner {
    library: C2paLibrary,
    texts: SignerTexts,
}

impl fmt::Debug for FileSigner {
    /// The key is not shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileSigner").field("algorithm", &self.texts.algorithm).finish()
    }
}

/// A file's bytes, and its signature where that lies beside it.
pub(crate) struct SealedBytes {
    pub(crate) bytes: Vec<u8>,
    sidecar: Option<Vec<u8>>,
}

impl SealedBytes {
    /// Bytes that nobody signs.
    pub(crate) fn unsigned(bytes: Vec<u8>) -> Self {
        Self { bytes, sidecar: None }
    }

    /// Writes them, each whole or not at all; the signature first, so that no file is there without it.
    ///
    /// # Errors
    /// One cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(sidecar) = &self.sidecar {
            write_whole(&sidecar_of(path), sidecar)?;
        }
        Ok(write_whole(path, &self.bytes)?)
    }
}

impl FileSigner {
    /// Opens the first of `libraries`, reads key and certificates, and signs a few bytes, which nobody sees.
    ///
    /// # Errors
    /// In words: the library is not there, a file cannot be used, key and certificate do not belong together,
    /// or the library refuses them.
    pub(crate) fn open(files: SigningFiles<'_>, libraries: &[PathBuf]) -> Result<Self> {
        let texts = credentials::read(files.chain, files.key, files.time_authority)?;
        let signer = Self { library: C2paLibrary::open(libraries)?, texts };
        signer.try_out(None).with_context(|| {
            format!(
                "nothing can be signed with --sign {} and --key {}: expected a certificate that is valid \
                 today and for signing (digitalSignature, emailProtection, CA:FALSE), and its own key. The \
                 library for C2PA ({}) says",
                files.chain.display(),
                files.key.display(),
                signer.library.version()
            )
        })?;
        if let Some(authority) = &signer.texts.time_authority
            && !REACHED.lock().contains(authority)
        {
            signer.try_out(Some(authority.clone())).with_context(|| {
                format!(
                    "--tsa {authority} says no time: expected the address of an authority (RFC 3161) that \
                     can be reached. The library for C2PA ({}) says",
                    signer.library.version()
                )
            })?;
            REACHED.lock().insert(authority.clone());
        }
        log::info!("signing by {}, {}", signer.library.path().display(), signer.library.version());
        Ok(signer)
    }

    /// Signs a few bytes, with the time by this authority where there is one.
    fn try_out(&self, time_authority: Option<String>) -> Result<()> {
        let SignerTexts { algorithm, chain, key, .. } = &self.texts;
        let (chain, key) = (chain.clone(), key.clone());
        let alone = SignerTexts { algorithm, chain, key, time_authority };
        let claim = claim::of("trial", OTHER, &Provenance::none());
        let order = SignOrder { signer: &alone, claim: &claim, mime: OTHER, embeds: false };
        self.library.sign(
            &order,
            &mut Cursor::new(b"trial".to_vec()),
            &mut Cursor::new(Vec::new()),
        )?;
        Ok(())
    }

    /// Signs bytes that will be the file `path`.
    ///
    /// # Errors
    /// The library's own words.
    pub(crate) fn seal(
        &self,
        bytes: Vec<u8>,
        path: &Path,
        provenance: &Provenance,
    ) -> Result<SealedBytes> {
        let mut source = Cursor::new(bytes);
        let mut to = Cursor::new(Vec::new());
        let sidecar = self.sign(&mut source, &mut to, path, provenance)?;
        let bytes = if sidecar.is_some() { source.into_inner() } else { to.into_inner() };
        Ok(SealedBytes { bytes, sidecar })
    }

    /// Signs an unfinished file that will be `path`: the file that takes its place, or the signature that is
    /// to lie beside it.
    ///
    /// # Errors
    /// The library's own words, or the disk is full.
    pub(crate) fn seal_file(
        &self,
        unfinished: NamedTempFile,
        path: &Path,
        provenance: &Provenance,
    ) -> Result<(NamedTempFile, Option<Vec<u8>>)> {
        let mut source = File::open(unfinished.path())?;
        let signed =
            unfinished_file(folder_of(path)).map_err(|error| explain_write(path, &error))?;
        let mut to = File::options().read(true).write(true).open(signed.path())?;
        let sidecar = self.sign(&mut source, &mut to, path, provenance)?;
        Ok((if sidecar.is_some() { unfinished } else { signed }, sidecar))
    }

    /// The signature, where it is not in what `to` got.
    fn sign(
        &self,
        source: &mut dyn library::ByteStream,
        to: &mut dyn library::ByteStream,
        path: &Path,
        provenance: &Provenance,
    ) -> Result<Option<Vec<u8>>> {
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let known = EMBEDDING.iter().find(|(one, _)| extension.eq_ignore_ascii_case(one));
        let mime = known.map_or(OTHER, |(_, mime)| mime);
        let title = path.file_name().unwrap_or_default().to_string_lossy();
        let claim = claim::of(&title, mime, provenance);
        let order = SignOrder { signer: &self.texts, claim: &claim, mime, embeds: known.is_some() };
        let manifest = self.library.sign(&order, source, to).with_context(|| {
            let asked = self.texts.time_authority.as_deref();
            let time = asked.map(|asked| format!(" (the time is asked of {asked})"));
            format!(
                "{} cannot be signed{}, and is not written; the library for C2PA says",
                path.display(),
                time.unwrap_or_default()
            )
        })?;
        Ok(known.is_none().then_some(manifest))
    }
}

/// Bytes that will be the file `path`, signed where somebody signs.
///
/// # Errors
/// As [`FileSigner::seal`].
pub(crate) fn sealed(
    bytes: Vec<u8>,
    path: &Path,
    signer: Option<&FileSigner>,
    provenance: &Provenance,
) -> Result<SealedBytes> {
    match signer {
        Some(signer) => signer.seal(bytes, path, provenance),
        None => Ok(SealedBytes::unsigned(bytes)),
    }
}

#[cfg(test)]
mod tests;
