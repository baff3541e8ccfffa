//! A good bundle of small files, and every fault that one may have.

use std::collections::BTreeMap;

use super::super::layout::LINUX_X86_64;
use super::super::test_planted_faults::{Planted, compile};
use super::*;

const VERSION: &str = "1.2.3";
const NODELETE: &str = "-Wl,-z,nodelete";
const RUN_PATH: [&str; 2] = ["-Wl,-rpath,$ORIGIN/lib", "-Wl,--disable-new-dtags"];

struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn good() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(made.place("Linux-x86-64/lib")).unwrap();
        fs::create_dir_all(made.place("Resources")).unwrap();
        let none = Planted::default();
        made.plugin(&Planted { exports: &ENTRY_POINTS, arguments: &[NODELETE], ..none });
        made.engine(&RUN_PATH);
        compile(&made.place("Linux-x86-64/lib/libtorch_cpu.so"), &Planted::default());
        let icon = concat!(env!("CARGO_MANIFEST_DIR"), "/../resources/org.wanalpha.generator");
        for kind in ["png", "svg"] {
            let target = made.place(&format!("Resources/{IDENTIFIER}.{kind}"));
            fs::copy(format!("{icon}.{kind}"), target).unwrap();
        }
        let plist = include_str!("../../../../resources/Info.plist");
        fs::write(made.place("Info.plist"), plist.replace("@VERSION@", VERSION)).unwrap();
        made
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join("Contents").join(name)
    }

    fn plugin(&self, planted: &Planted<'_>) {
        compile(&self.place("Linux-x86-64/WanAlpha.ofx"), planted);
    }

    fn engine(&self, arguments: &[&str]) {
        let needs = &["libtorch_cpu.so"];
        let planted = Planted { needs, arguments, ..Planted::default() };
        compile(&self.place("Linux-x86-64/wan-alpha"), &planted);
    }

    fn faults(&self) -> Vec<String> {
        check(self.folder.path(), &LINUX_X86_64, VERSION).unwrap().faults
    }

    /// The one fault that is found.
    fn fault(&self) -> String {
        let faults = self.faults();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        faults[0].clone()
    }
}

#[test]
fn a_good_bundle_has_no_fault_and_its_files_stand_in_the_table() {
    let made = Made::good();
    let report = check(made.folder.path(), &LINUX_X86_64, VERSION).unwrap();
    assert_eq!(report.faults, [""; 0]);
    assert_eq!(report.above_floor, [""; 0]);
    let table = report.to_string();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 4, "{table}");
    assert!(rows[3].contains("wan-alpha") && rows[3].ends_with("libtorch_cpu.so"), "{table}");
}

#[test]
fn a_symbol_too_many_or_too_few_is_found() {
    let made = Made::good();
    let mut exports = ENTRY_POINTS.to_vec();
    exports.push("zlibVersion");
    made.plugin(&Planted { exports: &exports, arguments: &[NODELETE], ..Planted::default() });
    assert!(made.fault().contains("zlibVersion; expected exactly OfxGet"), "{}", made.fault());
    made.plugin(&Planted {
        exports: &ENTRY_POINTS[..2],
        arguments: &[NODELETE],
        ..Planted::default()
    });
    assert!(made.fault().contains("exports OfxGetNumberOfPlugins, OfxGetPlugin;"));
}

#[test]
fn a_plug_in_that_asks_for_torch_cuda_or_c_plus_plus_is_found() {
    let made = Made::good();
    for name in ["libtorch_cpu.so", "libcudart.so.13", "libcuda.so.1", "libstdc++.so.6"] {
        let needs = &[name];
        let arguments = &[NODELETE];
        made.plugin(&Planted { exports: &ENTRY_POINTS, needs, arguments });
        assert!(made.fault().contains(&format!("asks for {name}")), "{}", made.fault());
    }
}

#[test]
fn a_plug_in_that_can_be_unloaded_is_found() {
    let made = Made::good();
    made.plugin(&Planted { exports: &ENTRY_POINTS, ..Planted::default() });
    assert!(made.fault().contains("NODELETE"));
}

