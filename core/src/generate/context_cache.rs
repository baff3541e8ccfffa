//! Contexts on disk, so that a prompt costs the text encoder once and not once per process.
//!
//! A file per context, named by a hash of all that it depends on; no word of a prompt is in the name
//! or in the file. The folder may be deleted at any time. What is not whole is made again.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tch::{Device, Kind, Tensor};
use wan_alpha_take::{Fingerprint, NUMERICS};

use crate::device::LIBTORCH_BUILD;
use crate::{Error, Result};

/// Files beyond these go, those first that were used the longest ago. A context of the released model
/// is 4 MB at most.
const MOST_FILES: usize = 512;
const MOST_BYTES: u64 = 256_000_000;

const MAGIC: &[u8] = b"wan-alpha context 1\n";
const EXTENSION: &str = "context";
/// Magic, hash of what follows, key, kind, tokens, width.
const HEADER: usize = MAGIC.len() + 32 + 32 + 3 * 4;

/// By their numbers in a file.
const KINDS: [Kind; 2] = [Kind::Float, Kind::BFloat16];

/// A folder of contexts.
#[derive(Clone, Debug)]
pub(super) struct KeptContexts {
    folder: PathBuf,
}

/// All that a context depends on, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContextKey([u8; 32]);

impl ContextKey {
    /// `model` covers the text encoder's weights and the tokenizer.
    pub(super) fn of(model: Fingerprint, ids: &[i64], kind: Kind, device: Device) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("wan-alpha 2026 context of a prompt");
        let class = if device == Device::Cpu { "cpu" } else { "other" };
        // Sums are split among threads, and round accordingly.
        let threads = tch::get_num_threads();
        let made = format!("{NUMERICS} {LIBTORCH_BUILD} {class} {threads} {kind:?}\n");
        hasher.update(&model.0).update(made.as_bytes());
        for id in ids {
            hasher.update(&id.to_le_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl KeptContexts {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A context `[tokens, width]` on the CPU, with the bits it was kept with; nothing where it is not
    /// there, or not whole.
    pub(super) fn recall(&self, key: ContextKey) -> Option<Tensor> {
        let path = self.path(key);
        // What is no file could be read for ever.
        let bytes = fs::read(path.is_file().then_some(&path)?).ok()?;
        match unpack(key, &bytes) {
            Some(context) => {
                // What is used stays the longest.
                let touched = File::options().append(true).open(&path);
                let touched = touched.and_then(|file| file.set_modified(SystemTime::now()));
                if let Err(error) = touched {
                    log::debug!("{}: {error}", path.display());
                }
                Some(context)
            }
            None => {
                log::info!("{} is damaged; its prompt is read again", path.display());
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a context; one that cannot be kept is told of in the log, and no more.
    pub(super) fn keep(&self, key: ContextKey, context: &Tensor) {
        let kept = pack(key, context).and_then(|bytes| {
            self.write(key, &bytes).map_err(Error::io("keep a context in", &self.folder))
        });
        if let Err(error) = kept {
            log::info!("{error}; the next process reads the prompt again");
        }
    }

    fn write(&self, key: ContextKey, bytes: &[u8]) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder)?;
        tidy(&self.folder, MOST_FILES - 1, MOST_BYTES.saturating_sub(bytes.len() as u64));
        // Closed to others, as temporary files are.
        let mut file = tempfile::Builder::new().prefix("new-").tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(self.path(key)).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, key: ContextKey) -> PathBuf {
        let name = blake3::Hash::from_bytes(key.0).to_hex();
        self.folder.join(format!("{name}.{EXTENSION}"))
    }
}

/// Removes what was used the longest ago until so much is left at most. A process that was killed may
/// have left a file under its first name; it counts like any other.
fn tidy(folder: &Path, most_files: usize, most_bytes: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let describe = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let about = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((about.modified().ok()?, about.len(), entry.path()))
    };
    let mut files: Vec<_> = entries.filter_map(describe).collect();
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    let mut count = files.len();
    for (_, size, path) in files {
        if count <= most_files && bytes <= most_bytes {
            return;
        }
        let _ = fs::remove_file(path);
        count -= 1;
        bytes -= size;
    }
}

fn pack(key: ContextKey, context: &Tensor) -> Result<Vec<u8>> {
    let (tokens, width) = context.size2()?;
    let bytes = context.f_to_device(Device::Cpu)?.f_contiguous()?.f_view_dtype(Kind::Uint8)?;
    let bytes: Vec<u8> = bytes.f_flatten(0, -1)?.try_into()?;
    let mut rest = Vec::with_capacity(bytes.len() + HEADER);
    rest.extend_from_slice(&key.0);
    let kind = KINDS.iter().position(|known| *known == context.kind()).unwrap_or(KINDS.len());
    for number in [kind as i64, tokens, width] {
        let number = u32::try_from(number)
            .map_err(|_| Error::Input(format!("a context of sizes {:?}", context.size())))?;
        rest.extend_from_slice(&number.to_le_bytes());
    }
    rest.extend_from_slice(&bytes);
    Ok([MAGIC, blake3::hash(&rest).as_bytes(), &rest].concat())
}

fn unpack(key: ContextKey, bytes: &[u8]) -> Option<Tensor> {
    let (hash, rest) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    if blake3::hash(rest).as_bytes() != hash {
        return None;
    }
    let (found, rest) = rest.split_at_checked(32)?;
    let (sizes, data) = rest.split_at_checked(12)?;
    let mut sizes = sizes.chunks_exact(4).map(|size| size.try_into().map(u32::from_le_bytes));
    let mut next = || sizes.next()?.ok();
    let (kind, tokens, width) = (next()?, i64::from(next()?), i64::from(next()?));
    let kind = *KINDS.get(kind as usize)?;
    let whole = (tokens * width) as usize * kind.elt_size_in_bytes() == data.len();
    if found != key.0 || !whole {
        return None;
    }
    Tensor::f_from_data_size(data, &[tokens, width], kind).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(id: i64) -> ContextKey {
        ContextKey::of(Fingerprint([1; 32]), &[id], Kind::Float, Device::Cpu)
    }

    fn random(kind: Kind) -> Tensor {
        crate::noise::unseeded([7, 24], (Kind::Float, Device::Cpu)).to_kind(kind)
    }

    #[test]
    fn a_context_comes_back_with_its_bits_and_only_under_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptContexts::in_folder(folder.path().join("contexts"));
        assert!(kept.recall(key(1)).is_none());
        for (id, kind) in [(1, Kind::Float), (2, Kind::BFloat16)] {
            let context = random(kind);
            kept.keep(key(id), &context);
            let found = kept.recall(key(id)).unwrap();
            assert_eq!((found.kind(), &found), (kind, &context));
        }
        fs::rename(kept.path(key(1)), kept.path(key(3))).unwrap();
        assert!(kept.recall(key(3)).is_none() && kept.recall(key(1)).is_none());
    }

    #[test]
    fn whatever_a_context_depends_on_is_in_its_key() {
        let of = |model, ids: &[i64], kind, device| {
            ContextKey::of(Fingerprint([model; 32]), ids, kind, device)
        };
        let all = [
            of(1, &[1, 2], Kind::Float, Device::Cpu),
            of(2, &[1, 2], Kind::Float, Device::Cpu),
            of(1, &[2, 1], Kind::Float, Device::Cpu),
            of(1, &[1, 2], Kind::BFloat16, Device::Cpu),
            of(1, &[1, 2], Kind::Float, Device::Cuda(0)),
        ];
        for (index, key) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other != key));
        }
        assert_eq!(all[0], of(1, &[1, 2], Kind::Float, Device::Cpu));
    }

    #[test]
    fn a_file_that_is_damaged_or_cut_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptContexts::in_folder(folder.path().to_owned());
        kept.keep(key(1), &random(Kind::Float));
        let whole = fs::read(kept.path(key(1))).unwrap();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        let cut = [0, 10, MAGIC.len() + 8, HEADER, whole.len() - 1].map(|n| whole[..n].to_vec());
        let changed = [3, MAGIC.len() + 1, HEADER - 1, HEADER + 9, whole.len() - 1].map(flipped);
        for bytes in cut.into_iter().chain(changed) {
            fs::write(kept.path(key(1)), bytes).unwrap();
            assert!(kept.recall(key(1)).is_none());
            assert!(!kept.path(key(1)).exists());
        }
        fs::write(kept.path(key(1)), &whole).unwrap();
        assert!(kept.recall(key(1)).is_some());
    }

    #[test]
    fn what_was_used_the_longest_ago_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptContexts::in_folder(folder.path().to_owned());
        let size = pack(key(0), &random(Kind::Float)).unwrap().len() as u64;
        let there = || (0..5).filter(|id| kept.path(key(*id)).exists()).collect::<Vec<_>>();
        for id in 0..5 {
            kept.keep(key(id), &random(Kind::Float));
            let old = SystemTime::now() - Duration::from_secs(1000 - id as u64);
            let file = File::options().append(true).open(kept.path(key(id))).unwrap();
            file.set_modified(old).unwrap();
        }
        assert!(kept.recall(key(0)).is_some());
        tidy(folder.path(), 4, u64::MAX);
        assert_eq!(there(), [0, 2, 3, 4]);
        tidy(folder.path(), 4, 2 * size);
        assert_eq!(there(), [0, 4]);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_look_into_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptContexts::in_folder(folder.path().join("a/contexts"));
        kept.keep(key(1), &random(Kind::Float));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&kept.folder), mode(&kept.path(key(1)))), (0o700, 0o600));
    }

    #[test]
    fn a_folder_that_cannot_be_made_stands_in_nobodys_way() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kept = KeptContexts::in_folder(file.path().join("contexts"));
        kept.keep(key(1), &random(Kind::Float));
        assert!(kept.recall(key(1)).is_none());
    }
}
