//! Fingerprints of files used without a name, remembered by what tells one state of a file from another.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use wan_alpha_core::weights::{ModelFiles, lora_fingerprint};
use wan_alpha_core::{Result, Watch};
use wan_alpha_take::Fingerprint;
use wan_alpha_take::models::PartFile;

/// A small file in the user's cache. Losing it costs reading a model once more.
pub(crate) struct Fingerprints {
    path: Option<PathBuf>,
}

impl Fingerprints {
    pub(crate) fn in_folder(folder: Option<&Path>) -> Self {
        Self { path: folder.map(|folder| folder.join("fingerprints.json")) }
    }

    /// The fingerprint of a model's files, read where it is not remembered.
    pub(crate) fn of(&self, files: &ModelFiles, watch: &dyn Watch) -> Result<Fingerprint> {
        let states =
            files.paths().iter().map(|path| Self::state(path)).collect::<Result<Vec<_>>>()?;
        self.remembered(&states.join("\n"), || files.fingerprint(watch))
    }

    /// What tells one state of a file from another without reading it: its path, size and time, and where the
    /// system tells, its number and when anything of it was last changed, which no program sets.
    pub(crate) fn state(path: &Path) -> Result<String> {
        let part = PartFile::of(path)?;
        #[cfg(unix)]
        let more = {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(path).ok().map(|about| (about.ino(), about.ctime(), about.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let more = None::<()>;
        Ok(format!("{part:?} {more:?}"))
    }

    /// The fingerprint of a LoRA's file, read where it is not remembered.
    pub(crate) fn of_lora(&self, path: &Path, watch: &dyn Watch) -> Result<Fingerprint> {
        let described = format!("lora {}", Self::state(path)?);
        self.remembered(&described, || lora_fingerprint(path, watch))
    }

    fn remembered(
        &self,
        described: &str,
        read: impl FnOnce() -> Result<Fingerprint>,
    ) -> Result<Fingerprint> {
        let key = blake3::hash(described.as_bytes()).to_hex().to_string();
        if let Some(known) = self.read().get(&key).and_then(|text| text.parse().ok()) {
            return Ok(known);
        }
        let fingerprint = read()?;
        if let Err(error) = self.remember(key, fingerprint) {
            log::info!("the fingerprint could not be remembered: {error}");
        }
        Ok(fingerprint)
    }

    fn read(&self) -> BTreeMap<String, String> {
        let text = self.path.as_deref().and_then(|path| fs::read(path).ok());
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    fn remember(&self, key: String, fingerprint: Fingerprint) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut known = self.read();
        known.insert(key, fingerprint.to_string());
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(&known)?)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use wan_alpha_core::weights::Strengths;
    use wan_alpha_core::{Stage, Unwatched};

    /// Counts what is read.
    #[derive(Default)]
    struct Reads(AtomicUsize);

    impl Watch for Reads {
        fn progress(&self, _stage: Stage, _step: usize, _of: usize) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &target);
            } else {
                fs::write(&target, fs::read(&path).unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn files_are_read_once_and_again_when_they_change() {
        let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/t2v-euler/model");
        let folder = tempfile::tempdir().unwrap();
        let cache = Fingerprints::in_folder(Some(folder.path()));
        let reads = Reads::default();
        let copied = folder.path().join("model");
        copy(&model, &copied);
        let paths = [copied.clone()];
        let find = || ModelFiles::find(&paths, Strengths::default(), &Unwatched).unwrap();
        let files = find();
        let first = cache.of(&files, &reads).unwrap();
        let once = reads.0.load(Ordering::Relaxed);
        assert!(once > 0);
        assert_eq!(cache.of(&files, &reads).unwrap(), first);
        assert_eq!(reads.0.load(Ordering::Relaxed), once);
        // What has the same size and, as its owner says, the same time is another file all the same.
        let dora = copied.join("wan-alpha-dora.safetensors");
        let modified = fs::metadata(&dora).unwrap().modified().unwrap();
        let mut bytes = fs::read(&dora).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&dora, &bytes).unwrap();
        fs::File::options().write(true).open(&dora).unwrap().set_modified(modified).unwrap();
        let other = find();
        assert_ne!(cache.of(&other, &reads).unwrap(), first);
        let once = reads.0.load(Ordering::Relaxed) / 2;
        // A damaged cache is no cache.
        fs::write(folder.path().join("fingerprints.json"), "{").unwrap();
        assert_ne!(cache.of(&other, &reads).unwrap(), first);
        assert_eq!(reads.0.load(Ordering::Relaxed), 3 * once);
    }
}