#[test]
fn an_engine_that_looks_elsewhere_or_lacks_a_library_is_found() {
    let made = Made::good();
    for wrong in [
        &["-Wl,-rpath,/home/me/libtorch/lib", "-Wl,--disable-new-dtags"][..],
        &["-Wl,-rpath,$ORIGIN/lib", "-Wl,--enable-new-dtags"],
        &[],
    ] {
        made.engine(wrong);
        assert!(made.fault().contains("run path"), "{}", made.fault());
    }
    made.engine(&RUN_PATH);
    let library = made.place("Linux-x86-64/lib/libtorch_cpu.so");
    compile(&library, &Planted { needs: &["libc10.so"], ..Planted::default() });
    assert!(made.fault().contains("libtorch_cpu.so asks for libc10.so"), "{}", made.fault());
    fs::remove_file(library).unwrap();
    assert!(made.fault().contains("wan-alpha asks for libtorch_cpu.so"), "{}", made.fault());
}

#[test]
fn a_missing_or_unfit_icon_is_found() {
    let made = Made::good();
    let svg = made.place("Resources/org.wanalpha.generator.svg");
    fs::write(&svg, "text").unwrap();
    assert!(made.fault().contains("is no SVG"));
    fs::remove_file(svg).unwrap();
    assert!(made.fault().contains("generator.svg cannot be read"));
    let path = made.place("Resources/org.wanalpha.generator.png");
    for (size, color, said) in [
        ((64, 64), png::ColorType::Rgba, "64 × 64"),
        ((256, 128), png::ColorType::Rgba, "256 × 128"),
        ((128, 128), png::ColorType::Rgb, "Rgb"),
    ] {
        let mut encoder = png::Encoder::new(File::create(&path).unwrap(), size.0, size.1);
        encoder.set_color(color);
        let bytes = size.0 as usize * size.1 as usize * color.samples();
        encoder.write_header().unwrap().write_image_data(&vec![0; bytes]).unwrap();
        assert!(made.fault().contains(said), "{}", made.fault());
    }
    fs::remove_file(path).unwrap();
    assert!(made.fault().contains("generator.png cannot be opened"));
}

#[test]
fn a_wrong_plist_is_found_key_by_key() {
    let made = Made::good();
    let path = made.place("Info.plist");
    let good = fs::read_to_string(&path).unwrap();
    let wrong = BTreeMap::from([
        ("<string>WanAlpha.ofx</string>", "CFBundleExecutable"),
        ("<string>BNDL</string>", "CFBundlePackageType"),
        ("<string>org.wanalpha.generator</string>", "CFBundleIdentifier"),
        ("<string>6.0</string>", "CFBundleInfoDictionaryVersion"),
    ]);
    for (value, key) in wrong {
        assert!(good.contains(value), "{value}");
        fs::write(&path, good.replace(value, "<string>x</string>")).unwrap();
        assert!(made.fault().contains(key), "{}", made.fault());
    }
    fs::write(&path, good.replace(VERSION, "9.9.9")).unwrap();
    let faults = made.faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.contains("Version") && fault.contains("9.9.9")));
    fs::write(&path, "no plist").unwrap();
    assert!(made.fault().contains("Info.plist cannot be used"), "{}", made.fault());
    fs::remove_file(&path).unwrap();
    assert!(made.fault().contains("Info.plist cannot be used"));
}

#[test]
fn what_is_above_the_floor_is_named_unless_the_bundle_brings_it() {
    let file = |name: &str, asks: &[&str]| {
        let asks = asks.iter().map(|&name| name.to_owned()).collect();
        (PathBuf::from(name), 1, Elf { asks, ..Elf::default() })
    };
    let at_floor = file("lib/a.so", &["GLIBC_2.28", "GLIBCXX_3.4.25", "GLIBC_PRIVATE"]);
    let above = file("wan-alpha", &["GLIBC_2.34", "GLIBC_2.2.5", "GLIBCXX_3.4.30"]);
    assert_eq!(above_floor(std::slice::from_ref(&at_floor)), [""; 0]);
    let mut files = vec![at_floor, above];
    let reasons = above_floor(&files);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].contains("wan-alpha asks for GLIBCXX_3.4.30"), "{reasons:?}");
    assert!(reasons[1].contains("wan-alpha asks for GLIBC_2.34"), "{reasons:?}");
    files.push(file("lib/libstdc++.so.6", &["GLIBC_2.17"]));
    assert_eq!(above_floor(&files).len(), 1);
    let when_asked = file("lib/libc2pa_c.so", &["GLIBC_2.34"]);
    assert_eq!(above_floor(&[when_asked]), [""; 0], "nothing but signing is missing there");
}
