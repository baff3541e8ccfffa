//! The built file itself.

use object::Endianness;
use object::elf::{
    DF_1_NODELETE, DT_FLAGS_1, DT_NEEDED, FileHeader64, SHN_UNDEF, SHT_DYNSYM, STT_NOTYPE,
};
use object::read::elf::{Dyn, FileHeader, Sym};

use crate::file;

/// From the C runtime: everywhere, and never ours to bring.
const OF_THE_SYSTEM: &[&str] = &["ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libm.so.6"];

#[test]
fn needs_only_the_system_exports_only_the_entry_points_and_stays_loaded() {
    let data = std::fs::read(file()).unwrap();
    let data = data.as_slice();
    let header = FileHeader64::<Endianness>::parse(data).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, data).unwrap();

    let (entries, strings) = sections.dynamic(endian, data).unwrap().unwrap();
    let strings = sections.strings(endian, data, strings).unwrap();
    let mut needed: Vec<String> = entries
        .iter()
        .filter(|entry| entry.tag(endian) == DT_NEEDED)
        .map(|entry| String::from_utf8(entry.string(endian, strings).unwrap().to_vec()).unwrap())
        .collect();
    assert!(needed.contains(&"libc.so.6".to_owned()), "{needed:?}");
    needed.retain(|name| !OF_THE_SYSTEM.contains(&name.as_str()));
    assert_eq!(needed, [""; 0]);

    // Threads of the host may end after it has let us go, and then come to what std left on them.
    let mut flags = entries.iter().filter(|entry| entry.tag(endian) == DT_FLAGS_1);
    assert!(flags.any(|entry| entry.val(endian) & DF_1_NODELETE.0 != 0));

    let symbols = sections.symbols(endian, data, SHT_DYNSYM).unwrap();
    let mut exported: Vec<String> = symbols
        .iter()
        .filter(|symbol| symbol.st_type() != STT_NOTYPE && symbol.st_shndx(endian) != SHN_UNDEF)
        .map(|symbol| {
            String::from_utf8(symbol.name(endian, symbols.strings()).unwrap().to_vec()).unwrap()
        })
        .collect();
    exported.sort();
    assert_eq!(exported, ["OfxGetNumberOfPlugins", "OfxGetPlugin", "OfxSetHost"]);
}
