//! `torch.save` of a plain dictionary of tensors: a zip of one pickle and one file for each storage.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use tch::{Kind, Tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::{Error, Result};

/// Folder of everything in the archive, as `torch.save` names it for a file `archive`.
const ROOT: &str = "archive";
/// Of the archive format.
const VERSION: &[u8] = b"3\n";

pub(super) fn write(file: &mut File, path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let pickle = pickle(tensors)?;
    let mut zip = ZipWriter::new(BufWriter::new(file));
    put(&mut zip, path, "data.pkl", &pickle)?;
    put(&mut zip, path, "byteorder", b"little")?;
    for (index, (_, tensor)) in tensors.iter().enumerate() {
        put(&mut zip, path, &format!("data/{index}"), &super::bytes(tensor)?)?;
    }
    put(&mut zip, path, "version", VERSION)?;
    let mut file = zip.finish().map_err(|error| refused(path, error))?;
    file.flush().map_err(Error::io("write", path))
}

fn put(
    zip: &mut ZipWriter<BufWriter<&mut File>>,
    path: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .large_file(u32::try_from(bytes.len()).is_err());
    zip.start_file(format!("{ROOT}/{name}"), options).map_err(|error| refused(path, error))?;
    zip.write_all(bytes).map_err(Error::io("write", path))
}

fn refused(path: &Path, error: zip::result::ZipError) -> Error {
    match error {
        zip::result::ZipError::Io(error) => Error::io("write", path)(error),
        other => Error::file(path, format!("cannot be written: {other}")),
    }
}

/// `{name: torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())}`,
/// protocol 2.
fn pickle(tensors: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let mut p = Pickle(b"\x80\x02}(".to_vec());
    for (index, (name, tensor)) in tensors.iter().enumerate() {
        let size = tensor.size();
        p.string(name);
        p.0.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        p.string("storage");
        p.0.extend(storage(tensor.kind())?);
        p.string(&index.to_string());
        p.string("cpu");
        p.integer(tensor.numel() as i64);
        // End of the storage's tuple, a reference to it, and the offset.
        p.0.extend(b"tQK\x00");
        p.tuple(&size);
        p.tuple(&strides(&size));
        p.0.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    p.0.extend(b"u.");
    Ok(p.0)
}

fn storage(kind: Kind) -> Result<&'static [u8]> {
    Ok(match kind {
        Kind::Float => b"ctorch\nFloatStorage\n",
        Kind::Double => b"ctorch\nDoubleStorage\n",
        Kind::BFloat16 => b"ctorch\nBFloat16Storage\n",
        Kind::Half => b"ctorch\nHalfStorage\n",
        other => {
            return Err(Error::Input(format!(
                "tensors of kind {other:?} are not written to files"
            )));
        }
    })
}

fn strides(size: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; size.len()];
    for axis in (1..size.len()).rev() {
        strides[axis - 1] = strides[axis] * size[axis].max(1);
    }
    strides
}

struct Pickle(Vec<u8>);

impl Pickle {
    fn string(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn integer(&mut self, number: i64) {
        match i32::try_from(number) {
            Ok(small) => {
                self.0.push(b'J');
                self.0.extend(small.to_le_bytes());
            }
            Err(_) => {
                self.0.extend(b"\x8a\x08");
                self.0.extend(number.to_le_bytes());
            }
        }
    }

    fn tuple(&mut self, numbers: &[i64]) {
        self.0.push(b'(');
        numbers.iter().for_each(|&number| self.integer(number));
        self.0.push(b't');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::write_pickle;
    use crate::weights::TensorFile;
    use tch::Device;

    // That PyTorch reads it (`torch.load`, weights_only, mapped and not) was tried with 2.13.
    #[test]
    fn kinds_and_shapes_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pth");
        let random = |shape: &[i64], kind| {
            crate::noise::unseeded(shape, (Kind::Float, Device::Cpu)).to_kind(kind)
        };
        let tensors = [
            ("a.weight", random(&[2, 3, 1, 4], Kind::Float)),
            ("b", random(&[], Kind::Double)),
            ("c", random(&[5], Kind::BFloat16)),
            ("d", random(&[0, 3], Kind::Float)),
            ("transposed", random(&[3, 2], Kind::Half).transpose(0, 1)),
        ];
        let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor));
        write_pickle(&path, &tensors).unwrap();
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.names().count(), tensors.len());
        for (name, tensor) in &tensors {
            let found = file.read(crate::device::Device::cpu(), name).unwrap();
            assert_eq!((found.size(), found.kind()), (tensor.size(), tensor.kind()), "{name}");
            assert_eq!(&found, tensor, "{name}");
        }
        let error = write_pickle(&folder.path().join("absent/x.pth"), &tensors).unwrap_err();
        assert!(error.to_string().contains("absent/x.pth"), "{error}");
    }

    #[test]
    fn a_number_beyond_32_bits_is_written_as_a_long() {
        let mut pickle = Pickle(Vec::new());
        pickle.tuple(&[7, -1, 1 << 33]);
        let expected = b"(J\x07\0\0\0J\xff\xff\xff\xff\x8a\x08\0\0\0\0\x02\0\0\0t";
        assert_eq!(pickle.0, expected);
        assert_eq!(strides(&[2, 0, 3]), [3, 3, 1]);
    }
}
