//! What tells one model from another: a BLAKE3 hash over everything that shapes its takes.
//!
//! Each tensor counts with its original name, kind, shape and data, whatever file it lies in and
//! however that file spells its name; so do the tokenizer and the adapters. Parts that text-to-video
//! never reads (the autoencoder's encoder, the merge block) count for image-to-video models alone; they
//! have a fingerprint of their own besides.

use std::path::Path;

use blake3::Hasher;
use wan_alpha_take::Fingerprint;

use super::adapter::Adapter;
use super::decoder_files::Decoders;
use super::encoder_files::EncoderFiles;
use super::file::TensorFile;
use super::further_loras::open_lora;
use super::model_files::ModelFiles;
use super::set::TensorSet;
use super::stored_kind::{StoredKind, TensorEntry};
use super::tokenizer_file::TokenizerContent;
use crate::dit::DitConfig;
use crate::watch::check;
use crate::{Result, Stage, Watch};

impl ModelFiles {
    /// Reads and hashes every tensor the model uses; progress counts in mebibytes.
    ///
    /// # Errors
    /// A file cannot be read, or `watch` cancels.
    pub fn fingerprint(&self, watch: &dyn Watch) -> Result<Fingerprint> {
        let mut reader = Reader { hasher: Hasher::new(), done: 0, all: self.bytes(), watch };
        reader.hasher.update(b"wan-alpha model 1\0");
        reader.network("dit", &self.dit, |_| true)?;
        // What no shape says.
        let DitConfig { heads, eps, text_length, .. } =
            DitConfig::infer(&self.dit, self.config.as_deref())?;
        let sizes = format!("{heads} heads, epsilon {eps:e}, {text_length} tokens");
        reader.item("dit sizes", "text", &[], sizes.as_bytes());
        for adapter in &self.adapters {
            reader.adapter(adapter)?;
        }
        reader.network("text", &self.text, |_| true)?;
        match &self.decoders {
            Decoders::Adapted { base, color, alpha } => {
                reader.network("vae", base, decodes)?;
                reader.adapter(color)?;
                reader.adapter(alpha)?;
            }
            Decoders::Complete { color, alpha } => {
                reader.network("vae-colour", color, decodes)?;
                reader.network("vae-alpha", alpha, decodes)?;
            }
        }
        let tokenizer = TokenizerContent::read(&self.tokenizer)?.identity();
        reader.item("tokenizer", "bytes", &[tokenizer.len() as i64], &tokenizer);
        if let (Some(image_encoder), Some(encoder)) = (&self.image_encoder, &self.encoder) {
            reader.image_encoder(image_encoder)?;
            reader.network("vae", &encoder.base, encodes)?;
            reader.network("merge", &encoder.merge, |_| true)?;
        }
        Ok(Fingerprint(*reader.hasher.finalize().as_bytes()))
    }

    /// Reads and hashes all that a context depends on: the text encoder and its tokenizer.
    ///
    /// # Errors
    /// As [`ModelFiles::fingerprint`].
    pub fn text_fingerprint(&self, watch: &dyn Watch) -> Result<Fingerprint> {
        let all = bytes_of(&self.text);
        let mut reader = Reader { hasher: Hasher::new(), done: 0, all, watch };
        reader.hasher.update(b"wan-alpha text 1\0");
        reader.network("text", &self.text, |_| true)?;
        let tokenizer = TokenizerContent::read(&self.tokenizer)?.identity();
        reader.item("tokenizer", "bytes", &[tokenizer.len() as i64], &tokenizer);
        Ok(Fingerprint(*reader.hasher.finalize().as_bytes()))
    }

    /// Reads and hashes all that the image encoder's features depend on; nothing of a model that makes video
    /// from text alone.
    ///
    /// # Errors
    /// As [`ModelFiles::fingerprint`].
    pub fn image_fingerprint(&self, watch: &dyn Watch) -> Result<Option<Fingerprint>> {
        let Some(set) = &self.image_encoder else { return Ok(None) };
        let mut reader = Reader { hasher: Hasher::new(), done: 0, all: bytes_of(set), watch };
        reader.hasher.update(b"wan-alpha image encoder 1\0");
        reader.image_encoder(set)?;
        Ok(Some(Fingerprint(*reader.hasher.finalize().as_bytes())))
    }

