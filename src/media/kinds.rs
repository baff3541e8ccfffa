//! Every kind of picture that is read, refused or doubted: the list behind the table of
//! `docs/pictures.md`, each line with a file that another program wrote (`tests/data/pictures`).

mod movies;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wan_alpha_take::color::to_linear;

use super::mask::MaskSequence;
use super::reading::PictureReading;
use super::rgba::RgbaSequence;

/// What comes of reading a file.
enum ReadOutcome {
    Read,
    /// Read, with these words.
    Warned(&'static str),
    /// Not read, with these words.
    Refused(&'static str),
}

use ReadOutcome::{Read, Refused, Warned};

/// A line of the table: the file, what it is, its tag, what is done, what is said.
type PictureKind = (&'static str, &'static str, &'static str, &'static str, ReadOutcome);

const KINDS: &[PictureKind] = &[
    ("untagged.png", "PNG", "none", "read as sRGB", Read),
    ("srgb.png", "PNG", "sRGB", "read as sRGB", Read),
    ("gama-linear.png", "PNG", "gAMA 1", "linear Rec.709, converted", Read),
    ("gama-22.png", "PNG", "gAMA 0.45455", "power of 2.2, converted", Read),
    ("cicp-srgb.png", "PNG", "cICP 1/13", "read as sRGB", Read),
    ("cicp-linear.png", "PNG", "cICP 1/8", "linear Rec.709, converted", Read),
    ("cicp-p3.png", "PNG", "cICP 12/13", "Display P3, converted", Read),
    ("cicp-rec2020.png", "PNG", "cICP 9/14", "Rec.2020 with gamma 2.4, converted", Read),
    ("cicp-rec709.png", "PNG", "cICP 1/1", "Rec.709 with gamma 2.4, converted", Read),
    ("cicp-and-srgb.png", "PNG", "cICP 12/13 beside sRGB", "cICP counts", Read),
    (
        "cicp-pq.png",
        "PNG",
        "cICP 9/16",
        "refused",
        Refused("PQ (cICP 9/16), of high dynamic range"),
    ),
    ("cicp-hlg.png", "PNG", "cICP 9/18", "refused", Refused("HLG (cICP 9/18)")),
    (
        "cicp-log.png",
        "PNG",
        "cICP 1/9",
        "read as sRGB",
        Warned("says cICP 1/9, which is not known here"),
    ),
    (
        "cicp-unspecified.png",
        "PNG",
        "cICP 2/2",
        "read as sRGB",
        Warned("says cICP 2/2, which cannot be meant: its color is read as sRGB"),
    ),
    (
        "cicp-no-primaries.png",
        "PNG",
        "cICP 2/13",
        "read as sRGB",
        Warned("says cICP 2/13, which leaves its primaries open: it is read as sRGB"),
    ),
    (
        "cicp-out-of-range.png",
        "PNG",
        "cICP with a matrix",
        "read as sRGB",
        Warned("says cICP 1/13/1/1, which cannot be meant"),
    ),
    (
        "cicp-no-range.png",
        "PNG",
        "cICP with range 7",
        "read as sRGB",
        Warned("says cICP 1/13/0/7, which cannot be meant"),
    ),
    (
        "cicp-short.png",
        "PNG",
        "cICP of one byte",
        "read as sRGB",
        Warned("its cICP cannot be read: its color is read as sRGB"),
    ),
    (
        "cicp-unspecified-and-icc.png",
        "PNG",
        "cICP 2/2 beside iCCP",
        "iCCP counts",
        Warned("says ICC profile “Display P3”, but also cICP 2/2: it is read as Display P3"),
    ),
    (
        "cicp-narrow.png",
        "PNG",
        "cICP 1/13, narrow range",
        "16 to 235 are brought to 0 to 1, alpha is full",
        Read,
    ),
    ("icc-srgb.png", "PNG", "iCCP: sRGB", "read as sRGB", Read),
    ("icc-linear.png", "PNG", "iCCP: linear", "linear Rec.709, converted", Read),
    ("icc-p3.png", "PNG", "iCCP: Display P3", "converted", Read),
    ("icc-rec2020.png", "PNG", "iCCP: Rec.2020", "converted", Read),
    ("icc-adobe.png", "PNG", "iCCP: any three primaries and one curve", "converted", Read),
    ("icc-pq.png", "PNG", "iCCP: PQ or HLG", "refused", Refused("PQ (ICC profile “Rec.2100 PQ”)")),
    ("icc-lab.png", "PNG", "iCCP: anything else", "read as sRGB", Warned("says ICC profile “")),
    (
        "icc-damaged.png",
        "PNG",
        "iCCP that cannot be unpacked",
        "read as sRGB",
        Warned("its ICC profile (iCCP) cannot be read: its color is read as sRGB"),
    ),
    (
        "icc-nonsense.png",
        "PNG",
        "iCCP that is no profile",
        "read as sRGB",
        Warned("its ICC profile cannot be read: its color is read as sRGB"),
    ),
    (
        "icc-black.png",
        "PNG",
        "iCCP: red, green and blue that are no white together",
        "read as sRGB",
        Warned("says ICC profile “Black”, which cannot be meant: its color is read as sRGB"),
    ),
    (
        "icc-white.png",
        "PNG",
        "iCCP: a curve that leaves no picture",
        "read as sRGB",
        Warned("says ICC profile “White”, which cannot be meant"),
    ),
    (
        "gama-zero.png",
        "PNG",
        "gAMA 0",
        "read as sRGB",
        Warned("says gAMA 0, which cannot be meant"),
    ),
    (
        "gama-tiny.png",
        "PNG",
        "gAMA below 0.22",
        "read as sRGB",
        Warned("says gAMA 0.0001, which cannot be meant: its color is read as sRGB"),
    ),
    (
        "gama-huge.png",
        "PNG",
        "gAMA above 1.35",
        "read as sRGB",
        Warned("says gAMA 100, which cannot be meant: its color is read as sRGB"),
    ),
    (
        "chrm-zero.png",
        "PNG",
        "cHRM that spans no colors",
        "read as sRGB",
        Warned("says cHRM, which cannot be meant: its color is read as sRGB"),
    ),
    ("sbit.png", "PNG", "sBIT", "values are taken as they are", Read),
    (
        "oblong.png",
        "PNG",
        "pHYs, pixels not square",
        "pixels are taken for square",
        Warned("its pixels are 2.000 times as wide as high (pHYs)"),
    ),
    (
        "turned.png",
        "PNG",
        "eXIf with an orientation",
        "not turned",
        Warned("to be turned or mirrored when it is shown (EXIF orientation 6), which is not done"),
    ),
    ("gray-alpha.png", "PNG, gray and alpha", "none", "gray is every color", Read),
    ("gray-alpha-16.png", "PNG, gray and alpha, 16 bits", "none", "gray is every color", Read),
    ("gray-1.png", "PNG, gray, 1 bit", "tRNS", "the transparent gray has alpha 0", Read),
    ("gray-2.png", "PNG, gray, 2 bits", "tRNS", "the transparent gray has alpha 0", Read),
    ("gray-4.png", "PNG, gray, 4 bits", "tRNS", "the transparent gray has alpha 0", Read),
    (
        "gray-opaque.png",
        "PNG, gray",
        "none",
        "a mask; refused as a clip",
        Refused("it has no alpha channel: write it with one"),
    ),
    ("transparent-color.png", "PNG, 16 bits", "tRNS", "the transparent color has alpha 0", Read),
    ("palette.png", "PNG, palette", "none", "read as sRGB", Read),
    ("animated.png", "PNG, animated", "", "refused", Refused("an animated PNG of 3 frames")),
    ("cut.png", "PNG, cut off", "", "refused", Refused("it is cut off: its last part is missing")),
    (
        "jpeg.png",
        "another format called .png",
        "",
        "refused",
        Refused("it is a JPEG image, which has no alpha, not png"),
    ),
    (
        "tiff.exr",
        "another format called .exr",
        "",
        "refused",
        Refused("it is a TIFF image, not exr: to change a name's end changes no format"),
    ),
    ("untagged.exr", "EXR", "none", "read as linear Rec.709", Read),
    ("half.exr", "EXR, half", "none", "read as linear Rec.709", Read),
    ("chromaticities-rec709.exr", "EXR", "chromaticities of Rec.709", "linear Rec.709", Read),
    ("chromaticities-p3.exr", "EXR", "chromaticities of P3-D65", "converted", Read),
    ("chromaticities-rec2020.exr", "EXR", "chromaticities of Rec.2020", "converted", Read),
    ("chromaticities-ap1.exr", "EXR", "chromaticities of ACEScg", "converted", Read),
    ("interop-ap1.exr", "EXR", "colorInteropID lin_ap1_scene", "ACEScg, converted", Read),
    ("interop-srgb.exr", "EXR", "colorInteropID srgb_rec709_scene", "read as sRGB", Read),
    ("interop-unknown.exr", "EXR", "colorInteropID unknown", "read as linear Rec.709", Read),
    (
        "interop-made-up.exr",
        "EXR",
        "colorInteropID of another name",
        "read as linear Rec.709",
        Warned("says colorInteropID my_space, which is not known here"),
    ),
    ("interop-pq.exr", "EXR", "colorInteropID pq_…", "refused", Refused("PQ (colorInteropID pq_")),
    (
        "interop-against-chromaticities.exr",
        "EXR",
        "colorInteropID against chromaticities",
        "colorInteropID counts",
        Warned("says colorInteropID lin_rec709_scene, but also chromaticities 0.7130 0.2930"),
    ),
    ("aces-container.exr", "EXR", "acesImageContainerFlag", "ACES2065-1, converted", Read),
    (
        "chromaticities-zero.exr",
        "EXR",
        "chromaticities that span no colors",
        "read as linear Rec.709",
        Warned("0.0000 0.0000, which cannot be meant: its color is read as linear Rec.709"),
    ),
    (
        "hidden-nan.exr",
        "EXR",
        "NaN or infinity where alpha is 0",
        "taken for black",
        Warned(
            "4 pixels of the clip hold no number where alpha is 0, and are taken for black: channel R",
        ),
    ),
    (
        "nan.exr",
        "EXR",
        "NaN or infinity elsewhere",
        "refused",
        Refused("channel G is NaN at column 1, row 2"),
    ),
    (
        "glow.exr",
        "EXR",
        "light where alpha is 0",
        "left out",
        Warned("4 pixels of the clip have light where alpha is 0, up to 0.5 (a glow"),
    ),
    (
        "added.exr",
        "EXR",
        "color above its alpha",
        "divided by alpha, clipped to 1",
        Warned("on display, were clipped to 0 and 1"),
    ),
    (
        "oblong.exr",
        "EXR",
        "pixelAspectRatio",
        "pixels are taken for square",
        Warned("its pixels are 2.000 times as wide as high (pixelAspectRatio)"),
    ),
    ("gray-alpha.exr", "EXR, Y and A", "none", "gray is every color", Read),
    ("names-in-words.exr", "EXR, rgba.red, rgba.green, …", "none", "as R, G, …", Read),
    (
        "luminance-chroma.exr",
        "EXR, Y, RY and BY",
        "",
        "refused",
        Refused("its channels BY, RY are subsampled, as luminance and chroma are"),
    ),
    (
        "deep.exr",
        "EXR, deep",
        "",
        "refused",
        Refused(
            "it holds deep data, several samples for a pixel, which are not read: flatten them",
        ),
    ),
    (
        "normals.exr",
        "EXR, directions and places",
        "",
        "never a picture or a mask",
        Refused("only the layers N: X, Y, Z; P: Y"),
    ),
    (
        "cryptomatte.exr",
        "EXR, Cryptomatte",
        "",
        "never a picture or a mask",
        Refused("no red, green and blue (R, G, B), only CryptoObject00.a"),
    ),
    (
        "views.exr",
        "EXR, views",
        "",
        "the first is read",
        Warned("several pictures: left is read, not right; --layer chooses"),
    ),
    ("levels.exr", "EXR, levels of a texture", "", "the largest is read", Read),
    (
        "overscan.exr",
        "EXR, data around the display window",
        "",
        "cropped to the display window",
        Read,
    ),
    (
        "windows-apart.exr",
        "EXR, data beside the display window",
        "",
        "an empty picture",
        Warned("all that it holds lies outside of its display window (4 × 4 at 9, 9 of 4 × 4)"),
    ),
    ("cut.exr", "EXR, cut off", "", "refused", Refused("it is cut off: its")),
    ("cut-header.exr", "EXR, cut off", "", "refused", Refused("it is cut off: its 100 bytes")),
    ("depth-first.exr", "EXR, parts", "", "the part with R, G, B is read, depth never", Read),
    ("alpha-apart.exr", "EXR, parts", "", "A of a part without colors is the alpha", Read),
    ("layer.exr", "EXR, layers", "", "the only layer with R, G, B is read", Read),
    (
        "two-pictures.exr",
        "EXR, parts",
        "",
        "beauty, rgba, main, … before others, else the first",
        Warned("several pictures: beauty is read, not specular; --layer chooses"),
    ),
    (
        "no-picture.exr",
        "EXR, parts",
        "",
        "refused as a clip; a channel of a mask's name is a mask",
        Refused("only the layers depth: Z; matte: fg: choose a layer with --layer"),
    ),
    ("rle.exr", "EXR", "compression RLE", "read", Read),
    ("zips.exr", "EXR", "compression ZIPS", "read", Read),
    ("piz.exr", "EXR", "compression PIZ", "read", Read),
    ("pxr24.exr", "EXR", "compression PXR24", "read", Read),
    ("b44.exr", "EXR", "compression B44", "read", Read),
    ("b44a.exr", "EXR", "compression B44A", "read", Read),
    ("dwaa.exr", "EXR", "compression DWAA", "read", Read),
    ("dwab.exr", "EXR", "compression DWAB", "read", Read),
    ("htj2k256.exr", "EXR", "compression HTJ2K256", "refused", Refused("compression is HTJ2K256")),
    ("htj2k32.exr", "EXR", "compression HTJ2K32", "refused", Refused("compression is HTJ2K32")),
    ("lj2k.exr", "EXR", "compression LJ2K", "refused", Refused("compression is LJ2K")),
    ("zstd.exr", "EXR", "compression ZSTD", "refused", Refused("compression is ZSTD")),
    ("tiles-in-a-window.exr", "EXR, tiles", "", "the display window is the picture", Read),
    ("missing.####.exr", "a pattern", "", "refused", Refused("no file matches the clip pattern")),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures")
}

/// The straight display values of a file's first frame and what is said of it, or why it is refused.
fn read(path: &Path, reading: &PictureReading) -> Result<(Vec<f32>, String), String> {
    let words = |error: super::error::MediaError| format!("{:#}", anyhow::Error::from(error));
    let mut clip = RgbaSequence::find(&[path.to_owned()], reading).map_err(words)?;
    let frame = clip.read_next().map_err(words)?;
    Ok((frame, clip.warnings().join("\n")))
}

#[test]
fn every_kind_is_read_as_other_programs_read_it_or_refused_in_words() {
    let expected = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: BTreeMap<String, Vec<f32>> = serde_json::from_str(&expected).unwrap();
    for (file, .., outcome) in KINDS {
        let found = read(&folder().join(file), &PictureReading::default());
        let warned = match (outcome, &found) {
            (Refused(words), Err(text)) => {
                assert!(text.contains(words) && text.contains(file), "{file}: {text}");
                continue;
            }
            (Read, Ok(_)) => "",
            (Warned(words), Ok(_)) => *words,
            _ => panic!("{file}: {found:?}"),
        };
        let (frame, said) = found.unwrap();
        assert!(said.contains(warned) && said.is_empty() == warned.is_empty(), "{file}: {said}");
        let expected = &expected[*file];
        assert_eq!(frame.len(), expected.len(), "{file}");
        for (found, expected) in frame.as_chunks::<4>().0.iter().zip(expected.as_chunks::<4>().0) {
            let [r, g, b, alpha] = *found;
            let light = [to_linear(r), to_linear(g), to_linear(b), alpha];
            for (light, expected) in light.iter().zip(expected) {
                let error = (light - expected.clamp(0.0, 1.0)).abs();
                assert!(error < 1e-3, "{file}: {found:?} is {light}, not {expected}");
            }
        }
    }
}

/// Files whose names say what their alpha is called, as masks: always the same disk of values.
#[test]
fn a_mask_is_found_by_name_and_depth_never_is_one() {
    let of = |file: &str, layer: Option<&str>| {
        let mask = MaskSequence::find(&folder().join(file), layer);
        mask.and_then(|mask| mask.read()).map(|(mut images, _)| images.remove(0).values)
    };
    let alpha = of("untagged.exr", None).unwrap();
    for file in ["depth-first.exr", "alpha-apart.exr", "layer.exr", "no-picture.exr"] {
        assert_eq!(of(file, None).unwrap(), alpha, "{file}");
    }
    for (file, layer) in [("no-picture.exr", "matte.fg"), ("two-pictures.exr", "beauty")] {
        assert_eq!(of(file, Some(layer)).unwrap(), alpha, "{file}, {layer}");
    }
    let half: Vec<f32> = alpha.iter().map(|value| value * 0.5).collect();
    assert_eq!(of("two-pictures.exr", Some("specular")).unwrap(), half);
    let text = format!("{:#}", anyhow::Error::from(of("layer.exr", Some("gone")).unwrap_err()));
    assert!(text.contains("no layer `gone`") && text.contains("beauty: A, B, G, R"), "{text}");
}

#[test]
fn a_person_has_the_last_word_on_color_and_layer() {
    let reading = |color: &str, layer: Option<&str>| PictureReading {
        color: Some(color.parse().unwrap()),
        layer: layer.map(str::to_owned),
        ..PictureReading::default()
    };
    let plain = read(&folder().join("untagged.png"), &PictureReading::default()).unwrap().0;
    assert_eq!(read(&folder().join("cicp-pq.png"), &reading("srgb", None)).unwrap().0, plain);
    let linear = read(&folder().join("untagged.exr"), &PictureReading::default()).unwrap().0;
    let beauty = read(&folder().join("two-pictures.exr"), &reading("linear", Some("beauty")));
    assert_eq!(beauty.unwrap(), (linear.clone(), String::new()));
    let other = read(&folder().join("untagged.exr"), &reading("acescg", None)).unwrap().0;
    assert_ne!(other, linear);
}

#[test]
fn a_layer_that_is_asked_of_a_png_is_told_to_be_none() {
    let reading = PictureReading { layer: Some("beauty".to_owned()), ..PictureReading::default() };
    let path = folder().join("untagged.png");
    let (_, said) = read(&path, &reading).unwrap();
    let (_, remarks) = MaskSequence::find(&path, Some("beauty")).unwrap().read().unwrap();
    for said in [said, remarks.warnings.join("\n")] {
        let words = ["untagged.png", "the layer `beauty`", "EXR alone has layers"];
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

/// The table for people. `WAN_ALPHA_WRITE_DOCS=1` writes it anew.
#[test]
fn the_documents_have_the_list() {
    const MARKS: [&str; 2] = ["<!-- begin of the list -->\n", "<!-- end of the list -->\n"];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).unwrap();
    let (_, after) = rest.split_once(MARKS[1]).unwrap();
    let mut table = "| what | tag | what is done | what is said |\n|---|---|---|---|\n".to_owned();
    for (_, what, tag, done, outcome) in KINDS {
        let said = match outcome {
            Read => String::new(),
            Warned(words) => format!("a warning: “… {words} …”"),
            Refused(words) => format!("“… {words} …”"),
        };
        table += &format!("| {what} | {tag} | {done} | {said} |\n");
    }
    table += &movies::lines();
    let right = [before, MARKS[0], &table, MARKS[1], after].concat();
    if std::env::var_os("WAN_ALPHA_WRITE_DOCS").is_some() {
        std::fs::write(&path, &right).unwrap();
    }
    let remedy = "WAN_ALPHA_WRITE_DOCS=1 cargo test -p wan-alpha --bin wan-alpha media::kinds";
    assert!(std::fs::read_to_string(&path).unwrap() == right, "write the list anew: {remedy}");
}
