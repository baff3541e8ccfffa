//! `torch.save` archives made by hand: what a test cannot have PyTorch write, or must not.

use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An archive with this pickle and these storages, `data/0` and on.
pub(crate) fn archive(pickle: &[u8], storages: &[Vec<u8>]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, content: &[u8]| {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(format!("archive/{name}"), stored).unwrap();
        zip.write_all(content).unwrap();
    };
    add("data.pkl", pickle);
    add("byteorder", b"little");
    for (key, storage) in storages.iter().enumerate() {
        add(&format!("data/{key}"), storage);
    }
    add("version", b"3\n");
    zip.finish().unwrap().into_inner()
}

/// One tensor saved alone, as masks are released.
pub(crate) fn bare_tensor(values: &[f32], shape: &[i32]) -> Vec<u8> {
    let mut pickle = b"\x80\x02".to_vec();
    push_tensor(&mut pickle, values.len(), shape);
    pickle.push(b'.');
    archive(&pickle, &[bytemuck::cast_slice(values).to_vec()])
}

/// A dictionary of one tensor.
pub(crate) fn dictionary(name: &str, values: &[f32], shape: &[i32]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}".to_vec();
    push_string(&mut pickle, name);
    push_tensor(&mut pickle, values.len(), shape);
    pickle.extend(b"s.");
    archive(&pickle, &[bytemuck::cast_slice(values).to_vec()])
}

/// A state dictionary that, were its pickle run, would make the file `marker`: what `pickle` makes
/// of an object whose `__reduce__` is `(os.system, ("touch …",))`.
pub(crate) fn hostile(marker: &Path) -> Vec<u8> {
    let mut pickle = b"\x80\x02}".to_vec();
    push_string(&mut pickle, "conv1.weight");
    pickle.extend(b"cposix\nsystem\n");
    push_string(&mut pickle, &format!("touch '{}'", marker.display()));
    pickle.extend(b"\x85Rs.");
    archive(&pickle, &[])
}

/// `torch._utils._rebuild_tensor_v2(storage 0, 0, shape, strides, False, OrderedDict())`
fn push_tensor(pickle: &mut Vec<u8>, numbers: usize, shape: &[i32]) {
    pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    push_string(pickle, "storage");
    pickle.extend(b"ctorch\nFloatStorage\n");
    push_string(pickle, "0");
    push_string(pickle, "cpu");
    push_int(pickle, i32::try_from(numbers).unwrap());
    pickle.extend(b"tQ");
    push_int(pickle, 0);
    let strides = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product());
    for sizes in [shape.to_vec(), strides.collect()] {
        pickle.push(b'(');
        sizes.into_iter().for_each(|size| push_int(pickle, size));
        pickle.push(b't');
    }
    pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
}

fn push_string(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    pickle.extend(text.as_bytes());
}

fn push_int(pickle: &mut Vec<u8>, value: i32) {
    pickle.push(b'J');
    pickle.extend(value.to_le_bytes());
}