    /// Bytes that [`ModelFiles::fingerprint`] reads.
    fn bytes(&self) -> u64 {
        let decoders = match &self.decoders {
            Decoders::Adapted { base, .. } => bytes_of(base),
            Decoders::Complete { color, alpha } => bytes_of(color) + bytes_of(alpha),
        };
        let of_image = match (&self.image_encoder, &self.encoder) {
            (Some(image_encoder), Some(encoder)) => {
                bytes_of(image_encoder) + bytes_of(&encoder.merge)
            }
            _ => 0,
        };
        bytes_of(&self.dit) + bytes_of(&self.text) + decoders + of_image
    }
}

/// Reads and hashes a LoRA of the transformer, whichever model it is for: what it does to which tensor,
/// however its file spells that.
///
/// # Errors
/// It is none, or cannot be read; or `watch` cancels.
pub fn lora_fingerprint(path: &Path, watch: &dyn Watch) -> Result<Fingerprint> {
    let adapter = open_lora(path)?;
    let all = adapter.parts().filter_map(|(_, raw)| adapter.file().entry(raw));
    let all = all.map(TensorEntry::bytes).sum();
    let mut reader = Reader { hasher: Hasher::new(), done: 0, all, watch };
    reader.hasher.update(b"wan-alpha lora 1\0");
    reader.adapter(&adapter)?;
    Ok(Fingerprint(*reader.hasher.finalize().as_bytes()))
}

impl EncoderFiles {
    /// Reads and hashes every tensor that a latent depends on.
    ///
    /// # Errors
    /// As [`ModelFiles::fingerprint`].
    pub fn fingerprint(&self, watch: &dyn Watch) -> Result<Fingerprint> {
        let all = bytes_of(&self.base) + bytes_of(&self.merge);
        let mut reader = Reader { hasher: Hasher::new(), done: 0, all, watch };
        reader.hasher.update(b"wan-alpha encoder 1\0");
        reader.network("vae", &self.base, encodes)?;
        reader.network("merge", &self.merge, |_| true)?;
        Ok(Fingerprint(*reader.hasher.finalize().as_bytes()))
    }
}

fn bytes_of(set: &TensorSet) -> u64 {
    set.names().filter_map(|name| set.find(name).ok()).map(|(e, _, _)| e.bytes()).sum()
}

fn decodes(name: &str) -> bool {
    name.starts_with("decoder.") || name.starts_with("conv2.")
}

/// Of the base model's head and `conv1` a merged latent sees nothing.
fn encodes(name: &str) -> bool {
    name.starts_with("encoder.") && !name.starts_with("encoder.head.")
}

/// Names in CLIP's layers of one way in, and of all three in one.
const QUERY: &str = ".self_attn.q_proj.";
const KEY: &str = ".self_attn.k_proj.";
const VALUE: &str = ".self_attn.v_proj.";
const ALL: &str = ".self_attn.qkv_proj.";

/// The tensors of an image encoder that a condition depends on, as they are called where query, key and
/// value are one, each with what it is made of.
fn seen_by_image_encoder(set: &TensorSet) -> Vec<(String, Vec<String>)> {
    let layer = |name: &str| -> Option<usize> {
        name.strip_prefix("vision_model.encoder.layers.")?.split('.').next()?.parse().ok()
    };
    let last = set.names().filter_map(layer).max();
    let counts = |name: &&str| {
        let unused = ["vision_model.post_layernorm.", "vision_model.embeddings.position_ids"];
        name.starts_with("vision_model.")
            && !unused.iter().any(|unused| name.starts_with(unused))
            && (layer(name).is_none() || layer(name) != last)
            && !name.contains(KEY)
            && !name.contains(VALUE)
    };
    let parts = |name: &str| match name.contains(QUERY) {
        true => [QUERY, KEY, VALUE].map(|part| name.replace(QUERY, part)).to_vec(),
        false => vec![name.to_owned()],
    };
    set.names().filter(counts).map(|name| (name.replace(QUERY, ALL), parts(name))).collect()
}

