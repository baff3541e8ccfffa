//! Signing with the library that set-up lays out.

use super::*;
use crate::media::sample::provenance;

/// A file of the chains and keys for tests.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/signing").join(name)
}

fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures").join(name)
}

/// Where set-up lays it out.
fn libraries() -> Vec<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".setup/c2pa/lib/libc2pa_c.so");
    assert!(file.is_file(), "{} is not there: run `cargo xtask setup`", file.display());
    vec![file]
}

fn open(chain: &str, key: &str) -> Result<FileSigner> {
    let (chain, key) = (data(chain), data(key));
    FileSigner::open(SigningFiles { chain: &chain, key: &key, time_authority: None }, &libraries())
}

fn refusal(chain: &str, key: &str) -> String {
    format!("{:#}", open(chain, key).err().unwrap())
}

#[test]
fn every_kind_of_key_signs_a_file_and_the_signature_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (libraries, root) = (libraries(), data("root.pem"));
    let bytes = std::fs::read(picture("srgb.png")).unwrap();
    for kind in ["es256", "es384", "es512", "ps256", "ed25519"] {
        let signer = open(&format!("{kind}.pem"), &format!("{kind}.key")).unwrap();
        let path = folder.path().join(format!("{kind}.png"));
        let signed = signer.seal(bytes.clone(), &path, &provenance()).unwrap();
        // No small picture of itself goes into it.
        assert!(signed.bytes.len() < bytes.len() + 8000, "{} bytes", signed.bytes.len());
        signed.write(&path).unwrap();
        for (trusted, state, words) in [
            (None, "Valid", "leads to none that is trusted here"),
            (Some(root.as_path()), "Trusted", "leads to one of --trust"),
        ] {
            let mut reader = SignatureReader::new(&libraries, trusted).unwrap();
            let report = reader.look(&path, "a PNG image", true).unwrap().unwrap();
            assert_eq!(report.state(), state, "{kind}: {}", report.said);
            let told = report.words();
            assert!(told.contains(words) && told.contains(&format!("Signer {kind}")), "{told}");
        }
    }
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 5, "nothing lies beside what holds its signature");
}

#[test]
fn a_signature_beside_a_file_holds_until_a_byte_of_either_changes() {
    let folder = tempfile::tempdir().unwrap();
    let libraries = libraries();
    let signer = open("es256.pem", "es256.key").unwrap();
    let path = folder.path().join("a.0001.exr");
    let bytes = std::fs::read(picture("half.exr")).unwrap();
    let signed = signer.seal(bytes.clone(), &path, &provenance()).unwrap();
    assert!(signed.bytes == bytes, "the file itself stays as it was");
    signed.write(&path).unwrap();
    let beside = folder.path().join("a.0001.c2pa");
    let mut reader = SignatureReader::new(&libraries, None).unwrap();
    let mut look = || reader.look(&path, "an EXR image", false);
    assert_eq!(look().unwrap().unwrap().state(), "Valid");
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &other).unwrap();
    let report = look().unwrap().unwrap();
    assert_eq!(report.state(), "Invalid");
    let told = report.words();
    assert!(told.starts_with("DOES NOT HOLD, of Signer es256"), "{told}");
    assert!(told.contains("assertion.dataHash.mismatch"), "{told}");
    std::fs::write(&path, &bytes).unwrap();
    let whole = std::fs::read(&beside).unwrap();
    std::fs::write(&beside, &whole[..200]).unwrap();
    let error = format!("{:#}", look().unwrap_err());
    assert!(error.contains("the library for C2PA (") && error.contains("says: "), "{error}");
    std::fs::remove_file(&beside).unwrap();
    assert!(look().unwrap().is_none());
}

#[test]
fn what_the_library_refuses_is_told_before_anything_is_signed() {
    let other = refusal("es256.pem", "other.key");
    assert!(other.contains("its own key") && other.contains("does not match"), "{other}");
    let expired = refusal("expired.pem", "es256.key");
    assert!(expired.contains("valid today") && expired.contains("not valid at time"), "{expired}");
    // By nobody but itself: it signs, and nobody knows of whom that is.
    open("self-signed.pem", "es256.key").unwrap();
}

#[test]
fn a_library_that_is_not_there_or_is_another_is_told_with_where_it_is_to_be_had() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("libc2pa_c.so");
    let told = |files: &[PathBuf]| format!("{:#}", C2paLibrary::open(files).err().unwrap());
    for words in [told(&[]), told(std::slice::from_ref(&file))] {
        assert!(words.contains("is not there") && words.contains("pip download"), "{words}");
        assert!(words.contains("WAN_ALPHA_C2PA"), "{words}");
    }
    std::fs::write(&file, "no library").unwrap();
    let words = told(&[file]);
    assert!(words.contains("cannot be opened") && words.contains("glibc 2.34"), "{words}");
}

#[test]
fn a_disk_that_refuses_is_told_in_its_own_words() {
    let signer = open("es256.pem", "es256.key").unwrap();
    let mut source = Cursor::new(std::fs::read(picture("srgb.png")).unwrap());
    // Opened for reading alone.
    let mut to = File::open(picture("srgb.png")).unwrap();
    let refused = signer.sign(&mut source, &mut to, Path::new("a.png"), &provenance());
    let told = format!("{:#}", refused.unwrap_err());
    assert!(told.contains("a.png cannot be signed") && told.contains("os error 9"), "{told}");
}
