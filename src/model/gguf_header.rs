//! The header of a GGUF file of a transformer.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use wan_alpha_core::tch::Kind;
use wan_alpha_core::weights::{BlockFormat, StoredKind};

/// Every tensor begins at a multiple of this: what a block's tensors begin at in memory, so that a block is
/// read in one.
const ALIGNMENT: usize = 256;
/// What readers call models of this architecture.
const ARCHITECTURE: &str = "wan";

/// Numbers of ggml's list of kinds of remarks.
const U32: u32 = 4;
const TEXT: u32 = 8;

/// A tensor that will be written.
#[derive(Clone, Debug)]
pub(super) struct GgufTensorHead {
    /// The name in the file.
    pub(super) name: String,
    pub(super) stored: StoredKind,
    pub(super) shape: Vec<i64>,
}

impl GgufTensorHead {
    /// Bytes of its numbers.
    pub(super) fn bytes(&self) -> usize {
        self.stored.bytes_of(self.shape.iter().product::<i64>() as usize)
    }

    /// Bytes that it takes in the file, with those up to where the next begins.
    pub(super) fn padded(&self) -> usize {
        self.bytes().next_multiple_of(ALIGNMENT)
    }
}

/// The header of a file that has these tensors in this order, up to where data begin.
pub(super) fn gguf_header(
    heads: &[GgufTensorHead],
    remarks: &BTreeMap<&str, String>,
) -> Result<Vec<u8>> {
    let mut header = b"GGUF".to_vec();
    header.extend(3u32.to_le_bytes());
    header.extend((heads.len() as u64).to_le_bytes());
    let numbers = [("general.alignment", ALIGNMENT as u32), ("general.quantization_version", 2)];
    let texts = [("general.architecture", ARCHITECTURE)];
    header.extend(((numbers.len() + texts.len() + remarks.len()) as u64).to_le_bytes());
    for (name, value) in numbers {
        text(&mut header, name);
        header.extend(U32.to_le_bytes());
        header.extend(value.to_le_bytes());
    }
    let remarks = remarks.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in texts.into_iter().chain(remarks) {
        text(&mut header, name);
        header.extend(TEXT.to_le_bytes());
        text(&mut header, value);
    }
    let mut offset = 0;
    for head in heads {
        text(&mut header, &head.name);
        header.extend((head.shape.len() as u32).to_le_bytes());
        // The fastest axis first.
        for size in head.shape.iter().rev() {
            header.extend(size.to_le_bytes());
        }
        header.extend(kind(&head.stored)?.to_le_bytes());
        header.extend((offset as u64).to_le_bytes());
        offset += head.padded();
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
    Ok(header)
}

fn text(header: &mut Vec<u8>, text: &str) {
    header.extend((text.len() as u64).to_le_bytes());
    header.extend(text.as_bytes());
}

/// The number of a kind in ggml's list.
fn kind(stored: &StoredKind) -> Result<u32> {
    Ok(match stored {
        StoredKind::Plain(Kind::Float) => 0,
        StoredKind::Plain(Kind::Half) => 1,
        StoredKind::Plain(Kind::Double) => 28,
        StoredKind::Plain(Kind::BFloat16) => 30,
        StoredKind::Blocks(BlockFormat::Q8_0) => 8,
        StoredKind::Blocks(BlockFormat::Q4_K) => 12,
        StoredKind::Blocks(BlockFormat::Q5_K) => 13,
        other => return Err(anyhow!("tensors of {other} are not written to GGUF files")),
    })
}