struct Reader<'a> {
    hasher: Hasher,
    done: u64,
    all: u64,
    watch: &'a dyn Watch,
}

impl Reader<'_> {
    fn network(&mut self, part: &str, set: &TensorSet, counts: fn(&str) -> bool) -> Result<()> {
        for name in set.names().filter(|name| counts(name)) {
            let (file, raw) = set.locate(name)?;
            self.tensor(&format!("{part}/{name}"), file, raw)?;
        }
        Ok(())
    }

    fn adapter(&mut self, adapter: &Adapter) -> Result<()> {
        for (role, raw) in adapter.parts() {
            self.tensor(&format!("{}/{role}", adapter.kind().name()), adapter.file(), raw)?;
        }
        Ok(())
    }

    /// However its files spell it: the original release has query, key and value in one tensor, and
    /// axes of one before some others.
    fn image_encoder(&mut self, set: &TensorSet) -> Result<()> {
        for (name, parts) in seen_by_image_encoder(set) {
            let places = parts.iter().map(|part| set.locate(part)).collect::<Result<Vec<_>>>()?;
            let entries: Vec<_> = places.iter().filter_map(|(file, raw)| file.entry(raw)).collect();
            let Some(first) = entries.first() else { continue };
            let mut shape: Vec<i64> =
                first.shape.iter().copied().skip_while(|&size| size == 1).collect();
            if let Some(rows) = shape.first_mut() {
                *rows *= entries.len() as i64;
            }
            let bytes = entries.iter().map(|entry| data_bytes(entry)).sum();
            let name = format!("image/{name}");
            self.begin(&name, &first.stored.fingerprint_name(), &shape, bytes);
            for (file, raw) in places {
                self.data(file, raw)?;
            }
        }
        Ok(())
    }

    fn tensor(&mut self, name: &str, file: &TensorFile, raw: &str) -> Result<()> {
        let Some(entry) = file.entry(raw) else { return Ok(()) };
        self.begin(name, &entry.stored.fingerprint_name(), &entry.shape, data_bytes(entry));
        self.data(file, raw)
    }

    fn data(&mut self, file: &TensorFile, raw: &str) -> Result<()> {
        check(self.watch, Stage::Load)?;
        let Some(entry) = file.entry(raw) else { return Ok(()) };
        let hasher = &mut self.hasher;
        file.each_chunk(raw, |chunk| {
            hasher.update(chunk);
        })?;
        self.done += entry.bytes();
        let mebibytes = |bytes: u64| (bytes >> 20) as usize;
        self.watch.progress(Stage::Load, mebibytes(self.done), mebibytes(self.all.max(self.done)));
        Ok(())
    }

    fn item(&mut self, name: &str, kind: &str, shape: &[i64], data: &[u8]) {
        self.begin(name, kind, shape, data.len() as u64);
        self.hasher.update(data);
    }

    /// What stands before the data of an item. Lengths stand before what they measure, so that no two
    /// models spell the same bytes.
    fn begin(&mut self, name: &str, kind: &str, shape: &[i64], bytes: u64) {
        for text in [name, kind] {
            self.hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        self.hasher.update(&(shape.len() as u64).to_le_bytes());
        for size in shape {
            self.hasher.update(&size.to_le_bytes());
        }
        self.hasher.update(&bytes.to_le_bytes());
    }
}

/// Bytes of a tensor's numbers in order, which are more than those of its file where it is a view that
/// repeats some.
fn data_bytes(entry: &TensorEntry) -> u64 {
    match entry.stored {
        StoredKind::Plain(kind) => entry.numbers() as u64 * kind.elt_size_in_bytes() as u64,
        _ => entry.bytes(),
    }
}
